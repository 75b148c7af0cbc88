"""Losses: golden values, every option of cross_entropy, and what is refused."""

import math

import numpy as np
import pytest

import tinynet as tn
import tinynet.functions as F
from tinynet.tensor import Tensor

# Worked out by hand: softmax of (0, log 2, log 3) is (1, 2, 3) / 6, and of (0, 0, log 2) is (1, 1, 2) / 4.
LOGITS = np.array([[0.0, math.log(2), math.log(3)], [0.0, 0.0, math.log(2)]])
LOG_P = np.log([[1 / 6, 2 / 6, 3 / 6], [1 / 4, 1 / 4, 2 / 4]])
WEIGHT = [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("targets", "keywords", "expected"),
    [
        ([0, 1], {}, (math.log(6) + math.log(4)) / 2),
        ([0, 1], {"reduction": "sum"}, math.log(24)),
        ([0, 1], {"reduction": "none"}, [math.log(6), math.log(4)]),
        ([2, 2], {}, math.log(2)),
        ([0, 1], {"weight": WEIGHT, "reduction": "none"}, [math.log(6), 2 * math.log(4)]),
        ([0, 1], {"weight": WEIGHT, "reduction": "sum"}, math.log(6) + 2 * math.log(4)),
        ([0, 1], {"weight": WEIGHT}, (math.log(6) + 2 * math.log(4)) / 3),  # over the weights of the targets
        ([0, -100], {}, math.log(6)),
        ([0, -100], {"reduction": "none"}, [math.log(6), 0]),
        ([1, 2], {"ignore_index": 1}, math.log(2)),
        ([1, -1], {"ignore_index": -1}, math.log(3)),
        ([-100, 1], {"weight": WEIGHT}, math.log(4)),
        # e = 0.3: 0.7 of the target's loss and 0.1 of each class's, which are log 6, 3, 2 and log 4, 4, 2.
        ([0, 1], {"label_smoothing": 0.3, "reduction": "none"}, 0.7 * np.log([6, 4]) + 0.1 * np.log([36, 32])),
        ([0, 1], {"label_smoothing": 1.0, "reduction": "none"}, np.log([36, 32]) / 3),
        # Weighted, each class's loss times its weight: log 6 + 2 log 3 + 4 log 2, and log 4 + 2 log 4 + 4 log 2.
        ([0, 1], {"label_smoothing": 0.3, "weight": WEIGHT}, np.dot([0.7, 1.4, 0.1, 0.1], np.log([6, 4, 864, 1024])) / 3),
        ([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], {"reduction": "none"}, [math.log(6), math.log(4)]),
        ([[0.0, 0.5, 0.5], [0.0, 0.0, 1.0]], {}, (math.log(6) / 2 + math.log(2)) / 2),
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], {"weight": WEIGHT}, (math.log(6) + 2 * math.log(4)) / 2),  # over the samples
    ],
)
def test_cross_entropy_by_hand(targets, keywords, expected):
    np.testing.assert_allclose(F.cross_entropy(LOGITS, targets, **keywords).numpy(), expected, rtol=1e-7)
    if "label_smoothing" not in keywords and isinstance(targets[0], int):
        np.testing.assert_allclose(F.nll_loss(LOG_P, targets, **keywords).numpy(), expected, rtol=1e-7)


# F.cross_entropy of PyTorch 2.13 in float64, of logits sin(0), sin(1), ... of this shape, targets 0, 1, 2, 0, 1, ...
PYTORCH = [
    ((4, 3), {}, 1.0974816993167638),
    ((4, 3), {"weight": [0.5, 2.0, 1.0], "label_smoothing": 0.1}, 1.2047032050775504),
    ((4, 3), {"ignore_index": 1, "label_smoothing": 0.2, "reduction": "sum"}, 3.0858714933051807),
    ((2, 3, 4), {}, 1.3216622726975142),
    ((2, 3, 4), {"weight": [0.5, 2.0, 1.0], "ignore_index": 0}, 1.5936386599827381),
    ((2, 3, 2, 2), {"weight": [0.5, 2.0, 1.0], "label_smoothing": 0.3, "reduction": "sum"}, 14.165894134558034),
    ((3,), {"label_smoothing": 0.1}, 1.6999048454869115),
]


@pytest.mark.parametrize(("shape", "keywords", "expected"), PYTORCH)
def test_cross_entropy_is_that_of_pytorch(shape, keywords, expected):
    logits = np.sin(np.arange(math.prod(shape))).reshape(shape)
    batch = (*shape[:1], *shape[2:]) if len(shape) > 1 else ()
    targets = (np.arange(math.prod(batch)) % 3).reshape(batch)
    assert F.cross_entropy(logits, targets, **keywords).item() == pytest.approx(expected, rel=1e-12)


def test_classes_are_on_axis_1_of_more_axes():
    logits = np.moveaxis(LOGITS[:, None], -1, 1)  # (2, 3, 1)
    losses = F.cross_entropy(logits, [[0], [1]], reduction="none")
    assert losses.shape == (2, 1)
    np.testing.assert_allclose(losses.numpy(), [[math.log(6)], [math.log(4)]], rtol=1e-7)
    losses = F.cross_entropy(logits, np.eye(3)[[[0], [1]]].swapaxes(1, 2), reduction="none")
    np.testing.assert_allclose(losses.numpy(), [[math.log(6)], [math.log(4)]], rtol=1e-7)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_without_a_batch_axis_the_loss_is_a_number(reduction):
    for loss in [F.cross_entropy(LOGITS[0], 0, reduction=reduction), F.nll_loss(LOG_P[0], np.array(0), reduction=reduction)]:
        assert loss.shape == ()
        assert loss.item() == pytest.approx(math.log(6))
    assert F.cross_entropy(LOGITS[0], [0.0, 0.5, 0.5], reduction=reduction).item() == pytest.approx(math.log(6) / 2)


def test_gradient_is_softmax_less_target():
    logits = Tensor(LOGITS, requires_grad=True)
    (g,) = tn.grad(F.cross_entropy(logits, [0, 1]), logits)
    np.testing.assert_allclose(g.numpy(), (np.exp(LOG_P) - np.eye(3)[[0, 1]]) / 2, rtol=1e-12)


def test_where_all_are_ignored_the_mean_is_nan_and_its_gradient_zero():
    for f in (F.cross_entropy, F.nll_loss):
        logits = Tensor(LOGITS, requires_grad=True)
        loss = f(logits, [-100, -100])
        assert np.isnan(loss.item())
        assert (tn.grad(loss, logits)[0].numpy() == 0).all()
        assert f(logits, [-100, -100], reduction="sum").item() == 0


def test_what_stands_in_an_ignored_row_does_not_matter():
    logits = np.array([[0.0, math.log(2), math.log(3)], [-np.inf, np.inf, 0.0], [-np.inf, 0.0, 0.0]])
    for smoothing in (0.0, 0.3):
        with np.errstate(invalid="ignore"):
            loss = F.cross_entropy(logits, [0, -100, -100], label_smoothing=smoothing)
        assert loss.item() == pytest.approx(F.cross_entropy(logits[:1], [0], label_smoothing=smoothing).item())


def test_targets_may_be_any_integers_a_list_or_a_tensor():
    expected = F.cross_entropy(LOGITS, [0, 1]).item()
    for targets in [np.array([0, 1], t) for t in ("uint8", "int8", "int32", "uint64")] + [Tensor([0, 1]), (0, 1)]:
        assert F.cross_entropy(LOGITS, targets).item() == expected


def test_gradient_flows_to_probabilities():
    targets = Tensor(np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]), requires_grad=True)
    (g,) = tn.grad(F.cross_entropy(LOGITS, targets, reduction="sum"), targets)
    np.testing.assert_allclose(g.numpy(), -LOG_P, rtol=1e-12)


def test_mse_loss():
    assert F.mse_loss([1.0, 2.0], [1.0, 4.0]).item() == 2.0
    assert F.mse_loss([1.0, 2.0], [1.0, 4.0], "sum").item() == 4.0
    assert F.mse_loss([1.0, 2.0], [1.0, 4.0], reduction="none").tolist() == [0.0, 4.0]
    assert F.mse_loss([1.0, 2.0], [1, 4]).dtype == np.float32


# -------------------------------------------------------------------------------------------------- what is refused

FOUR = np.zeros((4, 3), "float32")


@pytest.mark.parametrize("f", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize(
    ("scores", "targets", "error", "says"),
    [
        (FOUR, [0, 1, 3, 0], IndexError, r"label 3 at position \(2,\) is outside \[0, 3\)"),
        (FOUR, [0, 1, 2, -1], IndexError, r"label -1 at position \(3,\)"),
        (np.zeros((2, 3, 2)), [[0, 1], [5, 0]], IndexError, r"label 5 at position \(1, 0\)"),
        (FOUR[0], 7, IndexError, "label 7"),
        (FOUR, [0, 1, 2], ValueError, r"targets have shape \(3,\), expected \(4,\)"),
        (FOUR, [[0], [1], [2], [0]], ValueError, r"targets have shape \(4, 1\), expected \(4,\)"),
        (FOUR, [0.0, 1.0, 2.0, 0.0], TypeError, "targets must be integer class ids .* got float32"),
        (FOUR, [True, False, True, True], TypeError, "bool"),
        (0.5, 0, ValueError, "class axis"),
    ],
)
def test_targets_that_do_not_fit(f, scores, targets, error, says):
    with pytest.raises(error, match=f"{f.__name__}: .*{says}"):
        f(scores, targets)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: F.mse_loss(np.zeros(4), np.zeros((4, 1))), r"mse_loss: input has shape \(4,\) and target \(4, 1\)"),
        (lambda: F.mse_loss([1.0], [1.0], reduction="average"), "mse_loss: reduction is 'average'"),
        (lambda: F.cross_entropy(FOUR, [0] * 4, reduction="avg"), "cross_entropy: reduction is 'avg'"),
        (lambda: F.nll_loss(FOUR, [0] * 4, reduction=None), "nll_loss: reduction is None"),
        (lambda: F.cross_entropy(FOUR, [0] * 4, label_smoothing=1.5), "label_smoothing is 1.5"),
        (lambda: F.cross_entropy(FOUR, [0] * 4, weight=[1.0, 2.0]), r"weight has shape \(2,\), expected \(3,\)"),
        (lambda: F.cross_entropy(FOUR, FOUR, weight=np.ones((3, 1))), r"weight has shape \(3, 1\), expected \(3,\)"),
    ],
)
def test_options_that_do_not_fit(call, says):
    with pytest.raises(ValueError, match=says):
        call()
