"""`momentum-jax explore`: a page that shows what a learning rate and a momentum do on a quadratic."""

from __future__ import annotations

from momentum_jax.cli.arguments import Explore
from momentum_jax.report import explorer


def run(command: Explore) -> int:
    explorer.write(command.out)
    print(command.out)
    return 0
