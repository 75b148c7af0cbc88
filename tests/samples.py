"""SAMPLES: for every public function, the calls that its tests run.

The one idea: a function is described once, and every kind of test runs over the whole table: values against NumPy,
derivatives against difference quotients, dtypes, memory layouts, methods. A function without samples fails the day it is
written. A new family of functions gets a file of its own, imported here.
"""

import samples_arrays
import samples_attention
import samples_conv
import samples_loss
import samples_network
import samples_norm
import samples_pool
import samples_recurrent
from sampling import SAMPLES, Sample

ALL = [sample for samples in SAMPLES.values() for sample in samples]

__all__ = [
    "ALL",
    "SAMPLES",
    "Sample",
    "samples_arrays",
    "samples_attention",
    "samples_conv",
    "samples_loss",
    "samples_network",
    "samples_norm",
    "samples_pool",
    "samples_recurrent",
]
