"""IDX, the format of the MNIST files: a magic number, the dimensions, then the entries, row by row, all big-endian.

    0x00 0x00 type rank | rank x uint32 | entries          type 0x08: unsigned bytes, the only one read here

Nothing is trusted: what the header announces is checked before a byte of it is read, and no more than that is ever
decompressed, so that a small file cannot fill the memory.
Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits, section "The IDX file format".
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from momentum_jax._files import open_regular
from momentum_jax.data.errors import DataError

UNSIGNED_BYTE = 0x08
MOST_BYTES = 2**30  # twenty times the largest published file
CHUNK = 2**20


def read(path: Path, shape: tuple[int | None, ...]) -> np.ndarray:
    """Reads a gzipped IDX file of unsigned bytes.

    Args:
        path: the file.
        shape: the dimensions that it must have; None stands for any number from 1.

    Returns:
        A uint8 array of that many dimensions.

    Raises:
        DataError: the file is missing, unreadable, not gzip, damaged, truncated, of another magic number or other
            dimensions, longer than its header says, announces more than 1 GiB, or does not fit into memory. The message
            begins with the path.
    """
    try:
        with open_regular(path) as file, gzip.GzipFile(fileobj=file) as stream:
            dimensions = _header(path, _up_to(stream, 4 + 4 * len(shape)), shape)
            announced = math.prod(dimensions)
            # One byte more than announced: it finds what is too long, and takes gzip to its end, where the CRC is.
            entries = _up_to(stream, announced + 1)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except EOFError as error:
        raise DataError(f"{path} is truncated: the gzip stream ends early.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is not a sound gzip file: {error}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory.") from error
    if len(entries) != announced:
        found = f"only {len(entries):,}" if len(entries) < announced else "more"
        raise DataError(f"{path} is damaged: its header announces {announced:,} bytes of entries, it holds {found}.")
    return np.frombuffer(entries, np.uint8).reshape(dimensions)


def _header(path: Path, header: bytes, shape: tuple[int | None, ...]) -> tuple[int, ...]:
    magic = struct.pack(">HBB", 0, UNSIGNED_BYTE, len(shape))
    if header[:4] != magic:
        raise DataError(f"{path} has the wrong magic number: must be 0x{magic.hex()}, is 0x{header[:4].hex()}.")
    if len(header) < 4 + 4 * len(shape):
        raise DataError(f"{path} is truncated: it ends within its header.")
    dimensions = struct.unpack(f">{len(shape)}I", header[4:])
    if any(is_ < 1 or is_ != (must_be or is_) for is_, must_be in zip(dimensions, shape, strict=True)):
        wanted = " x ".join("n" if n is None else str(n) for n in shape)
        raise DataError(f"{path} has the wrong dimensions: must be {wanted}, n from 1, are {' x '.join(map(str, dimensions))}.")
    if math.prod(dimensions) > MOST_BYTES:
        raise DataError(f"{path} announces {math.prod(dimensions):,} bytes; the most that is read is {MOST_BYTES:,}.")
    return dimensions


def _up_to(stream: gzip.GzipFile, size: int) -> bytes:
    # In chunks: a single read would allocate all that a corrupt header announces before it finds that it is not there.
    entries = bytearray()
    while len(entries) < size and (chunk := stream.read(min(CHUNK, size - len(entries)))):
        entries += chunk
    return bytes(entries)
