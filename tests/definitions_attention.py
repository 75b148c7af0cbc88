"""Attention by definition: one query at a time, over the keys that it sees."""

import numpy as np


def scaled_dot_product_attention(q, k, v, attn_mask=True, is_causal=False, dropout_p=0.0, scale=None):
    assert dropout_p == 0
    (queries, features), keys = q.shape[-2:], k.shape[-2]
    scale = features**-0.5 if scale is None and features else scale or 0.0
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (np.broadcast_to(a, (*lead, *a.shape[-2:])) for a in (q, k, v))
    mask = np.broadcast_to(np.asarray(attn_mask), (*lead, queries, keys))
    y = np.zeros((*lead, queries, v.shape[-1]))
    for at in np.ndindex(*lead, queries):
        seen = [j for j in range(keys) if (mask.dtype != bool or mask[at][j]) and (not is_causal or j <= at[-1])]
        scores = [np.sum(q[at] * k[at[:-1]][j]) * scale + (0 if mask.dtype == bool else mask[at][j]) for j in seen]
        if (seen and max(scores) > -np.inf) or np.isnan(scores).any():
            weights = np.exp(np.array(scores) - max(scores))
            y[at] = sum(w / weights.sum() * v[at[:-1]][j] for w, j in zip(weights, seen, strict=True))
    return y


DEFINITIONS = {"scaled_dot_product_attention": scaled_dot_product_attention}
