"""The IDX reader, the checked download, from a server in this process, and the cache that it fills."""

import gzip
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from idx_files import CODES, REPOSITORY, idx_bytes, without_network, write

from tinynet.datasets import MNIST, DatasetError, download, mnist, read_idx
from tinynet.datasets import images as image_sets
from tinynet.datasets.download import DownloadError, fetch

pytestmark = pytest.mark.cpu  # files, read into NumPy arrays


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    without_network(monkeypatch, tmp_path)


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
