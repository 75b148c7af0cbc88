"""The sample calls of the losses, of cosine_similarity and of embedding."""

import math

import numpy as np
from sampling import inside, kink, positive, sample, whole, x

REDUCTIONS = ("mean", "sum", "none")


def signs(*shape, seed=0):
    """1 and -1, as integers."""
    return np.asarray(2 * whole(*shape, high=2, seed=seed) - 1)


def shares(*shape, seed=0):
    """Probabilities, away from 0 and 1."""
    return np.asarray(inside(*shape, seed=seed) / 2 + 0.5)


# -------------------------------------------------------------------------------------------- of an output and a target

REGRESSION = "mse_loss l1_loss smooth_l1_loss huber_loss"
for reduction in REDUCTIONS:
    sample(REGRESSION, x(2, 3), x(2, 3, seed=1), reduction=reduction)
    sample(REGRESSION, x(0, 2), x(0, 2, seed=1), reduction=reduction)
    sample("smooth_l1_loss", x(5), x(5, seed=1), beta=0.3, reduction=reduction)
    sample("huber_loss", x(5), x(5, seed=1), 0.3, reduction=reduction)
sample(REGRESSION, 3 * x(8), x(8, seed=1))  # far off, on either side
sample(REGRESSION, x(3), whole(3))
sample(REGRESSION, x(), 0.5)
sample("smooth_l1_loss", x(2, 2), x(2, 2, seed=1), 0.0)
kink(REGRESSION, np.array([1.0, 0.0, -1.0, np.nan, 1e4]), np.array([0.0, 0.0, 0.0, 0.0, -1e4]), reduction="none")

for shape in [(4,), (2, 3), (), (0, 3)]:
    p, t, logits = shares(*shape), shares(*shape, seed=1), 3 * x(*shape)
    for reduction in REDUCTIONS:
        sample("binary_cross_entropy", p, t, reduction=reduction)
        sample("binary_cross_entropy_with_logits", logits, t, reduction=reduction)
        sample("kl_div", logits, t, reduction=reduction)
        sample("kl_div", logits, logits[::-1] / 2 if shape else x(seed=1), log_target=True, reduction=reduction)
    sample("kl_div", logits, t, reduction="batchmean")
    weight = positive(*shape[-1:], seed=2)
    for reduction in REDUCTIONS if math.prod(shape) else ("sum", "none"):
        sample("binary_cross_entropy", p, t, weight, reduction=reduction)
        sample("binary_cross_entropy_with_logits", logits, t, weight, reduction=reduction)
        sample("binary_cross_entropy_with_logits", logits, t, None, weight, reduction=reduction)
    sample("binary_cross_entropy_with_logits", logits, t, weight, positive(*shape, seed=3), reduction="sum")
sample("binary_cross_entropy", shares(3), whole(3, high=2))
sample("binary_cross_entropy_with_logits", x(3), whole(3, high=2))
kink("binary_cross_entropy", np.array([0.0, 0.0, 1.0, 1.0, 1e-50, np.nan]), np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0]))
kink(
    "binary_cross_entropy_with_logits",
    np.array([1e4, 1e4, -1e4, -1e4, 0.0, np.nan, -800.0]),
    np.array([0.0, 1.0, 0.0, 1.0, 0.5, 1.0, 0.0]),
    reduction="none",
)
sample("kl_div", x(3, 0), x(3, 0), reduction="batchmean")
kink("kl_div", np.array([-1.0, -1e4, -np.inf]), np.array([1.0, 0.0, 0.0]), reduction="none")
kink("kl_div", np.array([-1.0, -1e4, -np.inf]), np.array([0.0, -1e4, -np.inf]), log_target=True, reduction="none")

# ------------------------------------------------------------------------------------------------------- of classes

CLASS_WEIGHTS = positive(3, seed=5)
for scores, ids in [(x(4, 3), whole(4)), (x(2, 3, 2), whole(2, 2)), (x(3), whole()), (x(0, 3), whole(0))]:
    some = np.where(np.arange(ids.size).reshape(ids.shape) % 3 == 1, -100, ids)
    for reduction in REDUCTIONS:
        for keywords in [{}, {"ignore_index": 1}]:
            sample("cross_entropy nll_loss", scores, ids, reduction=reduction, **keywords)
        sample("cross_entropy nll_loss", scores, some, reduction=reduction)
        sample("cross_entropy nll_loss", scores, some, CLASS_WEIGHTS.tolist(), reduction=reduction)
        sample("cross_entropy", scores, ids, label_smoothing=0.2, reduction=reduction)
        sample("cross_entropy", scores, some, CLASS_WEIGHTS.tolist(), label_smoothing=0.2, reduction=reduction)
        targets = positive(*scores.shape, seed=3)
        sample("cross_entropy", scores, targets, reduction=reduction)
        sample("cross_entropy", scores, targets, CLASS_WEIGHTS.tolist(), label_smoothing=0.2, reduction=reduction)
kink("cross_entropy", np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]]), np.array([0, 1]), reduction="none")
kink("cross_entropy", np.array([[1.0, -np.inf, 0.0], [-np.inf, 2.0, 1.0]]), np.array([0, 1]), reduction="none")
for reduction in REDUCTIONS:
    kink("cross_entropy nll_loss", x(2, 3), np.array([-100, -100]), reduction=reduction)

# ---------------------------------------------------------------------------------------------- of pairs and triples

for shape in [(5,), (2, 3), (), (0,)]:
    for reduction in REDUCTIONS:
        sample("hinge_embedding_loss", x(*shape), signs(*shape), reduction=reduction)
        sample("hinge_embedding_loss", x(*shape), signs(*shape), 0.3, reduction=reduction)
        sample("margin_ranking_loss", x(*shape), x(*shape, seed=1), signs(*shape), reduction=reduction)
        sample("margin_ranking_loss", x(*shape), x(*shape, seed=1), signs(*shape), margin=0.7, reduction=reduction)
kink("hinge_embedding_loss", np.array([1.0, 1.0, 0.0]), np.array([1, -1, -1]), reduction="none")
kink("margin_ranking_loss", np.array([1.0, 1.0]), np.array([1.0, 1.0]), np.array([1, -1]), reduction="none")

for a, b, keywords in [
    ((4, 3), (4, 3), {}),
    ((4, 3), (4, 3), {"axis": 0}),
    ((2, 3, 4), (2, 3, 4), {"axis": -2}),
    ((3,), (3,), {"axis": 0}),
    ((4, 3), (3,), {}),
    ((2,), (4, 2), {"axis": 0}),  # a vector along an axis over which it is repeated
    ((4, 1), (4, 3), {"axis": -1}),
    ((0, 3), (0, 3), {}),
    ((2, 0), (2, 0), {}),
]:
    sample("cosine_similarity", x(*a), x(*b, seed=1), **keywords)
sample("cosine_similarity", x(4, 3), x(4, 3, seed=1), -1, 10.0)
kink("cosine_similarity", np.array([[0.0, 0.0], [1e4, -1e4]]), np.array([[1.0, 2.0], [1e4, 1e4]]))
for shape in [(4, 3), (3,), (0, 3)]:
    for reduction in REDUCTIONS:
        pair = x(*shape), x(*shape, seed=1)
        sample("cosine_embedding_loss", *pair, signs(*shape[:-1]), reduction=reduction)
        sample("cosine_embedding_loss", *pair, signs(*shape[:-1], seed=1), 0.4, reduction=reduction)
        triple = *pair, x(*shape, seed=2)
        sample("triplet_margin_loss", *triple, reduction=reduction)
        sample("triplet_margin_loss", *triple, margin=2.5, swap=True, reduction=reduction)
for p in (1, 3, np.inf):
    sample("triplet_margin_loss", x(2, 4), x(2, 4, seed=1), x(2, 4, seed=2), 5.0, p, 1e-3)
sample("triplet_margin_loss", x(2, 3, 4), x(2, 3, 4, seed=1), x(2, 3, 4, seed=2), reduction="none")
kink("cosine_embedding_loss", np.zeros((2, 3)), x(2, 3), np.array([1, -1]), reduction="none")
kink("triplet_margin_loss", np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 3)), reduction="none")

# ---------------------------------------------------------------------------------------------------------- embedding

for ids in [whole(4), whole(2, 3), np.array(2), whole(0), np.array([1, 1, 1]), np.array([[0], [2]], "uint8")]:
    sample("embedding", ids, x(3, 2))
    kink("embedding", ids, x(3, 2), padding_idx=1)  # a row whose gradient is left out on purpose
kink("embedding", whole(5), x(3, 1), -1)
sample("embedding", whole(2), x(3, 0))
sample("embedding", whole(0), x(0, 2))
