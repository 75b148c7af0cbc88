"""What Model.summary says a layer costs, beside the number worked out by hand. (The table itself is in test_model.py.)"""

import ast
import inspect
import textwrap

import numpy as np
import pytest

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet.op import OPS
from tinynet.summary import MULTIPLY_ADDS, summarize

# Ops that multiply matrices and that no summary sees: on the way back alone, or in place of several that it shows.
UNSEEN = ("conv_weight", "conv_relu", "linear_relu")
OURS = [op for key, op in OPS.items() if key.startswith("tinynet.")]  # before an example in a docstring declares its own

LAYERS = [  # (layer, shape of a sample, multiply-adds)
    (L.Linear(784, 256), (784,), 784 * 256),
    (L.Linear(7, 3, bias=False), (5, 4, 7), 5 * 4 * 7 * 3),
    (L.ReLU(), (5,), 0),
    (L.LayerNorm(6), (5, 6), 0),
    (L.RNN(3, 5), (7, 3), 7 * 5 * (3 + 5)),
    (L.GRU(3, 5), (7, 3), 7 * 3 * 5 * (3 + 5)),
    (L.LSTM(3, 5), (7, 3), 7 * 4 * 5 * (3 + 5)),
    (L.LSTM(3, 5, num_layers=2, bidirectional=True), (7, 3), 2 * 7 * 4 * 5 * (3 + 5) + 2 * 7 * 4 * 5 * (10 + 5)),
    (L.Conv2d(1, 6, 5, padding=2), (1, 28, 28), 6 * 28 * 28 * 25),
    (L.Conv2d(8, 8, 3, stride=2, groups=8, bias=False), (8, 9, 9), 8 * 4 * 4 * 9),
    (L.Conv1d(3, 4, 5, dilation=2), (3, 20), 4 * 12 * 3 * 5),
    (L.Conv3d(2, 3, 2), (2, 4, 4, 4), 3 * 27 * 2 * 8),
    (L.ConvTranspose2d(4, 6, 3, stride=2), (4, 5, 5), 4 * 5 * 5 * 6 * 9),
    (L.ConvTranspose1d(4, 6, 3, groups=2), (4, 5), 4 * 5 * 3 * 3),
    (L.BatchNorm2d(3), (3, 4, 4), 0),
    (L.MaxPool2d(2), (3, 4, 4), 0),
    (L.AdaptiveAvgPool2d(1), (3, 4, 4), 0),
    (L.LSTMCell(3, 5), (3,), 4 * 5 * (3 + 5)),
]


def ones(*shape):
    return tn.ones(shape)


@pytest.mark.parametrize(("layer", "shape", "expected"), LAYERS, ids=lambda x: repr(x) if isinstance(x, tn.Layer) else "")
def test_the_cost_of_a_layer(layer, shape, expected):
    summary = summarize(tn.Sequential(layer), shape)
    assert summary.multiply_adds == expected
    assert summary.rows[0][4] == expected


def test_attention():
    d, t, f = 8, 6, 16
    attention = L.MultiHeadAttention(d, 2)
    summary = summarize(L.Lambda(lambda x: attention(x, x, x)), (t, d))
    assert summary.multiply_adds == t * d * 3 * d + 2 * t * t * d + t * d * d
    if hasattr(L, "TransformerEncoderLayer"):
        summary = summarize(tn.Sequential(L.TransformerEncoderLayer(d, 2, f)), (t, d))
        assert summary.multiply_adds == t * d * 3 * d + 2 * t * t * d + t * d * d + 2 * t * d * f


def test_convolutions():
    assert summarize(tn.Sequential(L.Conv2d(4, 6, 3, stride=2, groups=2)), (4, 9, 9)).multiply_adds == 6 * 16 * 2 * 9
    assert summarize(tn.Sequential(L.ConvTranspose1d(4, 6, 3)), (4, 5)).multiply_adds == 4 * 5 * 6 * 3


def test_lenet_costs_what_is_known():
    convolutions = [L.Conv2d(None, 6, 5, padding=2), L.ReLU(), L.AvgPool2d(2), L.Conv2d(6, 16, 5), L.ReLU(), L.AvgPool2d(2)]
    dense = [L.Flatten(), L.Linear(None, 120), L.ReLU(), L.Linear(120, 84), L.ReLU(), L.Linear(84, 10)]
    summary = tn.Sequential(*convolutions, *dense).summary((1, 28, 28))
    assert (summary.parameters, summary.multiply_adds) == (61_706, 416_520)


def test_an_embedding_costs_nothing():
    assert summarize(tn.Sequential(L.Embedding(9, 4)), (5,), dtype=np.int64).multiply_adds == 0


@pytest.mark.parametrize(
    ("function", "shapes", "expected"),
    [
        (F.matmul, [(3, 4), (4, 5)], 60),
        (lambda a: a @ tn.ones(4), (2, 3, 4), 24),
        (lambda a, b: F.einsum("nij,njk->nik", a, b), [(3, 4), (4, 5)], 60),
        (lambda a, b: F.einsum("nij,nij->n", a, b), [(3, 4), (3, 4)], 12),
        (lambda a, b: F.einsum("nij,nkj->nik", a, b), [(3, 1), (2, 5)], 30),
        (lambda a, b: F.tensordot(a[0], b[0], 1), [(3, 4), (4, 5)], 60),
        (lambda a, b: F.einsum("nij->nj", a) * b, [(3, 4), (4,)], 0),
        (F.mul, [(3, 4), (3, 4)], 0),
        (lambda x: F.conv2d(x, ones(6, 3, 5, 5), padding=2), (3, 8, 8), 6 * 8 * 8 * 3 * 5 * 5),
        (lambda x: F.conv2d(x, ones(6, 1, 3, 3), stride=2, groups=3), (3, 9, 9), 6 * 4 * 4 * 1 * 3 * 3),
        (lambda x: F.conv1d(x, ones(6, 3, 5)), (3, 8), 6 * 4 * 3 * 5),
        (lambda x: F.conv_transpose2d(x, ones(3, 6, 2, 2), stride=2), (3, 4, 4), 3 * 4 * 4 * 6 * 2 * 2),
    ],
)
def test_the_cost_of_an_op(function, shapes, expected):
    assert summarize(L.Lambda(function), shapes).multiply_adds == expected


def multiplies_matrices(op):
    """Whether a matrix product stands in the source of an op's forward."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(op.forward)))
    forward = next(node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda)))
    return any(
        isinstance(getattr(node, "op", None), ast.MatMult)
        or (isinstance(node, ast.Name) and ("product" in node.id or "affine" in node.id))
        or (isinstance(node, ast.Attribute) and node.attr in ("matmul", "einsum", "dot", "tensordot"))
        for node in ast.walk(forward)
    )


def test_every_op_that_multiplies_matrices_has_its_cost():
    """So that a new one is counted the day it is written."""
    products = {op.name for op in OURS if multiplies_matrices(op) or "conv" in op.name}
    assert {"matmul", "linear", "einsum", "conv"} <= products
    assert products - set(MULTIPLY_ADDS) - set(UNSEEN) == set()
