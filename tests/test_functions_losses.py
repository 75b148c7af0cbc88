"""Losses: golden values, every option of cross_entropy, and what is refused."""

import math

import numpy as np
import pytest
from sampling import settled

import tinynet as tn
import tinynet.functions as F
from tinynet.tensor import Tensor

# Worked out by hand: softmax of (0, log 2, log 3) is (1, 2, 3) / 6, and of (0, 0, log 2) is (1, 1, 2) / 4.
LOGITS = Tensor(np.array([[0.0, math.log(2), math.log(3)], [0.0, 0.0, math.log(2)]]))
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
        np.testing.assert_allclose(F.nll_loss(Tensor(LOG_P), targets, **keywords).numpy(), expected, rtol=1e-7)


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
    assert F.cross_entropy(Tensor(logits), Tensor(targets), **keywords).item() == pytest.approx(expected, rel=1e-12)


def test_classes_are_on_axis_1_of_more_axes():
    logits = LOGITS[:, None].moveaxis(-1, 1)  # (2, 3, 1)
    losses = F.cross_entropy(logits, [[0], [1]], reduction="none")
    assert losses.shape == (2, 1)
    np.testing.assert_allclose(losses.numpy(), [[math.log(6)], [math.log(4)]], rtol=1e-7)
    losses = F.cross_entropy(logits, Tensor(np.eye(3)[[[0], [1]]].swapaxes(1, 2)), reduction="none")
    np.testing.assert_allclose(losses.numpy(), [[math.log(6)], [math.log(4)]], rtol=1e-7)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_without_a_batch_axis_the_loss_is_a_number(reduction):
    for loss in [
        F.cross_entropy(LOGITS[0], 0, reduction=reduction),
        F.nll_loss(Tensor(LOG_P[0]), Tensor(0), reduction=reduction),
    ]:
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
    logits = Tensor(np.array([[0.0, math.log(2), math.log(3)], [-np.inf, np.inf, 0.0], [-np.inf, 0.0, 0.0]]))
    for smoothing in (0.0, 0.3):
        with np.errstate(invalid="ignore"):
            loss = F.cross_entropy(logits, [0, -100, -100], label_smoothing=smoothing)
        assert loss.item() == pytest.approx(F.cross_entropy(logits[:1], [0], label_smoothing=smoothing).item())


def test_targets_may_be_any_integers_a_list_or_a_tensor():
    expected = F.cross_entropy(LOGITS, [0, 1]).item()
    for targets in [Tensor([0, 1], t) for t in ("uint8", "int8", "int32", "uint64")] + [Tensor([0, 1]), (0, 1)]:
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


@pytest.mark.parametrize("targets", [[0, 1], tn.full((2, 3), 1 / 3)])
def test_class_weights_have_no_gradient_and_say_so(targets):
    with pytest.raises(TypeError, match="cross_entropy: weight is a Tensor that requires a gradient, and gets none here"):
        F.cross_entropy(LOGITS, targets, weight=tn.Parameter(WEIGHT))


# ------------------------------------------------------------------------------ element by element, pairs and triples

# (loss, its arguments, the losses), worked out by hand.
BY_HAND = [
    (F.l1_loss, ([1.0, 2.0], [3.0, 2.0]), [2.0, 0.0]),
    (F.huber_loss, ([0.0, 0.0, 0.0], [1.0, -2.0, 4.0], 2.0), [0.5, 2.0, 6.0]),
    (F.smooth_l1_loss, ([0.0, 0.0, 0.0], [1.0, -2.0, 4.0], 2.0), [0.25, 1.0, 3.0]),
    (F.smooth_l1_loss, ([0.0, 0.0], [1.0, -2.0], 0.0), [1.0, 2.0]),
    (F.binary_cross_entropy, ([0.5, 0.25], [1.0, 0.0]), [math.log(2), math.log(4 / 3)]),
    (F.binary_cross_entropy, ([0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]), [100.0, 100.0, 0.0, 0.0]),
    (F.binary_cross_entropy, ([0.5, 0.5], [1.0, 0.0], [2.0, 3.0]), [math.log(4), math.log(8)]),
    (F.binary_cross_entropy_with_logits, ([0.0, math.log(3)], [1.0, 0.0]), [math.log(2), math.log(4)]),
    (F.binary_cross_entropy_with_logits, ([0.0, 0.0], [1.0, 0.0], [1.0, 2.0]), [math.log(2), math.log(4)]),
    (F.binary_cross_entropy_with_logits, ([0.0, 0.0], [1.0, 0.0], None, 3.0), [math.log(8), math.log(2)]),
    (F.kl_div, (Tensor(np.log([0.5, 0.25])), [0.5, 0.75]), [0.0, 0.75 * math.log(3)]),
    (F.kl_div, (Tensor(np.log([0.5, 0.25])), Tensor(np.log([0.5, 0.75])), True), [0.0, 0.75 * math.log(3)]),
    (F.hinge_embedding_loss, ([0.3, 0.3, 3.0], [1, -1, -1]), [0.3, 0.7, 0.0]),
    (F.hinge_embedding_loss, ([0.3, 0.3, 3.0], [1, -1, -1], 4.0), [0.3, 3.7, 1.0]),
    (F.margin_ranking_loss, ([3.0, 3.0, 1.0], [1.0, 1.0, 1.0], [1, -1, 1]), [0.0, 2.0, 0.0]),
    (F.margin_ranking_loss, ([3.0, 3.0, 1.0], [1.0, 1.0, 1.0], [1, -1, 1], 0.5), [0.0, 2.5, 0.5]),
    (F.cosine_embedding_loss, ([[3.0, 4.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, 2.0]], [1, -1], 0.2), [0.4, 0.6]),
    (F.triplet_margin_loss, ([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 2.0]]), [4.0]),
    (F.triplet_margin_loss, ([[0.0, 0.0]], [[3.0, 4.0]], [[5.0, 0.0]], 1.0, 1), [3.0]),
    (F.triplet_margin_loss, ([[0.0, 0.0]], [[3.0, 4.0]], [[3.0, 5.0]], 1.0, 2, 1e-6, True), [5.0]),  # swapped: 1, not 5.83
]


@pytest.mark.parametrize(("f", "arguments", "expected"), BY_HAND)
def test_losses_by_hand(f, arguments, expected):
    losses = f(*arguments, reduction="none")
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-5, atol=1e-7)
    assert f(*arguments, reduction="sum").item() == pytest.approx(sum(expected), rel=1e-5)
    assert f(*arguments).item() == pytest.approx(sum(expected) / len(expected), rel=1e-5)


def test_kl_div_of_a_batch_is_the_divergence_per_sample():
    p, q = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]), np.array([[0.25, 0.5, 0.25], [0.3, 0.3, 0.4]])
    per_sample = np.array([0.5 * math.log(2), 0.1 * math.log(1 / 3) + 0.2 * math.log(2 / 3) + 0.7 * math.log(7 / 4)])
    assert F.kl_div(Tensor(np.log(q)), Tensor(p), reduction="batchmean").item() == pytest.approx(per_sample.mean())
    assert F.kl_div(Tensor(np.log(q)), Tensor(p)).item() == pytest.approx(per_sample.sum() / 6)


EXTREME = [-1e4, -1e4, 1e4, 1e4, -100.0, 100.0, 0.0]
LABELS = [0.0, 1.0, 0.0, 1.0, 0.3, 0.3, 1.0]
# Of these logits, every loss that takes any: the scores of two classes are (x, 0).
OF_LOGITS = {
    "binary_cross_entropy_with_logits": lambda x: F.binary_cross_entropy_with_logits(x, LABELS, reduction="sum"),
    "pos_weight": lambda x: F.binary_cross_entropy_with_logits(x, LABELS, pos_weight=3.0, reduction="sum"),
    "binary_cross_entropy": lambda x: F.binary_cross_entropy(F.sigmoid(x), LABELS, reduction="sum"),
    "cross_entropy": lambda x: F.cross_entropy(F.stack([x, x * 0], axis=1), [0, 1] * 3 + [0], reduction="sum"),
    "smoothed": lambda x: F.cross_entropy(F.stack([x, x * 0], axis=1), [0, 1] * 3 + [0], label_smoothing=0.1),
    "kl_div": lambda x: F.kl_div(F.logsigmoid(x), LABELS, reduction="sum"),
    "log_target": lambda x: F.kl_div(F.logsigmoid(x), F.logsigmoid(-x), log_target=True, reduction="sum"),
    "mse_loss": lambda x: F.mse_loss(x, LABELS),
    "l1_loss": lambda x: F.l1_loss(x, LABELS),
    "huber_loss": lambda x: F.huber_loss(x, LABELS),
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, LABELS, beta=0.01),
    "hinge_embedding_loss": lambda x: F.hinge_embedding_loss(x, [1, -1] * 3 + [1]),
    "margin_ranking_loss": lambda x: F.margin_ranking_loss(x, -x, [1, -1] * 3 + [1]),
    "cosine_embedding_loss": lambda x: F.cosine_embedding_loss(x, x * LABELS, 1),
    "triplet_margin_loss": lambda x: F.triplet_margin_loss(x, -x, x * LABELS),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OF_LOGITS)
def test_value_and_both_gradients_of_huge_logits_are_finite(name, dtype):
    x = Tensor(np.array(EXTREME, dtype), requires_grad=True)
    loss = OF_LOGITS[name](x)
    (g,) = tn.grad(loss, x, create_graph=True)
    second = tn.grad(g.sum(), x)[0] if g.requires_grad else g
    for t in (loss, g, second):
        assert t.dtype == dtype
        assert np.isfinite(t.numpy()).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_cross_entropy_with_logits_keeps_its_digits(dtype):
    """Where sigmoid rounds to 1 or the two terms are nearly equal; PyTorch's float32 gives 0 for the first two."""
    x = Tensor(np.array([-20.0, 20.0, -1e4, 1e4], dtype), requires_grad=True)
    losses = F.binary_cross_entropy_with_logits(x, [0.0, 1.0, 1.0, 0.0], reduction="none")
    small = math.log1p(math.exp(-20))
    np.testing.assert_allclose(losses.numpy(), [small, small, 1e4, 1e4], rtol=1e-6)
    np.testing.assert_allclose(tn.grad(losses.sum(), x)[0].numpy(), [small, -small, -1, 1], rtol=1e-6)


def test_slopes_at_the_kinks_are_those_of_pytorch():
    def slope(f, at):
        at = Tensor(np.array(at), requires_grad=True)
        return tn.grad(f(at), at)[0].tolist()

    assert slope(lambda x: F.l1_loss(x, [0.0, 0.0], reduction="sum"), [0.0, -2.0]) == [0, -1]
    assert slope(lambda x: F.huber_loss(x, [0.0, 0.0], reduction="sum"), [1.0, -1.0]) == [1, -1]
    assert slope(lambda x: F.hinge_embedding_loss(x, [1, -1], reduction="sum"), [1.0, 1.0]) == [1, -1]
    assert slope(lambda x: F.margin_ranking_loss(x, [1.0, 1.0], [1, -1], reduction="sum"), [1.0, 1.0]) == [-1, 1]
    p = [0.0, 0.0, 1.0, 1.0]
    assert slope(lambda x: F.binary_cross_entropy(x, [0.0, 1.0, 0.0, 1.0], reduction="sum"), p) == [0, -1e12, 1e12, 0]


def test_a_probability_of_zero_adds_nothing_to_the_divergence():
    log_p, t = Tensor(np.array([-np.inf, -1.0]), requires_grad=True), Tensor(np.array([0.0, 1.0]), requires_grad=True)
    loss = F.kl_div(log_p, t, reduction="sum")
    assert loss.item() == 1
    assert [g.tolist() for g in tn.grad(loss, [log_p, t])] == [[0, -1], [0, 2]]
    assert F.kl_div(log_p, [-np.inf, 0.0], log_target=True, reduction="sum").item() == 1


def test_losses_of_halves_are_halves_and_their_mean_does_not_overflow():
    many = tn.full(70_000, 2.0, dtype="float16")  # their sum is above 65504, the largest float16
    for loss in [
        F.mse_loss(many, many * 0),
        F.cross_entropy(F.stack([many, many], axis=1), tn.zeros(70_000, dtype=int), weight=[2.0, 1.0]),
        F.cross_entropy(F.stack([many, many], axis=1), Tensor(np.arange(70_000) % 2), ignore_index=1),
    ]:
        assert loss.dtype == np.float16
        assert np.isfinite(loss.item())
    for x in (F.cosine_similarity([[0.0, 0.0]], tn.ones(1, 2, dtype="float16")), F.cosine_similarity([0.0], [0.0], axis=0)):
        assert (x.numpy() == 0).all()  # where eps is smaller than any float16, too


@pytest.mark.parametrize("kind", [int, bool, np.uint8, np.float64])
def test_targets_may_be_integers_or_booleans(kind):
    x = Tensor(np.array([0.25, 0.5], "float32"), requires_grad=True)
    for f in (F.l1_loss, F.mse_loss, F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy_with_logits):
        target = Tensor([0, 1], kind)
        loss = f(x, target)
        assert loss.item() == f(x, target.astype("float32")).item()
        if kind is not np.float64:  # an array of floats keeps its dtype
            assert loss.dtype == np.float32
    assert F.binary_cross_entropy(x, Tensor([0, 1], kind)).item() == pytest.approx(math.log(8 / 3) / 2)
    assert F.hinge_embedding_loss(x, Tensor([1, 1], kind)).item() == 0.375


def test_weights_broadcast_and_have_gradients():
    x, t = Tensor(np.zeros((2, 3)), requires_grad=True), tn.ones(2, 3)
    for weight, mean in (([1.0, 2.0, 3.0], 2), ([[1.0], [2.0]], 1.5), (2.0, 2), (Tensor([1, 2, 3]), 2)):
        expected = math.log(2) * mean
        for loss in (
            F.binary_cross_entropy_with_logits(x, t, weight),
            F.binary_cross_entropy_with_logits(x, t, pos_weight=weight),
            F.binary_cross_entropy(x + 0.5, t, weight),
        ):
            assert loss.item() == pytest.approx(expected)
    weight = Tensor(np.ones(3), requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, t, weight, weight, reduction="sum")
    np.testing.assert_allclose(tn.grad(loss, weight)[0].numpy(), [4 * math.log(2)] * 3)


# -------------------------------------------------------------------------------------------------- what is refused

FOUR = tn.zeros(4, 3)


@pytest.mark.parametrize("f", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize(
    ("scores", "targets", "error", "says"),
    [
        (FOUR, [0, 1, 3, 0], IndexError, r"label 3 at position \(2,\) is outside \[0, 3\)"),
        (FOUR, [0, 1, 2, -1], IndexError, r"label -1 at position \(3,\)"),
        (tn.zeros(2, 3, 2), [[0, 1], [5, 0]], IndexError, r"label 5 at position \(1, 0\)"),
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
        settled(f, scores, targets)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: F.mse_loss(tn.zeros(4), tn.zeros(4, 1)), r"mse_loss: input has shape \(4,\) and target \(4, 1\)"),
        *(
            (lambda f=f: f(tn.zeros(4), tn.zeros(4, 1)), rf"{f.__name__}: input has shape \(4,\) and target \(4, 1\)")
            for f in (F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy, F.kl_div)
        ),
        (lambda: F.binary_cross_entropy_with_logits(tn.zeros(4, 1), tn.zeros(4)), r"logits: input has shape \(4, 1\)"),
        (lambda: F.hinge_embedding_loss(tn.zeros(4), tn.ones(4, 1)), r"target has shape \(4, 1\), expected \(4,\)"),
        (lambda: F.margin_ranking_loss([1.0], [[1.0]], [1]), r"input1 has shape \(1,\) and input2 \(1, 1\)"),
        (lambda: F.margin_ranking_loss([1.0], [1.0], 1), r"margin_ranking_loss: target has shape \(\), expected \(1,\)"),
        (lambda: F.cosine_embedding_loss(FOUR, FOUR, tn.ones(4, 3)), r"target has shape \(4, 3\), expected \(4,\)"),
        (lambda: F.cosine_embedding_loss(FOUR, FOUR[:1], [1]), r"input1 has shape \(4, 3\) and input2 \(1, 3\)"),
        (lambda: F.cosine_embedding_loss(1.0, 1.0, 1), "input1 and input2 are single numbers, expected vectors"),
        (lambda: F.triplet_margin_loss(FOUR, FOUR, FOUR[0]), r"anchor .* \(4, 3\) and positive .* and negative \(3,\)"),
        (lambda: F.triplet_margin_loss(1.0, 1.0, 1.0), "anchor and positive and negative are single numbers"),
        (lambda: F.cosine_similarity(FOUR, FOUR, axis=2), "cosine_similarity: axis 2 is out of bounds"),
        (lambda: F.hinge_embedding_loss([1.0, 2.0], [1, 0]), r"target is 0 at \(1,\), expected 1 or -1"),
        (lambda: F.margin_ranking_loss([1.0], [1.0], [0.5]), r"margin_ranking_loss: target is 0.5 at \(0,\)"),
        (lambda: F.cosine_embedding_loss(FOUR, FOUR, [1, 1, -1, 2]), r"target is 2 at \(3,\)"),
        (lambda: F.binary_cross_entropy([0.5, 1.5], [1.0, 1.0]), r"input is 1.5 at \(1,\), .*with_logits"),
        (lambda: F.binary_cross_entropy(1.5, 1.0), r"input is 1.5 at \(\)"),
        (lambda: F.hinge_embedding_loss(1.5, 0), r"target is 0 at \(\)"),
        (lambda: F.binary_cross_entropy([0.5, -0.1], [1.0, 1.0]), r"input is -0.1 at \(1,\)"),
        (lambda: F.binary_cross_entropy([0.5, 0.1], [1.0, 2.0]), r"target is 2 at \(1,\)"),
        (lambda: F.binary_cross_entropy(FOUR, FOUR, [1.0] * 4), r"weight has shape \(4,\), .* broadcasts to .*\(4, 3\)"),
        (
            lambda: F.binary_cross_entropy_with_logits(FOUR[0], FOUR[0], pos_weight=FOUR),
            r"with_logits: pos_weight has shape \(4, 3\), .* broadcasts to .*\(3,\)",
        ),
        (lambda: F.smooth_l1_loss(FOUR, FOUR, beta=-1.0), "beta is -1.0, expected a number of at least 0"),
        (lambda: F.huber_loss(FOUR, FOUR, delta=0.0), "delta is 0.0, expected a number above 0"),
        (lambda: F.huber_loss(FOUR, FOUR, delta=math.nan), "delta is nan"),
        (lambda: F.triplet_margin_loss(FOUR, FOUR, FOUR, margin=0.0), "margin is 0.0, expected a number above 0"),
        (lambda: F.kl_div(FOUR, FOUR, reduction="batch"), "kl_div: reduction is 'batch', expected 'batchmean', 'mean'"),
        (lambda: F.triplet_margin_loss(FOUR, FOUR, FOUR, reduction="avg"), "triplet_margin_loss: reduction is 'avg'"),
        (lambda: F.mse_loss([1.0], [1.0], reduction="average"), "mse_loss: reduction is 'average'"),
        (lambda: F.cross_entropy(FOUR, [0] * 4, reduction="avg"), "cross_entropy: reduction is 'avg'"),
        (lambda: F.nll_loss(FOUR, [0] * 4, reduction=None), "nll_loss: reduction is None"),
        (lambda: F.cross_entropy(FOUR, [0] * 4, label_smoothing=1.5), "label_smoothing is 1.5"),
        (lambda: F.cross_entropy(FOUR, [0] * 4, weight=[1.0, 2.0]), r"weight has shape \(2,\), expected \(3,\)"),
        (lambda: F.cross_entropy(FOUR, FOUR, weight=tn.ones(3, 1)), r"weight has shape \(3, 1\), expected \(3,\)"),
    ],
)
def test_options_that_do_not_fit(call, says):
    with pytest.raises(ValueError, match=says):
        call()
