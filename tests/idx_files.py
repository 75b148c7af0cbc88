"""What the tests of data sets share: no network, and small IDX files."""

import gzip
from pathlib import Path

import numpy as np

from tinynet.datasets import MNIST, mnist

REPOSITORY = Path(__file__).resolve().parents[1]
CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
NAMES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")}
NAMES["test"] = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def without_network(monkeypatch, tmp_path):
    """No test sees this machine's own settings, cache or proxies, and none leaves it."""
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    unreachable = ("http://127.0.0.1:9/first/", "http://127.0.0.1:9/second/")
    monkeypatch.setattr(mnist.ImageIDX, "mirrors", unreachable, raising=False)
    monkeypatch.setattr(MNIST, "mirrors", unreachable)


def idx_bytes(array):
    """An IDX file's content, written from its description and not with the reader's tables."""
    array = np.asarray(array)
    header = bytes([0, 0, CODES[array.dtype.name], array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(folder, split="test", n=3, compress=False, images=None, labels=None):
    """A small set of the user's own; returns its inputs."""
    rng = np.random.default_rng(n)
    images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) if images is None else images
    labels = (np.arange(n) % 10).astype(np.uint8) if labels is None else labels
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(NAMES[split], (images, labels), strict=True):
        content = array if isinstance(array, bytes) else idx_bytes(array)
        path = folder / f"{name}.gz" if compress else folder / name
        path.write_bytes(gzip.compress(content) if compress else content)
    return images
