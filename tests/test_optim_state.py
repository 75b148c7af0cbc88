"""Optimizers around the rule: groups, names, live state, saving and resuming, and every wrong argument."""

import copy
import inspect

import numpy as np
import pytest
from sampling import host, put

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet import optim
from tinynet.kernels import compiled

CLASSES = {n: c for n, c in vars(optim).items() if inspect.isclass(c) and issubclass(c, optim.Optimizer)}
OPTIMIZERS = [name for name, c in CLASSES.items() if c.elementwise and name != "Optimizer"]  # the others: their own files
OPTIONS = {
    "Momentum": [{}, {"dampening": 0.0, "nesterov": True}],
    "RMSprop": [{}, {"centered": True, "momentum": 0.9}],
    "Adam": [{}, {"amsgrad": True}],
    "AdamW": [{}, {"amsgrad": True}],
    "NAdam": [{}, {"decoupled_weight_decay": True}],
    "RAdam": [{}, {"decoupled_weight_decay": True}],
}
CASES = [(name, options) for name in OPTIMIZERS for options in OPTIONS.get(name, [{}])]


def net(seed=0):
    tn.manual_seed(seed)
    return tn.Sequential(L.Linear(3, 4), L.Tanh(), L.Linear(4, 2))


def batch(i):
    rng = np.random.default_rng(i)
    return tn.tensor(rng.standard_normal((8, 3)).astype(np.float32)), tn.tensor(rng.integers(0, 2, 8))


def train(model, optimizer, steps):
    for i in steps:
        x, y = batch(i)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def weights(model):
    return {name: p.numpy().copy() for name, p in model.named_parameters()}


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def parameter(*values, dtype=np.float32):
    return tn.Parameter(list(values), dtype=dtype)


def names(optimizer):
    return [g["params"] for g in optimizer.state_dict()["groups"]]


# ------------------------------------------------------------------------------------------------ groups and names


def test_groups_have_their_own_rates():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.25)
    a.grad, b.grad = [1.0], [1.0]
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.75)


def test_options_that_change_the_rule_are_per_group():
    a, b = parameter(0.0), parameter(0.0)
    optimizer = optim.RMSprop([{"params": [a], "centered": True}, {"params": [b]}])
    a.grad, b.grad = [1.0], [1.0]
    optimizer.step()
    assert set(optimizer.state(a)) == {"squared_grad", "grad_average", "velocity"}
    assert set(optimizer.state(b)) == {"squared_grad"}
    assert a.item() < b.item() < 0


def test_lr_is_that_of_the_first_group_and_sets_all():
    optimizer = optim.SGD([{"params": [parameter(1.0)], "lr": 0.5}, {"params": [parameter(1.0)]}], lr=0.25)
    assert optimizer.lr == 0.5
    optimizer.lr = 0.125
    assert [g["lr"] for g in optimizer.param_groups] == [0.125, 0.125]
    optimizer.param_groups[1]["lr"] = 1.0
    assert optimizer.lr == 0.125


def test_add_param_group():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([a], lr=0.5)
    optimizer.add_param_group({"params": [b], "lr": 0.25})
    a.grad, b.grad = [1.0], [1.0]
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.75)
    optimizer.zero_grad()
    assert a.grad is None
    assert b.grad is None


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (lambda m: m, [["0.weight", "0.bias", "2.weight", "2.bias"]]),
        (lambda m: m.parameters(), [["0.weight", "0.bias", "2.weight", "2.bias"]]),
        (lambda m: m.named_parameters(), [["0.weight", "0.bias", "2.weight", "2.bias"]]),
        (lambda m: iter(m.named_parameters()), [["0.weight", "0.bias", "2.weight", "2.bias"]]),
        (lambda m: list(m.parameters()), [["0", "1", "2", "3"]]),
        (lambda m: (p for p in m.parameters()), [["0", "1", "2", "3"]]),
        (lambda m: [("w", m[0].weight)], [["w"]]),
        (lambda m: enumerate(m.parameters()), [["0", "1", "2", "3"]]),
        (lambda m: [{"params": m[0]}, {"params": m[2]}], [["weight", "bias"], ["1.weight", "1.bias"]]),
        (lambda m: [{"params": m[0].parameters()}, {"params": [m[2].weight]}], [["weight", "bias"], ["2"]]),
        (lambda m: [{"params": m[0].weight}, {"params": iter([m[2].weight])}], [["0"], ["1"]]),
    ],
)
def test_names(params, expected):
    assert names(optim.SGD(params(net()))) == expected


@pytest.mark.parametrize(
    "params",
    [
        [("w", 1), ("w", 2), ("w", 3)],
        [("0.w", 1), ("w", 2), ("w", 3)],
        [("", 1), ("", 2)],
    ],
)
def test_names_never_clash(params):
    """Two parameters of one name would share their state."""
    optimizer = optim.Momentum([(name, parameter(*range(n))) for name, n in params])
    (found,) = names(optimizer)
    assert len(set(found)) == len(params)
    for p in optimizer.param_groups[0]["params"]:
        assert optimizer.state(p)["velocity"].shape == p.shape


def test_a_list_of_parameters_that_was_added_to():
    """``parameters()`` is a list with names; one that has grown since has none, and is numbered."""
    params = L.Linear(2, 2).parameters()
    params += L.Linear(2, 2).parameters()
    assert names(optim.SGD(params)) == [["0", "1", "2", "3"]]


# ------------------------------------------------------------------------------------------------------- live state


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_state_is_live_named_and_writable(name, options):
    p = parameter(1.0, 2.0)
    optimizer = getattr(optim, name)([p], **options)
    state = optimizer.state(p)
    for buffer, array in state.items():
        assert buffer.isidentifier()
        assert array.shape == p.shape
        assert array.dtype == p.dtype
        assert not array.any()
    p.grad = [1.0, 0.0]
    optimizer.step()
    assert optimizer.state(p).keys() == state.keys()
    for buffer, array in state.items():
        assert array is optimizer.state(p)[buffer]
        assert array[0] != 0


def test_writing_into_the_state_counts():
    p = parameter(0.0)
    optimizer = optim.Momentum([p], lr=1.0, beta=0.5)
    optimizer.state(p)["velocity"][...] = 4.0
    p.grad = [0.0]
    optimizer.step()
    assert p.item() == -2.0


def test_state_of_a_stranger():
    with pytest.raises(KeyError, match="not among those it optimizes"):
        optim.Momentum([parameter(1.0)]).state(parameter(1.0))


def test_each_parameter_counts_its_own_steps():
    """Adam's t is 1 in a parameter's first step, however many steps the others have made."""
    a, b = parameter(0.0, dtype=np.float64), parameter(0.0, dtype=np.float64)
    optimizer = optim.Adam([a, b], lr=0.5)
    for _ in range(5):
        a.grad = [1.0]
        optimizer.step()
    b.grad = [1.0]
    optimizer.step()
    assert b.item() == pytest.approx(-0.5)
    a.grad = None
    b.grad = [1.0]
    before = a.item()
    optimizer.step()
    assert a.item() == before
    assert optimizer.state_dict()["steps"] == {"0": 6, "1": 2}


def test_frozen_parameters_stand_still():
    model = net()
    optimizer = optim.Adam(model, weight_decay=0.1)
    train(model, optimizer, range(2))
    frozen = weights(model[0])
    model[0].freeze()
    train(model, optimizer, range(2, 4))
    assert_equal(weights(model[0]), frozen)
    assert optimizer.state_dict()["steps"] == {"0.weight": 2, "0.bias": 2, "2.weight": 4, "2.bias": 4}
    model[0].weight.grad = np.ones((4, 3))  # whoever assigns a gradient to what is frozen still changes nothing
    optimizer.step()
    assert_equal(weights(model[0]), frozen)
    model[0].unfreeze()
    train(model, optimizer, range(1))
    assert (model[0].weight.numpy() != frozen["weight"]).all()


def test_a_shared_parameter_decays_once():
    """Two layers share one weight: weight decay joins the update once and never the gradient that both made."""
    layer = L.Linear(2, 2, bias=False)
    twin = L.Linear(2, 2, bias=False)
    twin.weight = layer.weight
    model = tn.Sequential(layer, twin)
    w = layer.weight.numpy().copy()
    optimizer = optim.SGD(model, lr=0.5, weight_decay=0.25)
    assert names(optimizer) == [["0.weight"]]
    g = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    layer.weight.grad = g
    optimizer.step()
    np.testing.assert_allclose(layer.weight.numpy(), w - 0.5 * (g + 0.25 * w), rtol=1e-6)
    np.testing.assert_array_equal(layer.weight.grad.numpy(), g)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_the_gradient_is_left_as_it_is(name, options):
    p, g = parameter(1.0, 2.0), put(np.array([1.0, -2.0], np.float32))
    p.grad = g
    getattr(optim, name)([p], weight_decay=0.5, maximize=True, **options).step()
    np.testing.assert_array_equal(p.grad.numpy(), [1.0, -2.0])
    assert p.grad.data is g


# ---------------------------------------------------------------------------------- the data changes between steps


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_writing_into_or_rebinding_the_data(name):
    a, b = parameter(1.0, 2.0), parameter(1.0, 2.0)
    first, second = getattr(optim, name)([a], lr=0.1), getattr(optim, name)([b], lr=0.1)
    for i in range(5):
        a.data[...] = a.data * 0.9
        b.data = b.data * 0.9
        a.grad = b.grad = np.array([i - 2.0, 1.0])
        first.step()
        second.step()
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert a.numpy()[0] != np.float32(0.9**5)


def test_rebinding_a_number():
    """NumPy's arithmetic on an array without axes gives a scalar, which cannot be written into."""
    p = tn.Parameter(1.0)
    optimizer = optim.Momentum([p], lr=1.0, beta=0.0)
    p.grad = 1.0
    optimizer.step()
    p.data = p.data - 1
    p.grad = 1.0
    optimizer.step()
    assert p.item() == -2.0


@pytest.mark.parametrize("size", [3, 5000])  # array code, and a compiled loop where Numba is installed
def test_data_that_a_compiled_loop_cannot_take(size):
    p = tn.Parameter(np.ones(size))
    optimizer = optim.SGD([p], lr=0.5)
    others = [p.data.astype(">f4")] if isinstance(p.data, np.ndarray) else []  # another byte order, which CuPy has not
    for data in (p.data, *others, p.data.astype(np.float16)):
        p.data, p.grad = data, np.ones(size)
        optimizer.step()
        np.testing.assert_array_equal(p.numpy(), 0.5)
        p.data[...] = 1


@pytest.mark.cpu  # CuPy has no read-only arrays
@pytest.mark.parametrize("size", [3, 5000])
def test_read_only_data(size):
    p = tn.Parameter(np.ones(size))
    p.grad = np.ones(size)
    p.data.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        optim.SGD([p], lr=0.5).step()


def test_data_that_are_no_floats():
    """A step would round every weight, and no small one would ever move it."""
    p, q = parameter(1.0, 2.0), parameter(1.0, 2.0)
    optimizer = optim.Momentum([("p", p), ("q", q)], lr=0.5)
    p.grad = q.grad = np.ones(2)
    optimizer.step()
    velocity = host(optimizer.state(q)["velocity"]).copy()
    before = p.numpy().copy()
    q.data = put(np.array([1, 2]))
    with pytest.raises(ValueError, match="Momentum: parameter 'q' is int64 now, expected floats"):
        optimizer.step()
    np.testing.assert_array_equal(p.numpy(), before)
    q.data = put(np.array([1.0, 2.0], np.float32))
    np.testing.assert_array_equal(host(optimizer.state(q)["velocity"]), velocity)


def test_the_user_sees_the_array_that_they_bound():
    p = parameter(1.0, 2.0)
    mine = put(np.array([5.0, 6.0], np.float32))
    p.data = mine
    p.grad = [1.0, 1.0]
    optim.SGD([p], lr=1.0).step()
    np.testing.assert_array_equal(host(mine), [4.0, 5.0])


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_buffers_follow_the_dtype(name, options):
    model = net()
    optimizer = getattr(optim, name)(model, **options)
    train(model, optimizer, range(2))
    before = {b: a.copy() for b, a in optimizer.state(model[0].weight).items()}
    model.astype("float64")
    train(model, optimizer, range(2))
    for p in model.parameters():
        assert p.dtype == np.float64
        for buffer in optimizer.state(p).values():
            assert buffer.dtype == np.float64
    assert before.keys() == optimizer.state(model[0].weight).keys()


def test_astype_keeps_what_the_buffers_hold():
    p = parameter(1.0)
    optimizer = optim.Momentum([p], lr=1.0)
    optimizer.state(p)["velocity"][...] = 0.5
    p.data = p.data.astype(np.float64)
    assert optimizer.state(p)["velocity"] == 0.5
    assert optimizer.state(p)["velocity"].dtype == np.float64


def test_another_shape_is_an_error_that_names_the_parameter():
    p = parameter(1.0, 2.0)
    optimizer = optim.Momentum([("head.bias", p)])
    p.grad = [1.0, 1.0]
    optimizer.step()
    p.grad, p.data = None, put(np.zeros(3, np.float32))
    p.grad = np.ones(3)
    with pytest.raises(ValueError, match=r"'head.bias' has shape \(3,\) now, its 'velocity' \(2,\)"):
        optimizer.step()


def test_made_before_the_first_batch():
    tn.manual_seed(0)
    model = tn.Sequential(L.Linear(None, 4), L.Tanh(), L.Linear(None, 2))
    optimizer = optim.Adam(model, lr=0.1)
    model(batch(0)[0])
    before = weights(model)
    train(model, optimizer, range(3))
    assert all((p.numpy() != before[name]).any() for name, p in model.named_parameters())


def test_deepcopy_of_model_and_optimizer_together():
    model = net()
    optimizer = optim.Adam(model)
    train(model, optimizer, range(2))
    model2, optimizer2 = copy.deepcopy((model, optimizer))
    train(model, optimizer, range(2, 4))
    train(model2, optimizer2, range(2, 4))
    assert_equal(weights(model), weights(model2))


# ------------------------------------------------------------------------------------------------ saving and loading


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


KINDS = {name: (*inspect.signature(CLASSES[name]).parameters, CLASSES[name].buffers) for name in OPTIMIZERS}
OTHERS = [(a, b) for a in OPTIMIZERS for b in OPTIMIZERS if {*KINDS[a]} != {*KINDS[b]}]  # all but Adam and AdamW


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
