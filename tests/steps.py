"""A small network, its batches and some steps, for the tests of what an optimizer keeps."""

import numpy as np
from update_rules import ELEMENTWISE
from update_rules import OPTIONS as ELSEWHERE

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L

OPTIONS = {**ELSEWHERE, "RMSprop": [{}, {"centered": True, "momentum": 0.9}]}
CASES = [(name, options) for name in ELEMENTWISE for options in OPTIONS.get(name, [{}])]


def net(seed=0):
    tn.manual_seed(seed)
    return tn.Sequential(L.Linear(3, 4), L.Tanh(), L.Linear(4, 2))


def batch(i):
    rng = np.random.default_rng(i)
    return tn.tensor(rng.standard_normal((8, 3)).astype(np.float32)), tn.tensor(rng.integers(0, 2, 8))


def train(model, optimizer, steps):
    for i in steps:
        x, y = batch(i)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def weights(model):
    return {name: p.numpy().copy() for name, p in model.named_parameters()}


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def parameter(*values, dtype=np.float32):
    return tn.Parameter(list(values), dtype=dtype)
