"""`momentum-jax problem`: what a problem of one's own is, before anything is compared on it."""

from __future__ import annotations

from rich.table import Table

from momentum_jax.cli.arguments import ProblemCommand
from momentum_jax.cli.console import output
from momentum_jax.studies import Study


def run(command: ProblemCommand) -> int:
    from momentum_jax.studies.inspection import inspect_problem
    from momentum_jax.studies.outlook import in_bytes

    batch = {} if command.batch is None else {"batch": command.batch}
    study = Study.from_dict({"problem": command.problem, "arms": ["sgd(0.1)"], "noise_floor": False, **batch})
    found = inspect_problem(study)
    console = output()
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    leaves = f"{found.leaves} lea{'f' if found.leaves == 1 else 'ves'}"
    data = f"; the data {in_bytes(found.data_bytes)}" * (found.data_bytes > 0)
    rows = [
        ("problem", str(study.problem)),
        ("parameters", f"{found.entries:,} entries in {leaves}, {found.dtypes}"),
        ("state", found.state),
        ("data", found.data),
        ("a step sees", found.batch),
        ("a run holds", f"{in_bytes(found.run_bytes)}, with gradient descent{data}"),
        ("first call", f"{found.compile_seconds:.1f} s to compile"),
        ("speed", f"{found.steps_per_second:,.0f} steps a second, one run on one device"),
    ]
    rows += [(f"fingerprint of {name}", digest[:16]) for name, digest in found.fingerprint.items()]
    for row in rows:
        facts.add_row(*row)
    console.print(facts)
    scores = Table("score", "of the untrained parameters", "better")
    for name, value, better in found.scores:
        scores.add_row(name, value, better)
    console.print(scores)
    return 0
