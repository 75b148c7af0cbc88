"""DEFINITIONS of the losses, and of embedding: one element, one sample, one pair at a time."""

import math

import numpy as np


def reduced(losses, reduction):
    losses = np.asarray(losses, dtype=float)
    if losses.size == 0 and reduction == "mean":
        return np.nan
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](losses)


def each(term, *arrays):
    """``term(a, b, ...)`` of the numbers at every place of arrays of one shape."""
    arrays = [np.asarray(a) for a in arrays]
    losses = np.zeros(arrays[0].shape)
    for at in np.ndindex(losses.shape):
        losses[at] = term(*(float(a[at]) for a in arrays))
    return losses


def log(p):
    return math.log(p) if p > 0 else -math.inf


def mse_loss(input, target, reduction="mean"):
    return reduced(each(lambda x, t: (x - t) ** 2, input, target), reduction)


def l1_loss(input, target, reduction="mean"):
    return reduced(each(lambda x, t: abs(x - t), input, target), reduction)


def huber_loss(input, target, delta=1.0, reduction="mean"):
    def term(x, t):
        d = abs(x - t)
        return delta * (d - delta / 2) if d > delta else d * d / 2

    return reduced(each(term, input, target), reduction)


def smooth_l1_loss(input, target, beta=1.0, reduction="mean"):
    if beta == 0:
        return l1_loss(input, target, reduction)
    return huber_loss(input, target, beta, reduction) / beta


def binary_cross_entropy(input, target, weight=None, reduction="mean"):
    def term(p, t):
        return p if math.isnan(p) else -(t * max(log(p), -100) + (1 - t) * max(log(1 - p), -100))

    return reduced(each(term, input, target) * (1 if weight is None else weight), reduction)


def binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, reduction="mean"):
    def log_sigmoid(x):
        return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))

    def term(x, t, w):
        return -(w * t * log_sigmoid(x) + (1 - t) * log_sigmoid(-x))

    w = np.broadcast_to(1.0 if pos_weight is None else pos_weight, np.shape(input))
    return reduced(each(term, input, target, w) * (1 if weight is None else weight), reduction)


def kl_div(input, target, log_target=False, reduction="mean"):
    def term(x, t):
        log_t = t if log_target else log(t)
        t = math.exp(t) if log_target else t
        return t * (log_t - x) if t else 0.0

    losses = each(term, input, target)
    if reduction == "batchmean":
        return losses.sum() / (len(losses) if losses.ndim else 1) if losses.shape[:1] != (0,) else np.nan
    return reduced(losses, reduction)


def nll_loss(log_p, targets, weight=None, ignore_index=-100, reduction="mean"):
    """One sample at a time: -w[target] log_p[target], the mean over the weights of the targets."""
    log_p, targets = (a[None] if log_p.ndim == 1 else a for a in (log_p, targets))
    losses, weights = np.zeros(targets.shape), np.zeros(targets.shape)
    for at in np.ndindex(targets.shape):
        if targets[at] != ignore_index:
            weights[at] = 1 if weight is None else weight[targets[at]]
            losses[at] = -weights[at] * log_p[(at[0], targets[at], *at[1:])]
    if reduction == "mean":
        return losses.sum() / weights.sum() if weights.sum() else np.nan
    losses = reduced(losses, reduction)
    return losses[0] if losses.shape == (1,) else losses


def log_softmax(x):
    shifted = x - x.max()
    return shifted - np.log(np.exp(shifted).sum())


def cross_entropy(logits, targets, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    """-sum_c w_c q_c log_p_c with q = (1 - e) target + e / C; for ids the mean is over the weights of the targets."""
    logits, targets = (a[None] if logits.ndim == 1 else a for a in (logits, targets))
    classes, ids = logits.shape[1], targets.dtype.kind == "i"
    logits = np.moveaxis(logits, 1, -1)
    targets = targets if ids else np.moveaxis(targets, 1, -1)
    weights = np.ones(classes) if weight is None else np.array(weight)
    losses, total = np.zeros(logits.shape[:-1]), 0.0
    for at in np.ndindex(losses.shape):
        if ids and targets[at] == ignore_index:
            continue
        q = np.eye(classes)[targets[at]] if ids else targets[at]
        total += weights @ q if ids else 1.0
        q = (1 - label_smoothing) * q + label_smoothing / classes
        log_p = log_softmax(logits[at])
        losses[at] = -sum(w * share * p for w, share, p in zip(weights, q, log_p, strict=True) if share)
    if reduction == "mean":
        return losses.sum() / total if total else np.nan
    losses = reduced(losses, reduction)
    return losses[0] if losses.shape == (1,) else losses


def hinge_embedding_loss(input, target, margin=1.0, reduction="mean"):
    return reduced(each(lambda x, t: x if t == 1 else max(0, margin - x), input, target), reduction)


def margin_ranking_loss(input1, input2, target, margin=0.0, reduction="mean"):
    return reduced(each(lambda a, b, t: max(0, margin - t * (a - b)), input1, input2, target), reduction)


def rows(*arrays):
    """The vectors along the last axis, one of each array at a time, and where they stand."""
    for at in np.ndindex(arrays[0].shape[:-1]):
        yield at, [a[at] for a in arrays]


def cosine_similarity(x1, x2, axis=1, eps=1e-8):
    x1, x2 = (np.moveaxis(a, axis, -1) for a in np.broadcast_arrays(x1, x2))
    cosines = np.zeros(x1.shape[:-1])
    for at, (a, b) in rows(x1, x2):
        cosines[at] = a @ b / max(math.sqrt(a @ a), eps) / max(math.sqrt(b @ b), eps)
    return cosines


def cosine_embedding_loss(input1, input2, target, margin=0.0, reduction="mean"):
    losses = np.zeros(input1.shape[:-1])
    for at, (a, b) in rows(input1, input2):
        cosine = a @ b / math.sqrt((a @ a + 1e-12) * (b @ b + 1e-12))
        losses[at] = 1 - cosine if target[at] == 1 else max(0, cosine - margin)
    return reduced(losses, reduction)


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction="mean"):
    def distance(a, b):
        steps = [abs(d + eps) for d in a - b]
        return max(steps) if p == math.inf else sum(d**p for d in steps) ** (1 / p)

    losses = np.zeros(anchor.shape[:-1])
    for at, (a, b, c) in rows(anchor, positive, negative):
        far = min(distance(a, c), distance(b, c)) if swap else distance(a, c)
        losses[at] = max(0, distance(a, b) - far + margin)
    return reduced(losses, reduction)


def embedding(ids, weight, padding_idx=None):
    rows = [weight[i] for i in np.ravel(ids)]
    return np.array(rows).reshape(*np.shape(ids), weight.shape[1])


DEFINITIONS = {
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "cosine_embedding_loss": cosine_embedding_loss,
    "cosine_similarity": cosine_similarity,
    "cross_entropy": cross_entropy,
    "embedding": embedding,
    "hinge_embedding_loss": hinge_embedding_loss,
    "huber_loss": huber_loss,
    "kl_div": kl_div,
    "l1_loss": l1_loss,
    "margin_ranking_loss": margin_ranking_loss,
    "mse_loss": mse_loss,
    "nll_loss": nll_loss,
    "smooth_l1_loss": smooth_l1_loss,
    "triplet_margin_loss": triplet_margin_loss,
}
