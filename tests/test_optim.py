"""Update rules: every optimizer's trajectory beside its formula, written here once more in float64 and plain NumPy."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest

import tinynet as tn
from tinynet import optim
from tinynet.kernels import compiled
from tinynet.kernels.in_place import PIECE

STEPS = 50

# ------------------------------------------------------------------------------------------------- the formulas
# Each takes the hyper-parameters and returns step(w, g, t) -> w, with its state in a closure; t counts from 1.


def sgd(o):
    return lambda w, g, t: w - o.lr * g


def momentum(o):
    dampening = o.beta if o.dampening is None else o.dampening
    state = SimpleNamespace(velocity=0.0)

    def step(w, g, t):
        state.velocity = o.beta * state.velocity + (1 - dampening) * g
        if o.nesterov:
            return w - o.lr * (o.beta * state.velocity + (1 - dampening) * g)
        return w - o.lr * state.velocity

    return step


def rmsprop(o):
    state = SimpleNamespace(square=0.0, average=0.0, velocity=0.0)

    def step(w, g, t):
        state.square = o.beta * state.square + (1 - o.beta) * g**2
        state.average = o.beta * state.average + (1 - o.beta) * g
        variance = state.square - state.average**2 if o.centered else state.square
        state.velocity = o.momentum * state.velocity + g / (np.sqrt(variance) + o.eps)
        return w - o.lr * state.velocity

    return step


def adam(o):
    state = SimpleNamespace(m=0.0, v=0.0, largest=0.0)

    def step(w, g, t):
        state.m = o.beta1 * state.m + (1 - o.beta1) * g
        state.v = o.beta2 * state.v + (1 - o.beta2) * g**2
        state.largest = np.maximum(state.largest, state.v)
        v = state.largest if o.amsgrad else state.v
        return w - o.lr * (state.m / (1 - o.beta1**t)) / (np.sqrt(v / (1 - o.beta2**t)) + o.eps)

    return step


def adagrad(o):
    state = SimpleNamespace(total=o.initial_accumulator_value)

    def step(w, g, t):
        state.total = state.total + g**2
        return w - o.lr / (1 + (t - 1) * o.lr_decay) * g / (np.sqrt(state.total) + o.eps)

    return step


def adadelta(o):
    state = SimpleNamespace(square=0.0, steps=0.0)

    def step(w, g, t):
        state.square = o.rho * state.square + (1 - o.rho) * g**2
        delta = np.sqrt(state.steps + o.eps) / np.sqrt(state.square + o.eps) * g
        state.steps = o.rho * state.steps + (1 - o.rho) * delta**2
        return w - o.lr * delta

    return step


def adamax(o):
    state = SimpleNamespace(m=0.0, largest=0.0)

    def step(w, g, t):
        state.m = o.beta1 * state.m + (1 - o.beta1) * g
        state.largest = np.maximum(o.beta2 * state.largest, np.abs(g) + o.eps)
        return w - o.lr / (1 - o.beta1**t) * state.m / state.largest

    return step


def nadam(o):
    state = SimpleNamespace(m=0.0, v=0.0, product=1.0)

    def step(w, g, t):
        now, next_ = (o.beta1 * (1 - 0.5 * 0.96 ** (s * o.momentum_decay)) for s in (t, t + 1))
        state.product *= now
        state.m = o.beta1 * state.m + (1 - o.beta1) * g
        state.v = o.beta2 * state.v + (1 - o.beta2) * g**2
        ahead = (1 - now) / (1 - state.product) * g + next_ / (1 - state.product * next_) * state.m
        return w - o.lr * ahead / (np.sqrt(state.v / (1 - o.beta2**t)) + o.eps)

    return step


def radam(o):
    state = SimpleNamespace(m=0.0, v=0.0)
    limit = 2 / (1 - o.beta2) - 1

    def step(w, g, t):
        state.m = o.beta1 * state.m + (1 - o.beta1) * g
        state.v = o.beta2 * state.v + (1 - o.beta2) * g**2
        m, rho = state.m / (1 - o.beta1**t), limit - 2 * t * o.beta2**t / (1 - o.beta2**t)
        if rho <= 5:
            return w - o.lr * m
        rectified = np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
        return w - o.lr * m * rectified * np.sqrt(1 - o.beta2**t) / (np.sqrt(state.v) + o.eps)

    return step


def lion(o):
    state = SimpleNamespace(m=0.0)

    def step(w, g, t):
        direction = np.sign(o.beta1 * state.m + (1 - o.beta1) * g)
        state.m = o.beta2 * state.m + (1 - o.beta2) * g
        return w - o.lr * direction

    return step


MOMENTS = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
# name: (formula, the defaults that API.md promises, the variants to run)
FORMULAS = {
    "SGD": (sgd, {"lr": 0.01}, [{}, {"lr": 0.3}]),
    "Momentum": (
        momentum,
        {"lr": 0.01, "beta": 0.9, "dampening": None, "nesterov": False},
        [
            {"dampening": dampening, "nesterov": nesterov, "beta": 0.8}
            for dampening in (None, 0.0, 0.5)
            for nesterov in (False, True)
        ],
    ),
    "RMSprop": (
        rmsprop,
        {"lr": 0.01, "beta": 0.9, "eps": 1e-8, "momentum": 0.0, "centered": False},
        [{}, {"centered": True, "beta": 0.95}, {"momentum": 0.7}, {"centered": True, "momentum": 0.7, "eps": 1e-3}],
    ),
    "Adam": (
        adam,
        {**MOMENTS, "lr": 0.001, "amsgrad": False},
        [{}, {"amsgrad": True}, {"lr": 0.1, "beta1": 0.5, "beta2": 0.9, "eps": 0.1}],
    ),
    "AdamW": (
        adam,
        {**MOMENTS, "lr": 0.001, "amsgrad": False, "weight_decay": 0.01},
        [{"amsgrad": True}],
    ),
    "Adagrad": (
        adagrad,
        {"lr": 0.01, "lr_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
        [{"lr_decay": 0.1}, {"initial_accumulator_value": 0.5}],
    ),
    "Adadelta": (adadelta, {"lr": 1.0, "rho": 0.9, "eps": 1e-6}, [{"rho": 0.5}]),
    "Adamax": (adamax, {**MOMENTS, "lr": 0.002}, [{"beta2": 0.5}]),
    "NAdam": (
        nadam,
        {**MOMENTS, "lr": 0.002, "momentum_decay": 4e-3, "decoupled_weight_decay": False},
        [{"momentum_decay": 0.1}, {"decoupled_weight_decay": True}],
    ),
    "RAdam": (
        radam,
        {**MOMENTS, "lr": 0.001, "decoupled_weight_decay": False},
        [{"beta2": 0.9}, {"decoupled_weight_decay": True}],
    ),
    "Lion": (lion, {"lr": 1e-4, "beta1": 0.9, "beta2": 0.99}, [{"beta1": 0.5}]),
}
DECOUPLED = {"AdamW", "Lion"}  # their weight decay takes lr * weight_decay * w off the weight itself
# Steps of one size round a weight to one side again and again: 50 times half a unit in the last place, 3e-6, at worst.
ONE_SIDED = {"AdamW", "Lion"}
RATES = {"Adagrad": 0.5, "Adadelta": 5.0}  # where the rate of the others would only crawl
VARIANTS = [(name, variant) for name, (_, _, variants) in FORMULAS.items() for variant in ({}, *variants)]


def gradients(shape, dtype, seed=0):
    """Fifty gradients of different scales from weight to weight, with zeros among them."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-3, 1, shape)
    for _ in range(STEPS):
        yield np.asarray(rng.standard_normal(shape) * scale * (rng.random(shape) > 0.1), dtype)


def start(shape, dtype):
    return np.asarray(np.random.default_rng(1).uniform(0.5, 2, shape), dtype)


def expected(name, keywords, shape, dtype):
    """The weights after fifty steps of the formula, in float64, and the largest that each has been on its way."""
    formula, defaults, _ = FORMULAS[name]
    o = SimpleNamespace(**{"weight_decay": 0.0, "maximize": False, **defaults, **keywords})
    step, w = formula(o), start(shape, dtype).astype(np.float64)
    reach = np.abs(w)
    for t, g in enumerate(gradients(shape, dtype), 1):
        g = (-1 if o.maximize else 1) * g.astype(np.float64)
        if name in DECOUPLED or getattr(o, "decoupled_weight_decay", False):
            w = w - o.lr * o.weight_decay * w
        else:
            g = g + o.weight_decay * w
        w = step(w, g, t)
        reach = np.maximum(reach, np.abs(w))
    return w, reach


def run(name, keywords, shape, dtype, layout=None):
    """The weights after fifty steps of the library's optimizer; ``layout`` lays the data out otherwise on the way."""
    p = tn.Parameter(start(shape, dtype))
    optimizer = getattr(optim, name)([p], **keywords)
    for i, g in enumerate(gradients(shape, dtype)):
        if layout is not None and i % 7 == 0:
            p.data = layout(p.data)
        p.grad = g
        optimizer.step()
    assert p.data.dtype == dtype
    assert all(b.dtype == dtype for b in optimizer.state(p).values())
    return p.numpy()


def check(name, keywords, shape, dtype, layout=None):
    wanted, reach = expected(name, keywords, shape, dtype)
    found = run(name, keywords, shape, dtype, layout)
    tolerance = 1e-12 if dtype == np.float64 else 3e-6 if name in ONE_SIDED else 1e-6
    np.testing.assert_array_less(np.abs(found - wanted), tolerance * reach)


@pytest.fixture
def array_code(monkeypatch):
    monkeypatch.setattr(compiled, "WANTED", False)


def test_every_optimizer_has_its_formula_here():
    classes = {n: c for n, c in vars(optim).items() if inspect.isclass(c) and issubclass(c, optim.Optimizer)}
    assert {n for n, c in classes.items() if c.elementwise} - {"Optimizer"} == FORMULAS.keys()  # the others: their own files


@pytest.mark.parametrize("name", FORMULAS)
def test_defaults_are_those_of_the_contract(name):
    group = getattr(optim, name)([tn.Parameter([1.0])]).param_groups[0]
    assert {k: v for k, v in group.items() if k != "params"} == {"weight_decay": 0.0, "maximize": False, **FORMULAS[name][1]}


@pytest.mark.usefixtures("array_code")
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("maximize", [False, True], ids=["min", "max"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("name", "variant"), VARIANTS, ids=str)
def test_trajectory(name, variant, decay, maximize, dtype):
    check(name, {**variant, "weight_decay": decay, "maximize": maximize}, (3, 5), dtype)


@pytest.mark.usefixtures("array_code")
@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 1, 3), (PIECE + 5,), (3, PIECE)], ids=str)
@pytest.mark.parametrize("name", FORMULAS)
def test_every_shape(name, shape):
    check(name, {"weight_decay": 0.1}, shape, np.float64)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize(
    "layout",
    [lambda a: a.T.copy().T, lambda a: a.repeat(2, axis=-1)[..., ::2], lambda a: a[::-1, ::-1].copy()[::-1, ::-1]],
    ids=["column-major", "strided", "reversed"],
)
def test_data_rebound_to_another_layout(name, layout):
    check(name, {}, (60, 90), np.float64, layout)  # large enough for a compiled loop, which must not be given such data


@pytest.mark.parametrize(
    ("name", "variant", "dtype"),
    [(*case, np.float32) for case in VARIANTS] + [(name, {"weight_decay": 0.1}, np.float64) for name in FORMULAS],
    ids=str,
)
def test_compiled_loop_computes_the_formula(name, variant, dtype):
    pytest.importorskip("numba", reason="the compiled loops need Numba: pip install 'tinynet[fast]'")
    check(name, variant, (49_157,), dtype)


# ------------------------------------------------------------------------------------------- golden steps, by hand


@pytest.mark.parametrize(
    ("make", "weights"),
    [
        # w = 1 and every gradient 2, so that each number below can be had with pencil and paper.
        (lambda p: optim.SGD([p], lr=0.25), [0.5, 0.0]),
        (lambda p: optim.SGD([p], lr=0.25, weight_decay=2.0), [0.0, -0.5]),  # 2 + 2 * 1, then 2 + 2 * 0
        (lambda p: optim.SGD([p], lr=0.25, maximize=True), [1.5, 2.0]),
        (lambda p: optim.SGD([p], lr=0.25, maximize=True, weight_decay=2.0), [1.0, 1.0]),  # -2 + 2 * 1 = 0
        # velocity 0.2, then 0.9 * 0.2 + 0.1 * 2 = 0.38
        (lambda p: optim.Momentum([p], lr=0.5), [0.9, 0.71]),
        # velocity 2, then 0.9 * 2 + 2 = 3.8
        (lambda p: optim.Momentum([p], lr=0.5, dampening=0.0), [0.0, -1.9]),
        # velocity 1, then 0.9 * 1 + 0.5 * 2 = 1.9
        (lambda p: optim.Momentum([p], lr=0.5, dampening=0.5), [0.5, -0.45]),
        # ahead of velocity 2: 0.9 * 2 + 2 = 3.8; ahead of 3.8: 0.9 * 3.8 + 2 = 5.42
        (lambda p: optim.Momentum([p], lr=0.5, dampening=0.0, nesterov=True), [-0.9, -3.61]),
        # ahead of velocity 0.2: 0.9 * 0.2 + 0.2 = 0.38; ahead of 0.38: 0.9 * 0.38 + 0.2 = 0.542
        (lambda p: optim.Momentum([p], lr=0.5, nesterov=True), [0.81, 0.539]),
        # squared_grad 0.25 * 4 = 1, so 0.1 * 2 / 1; then 0.75 + 1 = 1.75, so 0.1 * 2 / sqrt(1.75)
        (lambda p: optim.RMSprop([p], lr=0.1, beta=0.75, eps=0.0), [0.8, 0.8 - 0.2 / 1.75**0.5]),
        (lambda p: optim.RMSprop([p], lr=0.1, beta=0.75, eps=1.0), [0.9, 0.9 - 0.2 / (1.75**0.5 + 1)]),
        # squared_grad 1 less the square of the average 0.5: sqrt 0.75
        (lambda p: optim.RMSprop([p], lr=0.1, beta=0.75, eps=0.0, centered=True), [1 - 0.2 / 0.75**0.5]),
        # a constant gradient: both averages corrected are the gradient and its square, every step is lr
        (lambda p: optim.Adam([p], lr=0.125, eps=0.0), [0.875, 0.75]),
        (lambda p: optim.Adam([p], lr=0.125, eps=2.0), [1 - 0.125 / 2, 1 - 0.125]),  # eps beside the root, not in it
        # a quarter of lr weight_decay off the weight, and a step of lr; the gradient's averages see nothing of it
        (lambda p: optim.AdamW([p], lr=0.125, eps=0.0, weight_decay=2.0), [0.625, 0.625 * 0.75 - 0.125]),
        # the sum of squares 4, then 8
        (lambda p: optim.Adagrad([p], lr=0.5, eps=0.0), [0.5, 0.5 - 1 / 8**0.5]),
        (
            lambda p: optim.Adagrad([p], lr=0.5, eps=0.0, lr_decay=1.0, initial_accumulator_value=12.0),
            [0.75, 0.75 - 0.5 / 20**0.5],
        ),
        # squared_grad 1, squared_delta 0: sqrt(1 / 2) * 2; then 1.75 and 0.25 * 2: sqrt(1.5 / 2.75) * 2
        (lambda p: optim.Adadelta([p], rho=0.75, eps=1.0), [1 - 2**0.5, 1 - 2**0.5 - 2 * (1.5 / 2.75) ** 0.5]),
        # the average corrected is 2, the largest 2
        (lambda p: optim.Adamax([p], lr=0.125, eps=0.0), [0.875, 0.75]),
        # mu is beta1 without end, the product 0.5, then 0.25: 2 (1 - 0.5) / 0.5 + 1 * 0.5 / 0.75 over 2
        (lambda p: optim.NAdam([p], lr=0.75, beta1=0.5, eps=0.0, momentum_decay=1e6), [1 - 0.75 - 0.75 / 3]),
        # momentum alone at first; with beta2 = 0.5 rho is never above 3
        (lambda p: optim.RAdam([p], lr=0.125), [0.75, 0.5]),
        (lambda p: optim.RAdam([p], lr=0.125, beta2=0.5), [1 - 0.25 * t for t in range(1, 40)]),
        # a sign, and a quarter of the weight
        (lambda p: optim.Lion([p], lr=0.125), [0.875, 0.75]),
        (lambda p: optim.Lion([p], lr=0.125, weight_decay=2.0, maximize=True), [0.875, 0.78125]),
    ],
)
def test_golden_steps(make, weights):
    p = tn.Parameter([1.0], dtype=np.float64)
    optimizer = make(p)
    for w in weights:
        p.grad = np.array([2.0])
        optimizer.step()
        assert p.item() == pytest.approx(w, abs=1e-14)


def test_amsgrad_remembers_the_largest():
    p = tn.Parameter([0.0], dtype=np.float64)
    optimizer = optim.Adam([p], lr=1.0, beta1=0.0, beta2=0.5, eps=0.0, amsgrad=True)
    p.grad = np.array([2.0])
    optimizer.step()  # squared_grad 2, corrected by 1 - 0.5: 4, a step of 2 / 2
    assert p.item() == pytest.approx(-1.0)
    p.grad = np.array([1.0])
    optimizer.step()  # squared_grad 1.5, the largest still 2, corrected by 1 - 0.25: a step of 1 / sqrt(8 / 3)
    assert p.item() == pytest.approx(-1.0 - (3 / 8) ** 0.5)


def test_averages_are_unbiased_in_their_first_step():
    """Adam's first step is lr in size whatever the gradient's scale, from 1e-4 to 1e4."""
    p = tn.Parameter(np.zeros(9))
    optimizer = optim.Adam([p], lr=0.01)
    p.grad = np.logspace(-4, 4, 9)
    optimizer.step()
    np.testing.assert_allclose(p.numpy(), -0.01, rtol=1e-3)


def test_momentum_of_the_average_takes_the_steps_of_the_heavy_ball():
    """With lr ten times larger, as the docstring says: Momentum(lr=0.1) is torch.optim.SGD(lr=0.01, momentum=0.9)."""
    average = run("Momentum", {"lr": 0.1}, (4,), np.float64)
    heavy = run("Momentum", {"lr": 0.01, "dampening": 0.0}, (4,), np.float64)
    np.testing.assert_allclose(average, heavy, rtol=1e-12)


# ------------------------------------------------------------------------------------------------ they do optimize


@pytest.mark.parametrize("name", FORMULAS)
def test_descends_on_an_oblong_bowl(name):
    w = tn.Parameter([3.0, -2.0], dtype=np.float64)
    optimizer = getattr(optim, name)([w], lr=RATES.get(name, 0.05))
    for _ in range(400):
        optimizer.zero_grad()
        loss = (w * w * tn.tensor([1.0, 10.0])).sum()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


@pytest.mark.parametrize("name", FORMULAS)
def test_maximize_climbs(name):
    w = tn.Parameter([0.5], dtype=np.float64)
    optimizer = getattr(optim, name)([w], lr=RATES.get(name, 0.05), maximize=True)
    for _ in range(300):
        optimizer.zero_grad()
        (-((w - 2) ** 2)).sum().backward()
        optimizer.step()
    assert w.item() == pytest.approx(2, abs=0.1)
