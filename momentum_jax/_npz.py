"""Archives of arrays (.npz), read without unpickling anything, from files that may be damaged."""

import io
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from typing import IO, NamedTuple

import numpy as np

from momentum_jax._text import cut, quoted

# What a file that is not as it was written makes NumPy and the standard library raise; RuntimeError is that of an encryption
# flag, and the parent of NotImplementedError, an unknown compression's, and of RecursionError. A MemoryError may be the
# machine's fault.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,
    OverflowError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
_MOST_HEADER = 2**16


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


class Announced(NamedTuple):
    """Shape and kind of an array of an archive, as its header has them."""

    shape: tuple[int, ...]
    dtype: np.dtype


def announced(archive: np.lib.npyio.NpzFile, name: str) -> Announced:
    """What the header of an array says, once it agrees with the size that the archive has for it. Nothing else is unpacked.

    Raises:
      One of `UNREADABLE`: there is none of that name, it is damaged, or no array of numbers.
    """
    return _header(archive, name)[0]


def _header(archive: np.lib.npyio.NpzFile, name: str) -> tuple[Announced, bool, int]:
    """What it says, whether the array is stored column by column, and where that begins."""
    entries = _entries(archive)
    entry = entries.getinfo(f"{name}.npy")
    with entries.open(entry) as member:
        # Longer headers are none that NumPy reads; of what they may be written in, it does not foresee all that goes wrong.
        start = io.BytesIO(member.read(_MOST_HEADER))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(start)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, by_columns, dtype = read(start)
    except Exception as error:
        raise ValueError(f"{name} has no sound header: {cut(str(error))}") from None
    if dtype.hasobject:
        raise ValueError(f"{name} is no array of numbers")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"the header of {name} announces no shape that an array can have")
    size, there = math.prod(shape) * dtype.itemsize, entry.file_size - start.tell()
    if size != there:
        raise ValueError(f"the header of {name} announces {quoted(size)} bytes, where {there} are")
    return Announced(shape, dtype), by_columns, start.tell()


def read_array(archive: np.lib.npyio.NpzFile, name: str, most: int) -> np.ndarray:
    """An array of an archive, of at most so many bytes. What the archive announces is compared before it is unpacked.

    Raises:
      One of `UNREADABLE`: as `announced` does, or the array is larger.
    """
    (shape, dtype), by_columns, begin = _header(archive, name)
    entry = _entries(archive).getinfo(f"{name}.npy")
    if entry.file_size > most:
        raise ValueError(f"{name} would unpack to {entry.file_size:,} bytes, more than {most:,}")
    with _entries(archive).open(entry) as member:
        # To the end, where the checksum is.
        content = bytearray(member.read())
    return np.frombuffer(content, dtype, offset=begin).reshape(shape, order="F" if by_columns else "C")


def _entries(archive: np.lib.npyio.NpzFile) -> zipfile.ZipFile:
    # Closed by the caller, with the file below it.
    return archive.zip  # pyright: ignore[reportReturnType]
