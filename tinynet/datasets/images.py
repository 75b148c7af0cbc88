"""The base of the image sets: where their files are, and what a set is once they are read.

The one idea: everything that distinguishes a set is a table in its class (file names, where they come from, class names) and
how its files are read; finding them, checking labels and scaling is written once, here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..backend import cache_folder
from ..data import Dataset
from .idx import DatasetError

REPOSITORY_DATA = Path(__file__).resolve().parents[2] / "datasets"  # beside the package, in a checkout


class ImageSet(Dataset):
    """Base class of sets of labelled images; a subclass fills in the table below, and ``_read`` for its kind of files.

    Arguments, attributes, search order and errors are described with ``MNIST``.
    """

    folder: ClassVar[str]  # of this set, inside a folder of data sets
    source: ClassVar[str] = "where it is published"  # for a person to get the files from
    mirrors: ClassVar[tuple[str, ...]] = ()  # addresses that end in a slash, before a file's name and ".gz"; see _fetch
    splits: ClassVar[dict[str, tuple[Any, ...]]]  # the files of each: anything with a ``name``
    classes: ClassVar[tuple[str, ...]]  # the name of each label

    def __init__(self, split: str = "train", root: str | os.PathLike[str] | None = None):
        if split not in self.splits:
            raise ValueError(f"split: expected one of {', '.join(map(repr, self.splits))}, got {split!r}")
        self.split = split
        self.root, paths = self._locate(self.splits[split], root)
        images, labels = self._read(self.splits[split], paths)
        # The quotient is float32's nearest value to x / 255; a product with 1 / 255 misses it for 126 of 256 levels.
        self.inputs: np.ndarray = images / np.float32(255)
        self.targets: np.ndarray = labels.astype(np.int64)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """The whole arrays ``(inputs, targets)``; the loader takes its batches from these."""
        return self.inputs, self.targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.inputs[index], int(self.targets[index])

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.inputs.shape[1:]))
        return f"{type(self).__name__}(split={self.split!r}): {len(self)} images of {shape}, {len(self.classes)} classes"

    def _read(self, files: tuple[Any, ...], paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
        """The images, bytes ``(N, C, H, W)``, and their labels ``(N,)``; ``DatasetError`` for files not in order."""
        raise NotImplementedError(f"{type(self).__name__} does not define _read(self, files, paths)")

    def _fetch(self, file: Any, path: Path) -> None:
        """Download a file to ``path``. Only sets with ``mirrors`` and checksums do that."""
        raise NotImplementedError(f"{type(self).__name__} does not define _fetch(self, file, path)")

    def _locate(self, files: tuple[Any, ...], root: str | os.PathLike[str] | None) -> tuple[Path, list[Path]]:
        """The folder to use and the paths of the files in it, downloaded there if need be."""
        argument, given = "root", root
        if given is None and os.environ.get("TINYNET_DATA"):
            argument, given = "environment variable TINYNET_DATA", os.environ["TINYNET_DATA"]
        outer = Path(given).expanduser() if given is not None else None
        cache = cache_folder() / self.folder
        usual = [REPOSITORY_DATA / self.folder, Path("datasets", self.folder).absolute(), cache]
        for folder in usual if outer is None else [outer, outer / self.folder]:
            paths, missing = _find(folder, files)
            if not missing:
                return folder, paths
        if outer is not None:
            lacking = " and ".join(f"{name}[.gz]" for name in _find(outer, files)[1])
            raise FileNotFoundError(
                f"{argument}: the folder {outer} has no {lacking}, nor has its subfolder {self.folder}: put them there "
                f"(from {self.source})" + (", or give no folder at all to have them downloaded" if self.mirrors else "")
            )
        if not self.mirrors:
            raise FileNotFoundError(
                f"{type(self).__name__}: found no {' and '.join(f'{f.name}[.gz]' for f in files)} in "
                f"{', '.join(map(str, usual))}: get them from {self.source}, put them into one of these folders, or pass "
                "theirs as root. (They are not downloaded, for lack of a checksum to check them by.)"
            )
        for file in files:
            if file.name in missing:
                self._fetch(file, cache / f"{file.name}.gz")
        return cache, _find(cache, files)[0]

    def _check_labels(self, labels: np.ndarray, path: Path) -> None:
        wrong = np.flatnonzero(labels >= len(self.classes))
        if wrong.size:
            at = wrong[0]
            raise DatasetError(f"{path}: label {labels[at]} of item {at}; expected 0 to {len(self.classes) - 1}")


def _find(folder: Path, files: tuple[Any, ...]) -> tuple[list[Path], list[str]]:
    """The paths of the files in a folder, raw rather than compressed, and the names of those it lacks."""
    found = {f.name: [p for p in (folder / f.name, folder / f"{f.name}.gz") if p.is_file()] for f in files}
    return [p[0] for p in found.values() if p], [name for name, p in found.items() if not p]
