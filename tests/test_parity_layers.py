"""Parity of layers: outputs, gradients and second gradients beside PyTorch's, on weights moved through a file, both ways."""

import inspect
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity with PyTorch needs PyTorch: pip install 'tinynet[parity]'")

from parity import to_torch  # noqa: E402  # needs PyTorch
from parity_layers import ELSEWHERE, PAIRS  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from sampling import is_float  # noqa: E402

import tinynet as tn  # noqa: E402
from tinynet import layers as L  # noqa: E402
from tinynet.tensor import Tensor  # noqa: E402


def test_every_layer_has_its_counterpart_or_a_reason():
    names = {name for name, value in vars(L).items() if inspect.isclass(value) and issubclass(value, L.Layer)}
    compared = {pair.name for pair in PAIRS}
    assert compared.isdisjoint(ELSEWHERE)
    assert compared | set(ELSEWHERE) == names


def flat(y):
    """The tensors of an output, which may be a tuple of tuples."""
    return [t for part in y for t in flat(part)] if isinstance(y, (tuple, list)) else [y]


def check(ours, theirs, what):
    assert len(ours) == len(theirs), what
    for a, b in zip(ours, theirs, strict=True):
        if a is None and b is None:
            continue
        a = np.zeros(tuple(b.shape)) if a is None else a.numpy()
        b = np.zeros(a.shape) if b is None else b.numpy(force=True)
        assert a.shape == b.shape, what
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10, err_msg=what)


def seeds(tensors):
    return [np.cos(1 + np.arange(np.prod(t.shape, dtype=int), dtype="float64")).reshape(tuple(t.shape)) for t in tensors]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_outputs_gradients_and_weights_both_ways(pair, tmp_path):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, when it is built or met with a size of 0
        theirs = pair.theirs().double().train(pair.training)
    ours = pair.ours().astype("float64").train(pair.training)

    path = tmp_path / "weights.safetensors"  # PyTorch's weights into ours
    save_file({k: v.contiguous() for k, v in theirs.state_dict().items()}, path)
    ours.load_state_dict(tn.load(path))
    arrays = [a.copy() if is_float(a) else a for a in pair.inputs]
    xs = [Tensor(a, requires_grad=True) if is_float(a) else Tensor(a) for a in arrays]
    txs = [to_torch(a, requires_grad=True) for a in arrays]
    ys, tys = flat(ours(*xs)), flat(theirs(*txs))
    check(ys, tys, "output")

    wanted = [t for t in xs if t.requires_grad] + [p for _, p in ours.named_parameters()]
    names = [name for name, _ in ours.named_parameters()]
    twanted = [t for t in txs if t.requires_grad] + [dict(theirs.named_parameters())[name] for name in names]
    ys, tys = [y for y in ys if y.requires_grad], [t for t in tys if t.requires_grad]
    vs = seeds(ys)
    first = tn.grad(ys, wanted, vs, create_graph=True, allow_unused=True)
    tfirst = torch.autograd.grad(tys, twanted, to_torch(vs), create_graph=True, allow_unused=True)
    check(first, tfirst, "gradient")
    both = [(g, t) for g, t in zip(first, tfirst, strict=True) if g is not None and t is not None]
    both = [(g, t) for g, t in both if g.requires_grad and t.requires_grad]
    if both:
        gs, ts = zip(*both, strict=True)
        us = seeds(gs)
        second = tn.grad(gs, wanted, us, allow_unused=True)
        tsecond = torch.autograd.grad(ts, twanted, to_torch(us), allow_unused=True)
        check(second, tsecond, "second gradient")

    tn.save(path, ours.state_dict())  # ours into a fresh one of PyTorch's, buffers after a forward included
    state, buffers = load_file(path), theirs.state_dict()
    counts = {k: v for k, v in buffers.items() if k.endswith("num_batches_tracked")}
    fresh = pair.theirs().double()
    fresh.load_state_dict({**counts, **state}, strict=True)
    for name, value in buffers.items():
        np.testing.assert_allclose(fresh.state_dict()[name].numpy(), value.numpy(), rtol=1e-12, err_msg=name)
