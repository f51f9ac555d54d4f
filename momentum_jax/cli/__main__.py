"""`python -m momentum_jax.cli`, for where the script is not on the path."""

import sys

from momentum_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
