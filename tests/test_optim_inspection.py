"""explain and telemetry: what they tell of the next step is what the next step does, and telling changes nothing."""

import math
import types

import numpy as np
import pytest
from sampling import host, put
from update_rules import CLASSES, ELEMENTWISE, OPTIONS

import tinynet as tn
from tinynet import optim
from tinynet.backend import array_module
from tinynet.kernels import compiled
from tinynet.optim import sqrt

NUMBA = pytest.mark.skipif(not compiled.enabled(), reason="the compiled loops need Numba: pip install 'tinynet[fast]'")
ENGINES = [pytest.param("0", id="array-code"), pytest.param("1", id="compiled", marks=NUMBA)]
WHOLE = [name for name, c in CLASSES.items() if name != "Optimizer" and not c.elementwise and not c.needs_closure]
CASES = [(name, options) for name in [*ELEMENTWISE, *WHOLE] for options in OPTIONS.get(name, [{}])]
AROUND = [{}, {"weight_decay": 0.1, "maximize": True, "clip_norm": 3.0}]
RNG = np.random.default_rng(0)


def trained(name, steps=7, shape=(3, 4), dtype=np.float32, **options):
    """An optimizer in the middle of a training, with gradients for its next step."""
    rng = np.random.default_rng(3)
    params = {name: tn.Parameter(rng.uniform(0.5, 2, shape), dtype=dtype) for name in ("body", "head")}
    optimizer = CLASSES[name](list(params.items()), lr=0.01, **options)
    for step in range(steps + 1):
        for p in params.values():
            p.grad = rng.standard_normal(shape)
        if step < steps:
            optimizer.step()
    return optimizer, params["body"]


def everything(optimizer):
    state = optimizer.state_dict()
    arrays = {name: a.tobytes() for name, a in state.pop("buffers").items()}
    weights = [p.numpy().tobytes() for g in optimizer.param_groups for p in g["params"]]
    grads = [p.grad.numpy().tobytes() for g in optimizer.param_groups for p in g["params"]]
    return state, arrays, weights, grads, optimizer.grad_norm


# ------------------------------------------------------------------------------------------------------------ explain


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("around", AROUND, ids=["plain", "decay, maximize, clipped"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_the_step_is_the_one_that_was_explained(name, options, around, dtype):
    with np.errstate(all="ignore"):  # in float16 eps is 0
        optimizer, p = trained(name, dtype=dtype, **options, **around)
        before = everything(optimizer)
        told = optimizer.explain(p, (1, -1))
        assert everything(optimizer) == before
        old = p.numpy()[1, -1]
        optimizer.step()
    new = {"w": p.numpy()[1, -1], **{b: host(a)[1, -1] for b, a in optimizer.state(p).items()}}
    assert told.splitlines()[0] == f"{name}, step 8 of body[1, -1]"
    last = {line.name: dtype(line.value) for line in told.lines}
    assert told.after == {b: float(x) for b, x in new.items()}
    assert f"  w goes from {old!s} to {new['w']!s}, by " in told
    assert {b: last[b] for b in new} == new  # every buffer has a line, the last of which is what it becomes
    numbers = told.hyper.values()
    assert repr(told) == str(told)
    assert ("clip_factor" in told.hyper) == bool(around)
    assert all(type(x) is not dtype for x in numbers)


def test_the_text_of_adam():
    p = tn.Parameter([[0.0, 1.0]])
    optimizer = optim.Adam([("w", p)], lr=0.5, beta1=0.5, beta2=0.75, eps=0.5, weight_decay=2.0, maximize=True, clip_norm=4)
    optimizer.state(p)["velocity"] = put(np.array([[0.0, -1.0]]))
    p.grad = [[0.0, 6.0]]
    assert (
        optimizer.explain(p, (0, 1)).replace("0.999999", "1").replace("1.50000", "1.5")
        == """\
Adam, step 1 of w[0, 1]
  with lr = 0.5, beta1 = 0.5, beta2 = 0.75, eps = 0.5, step = 1, clip_factor = 0.666667, weight_decay = 2
  before: w = 1, grad = 6, velocity = -1, squared_grad = 0

  grad = grad * clip_factor = 6 * 0.666667 = 4
  grad = -grad = -4
  grad = grad + weight_decay * w = -4 + 2 * 1 = -2
  velocity = beta1 * velocity + (1 - beta1) * grad = 0.5 * (-1) + 0.5 * (-2) = -1.5
  squared_grad = beta2 * squared_grad + (1 - beta2) * grad ** 2 = 0.75 * 0 + 0.25 * (-2) ** 2 = 1
  v = velocity * (1 / (1 - beta1 ** step)) = -1.5 * 2 = -3
  s = squared_grad * (1 / (1 - beta2 ** step)) = 1 * 4 = 4
  w = w - lr * v / (sqrt(s) + eps) = 1 - 0.5 * (-3) / (sqrt(4) + 0.5) = 1.6

  w goes from 1.0 to 1.6, by 0.6: 0.1 times the gradient, uphill"""
    )


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_every_line_can_be_worked_out_with_a_calculator(name, options):
    """The formula with numbers in it gives what stands after it."""
    optimizer, p = trained(name, dtype=np.float64, weight_decay=0.1, maximize=True, **options)
    known = {"sqrt": math.sqrt, "abs": abs, "maximum": max, "sign": np.sign, "max": max, "math": math}
    checked = 0
    for line in optimizer.explain(p, (2, 1)).lines:
        if line.numbers:
            checked += 1
            assert eval(line.numbers, known) == pytest.approx(line.value, rel=1e-4), line
    assert checked >= 1 + len(optimizer.state(p))


class Own(optim.Optimizer):
    """One with most of what the reader reads."""

    buffers = ("average", "largest")
    defaults = {"lr": 0.1, "beta": 0.9, "soft": True}

    @staticmethod
    def rule(w, grad, average, largest, *, lr, beta, soft, step):
        """A docstring."""
        twice, half = 2 * grad, 0.5
        if soft:
            average *= beta
            average += (1 - beta) * twice
        else:
            average = twice
        new = optim.maximum(optim.abs(grad), beta * largest)
        rate = lr * half / step if step > 1 else lr
        return w - rate * average / (sqrt(new) + 1), average, new


def test_a_rule_of_ones_own():
    CLASSES["Own"] = Own
    try:
        optimizer, p = trained("Own")
    finally:
        del CLASSES["Own"]
    told = optimizer.explain(p, (0, 0))
    assert [(line.name, line.formula) for line in told.lines] == [
        ("twice", "2 * grad"),
        ("half", "0.5"),
        ("average", "average * beta"),
        ("average", "average + (1 - beta) * twice"),
        ("new", "maximum(abs(grad), beta * largest)"),
        ("rate", "lr * half / step"),
        ("w", "w - rate * average / (sqrt(new) + 1)"),
        ("largest", "new"),
    ]
    optimizer.step()
    assert told.after["w"] == p.numpy()[0, 0]


def source_of(rule):
    """An optimizer with that rule."""
    return type("Made", (optim.Optimizer,), {"buffers": ("a",), "defaults": {"lr": 0.1}, "rule": staticmethod(rule)})


def looping(w, grad, a, *, lr):
    for _ in range(2):
        a = a + grad
    return w - lr * a, a


def misleading(w, grad, a, *, lr):
    return w, a


# Its source is found, and is not what runs.
misleading.__code__ = (lambda w, grad, a, *, lr: (w - lr * grad, a + grad)).__code__.replace(
    co_filename=misleading.__code__.co_filename, co_firstlineno=misleading.__code__.co_firstlineno, co_name="misleading"
)
SOURCELESS = types.FunctionType(
    compile("def f(w, grad, a, *, lr):\n return w - lr * grad, a + grad", "?", "exec").co_consts[0], {}
)
SOURCELESS.__kwdefaults__ = None


@pytest.mark.parametrize(
    "rule", [looping, misleading, SOURCELESS, lambda w, grad, a, *, lr: (w - lr * grad, a + grad)], ids=str
)
def test_a_rule_that_cannot_be_read_is_told_by_its_operations(rule):
    p = tn.Parameter([[1.0, 2.0]])
    optimizer = source_of(rule)([p])
    p.grad = [[3.0, 4.0]]
    told = optimizer.explain(p, (0, 1))
    optimizer.step()
    assert told.after == {"w": p.numpy()[0, 1], "a": host(optimizer.state(p)["a"])[0, 1]}
    assert {line.name for line in told.lines} >= {"w", "a"}
    assert told.lines[-2].value == p.numpy()[0, 1]
    assert "lr * " in "".join(line.formula for line in told.lines)


def test_a_rule_that_can_neither_be_read_nor_traced():
    def rule(w, grad, a, *, lr):
        with np.errstate(all="ignore"):
            return w - lr * array_module(grad).tanh(grad), a

    p = tn.Parameter([1.0])
    optimizer = source_of(rule)([p])
    p.grad = [3.0]
    told = optimizer.explain(p, 0)
    with pytest.warns(UserWarning, match="could not be traced"):
        optimizer.step()
    assert told.lines == []
    assert told.after["w"] == p.numpy()[0]


@pytest.mark.parametrize("shape", [(), (3,), (2, 1, 2)])
def test_every_number_of_axes(shape):
    p = tn.Parameter(np.ones(shape))
    optimizer = optim.SGD([("w", p)], lr=0.5)
    p.grad = np.ones(shape)
    index = tuple(n - 1 for n in shape)
    told = optimizer.explain(p, index[0] if len(shape) == 1 else index)
    assert told.after == {"w": 0.5}
    assert told.startswith("SGD, step 1 of w" + (f"[{', '.join(map(str, index))}]" if shape else "") + "\n")
    assert told.endswith("w goes from 1.0 to 0.5, by -0.5: 0.5 times the gradient, downhill")


def test_what_cannot_be_explained():
    p, stranger = tn.Parameter(np.ones((2, 3))), tn.Parameter([1.0])
    optimizer = optim.Adam([("w", p)])
    with pytest.raises(ValueError, match="explain: parameter 'w' has no gradient; call explain after backward"):
        optimizer.explain(p, (0, 0))
    p.grad = np.ones((2, 3))
    with pytest.raises(KeyError, match="not among those it optimizes"):
        optimizer.explain(stranger, 0)
    for index in (0, (), (0, 0, 0), (0, slice(None)), (0, 1.0), "0", None):
        with pytest.raises(IndexError, match=r"explain: index is .*, expected 2 integers, for shape \(2, 3\)"):
            optimizer.explain(p, index)
    with pytest.raises(IndexError, match="out of bounds"):
        optimizer.explain(p, (0, 3))
    optimizer.param_groups[0]["beta1"] = 1.0
    with pytest.raises(ValueError, match=r"Adam: beta1 is 1.0"):
        optimizer.explain(p, (0, 0))
    optimizer.param_groups[0]["beta1"] = 0.9
    p.requires_grad = False
    with pytest.raises(ValueError, match="explain: parameter 'w' is frozen"):
        optimizer.explain(p, (0, 0))
    for look in (lambda o: o.explain(stranger, 0), lambda o: o.telemetry()):
        with pytest.raises(TypeError, match=r"LBFGS: .* is for rules that update each weight from its gradient"):
            look(optim.LBFGS([stranger]))


# ---------------------------------------------------------------------------------------------------------- telemetry


def expected(p, before, grad, optimizer):
    """The telemetry of a step that has been made, from its definition."""
    after = p.numpy().astype(np.float64)
    w, g, u = (np.asarray(a, np.float64).reshape(-1) for a in (before, grad, after - before))
    norms = {b: np.linalg.norm(np.asarray(host(a), np.float64)) for b, a in optimizer.state(p).items()}
    return {
        "update_to_weight": np.linalg.norm(u) / np.linalg.norm(w),
        "effective_lr": abs(u).mean() / abs(g).mean(),
        "cosine": u @ g / np.linalg.norm(u) / np.linalg.norm(g),
        "update_norm": np.linalg.norm(u),
        "weight_norm": np.linalg.norm(w),
        "grad_norm": np.linalg.norm(g),
        "buffer_norms": norms,
    }


def assert_told(told, p, before, optimizer, rtol):
    wanted = expected(p, before, p.grad.numpy(), optimizer)
    buffers, norms = told.buffer_norms, wanted.pop("buffer_norms")
    assert buffers.keys() == norms.keys()
    for b, norm in norms.items():
        assert buffers[b] == pytest.approx(norm, rel=rtol), b
    for name, value in wanted.items():
        assert getattr(told, name) == pytest.approx(value, rel=rtol), name


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("around", AROUND, ids=["plain", "decay, maximize, clipped"])
@pytest.mark.parametrize(
    ("name", "options", "numba"),  # a few compiled: all of them take a minute the first time
    [*((*case, "0") for case in CASES), *(pytest.param(name, {}, "1", marks=NUMBA) for name in ("SGD", "RMSprop", "RAdam"))],
    ids=str,
)
def test_the_step_is_the_one_that_was_told_of(name, options, around, dtype, numba, monkeypatch):
    monkeypatch.setattr(compiled, "WANTED", numba != "0")
    with np.errstate(all="ignore"):
        eps = {"eps": 1e-3} if "eps" in CLASSES[name].defaults else {}  # 1e-8 is no float16
        optimizer, p = trained(name, shape=(61, 83), dtype=dtype, **eps, **options, **around)
        before, kept = p.numpy().copy(), everything(optimizer)
        told = optimizer.telemetry()
        assert everything(optimizer) == kept
        optimizer.step()
    assert told.keys() == {"body", "head"}
    assert_told(told["body"], p, before, optimizer, {2: 1e-3, 4: 1e-4, 8: 1e-9}[p.dtype.itemsize])


@pytest.mark.parametrize("numba", ENGINES)
@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e22, 1e30])
def test_no_square_is_too_small_or_too_large(scale, numba, monkeypatch):
    monkeypatch.setattr(compiled, "WANTED", numba != "0")
    p = tn.Parameter(np.zeros(9000))
    optimizer = optim.Momentum([("w", p)], lr=0.5)
    p.grad = np.full(9000, scale)
    told = optimizer.telemetry()["w"]
    optimizer.step()
    assert told.grad_norm == pytest.approx(scale * math.sqrt(9000), rel=1e-6)
    assert told.effective_lr == pytest.approx(0.05, rel=1e-6)
    assert told.cosine == pytest.approx(-1.0, rel=1e-6)
    assert told.buffer_norms["velocity"] == pytest.approx(0.1 * scale * math.sqrt(9000), rel=1e-6)
    assert told.update_to_weight == math.inf


@pytest.mark.parametrize("numba", ENGINES)
def test_zeros_and_no_numbers(numba, monkeypatch):
    monkeypatch.setattr(compiled, "WANTED", numba != "0")
    params = {
        "still": tn.Parameter(np.zeros(9000)),
        "empty": tn.Parameter(np.zeros((0, 3))),
        "odd": tn.Parameter(np.ones(9000)),
    }
    optimizer = optim.SGD(list(params.items()), lr=0.5)
    for p in params.values():
        p.grad = np.zeros(p.shape)
    params["odd"].grad.data[7] = np.nan
    told = optimizer.telemetry()
    for name in ("still", "empty"):
        assert all(math.isnan(x) for x in (told[name].update_to_weight, told[name].effective_lr, told[name].cosine))
        assert (told[name].update_norm, told[name].grad_norm, told[name].buffer_norms) == (0.0, 0.0, {})
    assert math.isnan(told["odd"].grad_norm)
    assert math.isnan(told["odd"].cosine)  # and not -1, straight down
    assert told["odd"].weight_norm == pytest.approx(math.sqrt(9000))


def test_groups_counts_and_who_is_left_out():
    """RAdam's rule is another one in a parameter's sixth step; frozen parameters and those without a gradient make none."""
    optimizer, p = trained("RAdam", steps=5)
    late, frozen = tn.Parameter(np.ones(3)), tn.Parameter(np.ones(3))
    optimizer.add_param_group({"params": [("late", late), ("frozen", frozen), ("none", tn.Parameter([1.0]))], "lr": 0.5})
    frozen.grad = late.grad = np.full(3, 2.0)
    frozen.requires_grad = False
    told = optimizer.telemetry()
    assert list(told) == ["body", "head", "late"]
    before = {"body": p.numpy().copy(), "late": late.numpy().copy()}
    optimizer.step()
    assert_told(told["body"], p, before["body"], optimizer, 1e-4)
    assert_told(told["late"], late, before["late"], optimizer, 1e-4)
