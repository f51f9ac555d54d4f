"""What commands print results on."""

from __future__ import annotations

import os
import shutil

from rich.console import Console

# Of a pipe or a file that nobody gave a width: room for every table.
_WIDE = 160


def output() -> Console:
    """Standard output, as wide as the terminal; of a pipe or a file as COLUMNS says, else wide enough for every table."""
    wide = None if os.isatty(1) else shutil.get_terminal_size((_WIDE, 24)).columns
    return Console(width=wide, markup=False, emoji=False)
