"""The IDX file format, in which MNIST and its relatives come.

The one idea: an IDX file says exactly how long it is, so every difference between what it says and what it is, is an
error that names the file. The format, as LeCun's MNIST page gives it: two zero bytes, a type code, the number of
dimensions, each dimension as a big-endian uint32, then the elements in row-major order, big-endian.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class DatasetError(ValueError):
    """A file of a data set that is not what it should be; the message names the file."""


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an IDX file, raw or compressed by gzip (recognised by its content, not its name).

    The dtype is the file's (uint8, int8, int16, int32, float32 or float64), in this machine's byte order; the shape is
    the file's dimensions. The array is writable.

    Raises ``DatasetError`` (a ``ValueError``) for a file that is no IDX file, is cut short, has bytes left over, or
    whose compression is damaged; ``OSError`` where the file cannot be read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "ids")
    >>> _ = path.write_bytes(bytes([0, 0, 0x08, 1,  0, 0, 0, 3,  7, 8, 9]))
    >>> read_idx(path)
    array([7, 8, 9], dtype=uint8)
    """
    return parse_idx(read_bytes(path), path)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file, uncompressed if gzip compressed it; ``DatasetError`` where the compression is damaged."""
    content = Path(path).read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{os.fspath(path)}: damaged or incomplete gzip file ({error})") from error


def parse_idx(content: bytes, path: str | os.PathLike[str]) -> np.ndarray:
    """The array in the uncompressed ``content`` of an IDX file; ``path`` is for the messages. See ``read_idx``."""
    name = os.fspath(path)
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DatasetError(
            f"{name}: not an IDX file: expected two zero bytes, a type code and the number of dimensions, "
            f"found {content[:4]!r}" + ("" if len(content) >= 4 else f", {len(content)} bytes in all")
        )
    code, ndim = content[2], content[3]
    if code not in TYPES:
        known = ", ".join(f"0x{c:02x}" for c in TYPES)
        raise DatasetError(f"{name}: unknown IDX type code 0x{code:02x}; expected one of {known}")
    start = 4 + 4 * ndim
    if len(content) < start:
        raise DatasetError(f"{name}: header cut short: {ndim} dimensions take {start} bytes, the file has {len(content)}")
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    dtype = np.dtype(TYPES[code])
    expected, found = math.prod(shape) * dtype.itemsize, len(content) - start
    if found != expected:
        raise DatasetError(
            f"{name}: too {'short' if found < expected else 'long'}: its header says {dtype.name} of shape {shape}, "
            f"{expected} bytes of data, but {found} follow"
        )
    try:
        view = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:  # more than 64 dimensions, or an empty array whose other dimensions are absurd
        raise DatasetError(f"{name}: its header says shape {shape}, which NumPy cannot hold ({error})") from error
    return view.astype(dtype.newbyteorder("="))  # a copy: the view is read-only and big-endian
