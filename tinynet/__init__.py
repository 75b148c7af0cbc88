"""tinynet: a mini deep-learning framework that a person can read in an afternoon.

>>> import tinynet as tn
>>> from tinynet import functions as F, layers as L, optim
"""

from . import compare, cuda, data, datasets, distributed, functions, layers, metrics, optim
from .autograd import enable_grad, grad, no_grad
from .backend import (
    DeviceError,
    device,
    get_matmul_precision,
    is_deterministic,
    manual_seed,
    set_default_device,
    set_deterministic,
    set_matmul_precision,
)
from .capture import capture
from .checkpoint import load, save
from .creation import arange, full, ones, rand, randn, zeros
from .derivatives import hessian, hvp, jacobian, jvp
from .layers import Layer, init
from .model import Model, Sequential
from .op import op
from .resume import load_checkpoint, save_checkpoint
from .tensor import Parameter, Tensor, tensor
from .testing import GradcheckError, gradcheck
from .training import History, StopTraining

__version__ = "0.1.0"
