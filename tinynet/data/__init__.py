"""Data sets and the loader that cuts them into batches."""

from . import transforms
from .dataset import ArrayDataset, Dataset, Subset, random_split
from .loader import DataLoader

__all__ = ["ArrayDataset", "DataLoader", "Dataset", "Subset", "random_split", "transforms"]
