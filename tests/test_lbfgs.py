"""L-BFGS: its direction beside the matrix formula, its line search, known minima, state, and every wrong argument."""

import copy
import importlib

import numpy as np
import pytest
from sampling import host, put

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet import optim
from tinynet.optim.lbfgs import Memory
from tinynet.optim.linesearch import Trial, cubic_minimum, strong_wolfe

SEARCHES = [None, "strong_wolfe"]


def rosenbrock(w):
    return ((1 - w[:-1]) ** 2 + 100 * (w[1:] - w[:-1] ** 2) ** 2).sum()


def closure_of(optimizer, loss, calls=None):
    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        if calls is not None:
            calls.append(value.item())
        return value

    return closure


# -------------------------------------------------------------------------------------------------- known minima


def test_rosenbrock():
    """The minimum is at (1, 1). From (-1.2, 1) L-BFGS is known to take some 35 to 50 looks."""
    w, calls = tn.Parameter([-1.2, 1.0], dtype=np.float64), []
    optimizer = optim.LBFGS([w], max_iter=100, line_search_fn="strong_wolfe", tolerance_change=0.0)
    returned = optimizer.step(closure_of(optimizer, lambda: rosenbrock(w), calls))
    np.testing.assert_allclose(w.numpy(), 1, atol=1e-8)
    assert 30 < len(calls) < 60
    assert returned.item() == calls[0] == pytest.approx(24.2)  # what was returned first, at the start


@pytest.mark.parametrize("search", SEARCHES)
def test_least_squares_reach_what_the_normal_equations_give(search):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((30, 8)), rng.standard_normal(30)
    w = tn.Parameter(np.zeros(8))
    optimizer = optim.LBFGS([w], max_iter=60, line_search_fn=search, tolerance_change=0.0)
    optimizer.step(closure_of(optimizer, lambda: ((put(a) @ w - put(b)) ** 2).sum()))
    np.testing.assert_allclose(w.numpy(), np.linalg.lstsq(a, b, rcond=None)[0], atol=1e-7)


def test_decay_and_maximize_are_part_of_what_is_searched():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((30, 8)), rng.standard_normal(30)
    w = tn.Parameter(np.zeros(8))
    options = {"line_search_fn": "strong_wolfe", "weight_decay": 3.0, "maximize": True, "tolerance_change": 0.0}
    optimizer = optim.LBFGS([w], max_iter=60, **options)
    optimizer.step(closure_of(optimizer, lambda: -((put(a) @ w - put(b)) ** 2).sum()))
    np.testing.assert_allclose(w.numpy(), np.linalg.solve(2 * a.T @ a + 3 * np.eye(8), 2 * a.T @ b), atol=1e-7)


# ------------------------------------------------------------------------------------------------------- direction


def test_the_direction_is_that_of_the_matrix_that_the_pairs_stand_for():
    """H <- (I - s y^T / y s) H (I - y s^T / y s) + s s^T / y s for each pair, from H = (y s / y y) I of the last."""
    rng = np.random.default_rng(0)
    curved = np.diag(np.logspace(0, 2, 6))
    m, grad = Memory(), rng.standard_normal(6)
    m.turn(grad, 4)
    np.testing.assert_array_equal(m.direction, -grad)
    pairs = []
    for _ in range(7):
        m.t = rng.uniform(0.5, 2)
        s = m.t * m.direction
        pairs = [*pairs, (s, curved @ s)][-4:]
        grad = grad + curved @ s
        m.turn(grad, 4)
        s, y = pairs[-1]
        h = np.eye(6) * (y @ s) / (y @ y)
        for s, y in pairs:
            left = np.eye(6) - np.outer(s, y) / (y @ s)
            h = left @ h @ left.T + np.outer(s, s) / (y @ s)
        np.testing.assert_allclose(m.direction, -h @ grad, rtol=1e-9)
        assert len(m.steps) == len(m.changes) == len(m.curvatures) == len(pairs)


def test_a_pair_along_which_the_loss_does_not_curve_upwards_is_left_out():
    m = Memory()
    m.turn(np.array([1.0, 0.0]), 10)
    m.t = 1.0
    m.turn(np.array([2.0, 0.0]), 10)  # downhill, and steeper still
    assert m.steps == []
    np.testing.assert_array_equal(m.direction, [-2.0, 0.0])


# ------------------------------------------------------------------------------------------------------ line search


def place(f, slope, t):
    return Trial(t, float(f(t)), float(slope(t)), None)


LINES = {
    "bowl": (lambda t: (t - 3.0) ** 2, lambda t: 2 * (t - 3.0)),
    "flat far away": (lambda t: -t / (t**2 + 2), lambda t: (t**2 - 2) / (t**2 + 2) ** 2),
    "fifth power": (
        lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
        lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
    ),
    "wall": (lambda t: 50 * max(0.0, t - 1) ** 4 - t, lambda t: 200 * max(0.0, t - 1) ** 3 - 1),
    "steep": (lambda t: np.exp(8 * t) / 8 - 30 * t, lambda t: np.exp(8 * t) - 30),
    "almost a corner": (lambda t: np.sqrt((t - 3) ** 2 + 1e-4), lambda t: (t - 3) / np.sqrt((t - 3) ** 2 + 1e-4)),
    "ripples": (lambda t: (t - 3) ** 2 / 4 + np.cos(9 * t) / 5, lambda t: (t - 3) / 2 - 9 * np.sin(9 * t) / 5),
    "waves": (lambda t: np.cos(3 * t) / 3 - t + 0.1 * t**2, lambda t: -np.sin(3 * t) - 1 + 0.2 * t),
}


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize("line", LINES)
def test_what_the_search_finds_fulfils_the_strong_wolfe_conditions(line, first):
    f, slope = LINES[line]
    looks = []

    def evaluate(t):
        looks.append(t)
        return place(f, slope, t)

    start = place(f, slope, 0.0)
    assert start.slope < 0
    with np.errstate(over="ignore"):  # exp(8000)
        found = strong_wolfe(evaluate, start, first, most=40, shortest=0.0)
    assert found.loss <= start.loss + 1e-4 * found.t * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)
    assert found.t in looks
    assert len(looks) < 20


def test_a_search_that_may_not_look_any_further_takes_the_best():
    f, slope = LINES["bowl"]
    for most in range(4):
        looks = []
        found = strong_wolfe(
            lambda t, looks=looks: looks.append(t) or place(f, slope, t), place(f, slope, 0.0), 1e-3, most, 0.0
        )
        assert len(looks) == most + 1
        assert found.loss == min(map(f, [0.0, *looks]))
    assert strong_wolfe(lambda t: place(f, slope, t), place(f, slope, 0.0), 1e3, 0, 0.0).t == 0.0  # nowhere is better


def test_a_place_that_is_higher_than_the_one_before_ends_the_way_ahead():
    """Though it is low enough, and still falls steeply: the minimum lies between the two."""
    places, looks = iter([(-10.0, -5.0), (-9.0, -5.0), (-11.0, 0.0)]), []

    def evaluate(t):
        looks.append(t)
        return Trial(t, *next(places), None)

    found = strong_wolfe(evaluate, Trial(0.0, 0.0, -1.0, None), 1.0, most=9, shortest=0.0)
    assert looks[0] < found.t == looks[2] < looks[1]


def test_a_corner_is_narrowed_down_only_so_far():
    """Its slope is 1 in size everywhere, and never small enough."""

    def corner(t):
        return place(lambda t: abs(t - np.pi), lambda t: np.sign(t - np.pi), t)

    found = strong_wolfe(corner, corner(0.0), 1.0, most=60, shortest=1e-3)
    assert 1e-7 < abs(found.t - np.pi) < 1e-3


def test_the_minimum_of_a_cubic():
    """t^3 - 3 t is lowest at 1, and a cubic is known from two places and their slopes."""

    def at(t):
        return place(lambda t: t**3 - 3 * t, lambda t: 3 * t**2 - 3, t)

    for a, b in ((0.0, 2.0), (2.0, 0.0), (0.5, 4.0), (-0.9, 1.1)):
        assert cubic_minimum(at(a), at(b), -9.0, 9.0) == pytest.approx(1)
        assert cubic_minimum(at(a), at(b), 1.5, 9.0) == 1.5
        assert cubic_minimum(at(a), at(b), -9.0, 0.5) == 0.5
    assert cubic_minimum(at(0.0), at(0.0), 0.0, 3.0) == 1.5  # one place: nothing is known
    assert cubic_minimum(Trial(0.0, 0.0, -1.0, None), Trial(1.0, -1.0, -1.0, None), 2.0, 4.0) == 4.0  # a line down
    assert cubic_minimum(Trial(0.0, 0.0, 1.0, None), Trial(1.0, 1.0, 1.0, None), -4.0, 0.5) == -4.0  # and up
    for odd in (np.nan, np.inf, 1e200):
        assert cubic_minimum(at(0.0), Trial(1.0, odd, 1.0, None), 0.0, 1.0) == 0.5
        assert cubic_minimum(at(0.0), Trial(1.0, 1.0, odd, None), 0.0, 1.0) == 0.5


# ------------------------------------------------------------------------------------------------------------ network


def net(seed=0):
    tn.manual_seed(seed)
    return tn.Sequential(L.Linear(3, 4), L.Tanh(), L.Linear(4, 2))


RNG = np.random.default_rng(0)
X, Y = tn.tensor(RNG.standard_normal((40, 3)).astype(np.float32)), tn.tensor(RNG.integers(0, 2, 40))


def train(model, optimizer, steps):
    closure = closure_of(optimizer, lambda: F.cross_entropy(model(X), Y))
    return [optimizer.step(closure).item() for _ in range(steps)]


def weights(model):
    return {name: p.numpy().copy() for name, p in model.named_parameters()}


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("history_size", [2, 100])
@pytest.mark.parametrize("stop", [0, 1, 4])
def test_resumed_as_if_never_stopped(search, history_size, stop, tmp_path):
    options = {"line_search_fn": search, "history_size": history_size, "max_iter": 3, "lr": 0.5, "weight_decay": 0.01}
    model = net()
    optimizer = optim.LBFGS(model, **options)
    train(model, optimizer, stop)
    tn.save_checkpoint(tmp_path / "a", model=model, optimizer=optimizer)
    losses = train(model, optimizer, 4)

    again = net(seed=1)
    fresh = optim.LBFGS(again)  # the hyper-parameters come with the state
    tn.load_checkpoint(tmp_path / "a", model=again, optimizer=fresh)
    assert train(again, fresh, 4) == losses
    assert_equal(weights(again), weights(model))
    a, b = optimizer.state_dict(), fresh.state_dict()
    assert_equal(a.pop("buffers"), b.pop("buffers"))
    assert a == b


def test_resumed_before_any_pair_was_kept():
    """Of a loss that curves downwards none is; and one step makes none."""
    model = net()
    optimizer = optim.LBFGS(model, max_iter=1)
    train(model, optimizer, 1)
    state = optimizer.state_dict()
    assert state["buffers"]["0.weight/steps"].shape == (0, 4, 3)
    again = net()
    again.load_state_dict(model.state_dict())
    fresh = optim.LBFGS(again)
    fresh.load_state_dict(state)
    assert train(again, fresh, 3) == train(model, optimizer, 3)


@pytest.mark.parametrize("fails_at", [None, 1, 2])
def test_sizes_that_the_first_batch_tells(fails_at):
    tn.manual_seed(0)
    model = tn.Sequential(L.Linear(None, 4), L.Tanh(), L.Linear(None, 2))
    optimizer, calls = optim.LBFGS(model, max_iter=5), []

    def loss():
        calls.append(model(X))
        if len(calls) == fails_at:
            raise KeyError
        return F.cross_entropy(calls[-1], Y)

    if fails_at:
        with pytest.raises(KeyError):
            optimizer.step(closure_of(optimizer, loss))
        np.testing.assert_array_equal(model(X).numpy(), calls[0].numpy())
    else:
        first = optimizer.step(closure_of(optimizer, loss)).item()
        assert F.cross_entropy(model(X), Y).item() < 0.99 * first


def test_the_state_is_kept_by_name():
    model = net()
    optimizer = optim.LBFGS(model, max_iter=3, max_eval=9)
    assert optimizer.state_dict()["buffers"] == {}
    assert dict(optimizer.state(model[0].weight)) == {}
    train(model, optimizer, 1)
    state = optimizer.state_dict()
    kinds = ("direction", "last_grad", "steps", "changes")
    assert state["buffers"].keys() == {f"{name}/{b}" for name, _ in model.named_parameters() for b in kinds}
    assert state["buffers"]["0.weight/steps"].shape == state["buffers"]["0.weight/changes"].shape == (2, 4, 3)
    assert state["buffers"]["2.bias/direction"].dtype == np.float32
    assert state["search"]["iterations"] == 3
    assert state["steps"] == dict.fromkeys(["0.weight", "0.bias", "2.weight", "2.bias"], 1)
    live = optimizer.state(model[2].bias)["direction"]
    np.testing.assert_array_equal(host(live), state["buffers"]["2.bias/direction"])
    live[...] = 7
    assert (optimizer.state_dict()["buffers"]["2.bias/direction"] == 7).all()
    assert (state["buffers"]["2.bias/direction"] != 7).all()  # that was a copy
    with pytest.raises(KeyError, match="not among those it optimizes"):
        optimizer.state(tn.Parameter([1.0]))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda s: s["buffers"].update({"0.weight/steps": np.zeros((1, 4, 3))}), r"'0.weight/steps' has shape \(1, 4, 3\)"),
        (lambda s: s["buffers"].update({"0.weight/direction": np.zeros((3, 4))}), r"expected shape \(4, 3\)"),
        (lambda s: s["buffers"].pop("2.bias/last_grad"), "'2.bias/last_grad' is missing"),
        (lambda s: s["buffers"].update({"9.bias/steps": np.zeros(3)}), "'9.bias/steps', which this optimizer does not keep"),
        (lambda s: s["search"].pop("t"), "the saved search has"),
        (lambda s: s.pop("search"), "expected buffers, groups, search and steps"),
        (lambda s: s["groups"][0].update(lr=-1.0), "lr is -1.0"),
        (lambda s: s["groups"][0].update(max_iter=2.5), "max_iter is 2.5"),
        (lambda s: s["groups"][0].update(params=["a"]), "for the parameters"),
        (lambda s: s["steps"].update({"9.bias": 3}), "9.bias"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, problem):
    other, model = net(), net()
    optimizer, saved = optim.LBFGS(model, lr=0.5), optim.LBFGS(other, max_iter=3, max_eval=9)
    train(other, saved, 1)
    train(model, optimizer, 2)
    state, before = saved.state_dict(), optimizer.state_dict()
    change(state)
    with pytest.raises(ValueError, match=problem):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert_equal(before.pop("buffers"), after.pop("buffers"))
    assert before == after


def test_states_of_other_optimizers_are_refused():
    model = net()
    lbfgs, adam = optim.LBFGS(model), optim.Adam(model)
    with pytest.raises(ValueError, match="LBFGS: the saved state has"):
        lbfgs.load_state_dict(adam.state_dict())
    with pytest.raises(ValueError, match="Adam: the saved hyper-parameters are"):
        adam.load_state_dict(lbfgs.state_dict())


def test_fit_gives_it_its_closure():
    model, other = net(), net()
    optimizer = optim.LBFGS(model, line_search_fn="strong_wolfe", max_iter=5)
    history = model.fit((X, Y), optimizer=optimizer, epochs=3, batch_size=40, progress=False)
    by_hand = train(other, optim.LBFGS(other, line_search_fn="strong_wolfe", max_iter=5), 3)
    assert history.loss == pytest.approx(by_hand, rel=1e-5)  # the loss before each step, as with every optimizer
    assert history.loss[2] < history.loss[1] < history.loss[0]
    assert model.evaluate((X, Y))["loss"] < history.loss[2]


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


# ------------------------------------------------------------------------------------------------ beside PyTorch


def valleys(w):
    """Many minima, differently curved everywhere, and no direction so flat that rounding decides where it goes."""
    return ((w**2 - 1) ** 2).sum() + 0.3 * (w[1:] * w[:-1]).sum()


OPTIONS = [
    {},
    {"line_search_fn": "strong_wolfe"},
    {"lr": 0.1, "max_iter": 1},
    {"lr": 0.3, "max_iter": 5, "history_size": 2},
    {"lr": 0.5, "max_iter": 4, "history_size": 3, "line_search_fn": "strong_wolfe"},
    {"max_eval": 7, "line_search_fn": "strong_wolfe"},
    {"lr": 4.0, "max_iter": 9, "line_search_fn": "strong_wolfe", "tolerance_change": 1e-5},
]


def both(function, start, options, steps):
    """The weights after each step, ours and PyTorch's, and how often each looked at the loss."""
    torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install torch")
    p, q = tn.Parameter(start), torch.tensor(start, requires_grad=True)
    ours, theirs, calls, paths = optim.LBFGS([p], **options), torch.optim.LBFGS([q], **options), ([], []), ([], [])
    for _ in range(steps):
        ours.step(closure_of(ours, lambda: function(p), calls[0]))
        theirs.step(closure_of(theirs, lambda: function(q), calls[1]))
        paths[0].append(p.numpy().copy())
        paths[1].append(q.detach().numpy().copy())
    return np.stack(paths[0]), np.stack(paths[1]), len(calls[0]), len(calls[1])


@pytest.mark.parametrize("line", LINES)
def test_the_search_looks_where_pytorchs_does(line):
    torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install torch")
    theirs = getattr(importlib.import_module("torch.optim.lbfgs"), "_strong_wolfe", None)
    if theirs is None:
        pytest.skip("this PyTorch has its line search elsewhere")
    f, slope = LINES[line]

    def one(x):
        return torch.tensor([float(x)], dtype=torch.float64)

    for first in np.logspace(-3, 1, 60):
        seen, torch_seen = [], []

        def evaluate(t, seen=seen):
            seen.append(t)
            return place(f, slope, t)

        def torch_evaluate(x, t, d, seen=torch_seen):
            seen.append(float(t))
            return float(f(float(t))), one(slope(float(t)))

        strong_wolfe(evaluate, place(f, slope, 0.0), first, most=30, shortest=0.0)
        theirs(
            torch_evaluate, None, first, one(1), f(0.0), one(slope(0.0)), one(slope(0.0))[0], tolerance_change=0.0, max_ls=30
        )
        np.testing.assert_allclose(seen, torch_seen, rtol=1e-6)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_trajectories_equal_pytorchs(dtype, options):
    """In float32 it stops at a gradient of 1e-3: what comes after that is rounding in both."""
    options = {**options, "tolerance_grad": 1e-3} if dtype == np.float32 else options
    found, wanted, looks, torch_looks = both(valleys, np.linspace(-2, 2.2, 7).astype(dtype), options, 50)
    tolerance = 1e-5 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
    assert looks == torch_looks


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_on_rosenbrock_both_go_apart_no_faster_than_rounding_takes_them(options):
    """Its valley takes a unit in the last place of the start to many: as many as PyTorch itself goes astray by that."""
    start = np.linspace(-1.5, 1.2, 6)
    found, wanted, *_ = both(rosenbrock, start, options, 12)
    astray = [np.abs(both(rosenbrock, start * (1 + k * 2e-16), options, 12)[1] - wanted) for k in (-3, -2, -1, 1, 2, 3)]
    limit = np.maximum.accumulate(np.max(astray, axis=(0, 2)))
    np.testing.assert_array_less(np.abs(found - wanted).max(axis=1), 1e-10 + 30 * limit)


def test_defaults_are_pytorchs():
    torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install torch")
    ours = optim.LBFGS([tn.Parameter([1.0])]).param_groups[0]
    theirs = torch.optim.LBFGS([torch.ones(1, requires_grad=True)]).param_groups[0]
    assert theirs["max_eval"] == ours["max_iter"] * 5 // 4  # None is that
    assert {**ours, "params": 0, "max_eval": 25} == {**theirs, "params": 0, "weight_decay": 0.0, "maximize": False}
