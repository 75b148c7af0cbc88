"""Saving and loading: safetensors files, written whole or not at all, with a checksum; no pickle.

The one idea: a file appears under its name only when it is complete (written beside it, flushed, then renamed), and is
believed only when the SHA-256 of its arrays and metadata, which stands in its header, comes out the same.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors import numpy as format

from .tensor import Tensor, as_array

_CHECKSUM = "tinynet.sha256"


def _digest(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> str:
    sha = hashlib.sha256(repr(sorted(item for item in metadata.items() if item[0] != _CHECKSUM)).encode())
    for name in sorted(arrays):
        sha.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        sha.update(arrays[name].tobytes())
    return sha.hexdigest()


def save(path: str | os.PathLike, tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Write Tensors or arrays by name to a safetensors file; PyTorch's safetensors reads it, too.

    An existing file is replaced in one step; on an error it stays as it was and nothing else is left behind. Raises
    ``FileNotFoundError`` where there is no such folder, ``TypeError`` naming what is no array of numbers, of a dtype that
    safetensors does not have, or no name, ``ValueError`` for the name ``__metadata__``, which is the format's own.
    """
    arrays = {name: _plain(name, t) for name, t in tensors.items()}
    metadata = {"format": "np", **(metadata or {})}
    content = format.save(arrays, {**metadata, _CHECKSUM: _digest(arrays, metadata)})
    write_whole(path, content)


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write a file in one step: written beside its place, flushed and renamed, so that nobody sees half of it.

    An existing file is replaced, and its permissions kept; where it is a link, that which it leads to. On an error it
    stays as it was and nothing else is left behind. Raises ``FileNotFoundError`` where there is no such folder, ``OSError``
    where a folder or a device stands under that name.
    """
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {str(path.parent)!r} to save {path.name!r} in")
    replaced = path.is_file()
    if path.exists() and not replaced:
        raise OSError(f"{str(path)!r} is no file, which could be replaced")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(partial, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replaced:
            shutil.copymode(path, partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _plain(name: str, value: Any) -> np.ndarray:
    """The value as a NumPy array in row-major order and this machine's byte order."""
    if not isinstance(name, str):
        raise TypeError(f"save: names are texts, got {name!r}")
    if name == "__metadata__":
        raise ValueError(f"save: {name!r} is the format's own name for what is no array; give this one another")
    try:
        array = as_array(value, device="cpu")
    except TypeError as error:
        raise TypeError(f"save: {name!r}: {error}") from None
    if array.dtype.itemsize > 8:
        raise TypeError(f"save: {name!r}: safetensors has no {array.dtype}; give it as float64")
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def load(path: str | os.PathLike) -> dict[str, Tensor]:
    """The Tensors of a safetensors file by name, on the CPU.

    A file written by ``save`` is checked against its checksum; one from elsewhere has none. Raises ``FileNotFoundError``, or
    ``ValueError`` naming the file where it is damaged, not safetensors, or of a dtype that NumPy does not have (bfloat16).
    """
    return {name: Tensor(array, device="cpu") for name, array in read(path)[0].items()}


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the metadata of a file, checked as ``load`` says."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file of weights at {os.fspath(path)!r}")
    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{os.fspath(path)!r} is damaged, or not a safetensors file: {error}") from error
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{os.fspath(path)!r} holds a dtype that NumPy does not have: {error}") from error
    expected = metadata.get(_CHECKSUM)
    if expected is not None and _digest(arrays, metadata) != expected:
        raise ValueError(f"{os.fspath(path)!r} is damaged: its contents do not have the checksum {expected}")
    return arrays, metadata
