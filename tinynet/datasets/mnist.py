"""MNIST, and the base class of image sets that come as IDX files.

The one idea: everything that distinguishes such a set is a table in its class (file names, lengths, checksums, mirrors,
class names); finding, checking and scaling the files is written once, in ``ImageIDX``.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from ..backend import cache_folder
from ..data import Dataset
from .idx import DatasetError, parse_idx, read_bytes

REPOSITORY_DATA = Path(__file__).resolve().parents[2] / "datasets"  # beside the package, in a checkout


class IDXFile(NamedTuple):
    """An original file: its name without ``.gz``, its number of items, the SHA-256 of its uncompressed content."""

    name: str
    length: int
    sha256: str


class ImageIDX(Dataset):
    """Base class of grey-level image sets in two IDX files per split; a subclass fills in the table below.

    Arguments, attributes, search order and errors are described with ``MNIST``.
    """

    folder: ClassVar[str]  # of this set, inside a folder of data sets
    mirrors: ClassVar[tuple[str, ...]]  # addresses that end in a slash, before a file's name and ".gz"
    splits: ClassVar[dict[str, tuple[IDXFile, IDXFile]]]  # (images, labels)
    classes: ClassVar[tuple[str, ...]]  # the name of each label

    def __init__(self, split: str = "train", root: str | os.PathLike[str] | None = None, *, verify: bool = True):
        if split not in self.splits:
            raise ValueError(f"split: expected one of {', '.join(map(repr, self.splits))}, got {split!r}")
        self.split = split
        self.root, paths = self._locate(self.splits[split], root)
        images, labels = (_read(file, p, verify) for file, p in zip(self.splits[split], paths, strict=True))
        self._check(images, labels, *paths)
        # The quotient is float32's nearest value to x / 255; a product with 1 / 255 misses it for 126 of 256 levels.
        self.inputs: np.ndarray = images[:, None] / np.float32(255)
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

    @classmethod
    def _locate(cls, files: tuple[IDXFile, ...], root: str | os.PathLike[str] | None) -> tuple[Path, list[Path]]:
        """The folder to use and the paths of the files in it, downloaded there if need be."""
        source, given = "root", root
        if given is None and os.environ.get("TINYNET_DATA"):
            source, given = "environment variable TINYNET_DATA", os.environ["TINYNET_DATA"]
        if given is not None:
            outer = Path(given).expanduser()
            for folder in (outer, outer / cls.folder):
                paths, missing = _find(folder, files)
                if not missing:
                    return folder, paths
            lacking = " and ".join(f"{name}[.gz]" for name in _find(outer, files)[1])
            raise FileNotFoundError(
                f"{source}: the folder {outer} has no {lacking}, nor has its subfolder {cls.folder}: put them there "
                f"(from {cls.mirrors[0]}), or give no folder at all to have them downloaded"
            )
        for folder in (REPOSITORY_DATA / cls.folder, Path("datasets", cls.folder).absolute()):
            paths, missing = _find(folder, files)
            if not missing:
                return folder, paths
        folder = cache_folder() / cls.folder
        missing = _find(folder, files)[1]
        for file in files:
            if file.name in missing:
                from .download import fetch  # not above: urllib and ssl take longer to import than all of this package

                fetch([f"{m}{file.name}.gz" for m in cls.mirrors], folder / f"{file.name}.gz", file.sha256)
        return folder, _find(folder, files)[0]

    def _check(self, images: np.ndarray, labels: np.ndarray, images_path: Path, labels_path: Path) -> None:
        if images.ndim != 3:
            raise DatasetError(f"{images_path}: expected images of shape (N, height, width), got shape {images.shape}")
        if labels.ndim != 1:
            raise DatasetError(f"{labels_path}: expected labels of shape (N,), got shape {labels.shape}")
        if len(images) != len(labels):
            raise DatasetError(
                f"{labels_path}: {len(labels)} labels, but {images_path} has {len(images)} images; expected as many"
            )
        wrong = np.flatnonzero(labels >= len(self.classes))
        if wrong.size:
            at = wrong[0]
            raise DatasetError(f"{labels_path}: label {labels[at]} of item {at}; expected 0 to {len(self.classes) - 1}")


def _find(folder: Path, files: tuple[IDXFile, ...]) -> tuple[list[Path], list[str]]:
    """The paths of the files in a folder, raw rather than compressed, and the names of those it lacks."""
    found = {f.name: [p for p in (folder / f.name, folder / f"{f.name}.gz") if p.is_file()] for f in files}
    return [p[0] for p in found.values() if p], [name for name, p in found.items() if not p]


def _read(file: IDXFile, path: Path, verify: bool) -> np.ndarray:
    content = read_bytes(path)
    array = parse_idx(content, path)
    if array.dtype != np.uint8:
        raise DatasetError(f"{path}: expected unsigned bytes (IDX type code 0x08), got {array.dtype}")
    # A file of another length is the user's own choice of samples, for which there is no checksum.
    if verify and array.shape[:1] == (file.length,):
        found = hashlib.sha256(content).hexdigest()
        if found != file.sha256:
            raise DatasetError(
                f"{path}: checksum: its length is that of the original {file.name}, but the SHA-256 of its content is "
                f"{found}, expected {file.sha256}: replace the damaged file, or pass verify=False to use it as it is"
            )
    return array


class MNIST(ImageIDX):
    """70,000 handwritten digits, 28 x 28 grey levels, 60,000 of them for training.

    ``ds[i]`` is ``(image, label)``: a float32 array of shape (1, 28, 28) from 0 (background) to 1, and an int from 0 to
    9.

    ``split``: ``"train"`` or ``"test"``. ``root``: the folder with the four IDX files (names as published, raw or
    ``.gz``), or one that holds it as ``mnist``. Without ``root`` the environment variable ``TINYNET_DATA`` names such a
    folder; without that the files are taken from ``datasets/mnist`` of the repository (where tinynet runs from a checkout)
    or of the current folder, else from the user's cache folder, where they are downloaded if missing. Nothing is ever
    downloaded into ``root`` or ``TINYNET_DATA``.
    ``verify``: compare the checksum of a file that has the original number of items; files of other lengths are taken
    as your own selection.

    Attributes: ``inputs``, float32 of shape (N, 1, 28, 28), exactly the grey level / 255; ``targets``, int64 of shape
    (N,); ``arrays``, both; ``classes``, the labels' names; ``split``; ``root``, the folder the files were read from.

    Raises ``FileNotFoundError`` where a given folder lacks a file, ``DatasetError`` (a ``ValueError``) naming the file
    that is damaged or inconsistent, ``DownloadError`` (an ``OSError``) where no mirror answers.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", CC BY-SA 3.0.

    >>> ds = MNIST("test")
    >>> ds
    MNIST(split='test'): 10000 images of 1 x 28 x 28, 10 classes
    >>> image, label = ds[0]
    >>> image.shape, label
    ((1, 28, 28), 7)
    """

    folder = "mnist"
    # Not yann.lecun.com, the files' first home: it has answered 403 for years.
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    splits: ClassVar[dict[str, tuple[IDXFile, IDXFile]]] = {
        "train": (
            IDXFile("train-images-idx3-ubyte", 60000, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            IDXFile("train-labels-idx1-ubyte", 60000, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        ),
        "test": (
            IDXFile("t10k-images-idx3-ubyte", 10000, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            IDXFile("t10k-labels-idx1-ubyte", 10000, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
    }
    classes = tuple("0123456789")
