"""FashionMNIST and CIFAR10, from small files made here: neither is downloaded, neither unpickles."""

import gzip

import numpy as np
import pytest
from idx_files import NAMES, REPOSITORY, write

from tinynet.data import DataLoader
from tinynet.datasets import CIFAR10, MNIST, DatasetError, FashionMNIST, download
from tinynet.datasets import images as image_sets

pytestmark = pytest.mark.cpu  # files, read into NumPy arrays

SETS = [FashionMNIST, CIFAR10]


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setattr(image_sets, "REPOSITORY_DATA", tmp_path / "checkout" / "datasets")
    monkeypatch.setattr(download, "fetch", lambda *a, **k: pytest.fail("something was downloaded"))


def write_cifar(folder, split="test", n=3, compress=False):
    """Files of the binary version with n records each, and what they should be read as."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    inputs, targets = [], []
    for k, name in enumerate(names):
        images = np.random.default_rng(k).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
        labels = [(3 * k + i) % 10 for i in range(n)]
        content = b"".join(bytes([label]) + image.tobytes() for label, image in zip(labels, images, strict=True))
        (folder / (f"{name}.gz" if compress else name)).write_bytes(gzip.compress(content) if compress else content)
        inputs.append(images)
        targets += labels
    return np.concatenate(inputs), targets


def write_fashion(folder, split="test", n=3, compress=False):
    return write(folder, split, n, compress)[:, None], [i % 10 for i in range(n)]


WRITE = {FashionMNIST: write_fashion, CIFAR10: write_cifar}
INSIDE = {FashionMNIST: "fashion-mnist", CIFAR10: "cifar-10-batches-bin"}


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_a_set_is_read_from_its_root(tmp_path, kind, split, compress, inside):
    folder = tmp_path / INSIDE[kind] if inside else tmp_path
    images, labels = WRITE[kind](folder, split, compress=compress)
    ds = kind(split, root=str(tmp_path))
    np.testing.assert_array_equal(ds.inputs, (images / 255).astype("float32"), strict=True)
    np.testing.assert_array_equal(ds.targets, np.array(labels, np.int64), strict=True)
    assert ds.root == folder
    assert len(ds) == len(labels)
    image, label = ds[1]
    np.testing.assert_array_equal(image, ds.inputs[1])
    assert type(label) is int
    assert label == labels[1]
    assert len(ds.classes) == 10
    assert repr(ds).startswith(f"{kind.__name__}(split={split!r}): {len(labels)} images of ")
    x, y = next(iter(DataLoader(ds, 2)))
    assert np.shares_memory(x.numpy(), ds.inputs)  # the whole arrays are used, not the samples
    assert y.tolist() == labels[:2]


@pytest.mark.parametrize("kind", SETS)
def test_places_where_it_is_looked_for(tmp_path, monkeypatch, kind):
    for n, place in enumerate(
        [tmp_path / "cache" / "tinynet", tmp_path / "datasets", tmp_path / "checkout" / "datasets"], 1
    ):
        WRITE[kind](place / INSIDE[kind], n=n)
        assert len(kind("test")) == n
    WRITE[kind](tmp_path / "own", n=7)
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path / "own"))
    assert len(kind("test")) == 7


@pytest.mark.parametrize("kind", SETS)
def test_what_is_missing_is_said_with_where_to_get_it_and_where_to_put_it(tmp_path, kind):
    files = [file.name for file in kind.splits["train"]]
    with pytest.raises(FileNotFoundError) as caught:
        kind("train")
    for part in (*files, kind.source, str(tmp_path / "datasets" / INSIDE[kind]), "root", "not downloaded"):
        assert part in str(caught.value)
    WRITE[kind](tmp_path, "train")
    (tmp_path / files[-1]).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        kind("train", root=tmp_path)
    for part in (f"the folder {tmp_path} has no {files[-1]}[.gz]", kind.source, "put them there"):
        assert part in str(caught.value)
    assert "downloaded" not in str(caught.value)
    assert files[0] not in str(caught.value)


def test_cifar_wants_the_binary_version(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"a pickle")
    with pytest.raises(FileNotFoundError, match="the binary version, not the Python one"):
        CIFAR10("train", tmp_path)


@pytest.mark.parametrize("kind", SETS)
def test_an_unknown_split(kind):
    with pytest.raises(ValueError, match="split: expected one of 'train', 'test', got 'valid'"):
        kind("valid")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c[:-1], "9218 bytes, expected a multiple of 3073"),
        (lambda c: c + b"\0", "9220 bytes"),
        (lambda c: c[:3073] + b"\x0a" + c[3074:], "label 10 of item 1; expected 0 to 9"),
        (lambda c: gzip.compress(c)[:-9], "damaged or incomplete gzip file"),
    ],
)
def test_a_damaged_file_of_cifar(tmp_path, change, says):
    write_cifar(tmp_path, "train")
    path = tmp_path / "data_batch_3.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DatasetError, match=rf"data_batch_3\.bin: .*{says}"):
        CIFAR10("train", tmp_path)


def test_an_empty_file_of_cifar(tmp_path):
    write_cifar(tmp_path, n=0)
    assert CIFAR10("test", tmp_path).inputs.shape == (0, 3, 32, 32)


def test_a_damaged_file_of_fashion_mnist(tmp_path):
    write(tmp_path, labels=np.array([0, 11, 1], np.uint8))
    with pytest.raises(DatasetError, match="t10k-labels-idx1-ubyte: label 11 of item 1; expected 0 to 9"):
        FashionMNIST("test", tmp_path)


def test_the_files_of_mnist_have_the_same_names_and_are_refused(tmp_path):
    digits = REPOSITORY / "datasets" / "mnist"
    with pytest.raises(DatasetError, match=r"t10k-images-idx3-ubyte\.gz: this is the file of MNIST, not of FashionMNIST"):
        FashionMNIST("test", digits)
    assert len(FashionMNIST("test", digits, verify=False)) == 10000
    write(tmp_path, images=np.zeros((10000, 1, 1), np.uint8), labels=np.zeros(10000, np.uint8))
    assert len(FashionMNIST("test", tmp_path)) == 10000  # of the original length, with no checksum to hold against it
    assert [file.name for file in FashionMNIST.splits["test"]] == list(NAMES["test"])
    assert MNIST.classes != FashionMNIST.classes
