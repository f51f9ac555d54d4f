"""`momentum-jax predict`: what a quadratic model says of the arms of a study before they run."""

from __future__ import annotations

import json

from rich.table import Table

from momentum_jax.cli.arguments import Predict
from momentum_jax.cli.console import output
from momentum_jax.cli.specification import specification


def run(command: Predict) -> int:
    from momentum_jax.studies.prediction import predict_study
    from momentum_jax.studies.wording.predictions import HEADINGS, row, sentences

    study = specification(command)
    found = predict_study(study, data_directory=command.data, seed=command.seed)
    if command.json:
        print(json.dumps(found.to_dict(), indent=2, allow_nan=False))
        return 0
    console = output()
    first, *others = HEADINGS
    table = Table(title=f"{study.data_name}, {found.steps:,} steps, predicted", title_justify="left")
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, justify="right")
    for arm in found.arms:
        table.add_row(*row(arm))
    console.print(table)
    for sentence in sentences(found):
        console.print(sentence, highlight=False, soft_wrap=not console.is_terminal)
    return 0
