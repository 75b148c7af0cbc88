"""L-BFGS: its direction beside the matrix formula, known minima, a network, and PyTorch's."""

import importlib

import numpy as np
import pytest
from closures import LINES, SEARCHES, X, Y, closure_of, net, place, train
from sampling import host, put
from steps import assert_equal, weights

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet import optim
from tinynet.optim.lbfgs import Memory
from tinynet.optim.linesearch import strong_wolfe


def rosenbrock(w):
    return ((1 - w[:-1]) ** 2 + 100 * (w[1:] - w[:-1] ** 2) ** 2).sum()


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


# ------------------------------------------------------------------------------------------------------------ network


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
