"""Optimizers: an update rule is its textbook formula, a pure elementwise function of weight, gradient and named buffers.

The functions that a rule of your own may use besides arithmetic stand here too: ``sqrt abs sign exp maximum minimum where``.
"""

from ..kernels.elementary import abs, exp, maximum, minimum, sign, sqrt, where
from . import schedulers
from .adaptive import Adadelta, Adagrad
from .clip import clip_grad_norm, clip_grad_value
from .lbfgs import LBFGS
from .moments import Adamax, AdamW, Lion, NAdam, RAdam
from .muon import Muon
from .optimizer import Optimizer
from .rules import SGD, Adam, Momentum, RMSprop
