"""L-BFGS with parameters of all kinds, and every wrong argument."""

import copy

import numpy as np
import pytest
from closures import SEARCHES, X, Y, closure_of, net, train
from sampling import put
from steps import assert_equal, weights

import tinynet as tn
from tinynet import functions as F
from tinynet import optim

# ------------------------------------------------------------------------------------------------ parameters of all kinds


@pytest.mark.parametrize("search", SEARCHES)
def test_parameters_of_every_shape_and_layout(search):
    """No axes, no elements, column-major: what is computed is the same as over one plain array."""
    target = put(np.arange(1.0, 8.0))
    plain = tn.Parameter(np.zeros(7))
    parts = [tn.Parameter(np.zeros(s)) for s in ((), (0, 3), (2, 3))]
    parts[2].data = parts[2].data.copy(order="F")
    curved = put(np.linspace(1, 5, 7))

    def bowl(w):
        return (curved * (w - target) ** 2).sum() / 2

    def of_parts():
        return bowl(F.concatenate([p.reshape(-1) for p in parts]))

    one, many = (optim.LBFGS(params, max_iter=4, lr=0.5, line_search_fn=search) for params in ([plain], parts))
    for _ in range(3):
        one.step(closure_of(one, lambda: bowl(plain)))
        many.step(closure_of(many, of_parts))
        parts[0].data = parts[0].data * 1  # a NumPy scalar
    np.testing.assert_array_equal(np.concatenate([p.numpy().reshape(-1) for p in parts]), plain.numpy())


def test_only_empty_parameters():
    p = tn.Parameter(np.zeros((0, 3)))
    optimizer = optim.LBFGS([p])
    optimizer.step(closure_of(optimizer, lambda: (p * p).sum()))


@pytest.mark.parametrize("search", SEARCHES)
def test_frozen_parameters_and_those_without_a_gradient_stand_still(search):
    model = net()
    unused = tn.Parameter(np.ones(3, np.float32))
    optimizer = optim.LBFGS(
        [*model.named_parameters(), ("unused", unused)], line_search_fn=search, max_iter=4, weight_decay=1e-4
    )
    train(model, optimizer, 2)
    frozen = weights(model[0])
    model[0].freeze()
    losses = train(model, optimizer, 3)
    assert_equal(weights(model[0]), frozen)
    assert (unused.numpy() == 1).all()
    assert losses[2] < losses[0]
    model[0].unfreeze()
    train(model, optimizer, 1)
    assert (model[0].weight.numpy() != frozen["weight"]).any()


def test_the_memory_follows_the_dtype():
    model = net()
    optimizer = optim.LBFGS(model, max_iter=3)
    train(model, optimizer, 2)
    assert all(b.dtype == np.float32 for b in optimizer.state_dict()["buffers"].values())
    model.astype("float64")
    train(model, optimizer, 1)
    assert all(b.dtype == np.float64 for b in optimizer.state_dict()["buffers"].values())
    assert all(p.dtype == np.float64 for p in model.parameters())


def test_deepcopy_of_model_and_optimizer_together():
    model = net()
    optimizer = optim.LBFGS(model, max_iter=3)
    train(model, optimizer, 2)
    model2, optimizer2 = copy.deepcopy((model, optimizer))
    assert train(model, optimizer, 2) == train(model2, optimizer2, 2)
    assert_equal(weights(model), weights(model2))


# ------------------------------------------------------------------------------------------------------ wrong arguments


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("fails_at", [1, 2, 5])
def test_a_closure_that_fails_changes_nothing(search, fails_at):
    model = net()
    optimizer = optim.LBFGS(model, line_search_fn=search)
    train(model, optimizer, 1)
    before, state, calls = weights(model), optimizer.state_dict(), []

    def fails():
        calls.append(0)
        if len(calls) == fails_at:
            raise RuntimeError("no more data")
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X), 1 - Y)
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="no more data"):
        optimizer.step(fails)
    assert len(calls) == fails_at
    assert_equal(weights(model), before)
    after = optimizer.state_dict()
    assert_equal(after.pop("buffers"), state.pop("buffers"))
    assert after == state


def test_a_gradient_that_is_not_finite_changes_nothing():
    p, calls = tn.Parameter([1.0, 2.0]), []
    optimizer = optim.LBFGS([("w", p)], check_finite=True)

    def closure():
        calls.append(0)
        p.grad = [1.0, 0.5 if len(calls) < 3 else np.inf]
        return 1.0 / len(calls)

    with pytest.raises(
        ValueError, match="LBFGS: the gradient of parameter 'w' has 1 elements of 2 that are NaN or infinite"
    ):
        optimizer.step(closure)
    assert len(calls) == 3
    assert p.tolist() == [1.0, 2.0]


def test_clipping_is_refused():
    with pytest.raises(ValueError, match=r"LBFGS: clip_norm is 1\.0, expected None"):
        optim.LBFGS([tn.Parameter([1.0])], clip_norm=1.0)


def test_wrong_closures():
    p = tn.Parameter([1.0])
    optimizer = optim.LBFGS([p])
    for closure in (None, 0.5):
        with pytest.raises(TypeError, match="LBFGS: step takes a closure, got"):
            optimizer.step(closure)
    with pytest.raises(TypeError, match="the closure returned None, expected the loss"):
        optimizer.step(lambda: None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_iter": 0}, "max_iter is 0"),
        ({"max_iter": 2.5}, r"max_iter is 2.5, expected an integer"),
        ({"max_eval": 0}, "max_eval is 0"),
        ({"history_size": 0}, "history_size is 0"),
        ({"tolerance_grad": -1.0}, "tolerance_grad is -1.0"),
        ({"tolerance_change": float("nan")}, "tolerance_change is nan"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"line_search_fn": "wolfe"}, "line_search_fn is 'wolfe', expected None or 'strong_wolfe'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"LBFGS: {message}"):
        optim.LBFGS([tn.Parameter([1.0])], **arguments)


def test_wrong_parameters():
    a, b = tn.Parameter([1.0]), tn.Parameter([1.0], dtype=np.float64)
    with pytest.raises(ValueError, match="a second group of parameters"):
        optim.LBFGS([{"params": [a]}, {"params": [b]}])
    optimizer = optim.LBFGS([("a", a), ("b", b)])
    with pytest.raises(ValueError, match=r"'b' is float64 on 'c.*', 'a' is float32 on 'c.*'; expected one dtype"):
        optimizer.step(closure_of(optimizer, lambda: (a * b).sum()))
    optimizer = optim.LBFGS([("a", a)])
    optimizer.step(closure_of(optimizer, lambda: (a * a).sum()))
    a.grad, a.data = None, put(np.ones(2, np.float32))
    with pytest.raises(ValueError, match="the parameters have 2 elements now, the memory is of 1"):
        optimizer.step(closure_of(optimizer, lambda: (a * a).sum()))


@pytest.mark.cpu  # CuPy has no read-only arrays
def test_a_read_only_parameter():
    a = tn.Parameter([1.0])
    optimizer = optim.LBFGS([("a", a)])
    optimizer.step(closure_of(optimizer, lambda: (a * a).sum()))
    a.data.flags.writeable = False
    with pytest.raises(ValueError, match="parameter 'a' is a read-only array"):
        optimizer.step(closure_of(optimizer, lambda: (a * a).sum()))
