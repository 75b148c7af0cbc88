"""The laboratory: optimizers side by side, fairly, on a network of yours and on surfaces that one can look at.

``compare_optimizers`` trains; ``trajectories`` walks over contours. Pictures need matplotlib, which is imported when one
is drawn and not before.
"""

from . import surfaces
from .comparison import Comparison
from .optimizers import compare_optimizers
from .range_test import RangeTest, learning_rate_range_test
from .run import Run, Target
from .surfaces import Surface
from .trajectories import Trajectories, fewest_steps, trajectories
from .weights import WeightPaths, weight_paths
