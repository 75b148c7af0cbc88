"""Saving and loading: safetensors files, written whole or not at all, with a checksum; no pickle.

The one idea: a file appears under its name only when it is complete (written beside it, flushed, then renamed), and is
believed only when the SHA-256 of its arrays, which stands in its header, comes out the same.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors import numpy as format

from .tensor import Tensor

_CHECKSUM = "tinynet.sha256"


def _digest(arrays: dict[str, np.ndarray]) -> str:
    sha = hashlib.sha256()
    for name in sorted(arrays):
        sha.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        sha.update(arrays[name].tobytes())
    return sha.hexdigest()


def save(path: str | os.PathLike, tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Write Tensors or arrays by name to a safetensors file; PyTorch's safetensors reads it, too.

    An existing file is replaced in one step; on an error it stays as it was and nothing else is left behind.
    """
    arrays = {n: np.ascontiguousarray(t.numpy() if isinstance(t, Tensor) else t) for n, t in tensors.items()}
    content = format.save(arrays, {"format": "np", **(metadata or {}), _CHECKSUM: _digest(arrays)})
    path = Path(path)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o666 & ~_umask())  # a temporary file is private, a saved one as any other
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load(path: str | os.PathLike) -> dict[str, Tensor]:
    """The Tensors of a safetensors file by name, on the CPU.

    A file written by ``save`` is checked against its checksum; one from elsewhere has none. Raises ``FileNotFoundError``, or
    ``ValueError`` naming the file where it is damaged or not safetensors.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file of weights at {os.fspath(path)!r}")
    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
            expected = (file.metadata() or {}).get(_CHECKSUM)
    except SafetensorError as error:
        raise ValueError(f"{os.fspath(path)!r} is damaged, or not a safetensors file: {error}") from error
    if expected is not None and _digest(arrays) != expected:
        raise ValueError(f"{os.fspath(path)!r} is damaged: its arrays do not have the checksum {expected}")
    return {name: Tensor(array, device="cpu") for name, array in arrays.items()}
