"""Optimizers beside PyTorch's: fifty steps over the same gradients, with every option, in both precisions.

Where a definition differs on purpose, PyTorch's arguments say the same thing in its terms (PAIRS).
"""

import numpy as np
import pytest

import tinynet as tn
from tinynet import optim

torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install torch")
pytestmark = pytest.mark.cpu  # test_optim.py compares with the same formulas on every backend

STEPS = 50
SHAPE = (6, 4)


def betas(beta1=0.9, beta2=0.999, **others):
    return {"betas": (beta1, beta2), **others}


def rmsprop(beta=0.9, **others):
    return {"alpha": beta, **others}


def heavy_ball(beta=0.9, dampening=0.0, **others):
    assert dampening == 0.0  # PyTorch's first step with another dampening is the whole gradient
    return {"momentum": beta, **others}


def average(lr=0.01, beta=0.9, **others):
    """Our default, the weighted average of the gradients: the heavy ball with a rate smaller by 1 - beta."""
    return {"momentum": beta, "lr": lr * (1 - beta), **others}


COMMON = [{}, {"weight_decay": 0.1}, {"maximize": True, "weight_decay": 0.1}]
DECOUPLED = [{}, {"decoupled_weight_decay": True}]
# (ours, PyTorch's name, from our keywords to PyTorch's, the options to run)
PAIRS = [
    ("SGD", "SGD", lambda lr=0.01, **o: {"lr": lr, **o}, [{}, {"lr": 0.3}]),
    ("Momentum", "SGD", heavy_ball, [{"dampening": 0.0, "lr": 0.02, "nesterov": n, "beta": 0.8} for n in (False, True)]),
    ("Momentum", "SGD", average, [{"nesterov": n, **o} for n in (False, True) for o in ({}, {"lr": 0.1, "beta": 0.5})]),
    (
        "RMSprop",
        "RMSprop",
        rmsprop,
        [{}, {"beta": 0.99}, {"centered": True}, {"momentum": 0.7}, {"centered": True, "momentum": 0.7, "eps": 1e-3}],
    ),
    ("Adam", "Adam", betas, [{}, {"amsgrad": True}, {"lr": 0.1, "beta1": 0.5, "beta2": 0.9, "eps": 0.1}]),
    ("AdamW", "AdamW", betas, [{}, {"amsgrad": True}, {"lr": 0.1, "beta1": 0.5, "beta2": 0.9, "eps": 0.1}]),
    ("Adagrad", "Adagrad", dict, [{}, {"lr_decay": 0.1, "lr": 0.1}, {"initial_accumulator_value": 0.5, "eps": 0.1}]),
    ("Adadelta", "Adadelta", dict, [{}, {"rho": 0.5, "lr": 3.0, "eps": 1e-3}]),
    ("Adamax", "Adamax", betas, [{}, {"beta1": 0.5, "beta2": 0.6, "eps": 0.1}]),
    ("NAdam", "NAdam", betas, [{**o, **d} for o in ({}, {"momentum_decay": 0.1, "beta1": 0.7}) for d in DECOUPLED]),
    ("RAdam", "RAdam", betas, [{**o, **d} for o in ({}, {"beta2": 0.9, "lr": 0.05}) for d in DECOUPLED]),
    (
        "Muon",
        "Muon",
        dict,
        [
            {},
            {"nesterov": False, "lr": 0.02},
            {"adjust_lr_fn": "match_rms_adamw", "momentum": 0.5},
            {"adjust_lr_fn": "original", "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5), "eps": 1e-3},
        ],
    ),
]
CASES = [
    (ours, theirs, translated, {**options, **common})
    for ours, theirs, translated, variants in PAIRS
    for options in variants
    for common in COMMON
    if not (ours == "Muon" and common.get("maximize"))  # PyTorch's has no maximize
]


def start(dtype):
    return np.random.default_rng(1).uniform(0.5, 2, SHAPE).astype(dtype)


def gradients(dtype):
    """Of different scales from weight to weight, with zeros among them; the last weight's are all zero."""
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-3, 1, SHAPE)
    for _ in range(STEPS):
        g = rng.standard_normal(SHAPE) * scale * (rng.random(SHAPE) > 0.1)
        g[-1, -1] = 0
        yield g.astype(dtype)


def ours(name, options, dtype):
    p = tn.Parameter(start(dtype))
    optimizer, path = getattr(optim, name)([p], **options), []
    for g in gradients(dtype):
        p.grad = g
        optimizer.step()
        path.append(p.data.copy())
    return np.stack(path)


def theirs(name, options, dtype):
    p = torch.from_numpy(start(dtype)).requires_grad_()
    optimizer, path = getattr(torch.optim, name)([p], **options), []
    for g in gradients(dtype):
        p.grad = torch.from_numpy(g)
        optimizer.step()
        path.append(p.detach().numpy().copy())
    return np.stack(path)


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """PyTorch keeps NAdam's product of momenta in its default dtype, and orthogonalizes Muon's step in bfloat16."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(("name", "torch_name", "translated", "options"), CASES, ids=str)
def test_trajectory(name, torch_name, translated, options, dtype):
    """Every weight after every step: 1e-5 relative in float32, 1e-10 in float64."""
    found, wanted = ours(name, options, dtype), theirs(torch_name, translated(**options), dtype)
    assert found.dtype == dtype
    reach = np.maximum.accumulate(np.abs(wanted))  # a weight that crosses zero is as exact as where it came from
    np.testing.assert_array_less(np.abs(found - wanted), (1e-5 if dtype == np.float32 else 1e-10) * reach)
    assert np.abs(wanted - start(dtype)).max() > 1e-3  # it went somewhere


@pytest.mark.parametrize(("name", "torch_name"), {(ours, theirs) for ours, theirs, _, _ in PAIRS}, ids=str)
def test_defaults(name, torch_name):
    """PyTorch's, but for what the class's docstring says."""
    group = getattr(optim, name)([tn.Parameter(start(np.float32))]).param_groups[0]
    group = {k: v for k, v in group.items() if k != "params"}
    torch_group = getattr(torch.optim, torch_name)([torch.ones(SHAPE, requires_grad=True)], lr=group["lr"]).param_groups[0]
    for ours_, of_pair in (("beta1", 0), ("beta2", 1)):
        if ours_ in group:
            assert group.pop(ours_) == torch_group["betas"][of_pair]
    if name == "RMSprop":
        assert (group.pop("beta"), torch_group["alpha"]) == (0.9, 0.99)
    if name == "Momentum":
        assert (group.pop("beta"), group.pop("dampening")) == (0.9, None)
    if name == "Muon":
        assert not group.pop("maximize")
    assert group == {name: torch_group[name] for name in group}
    default = getattr(torch.optim, torch_name)([torch.ones(SHAPE, requires_grad=True)]).param_groups[0]["lr"]
    assert group["lr"] == (0.01 if torch_name == "SGD" else default)


def test_every_optimizer_that_pytorch_has_is_compared():
    classes = {n for n, c in vars(optim).items() if isinstance(c, type) and issubclass(c, optim.Optimizer)}
    assert {n for n in classes if hasattr(torch.optim, n)} - {"Optimizer", "LBFGS"} <= {name for name, *_ in PAIRS}
