"""PyTorch's counterparts of the losses, and of embedding."""

import warnings

import torch
import torch.nn.functional as T
from parity import NoCounterpart


def tensors(*arguments):
    """Numbers and lists among operands as tensors, in the dtype of the first."""
    first, *others = (torch.as_tensor(a) for a in arguments)
    return first, *(t.to(first.dtype) for t in others)


def elementwise(f):
    return lambda input, target, *arguments, **keywords: f(*tensors(input, target), *arguments, **keywords)


def huber_loss(input, target, delta=1.0, reduction="mean"):
    return T.huber_loss(*tensors(input, target), delta=delta, reduction=reduction)


def smooth_l1_loss(input, target, beta=1.0, reduction="mean"):
    return T.smooth_l1_loss(*tensors(input, target), beta=beta, reduction=reduction)


def weighted(losses, weight, reduction):
    """PyTorch's losses have no gradient for their weights."""
    losses = losses if weight is None else losses * weight
    return {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[reduction]()


def binary_cross_entropy(input, target, weight=None, reduction="mean"):
    if torch.isnan(input).any():
        raise NoCounterpart("PyTorch refuses a NaN")
    return weighted(T.binary_cross_entropy(*tensors(input, target), reduction="none"), weight, reduction)


def binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, reduction="mean"):
    input, target = tensors(input, target)
    losses = T.binary_cross_entropy_with_logits(input, target, reduction="none")
    if pos_weight is not None:  # added to what PyTorch has, for the same reason
        losses = losses - (pos_weight - 1) * target * T.logsigmoid(input)
        plain = T.binary_cross_entropy_with_logits(input, target, pos_weight=pos_weight.detach(), reduction="none")
        torch.testing.assert_close(losses, plain)
    return weighted(losses, weight, reduction)


def kl_div(input, target, log_target=False, reduction="mean"):
    if torch.isinf(input).any():
        raise NoCounterpart("PyTorch has NaN for a probability of 0 that meets one of 0")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "reduction: 'mean'")
        return T.kl_div(input, target, log_target=log_target, reduction=reduction)


def cosine_embedding_loss(input1, input2, target, margin=0.0, reduction="mean"):
    if not (input1.any() and input2.any()) and input1.numel():
        raise NoCounterpart("PyTorch's 1e-12 is a float32, which shows where it is all there is")
    return T.cosine_embedding_loss(input1, input2, target, margin=margin, reduction=reduction)


def by_class(f, *names):
    def loss(scores, targets, *arguments, **keywords):
        keywords = dict(zip(names, arguments, strict=False)) | keywords
        if isinstance(keywords.get("weight"), list):
            keywords["weight"] = torch.tensor(keywords["weight"], dtype=scores.dtype)
        return f(scores, torch.as_tensor(targets), **keywords)

    return loss


def cosine_similarity(x1, x2, axis=1, eps=1e-8):
    if (x2.norm(dim=min(axis, x2.ndim - 1)) < eps).any():
        raise NoCounterpart("PyTorch differentiates the norm even where eps has taken its place")
    return T.cosine_similarity(x1, x2, dim=axis, eps=eps)


TORCH = {
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "cosine_embedding_loss": cosine_embedding_loss,
    "cosine_similarity": cosine_similarity,
    "cross_entropy": by_class(T.cross_entropy, "weight", "ignore_index", "label_smoothing", "reduction"),
    "embedding": lambda ids, weight, padding_idx=None: T.embedding(ids.long(), weight, padding_idx),
    "hinge_embedding_loss": T.hinge_embedding_loss,
    "huber_loss": huber_loss,
    "kl_div": kl_div,
    "l1_loss": elementwise(T.l1_loss),
    "margin_ranking_loss": T.margin_ranking_loss,
    "mse_loss": elementwise(T.mse_loss),
    "nll_loss": by_class(T.nll_loss, "weight", "ignore_index", "reduction"),
    "smooth_l1_loss": smooth_l1_loss,
    "triplet_margin_loss": T.triplet_margin_loss,
}
