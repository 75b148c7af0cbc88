"""The sample calls of the array functions: over shapes, axes, broadcasting, empty arrays, numbers, zeros, ties and NaN."""

import numpy as np
from sampling import inside, kink, positive, sample, whole, x

# --------------------------------------------------------------------------------------------------- elementwise

BINARY = "add sub mul div maximum minimum"
for pair in [
    (x(3), x(3, seed=1)),
    (x(3, 1), x(1, 4)),
    (x(2, 3), x(3)),
    (x(), x(2)),
    (x(), x(seed=1)),
    (x(0, 3), x(3)),
    (x(2, 1, 3), x(4, 1)),
    (x(3), 2.0),
    (2.0, x(3)),
    (x(3), 3),
    (x(2, 3), whole(3) + 1),
]:
    sample(BINARY, *pair)
kink("maximum minimum", np.array([1.0, 2.0, np.nan, 1.0]), np.array([1.0, 1.0, 1.0, np.nan]))
kink("maximum minimum", np.array([0.0, 2.0]), 0.0)

for pair in [
    (positive(3), x(3)),
    (positive(3, 1), x(1, 4)),
    (positive(2, 3), x()),
    (x(3), 2),
    (x(3), 3.0),
    (x(3), 0),
    (x(3), 1),
    (x(3), -2),
    (positive(3), 0.5),
    (2.0, x(3)),
    (3, x()),
    (x(2, 3), whole(3)),
    (np.zeros(2), np.array([2.5, 3.0])),
    (x(0), 2),
]:
    sample("pow", *pair, smooth=not (isinstance(pair[0], np.ndarray) and pair[0].size > 0 and not pair[0].any()))

UNARY = "neg abs sign square exp expm1 sin cos tan sinh cosh tanh arctan erf"
for a in [x(5), x(2, 3), x(), x(1), x(0, 2), x(2, 1, 3, seed=1), 3 * x(4, seed=2)]:
    sample(UNARY, a)
    sample("sqrt log reciprocal log1p", np.abs(a) + 0.1)
    sample("arcsin arccos", np.tanh(a / 2))
sample("reciprocal", x(4))
sample("log1p", inside(4))
kink("abs sign", np.array([0.0, -0.0, 1.0, np.nan]))

CHOOSING = np.array([[True], [False], [True]])
for condition, a, b in [
    (CHOOSING[:, 0], x(3), x(3, seed=1)),
    (CHOOSING, x(3, 4), x(4)),
    (CHOOSING, x(), x(1, 2)),
    (CHOOSING, x(3, 2), 0.0),
    (CHOOSING, 1, x(3, 2)),
    (True, x(2), x(2, seed=1)),
    (whole(4, high=2), x(4), x(4, seed=1)),
    (np.zeros((0, 2), bool), x(0, 2), x(2)),
]:
    sample("where", condition, a, b)

for limits in [(-1.0, 1.0), (0, None), (None, 0.5), (-1, 10)]:
    sample("clip", x(2, 5), *limits)
sample("clip", x(), a_min=-1.0, a_max=1.0)
sample("clip", x(0), 0.0, 1.0)
sample("clip", x(2, 4), x(4, seed=1) - 1, x(2, 1, seed=2) + 1)
sample("clip", x(2, 4), x(4, seed=1), None)
kink("clip", np.array([-1.0, 0.0, 0.5, 1.0, np.nan, np.inf]), 0.0, 1.0)

sample("astype", x(2, 3), "float64")
sample("astype", np.array([0.5, -1.25, 3.0]), "float32", eps=2.0**-10)  # exact in float32, so that it can be differenced
sample("astype", whole(4), "float64")
kink("astype", x(4), "int64")

for pair in [(whole(4), whole(4, seed=1)), (x(3, 1), x(1, 4)), (x(3), 0.5), (1, whole(3)), (x(), x()), (x(0), x(0))]:
    kink("equal not_equal less less_equal greater greater_equal logical_and logical_or", *pair)
for a in [whole(2, 3), x(3), np.array([True, False]), np.array(0.0)]:
    kink("logical_not", a)

# ---------------------------------------------------------------------------------------------------- reductions

REDUCED = [
    (x(4), {}),
    (x(), {}),
    (x(2, 3), {}),
    (x(2, 3), {"keepdims": True}),
    (x(2, 3), {"axis": 0}),
    (x(2, 3), {"axis": -1, "keepdims": True}),
    (x(2, 3, 4), {"axis": (0, 2)}),
    (x(2, 3, 4), {"axis": (-1, 0), "keepdims": True}),
    (x(2, 3, 2), {"axis": (0, 1, 2)}),
    (x(1, 3), {"axis": 0}),
    (x(0, 3), {"axis": 1}),
]
for a, keywords in REDUCED:
    sample("sum prod mean max min logsumexp", a, **keywords)
    kink("any all", a > 0, **keywords)
    sample("var norm", a, **keywords)
    sample("std", a, **keywords, smooth=a.shape not in [(), (1, 3)])  # of one element: 0, a kink of the root
    if a.ndim and not isinstance(keywords.get("axis"), tuple):
        kink("argmax argmin", a, **keywords)
for axis in (0, -1):
    sample("sum prod max min logsumexp", x(), axis=axis)
sample("sum prod", x(0))
sample("sum prod", x(3, 0), axis=1)
sample("var std", x(2, 5), ddof=1)
sample("var std", x(2, 5), axis=1, ddof=1, keepdims=True)
kink("std norm", np.zeros((2, 3)), axis=1)
for zeros in [[0.0, 2.0, 3.0], [0.0, 2.0, 0.0, 4.0], [0.0, 0.0, 0.0]]:
    sample("prod cumprod", np.array(zeros))
sample("prod cumprod", np.array([[1.5, 0.0, 2.0], [2.0, 3.0, -1.0], [0.0, 0.5, 0.0]]), axis=0)
sample("prod", np.array([[[1.5, 0.0], [2.0, 3.0]], [[0.0, 0.5], [1.0, 2.0]]]), axis=(2, 0), keepdims=True)
sample("prod", np.array(0.0))
for a in [np.array([2.0, 2.0, 1.0]), np.array([[1.0, np.nan, 2.0], [3.0, 3.0, 3.0]])]:
    kink("max min argmax argmin sum prod mean", a)
    kink("max min argmax argmin", a, axis=-1)
kink("any all", np.array([0.0, np.nan, 2.0]))
for order in (1, 2, 3, 2.5, np.inf, -np.inf, None):
    sample("norm", x(2, 3), order, axis=1)
    sample("norm", x(2, 3), ord=order, keepdims=True)
for order in (1, 2, 3, np.inf):
    kink("norm", np.zeros((2, 3)), order, axis=-1)
for extreme in (1e4, -1e4, -np.inf, np.inf):
    kink("logsumexp", np.array([[extreme, extreme], [extreme, 1.0]]), axis=1)
for a, keywords in [(x(4), {}), (x(), {}), (x(2, 3), {}), (x(2, 3), {"axis": 0}), (x(2, 3, 2), {"axis": -2}), (x(0), {})]:
    sample("cumsum cumprod", a, **keywords)
sample("cumsum cumprod", x(0, 3), axis=1)

# --------------------------------------------------------------------------------------------------------- shapes

for a, shape in [(x(2, 3), (3, 2)), (x(2, 3), -1), (x(6), (2, -1, 1)), (x(), (1, 1)), (x(1), ()), (x(0, 3), (3, 0))]:
    sample("reshape", a, shape)
for a, axes in [(x(2, 3), None), (x(2, 3, 4), (2, 0, 1)), (x(2, 3, 4), [-1, 0, 1]), (x(), None), (x(0, 3), (1, 0))]:
    sample("transpose", a, axes)
for axis1, axis2 in [(0, 1), (-1, 0), (2, 1), (1, 1)]:
    sample("swapaxes", x(2, 3, 4), axis1, axis2)
for source, destination in [(0, -1), (-1, 0), ((0, 1), (-1, -2)), ([2, 0], [0, 1]), (1, 1)]:
    sample("moveaxis", x(2, 3, 4), source, destination)
for axis in (0, -1, 1, (0, 2), (0, -1), ()):
    sample("expand_dims", x(2, 3), axis)
sample("expand_dims", x(), (0, 1))
for a, axis in [(x(1, 2, 1), None), (x(1, 2, 1), 0), (x(1, 2, 1), (0, -1)), (x(1), 0), (x(2), None), (x(1, 0), 0)]:
    sample("squeeze", a, axis)
sample("flatten", x(2, 3, 4))
sample("flatten", x(2, 3, 4), start_axis=1)
sample("flatten", x(2, 3, 4), 0, 1)
sample("flatten", x(2, 3, 4), -2, -2)
sample("flatten", x())
sample("flatten", x(2, 0, 3), 1)
for a, shape in [(x(3), (2, 3)), (x(3, 1), (3, 4)), (x(), (2, 2)), (x(1, 3), (4, 2, 3)), (x(2, 1), (2, 0)), (x(3), (3,))]:
    sample("broadcast_to", a, shape)
for axis in (None, 0, -1, (0, 2), (-1, -2)):
    sample("flip", x(2, 3, 2), axis)
for shift, axis in [(1, None), (-2, 0), (5, -1), ((1, 2), (0, 1)), (0, 1), ((1, 1), (0, 0))]:
    sample("roll", x(2, 3), shift, axis)
for k in (0, 1, -1, 5):
    sample("tril triu", x(3, 4), k)
sample("tril triu", x(2, 3, 3))
sample("tril triu", x(0, 3))

for arrays, axis in [
    ((x(2), x(3)), 0),
    ((x(2, 3), x(2, 1), x(2, 3, seed=1)), 1),
    ((x(2, 3), x(1, 3)), -2),
    ((x(2, 3), x(4)), None),
    ((x(0, 2), x(3, 2)), 0),
    ((x(3),), 0),
    ((x(2), whole(3)), 0),
]:
    sample("concatenate", *arrays, axis=axis)
for arrays, axis in [((x(2, 3), x(2, 3, seed=1)), a) for a in (0, 1, -1)] + [((x(), x(seed=1)), 0), ((x(0), x(0)), 1)]:
    sample("stack", *arrays, axis=axis)
for a, parts, axis in [(x(6), 3, 0), (x(2, 6), [1, 4], 1), (x(4, 2), (2,), 0), (x(2, 3), [2, 5], -1), (x(3), [-1], 0)]:
    sample("split", a, parts, axis)
for a, repeats, axis in [(x(3), 2, None), (x(2, 3), 2, 0), (x(2, 3), [0, 2, 1], -1), (x(2, 2), [3], 1), (x(2), 0, 0)]:
    sample("repeat", a, repeats, axis)
for a, reps in [(x(3), 2), (x(2, 3), (2, 1)), (x(3), (2, 2)), (x(2, 3), 2), (x(2, 1), (2, 1, 3)), (x(), 3), (x(2), 0)]:
    sample("tile", a, reps)
for width in (1, (2, 1), ((0, 1), (2, 0)), ((1,), (2,)), 0):
    for mode in ("constant", "edge", "reflect", "symmetric", "wrap", "maximum", "minimum", "mean", "median", "linear_ramp"):
        sample("pad", x(2, 3), width, mode=mode)
sample("pad", x(3), (4, 5), mode="reflect")
sample("pad", x(5), (3, 2), mode="median")
sample("pad", x(4, 3), (2, 3), mode="linear_ramp")
sample("pad", x(2), 1, constant_values=3.5)
sample("pad", x(0, 2), ((1, 1), (0, 0)))

# ------------------------------------------------------------------------------------------------------- indexing

for a, index in [
    (x(4), 1),
    (x(4), -1),
    (x(4), slice(1, 3)),
    (x(4), slice(None, None, -2)),
    (x(2, 3), (slice(None), 1)),
    (x(2, 3), (1, 2)),
    (x(2, 3), None),
    (x(2, 3), ...),
    (x(2, 3, 4), (..., 0)),
    (x(2, 3), (None, slice(None), None, 2)),
    (x(4), [0, 2, 2, 2]),
    (x(4), np.array([[0, 1], [-1, -1]])),
    (x(4), np.array([], int)),
    (x(4), []),
    (x(4), np.array([True, False, True, True])),
    (x(2, 3), np.array([[True, False, True], [False, True, False]])),
    (x(2, 3), np.array([False, True])),
    (x(3, 4), (np.array([0, 0, 2]), np.array([1, 1, 3]))),
    (x(3, 4), (slice(None), [1, 1])),
    (x(3, 4), (np.array([2, 0]), slice(1, 3))),
    (x(2, 3, 4), ([0, 1, 1], slice(None), [0, 2, 2])),
    (x(3, 4), (np.array([[0], [0]]), np.array([1, 2, 2]))),
    (x(3, 4), np.int64(1)),
    (x(3, 4), np.array(1)),
    (x(), ()),
    (x(), None),
    (x(0, 3), slice(None)),
]:
    sample("getitem", a, index)
for a, indices, axis in [
    (x(4), 2, None),
    (x(2, 3), [0, 5, 5, -1], None),
    (x(2, 3), [2, 2, 0], 1),
    (x(2, 3), whole(2, 2, high=2), 0),
    (x(2, 3), -1, -1),
    (x(2, 3), np.array(1), 0),
    (x(2, 3), np.zeros((0,), int), 1),
]:
    sample("take", a, indices, axis)
for a, indices, axis in [
    (x(2, 3), whole(2, 4), 1),
    (x(2, 3), whole(3, 3, high=2), 0),
    (x(2, 3), np.array([[0], [-1]]), -1),
    (x(2, 3), np.array([[1, 1, 0]]), 1),
    (x(2, 3), np.array([5, 5, 1]), None),
    (x(2, 1, 3), whole(2, 4, 1), 2),
]:
    sample("take_along_axis", a, indices, axis)
for a, keywords in [
    (x(3, 3), {}),
    (x(3, 4), {"offset": 1}),
    (x(3, 4), {"offset": -2}),
    (x(2, 3, 3), {"axis1": 1, "axis2": 2}),
    (x(2, 3, 4), {"offset": 1, "axis1": -1, "axis2": 0}),
    (x(2, 2), {"offset": 5}),
]:
    sample("diagonal", a, **keywords)
for ids in (whole(4), whole(2, 3), np.array(2), whole(0)):
    kink("one_hot", ids, 3)
for a, keywords in [(x(5), {}), (x(2, 4), {"axis": 0}), (x(2, 4), {"axis": -1}), (x(2, 3), {"axis": None}), (x(0), {})]:
    sample("sort", a, **keywords)
    kink("argsort", a, **keywords)
kink("sort argsort", np.array([2.0, np.nan, 1.0, 2.0]))
for a, k, keywords in [
    (x(5), 2, {}),
    (x(2, 4), 3, {"axis": 0}),
    (x(2, 4), 2, {"axis": -1, "largest": False}),
    (x(3), 0, {}),
]:
    sample("topk", a, min(k, a.shape[keywords.get("axis", -1)]), **keywords)
kink("topk", np.array([1.0, 3.0, 3.0, np.nan, 3.0]), 3)
kink("topk", np.array([1.0, 1.0, 3.0, np.nan, 1.0]), 2, largest=False)
