"""The sample calls of the functions that networks are made of: products, activations."""

import numpy as np
from sampling import kink, sample, x

# ------------------------------------------------------------------------------------------------- linear algebra

for a, b in [
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (4, 3, 2)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 2)),
    ((2, 2, 0), (0, 3)),
]:
    sample("matmul", x(*a), x(*b, seed=1))
for a, b in [((3,), (3,)), ((2, 3), (3, 4)), ((2, 3), (3,)), ((2, 2, 3), (3, 2)), ((2, 3), (4, 3, 2)), ((), (3,)), ((), ())]:
    sample("dot", x(*a), x(*b, seed=1))
sample("dot", x(3), 2.0)
for a, b in [((2,), (3,)), ((2, 2), (3,)), ((), (3,)), ((0,), (2,))]:
    sample("outer", x(*a), x(*b, seed=1))
for a, b, axes in [
    ((2, 3, 4), (3, 4, 2), 2),
    ((2, 3), (3, 4), 1),
    ((2,), (3,), 0),
    ((2, 3, 4), (4, 3, 2), ([1, 2], [1, 0])),
    ((2, 3, 4), (3, 2), (1, 0)),
    ((2, 3), (3, 2), ([-1], [-2])),
]:
    sample("tensordot", x(*a), x(*b, seed=1), axes)
for subscripts, *shapes in [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ba,bc", (2, 3), (2, 4)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("ij->i", (2, 3)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("iij->j", (3, 3, 2)),
    ("iii", (2, 2, 2)),
    ("iji,jk->ik", (2, 3, 2), (3, 2)),
    ("...ij,...jk->...ik", (2, 2, 3), (2, 3, 2)),
    ("...ij,jk->...ik", (2, 2, 3), (3, 2)),
    ("...ij,...jk", (2, 1, 2, 3), (4, 3, 2)),
    ("i...->...", (2, 3)),
    ("...", (2, 3)),
    ("bi,bj->bij", (2, 3), (2, 2)),
    ("i,j->ij", (2,), (3,)),
    ("i,i", (3,), (3,)),
    ("i,i,i->", (3,), (3,), (3,)),
    ("ab,bc,cd->ad", (2, 3), (3, 2), (2, 2)),
    ("ij,ij->ij", (1, 3), (2, 3)),
    ("ij,ij->i", (2, 1), (2, 3)),
    ("ij,ij->", (2, 1), (1, 3)),
    ("ij,kj->", (2, 3), (2, 3)),
    (" i j , j -> i ", (2, 3), (3,)),
    (",i->i", (), (3,)),
    ("ij,j->i", (0, 3), (3,)),
]:
    sample("einsum", subscripts, *(x(*shape, seed=i) for i, shape in enumerate(shapes)))
for shape in [(2, 3), (3,), (2, 2, 3), (0, 3)]:
    sample("linear", x(*shape), x(4, 3, seed=1), x(4, seed=2))
    sample("linear", x(*shape), x(4, 3, seed=1))
sample("linear", x(2, 0), x(3, 0), x(3))

# ---------------------------------------------------------------------------------------------------- activations

ACTIVATIONS = "relu leaky_relu elu selu gelu silu sigmoid softplus softsign hardtanh hardsigmoid hardswish mish logsigmoid"
for a in [x(5), 3 * x(2, 3), x(), x(0, 2), 10 * x(4, seed=1)]:
    sample(ACTIVATIONS, a)
kink(ACTIVATIONS, np.array([0.0, 1.0, -1.0, 3.0, -3.0, np.nan, 1e4, -1e4, 1000.0, -1000.0]))
sample("leaky_relu", x(4), 0.3)
sample("elu", x(4), alpha=0.5)
sample("softplus", x(4), beta=2.0)
sample("softplus", 10 * x(4), 3.0, threshold=5.0)
sample("softplus", np.array([1.0, 2.0, 4.0]), 3.0, threshold=5.0)  # just above: x itself, with slope 1
sample("hardtanh", x(4), -0.5, max_val=1.5)
sample("gelu", x(2, 3), approximate="tanh")
kink("gelu", np.array([0.0, np.nan, 1e4, -1e4]), approximate="tanh")
for a, keywords in [(x(4), {}), (x(2, 4), {}), (x(4, 2), {"axis": 0}), (x(2, 6, 2), {"axis": -2}), (x(0, 4), {})]:
    sample("glu", a, **keywords)
for a, keywords in [(x(4), {}), (x(2, 3), {}), (x(2, 3), {"axis": 0}), (x(2, 3, 2), {"axis": -2}), (x(0, 3), {}), (x(), {})]:
    sample("softmax log_softmax", a, **keywords)
kink("softmax log_softmax", np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 9999.0], [-np.inf, 0.0, 1.0]]))
kink("softmax log_softmax", np.array([[1.0, np.nan], [0.0, 1.0]]))
sample("dropout", x(3, 4), 0.4)
sample("dropout", x(3, 4), p=0.4, training=False)
sample("dropout", x(3), 1.0)
sample("dropout", x(3), 0)
