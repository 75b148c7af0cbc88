"""Small models and data, for the tests of compare_optimizers."""

import tinynet as tn
from tinynet import layers as L
from tinynet import optim
from tinynet.compare import compare_optimizers

RULES = {"SGD": optim.SGD, "Adam": lambda params, lr: optim.Adam(params, lr=lr, beta2=0.99)}
POINTS = tn.datasets.TwoMoons(60)


def make_model():
    return tn.Sequential(L.Linear(2, 8), L.Tanh(), L.Linear(8, 2))


def compare(rules=RULES, train=POINTS, **options):
    options = {"make_model": make_model, "lrs": 0.1, "batch_size": 20, "progress": False, **options}
    return compare_optimizers(options.pop("make_model"), rules, train, **options)
