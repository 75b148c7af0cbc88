"""Ready data sets: read from local files, or fetched once with their checksums checked."""

from .idx import DatasetError, read_idx
from .mnist import MNIST
from .toys import Blobs, Spiral, TwoMoons

__all__ = ["MNIST", "Blobs", "DatasetError", "Spiral", "TwoMoons", "read_idx"]
