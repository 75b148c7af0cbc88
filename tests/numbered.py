"""Data sets of numbered samples, for the tests of what a loader gives."""

import numpy as np

from tinynet.data import Dataset

N = 23


class Samples(Dataset):
    """The numbers 0 to n - 1, one sample at a time; counts what is asked for."""

    def __init__(self, n=N):
        self.n, self.asked = n, []

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.asked.append(i)
        return np.full((2, 3), i, np.float32), i


def ids(batches):
    """The sample numbers in each batch, read from its last array."""
    return [batch[-1].tolist() for batch in batches]


def flat(batches):
    """The sample numbers of an epoch in one list."""
    return [i for batch in ids(batches) for i in batch]
