"""Surfaces and the paths over them: their gradients and minima, each path equal to stepping by hand, what is refused."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import optim
from tinynet.compare import Surface, fewest_steps, surfaces, trajectories
from tinynet.compare.contours import fitting_window, grid_values, until_it_leaves

pytestmark = pytest.mark.cpu  # two numbers and drawings: always computed on the CPU

SURFACES = {name: s for name, s in vars(surfaces).items() if isinstance(s, Surface)}
RULES = {
    "SGD": lambda params: optim.SGD(params, lr=0.002),
    "Momentum": lambda params: optim.Momentum(params, lr=0.02, beta=0.8),
    "RMSprop": lambda params: optim.RMSprop(params, lr=0.1),
    "Adam": lambda params: optim.Adam(params, lr=0.2),
}
RATED = {"SGD": lambda params, lr: optim.SGD(params, lr=lr), "Adam": lambda params, lr: optim.Adam(params, lr=lr)}


# --------------------------------------------------------------------------------------------------------- surfaces


def test_the_three_of_the_textbook():
    assert set(SURFACES) == {"oblong_bowl", "rosenbrock", "beale"}


@pytest.mark.parametrize("name", SURFACES)
def test_gradients(name):
    for seed in range(3):
        x = np.random.default_rng(seed).uniform(-2, 2, 2)
        assert tn.gradcheck(SURFACES[name], [x], order=2)


@pytest.mark.parametrize("name", SURFACES)
def test_minima(name):
    surface = SURFACES[name]
    x = tn.tensor(np.array(surface.minimum), requires_grad=True)
    value = surface(x)
    assert value.item() == pytest.approx(0, abs=1e-30)
    value.backward()
    np.testing.assert_allclose(x.grad.numpy(), 0, atol=1e-12)
    around = np.array(surface.minimum)[:, None] + 0.1 * np.random.default_rng(0).standard_normal((2, 100))
    assert (surface(around) > 0).all()
    (x0, x1), (y0, y1) = surface.window
    for x, y in (surface.start, surface.minimum):
        assert x0 < x < x1
        assert y0 < y < y1


def test_values_known_from_the_literature():
    assert float(surfaces.rosenbrock(np.array([-1.2, 1.0]))) == pytest.approx(24.2)
    assert float(surfaces.beale(np.array([1.0, 1.0]))) == pytest.approx(14.203125)
    assert float(surfaces.oblong_bowl(np.array([1.0, 1.0]))) == 13.0
    assert float(surfaces.bowl(4.0)(np.array([1.0, 1.0]))) == 2.5
    with pytest.raises(ValueError, match=r"bowl: condition is 0\.5, expected a number of at least 1"):
        surfaces.bowl(0.5)


def plane(x):
    return x[0] + 2 * x[1]


def of_one_point(x):
    return (x @ x) * 0.5  # of many points at once it would be a matrix


def with_a_sum(x):
    return (x * x).sum()  # of many points at once it would be one number


@pytest.mark.parametrize("surface", [surfaces.beale, plane, of_one_point, with_a_sum])
def test_values_over_a_grid(surface):
    xs, ys, values = grid_values(surface, ((-1, 2), (0, 1)))
    assert (xs[0], xs[-1], ys[0], ys[-1]) == (-1, 2, 0, 1)
    expected = [[surface(tn.tensor(np.array([x, y]))).item() for x in xs[::13]] for y in ys[::13]]
    np.testing.assert_allclose(values[::13, ::13], expected, rtol=1e-12)


# ------------------------------------------------------------------------------------------------------------ paths


@pytest.mark.parametrize("label", RULES)
@pytest.mark.parametrize("name", SURFACES)
def test_a_path_is_what_stepping_by_hand_gives(name, label):
    surface = SURFACES[name]
    found = trajectories(surface, {label: RULES[label]}, start=(0.5, 0.25), steps=20)
    x = tn.Parameter(np.array([0.5, 0.25]))
    optimizer = RULES[label]([x])
    path, values = [x.numpy().copy()], [surface(x).item()]
    for _ in range(20):
        optimizer.zero_grad()
        surface(x).backward()
        optimizer.step()
        path.append(x.data.copy())
        values.append(surface(x).item())
    np.testing.assert_array_equal(found.paths[label], path)
    np.testing.assert_array_equal(found.values[label], values)
    assert found.paths[label].dtype == np.float64
    assert found.lrs == {label: None}


def test_any_function_of_two_numbers():
    found = trajectories(with_a_sum, RULES, start=[1, -1], steps=5)
    assert found.name == "with_a_sum"
    assert found.minimum is None
    assert "from the minimum" not in str(found.table())
    assert {path.shape for path in found.paths.values()} == {(6, 2)}


def test_plain_descent_on_the_bowl_is_known_in_closed_form():
    """Each coordinate shrinks by 1 - lr * curvature a step."""
    found = trajectories(surfaces.oblong_bowl, {"SGD": lambda p: optim.SGD(p, lr=0.07)}, start=(-8, 1.8), steps=30)
    t = np.arange(31)[:, None]
    np.testing.assert_allclose(found.paths["SGD"], [-8, 1.8] * (1 - 0.07 * np.array([1, 25])) ** t, rtol=1e-10)


def test_what_the_textbook_draws():
    """Too large a rate overshoots, too small a rate crawls; momentum damps across and keeps its pace along; RMSprop turns
    straight down the valley."""
    found = trajectories(
        surfaces.oblong_bowl,
        {
            "large": lambda p: optim.SGD(p, lr=0.082),
            "small": lambda p: optim.SGD(p, lr=0.005),
            "SGD": lambda p: optim.SGD(p, lr=0.075),
            "Momentum": lambda p: optim.Momentum(p, lr=0.1, beta=0.7),
            "RMSprop": lambda p: optim.RMSprop(p, lr=0.25),
        },
        steps=30,
    )
    x, y = ({label: path[:, i] for label, path in found.paths.items()} for i in (0, 1))
    turns = {label: int((np.diff(np.sign(v)) != 0).sum()) for label, v in y.items()}
    assert turns["large"] == turns["SGD"] == 30
    assert abs(y["large"][-1]) > abs(y["large"][0])
    assert x["small"][-1] < -6.5
    assert turns["Momentum"] < 10
    assert abs(y["Momentum"][-1]) < abs(y["SGD"][-1])
    assert abs(x["Momentum"][-1]) < abs(x["SGD"][-1])
    assert y["RMSprop"].min() > -0.01
    assert abs(y["RMSprop"][12]) < 0.05 < abs(x["RMSprop"][12])


def test_lbfgs_needs_few_steps():
    found = trajectories(surfaces.oblong_bowl, {"LBFGS": lambda p: optim.LBFGS(p, lr=1.0, max_iter=1)}, steps=20)
    assert found.values["LBFGS"][-1] < 1e-9


def test_a_path_that_diverges_ends_there():
    found = trajectories(surfaces.oblong_bowl, {"SGD": lambda p: optim.SGD(p, lr=10.0)}, steps=100)
    (step,) = found.diverged.values()
    assert len(found.paths["SGD"]) == len(found.values["SGD"]) == step + 1 < 20
    assert f"{step} (diverged)" in str(found.table())
    assert found.title("SGD") == "SGD (diverged)"
    assert found.table().rows[0]["diverged"] is True


def test_rates():
    """One for all, one for each, the best of several, and the best of the default ones where none is given."""
    bowl = surfaces.oblong_bowl
    assert trajectories(bowl, RATED, steps=20, lrs=0.05).lrs == {"SGD": 0.05, "Adam": 0.05}
    assert trajectories(bowl, RATED, steps=20, lrs={"SGD": 0.05, "Adam": 0.5}).lrs == {"SGD": 0.05, "Adam": 0.5}
    found = trajectories(bowl, RATED, steps=20, lrs={"SGD": [0.01, 0.07, 10.0], "Adam": 0.5})
    assert found.lrs == {"SGD": 0.07, "Adam": 0.5}
    chosen = trajectories(bowl, {**RATED, "fixed": lambda p: optim.SGD(p, lr=0.05)}, steps=20)
    assert chosen.lrs["SGD"] == 0.03  # 0.1 diverges: it is above 2 / 25
    assert chosen.lrs["fixed"] is None
    assert trajectories(bowl, {"SGD": optim.SGD}, steps=5).lrs == {"SGD": None}  # a class has a rate of its own
    best = trajectories(bowl, RATED, steps=20, lrs={"SGD": 0.03, "Adam": 0.5})
    np.testing.assert_array_equal(best.paths["SGD"], chosen.paths["SGD"])


def test_the_table():
    found = trajectories(surfaces.oblong_bowl, RATED, steps=20, lrs=0.05)
    row = found.table().rows[0]
    assert row["value"] == found.values["SGD"][-1]
    assert row["point"] == tuple(found.paths["SGD"][-1])
    assert row["distance"] == pytest.approx(np.hypot(*row["point"]))
    assert str(found.table()).splitlines()[0].split() == [
        "optimizer",
        "lr",
        "steps",
        "value",
        "at",
        "from",
        "the",
        "minimum",
    ]
    assert str(found.table()) in repr(found)


def test_fewest_steps():
    """At the best rate, 2 / (1 + 25), plain descent gains (25 - 1) / (25 + 1) a step: the value its square."""
    rows = fewest_steps(
        surfaces.oblong_bowl, RATED, (-8, 1.8), lrs={"SGD": [0.04, 2 / 26, 0.5], "Adam": [1e-5]}, most=150
    ).rows
    start = float(surfaces.oblong_bowl(np.array([-8, 1.8])))
    assert rows[0] == {
        "optimizer": "SGD",
        "lr": 2 / 26,
        "steps": int(np.ceil(np.log(1e-6 / start) / np.log((24 / 26) ** 2))),
    }
    assert rows[1] == {"optimizer": "Adam", "lr": None, "steps": None}
    text = str(fewest_steps(surfaces.oblong_bowl, RATED, (-8, 1.8), level=1.0, most=30, lrs=[0.05]))
    assert text.splitlines()[0].split() == ["optimizer", "best", "lr", "steps", "to", "1"]
    assert "more than 30" in text


def test_fewest_steps_asks_to_stay_there():
    """Momentum rolls through the minimum of a round bowl long before it comes to rest."""
    rules = {"heavy": lambda p, lr: optim.Momentum(p, lr=lr, beta=0.95)}
    options = {"surface": surfaces.bowl(1.0), "optimizers": rules, "start": (1.0, 0.0), "level": 1e-2, "lrs": 0.5}
    passing, staying = (fewest_steps(**options, stay=n).rows[0]["steps"] for n in (0, 20))
    assert passing < staying
    values = trajectories(surfaces.bowl(1.0), {"heavy": lambda p: rules["heavy"](p, 0.5)}, (1.0, 0.0), staying + 20).values[
        "heavy"
    ]
    assert (values[staying:] <= 1e-2).all()
    assert values[passing] <= 1e-2 < values[passing - 1]
    assert values[staying - 1] > 1e-2


# -------------------------------------------------------------------------------------------------------- the window


def test_the_window_holds_start_and_minimum_and_grows_a_little_for_the_paths():
    base = ((-1.0, 1.0), (-1.0, 1.0))
    near, far = np.array([[0.0, 0.0], [1.5, 0.0]]), np.array([[0.0, 0.0], [0.0, -99.0], [np.inf, 0.0]])
    assert fitting_window([], [(0, 0)], base) == base
    assert fitting_window([near], [(0, 0)], base)[0] == pytest.approx((-1.0, 1.62))
    assert fitting_window([far], [(0, 0)], base)[1] == pytest.approx((-2.12, 1.0))
    assert fitting_window([], [(0, 0), (9, 0)], base)[0] == pytest.approx((-1.0, 9.12))
    (x0, x1), (y0, y1) = fitting_window([far[:1]], [(0, 0)], None)
    assert x0 < 0 < x1
    assert y0 < 0 < y1


def test_a_path_is_drawn_until_it_leaves_for_good():
    path = np.array([[0, 0], [2, 0], [0.5, 0], [3, 0], [4, 0]], float)
    np.testing.assert_array_equal(until_it_leaves(path, ((-1, 1), (-1, 1))), path[:4])
    np.testing.assert_array_equal(until_it_leaves(path, ((-9, 9), (-1, 1))), path)


# ------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"optimizers": {}}, ValueError, "trajectories: optimizers is empty"),
        ({"optimizers": {"SGD": lambda params: 1}}, TypeError, r"optimizers\['SGD'\] returned 1, expected an optimizer"),
        ({"surface": 3}, TypeError, "surface is 3, expected a function"),
        ({"surface": plane, "start": None}, ValueError, "no start of its own; pass start="),
        ({"surface": lambda x: x}, ValueError, "the surface gave .* expected one number that depends on x"),
        ({"surface": lambda x: 1.0}, ValueError, "the surface gave 1.0, expected one number"),
        ({"surface": lambda x: x[0].log() + x[1]}, ValueError, "the surface is nan at the start"),
        ({"start": (1, 2, 3)}, ValueError, r"start is \(1, 2, 3\), expected two finite numbers"),
        ({"start": (1, np.nan)}, ValueError, "expected two finite numbers"),
        ({"steps": 0}, ValueError, "trajectories: steps: expected an integer of at least 1, got 0"),
        ({"lrs": {"SGD": 0.1}}, ValueError, "lrs has no rates for 'Momentum'"),
        ({"lrs": -0.1}, ValueError, "contain -0.1, expected positive numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        trajectories(**{"surface": surfaces.oblong_bowl, "optimizers": RULES, "start": (-1, 1), **options})
