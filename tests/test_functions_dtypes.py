"""Dtypes: float32 stays float32, and float16 float16, through every function and both derivatives, whatever is beside it."""

import numpy as np
import pytest
from samples import ALL, SAMPLES
from sampling import backward_twice, floats_of, is_float, put, whole, words, x

import tinynet as tn
import tinynet.functions as F
from tinynet.tensor import Tensor

CASTS = {"astype"}  # its very purpose is to give another dtype
WITH_FLOATS = [s for s in ALL if s.name not in CASTS and any(map(is_float, s.inputs))]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("sample", WITH_FLOATS, ids=str)
def test_dtype_is_kept_by_value_gradient_and_second_gradient(sample, dtype):
    with np.errstate(all="ignore"):  # float16 ends at 65504
        result = sample.ours(sample.tensors(dtype))
    ys, first, second = backward_twice(sample, dtype)
    assert {t.dtype for t in [*floats_of(result), *ys, *first, *second]} <= {np.dtype(dtype)}


# --------------------------------------------------------------------------------- beside an array of integers

TWO_FLOATS = [
    s
    for s in WITH_FLOATS
    if s.name != "cross_entropy"
    and not (s.name == "scaled_dot_product_attention" and len(s.inputs) > 3)  # with a mask
    and sum(map(is_float, s.inputs)) > 1
    and all(np.isfinite(a).all() for a in s.inputs if is_float(a))
]


@pytest.mark.parametrize("sample", TWO_FLOATS, ids=str)
def test_float32_beside_an_array_of_integers(sample):
    """NumPy would give float64. (As targets of cross_entropy integers mean another thing, and are no mask.)"""
    places = [i for i, a in enumerate(sample.inputs) if is_float(a)]
    for kept in places:
        inputs = [a.astype("int64") + 1 if is_float(a) else a for a in sample.inputs]
        inputs[kept] = f = Tensor(sample.inputs[kept].astype("float32"), requires_grad=True)
        with np.errstate(all="ignore"):
            result = sample.ours(inputs)
            ys = list(result) if isinstance(result, (list, tuple)) else [result]
            if ys[0].dtype == bool:
                break
            assert {y.dtype for y in ys} == {np.dtype(np.float32)}
            assert tn.grad(ys, f, [np.ones(y.shape) for y in ys])[0].dtype == np.float32


# ------------------------------------------------------------------------------------------ beside NumPy scalars


def numpy_scalars(a):
    """``a`` with np.float64 and np.int64 in place of every Python number, in tuples, lists and slices too."""
    if isinstance(a, (tuple, list)):
        return type(a)(map(numpy_scalars, a))
    if isinstance(a, slice):
        return slice(*map(numpy_scalars, (a.start, a.stop, a.step)))
    if isinstance(a, bool) or not isinstance(a, (int, float)):
        return a
    return np.float64(a) if isinstance(a, float) else np.int64(a)


def has_numbers(sample):
    return repr(numpy_scalars((sample.inputs, list(sample.keywords.values())))) != repr(
        (sample.inputs, list(sample.keywords.values()))
    )


@pytest.mark.parametrize("sample", [s for s in WITH_FLOATS if has_numbers(s)], ids=str)
def test_a_numpy_scalar_counts_as_the_number_it_is(sample):
    inputs = sample.tensors("float32")
    keywords = {name: numpy_scalars(value) for name, value in sample.keywords.items()}
    with np.errstate(all="ignore"):
        expected = sample.ours(inputs)
        changed = type(sample)(sample.name, sample.inputs, keywords)
        found = changed.ours([numpy_scalars(a) for a in inputs])
    for f, e in zip(*(y if isinstance(y, (list, tuple)) else [y] for y in (found, expected)), strict=True):
        assert f.dtype == e.dtype
        np.testing.assert_array_equal(f.numpy(), e.numpy())


@pytest.mark.parametrize("scalar", [np.float64(2), np.sqrt(2), np.float32(2), np.int64(2), 2, 2.5, True], ids=repr)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_operators_with_a_scalar_on_either_side(dtype, scalar):
    a = Tensor(x(3).astype(dtype), requires_grad=True)
    for y in [
        a + scalar,
        scalar + a,
        a - scalar,
        scalar - a,
        a * scalar,
        scalar * a,
        a / scalar,
        scalar / a,
        abs(a) ** scalar,
    ]:
        assert y.dtype == dtype
        (g,) = tn.grad(y, a, np.ones(3), create_graph=True)
        assert g.dtype == dtype


def test_numbers_and_lists_beside_float64_lose_no_digits():
    a = Tensor(x(2))
    for y in [
        a * 0.1,
        F.dot(a, 0.1),
        F.outer(a, 0.1).reshape(2),
        F.einsum("i,->i", a, 0.1),
        a * [0.1, 0.1],
        a * np.float32(0.5) * 0.2,
    ]:
        np.testing.assert_allclose(y.numpy(), x(2) * 0.1, rtol=1e-15)
    assert F.stack([a[0], 0.1])[1].item() == 0.1
    assert F.mse_loss(a.sum(), 0.1).item() == (x(2).sum() - 0.1) ** 2
    assert (Tensor(x(2).astype("float16")) * [0.1, 0.2]).dtype == np.float16


# ------------------------------------------------------------------------------------------ integers and booleans

FLOAT_FUNCTIONS = words(
    "div exp expm1 log log1p sqrt reciprocal sin cos tan arcsin arccos arctan sinh cosh tanh erf "
    "mean var std logsumexp norm softmax log_softmax sigmoid logsigmoid softplus softsign silu gelu elu selu "
    "leaky_relu hardsigmoid hardswish mish glu cross_entropy mse_loss"
)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8", "bool"])
@pytest.mark.parametrize("name", FLOAT_FUNCTIONS)
def test_float_functions_of_integers_give_float32(name, dtype):
    ones = put(np.ones((2, 2), dtype))
    more = {"div": [ones], "mse_loss": [ones], "cross_entropy": [[0, 1]]}.get(name, [])
    function = getattr(F, name)
    for inputs in ([ones, *more], [Tensor(ones), *more]):
        y = function(*inputs)
        assert y.dtype == np.float32
        expected = function(ones.astype("float32"), *[m if isinstance(m, list) else m.astype("float32") for m in more])
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-6)


IDS, LABELS = [0, 1], [1, -1]
OF_FLOATS = {
    name: getattr(F, name) for name in words("softmax log_softmax logsumexp sigmoid logsigmoid silu hardsigmoid hardswish")
}
OF_FLOATS |= {f"norm {o}": lambda a, o=o: F.norm(a, o, axis=1) for o in (1, 2, 3, 0.5, np.inf)}
OF_FLOATS |= {n: lambda a, n=n: getattr(F, n)(a[0], a[1]) for n in words("mse_loss l1_loss huber_loss smooth_l1_loss")}
OF_FLOATS |= {
    "softsign": F.softsign,
    "cosine_similarity": lambda a: F.cosine_similarity(a, a[::-1]),
    "cosine_embedding_loss": lambda a: F.cosine_embedding_loss(a, a[::-1], LABELS),
    "margin_ranking_loss": lambda a: F.margin_ranking_loss(a[0], a[1], LABELS),
    "triplet_margin_loss": lambda a: F.triplet_margin_loss(a, a[::-1], a[:, ::-1]),
    "binary_cross_entropy_with_logits": lambda a: F.binary_cross_entropy_with_logits(a, a * 0),
    "nll_loss": lambda a: F.nll_loss(a, IDS),
    "cross_entropy": lambda a: F.cross_entropy(a, IDS),
    "cross_entropy of each": lambda a: F.cross_entropy(a, IDS, reduction="none"),
}
FAR_APART = {
    "uint8": [0, 5, 100, 255],
    "int8": [-127, 5, 100, 127],
    "uint16": [0, 5, 30, 65535],
    "int16": [-300, 5, 30, 32767],
    "uint32": [0, 5, 30, 70000],
    "int64": [-300, 5, 30, 4_000_000_000],
    "bool": [0, 1, 1, 0],
}


@pytest.mark.parametrize("dtype", FAR_APART)
@pytest.mark.parametrize("name", OF_FLOATS)
def test_integers_are_not_subtracted_or_squared_in_their_own_dtype(name, dtype):
    """They would wrap round: the norm of bytes would be the root of what their squares leave modulo 256."""
    a = np.array(FAR_APART[dtype]).reshape(2, 2)
    y, expected = (OF_FLOATS[name](Tensor(put(a.astype(d)))) for d in (dtype, "float64"))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - CASTS))
def test_no_function_of_integers_gives_float64(name):
    for sample in SAMPLES[name]:
        if not all(is_float(a) or not isinstance(a, np.ndarray) for a in sample.inputs) or name == "cross_entropy":
            continue
        inputs = [np.nan_to_num(np.abs(a), posinf=1.0).astype("int64") + 1 if is_float(a) else a for a in sample.inputs]
        with np.errstate(all="ignore"):
            try:
                result = sample.ours(inputs)
            except (ValueError, TypeError) as error:  # NumPy's own rule, kept; 2 is no probability; and 1 is no mask
                told = "negative integer powers", "expected probabilities", "expected booleans"
                assert any(t in str(error) for t in told)  # noqa: PT017
                continue
        for y in result if isinstance(result, (list, tuple)) else [result]:
            assert y.dtype in ("float32", "int64", "bool")


def test_integers_beside_float64_lose_no_digits():
    for f in (
        F.mse_loss,
        F.l1_loss,
        lambda a, b: F.cosine_similarity(a, b, axis=0),
        lambda a, b: F.cosine_embedding_loss(a, b, 1),
    ):
        for a, b in (([16777217, 1], [0.5, 1.0]), ([0.5, 1.0], [16777217, 1])):
            a, b = (put(np.array(v)) for v in (a, b))
            np.testing.assert_allclose(f(a, b).numpy(), f(a.astype("float64"), b.astype("float64")).numpy(), rtol=1e-15)


def test_images_of_bytes_divided_by_255_are_float32():
    image = np.array([[0, 128, 255]], "uint8")
    assert (Tensor(image) / 255).dtype == np.float32
    assert (Tensor(image) * (1 / 255)).dtype == np.float32
    assert Tensor(image).mean().dtype == np.float32
    assert F.dropout(Tensor(image)).dtype == np.float32
    np.testing.assert_allclose(Tensor(image).sqrt().numpy(), np.sqrt([[0.0, 128.0, 255.0]]), rtol=1e-6)


def test_sums_and_products_of_integers_stay_integers():
    a = Tensor(whole(2, 3))
    for y in [a + 1, a * a, a.sum(), a.max(axis=0), a.cumsum(axis=1), a.reshape(-1), a[0], a @ Tensor(whole(3, 2)), -a]:
        assert y.dtype == np.int64


def test_a_list_of_numbers_becomes_float32_or_int64():
    assert F.exp([1.0, 2.0]).dtype == np.float32
    assert F.add([1, 2], [3, 4]).dtype == np.int64
    assert F.sqrt(4).item() == 2.0
    assert F.exp(Tensor(0, "int8")).data.dtype == F.exp(Tensor(True)).data.dtype == np.float32
    assert isinstance(F.exp(Tensor(0, "int8")).data, type(Tensor(0.0).data))
    assert F.exp(np.float64(0)).dtype == np.float32
    assert F.softsign(np.float64(1)).dtype == np.float32
