"""What an optimizer saves and loads, under which names, and what is refused."""

import copy
import inspect

import numpy as np
import pytest
from sampling import put
from steps import CASES, assert_equal, net, parameter, train, weights
from update_rules import CLASSES, ELEMENTWISE

import tinynet as tn
from tinynet import layers as L
from tinynet import optim
from tinynet.kernels import compiled


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_resumed_as_if_never_stopped(name, options):
    model = net()
    optimizer = getattr(optim, name)(model, lr=0.05, weight_decay=0.01, **options)
    train(model, optimizer, range(5))
    saved, state = model.state_dict(), optimizer.state_dict()
    train(model, optimizer, range(5, 10))

    again = net(seed=1)
    again.load_state_dict(saved)
    resumed = getattr(optim, name)(again)  # the hyper-parameters come with the state
    resumed.load_state_dict(state)
    train(again, resumed, range(5, 10))
    assert_equal(weights(again), weights(model))
    assert_equal(resumed.state_dict()["buffers"], optimizer.state_dict()["buffers"])
    assert resumed.state_dict()["steps"] == optimizer.state_dict()["steps"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("engines", ["00", "01", "10", "11"])  # array code and compiled loops, before and after the stop
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_resumed_bit_for_bit_in_array_code_and_in_compiled_loops(name, options, engines, dtype, monkeypatch):
    """The loops compute the same bits, so that a training may even go on where Numba is installed or missing."""
    if engines != "00":
        pytest.importorskip("numba", reason="the compiled loops need Numba: pip install 'tinynet[fast]'")
    rng = np.random.default_rng(0)
    start, grads = rng.standard_normal(5000).astype(dtype), rng.standard_normal((12, 5000)).astype(dtype)
    options = {"lr": 0.01, "weight_decay": 0.1, **options}

    def run(p, optimizer, grads, engine):
        monkeypatch.setattr(compiled, "WANTED", engine != "0")
        for g in grads:
            p.grad = g
            optimizer.step()

    p = tn.Parameter(start)
    whole = getattr(optim, name)([p], **options)
    run(p, whole, grads[:6], engines[0])
    saved, weights = whole.state_dict(), p.numpy().copy()
    run(p, whole, grads[6:], engines[0])
    q = tn.Parameter(weights)
    fresh = getattr(optim, name)([q])
    fresh.load_state_dict(saved)
    run(q, fresh, grads[6:], engines[1])
    np.testing.assert_array_equal(p.numpy(), q.numpy())
    assert_equal(whole.state_dict()["buffers"], fresh.state_dict()["buffers"])


def test_an_option_changed_on_the_way():
    """Switching an option changes which buffers there are; the state that is saved is of the options as they stand."""
    model, again = net(), net(seed=1)
    optimizer, fresh = optim.RMSprop(model, momentum=0.9), optim.RMSprop(again)
    train(model, optimizer, range(2))
    for options in ({"momentum": 0.0}, {"momentum": 0.5, "centered": True}):
        optimizer.param_groups[0].update(options)
        fresh.load_state_dict(optimizer.state_dict())
        again.load_state_dict(model.state_dict())
        train(model, optimizer, range(2, 4))
        train(again, fresh, range(2, 4))
        assert fresh.state_dict()["steps"] == optimizer.state_dict()["steps"]


def test_state_dict_is_a_copy_keyed_by_names():
    model = net()
    optimizer = optim.Adam(model)
    train(model, optimizer, range(1))
    state = optimizer.state_dict()
    assert set(state["buffers"]) == {
        f"{name}/{b}" for name, _ in model.named_parameters() for b in ("velocity", "squared_grad")
    }
    kept = copy.deepcopy(state)
    train(model, optimizer, range(3))
    optimizer.lr = 0.5
    assert_equal(state["buffers"], kept["buffers"])
    assert state["steps"] == kept["steps"]
    assert state["groups"] == kept["groups"]


def test_loading_copies():
    p = parameter(1.0)
    optimizer = optim.Momentum([p])
    p.grad = [1.0]
    optimizer.step()
    state = optimizer.state_dict()
    fresh = optim.Momentum([parameter(1.0)])
    fresh.load_state_dict(state)
    state["buffers"]["0/velocity"][...] = 7.0
    state["groups"][0]["lr"] = 7.0
    assert fresh.state_dict()["buffers"]["0/velocity"] != 7.0
    assert fresh.lr == 0.01


def damaged(change):
    """A state of Adam for ``net()`` with something wrong about it."""
    model = net()
    optimizer = optim.Adam(model)
    train(model, optimizer, range(2))
    state = optimizer.state_dict()
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda s: s["buffers"].update({"0.weight/velocity": np.zeros((3, 4))}), "'0.weight/velocity' has shape"),
        (lambda s: s["buffers"].update({"0.weight/moment": np.zeros((4, 3))}), "'0.weight/moment'"),
        (lambda s: s["buffers"].update({"9.weight/velocity": np.zeros((4, 3))}), "'9.weight/velocity'"),
        (lambda s: s["buffers"].pop("2.bias/squared_grad"), "2.bias"),
        (lambda s: s["groups"][0].update(lr=-1.0), "lr is -1.0"),
        (lambda s: s["groups"][0].update(beta3=0.5), "beta3"),
        (lambda s: s["groups"][0].pop("beta1"), "hyper-parameters"),
        (lambda s: s["groups"][0].update(params=["a", "b", "c", "d"]), "for the parameters"),
        (lambda s: s["groups"].append(s["groups"][0]), "for the parameters"),
        (lambda s: s["steps"].update({"9.weight": 3}), "9.weight"),
        (lambda s: s["steps"].update({"0.weight": -3}), "0.weight"),
        (lambda s: s.pop("steps"), "steps"),
        (lambda s: s.pop("groups"), "groups"),
        (lambda s: s.clear(), "buffers|groups|steps"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, problem):
    model = net()
    optimizer = optim.Adam(model, lr=0.5)
    train(model, optimizer, range(1))
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=problem):
        optimizer.load_state_dict(damaged(change))
    after = optimizer.state_dict()
    assert_equal(before["buffers"], after["buffers"])
    assert before["steps"] == after["steps"]
    assert before["groups"] == after["groups"]


KINDS = {name: (*inspect.signature(CLASSES[name]).parameters, CLASSES[name].buffers) for name in ELEMENTWISE}
OTHERS = [(a, b) for a in ELEMENTWISE for b in ELEMENTWISE if {*KINDS[a]} != {*KINDS[b]}]  # all but Adam and AdamW


@pytest.mark.parametrize(("of", "into"), OTHERS)
def test_a_state_of_another_optimizer_is_refused(of, into):
    first, second = net(), net()
    saved, fresh = getattr(optim, of)(first), getattr(optim, into)(second)
    train(first, saved, range(1))
    with pytest.raises(ValueError, match=into):
        fresh.load_state_dict(saved.state_dict())
    assert not fresh.state_dict()["buffers"]


def test_of_another_model():
    small, large = net(), tn.Sequential(L.Linear(3, 5), L.Tanh(), L.Linear(5, 2))
    optimizer = optim.Momentum(small)
    train(small, optimizer, range(1))
    with pytest.raises(ValueError, match=r"shape \(4, 3\), the parameter \(5, 3\)"):
        optim.Momentum(large).load_state_dict(optimizer.state_dict())


def test_a_step_that_fails_changes_nothing():
    a, b = tn.Parameter(np.ones(3)), tn.Parameter(np.ones(4))
    optimizer = optim.Adam([("a", a), ("b", b)], lr=0.1)
    a.grad, b.grad = np.ones(3), np.ones(4)
    optimizer.step()
    before = a.numpy().copy(), optimizer.state_dict()["steps"]
    b.data = put(np.ones(5))  # neither its gradient nor its buffers fit any more
    with pytest.raises(ValueError, match="parameter 'b' has shape"):
        optimizer.step()
    np.testing.assert_array_equal(a.numpy(), before[0])
    b.data = put(np.ones(4))
    assert optimizer.state_dict()["steps"] == before[1]

    b.data = put(np.ones(5))
    sgd = optim.SGD([("a", a), ("b", b)], lr=0.1)  # no buffers: only the gradient gives it away
    with pytest.raises(ValueError, match=r"parameter 'b' has shape \(5,\), its gradient \(4,\)"):
        sgd.step()
    np.testing.assert_array_equal(a.numpy(), before[0])


@pytest.mark.parametrize("engine", ["0", "1"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_parameters_at_different_counts_in_one_step(name, options, engine, monkeypatch):
    """One joins eight steps later: each goes its way as if it were alone (RAdam's rule changes in the sixth step)."""
    if engine == "1":
        pytest.importorskip("numba", reason="the compiled loops need Numba: pip install 'tinynet[fast]'")
    monkeypatch.setattr(compiled, "WANTED", engine != "0")
    rng = np.random.default_rng(0)
    start, grads = rng.standard_normal(5000).astype(np.float32), rng.standard_normal((16, 5000)).astype(np.float32)
    early, late, alone = tn.Parameter(start), tn.Parameter(start), tn.Parameter(start)
    both, one = getattr(optim, name)([early, late], **options), getattr(optim, name)([alone], **options)
    for i, g in enumerate(grads):
        early.grad, late.grad = g, grads[i - 8] if i >= 8 else None
        both.step()
    for i, g in enumerate(grads):
        alone.grad = g
        one.step()
        if i == 7:
            np.testing.assert_array_equal(late.numpy(), alone.numpy())
    np.testing.assert_array_equal(early.numpy(), alone.numpy())
