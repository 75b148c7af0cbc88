"""Convolution's ways: pieces, threads, images laid together, padding; what goes wrong is named."""

import re

import numpy as np
import pytest
from sampling import on_device as x

import tinynet as tn
import tinynet.functions as F
from tinynet.kernels import compiled, conv_team, team
from tinynet.kernels import conv as kernel
from tinynet.kernels.patches import Geometry
from tinynet.tensor import Tensor

RNG = np.random.default_rng(0)

# (batch, channels, outputs, size, kernel, stride, dilation, padding, groups)
CASES = [
    (37, 3, 4, (9, 7), (3, 3), (1, 1), (1, 1), (0, 0), 1),
    (19, 4, 6, (6, 7), (3, 2), (2, 1), (1, 2), (1, 2), 2),
    (5, 2, 3, (40,), (5,), (3,), (2,), (4,), 1),
    (7, 2, 2, (4, 5, 3), (2, 3, 2), (1, 2, 1), (2, 1, 1), (1, 1, 0), 2),
    (9, 8, 5, (6, 6), (1, 1), (1, 1), (1, 1), (0, 0), 1),
    (9, 8, 6, (6, 6), (1, 1), (2, 2), (1, 1), (0, 0), 2),
    (1, 2, 3, (12, 12), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (37, 3, 4, (9, 8), (3, 2), (2, 1), (1, 2), (1, 2), 1),
    (18, 3, 4, (9, 8), (1, 3), (2, 2), (1, 1), (0, 1), 1),
    (7, 2, 3, (5, 4, 6), (2, 3, 2), (1, 2, 1), (1, 1, 2), (1, 0, 1), 1),
]


def operands(case, dtype="float64"):
    n, channels, outputs, size, kernel_size, stride, dilation, padding, groups = case
    numbers = zip(size, kernel_size, stride, dilation, padding, strict=True)
    out = tuple((m + 2 * p - d * (k - 1) - 1) // s + 1 for m, k, s, d, p in numbers)
    at = Geometry(size, out, kernel_size, stride, dilation, padding, groups)
    shapes = (n, channels, *size), (outputs, channels // groups, *kernel_size), (outputs,), (n, outputs, *out)
    return at, *(RNG.standard_normal(shape).astype(dtype) for shape in shapes)


def everything(at, x, w, bias, g):
    """The three products, and the transposed convolution with a bias."""
    shift = np.arange(x.shape[1]).astype(x.dtype)
    return [
        kernel.conv(x, w, bias, at),
        kernel.conv(x, w, None, at),
        kernel.conv_weight(x, g, at),
        kernel.conv_input(g, w, None, at),
        kernel.conv_input(g, w, shift, at),
    ]


@pytest.fixture
def many_parts(monkeypatch):
    for module in (kernel, conv_team):
        monkeypatch.setattr(module, "WORTH_A_PART", 1.0)


WAYS = [("0", 0.0), ("0", 1e9), pytest.param("1", 0.0, marks=pytest.mark.skipif(not compiled.enabled(), reason="no Numba"))]


@pytest.mark.parametrize(("numba", "run"), WAYS, ids=["apart", "together", "compiled"])
@pytest.mark.parametrize("room", [2**20, 3000, 1], ids=["whole", "some rows", "one row"])
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.usefixtures("many_parts")
@pytest.mark.cpu  # the ways are those of a CPU
def test_every_way_of_going_about_it_gives_the_same(case, room, numba, run, monkeypatch):
    at, *arrays = operands(case)
    monkeypatch.setattr(compiled, "WANTED", False)
    expected = everything(at, *arrays)
    monkeypatch.setattr(compiled, "WANTED", numba != "0")
    monkeypatch.setattr(conv_team, "LEAST", 1)
    monkeypatch.setattr(conv_team, "PIECE", room)
    monkeypatch.setattr(kernel, "PIECE", room)
    monkeypatch.setattr(kernel, "COPY_RUN", run)
    monkeypatch.setattr(kernel, "ADD_RUN", run)
    if room == 2**20 and run and case[0] > 1:
        fits = len(at.out) > 1 and at.groups == at.dilation[0] == 1
        assert kernel._piece(arrays[0], case[2], at, run).together == fits
    for a, b in zip(everything(at, *arrays), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.usefixtures("many_parts")
@pytest.mark.cpu  # threads on a CPU
def test_the_number_of_threads_changes_no_bit(case, monkeypatch):
    at, *arrays = operands(case, "float32")
    results = []
    monkeypatch.setattr(conv_team, "LEAST", 1)
    loops = getattr(team.team(), "_loops", None)
    for number in "1234":
        monkeypatch.setenv("TINYNET_THREADS", number)
        if loops is not None:
            crew = team.Team(int(number), loops)
            monkeypatch.setattr(team, "team", lambda crew=crew: crew)
        results += [everything(at, *arrays) for _ in range(3)]
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("many_parts")
@pytest.mark.cpu  # NumPy's own settings
def test_numpy_is_left_as_it_was():
    before = np.getbufsize()
    at, *arrays = operands(CASES[0])
    everything(at, *arrays)
    assert np.getbufsize() == before
    with pytest.raises(ValueError):
        kernel.conv(arrays[0], arrays[1][:, :2], None, at)
    assert np.getbufsize() == before


@pytest.mark.cpu  # buffers are kept on a CPU
def test_a_result_is_not_a_buffer_that_is_used_again():
    at, a, w, bias, g = operands(CASES[0])
    first = everything(at, a, w, bias, g)
    kept = [y.copy() for y in first]
    everything(at, a + 1, w + 1, bias + 1, g + 1)
    for y, k in zip(first, kept, strict=True):
        np.testing.assert_array_equal(y, k)


@pytest.mark.parametrize("numba", [False, True])
def test_no_outputs_at_all(numba, monkeypatch):
    monkeypatch.setattr(compiled, "WANTED", compiled.WANTED and numba)
    a, w = Tensor(x(8, 4, 32, 32), requires_grad=True), Tensor(x(0, 4, 3, 3), requires_grad=True)
    y = F.conv2d(a, w, x(0))
    y.sum().backward()
    assert (y.shape, w.grad.shape) == ((8, 0, 30, 30), (0, 4, 3, 3))
    assert not a.grad.numpy().any()
    assert F.conv_transpose2d(a, x(4, 0, 3, 3)).shape == (8, 0, 34, 34)


def test_float16_is_rounded_once():
    a, w, b = (x(*shape, seed=s).astype("float16") for s, shape in enumerate([(2, 64, 5, 5), (3, 64, 3, 3), (3,)]))
    y = F.conv2d(a, w, b)
    exact = F.conv2d(a.astype("float64"), w.astype("float64"), b.astype("float64"))
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.numpy(), exact.numpy(), rtol=2**-11)


def test_a_nan_reaches_what_sees_it_and_nothing_else():
    a, w = x(1, 1, 5, 5), x(1, 1, 3, 3, seed=1)
    a.data[0, 0, 0, 0] = np.nan
    y = F.conv2d(a, w, padding=1).numpy()[0, 0]
    assert np.isnan(y[:2, :2]).all()
    assert np.isnan(y).sum() == 4


def test_same_is_the_size_that_went_in():
    for k in (1, 2, 3, 4):
        for d in (1, 2, 3):
            assert F.conv2d(x(1, 1, 7, 6), x(1, 1, k, k + 1), padding="same", dilation=d).shape == (1, 1, 7, 6)


def test_the_transpose_of_a_convolution():
    """<conv(a), g> = <a, conv_transpose(g)>, with one weight."""
    a, w, g = x(2, 3, 7, 6), x(4, 3, 3, 2, seed=1), x(2, 4, 4, 5, seed=2)
    y = F.conv2d(a, w, stride=(2, 1), padding=(1, 0))
    back = F.conv_transpose2d(g, w, stride=(2, 1), padding=(1, 0))
    assert y.shape == g.shape
    assert back.shape == a.shape
    np.testing.assert_allclose((y * g).sum().item(), (back * a).sum().item(), rtol=1e-12)


def test_fold_counts_how_often_a_pixel_is_seen():
    ones = F.unfold(tn.ones(1, 1, 4, 4), 3)
    assert F.fold(ones, 4, 3).numpy()[0, 0].tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]


def test_third_derivatives():
    """Every derivative is one of the three ops again."""
    a, w = Tensor(x(1, 2, 4, 4), requires_grad=True), Tensor(x(2, 2, 3, 3, seed=1), requires_grad=True)
    assert tn.gradcheck(lambda a, w: tn.grad((F.conv2d(a, w) ** 3).sum(), (a, w), create_graph=True), [a, w], order=2)


IMAGE, WEIGHT = tn.zeros(2, 4, 5, 6), tn.zeros(6, 4, 3, 3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: F.conv2d(IMAGE[0, 0], WEIGHT), "conv2d: x has shape (5, 6), expected (N, C, H, W), or (C, H, W) without"),
        (lambda: F.conv1d(IMAGE, WEIGHT), "conv1d: x has shape (2, 4, 5, 6), expected (N, C, L), or (C, L) without"),
        (lambda: F.conv2d(IMAGE, WEIGHT[0]), "conv2d: weight has shape (4, 3, 3), expected 4 axes, (out, in / groups, ker"),
        (lambda: F.conv2d(IMAGE[:, :3], WEIGHT), "has 3 channels, expected 4 for weight (6, 4, 3, 3)"),
        (lambda: F.conv2d(IMAGE, WEIGHT, groups=2), "x of shape (2, 4, 5, 6) has 4 channels, expected 8 for weight (6, 4, "),
        (lambda: F.conv2d(IMAGE, WEIGHT[:5, :2], groups=2), "conv2d: groups is 2, which does not divide the first axis of"),
        (lambda: F.conv2d(IMAGE, WEIGHT, groups=0), "conv2d: groups is 0, expected an integer of at least 1"),
        (lambda: F.conv2d(IMAGE, WEIGHT, tn.zeros(4)), "conv2d: bias has shape (4,), expected (6,), one for each output"),
        (lambda: F.conv2d(IMAGE, WEIGHT, tn.zeros(6, 1)), "conv2d: bias has shape (6, 1), expected (6,)"),
        (lambda: F.conv2d(IMAGE, WEIGHT, stride=0), "conv2d: stride is 0, expected an integer of at least 1 or 2 of them"),
        (lambda: F.conv2d(IMAGE, WEIGHT, stride=1.5), "conv2d: stride is 1.5, expected an integer"),
        (lambda: F.conv2d(IMAGE, WEIGHT, stride=(1, 2, 3)), "conv2d: stride is (1, 2, 3), expected an integer"),
        (lambda: F.conv2d(IMAGE, WEIGHT, stride=True), "conv2d: stride is True, expected an integer"),
        (lambda: F.conv2d(IMAGE, WEIGHT, padding=-1), "conv2d: padding is -1, expected an integer of at least 0"),
        (lambda: F.conv2d(IMAGE, WEIGHT, padding=np.ones(2, int)), "conv2d: padding is array([1, 1]), expected an integer"),
        (lambda: F.conv2d(IMAGE, WEIGHT, padding=(0, -2)), "conv2d: padding is (0, -2), expected an integer of at least 0"),
        (lambda: F.conv2d(IMAGE, WEIGHT, dilation=0), "conv2d: dilation is 0, expected an integer of at least 1"),
        (lambda: F.conv2d(IMAGE, WEIGHT, padding="full"), "conv2d: padding is 'full', expected numbers, 'same' or 'valid'"),
        (lambda: F.conv2d(IMAGE, WEIGHT, stride=2, padding="same"), "padding 'same' needs stride 1, got stride (2, 2)"),
        (lambda: F.conv2d(IMAGE[:, :, :2], WEIGHT), "the kernel of size (3, 3) is larger than the image of size (2, 6), pa"),
        (lambda: F.conv2d(IMAGE, WEIGHT, dilation=3), "the kernel of size (3, 3) (dilated: (7, 7)) is larger than the imag"),
        (lambda: F.conv2d(IMAGE, WEIGHT[:, :, :0]), "conv2d: kernel_size is (0, 3), expected an integer of at least 1"),
        (lambda: F.conv_transpose2d(IMAGE, WEIGHT), "has 4 channels, expected 6 for weight (6, 4, 3, 3)"),
        (lambda: F.conv_transpose2d(IMAGE[:, :3], WEIGHT[:3], groups=2), "groups is 2, which does not divide the first"),
        (lambda: F.conv_transpose2d(IMAGE, WEIGHT[:4], tn.zeros(6)), "bias has shape (6,), expected (4,)"),
        (lambda: F.conv_transpose2d(IMAGE, WEIGHT[:4], output_padding=1), "output_padding is (1, 1), expected less than st"),
        (lambda: F.conv_transpose2d(IMAGE, WEIGHT[:4], output_padding=-1), "output_padding is -1, expected an integer of a"),
        (lambda: F.conv_transpose2d(IMAGE, WEIGHT[:4], padding=4), "would come out with size (-1, 0); padding (4, 4) is to"),
        (lambda: F.conv_transpose1d(IMAGE, WEIGHT), "conv_transpose1d: x has shape (2, 4, 5, 6), expected (N, C, L), or (C"),
        (lambda: F.unfold(IMAGE[0, 0], 2), "unfold: x has shape (5, 6), expected (N, C, H, W), or (C, H, W) without a batc"),
        (lambda: F.unfold(IMAGE, (2, 0)), "unfold: kernel_size is (2, 0), expected an integer of at least 1 or 2 of them"),
        (lambda: F.unfold(IMAGE, 7), "unfold: the kernel of size (7, 7) is larger than the image of size (5, 6), padded: ("),
        (lambda: F.fold(IMAGE, 5, 2), "fold: x has shape (2, 4, 5, 6), expected (N, C * kh * kw, patches), or two axes"),
        (lambda: F.fold(IMAGE[0], 5, 2), "fold: x has shape (4, 5, 6), expected 16 columns of a multiple of 4 elements for"),
        (lambda: F.fold(IMAGE[0], 0, 2), "fold: output_size is 0, expected an integer of at least 1 or 2 of them"),
    ],
)  # fmt: skip
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        call()


def test_lists_and_numpy_numbers_are_taken():
    y = F.conv2d(x(1, 1, 4, 4), x(1, 1, 2, 2), stride=[2, 1], padding=np.int64(1), dilation=(np.int32(1), 1))
    np.testing.assert_array_equal(y.numpy(), F.conv2d(x(1, 1, 4, 4), x(1, 1, 2, 2), None, (2, 1), 1).numpy())
    assert F.conv1d([[1, 2, 3]], [[[1, 1]]]).tolist() == [[3, 5]]
    assert F.conv1d([[1, 2, 3]], [[[1, 1]]]).dtype == np.int64
