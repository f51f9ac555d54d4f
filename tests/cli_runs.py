"""Commands run in the process of the tests."""

import jax

from momentum_jax import cli

# The backend starts as it does in the rest of the suite: `main` finds it running and leaves the number of devices alone.
jax.devices()


def run(capfd, *arguments):
    """Exit code, standard output and standard error of a command run in this process."""
    try:
        code = cli.main(list(arguments))
    except SystemExit as exit:
        code = exit.code or 0
    out, err = capfd.readouterr()
    return code, out, err
