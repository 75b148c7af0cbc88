"""save and load: safetensors files, whole or not at all, believed only when their checksum comes out."""

import os
import re
import stat
import struct

import numpy as np
import pytest
import safetensors.numpy

import tinynet as tn


def tensors():
    rng = np.random.default_rng(0)
    return {
        "0.weight": rng.standard_normal((2, 3)).astype(np.float32),
        "0.bias": rng.standard_normal(3),
        "count": np.array(7),
        "mask": np.array([True, False]),
        "half": np.array([1.5], np.float16),
        "none": np.zeros((0, 4), np.float32),
        "größe": np.array([1], np.int8),
    }


def assert_equal(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert type(found[name]) is tn.Tensor
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name].numpy(), array)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


# --------------------------------------------------------------------------------------------------- there and back


def test_round_trip(path):
    tn.save(path, tensors())
    assert_equal(tn.load(path), tensors())
    tn.save(str(path), {name: tn.tensor(array) for name, array in tensors().items()})
    assert_equal(tn.load(str(path)), tensors())
    loaded = tn.load(path)["0.weight"]
    loaded.data[...] = 1  # an array of its own, that may be written into
    assert not loaded.requires_grad
    tn.save(path, {})
    assert tn.load(path) == {}


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12.0)[::2],
        np.arange(6.0).reshape(2, 3).T,
        np.arange(3, dtype=">f4"),
        np.broadcast_to(np.float32(2), (3, 2)),
        tn.Parameter(3.0),
        [1.0, 2.0],
        4,
    ],
    ids=["column-major", "strided", "transposed", "big-endian", "broadcast", "number", "list", "int"],
)
def test_arrays_of_every_layout(path, array):
    tn.save(path, {"x": array})
    found = tn.load(path)["x"]
    assert found.shape == np.shape(array)
    np.testing.assert_array_equal(found.numpy(), array.numpy() if isinstance(array, tn.Tensor) else np.asarray(array))
    assert found.dtype.isnative


@pytest.mark.parametrize("bad", [np.array([1j]), np.array(["a"]), np.array([None]), "text", None])
def test_what_cannot_be_saved(path, bad):
    tn.save(path, {"x": [1.0]})
    with pytest.raises(TypeError, match="save: 'bias': data: expected numbers, got an array of dtype"):
        tn.save(path, {"weight": [2.0], "bias": bad})
    assert tn.load(path)["x"].tolist() == [1.0]
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("tensors", "error", "problem"),
    [
        ({"__metadata__": 1.0}, ValueError, "save: '__metadata__' is the format's own name"),
        ({3: 1.0}, TypeError, "save: names are texts, got 3"),
        ({None: 1.0}, TypeError, "save: names are texts, got None"),
    ],
)
def test_names_that_cannot_be_saved(path, tensors, error, problem):
    """A file with an array of the first could be written, and never read."""
    tn.save(path, {"x": [1.0]})
    with pytest.raises(error, match=problem):
        tn.save(path, tensors)
    assert tn.load(path)["x"].tolist() == [1.0]


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="here the longest float is float64")
def test_a_dtype_that_safetensors_does_not_have(path):
    with pytest.raises(TypeError, match="save: 'x': safetensors has no "):
        tn.save(path, {"x": np.ones(2, np.longdouble)})


def test_files_move_to_and_from_safetensors(path):
    tn.save(path, tensors())
    for name, array in safetensors.numpy.load_file(path).items():
        np.testing.assert_array_equal(array, tensors()[name])
    safetensors.numpy.save_file(tensors(), path)  # without our checksum
    assert_equal(tn.load(path), tensors())
    safetensors.numpy.save_file(tensors(), path, {"format": "pt"})
    assert_equal(tn.load(path), tensors())


def test_a_dtype_that_numpy_does_not_have(path):
    header = b'{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\x80\x3f")
    with pytest.raises(ValueError, match=r"weights.safetensors' holds a dtype that NumPy does not have"):
        tn.load(path)


# ------------------------------------------------------------------------------------------------- damaged files


def test_every_flipped_byte_is_noticed(path):
    """Whichever byte of a file is changed: an error that names the file, or (white space) the same contents."""
    wanted = {"weight": np.arange(4, dtype=np.float32), "bias": np.array([1, 2], np.int16)}
    tn.save(path, wanted, {"epoch": "3"})
    content = path.read_bytes()
    for i in range(len(content)):
        for flip in (0x01, 0x10, 0x80):
            path.write_bytes(content[:i] + bytes([content[i] ^ flip]) + content[i + 1 :])
            found, problem = None, "weights.safetensors' "
            try:
                found = tn.load(path)
            except ValueError as error:
                problem = str(error)
            assert "weights.safetensors' " in problem, i
            if found is not None:
                assert_equal(found, wanted)


@pytest.mark.parametrize("keep", [0, 1, 8, 20, -100, -1])
def test_a_file_cut_off(path, keep):
    tn.save(path, tensors())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"weights.safetensors' is damaged, or not a safetensors file"):
        tn.load(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip file", b"\x80\x04\x95 a pickle.", b"\xff" * 100, b"text\n"])
def test_a_file_of_another_kind(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights.safetensors' is damaged, or not a safetensors file"):
        tn.load(path)


def test_swapped_arrays_and_changed_metadata_are_noticed(path):
    """The checksum covers names, shapes, dtypes and metadata, not the bytes alone."""
    tn.save(path, {"a": np.ones(4, np.float32), "b": np.zeros(4, np.float32)}, {"epoch": "3"})
    content = path.read_bytes()
    for old, new in [(b'"a"', b'"c"'), (b"[4]", b"[2]"), (b'"epoch":"3"', b'"epoch":"4"'), (b'"F32"', b'"I32"')]:
        assert old in content
        path.write_bytes(content.replace(old, new))
        with pytest.raises(ValueError, match="is damaged"):
            tn.load(path)


def test_no_file(tmp_path):
    for missing in (tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(FileNotFoundError, match=re.escape(f"no file of weights at {str(missing)!r}")):
            tn.load(missing)


# ----------------------------------------------------------------------------------------------- all or nothing


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(path, monkeypatch, step):
    tn.save(path, {"x": [1.0]})

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        tn.save(path, {"x": [2.0]})
    monkeypatch.undo()
    assert tn.load(path)["x"].tolist() == [1.0]
    assert os.listdir(path.parent) == [path.name]


def test_an_interrupt_leaves_nothing(path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tn.save(path, {"x": [2.0]})
    assert os.listdir(path.parent) == []


def test_the_file_is_never_seen_half_written(path, monkeypatch):
    """Until it is renamed, the new file stands beside the old one, complete and flushed."""
    tn.save(path, {"x": [1.0]})
    seen = []

    def watch(source, target, replace=os.replace):
        seen.append((tn.load(source)["x"].tolist(), tn.load(target)["x"].tolist()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watch)
    tn.save(path, {"x": [2.0]})
    assert seen == [([2.0], [1.0])]
    assert tn.load(path)["x"].tolist() == [2.0]


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_permissions_are_those_of_any_new_file(path):
    tn.save(path, {"x": [1.0]})
    plain = path.with_name("plain")
    plain.write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_file_that_is_replaced_keeps_its_permissions(path):
    """Weights that nobody else may read stay so."""
    tn.save(path, {"x": [1.0]})
    path.chmod(0o600)
    tn.save(path, {"x": [2.0]})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name == "nt", reason="links need a right there that not everybody has")
def test_a_link_stays_a_link(path):
    link = path.with_name("latest")
    link.symlink_to(path.name)
    for content in ([1.0], [2.0]):  # a file that is not there yet, and one that is
        tn.save(link, {"x": content})
        assert link.is_symlink()
        assert tn.load(path)["x"].tolist() == content
    assert sorted(os.listdir(path.parent)) == sorted([path.name, "latest"])


def test_what_is_no_file_is_not_replaced(path):
    places = [path.parent] if os.name == "nt" else [path.parent, path.with_name("pipe")]
    for place in places:
        if place != path.parent:
            os.mkfifo(place)
        with pytest.raises(OSError, match="is no file"):
            tn.save(place, {"x": [1.0]})
        assert not place.is_file()


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder '.*nowhere' to save 'weights' in"):
        tn.save(tmp_path / "nowhere" / "weights", {"x": [1.0]})


def test_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tn.save("weights", {"x": [1.0]})
    assert tn.load("weights")["x"].tolist() == [1.0]
    assert os.listdir() == ["weights"]


def test_metadata(path):
    tn.save(path, {"x": [1.0]}, {"license": "MIT"})
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
    assert metadata["license"] == "MIT"
    assert len(metadata["tinynet.sha256"]) == 64
