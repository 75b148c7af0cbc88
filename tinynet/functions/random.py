"""Functions that draw random numbers while they run: dropout, from the library's own random stream."""

from __future__ import annotations

from ..backend import device_of, stream, to_device
from ..op import data_of
from ..tensor import Tensor
from .elementwise import mul
from .shape import arraylike


def dropout(x, p=0.5, training=True) -> Tensor:
    """Each element zeroed with probability p, the others scaled by 1 / (1 - p); x itself when not ``training``.

    The expectation of every element stays what it was. Srivastava et al. 2014, JMLR 15. ValueError for p outside [0, 1].
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is {p}, expected a probability between 0 and 1")
    x = arraylike(x)
    if not training or p == 0:
        return x
    keep = stream("dropout").random(x.shape, dtype="float32") >= p
    mask = keep.astype(x.dtype if x.dtype.kind == "f" else "float32") * (1 / (1 - float(p)) if p < 1 else 0.0)
    return mul(x, to_device(mask, device_of(data_of(x))))
