"""Every function of Tensors, a file a family; ``from tinynet import functions as F``.

Array functions are named and parametrised as in NumPy, neural ones as in PyTorch. All take Tensors, arrays, lists and
numbers, keep float32, and can be differentiated any number of times.
"""

from . import methods
from .activation import (
    elu,
    gelu,
    glu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsigmoid,
    mish,
    relu,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
)
from .attention import scaled_dot_product_attention
from .conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, fold, unfold
from .elementwise import (
    abs,
    add,
    arccos,
    arcsin,
    arctan,
    astype,
    clip,
    cos,
    cosh,
    div,
    equal,
    erf,
    exp,
    expm1,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    mul,
    neg,
    not_equal,
    pow,
    reciprocal,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    sub,
    tan,
    tanh,
    where,
)
from .indexing import argsort, diagonal, getitem, one_hot, sort, take, take_along_axis, topk
from .joining import concatenate, pad, repeat, split, stack, tile
from .linalg import dot, einsum, linear, matmul, outer, tensordot
from .lookup import embedding
from .loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from .loss_classes import cross_entropy, nll_loss
from .loss_pairs import (
    cosine_embedding_loss,
    cosine_similarity,
    hinge_embedding_loss,
    margin_ranking_loss,
    triplet_margin_loss,
)
from .normalisation import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from .pool import adaptive_avg_pool2d, avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from .random import dropout
from .recurrent import gru, lstm, rnn
from .reduce import (
    all,
    any,
    argmax,
    argmin,
    cumprod,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from .resample import interpolate, pixel_shuffle
from .shape import (
    broadcast_to,
    expand_dims,
    flatten,
    flip,
    moveaxis,
    reshape,
    roll,
    squeeze,
    swapaxes,
    transpose,
    tril,
    triu,
)

del methods  # it hangs the functions on Tensor when it is imported, and has no names of its own
__all__ = [name for name in dir() if name[0] != "_" and callable(globals()[name])]
