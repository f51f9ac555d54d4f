"""Archives of arrays (.npz), read without unpickling anything, from files that may be damaged."""

import struct
import tokenize
import zipfile
import zlib
from typing import IO

import numpy as np

# What a file that is not as it was written makes NumPy and the standard library raise; RuntimeError is that of an encryption
# flag, and the parent of NotImplementedError, an unknown compression's. A MemoryError may be the machine's fault.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def open_archive(file: IO[bytes]) -> np.lib.npyio.NpzFile:
    """The archive in an open file, which stays the caller's to close.

    Raises:
      One of `UNREADABLE`: it is none, or is damaged.
    """
    if file.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):
        # Of a file that is no archive NumPy says how to unpickle it, which nobody should.
        raise ValueError("it is no archive of arrays")
    file.seek(0)
    return np.load(file, allow_pickle=False)
