"""A small network and its data, for the tests of Model.fit."""

import numpy as np

import tinynet as tn
from tinynet import layers as L
from tinynet import optim


def data(n=200, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4)).astype(np.float32)
    return x, (x[:, 0] * x[:, 1] > 0).astype(np.int64)


def net(seed=0, dropout=0.1):
    tn.manual_seed(seed)
    return tn.Sequential(L.Linear(4, 16), L.Tanh(), L.Dropout(dropout), L.Linear(16, 2))


def fit(model=None, train=None, **keywords):
    model = model or net()
    keywords = {"optimizer": optim.Adam(model, lr=0.02), "progress": False, **keywords}
    return model.fit(train or data(), **keywords)


class Listener:
    """An object with one or both of the methods that a callback may have."""

    def __init__(self, epoch=None, batch=None):
        if epoch:
            self.on_epoch_end = epoch
        if batch:
            self.on_batch_end = batch
