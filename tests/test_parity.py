"""Parity: every function's value, gradient and second gradient beside PyTorch's, on the same samples, in float64."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity with PyTorch needs PyTorch: pip install 'tinynet[parity]'")

from parity import ELSEWHERE, TORCH, NoCounterpart, to_torch  # noqa: E402  # needs PyTorch
from samples import ALL, SAMPLES  # noqa: E402
from sampling import floats_of, is_float  # noqa: E402

import tinynet as tn  # noqa: E402
from tinynet.tensor import Tensor  # noqa: E402

COMPARED = [s for s in ALL if s.name in TORCH]


def test_every_function_has_its_counterpart_or_a_reason():
    assert set(TORCH).isdisjoint(ELSEWHERE)
    assert set(TORCH) | set(ELSEWHERE) == set(SAMPLES)


def theirs(sample):
    """The result and the differentiable inputs in PyTorch."""
    inputs = [to_torch(a, requires_grad=True) for a in sample.inputs]
    xs = [t for a, t in zip(sample.inputs, inputs, strict=True) if is_float(a)]
    try:
        return sample.run(TORCH[sample.name], inputs, to_torch(sample.keywords)), xs
    except NoCounterpart as error:
        pytest.skip(str(error))


def seeds(arrays):
    return [np.cos(1 + np.arange(a.size, dtype="float64")).reshape(a.shape) for a in arrays]


def check(ours, torchs, what):
    for a, b in zip(ours, torchs, strict=True):
        a = np.zeros(b.shape) if a is None else a.numpy()
        b = np.zeros(a.shape) if b is None else b.numpy(force=True)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11, err_msg=what)


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")  # PyTorch's, of the variance of nothing
@pytest.mark.parametrize("sample", COMPARED, ids=str)
def test_value_gradient_and_second_gradient(sample):
    torchs, txs = theirs(sample)
    with np.errstate(all="ignore"):
        inputs = sample.tensors()
        xs = [a for a in inputs if isinstance(a, Tensor) and a.requires_grad]
        ours = sample.ours(inputs)
        ours, torchs = (list(y) if isinstance(y, (list, tuple)) else [y] for y in (ours, torchs))
        check(ours, torchs, "value")
        ys = [y for y in floats_of(ours) if y.requires_grad]
        tys = [t for t in torchs if t.requires_grad]
        assert len(ys) == len(tys)
        if not ys or not all(np.isfinite(y.numpy()).all() for y in ys):
            return
        vs = seeds([y.data for y in ys])
        first = tn.grad(ys, xs, vs, create_graph=True, allow_unused=True)
        tfirst = torch.autograd.grad(tys, txs, to_torch(vs), create_graph=True, allow_unused=True)
        check(_filled(first, xs), _filled_torch(tfirst, txs), "gradient")
        if not sample.smooth:
            return  # at a kink a second derivative is a matter of taste
        pairs = [(g, t) for g, t in zip(first, tfirst, strict=True) if g is not None and g.requires_grad]
        pairs = [(g, t) for g, t in pairs if t is not None and t.requires_grad]
        if not pairs:
            return
        gs, ts = zip(*pairs, strict=True)
        us = seeds([g.data for g in gs])
        second = tn.grad(gs, xs, us, allow_unused=True)
        tsecond = torch.autograd.grad(ts, txs, to_torch(us), allow_unused=True)
        check(_filled(second, xs), _filled_torch(tsecond, txs), "second gradient")


def _filled(gs, xs):
    return [Tensor(np.zeros(x.shape)) if g is None else g for g, x in zip(gs, xs, strict=True)]


def _filled_torch(gs, xs):
    return [torch.zeros_like(x) if g is None else g for g, x in zip(gs, xs, strict=True)]
