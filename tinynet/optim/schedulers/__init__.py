"""Schedulers: the learning rate as a function of the number of steps or epochs gone by.

One scheduler sets an optimizer's rates; ``SequentialLR`` makes one of several. Call its ``step()`` after the optimizer's,
or pass it to ``Model.fit``.
"""

from .formulas import (
    CosineAnnealingLR,
    CosineWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearWarmup,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from .onecycle import OneCycleLR
from .plateau import ReduceLROnPlateau
from .scheduler import Scheduler
from .sequential import SequentialLR
