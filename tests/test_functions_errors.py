"""Bad input: an error of the right kind that names the function and what is wrong with which operand."""

import sys

import numpy as np
import pytest
from sampling import settled, words, x

import tinynet.functions as F
from tinynet.backend import DeviceError
from tinynet.creation import ones
from tinynet.tensor import Parameter, Tensor

ROWS = Tensor(x(2, 3))  # float64 (2, 3)
CUBE = Tensor(x(2, 3, 4))
FOUR = Tensor(x(4, 3))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        # shapes that do not fit
        (lambda: ROWS + Tensor(x(4)), ValueError, r"add\(float64 \(2, 3\), float64 \(4,\)\)"),
        (lambda: F.where([True, False], ROWS, 0.0), ValueError, r"where\(bool \(2,\), float64 \(2, 3\)"),
        (lambda: ROWS @ Tensor(x(2, 3)), ValueError, r"matmul\(float64 \(2, 3\), float64 \(2, 3\)\)"),
        (lambda: ROWS @ Tensor(x(2)), ValueError, r"matmul\(float64 \(2, 3\)"),
        (lambda: ROWS @ 2.0, ValueError, r"matmul: .* shapes \(2, 3\) and \(\); use \*"),
        (lambda: F.dot(ROWS, Tensor(x(2))), ValueError, "matmul"),
        (lambda: F.linear(Tensor(x(5, 4)), Tensor(x(2, 3))), ValueError, r"linear: x of shape \(5, 4\) should end in 3"),
        (lambda: F.linear(ones(5, 3), ones(2, 3), ones(4)), ValueError, r"linear.*\(5, 3\).*\(2, 3\).*\(4,\)"),
        (lambda: F.tensordot(ROWS, FOUR, 1), ValueError, r"tensordot: axes \[1\] of .*\(2, 3\) and \[0\] of .*\(4, 3\)"),
        (lambda: F.einsum("ij,jk->ik", ROWS, Tensor(x(4, 2))), ValueError, r"einsum\(float64 \(2, 3\), float64 \(4, 2\)\)"),
        (lambda: F.einsum("ii->i", ROWS), ValueError, r"einsum: name 'i' stands for two lengths .* \(2, 3\)"),
        (lambda: F.einsum("ijk->i", ROWS), ValueError, r"einsum: 'ijk' .* does not fit operand 0 of 2 axes"),
        (lambda: F.einsum("i->i", ROWS), ValueError, r"einsum: 'i' .* operand 0 of 2 axes"),
        (lambda: F.einsum("ij,jk", ROWS), ValueError, r"einsum: 'ij,jk' names 2 operands, got 1"),
        (lambda: F.einsum("ij->ik", ROWS), ValueError, "einsum: the output of 'ij->ik'"),
        (lambda: F.einsum("ij->ii", ROWS), ValueError, "einsum: the output of 'ij->ii'"),
        (lambda: ROWS.reshape(4, 2), ValueError, r"reshape\(float64 \(2, 3\)\).*\(4,\s?2\)"),
        (lambda: ROWS.broadcast_to((2, 4)), ValueError, r"broadcast_to\(float64 \(2, 3\)\).*\(2,\s?4\)"),
        (lambda: ROWS.squeeze(0), ValueError, r"squeeze: axis 0 of shape \(2, 3\) has length 2"),
        (lambda: F.stack([Tensor(x(2)), Tensor(x(3))]), ValueError, r"stack: .* one shape, got shapes \[\(2,\), \(3,\)\]"),
        (lambda: F.stack([]), ValueError, "stack: expected one or more"),
        (lambda: F.concatenate([]), ValueError, "concatenate: arrays is empty"),
        (lambda: F.concatenate([ones(2, 3), ones(2, 2)]), ValueError, r"concatenate\(float32 \(2, 3\), float32 \(2, 2\)\)"),
        (lambda: ROWS.split(2, axis=1), ValueError, "split: axis 1 of length 3 cannot be cut into 2 equal parts"),
        (lambda: ROWS.split(0), ValueError, "split: .* 0 equal parts"),
        (lambda: F.glu(ROWS), ValueError, r"glu: axis -1 of shape \(2, 3\) has odd length 3"),
        (lambda: F.cosine_similarity(ROWS, FOUR), ValueError, r"cosine_similarity: x1 of shape \(2, 3\) and x2 of \(4, 3\)"),
        (lambda: ROWS.take_along_axis([0], 1), ValueError, "take_along_axis: indices have 1 axes, expected 2"),
        # axes
        (lambda: CUBE.moveaxis((0, 1), (0, 0)), ValueError, r"moveaxis: source \(0, 1\) and destination \(0, 0\)"),
        (lambda: CUBE.moveaxis((0, 0), (0, 1)), ValueError, r"moveaxis: source \(0, 0\)"),
        (lambda: CUBE.moveaxis((0,), (0, 1)), ValueError, r"moveaxis: source \(0,\)"),
        (lambda: CUBE.expand_dims((0, 0)), ValueError, r"expand_dims: axis \(0, 0\) names one position twice"),
        (lambda: CUBE.flatten(2, 1), ValueError, "flatten: start_axis 2 comes after end_axis 1"),
        (lambda: CUBE.transpose(0, 1), ValueError, r"transpose\(float64 \(2, 3, 4\)\)"),
        (lambda: F.diagonal(CUBE, 0, 1, -2), ValueError, "diagonal: axis1 and axis2 are both 1"),
        (lambda: F.diagonal(CUBE, 0, 1, 3), ValueError, "diagonal: axis 3 is out of bounds for an array of 3 axes"),
        (lambda: F.stack([ROWS, ROWS], 3), ValueError, "stack: axis 3 is out of bounds for an array of 3 axes"),
        (lambda: F.sort(Tensor(1.0)), ValueError, "sort: axis -1 is out of bounds for an array of 0 axes"),
        (lambda: F.concatenate(ROWS, ROWS), TypeError, "concatenate: axis is of type Tensor, expected an integer"),
        (lambda: F.stack(ROWS, ROWS), TypeError, "stack: axis is of type Tensor"),
        (lambda: CUBE.expand_dims(1.5), TypeError, "expand_dims: axis is of type float, expected an integer"),
        (lambda: CUBE.squeeze("1"), TypeError, "squeeze: axis is of type str"),
        (lambda: F.sort(CUBE, (0, 1)), TypeError, "sort: axis is of type tuple"),
        (lambda: CUBE.sum(axis=(0, 0)), ValueError, r"sum\(float64 \(2, 3, 4\)\).*duplicate"),
        # indices
        (lambda: ROWS[2], IndexError, r"getitem\(float64 \(2, 3\)\): index 2 is out of bounds for axis 0 with size 2"),
        (lambda: ROWS[0, 0, 0], IndexError, r"getitem\(float64 \(2, 3\)\): too many indices"),
        # CuPy, which picks the elements on a GPU, counts on from the other end
        pytest.param(lambda: ROWS[[0, 5]], IndexError, "getitem.*index 5", marks=pytest.mark.cpu),
        (lambda: ROWS[0.5], IndexError, "getitem"),
        (lambda: ROWS[Tensor([True] * 3)], IndexError, "getitem.*boolean index"),
        (lambda: ROWS.take([0, 7], axis=1), IndexError, "index 7 is out of bounds for axis 1 with size 3"),
        (lambda: ROWS.take_along_axis([[3]], 1), IndexError, "index 3"),
        (lambda: F.one_hot([0, 3], 3), IndexError, r"one_hot: id 3 is outside \[0, 3\)"),
        (lambda: F.one_hot([0, -1], 3), IndexError, "one_hot: id -1"),
        (lambda: F.one_hot([0.5], 3), TypeError, "one_hot: ids must be integers, got float32"),
        # numbers and names of options
        (lambda: F.pad(ROWS, -1), ValueError, "pad: pad_width is -1"),
        (lambda: F.pad(ROWS, 1.5), ValueError, "pad: pad_width is 1.5"),
        (lambda: F.pad(ROWS, (1, 2, 3)), ValueError, r"pad: pad_width is \(1, 2, 3\), .* or 2 pairs"),
        (lambda: F.pad(ROWS[:, :0], 1, mode="mean"), ValueError, r"pad: axis 1 of x of .*, 0\) is empty: .* 'mean'"),
        (lambda: F.pad(ROWS, 0, mode="mirror"), ValueError, "pad: unknown mode 'mirror'"),
        (lambda: ROWS.repeat([1, 2], axis=1), ValueError, r"repeat: repeats is \[1, 2\], expected .* 3"),
        (lambda: ROWS.repeat(-1), ValueError, "repeat: repeats is -1"),
        (lambda: ROWS.topk(4), ValueError, "topk: k is 4, expected an integer between 0 and 3"),
        (lambda: ROWS.topk(-1), ValueError, "topk: k is -1"),
        (lambda: ROWS.topk(2.0), ValueError, r"topk: k is 2\.0, expected an integer between 0 and 3"),
        (lambda: ROWS.norm("fro"), ValueError, "norm: ord is 'fro', expected a number, inf or -inf"),
        (lambda: F.einsum(ROWS, "ij"), TypeError, "einsum: subscripts is of type Tensor, expected a string"),
        (lambda: ROWS.clip(), ValueError, "clip: a_min and a_max are both None"),
        (lambda: ROWS.norm(0), ValueError, "norm: ord=0"),
        (lambda: F.gelu(ROWS, approximate="fast"), ValueError, "gelu: approximate is 'fast'"),
        (lambda: F.dropout(ROWS, 1.5), ValueError, "dropout: p is 1.5"),
        (lambda: F.dropout(ROWS, float("nan")), ValueError, "dropout: p is nan"),
        (lambda: ROWS.astype("complex64"), TypeError, "astype: .* complex64"),
        (lambda: Tensor([1, 2]) ** -1, ValueError, "pow.*negative integer powers"),
        # what is no array
        (lambda: ROWS + None, TypeError, r"add\(float64 \(2, 3\), NoneType\)"),
        (lambda: ROWS + "1", TypeError, r"add\(float64 \(2, 3\), str\)"),
        (lambda: ROWS + 1j, TypeError, r"add\(float64 \(2, 3\), complex\): the result is complex128, expected floats"),
        pytest.param(
            lambda: F.where(ROWS > 0, ROWS, "a"), TypeError, r"where\(.*, str\): the result is <U", marks=pytest.mark.cpu
        ),
        (lambda: F.relu(None), AttributeError, r"relu\(NoneType\)"),
        (lambda: F.linear(ROWS, None), AttributeError, r"linear\(float64 \(2, 3\), NoneType, NoneType\)"),
        pytest.param(
            lambda: Tensor(np.ones(2, "uint8")) + 300, OverflowError, r"add\(uint8 .* 300", marks=pytest.mark.cpu
        ),
        (lambda: F.exp("text"), TypeError, "exp"),
        (lambda: F.softsign(["a"]), TypeError, "expected numbers"),
        # arguments
        (lambda: F.softmax(ROWS, dim=1), TypeError, "softmax: unexpected argument 'dim'"),
        (lambda: F.exp(), TypeError, "exp: missing argument 'x'"),
        (lambda: F.exp(ROWS, ROWS), TypeError, "exp: takes 1 arguments, got 2"),
        (lambda: F.reshape(ROWS), TypeError, "reshape: missing argument 'shape'"),
        (lambda: F.softplus(ROWS, 2.0, beta=3.0), TypeError, "softplus: got 'beta' twice"),
        (lambda: F.elu(ROWS, alpha=Parameter(1.0)), TypeError, "elu: alpha is a Tensor that requires a gradient"),
    ],
)  # fmt: skip
def test_bad_input(call, error, says):
    with pytest.raises(error, match=says):
        settled(call)


WITH_AXIS = words(
    "sum prod mean var std max min argmax argmin logsumexp norm any all cumsum cumprod expand_dims squeeze flip sort "
    "argsort softmax log_softmax glu"
)


@pytest.mark.parametrize("name", WITH_AXIS)
@pytest.mark.parametrize("axis", [3, -4, 7])
def test_an_axis_that_is_not_there_is_named(name, axis):
    axis += (axis > 0) - (axis < 0) if name == "expand_dims" else 0  # where the result's axes count
    with pytest.raises(np.exceptions.AxisError, match=f"{name}.* {axis} is out of bounds"):
        getattr(F, name)(CUBE, axis=axis)


@pytest.mark.parametrize(
    "call",
    [
        lambda: F.concatenate([ROWS, ROWS], axis=2),
        lambda: F.stack([ROWS, ROWS], axis=3),
        lambda: ROWS.split(1, axis=2),
        lambda: ROWS.repeat(2, axis=2),
        lambda: ROWS.take([0], axis=2),
        lambda: ROWS.take_along_axis([[0]], 2),
        lambda: ROWS.topk(1, axis=2),
        lambda: ROWS.swapaxes(0, 2),
        lambda: ROWS.moveaxis(2, 0),
        lambda: ROWS.diagonal(0, 0, 2),
        lambda: ROWS.roll(1, 2),
        lambda: ROWS.flatten(0, 2),
        lambda: F.tensordot(ROWS, Tensor(x(3, 2)), ([2], [0])),
        lambda: F.tensordot(ROWS, Tensor(x(3, 2)), 3),
    ],
)
def test_an_axis_that_is_not_there_is_named_by_the_others_too(call):
    with pytest.raises(np.exceptions.AxisError, match=r"axis [23] is out of bounds"):
        call()


def test_operands_on_two_devices_are_named(monkeypatch):
    """The message is made where a forward fails; two devices are pretended, as a test without a GPU must."""
    devices = {2: "cpu", 3: "cuda:1"}
    monkeypatch.setattr(sys.modules["tinynet.op"], "device_of", lambda a: devices[len(a)])  # tn.op is the decorator
    with pytest.raises(DeviceError, match=r"add: operands on two devices, 'cpu' and 'cuda:1'"):
        F.add(Tensor(x(2)), Tensor(x(3)))
