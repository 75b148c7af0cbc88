"""Methods, operators, comparisons and indexing: other ways of writing the functions, with the same results."""

import operator

import numpy as np
import pytest
from samples import ALL, SAMPLES
from sampling import put, whole, words, x

import tinynet as tn
import tinynet.functions as F
from tinynet.tensor import Parameter, Tensor

# The families whose functions of one Tensor are methods, and those of their functions that are none: `sort` would look as if
# it worked in place; the others take a condition, a sequence or several equal operands, or are operators.
FAMILIES = words("elementwise reduce shape indexing joining linalg activation")
NOT_METHODS = set(
    words(
        "sort where concatenate stack einsum tensordot linear "
        "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_not"
    )
)
METHODS = {name for name in F.__all__ if getattr(F, name).__module__.split(".")[-1] in FAMILIES} - NOT_METHODS


@pytest.mark.parametrize("name", sorted(F.__all__))
def test_functions_of_one_tensor_and_no_others_are_methods(name):
    assert hasattr(Tensor, name) == (name in METHODS)


@pytest.mark.parametrize("sample", [s for s in ALL if s.name in METHODS and isinstance(s.inputs[0], np.ndarray)], ids=str)
def test_method_does_what_the_function_does(sample):
    a, *rest = sample.inputs
    expected = sample.ours()
    found = getattr(Tensor(a), sample.name)(*put(rest), **put(sample.keywords))
    for f, e in zip(*(y if isinstance(y, (list, tuple)) else [y] for y in (found, expected)), strict=True):
        np.testing.assert_array_equal(f.numpy(), e.numpy())


def test_reshape_and_transpose_take_several_numbers_too():
    a = Tensor(x(2, 3, 4))
    assert a.reshape(4, -1).shape == a.reshape((4, -1)).shape == a.reshape([4, -1]).shape == (4, 6)
    assert a.reshape(-1).shape == (24,)
    assert a.reshape(np.int64(6), 4).shape == (6, 4)
    assert a.transpose(2, 0, 1).shape == a.transpose((2, 0, 1)).shape == a.transpose([2, 0, 1]).shape == (4, 2, 3)
    assert a.transpose().shape == a.transpose(None).shape == a.T.shape == (4, 3, 2)
    np.testing.assert_array_equal(a.T.numpy(), x(2, 3, 4).T)


# -------------------------------------------------------------------------------------------------------- operators

OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("f", [*OPERATORS, *COMPARISONS], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "other", [x(3, seed=1), x(2, 1), [0.5, 1.0, 2.0], 2, 0.5, np.float64(0.5), np.arange(1, 4)], ids=str
)
def test_operators_with_arrays_lists_and_numbers_on_either_side(f, other):
    a = np.abs(x(2, 3)) + 0.1
    other = np.abs(other).tolist() if isinstance(other, list) else np.abs(other)
    ours = put(other)
    for found, expected in [(f(Tensor(a), ours), f(a, np.asarray(other))), (f(ours, Tensor(a)), f(np.asarray(other), a))]:
        assert isinstance(found, Tensor)
        assert found.requires_grad is False
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-15)
    np.testing.assert_allclose(f(Tensor(a), Tensor(other, dtype="float64")).numpy(), f(a, np.asarray(other)), rtol=1e-15)


@pytest.mark.parametrize("f", OPERATORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", [x(3, seed=1), 2.0, np.float64(2)], ids=str)
def test_gradient_through_an_operator_with_the_tensor_on_either_side(f, other):
    a = Parameter(np.abs(x(3)) + 0.1)
    other = put(np.abs(other))
    for g in (lambda a: f(a, other), lambda a: f(other, a)):
        quotient = (g(a.detach() + 1e-6) - g(a.detach() - 1e-6)) / 2e-6
        assert tn.grad(g(a).sum(), a)[0].numpy() == pytest.approx(quotient.numpy(), rel=1e-6)


def test_matrix_product_with_arrays_on_either_side():
    a, b = x(2, 3), x(3, 4)
    for y in (Tensor(a) @ Tensor(b), put(a) @ Tensor(b), Tensor(a) @ put(b), a.tolist() @ Tensor(b)):
        np.testing.assert_allclose(y.numpy(), a @ b, rtol=1e-6)


def test_unary_operators():
    a = Tensor(x(4))
    np.testing.assert_array_equal((-a).numpy(), -x(4))
    np.testing.assert_array_equal(abs(a).numpy(), abs(x(4)))
    np.testing.assert_array_equal((~(a > 0)).numpy(), x(4) <= 0)
    np.testing.assert_array_equal(((a > 0) & (a < 1) | (a < -1)).numpy(), ((x(4) > 0) & (x(4) < 1)) | (x(4) < -1))


def test_augmented_assignment_makes_a_new_tensor():
    a = b = Parameter(np.ones(3))
    b += 1.0
    b *= 2.0
    assert a.tolist() == [1, 1, 1]
    assert b.tolist() == [4, 4, 4]
    assert tn.grad(b.sum(), a)[0].tolist() == [2, 2, 2]


def test_comparison_with_what_is_no_number_is_false():
    a = Tensor(x(3))
    assert (a == None) is False  # noqa: E711
    assert (a != None) is True  # noqa: E711
    assert (a == "name") is False
    assert a not in [None, "name"]
    with pytest.raises(TypeError):
        _ = a < None


def test_a_tensor_is_a_key_by_identity():
    a, b = Tensor([1.0]), Tensor([1.0])
    assert {a: 1, b: 2}[a] == 1
    assert len({a, b, a}) == 2


# --------------------------------------------------------------------------------------------------------- indexing


@pytest.mark.parametrize("sample", SAMPLES["getitem"], ids=str)
def test_indexing_and_the_scatter_of_its_gradient(sample):
    a, index = sample.inputs
    t = Tensor(a, requires_grad=True)
    np.testing.assert_array_equal(t[put(index)].numpy(), a[index])
    seed = np.cos(np.arange(a[index].size)).reshape(a[index].shape)
    expected = np.zeros(a.shape)
    np.add.at(expected, tuple(index) if isinstance(index, tuple) else index if np.size(index) else np.array([], int), seed)
    np.testing.assert_allclose(tn.grad(t[put(index)], t, seed)[0].numpy(), expected, rtol=1e-15)


@pytest.mark.parametrize("index", [whole(4), np.array([True, False, True]), np.array(1), np.array([[2], [0]])], ids=str)
def test_indexing_by_a_tensor(index):
    a = Tensor(x(3, 4))
    np.testing.assert_array_equal(a[Tensor(index)].numpy(), x(3, 4)[index])
    np.testing.assert_array_equal(a[Tensor(index), 1].numpy(), x(3, 4)[index, 1])
    np.testing.assert_array_equal(a[a > 0].numpy(), x(3, 4)[x(3, 4) > 0])


def test_repeats_may_be_a_tensor():
    for repeats in (2, [0, 1, 2]):
        np.testing.assert_array_equal(F.repeat(x(3), Tensor(repeats)).numpy(), np.repeat(x(3), repeats))


def test_repeated_indices_add_their_gradients():
    a = Parameter(np.zeros(3))
    (a[[0, 2, 2, 2]] * Tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert a.grad.tolist() == [1, 0, 9]


def test_iteration_gives_the_rows_with_their_gradients():
    a = Parameter(x(3, 2))
    first, _, third = a
    (first.sum() + 2 * third.sum()).backward()
    assert a.grad.tolist() == [[1, 1], [0, 0], [2, 2]]
    assert len(a) == 3
    assert [row.shape for row in a] == [(2,)] * 3


def test_nothing_is_assigned_in_place():
    a = Tensor(x(3))
    with pytest.raises(TypeError, match="not changed in place"):
        a[0] = 1.0


def test_every_input_may_be_an_array_or_a_tensor():
    """(That an array gives a Tensor too is shown by the tests of values.)"""
    for sample in ALL:
        arrays = [Tensor(a) if isinstance(a, np.ndarray) else a for a in sample.inputs]
        with np.errstate(all="ignore"):
            found, expected = (sample.ours(i) for i in (arrays, sample.inputs))
        for f, e in zip(*(y if isinstance(y, (list, tuple)) else [y] for y in (found, expected)), strict=True):
            assert isinstance(e, Tensor)
            np.testing.assert_array_equal(f.numpy(), e.numpy())
