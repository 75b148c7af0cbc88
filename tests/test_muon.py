"""Muon: its step beside the formula, what orthogonalizing does to singular values, which parameters it takes."""

import numpy as np
import pytest
from sampling import host, put

import tinynet as tn
from tinynet import layers as L
from tinynet import optim
from tinynet.optim.muon import orthogonalize

SHAPES = [(4, 4), (3, 7), (8, 2), (1, 5), (5, 1)]
VARIANTS = [
    {},
    {"nesterov": False},
    {"adjust_lr_fn": "match_rms_adamw"},
    {"adjust_lr_fn": "original", "momentum": 0.5, "ns_steps": 2, "ns_coefficients": (1.5, -0.5, 0.0)},
    {"maximize": True, "weight_decay": 0.3, "lr": 0.1},
    {"weight_decay": 0.0, "momentum": 0.0},
]


def polynomial_of_singular_values(matrix, coefficients, steps):
    """U p(p(... S)) V^T with p(s) = a s + b s^3 + c s^5: what the products of matrices come to."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    for _ in range(steps):
        s = sum(c * s**power for c, power in zip(coefficients, (1, 3, 5), strict=True))
    return u @ np.diag(s) @ v


def expected(w, gradients, **changed):
    o = {**optim.Muon.defaults, "maximize": False, **changed}
    velocity = np.zeros_like(w)
    rows, columns = w.shape
    a = 0.2 * max(rows, columns) ** 0.5 if o["adjust_lr_fn"] == "match_rms_adamw" else max(1, rows / columns) ** 0.5
    for g in gradients:
        g = -g if o["maximize"] else g
        velocity = o["momentum"] * velocity + (1 - o["momentum"]) * g
        v = o["momentum"] * velocity + (1 - o["momentum"]) * g if o["nesterov"] else velocity
        direction = polynomial_of_singular_values(v, o["ns_coefficients"], o["ns_steps"])
        w = w - o["lr"] * o["weight_decay"] * w - o["lr"] * a * direction
    return w


def data(shape, dtype=np.float64, steps=50):
    rng = np.random.default_rng(0)
    return rng.standard_normal(shape).astype(dtype), [rng.standard_normal(shape).astype(dtype) for _ in range(steps)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_trajectory(shape, variant, dtype):
    w, gradients = data(shape, dtype)
    p = tn.Parameter(w)
    optimizer = optim.Muon([p], **variant)
    for g in gradients:
        p.grad = g
        optimizer.step()
        np.testing.assert_array_equal(p.grad.numpy(), g)
    assert p.dtype == optimizer.state(p)["velocity"].dtype == dtype
    wanted = expected(w.astype(np.float64), [g.astype(np.float64) for g in gradients], **variant)
    np.testing.assert_allclose(p.numpy(), wanted, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-10)


@pytest.mark.parametrize("shape", [(40, 40), (30, 60), (60, 30), (1, 1)])
def test_singular_values_come_near_one_and_the_vectors_stay(shape):
    """The smallest of the square matrix's is 0.008 of its largest."""
    matrix = np.random.default_rng(0).standard_normal(shape) * 1000
    x = host(orthogonalize(put(matrix)))
    singular = np.linalg.svd(x, compute_uv=False)
    assert 0.68 < singular.min() <= singular.max() < 1.21
    for product in (x.T @ matrix, x @ matrix.T):  # x has the singular vectors of the matrix: both products are symmetric
        np.testing.assert_allclose(product, product.T, atol=1e-9 * np.abs(product).max())
    many = host(orthogonalize(put(matrix), (15 / 8, -10 / 8, 3 / 8), steps=40))  # coefficients that do end at 1
    small = many @ many.T if shape[0] <= shape[1] else many.T @ many
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-10)


def test_zeros_stay_zeros_and_low_rank_stays():
    assert not orthogonalize(put(np.zeros((3, 4)))).any()
    assert orthogonalize(put(np.zeros((0, 4)))).shape == (0, 4)
    x = host(orthogonalize(put(np.outer([3.0, 0.0], [0.0, 2.0]))))
    np.testing.assert_allclose(x, [[0, x[0, 1]], [0, 0]], atol=1e-15)
    assert 0.68 < x[0, 1] < 1.21


def test_half_precision_is_computed_in_single():
    """The squares of 300 are beyond float16's 65,504."""
    x = host(orthogonalize(put(np.full((3, 3), 300, np.float16))))
    assert x.dtype == np.float32
    assert 0.68 < np.linalg.norm(x, 2) < 1.21
    p = tn.Parameter(np.ones((2, 2), np.float16))
    p.grad = np.full((2, 2), 300, np.float16)
    optim.Muon([p], lr=0.5).step()
    assert p.dtype == np.float16
    assert (p.numpy() < 1).all()


def test_what_is_no_matrix_is_refused_by_name():
    layer = L.Linear(3, 2)
    with pytest.raises(ValueError, match=r"Muon: parameter 'bias' has shape \(2,\), expected 2 axes; leave the others to"):
        optim.Muon(layer)
    optimizer = optim.Muon([layer.weight])
    with pytest.raises(ValueError, match="parameter '1' has shape"):
        optimizer.add_param_group({"params": [tn.Parameter(np.ones((2, 2, 2)))]})
    assert len(optimizer.param_groups) == 1
    optim.Muon([L.Linear(None, 2).weight])  # of a width that is not known yet


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": 1.0}, r"momentum is 1.0, expected a number in \[0, 1\)"),
        ({"ns_steps": 100}, "ns_steps is 100"),
        ({"ns_coefficients": (1.0, 2.0)}, r"ns_coefficients is \(1.0, 2.0\), expected three numbers"),
        ({"ns_coefficients": 1.0}, "ns_coefficients is 1.0"),
        ({"adjust_lr_fn": "other"}, "adjust_lr_fn is 'other', expected one of"),
        ({"lr": -1}, "lr is -1"),
        ({"weight_decay": -1}, "weight_decay is -1"),
        ({"eps": -1}, "eps is -1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"Muon: {message}"):
        optim.Muon([tn.Parameter(np.ones((2, 2)))], **arguments)


def test_clipping_changes_what_is_averaged():
    """The step itself does not depend on the gradient's size; the average with the gradient before does."""
    w, (first, second, *_) = data((3, 4))
    p, q = tn.Parameter(w), tn.Parameter(w)
    clipped, by_hand = optim.Muon([p], clip_norm=1.0), optim.Muon([q])
    for g in (first, second):
        p.grad, q.grad = g, g
        optim.clip_grad_norm([q], 1.0)
        clipped.step()
        by_hand.step()
    np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-12)
    np.testing.assert_array_equal(p.grad.numpy(), second)


def test_two_optimizers_share_a_model_and_resume(tmp_path):
    def start():
        tn.manual_seed(0)
        model = tn.Sequential(L.Linear(4, 8), L.Tanh(), L.Linear(8, 3))
        named = model.named_parameters()
        return model, [
            optim.Muon([(name, p) for name, p in named if p.ndim == 2], lr=0.02),
            optim.AdamW([(name, p) for name, p in named if p.ndim != 2], lr=0.01),
        ]

    x, y = tn.tensor(np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)), tn.tensor(np.arange(64) % 3)

    def train(model, optimizers, steps):
        for _ in range(steps):
            loss = tn.functions.cross_entropy(model(x), y)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
        return loss.item()

    model, optimizers = start()
    first = train(model, optimizers, 1)
    train(model, optimizers, 9)
    for i, optimizer in enumerate(optimizers):
        tn.save_checkpoint(tmp_path / str(i), model=model, optimizer=optimizer)
    last = train(model, optimizers, 10)
    assert last < first
    again, fresh = start()
    for i, optimizer in enumerate(fresh):
        tn.load_checkpoint(tmp_path / str(i), model=again, optimizer=optimizer)
    train(again, fresh, 10)
    for p, q in zip(model.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
