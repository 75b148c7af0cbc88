"""Every function and every op: derivatives to the second order, memory layouts, and that no op goes untested."""

import sys

import numpy as np
import pytest
from samples import ALL, SAMPLES
from sampling import backward_twice, floats_of, frozen, is_float, put, words, x

import tinynet as tn
import tinynet.functions as F
from tinynet.distributed import _parallel
from tinynet.functions.conv import conv2d_relu
from tinynet.functions.linalg import linear_relu
from tinynet.functions.loss_classes import _mean_cross_entropy
from tinynet.functions.random import _dropout
from tinynet.kernels import compiled, conv_team
from tinynet.op import OPS
from tinynet.tensor import Tensor
from tinynet.testing import gradcheck

# Functions of counting and comparing: nothing to differentiate.
NONDIFFERENTIABLE = set(
    words(
        "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_not "
        "any all argmax argmin argsort one_hot"
    )
)
# Ops that no call on one device runs, and the test that runs them.
ELSEWHERE = {
    "tinynet.functions.methods._move": "test_moving_to_a_device_is_differentiable",
    "tinynet.functions.conv._conv_relu": "test_the_gradient_of_convolution_relu_and_pooling_can_be_differentiated",
    "tinynet.functions.linalg._linear_relu": "test_linear_and_relu_in_one_can_be_differentiated",
    "tinynet.functions.random._dropout": "test_dropout_by_a_key_is_linear",
    "tinynet.functions.loss_classes._mean_cross_entropy": "test_mean_cross_entropy_without_those_ignored",
    "tinynet.distributed._parallel": "test_the_output_of_parallel_processes_is_the_models_own",
}
REGISTRY = sorted(name for name in OPS if name.startswith("tinynet."))


@pytest.mark.parametrize("sample", [s for s in ALL if s.smooth and any(map(is_float, s.inputs))], ids=str)
def test_derivatives_to_the_second_order(sample):
    assert gradcheck(lambda *inputs: sample.ours(inputs), sample.inputs, order=2, eps=sample.eps)


@pytest.mark.parametrize("sample", [s for s in ALL if any(map(is_float, s.inputs))], ids=str)
def test_the_gradient_is_the_same_where_it_is_to_be_differentiated_again(sample):
    """A rule runs on arrays or on Tensors, and may do the two in different ways."""
    results = []
    for create_graph in (False, True):
        inputs = sample.tensors()
        xs = [a for a in inputs if isinstance(a, Tensor)]
        with np.errstate(all="ignore"):
            ys = [y for y in floats_of(sample.ours(inputs)) if y.requires_grad]
            vs = [np.cos(np.arange(y.size)).reshape(y.shape) for y in ys]
            results.append(tn.grad(ys, xs, vs, create_graph=create_graph, allow_unused=True) if ys else [])
    for g, h in zip(*results, strict=True):
        assert (g is None) == (h is None)
        if g is not None:
            np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=1e-12, atol=1e-14)


# ------------------------------------------------------------------------------------------- nothing goes untested


def test_every_public_function_has_samples():
    assert set(SAMPLES) == set(F.__all__)


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - NONDIFFERENTIABLE))
def test_every_differentiable_function_has_a_smooth_sample(name):
    assert any(s.smooth and any(map(is_float, s.inputs)) for s in SAMPLES[name])


@pytest.fixture(scope="module")
def executed():
    """The code of everything that runs when all smooth samples go forward and backward twice."""
    seen = set()
    outer = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: seen.add(frame.f_code))
    try:
        for sample in ALL:
            backward_twice(sample)
    finally:
        sys.setprofile(outer)
    return seen


@pytest.mark.parametrize("name", REGISTRY)
def test_samples_run_every_op_and_every_rule(name, executed):
    op = OPS[name]
    if name in ELSEWHERE:
        assert ELSEWHERE[name] in globals()
        return
    rules = [op.rules.rule] if op.variadic else [rule for rule in op.rules if rule is not None]
    for function in [op.forward, *rules]:
        assert function.__code__ in executed, f"no sample runs {function.__name__} of {name}; add one"


@pytest.mark.parametrize("sample", [s for name in sorted(NONDIFFERENTIABLE) for s in SAMPLES[name]], ids=str)
def test_no_gradient_is_required_of_what_cannot_be_differentiated(sample):
    y = sample.ours(sample.tensors())
    assert not y.requires_grad
    assert y.is_leaf


def test_moving_to_a_device_is_differentiable(monkeypatch):
    # There may be one device only; a copy is what a move to another looks like from here.
    monkeypatch.setattr(sys.modules["tinynet.functions.methods"], "to_device", lambda array, device: array.copy())
    assert gradcheck(lambda a: a.to("cpu") * 2, x(3), order=2)
    assert x(3).tolist() == Tensor(x(3)).to("cpu").tolist()


# ------------------------------------------------------------------------------------------------- memory layouts

LAYOUTS = {
    "fortran": lambda a: a.T.copy().T,
    "strided": lambda a: a.repeat(2, axis=0).repeat(2, axis=-1)[::2, ..., ::2] if a.ndim > 1 else a.repeat(2)[::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
}


@pytest.mark.parametrize("sample", [s for s in ALL if any(is_float(a) and a.ndim for a in s.inputs)], ids=str)
def test_same_result_in_every_memory_layout_and_without_writing_to_it(sample):
    expected = value_and_gradients(sample, sample.inputs)
    for layout, change in LAYOUTS.items():
        inputs = [change(put(a)) if is_float(a) and a.ndim else a for a in sample.inputs]
        for e, f in zip(expected, value_and_gradients(sample, inputs), strict=True):
            np.testing.assert_allclose(f, e, rtol=1e-13, atol=1e-13, err_msg=layout)


def value_and_gradients(sample, arrays):
    """The results and the gradients, of arrays that nothing is written into."""
    inputs = [Tensor(frozen(put(a)), requires_grad=True) if is_float(a) else a for a in arrays]
    before = [x.numpy().copy() for x in inputs if isinstance(x, Tensor)]
    with np.errstate(all="ignore"):
        y = sample.ours(inputs)
        ys = [t for t in floats_of(y) if t.requires_grad]
        xs = [a for a in inputs if isinstance(a, Tensor)]
        seeds = [np.cos(np.arange(t.size)).reshape(t.shape) for t in ys]
        gradients = tn.grad(ys, xs, seeds, allow_unused=True) if ys else ()
    for a, b in zip(xs, before, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)
    results = y if isinstance(y, (list, tuple)) else [y]
    return [t.numpy() for t in (*results, *(g for g in gradients if g is not None))]


def test_dropout_by_a_key_is_linear():
    """What runs on a GPU; its array code runs anywhere."""
    key = tn.tensor([12345]).data
    assert gradcheck(lambda a: _dropout(a, key, p=0.4), x(3, 5), order=2)


def test_mean_cross_entropy_without_those_ignored():
    ids = tn.tensor([0, 3, 2]).data
    assert gradcheck(lambda a: _mean_cross_entropy(a, ids=ids, ignored=3, message=("{id}",), found={}), x(3, 4), order=2)


def test_the_output_of_parallel_processes_is_the_models_own():
    assert gradcheck(lambda a: _parallel(a, then=lambda: None) ** 2, x(3, 4), order=2)


@pytest.mark.cpu
@pytest.mark.skipif(not compiled.enabled(), reason="it is one op only with Numba")
@pytest.mark.parametrize("pool", [False, True], ids=["relu", "pool"])
def test_the_gradient_of_convolution_relu_and_pooling_can_be_differentiated(pool, monkeypatch):
    monkeypatch.setattr(conv_team, "LEAST", 1)
    arrays = [np.random.default_rng(0).standard_normal(shape) for shape in ((2, 1, 5, 7), (2, 1, 2, 2), (2,))]
    found = []
    for joined in (True, False):
        inputs = [Tensor(a, requires_grad=True) for a in arrays]
        y = conv2d_relu(*inputs, pool=pool) if joined else F.relu(F.conv2d(*inputs))
        y = F.max_pool2d(y, 2) if pool and not joined else y
        assert ("conv_relu" in repr(y)) == joined
        first = tn.grad((y**2).sum(), inputs, create_graph=True)
        found.append([a.numpy() for a in (*first, *tn.grad(F.stack([(a**2).sum() for a in first]).sum(), inputs))])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_linear_and_relu_in_one_can_be_differentiated():
    assert gradcheck(lambda *inputs: linear_relu(*inputs), [x(5, 3), x(4, 3), x(4)], order=2)
