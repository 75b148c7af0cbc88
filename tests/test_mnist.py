"""MNIST: the real one, and its files here and there."""

import gzip

import numpy as np
import pytest
from idx_files import NAMES, REPOSITORY, idx_bytes, without_network, write

from tinynet.data import DataLoader, Dataset, Subset
from tinynet.datasets import MNIST, DatasetError, download, read_idx

pytestmark = pytest.mark.cpu  # files, read into NumPy arrays


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    without_network(monkeypatch, tmp_path)


# ------------------------------------------------------------------------------------------------ MNIST, the real one


@pytest.fixture(scope="module")
def digits():
    return MNIST("test", root=REPOSITORY / "datasets" / "mnist")


def test_mnist_sizes_and_values(digits):
    for split, n, counts in (("train", 60000, [5923, 6742, 5958, 6131]), ("test", 10000, [980, 1135, 1032, 1010])):
        ds = MNIST(split) if split == "train" else digits
        assert len(ds) == n
        assert ds.inputs.shape == (n, 1, 28, 28)
        assert ds.inputs.dtype == np.float32
        assert ds.inputs.min() == 0
        assert ds.inputs.max() == 1
        assert ds.targets.shape == (n,)
        assert ds.targets.dtype == np.int64
        assert np.bincount(ds.targets)[:4].tolist() == counts
        # The known mean and deviation of the training images are 0.1307 and 0.3081.
        if split == "train":
            assert float(ds.inputs.mean(dtype=np.float64)) == pytest.approx(0.1307, abs=1e-4)
            assert ds.targets[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]


def test_mnist_is_scaled_exactly(digits):
    raw = read_idx(REPOSITORY / "datasets" / "mnist" / "t10k-images-idx3-ubyte.gz")
    levels = (np.arange(256) / np.longdouble(255)).astype(np.float32)  # the nearest float32 to each of the quotients
    np.testing.assert_array_equal(digits.inputs[:, 0], levels[raw], strict=True)


def test_mnist_as_a_data_set(digits):
    image, label = digits[0]
    assert image.shape == (1, 28, 28)
    assert image.dtype == np.float32
    assert type(label) is int
    assert label == 7
    assert digits[-1][1] == digits.targets[-1]
    with pytest.raises(IndexError):
        digits[10000]
    assert digits.arrays[0] is digits.inputs
    assert digits.arrays[1] is digits.targets
    assert digits.classes == tuple("0123456789")
    assert repr(digits) == "MNIST(split='test'): 10000 images of 1 x 28 x 28, 10 classes"
    assert digits.root == REPOSITORY / "datasets" / "mnist"
    assert isinstance(digits, Dataset)


def test_mnist_through_the_loader(digits):
    x, y = next(iter(DataLoader(digits, 64)))
    assert np.shares_memory(x.numpy(), digits.inputs)  # the whole arrays are used, not the samples
    assert y.tolist() == digits.targets[:64].tolist()
    rows = np.arange(9999, 0, -7)
    for whole, label in DataLoader(Subset(digits, rows), len(rows), prefetch=1):
        np.testing.assert_array_equal(whole.numpy(), digits.inputs[rows], strict=True)
        assert label.tolist() == [digits[i][1] for i in rows]


def test_the_table_agrees_with_the_published_checksums():
    text = (REPOSITORY / "datasets" / "mnist" / "README.md").read_text()
    for files in MNIST.splits.values():
        for file in files:
            assert f"| {file.name} |" in text
            assert file.sha256 in text


# ------------------------------------------------------------------------------------- MNIST's files, here and there


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("inside", [".", "mnist"])
@pytest.mark.parametrize("by", ["root", "TINYNET_DATA"])
def test_a_given_folder(tmp_path, monkeypatch, split, compress, inside, by):
    images = write(tmp_path / inside, split, compress=compress)
    if by == "root":
        ds = MNIST(split, root=str(tmp_path))
    else:
        monkeypatch.setenv("TINYNET_DATA", str(tmp_path))
        ds = MNIST(split)
    np.testing.assert_array_equal(ds.inputs[:, 0], images / np.float32(255), strict=True)
    assert ds.targets.tolist() == [0, 1, 2]
    assert ds.root == tmp_path / inside


def test_raw_files_are_preferred_and_root_is_preferred_to_the_environment(tmp_path, monkeypatch):
    write(tmp_path, n=3, compress=True)
    write(tmp_path, n=4)
    assert len(MNIST("test", tmp_path)) == 4
    monkeypatch.setenv("TINYNET_DATA", str(tmp_path / "nowhere"))
    assert len(MNIST("test", tmp_path)) == 4
    monkeypatch.setenv("TINYNET_DATA", "")  # as good as not set
    assert len(MNIST("test")) == 10000


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "digits")
    assert len(MNIST("test", "~/digits")) == 3


@pytest.mark.parametrize("by", ["root", "TINYNET_DATA"])
def test_a_given_folder_that_lacks_a_file(tmp_path, monkeypatch, by):
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    arguments = {"root": tmp_path} if by == "root" else {}
    if not arguments:
        monkeypatch.setenv("TINYNET_DATA", str(tmp_path))
    monkeypatch.setattr(download, "fetch", lambda *a, **k: pytest.fail("downloaded into the user's folder"))
    with pytest.raises(FileNotFoundError) as caught:
        MNIST("test", **arguments)
    message = str(caught.value)
    for part in (by, str(tmp_path), "t10k-labels-idx1-ubyte[.gz]", "put them there", "give no folder"):
        assert part in message
    assert "t10k-images" not in message
    with pytest.raises(FileNotFoundError, match=r"train-images.* and train-labels"):
        MNIST("train", **arguments)


def test_an_unknown_split():
    with pytest.raises(ValueError, match="split: expected one of 'train', 'test', got 'validation'"):
        MNIST("validation")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": np.zeros(4, np.uint8)}, "labels-idx1-ubyte: 4 labels, but .*images-idx3-ubyte has 3 images"),
        ({"labels": np.array([0, 10, 1], np.uint8)}, "labels-idx1-ubyte: label 10 of item 1; expected 0 to 9"),
        ({"labels": np.zeros((3, 1), np.uint8)}, r"labels-idx1-ubyte: expected labels of shape \(N,\), got .*\(3, 1\)"),
        ({"labels": np.zeros(3, np.int32)}, "labels-idx1-ubyte: expected unsigned bytes .*got int32"),
        ({"images": np.zeros((3, 784), np.uint8)}, r"images-idx3-ubyte: expected images of shape .*got .*\(3, 784\)"),
        ({"images": np.zeros((3, 28, 28), np.float32)}, "images-idx3-ubyte: expected unsigned bytes .*got float32"),
        ({"images": np.zeros((), np.uint8)}, "images-idx3-ubyte: expected images"),
        ({"images": idx_bytes(np.zeros((3, 28, 28), np.uint8))[:-5]}, "images-idx3-ubyte: too short"),
    ],
)
def test_files_that_do_not_fit(tmp_path, arrays, message):
    write(tmp_path, **arrays)
    with pytest.raises(DatasetError, match=message):
        MNIST("test", tmp_path)


@pytest.mark.parametrize("wrong", ["images", "labels"])
def test_checksum_of_a_file_of_the_original_length(tmp_path, wrong):
    # The original files, but for one bit at the end of one of them.
    folder = REPOSITORY / "datasets" / "mnist"
    contents = [gzip.decompress((folder / f"{name}.gz").read_bytes()) for name in NAMES["test"]]
    which = 0 if wrong == "images" else 1
    contents[which] = contents[which][:-1] + bytes([contents[which][-1] ^ 1])
    write(tmp_path, images=contents[0], labels=contents[1])
    with pytest.raises(DatasetError, match=rf"{NAMES['test'][which]}: checksum: .*verify=False"):
        MNIST("test", tmp_path)
    assert len(MNIST("test", tmp_path, verify=False)) == 10000


def test_the_length_of_the_other_split_is_no_reason_for_a_checksum(tmp_path):
    write(tmp_path, "train", images=np.zeros((10000, 1, 1), np.uint8), labels=np.zeros(10000, np.uint8))
    assert len(MNIST("train", tmp_path)) == 10000


def test_an_empty_set(tmp_path):
    write(tmp_path, n=0)
    ds = MNIST("test", tmp_path)
    assert ds.inputs.shape == (0, 1, 28, 28)
    assert len(DataLoader(ds, 64)) == 0
