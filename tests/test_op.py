"""tn.op: ops of one's own, declared as the library declares its own, and what is refused."""

import numpy as np
import pytest
from sampling import put, x

import tinynet as tn
import tinynet.functions as F
from tinynet.backend import array_module
from tinynet.op import OPS
from tinynet.tensor import Parameter, Tensor
from tinynet.testing import gradcheck


@tn.op(lambda g, y, x: g * 3 * x**2)
def cube(x):
    """x to the third power."""
    return x**3


@tn.op(lambda g, y, a, b, scale, shift: g * scale * b, lambda g, y, a, b, scale, shift: g * scale * a)
def scaled_product(a, b, scale=2.0, shift=0.0):
    return a * b * scale + shift


@tn.op(lambda g, y, x, ids: F.where(ids > 0, g, 0), None)
def kept(x, ids):
    """x where ids are positive, else 0: not differentiable in the ids."""
    return array_module(x, ids).where(ids > 0, x, 0)


def _share(g, y, *arrays, index, power):
    return g * power * arrays[index] ** (power - 1)


@tn.op(_share, variadic=True)
def sum_of_powers(*arrays, power=2):
    return sum(a**power for a in arrays)


@tn.op(lambda g, y, x: g * F.cos(x) * F.sigmoid(y) / F.sigmoid(y))
def sine(x):
    """A rule of ops of the library."""
    return array_module(x).sin(x)


@tn.op(lambda g, y, x, w: g @ w.T, lambda g, y, x, w: x.swapaxes(0, 1) @ g)
def product(x, w):
    return x @ w


# ------------------------------------------------------------------------------------------------------ what works


def test_an_op_of_ones_own_is_differentiable_any_number_of_times():
    a = y = Parameter(np.array([2.0]))
    y = cube(a)
    for expected in (8, 12, 12, 6, 0):
        assert y.item() == expected
        if expected:
            (y,) = tn.grad(y, a, create_graph=True)
    cube(a).backward()
    assert a.grad.item() == 12


@pytest.mark.parametrize(
    ("f", "inputs"),
    [
        (cube, [x(2, 3)]),
        (scaled_product, [x(3), x(3, seed=1)]),
        (scaled_product, [x(3, 1), x(2)]),
        (lambda a, b: scaled_product(a, b, scale=3.0, shift=1.0), [x(3), x(3, seed=1)]),
        (lambda a, b: scaled_product(a, b, 3.0, 1.0), [x(3), x(3, seed=1)]),
        (lambda a: kept(a, [1, 0, 1]), [x(3)]),
        (sum_of_powers, [x(3), x(3, seed=1), x(3, seed=2)]),
        (lambda *a: sum_of_powers(*a, power=3), [x(3), x(3, seed=1)]),
        (sine, [x(4)]),
        (product, [x(2, 3), x(3, 2)]),
        (lambda a: cube(sine(cube(a))), [x(2)]),
    ],
)
def test_ops_of_ones_own_pass_gradcheck(f, inputs):
    assert gradcheck(f, inputs, order=2)


def test_called_on_anything_it_returns_a_tensor():
    for a in (Tensor([2.0]), put(np.array([2.0])), [2.0], 2.0, np.float64(2), put(np.array(2))):
        y = cube(a)
        assert isinstance(y, Tensor)
        assert float(y) == 8.0
        assert not y.requires_grad


def test_float32_and_float16_are_kept():
    for dtype in ("float16", "float32"):
        a = Tensor(np.ones(2, dtype), requires_grad=True)
        for b in (Tensor([0, 1]), np.float64(2), 2, 2.5, [1.0, 2.0]):
            y = scaled_product(a, b, scale=np.float64(3), shift=np.sqrt(2))
            assert y.dtype == dtype
            assert tn.grad(y, a, np.ones(2))[0].dtype == dtype


def test_integers_become_the_others_dtype_where_differentiable_and_stay_integers_elsewhere():
    seen = []

    @tn.op(lambda g, y, a, b, ids: g, lambda g, y, a, b, ids: g, None)
    def look(a, b, ids):
        seen[:] = [a.dtype, b.dtype, ids.dtype]
        return a + b

    look(Tensor([1.0]), Tensor([1]), Tensor([1]))
    assert seen == ["float32", "float32", "int64"]
    look(Tensor(np.array([1.0])), [1], [True])
    assert seen == ["float64", "float64", "bool"]


def test_keywords_are_given_to_rules_with_the_defaults_filled_in():
    given = []

    @tn.op(lambda g, y, x, **keywords: given.append(keywords) or g)
    def identity(x, first, second=2, *, third=3):
        return x * 1

    a = Parameter([1.0])
    for y in (identity(a, 1), identity(a, first=1), identity(a, 1, 2, third=3), identity(x=a, first=1)):
        y.backward()
    assert given == [{"first": 1, "second": 2, "third": 3}] * 4


def test_operands_may_be_named_and_have_defaults():
    @tn.op(lambda g, y, x, bias: g, lambda g, y, x, bias: g)
    def shifted(x, bias=None):
        return x if bias is None else x + bias

    a, b = Parameter([1.0]), Parameter([2.0])
    assert shifted(a).item() == 1
    assert shifted(a, b).item() == shifted(a, bias=b).item() == shifted(bias=b, x=a).item() == 3
    shifted(a, bias=b).backward()
    assert (a.grad.item(), b.grad.item()) == (1, 1)
    shifted(a).backward()
    assert (a.grad.item(), b.grad.item()) == (2, 1)


def test_no_gradient_is_required_through_what_has_no_rule():
    ids = Tensor([1.0, 0.0], requires_grad=True)
    assert not kept([1.0, 2.0], ids).requires_grad
    assert kept(Parameter([1.0, 2.0]), ids).requires_grad
    assert not kept(Parameter([1.0, 2.0]).detach(), ids).requires_grad


def test_inside_rules_ops_map_arrays_to_arrays_and_record_nothing():
    seen = []

    @tn.op(lambda g, y, x: seen.append((type(g), type(y), type(x), type(F.exp(x)))) or g)
    def look(x):
        return x * 1

    a = Parameter([1.0])
    look(a).backward()
    tn.grad(look(a), a, create_graph=True)
    assert seen == [(type(a.data),) * 4, (Tensor, Tensor, Parameter, Tensor)]


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_rule_may_return_a_broadcast_gradient_or_another_dtype(create_graph):
    @tn.op(lambda g, y, x: put(np.ones((4, 2, 3))) * 2)
    def to_sum(x):
        return x * 1

    a = Parameter(np.zeros((2, 1), "float32"))
    (g,) = tn.grad(to_sum(a), a, np.ones((2, 1)), create_graph=create_graph)
    assert g.dtype == np.float32
    assert g.tolist() == [[24.0], [24.0]]


def test_a_rule_may_take_the_derivative_of_a_recomputed_part():
    """As gradient checkpointing does: the rule runs its part again, recorded, and goes backward through it."""

    def rule(g, y, x):
        with tn.enable_grad():
            inner = Tensor(x, requires_grad=True)
            return tn.grad((inner * inner).exp(), inner, g)[0]

    @tn.op(rule)
    def checkpointed(x):
        return array_module(x).exp(x * x)

    a = Parameter(x(3))
    checkpointed(a).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), 2 * x(3) * np.exp(x(3) ** 2), rtol=1e-14)


def test_the_function_keeps_its_name_and_docstring_and_is_in_the_registry():
    assert (cube.__name__, cube.__doc__) == ("cube", "x to the third power.")
    assert cube.op.name == "cube"
    assert OPS[f"{__name__}.cube"] is cube.op
    assert "op=cube" in repr(cube(Parameter([1.0])))


def test_ops_of_ones_own_take_non_contiguous_arrays():
    a = Parameter(x(3, 4))
    product(a.T[::2], Tensor(x(3, 2))).sum().backward()
    expected = np.zeros((3, 4))
    expected[:, ::2] = x(3, 2).sum(axis=1)[:, None]
    np.testing.assert_allclose(a.grad.numpy(), expected)


# -------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: cube(), "cube: missing argument 'x'"),
        (lambda: cube([1.0], [2.0]), "cube: takes 1 arguments, got 2"),
        (lambda: cube([1.0], power=3), "cube: unexpected argument 'power'"),
        (lambda: cube(power=3), "cube: missing argument 'x'"),
        (lambda: scaled_product([1.0]), "scaled_product: missing argument 'b'"),
        (lambda: scaled_product([1.0], [1.0], 2.0, 0.0, 1.0), "scaled_product: takes 4 arguments, got 5"),
        (lambda: scaled_product([1.0], [1.0], 3.0, scale=2.0), "scaled_product: got 'scale' twice"),
        (lambda: scaled_product([1.0], [1.0], scale=Parameter(2.0)), "scale is a Tensor that requires a gradient"),
        (lambda: sum_of_powers([1.0], exponent=3), "sum_of_powers: unexpected argument 'exponent'"),
    ],
)
def test_arguments_that_do_not_fit(call, says):
    with pytest.raises(TypeError, match=says):
        call()


def one(x):
    return x


def two(a, b):
    return a + b


def any_number(*arrays):
    return arrays[0]


def rule(g, y, *inputs):
    return g


@pytest.mark.parametrize(
    ("rules", "variadic", "forward"),
    [
        ((), False, one),
        ((rule, rule), False, one),
        ((rule, rule, rule), False, two),
        ((rule,), False, any_number),
        ((rule,), True, one),
        ((rule, rule), True, any_number),
        ((), True, any_number),
        ((rule,), False, lambda: 1.0),
    ],
)
def test_a_declaration_whose_rules_do_not_fit(rules, variadic, forward):
    registered = dict(OPS)
    with pytest.raises(TypeError, match="rules for the parameters"):
        tn.op(*rules, variadic=variadic)(forward)
    assert registered == OPS


@tn.op(
    lambda g, y, a, b, *, power: (g * power * (a * b) ** (power - 1) * b, g * power * (a * b) ** (power - 1) * a), joint=True
)
def power_of_product(a, b, *, power=2):
    return (a * b) ** power


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((2, 3), (3,)), ((), ())], ids=str)
def test_a_joint_rule_gives_all_gradients_at_once(shapes):
    a, b = (x(*shape, seed=i) for i, shape in enumerate(shapes))
    assert gradcheck(lambda a, b: power_of_product(a, b, power=3), (a, b), order=2)
    assert gradcheck(lambda a: power_of_product(a, Tensor(b)), a, order=2)
    assert gradcheck(lambda b: power_of_product(Tensor(a), b), b, order=2)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_joint_rule_is_asked_once_and_only_of_what_is_wanted(create_graph):
    asked = []

    @tn.op(lambda g, y, a, b, c: asked.append(1) or (g * b, g * a, None), joint=True)
    def product_beside(a, b, c=None):
        return a * b

    a, b = Parameter([2.0]), Parameter([3.0])
    product_beside(a, b).backward(create_graph=create_graph)
    assert (a.grad.item(), b.grad.item(), len(asked)) == (3, 2, 1)
    product_beside(a, b, tn.ones(1)).backward(create_graph=create_graph)
    assert (a.grad.item(), b.grad.item(), len(asked)) == (6, 4, 2)
    with pytest.raises(TypeError, match="op 'product_beside': the rule for input 2 returned None, expected an array"):
        product_beside(a, b, Parameter([1.0])).backward(create_graph=create_graph)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_joint_rule_is_told_what_is_wanted(create_graph):
    told = []

    def rule(g, y, a, b, c, *, wanted, scale):
        told.append(tuple(wanted))
        return tuple(g * scale if yes else None for yes in wanted)

    @tn.op(rule, joint=True)
    def sum_of(a, b, c=None, *, scale):
        return (a + b) * scale

    a, b = Parameter([2.0]), Parameter([3.0])
    sum_of(a, b, scale=2.0).backward(create_graph=create_graph)
    sum_of([1.0], b, tn.ones(1), scale=2.0).backward(create_graph=create_graph)
    tn.grad(sum_of(a, b * 1, scale=2.0), b, create_graph=create_graph)  # a requires a gradient, and nobody asks for it
    assert told == [(True, True, False), (False, True, False), (False, True, False)]
    assert (a.grad.item(), b.grad.item()) == (2, 4)


@pytest.mark.parametrize("returned", [None, 1.0, (1.0,), [1.0, 1.0], (1.0, 1.0, 1.0)])
def test_a_joint_rule_that_returns_no_tuple_of_that_many(returned):
    @tn.op(lambda g, y, a, b: returned, joint=True)
    def careless(a, b):
        return a * b

    with pytest.raises(TypeError, match=r"op 'careless': the joint rule returned .*, expected a tuple of 2 arrays"):
        careless(Parameter([1.0]), Parameter([1.0])).backward()


@pytest.mark.parametrize("rules", [(), (rule, rule), (rule, rule, rule)])
def test_a_joint_op_has_one_rule(rules):
    with pytest.raises(TypeError, match="rules for the parameters"):
        tn.op(*rules, joint=True)(two)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("returned", [None, 1.0, [1.0], "g"])
def test_a_rule_that_returns_no_array(returned, create_graph):
    @tn.op(lambda g, y, x: returned)
    def careless(x):
        return x * 1

    a = Parameter([1.0])
    with pytest.raises(TypeError, match=r"op 'careless': the rule for input 0 returned .*, expected an array"):
        tn.grad(careless(a), a, create_graph=create_graph)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (1,), (), (4, 3)])
def test_a_rule_that_returns_another_shape(shape, create_graph):
    @tn.op(lambda g, y, a, b: g, lambda g, y, a, b: put(np.ones(shape)))
    def careless(a, b):
        return a * b

    a, b = Parameter(np.ones(2)), Parameter(np.ones(2))
    with pytest.raises(ValueError, match=r"'careless': the rule for input 1 returned shape \(.*\) for an input of \(2,\)"):
        careless(a, b).sum().backward(create_graph=create_graph)
    assert (a.grad, b.grad) == (None, None)


def test_an_error_in_a_forward_names_the_op_and_its_operands():
    with pytest.raises(ValueError, match=r"product\(float32 \(2, 3\), float32 \(2, 3\)\): "):
        product(tn.ones(2, 3), tn.ones(2, 3))


def test_an_error_of_another_kind_comes_through_as_it_is():
    class OutOfLuck(ValueError):
        pass

    @tn.op(None)
    def unlucky(x):
        raise OutOfLuck("seven")

    with pytest.raises(OutOfLuck, match=r"^seven$"):
        unlucky([1.0])
