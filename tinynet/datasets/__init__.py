"""Ready data sets: read from local files, or fetched once with their checksums checked."""

from .cifar import CIFAR10
from .idx import DatasetError, read_idx
from .mnist import MNIST, FashionMNIST
from .toys import Blobs, Spiral, TwoMoons

__all__ = ["CIFAR10", "MNIST", "Blobs", "DatasetError", "FashionMNIST", "Spiral", "TwoMoons", "read_idx"]
