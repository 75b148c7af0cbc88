"""CIFAR-10, read from its binary version.

The one idea: a file is records of one length, a byte for the label and 3 x 32 x 32 for the image; so it is one reshape.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .idx import DatasetError, read_bytes
from .images import ImageSet

SHAPE = (3, 32, 32)  # the red, the green and the blue part, each in rows
RECORD = 1 + 3 * 32 * 32


class BinaryFile(NamedTuple):
    """A file of records, by its name without ``.gz``."""

    name: str


class CIFAR10(ImageSet):
    """60,000 colour photographs of ten kinds of things, 32 x 32, 50,000 of them for training.

    ``ds[i]`` is ``(image, label)``: a float32 array of shape (3, 32, 32) (red, green, blue) from 0 to 1, and an int from
    0 to 9.

    ``split``: ``"train"`` or ``"test"``. ``root``: the folder with the files of the *binary version* (``data_batch_1.bin``
    to ``data_batch_5.bin``, ``test_batch.bin``, raw or ``.gz``), or the one in which its archive was unpacked, which holds
    them as ``cifar-10-batches-bin``. Without ``root`` they are looked for as those of ``MNIST`` are, but not downloaded:
    there is no checksum here to check them by. The Python version consists of pickles, which could run any code, and is not
    read.

    Attributes: ``inputs``, float32 of shape (N, 3, 32, 32) (614 MB for training), exactly the byte / 255; ``targets``, int64
    of shape (N,); ``arrays``, both; ``classes``, the labels' names; ``split``; ``root``, the folder they were read from.

    Raises ``FileNotFoundError`` that says what to get and where to put it, ``DatasetError`` (a ``ValueError``) naming a file
    that is damaged.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """

    folder = "cifar-10-batches-bin"
    source = "https://www.cs.toronto.edu/~kriz/cifar.html, the binary version, not the Python one"
    splits: ClassVar[dict[str, tuple[BinaryFile, ...]]] = {
        "train": tuple(BinaryFile(f"data_batch_{i}.bin") for i in range(1, 6)),
        "test": (BinaryFile("test_batch.bin"),),
    }
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def _read(self, files: tuple[Any, ...], paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
        parts = []
        for path in paths:
            content = np.frombuffer(read_bytes(path), np.uint8)
            if content.size % RECORD:
                raise DatasetError(
                    f"{path}: {content.size} bytes, expected a multiple of {RECORD}, the length of a label and its image"
                )
            parts.append(content.reshape(-1, RECORD))
            self._check_labels(parts[-1][:, 0], path)
        records = np.concatenate(parts)
        return records[:, 1:].reshape(-1, *SHAPE), records[:, 0]
