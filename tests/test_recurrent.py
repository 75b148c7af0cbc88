"""Recurrent layers and cells beside a recurrence written one step at a time, and what is refused."""

import gc
import itertools
import re
import sys
import tracemalloc

import numpy as np
import pytest
from definitions_recurrent import gru, lstm, rnn
from sampling import host
from sampling import on_device as x

import tinynet as tn
import tinynet.functions as F
from tinynet import layers as L
from tinynet.kernels import recurrent as kernels
from tinynet.kernels import threads
from tinynet.tensor import Parameter, Tensor
from tinynet.testing import gradcheck

LAYERS = {"RNN": rnn, "LSTM": lstm, "GRU": gru}
CELLS = {"RNNCell": rnn, "LSTMCell": lstm, "GRUCell": gru}
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def make(name, *arguments, seed=0, **keywords):
    tn.manual_seed(seed)
    return getattr(L, name)(*arguments, **keywords).astype("float64")


def flat(result):
    """y, h (and c) of a layer's ``y, h`` or ``y, (h, c)``."""
    y, h = result
    return [y, *(h if isinstance(h, tuple) else (h,))]


def reference(layer, name, inputs, states):
    """y, h (and c), layer by layer and direction by direction, from the definition of one."""
    function, ends, inputs, states = LAYERS[name], [], host(inputs), [host(s) for s in states]
    for i in range(layer.num_layers):
        outputs = []
        for reverse, suffix in enumerate(["", "_reverse"][: 2 if layer.bidirectional else 1]):
            names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if layer.bias else ()))
            weights = [getattr(layer, f"{n}_l{i}{suffix}").numpy() for n in names]
            y, *end = function(inputs, *(s[len(ends)] for s in states), *weights, reverse=bool(reverse))
            outputs.append(y)
            ends.append(end)
        inputs = np.concatenate(outputs, axis=-1)
    return [inputs, *(np.stack(parts) for parts in zip(*ends, strict=True))]


# ---------------------------------------------------------------------------------------------------------- values

GRID = list(itertools.product(LAYERS, (1, 3), (False, True), (False, True), (False, True)))


@pytest.mark.parametrize(("name", "layers", "both", "bias", "batch_first"), GRID)
def test_layers_do_what_the_definition_says(name, layers, both, bias, batch_first):
    layer = make(name, 3, 2, num_layers=layers, bidirectional=both, bias=bias, batch_first=batch_first)
    inputs, count = x(4, 5, 3), layers * (1 + both)
    states = [x(count, 4, 2, seed=i) for i in range(1 + (name == "LSTM"))]
    given = inputs if batch_first else inputs.swapaxes(0, 1)
    for h0, before in [(None, [np.zeros((count, 4, 2))] * len(states)), (tuple(states), states)]:
        h0 = h0[0] if h0 is not None and name != "LSTM" else h0
        found = flat(layer(given, h0))
        for f, e in zip(found, reference(layer, name, inputs, before), strict=True):
            e = e.swapaxes(0, 1) if not batch_first and f is found[0] else e
            np.testing.assert_allclose(f.numpy(), e, rtol=1e-12, atol=1e-14)
    one = given[0] if batch_first else given[:, 0]  # without a batch axis
    h0 = tuple(s[:, 0] for s in states)
    for f, e in zip(flat(layer(one, h0 if name == "LSTM" else h0[0])), found, strict=True):
        np.testing.assert_allclose(
            f.numpy(), e.numpy()[0] if batch_first and f.shape[0] == 5 else e.numpy()[:, 0], rtol=1e-12
        )


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("bias", [True, False])
def test_cells_are_one_step(name, bias):
    cell = make(name, 3, 2, bias=bias)
    weights = [p.numpy() for p in cell.parameters()]
    states = [x(4, 2, seed=i) for i in range(1 + (name == "LSTMCell"))]
    expected = CELLS[name](host(x(4, 3)[:, None]), *map(host, states), *weights)[1:]
    found = cell(x(4, 3), tuple(states) if name == "LSTMCell" else states[0])
    alone = cell(x(4, 3)[0], tuple(s[0] for s in states) if name == "LSTMCell" else states[0][0])
    found, alone = (y if isinstance(y, tuple) else (y,) for y in (found, alone))
    for f, a, e in zip(found, alone, expected, strict=True):
        np.testing.assert_allclose(f.numpy(), e, rtol=1e-13)
        np.testing.assert_allclose(a.numpy(), e[0], rtol=1e-13)


@pytest.mark.parametrize("name", LAYERS)
def test_a_loop_over_a_cell_is_the_layer(name):
    layer, cell = make(name, 3, 2), make(name + "Cell", 3, 2)
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.state_dict().items()})
    h = None
    for step in x(5, 3):
        h = cell(step, h)
    for f, e in zip(flat((None, h))[1:], flat(layer(x(5, 3)))[1:], strict=True):
        np.testing.assert_allclose(f.numpy(), e.numpy()[0], rtol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_a_sequence_may_be_cut(name):
    layer = make(name, 3, 2, num_layers=2)
    y, h = layer(x(4, 7, 3))
    first, middle = layer(x(4, 7, 3)[:, :3])
    second, end = layer(x(4, 7, 3)[:, 3:], middle)
    np.testing.assert_allclose(F.concatenate([first, second], 1).numpy(), y.numpy(), rtol=1e-13)
    for a, b in zip(flat((y, end)), flat((y, h)), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-13)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("steps", [1, 5])
def test_parts_of_a_batch_and_pieces_of_a_sequence(name, steps, monkeypatch):
    def results(sequences):
        inputs = Tensor(x(sequences, steps, 3), requires_grad=True)
        layer = make(name, 3, 2, bidirectional=True)
        outputs = flat(layer(inputs))
        return [*outputs, *tn.grad(outputs, [inputs, *layer.parameters()], [np.cos(y.numpy()) for y in outputs])]

    whole = results(7)  # one part, and one piece
    for number, part in itertools.product(("1", "2"), (1, 3, 14)):
        monkeypatch.setenv("TINYNET_THREADS", number)
        monkeypatch.setattr(kernels, "PART", part)
        for a, b in zip(results(7), whole, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.cpu  # where the BLAS library is
def test_the_blas_library_keeps_to_one_thread_meanwhile(monkeypatch):
    (library, *_), seen = threads.blas_libraries(), []
    monkeypatch.setattr(kernels, "parallel", lambda *job: seen.append(library.get_num_threads()) or threads.parallel(*job))
    before = library.get_num_threads()
    library.set_num_threads(2)
    try:
        make("LSTM", 3, 2)(x(2, 4, 3))[0].sum().backward()
        assert (seen, library.get_num_threads()) == ([1, 1], 2)
    finally:
        library.set_num_threads(before)


# ------------------------------------------------------------------------------------------------- names and starts


@pytest.mark.parametrize("name", LAYERS)
def test_keys_and_shapes_are_pytorchs(name):
    layer, rows = getattr(L, name)(3, 2, num_layers=2, bidirectional=True), GATES[name] * 2
    expected = {}
    for i, suffix in itertools.product((0, 1), ("", "_reverse")):
        expected[f"weight_ih_l{i}{suffix}"] = (rows, 4 if i else 3)
        expected[f"weight_hh_l{i}{suffix}"] = (rows, 2)
        expected[f"bias_ih_l{i}{suffix}"] = expected[f"bias_hh_l{i}{suffix}"] = (rows,)
    assert {key: value.shape for key, value in layer.state_dict().items()} == expected
    assert list(layer.state_dict()) == list(expected)
    assert not any("bias" in key for key in getattr(L, name)(3, 2, bias=False).state_dict())
    assert list(getattr(L, name + "Cell")(3, 2).state_dict()) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_parameters_start_evenly_within_one_over_the_root_of_hidden(name):
    tn.manual_seed(0)
    for p in getattr(L, name)(30, 64).parameters():
        assert p.dtype == np.float32
        assert np.abs(p.numpy()).max() <= 1 / 8
        assert p.numpy().std() == pytest.approx(1 / 8 / 3**0.5, rel=0.15)


def test_repr():
    assert repr(L.LSTM(3, 2)) == "LSTM(3, 2)"
    assert repr(L.GRU(3, 2, 2, False, False, 0.5, True)) == (
        "GRU(3, 2, num_layers=2, bias=False, batch_first=False, dropout=0.5, bidirectional=True)"
    )
    assert repr(L.RNN(3, 2, 1, "relu")) == "RNN(3, 2, nonlinearity='relu')"
    assert repr(L.RNNCell(3, 2, False, "relu")) == "RNNCell(3, 2, bias=False, nonlinearity='relu')"


# ------------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("keywords", [{"num_layers": 2}, {"bidirectional": True, "bias": False}], ids=str)
def test_derivatives_to_the_second_order_through_a_layer(name, keywords):
    layer = make(name, 2, 1, **keywords)
    names = [n for n, _ in layer.named_parameters()]

    def run(inputs, *parameters):
        for n, p in zip(names, parameters, strict=True):
            setattr(layer, n, p)
        return flat(layer(inputs))

    assert gradcheck(run, [x(2, 2, 2), *(p.numpy() for p in layer.parameters())], order=2, rtol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_one_tensor_may_be_two_of_the_inputs(name):
    state, weight = x(1, 1, seed=2), x(GATES[name], 1, seed=1)
    function = getattr(F, name.lower())
    states = 1 + (name == "LSTM")
    assert gradcheck(lambda s, w: function(x(1, 2, 1), *[s] * states, w, w), (state, weight), order=2)


def test_frozen_weights_and_inputs_get_no_gradient():
    layer = L.LSTM(3, 2)
    layer.weight_hh_l0.requires_grad = False
    inputs = Tensor(x(2, 4, 3), requires_grad=True)
    layer(inputs)[0].sum().backward()
    assert layer.weight_hh_l0.grad is None
    assert layer.weight_ih_l0.grad is not None
    assert inputs.grad.shape == inputs.shape


def test_the_same_graph_goes_backward_twice():
    layer = make("LSTM", 3, 2)
    y = layer(x(2, 4, 3))[0].sum()
    y.backward(retain_graph=True)
    once = [p.grad.numpy().copy() for p in layer.parameters()]
    y.backward()
    for p, g in zip(layer.parameters(), once, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), 2 * g, rtol=1e-13)


# ------------------------------------------------------------------------------------------------- dtypes and sizes


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", LAYERS)
def test_dtype_is_kept(name, dtype):
    layer = getattr(L, name)(3, 2, num_layers=2, bidirectional=True).astype(dtype)
    inputs = Tensor(x(2, 4, 3).astype(dtype), requires_grad=True)
    outputs = flat(layer(inputs))
    first = tn.grad(outputs, [inputs, *layer.parameters()], [np.ones(y.shape, dtype) for y in outputs], create_graph=True)
    second = tn.grad(sum((g * g).sum() for g in first), [inputs, *layer.parameters()])
    assert {t.dtype for t in (*outputs, *first, *second)} == {np.dtype(dtype)}


@pytest.mark.parametrize("double", range(7))
def test_one_float64_operand_makes_all_float64(double):
    operands = [x(2, 3, 2), x(2, 1), x(2, 1, seed=1), x(4, 2), x(4, 1), x(4), x(4, seed=1)]
    expected = F.lstm(*operands)
    mixed = [a if i == double else a.astype("float32") for i, a in enumerate(operands)]
    for y, e in zip(F.lstm(*mixed), expected, strict=True):
        assert y.dtype == np.float64
        np.testing.assert_allclose(y.numpy(), e.numpy(), rtol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_lists_and_integers(name):
    layer = getattr(L, name)(2, 3)
    for inputs in ([[[1.0, 2.0]]], [[[1, 2]]], tn.tensor([[[1, 2]]], dtype="int16"), tn.tensor([[[1.0, 2.0]]])):
        y = layer(inputs)[0]
        assert (y.dtype, y.shape) == (np.float32, (1, 1, 3))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shape", [(0, 4, 3), (1, 1, 3), (3, 1, 3), (1, 3)])
def test_few_sequences_and_few_steps(name, shape):
    layer = getattr(L, name)(3, 2, num_layers=2, bidirectional=True)
    y, h, *_ = flat(layer(tn.ones(shape)))
    assert y.shape == (*shape[:-1], 4)
    assert h.shape == (4, *shape[:-2], 2)
    (y.sum() + h.sum()).backward()
    assert all(p.grad.shape == p.shape for p in layer.parameters())


@pytest.mark.parametrize("name", LAYERS)
def test_saturated_gates_stay_finite(name):
    layer = getattr(L, name)(2, 3)
    for p in layer.parameters():
        p.data *= 1e4
    inputs = Tensor(x(2, 5, 2).astype("float32"), requires_grad=True)
    outputs = flat(layer(inputs))
    sum(y.sum() for y in outputs).backward()
    assert all(np.isfinite(t.numpy()).all() for t in (*outputs, inputs.grad, *(p.grad for p in layer.parameters())))


@pytest.mark.parametrize("name", LAYERS)
def test_a_nan_goes_through(name):
    inputs = x(2, 3, 3).numpy().copy()
    inputs[0, 1, 0] = np.nan
    y = make(name, 3, 2)(Tensor(inputs))[0].numpy()
    assert np.isnan(y[0, 1:]).all()
    assert np.isfinite(y[0, 0]).all()
    assert np.isfinite(y[1]).all()


@pytest.mark.cpu  # what is kept is the engine's doing, on every backend the same
@pytest.mark.parametrize("name", LAYERS)
def test_long_sequences_neither_recurse_nor_leak(name):
    layer, inputs = getattr(L, name)(2, 3), x(2, 2000, 2).astype("float32")

    def step():
        layer(inputs)[0].sum().backward()
        (g,) = tn.grad(layer(inputs[:, :50])[0].sum(), layer.weight_hh_l0, create_graph=True)
        (g * g).sum().backward()
        layer.zero_grad()

    limit = sys.getrecursionlimit()
    gc.collect()
    gc.disable()
    try:
        sys.setrecursionlimit(200)
        step()
        tracemalloc.start()
        step()
        before, objects = tracemalloc.get_traced_memory()[0], len(gc.get_objects())
        step()
        left = tracemalloc.get_traced_memory()[0] - before
        assert len(gc.get_objects()) <= objects + 10
        assert gc.collect() == 0
    finally:
        tracemalloc.stop()
        sys.setrecursionlimit(limit)
        gc.enable()
    assert left < 50_000  # Python's free lists; a graph of 50 steps is several hundred kilobytes


def test_nothing_is_kept_for_a_way_back_that_is_not_recorded():
    layer, inputs = L.LSTM(8, 64), x(16, 100, 8).astype("float32")

    def peak(run):
        tracemalloc.start()
        y = run()
        assert y.shape == (16, 100, 64)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    gates = 4 * 64 * 100 * 16 * 4  # bytes
    assert peak(lambda: layer(inputs)[0]) > gates
    assert peak(tn.no_grad()(lambda: layer(inputs)[0])) < gates


# --------------------------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("name", LAYERS)
def test_dropout_is_between_layers_in_training_only(name):
    layer, inputs = make(name, 3, 50, num_layers=2, dropout=0.5), x(2, 4, 3)
    tn.manual_seed(1)
    first = layer(inputs)[0].numpy()
    assert not np.array_equal(layer(inputs)[0].numpy(), first)
    tn.manual_seed(1)
    np.testing.assert_array_equal(layer(inputs)[0].numpy(), first)
    quiet = layer.eval()(inputs)[0].numpy()
    np.testing.assert_array_equal(layer(inputs)[0].numpy(), quiet)
    same = make(name, 3, 50, num_layers=2)
    same.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(same(inputs)[0].numpy(), quiet)
    nothing = make(name, 3, 50, num_layers=2, dropout=1.0)  # the second layer sees zeros, the first is not touched
    nothing.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(nothing(inputs)[0].numpy(), nothing(inputs + 1)[0].numpy())
    state = lambda result: flat(result)[1].numpy()[0]  # noqa: E731
    np.testing.assert_array_equal(state(nothing(inputs)), state(same(inputs)))


@pytest.mark.parametrize("name", LAYERS)
def test_dropout_of_one_layer_is_warned_of(name):
    with pytest.warns(UserWarning, match=rf"^{name}: dropout=0.5 acts between layers, and num_layers is 1"):
        getattr(L, name)(3, 2, dropout=0.5)


# -------------------------------------------------------------------------------------------------------- bad input

ONES = tn.ones(4, 5, 3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: L.RNN(0, 2), "RNN: input_size is 0, expected an integer of at least 1"),
        (lambda: L.LSTM(3, 2.5), "LSTM: hidden_size is 2.5, expected an integer of at least 1"),
        (lambda: L.GRUCell(None, 2), "GRUCell: input_size is None, expected an integer"),
        (lambda: L.GRU(3, 2, num_layers=0), "GRU: num_layers is 0, expected an integer of at least 1"),
        (lambda: L.GRU(3, 2, 2, dropout=1.5), "GRU: dropout is 1.5, expected a probability between 0 and 1"),
        (lambda: L.RNN(3, 2, nonlinearity="gelu"), "RNN: nonlinearity is 'gelu', expected 'tanh' or 'relu'"),
        (lambda: L.RNNCell(3, 2, nonlinearity=None), "RNNCell: nonlinearity is None, expected 'tanh' or 'relu'"),
        (
            lambda: L.LSTM(4, 2)(ONES),
            "LSTM(4, 2): the input has shape (4, 5, 3), expected (batch, steps, 4), or (steps, 4) without a batch axis",
        ),
        (lambda: L.GRU(4, 2, batch_first=False)(ONES), "expected (steps, batch, 4)"),
        (lambda: L.LSTM(3, 2)(ONES[None]), "LSTM(3, 2): the input has shape (1, 4, 5, 3), expected"),
        (lambda: L.LSTM(3, 2)(ONES[0, 0]), "LSTM(3, 2): the input has shape (3,), expected"),
        (lambda: L.LSTM(3, 2)(ONES[:, :0]), "LSTM(3, 2): the input of shape (4, 0, 3) has no step"),
        (lambda: L.LSTM(3, 2)(ONES[0, :0]), "LSTM(3, 2): the input of shape (0, 3) has no step"),
        (
            lambda: L.GRU(3, 2)(ONES, tn.ones(4, 2)),
            "GRU(3, 2): h0 has shape (4, 2), expected (1, 4, 2) for this input",
        ),
        (lambda: L.GRU(3, 2)(ONES[0], tn.ones(1, 4, 2)), "h0 has shape (1, 4, 2), expected (1, 2) for this input"),
        (lambda: L.LSTM(3, 2)(ONES, tn.ones(1, 4, 2)), "expected the states as a pair (h0, c0), got Tensor"),
        (lambda: L.LSTM(3, 2)(ONES, (tn.ones(1, 4, 2),)), "expected the states as a pair (h0, c0), got tuple"),
        (lambda: L.LSTM(3, 2)(ONES, (tn.ones(1, 4, 2), tn.ones(1, 4, 3))), "c0 has shape (1, 4, 3), expected (1, 4, 2)"),
        (lambda: L.LSTMCell(3, 2)(ONES), "LSTMCell(3, 2): the input has shape (4, 5, 3), expected (batch, 3) or (3,)"),
        (lambda: L.GRUCell(3, 2)(ONES[0], tn.ones(2)), "GRUCell(3, 2): h0 has shape (2,), expected (5, 2)"),
        (lambda: F.rnn(ONES[0], None, x(2, 3), x(2, 2)), "rnn: x of shape (5, 3) should be (batch, steps, features)"),
        (lambda: F.gru(ONES[:, :0], None, x(6, 3), x(6, 2)), "gru: x of shape (4, 0, 3) should be .* of at least one step"),
        (lambda: F.lstm(ONES, None, None, x(8, 4), x(8, 2)), "lstm: weight_ih has shape (8, 4), expected (8, 3)"),
        (lambda: F.lstm(ONES, None, None, x(8, 3), x(6, 2)), "lstm: weight_hh has shape (6, 2), expected (8, 2)"),
        (lambda: F.gru(ONES, None, x(6, 3), x(6, 2), x(5)), "gru: bias_ih has shape (5,), expected (6,) for x of (4, 5, 3)"),
        (lambda: F.gru(ONES, None, x(6, 3), x(6, 2), None, x(5)), "gru: bias_hh has shape (5,), expected (6,)"),
        (lambda: F.lstm(ONES, None, x(4, 3), x(8, 3), x(8, 2)), "lstm: c0 has shape (4, 3), expected (4, 2)"),
        (lambda: F.rnn(ONES, None, x(2, 3), x(2, 2), nonlinearity="sin"), "rnn: nonlinearity is 'sin', expected 'tanh'"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=re.escape(says).replace(re.escape(".*"), ".*")):
        call()


def test_only_parameters_are_in_the_state():
    assert all(isinstance(value, (Parameter, int, float, bool)) for value in vars(L.LSTM(3, 2)).values())
