"""Embedding, as a function and as a layer: gradients of repeated ids, the padding row, and ids that are refused."""

import numpy as np
import pytest
from sampling import put, settled, x

import tinynet as tn
import tinynet.functions as F
from tinynet import layers as L
from tinynet.tensor import Tensor

TABLE = x(4, 2)
ON_DEVICE = Tensor(TABLE)


@pytest.mark.parametrize("kind", [put, Tensor, np.ndarray.tolist, lambda a: put(a.astype("uint8"))])
def test_rows_at_ids(kind):
    ids = np.array([[3, 0], [3, 3]])
    y = F.embedding(kind(ids), ON_DEVICE)
    assert y.shape == (2, 2, 2)
    np.testing.assert_array_equal(y.numpy(), TABLE[ids])
    np.testing.assert_array_equal(F.embedding(2, ON_DEVICE).numpy(), TABLE[2])


def test_gradients_of_repeated_ids_add_up():
    weight = Tensor(TABLE, requires_grad=True)
    y = F.embedding([3, 0, 3, 3], weight)
    (g,) = tn.grad(y, weight, np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0], [100.0, 200.0]]))
    assert g.tolist() == [[3, 4], [0, 0], [0, 0], [111, 222]]
    y = F.embedding([3, 0], weight) + F.embedding([3, 1], weight)  # and those of two look-ups in one table
    assert tn.grad(y.sum(), weight)[0].tolist() == [[1, 1], [1, 1], [0, 0], [2, 2]]


@pytest.mark.parametrize("padding_idx", [3, -1])
def test_the_padding_row_gets_no_gradient(padding_idx):
    weight = Tensor(TABLE, requires_grad=True)
    y = F.embedding([[3, 0], [3, 1]], weight, padding_idx)
    np.testing.assert_array_equal(y.numpy(), TABLE[[[3, 0], [3, 1]]])
    (g,) = tn.grad((y**3).sum(), weight, create_graph=True)
    expected = 3 * TABLE**2
    expected[2:] = 0
    np.testing.assert_allclose(g.numpy(), expected)
    (h,) = tn.grad(g.sum(), weight)
    np.testing.assert_allclose(h.numpy(), np.where(expected, 6 * TABLE, 0))


@pytest.mark.parametrize(
    ("ids", "weight", "padding_idx", "error", "says"),
    [
        ([0, 4], ON_DEVICE, None, IndexError, r"id 4 at position \(1,\) is outside \[0, 4\), .* shape \(4, 2\)"),
        ([[0, 1], [-1, 7]], ON_DEVICE, None, IndexError, r"id -1 at position \(1, 0\)"),
        (-1, ON_DEVICE, 3, IndexError, r"id -1 at position \(\)"),
        ([0], tn.zeros(0, 2), None, IndexError, r"id 0 at position \(0,\) is outside \[0, 0\)"),
        ([0.0, 1.0], ON_DEVICE, None, TypeError, "ids must be integers, got float32"),
        ([True], ON_DEVICE, None, TypeError, "got bool"),
        ([0], ON_DEVICE[0], None, ValueError, r"weight has shape \(2,\), expected \(rows, width\)"),
        ([0], ON_DEVICE, 4, ValueError, r"padding_idx is 4, expected a row .* shape \(4, 2\)"),
        ([0], ON_DEVICE, -5, ValueError, "padding_idx is -5"),
    ],
)
def test_what_does_not_fit(ids, weight, padding_idx, error, says):
    with pytest.raises(error, match=f"embedding: .*{says}"):
        settled(F.embedding, ids, weight, padding_idx)


# ------------------------------------------------------------------------------------------------------------- layer


def test_the_layer_looks_up_its_weight():
    layer = L.Embedding(4, 2, padding_idx=-1)
    assert [(name, p.shape, p.dtype) for name, p in layer.named_parameters()] == [("weight", (4, 2), np.float32)]
    assert repr(layer) == "Embedding(4, 2, padding_idx=3)"
    assert repr(L.Embedding(4, 2)) == "Embedding(4, 2)"
    assert (layer.num_embeddings, layer.embedding_dim, layer.padding_idx) == (4, 2, 3)
    y = layer(Tensor([[0, 3], [1, 1]]))
    np.testing.assert_array_equal(y.numpy(), layer.weight.numpy()[[[0, 3], [1, 1]]])
    y.sum().backward()
    assert layer.weight.grad.tolist() == [[1, 1], [2, 2], [0, 0], [0, 0]]


def test_the_layer_starts_normal_with_a_padding_row_of_zeros():
    tn.manual_seed(0)
    weight = L.Embedding(500, 100, padding_idx=7).weight.numpy()
    assert (weight[7] == 0).all()
    rest = np.delete(weight, 7, axis=0)
    assert abs(rest.mean()) < 0.02
    assert rest.std() == pytest.approx(1, abs=0.01)


def test_the_padding_row_stays_through_training():
    layer = L.Embedding(4, 2, padding_idx=1)
    optimizer = tn.optim.SGD(layer, lr=0.5)
    before = layer.weight.numpy().copy()
    (layer([0, 1, 1]) ** 2).sum().backward()
    optimizer.step()
    assert (layer.weight.numpy()[1] == 0).all()
    assert (layer.weight.numpy()[0] != before[0]).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((0, 3), "num_embeddings is 0, expected an integer of at least 1"),
        ((3, 2.5), "embedding_dim is 2.5"),
        ((3, 2, 3), "padding_idx is 3, expected one of 3 rows"),
        ((3, 2, -4), "padding_idx is -4"),
    ],
)
def test_sizes_that_make_no_table(arguments, says):
    with pytest.raises(ValueError, match=f"Embedding: {says}"):
        L.Embedding(*arguments)
