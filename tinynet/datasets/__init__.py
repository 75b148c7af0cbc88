"""Ready data sets: read from local files, or fetched once with their checksums checked."""

from .idx import DatasetError, read_idx
from .mnist import MNIST

__all__ = ["MNIST", "DatasetError", "read_idx"]
