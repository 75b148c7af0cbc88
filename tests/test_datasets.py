"""The IDX reader, the checked download (from a server in this process) and MNIST."""

import gzip
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tinynet.data import DataLoader, Dataset, Subset
from tinynet.datasets import MNIST, DatasetError, download, mnist, read_idx
from tinynet.datasets import images as image_sets
from tinynet.datasets.download import DownloadError, fetch

pytestmark = pytest.mark.cpu  # files, read into NumPy arrays

REPOSITORY = Path(__file__).resolve().parents[1]
CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
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


# -------------------------------------------------------------------------------------------------------------- idx


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(), (5,), (0,), (2, 3), (2, 0, 4), (2, 1, 3, 2, 1)])
@pytest.mark.parametrize("compress", [False, True])
def test_read_idx_every_type_and_shape(tmp_path, dtype, shape, compress):
    array = (np.random.default_rng(0).standard_normal(shape) * 50).astype(np.int8).astype(dtype)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(idx_bytes(array)) if compress else idx_bytes(array))
    result = read_idx(path)
    np.testing.assert_array_equal(result, array, strict=True)
    assert result.dtype.isnative
    assert result.flags.writeable
    np.testing.assert_array_equal(read_idx(str(path)), array)


GOOD = idx_bytes(np.arange(6, dtype=np.int16).reshape(2, 3))
ZIPPED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file: .*found b'', 0 bytes in all"),
        (b"\0\0\x08", "not an IDX file"),
        (b"<!DOCTYPE html>", "not an IDX file: .*found b'<!DO'"),
        (b"\0\x01" + GOOD[2:], "not an IDX file"),
        (b"\0\0\x0a" + GOOD[3:], "unknown IDX type code 0x0a; expected one of 0x08, 0x09, 0x0b"),
        (GOOD[:11], "header cut short: 2 dimensions take 12 bytes, the file has 11"),
        (GOOD[:4], "header cut short"),
        (GOOD[:-1], r"too short: .*int16 of shape \(2, 3\), 12 bytes of data, but 11 follow"),
        (GOOD[:12], "too short: .*12 bytes of data, but 0 follow"),
        (GOOD + b"\0", "too long: .*12 bytes of data, but 13 follow"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"x", "which NumPy cannot hold"),
        (b"\0\0\x08\x04" + b"\xff" * 12 + b"\0" * 4, "which NumPy cannot hold"),
        (ZIPPED[:-9], "damaged or incomplete gzip file"),
        (ZIPPED[:5], "damaged or incomplete gzip file"),
        (ZIPPED[:20] + b"\xff\xff" + ZIPPED[22:], "damaged or incomplete gzip file"),
        (ZIPPED[:-8] + b"\0" * 4 + ZIPPED[-4:], "damaged or incomplete gzip file .*CRC"),
        (ZIPPED + b"more", "damaged or incomplete gzip file"),
        (gzip.compress(GOOD[:-2]), "too short"),
        (gzip.compress(b"<html>"), "not an IDX file"),
    ],
)
def test_read_idx_names_the_file_and_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "digits.idx"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"digits\.idx: .*{message}"):
        read_idx(path)
    assert issubclass(DatasetError, ValueError)


def test_read_idx_without_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        read_idx(tmp_path / "absent")


# --------------------------------------------------------------------------------------------------------- download


CONTENT = b"digits " * 5000
FILE = gzip.compress(CONTENT)
SHA = hashlib.sha256(CONTENT).hexdigest()
CUT = object()


class Server:
    """Answers each path with the next item of its list: a status number, a file's bytes, or CUT for half a file."""

    def __init__(self):
        self.answers: dict[str, list] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                answers = outer.answers[self.path]
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if isinstance(answer, int):
                    self.send_error(answer)
                    return
                body = FILE if answer is CUT else answer
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if answer is CUT else body)

            def log_message(self, *args):
                pass

        self.http = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
        self.thread.start()

    def url(self, path, *answers):
        self.answers[path] = list(answers)
        return f"http://127.0.0.1:{self.http.server_port}{path}"

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def pauses(monkeypatch):
    """What would have been slept."""
    pauses: list[float] = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    return pauses


def test_fetch_puts_the_file_in_its_place(server, tmp_path, capfd):
    path = tmp_path / "new" / "folder" / "file.gz"
    fetch([server.url("/good", FILE)], path, SHA.upper())
    assert path.read_bytes() == FILE
    assert os.listdir(path.parent) == ["file.gz"]
    fetch([server.url("/plain", CONTENT)], path, SHA)  # over the old file; the checksum is that of the content
    assert path.read_bytes() == CONTENT
    assert capfd.readouterr() == ("", "")  # no progress bar where nobody looks


@pytest.mark.parametrize("first", [404, 403, gzip.compress(b"other"), b"<html>"])
def test_fetch_goes_to_the_next_mirror(server, tmp_path, pauses, first):
    fetch([server.url("/a", first), server.url("/b", FILE)], tmp_path / "file.gz", SHA)
    assert (tmp_path / "file.gz").read_bytes() == FILE
    assert server.asked == ["/a", "/b"]
    assert pauses == []


@pytest.mark.parametrize("trouble", [CUT, 500, 503, 429, FILE[:-20]])
def test_fetch_tries_again(server, tmp_path, pauses, trouble):
    fetch([server.url("/a", trouble, trouble, FILE)], tmp_path / "file.gz", SHA, backoff=0.5)
    assert (tmp_path / "file.gz").read_bytes() == FILE
    assert server.asked == ["/a"] * 3
    assert pauses == [0.5, 1.0]
    assert os.listdir(tmp_path) == ["file.gz"]


def test_fetch_gives_up_with_every_failure(server, tmp_path, pauses):
    path = tmp_path / "file.gz"
    wrong = gzip.compress(b"other")
    urls = [server.url("/gone", 404), server.url("/cut", CUT), server.url("/wrong", wrong), server.url("/ill", 500)]
    urls.append("http://127.0.0.1:9/refused")
    with pytest.raises(DownloadError) as caught:
        fetch(urls, path, SHA, attempts=2)
    message = str(caught.value)
    lines = message.splitlines()
    assert [line.strip().split(": ")[0] for line in lines[1:-1]] == urls
    for line, failure in zip(
        lines[1:-1], ("404", r"IncompleteRead|after \d+ of \d+ bytes", "SHA-256", "500", "refused"), strict=True
    ):
        assert re.search(failure, line.split(": ", 1)[1])
    assert hashlib.sha256(b"other").hexdigest() in message
    assert f"put the file at {path}" in lines[-1]
    assert SHA in lines[-1]
    assert server.asked == ["/gone", "/cut", "/wrong", "/ill", "/cut", "/ill"]
    assert pauses == [1.0]
    assert os.listdir(tmp_path) == []
    assert isinstance(caught.value, OSError)


def test_fetch_keeps_an_older_file_when_it_fails(server, tmp_path, pauses):
    path = tmp_path / "file.gz"
    path.write_bytes(b"older")
    with pytest.raises(DownloadError):
        fetch([server.url("/a", CUT)], path, SHA)
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["file.gz"]


@pytest.mark.parametrize("where", ["tqdm", "read_bytes"])
def test_fetch_interrupted_leaves_nothing(server, tmp_path, monkeypatch, where):
    def interrupt(*args, **keywords):
        assert any(name.endswith(".part") for name in os.listdir(tmp_path))
        raise KeyboardInterrupt

    monkeypatch.setattr(download, where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch([server.url("/a", FILE)], tmp_path / "file.gz", SHA)
    assert os.listdir(tmp_path) == []


def test_fetch_does_not_wait_for_ever(tmp_path, pauses, monkeypatch):
    import socket

    waits, create = [], socket.create_connection

    def connect(address, timeout=None, *rest):
        waits.append(timeout)
        return create(address, timeout, *rest)

    monkeypatch.setattr(socket, "create_connection", connect)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(DownloadError, match=r"[Tt]ime"):
            fetch([url], tmp_path / "file.gz", SHA, timeout=0.05, attempts=1)
    assert waits == [0.05]


def test_importing_the_data_sets_does_not_import_the_download():
    code = "import sys, tinynet.datasets; sys.exit('tinynet.datasets.download' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


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


NAMES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")}
NAMES["test"] = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


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


# --------------------------------------------------------------------------------------------------- cache, download


class Tiny(mnist.ImageIDX):
    """What a further image set is: one table."""

    folder = "tiny"
    images = idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 2, 2))
    labels = idx_bytes(np.array([1, 0, 1], np.uint8))
    splits = {
        "train": (
            mnist.IDXFile("tiny-images", 3, hashlib.sha256(images).hexdigest()),
            mnist.IDXFile("tiny-labels", 3, hashlib.sha256(labels).hexdigest()),
        )
    }
    classes = ("cat", "dog")


def serve(server, monkeypatch, labels=Tiny.labels):
    for name, content in (("images", Tiny.images), ("labels", labels)):
        server.url(f"/gone/tiny-{name}.gz", 404)
        base = server.url(f"/here/tiny-{name}.gz", gzip.compress(content)).rsplit("/here", 1)[0]
    monkeypatch.setattr(Tiny, "mirrors", (f"{base}/gone/", f"{base}/here/"), raising=False)


def test_missing_files_are_downloaded_once_into_the_cache(server, monkeypatch, tmp_path):
    serve(server, monkeypatch)
    ds = Tiny()
    assert ds.root == tmp_path / "cache" / "tinynet" / "tiny"
    assert sorted(os.listdir(ds.root)) == ["tiny-images.gz", "tiny-labels.gz"]
    assert ds.targets.tolist() == [1, 0, 1]
    assert repr(ds) == "Tiny(split='train'): 3 images of 1 x 2 x 2, 2 classes"
    assert server.asked == [f"/{m}/tiny-{f}.gz" for f in ("images", "labels") for m in ("gone", "here")]
    Tiny()
    (ds.root / "tiny-labels.gz").unlink()
    Tiny()
    assert server.asked[4:] == ["/gone/tiny-labels.gz", "/here/tiny-labels.gz"]


def test_a_wrong_download_is_never_put_into_the_cache(server, monkeypatch, tmp_path, pauses):
    serve(server, monkeypatch, labels=idx_bytes(np.array([1, 1, 1], np.uint8)))
    with pytest.raises(DownloadError, match=r"could not download tiny-labels\.gz"):
        Tiny()
    assert os.listdir(tmp_path / "cache" / "tinynet" / "tiny") == ["tiny-images.gz"]


def test_a_damaged_file_in_the_cache_is_reported(server, monkeypatch):
    serve(server, monkeypatch)
    (Tiny().root / "tiny-labels").write_bytes(idx_bytes(np.array([1, 1, 1], np.uint8)))
    with pytest.raises(DatasetError, match="tiny-labels: checksum"):
        Tiny()


def test_the_repository_comes_before_the_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(image_sets, "REPOSITORY_DATA", tmp_path / "checkout" / "datasets")
    write(tmp_path / "cache" / "tinynet" / "mnist", n=5)
    assert len(MNIST("test")) == 5
    write(tmp_path / "datasets" / "mnist", n=4)  # of the folder one stands in, for a tinynet installed elsewhere
    assert len(MNIST("test")) == 4
    write(tmp_path / "checkout" / "datasets" / "mnist", n=3)
    assert len(MNIST("test")) == 3


def test_without_files_and_without_network(monkeypatch, tmp_path, pauses):
    monkeypatch.setattr(image_sets, "REPOSITORY_DATA", tmp_path / "absent")
    with pytest.raises(DownloadError) as caught:
        MNIST("test")
    for part in (*MNIST.mirrors, str(tmp_path / "cache" / "tinynet" / "mnist" / "t10k-images-idx3-ubyte.gz")):
        assert part in str(caught.value)


def test_the_cache_folder_of_each_system(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    if sys.platform != "win32":
        assert image_sets.cache_folder() == tmp_path / "cache" / "tinynet"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert image_sets.cache_folder() == tmp_path / ".cache" / "tinynet"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        assert image_sets.cache_folder() == tmp_path / "local" / "tinynet"


def test_real_mirrors():
    code = "from tinynet.datasets import MNIST; print(*MNIST.mirrors)"
    out = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    assert all(url.startswith("https://") and url.endswith("/mnist/") for url in out.split())
    assert "lecun" not in out
