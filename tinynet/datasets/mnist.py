"""MNIST and FashionMNIST, and the base class of grey-level image sets that come as IDX files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .idx import DatasetError, parse_idx, read_bytes
from .images import ImageSet


class IDXFile(NamedTuple):
    """An original file: its name without ``.gz``, its number of items, the SHA-256 of its uncompressed content if known."""

    name: str
    length: int
    sha256: str | None = None


class ImageIDX(ImageSet):
    """Base class of sets in two IDX files per split, images and labels; see ``ImageSet``, and ``MNIST`` for ``verify``."""

    splits: ClassVar[dict[str, tuple[IDXFile, IDXFile]]]
    others: ClassVar[dict[str, str]] = {}  # by SHA-256, files of the same names that belong to another set, which it names

    def __init__(self, split: str = "train", root: str | os.PathLike[str] | None = None, *, verify: bool = True):
        self._verify = verify
        super().__init__(split, root)

    def _fetch(self, file: IDXFile, path: Path) -> None:
        from .download import fetch  # not above: urllib and ssl take longer to import than all of this package

        assert file.sha256 is not None, "a set with mirrors has checksums"
        fetch([f"{m}{file.name}.gz" for m in self.mirrors], path, file.sha256)

    def _read(self, files: tuple[Any, ...], paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
        images, labels = (self._array(file, path) for file, path in zip(files, paths, strict=True))
        if images.ndim != 3:
            raise DatasetError(f"{paths[0]}: expected images of shape (N, height, width), got shape {images.shape}")
        if labels.ndim != 1:
            raise DatasetError(f"{paths[1]}: expected labels of shape (N,), got shape {labels.shape}")
        if len(images) != len(labels):
            raise DatasetError(
                f"{paths[1]}: {len(labels)} labels, but {paths[0]} has {len(images)} images; expected as many"
            )
        self._check_labels(labels, paths[1])
        return images[:, None], labels

    def _array(self, file: IDXFile, path: Path) -> np.ndarray:
        content = read_bytes(path)
        array = parse_idx(content, path)
        if array.dtype != np.uint8:
            raise DatasetError(f"{path}: expected unsigned bytes (IDX type code 0x08), got {array.dtype}")
        # A file of another length is the user's own choice of samples, for which there is no checksum.
        if self._verify and array.shape[:1] == (file.length,):
            found = hashlib.sha256(content).hexdigest()
            if found in self.others:
                raise DatasetError(f"{path}: this is the file of {self.others[found]}, not of {type(self).__name__}")
            if file.sha256 is not None and found != file.sha256:
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
    source = "https://ossci-datasets.s3.amazonaws.com/mnist/"
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


class FashionMNIST(ImageIDX):
    """70,000 pictures of clothes, 28 x 28 grey levels, 60,000 of them for training: MNIST's place, but harder.

    Arguments, attributes and errors are those of ``MNIST``, but nothing is downloaded: there is no checksum here to check
    the files by. Their names are MNIST's; ``root`` is the folder with the four of them, raw or ``.gz``, or one that holds it
    as ``fashion-mnist``. MNIST's own files are recognised, and refused.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", 2017, arXiv:1708.07747, MIT licence.
    """

    folder = "fashion-mnist"
    source = "https://github.com/zalandoresearch/fashion-mnist"
    mirrors = ()
    splits: ClassVar[dict[str, tuple[IDXFile, IDXFile]]] = {
        split: (IDXFile(images.name, images.length), IDXFile(labels.name, labels.length))
        for split, (images, labels) in MNIST.splits.items()
    }
    others: ClassVar[dict[str, str]] = {str(f.sha256): "MNIST" for files in MNIST.splits.values() for f in files}
    classes = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
