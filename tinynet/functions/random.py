"""Functions that draw random numbers while they run: dropout, from the library's own random stream."""

from __future__ import annotations

import numpy as np

from ..backend import from_host, stream
from ..kernels.gpu import philox
from ..op import data_of, op
from ..tensor import Tensor
from .elementwise import astype, mul
from .shape import arraylike


@op(lambda g, y, x, key, p: _dropout(g, key, p=p), None)
def _dropout(x, key, p):
    """Linear in x: its gradient is the same with the same mask, which is drawn again from the key."""
    return philox.dropout(x, key, p)


def dropout(x, p=0.5, training=True) -> Tensor:
    """Each element zeroed with probability p, the others scaled by 1 / (1 - p); x itself when not ``training``.

    The expectation of every element stays what it was. Srivastava et al. 2014, JMLR 15. ValueError for p outside [0, 1].

    The mask follows from ``tn.manual_seed``: on a CPU drawn from the stream "dropout", on a GPU by a generator there
    (Philox) from a key that is drawn from that stream. So the same seed gives the same mask in every run on a GPU, but
    another one than on a CPU, where Philox would take several times as long as the stream.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is {p}, expected a probability between 0 and 1")
    x = arraylike(x)
    if not training or p == 0:
        return x
    array = data_of(x)
    if not isinstance(array, np.ndarray):
        key = from_host(lambda: stream("dropout").integers(2**63, size=1), (1,), np.int64, array)
        return _dropout(x if x.dtype.kind == "f" else astype(x, np.float32), key, p=float(p))
    keep = stream("dropout").random(x.shape, dtype="float32") >= p
    mask = keep.astype(x.dtype if x.dtype.kind == "f" else "float32") * (1 / (1 - float(p)) if p < 1 else 0.0)
    return mul(x, mask)
