"""Layer: anything with parameters and a ``forward``.

The one idea: nothing is registered. A Layer's parameters are whatever Parameters a walk over its attributes finds, through
lists, tuples, dicts and other Layers, in the order in which they were defined, each named by the path to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from reprlib import recursive_repr
from typing import Any, NamedTuple

import numpy as np

from ..backend import is_array, to_device
from ..tensor import Parameter, Tensor, make


class Loaded(NamedTuple):
    """The names that ``load_state_dict(strict=False)`` did not find in the dict, and those it did not know."""

    missing: list[str]
    unexpected: list[str]


class Parameters(list):
    """A list of Parameters that also knows their ``names``, so that an optimizer can keep its state by name."""

    def __init__(self, named: Iterable[tuple[str, Parameter]]):
        pairs = list(named)
        super().__init__(p for _, p in pairs)
        self.names = [name for name, _ in pairs]


class Layer:
    """The base of all layers and models: assign Parameters and Layers in ``__init__``, compute in ``forward``.

    >>> from tinynet import Parameter, Tensor
    >>> class Scale(Layer):
    ...     def __init__(self, size):
    ...         self.weight = Parameter(np.ones(size, "float32"))
    ...     def forward(self, x):
    ...         return x * self.weight
    >>> layer = Scale(2)
    >>> layer(Tensor([3.0, 4.0])), [name for name, _ in layer.named_parameters()]
    (tensor([3., 4.], op=mul), ['weight'])
    """

    training: bool = True

    def forward(self, *inputs: Any) -> Any:
        """Compute the output; every Layer defines it. Call the layer itself, ``layer(x)``."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward(self, x)")

    def __call__(self, *inputs: Any, **keywords: Any) -> Any:
        return self.forward(*inputs, **keywords)

    def followed(self, x: Any, layers: Sequence[Layer]) -> tuple[Any, int]:
        """The output for x of this layer and of the first few of ``layers`` after it, and how many of these that were.

        A layer that knows a faster way than one after the other defines it; for layers whose ``forward`` is not the
        library's own there is none (``is_plain``). None of the results in between is seen by anybody.
        """
        return self(x), 0

    def members(self) -> Iterable[tuple[str, Any]]:
        """(name, value) of all that may hold parameters; containers override it to name their layers by number."""
        return vars(self).items()

    # ----------------------------------------------------------------------------------------- what is inside

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """(path, Parameter) in definition order; a Parameter that stands in two places once, under its first name."""
        return _once((path, p) for path, p in walk(self) if isinstance(p, Parameter))

    def parameters(self) -> Parameters:
        """The Parameters in definition order, each once: a list that also knows their names."""
        return Parameters(self.named_parameters())

    def named_buffers(self) -> list[tuple[str, Tensor]]:
        """(path, Tensor) of what ``register_buffer`` keeps: state that is saved with the parameters but not trained."""
        return _once((path, b) for path, b in walk(self) if isinstance(b, Tensor) and not isinstance(b, Parameter))

    def layers(self) -> list[Layer]:
        """Every Layer inside this one, at any depth, in definition order, each once; not itself."""
        return inner_layers(self)[1:]

    def register_buffer(self, name: str, array: Any) -> None:
        """Make ``self.<name>`` a Tensor that is saved, loaded and moved with the layer, but not trained."""
        vars(self).setdefault("buffer_names", []).append(name)
        setattr(self, name, Tensor(array))

    # ----------------------------------------------------------------------------------------- how it is used

    def train(self, mode: bool = True) -> Layer:
        """Set training mode in this layer and all inside it (dropout drops, running statistics run); returns the layer."""
        for layer in inner_layers(self):
            layer.training = mode
        return self

    def eval(self) -> Layer:
        """Set evaluation mode, the opposite of ``train()``. Gradients are recorded all the same; see ``no_grad``."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in Layer.parameters(self):
            p.grad = None

    def freeze(self) -> Layer:
        """No parameter requires a gradient any more: nothing in this layer is trained. Returns the layer."""
        for p in Layer.parameters(self):
            p.requires_grad = False
            p.grad = None
        return self

    def unfreeze(self) -> Layer:
        """Every parameter requires a gradient again. Returns the layer."""
        for p in Layer.parameters(self):
            p.requires_grad = True
        return self

    def to(self, device: str) -> Layer:
        """Move parameters, their gradients and buffers to a device, in place; returns the layer."""
        self._convert(lambda array: to_device(array, device))
        return self

    def astype(self, dtype: Any) -> Layer:
        """Give parameters, their gradients and buffers of floats another float dtype, in place; returns the layer."""
        if np.dtype(dtype).kind != "f":
            raise TypeError(f"astype: parameters are floats, got dtype {np.dtype(dtype)}")
        self._convert(lambda array: array.astype(dtype, copy=False) if array.dtype.kind == "f" else array)
        return self

    def _convert(self, f: Any) -> None:
        for _, t in walk(self):
            if isinstance(t, Tensor):
                t.data = f(t.data)
                if t.grad is not None:
                    t.grad = make(f(t.grad.data))

    # ----------------------------------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of all parameters and buffers by path, in PyTorch's names. (PyTorch's own dict shares memory.)

        Raises ``ValueError`` where two have one path, which names with a dot in a dict of layers can bring about.
        """
        return {path: make(t.data.copy()) for path, t in _by_path(self).items()}

    def load_state_dict(self, state: dict[str, Any], strict: bool = True) -> Loaded:
        """Write the arrays of ``state`` into the parameters and buffers of the same paths, keeping dtype and device.

        Raises ``ValueError`` that lists every missing and unexpected name (unless not ``strict``) and every shape that
        differs; nothing is changed then. PyTorch's ``num_batches_tracked`` is accepted and ignored.
        """
        own = _by_path(self)
        given = {path: t for path, t in state.items() if path in own or not path.endswith("num_batches_tracked")}
        result = Loaded([p for p in own if p not in given], [p for p in given if p not in own])
        problems = [f"missing {p!r}" for p in result.missing] + [f"unexpected {p!r}" for p in result.unexpected]
        problems = problems if strict else []
        arrays: dict[str, Any] = {}
        for path in filter(given.__contains__, own):
            t, value = own[path], given[path]
            value = value.data if isinstance(value, Tensor) else value
            array = value if is_array(value) else np.asarray(value)
            if array.dtype.kind not in "fiub":
                problems.append(f"{path!r} has dtype {array.dtype}, expected {t.dtype}")
            elif not fits(t.shape, array.shape):
                problems.append(f"{path!r} has shape {array.shape}, expected {t.shape}")
            elif isinstance(t.data, np.ndarray) and not t.data.flags.writeable:
                problems.append(f"{path!r} is a read-only array here")
            else:
                arrays[path] = to_device(array, t.device).astype(t.dtype)
        if problems:
            raise ValueError(f"{type(self).__name__}: the state does not fit: " + "; ".join(problems))
        for path, array in arrays.items():
            if array.shape == own[path].shape and is_array(own[path].data):
                own[path].data[...] = array
            else:
                own[path].data = array  # a weight whose input size was not known yet, or a number, made by arithmetic
        return result

    # ----------------------------------------------------------------------------------------- how it looks

    def describe(self) -> str:
        """The arguments that its repr shows in parentheses."""
        return ""

    @recursive_repr()  # a layer may refer to the one it stands in
    def __repr__(self) -> str:
        children = [(path, item) for path, item in walk(self, deep=False) if isinstance(item, Layer)]
        if not children:
            return f"{type(self).__name__}({self.describe()})"
        lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in children]
        return "\n".join([f"{type(self).__name__}({self.describe()}", *lines, ")"])


def is_plain(layer: Layer, kind: type) -> bool:
    """Whether a layer does what its class in this library does: it is of no subclass, and has no ``forward`` of its own."""
    return type(layer) is kind and "forward" not in vars(layer)


def fits(own: tuple[int, ...], given: tuple[int, ...]) -> bool:
    """Whether an array of shape ``given`` may become a parameter of shape ``own``, where 0 is a size not known yet."""
    return len(own) == len(given) and all(n in (m, 0) for n, m in zip(own, given, strict=True))


def walk(root: Any, path: str = "", above: tuple[int, ...] = (), deep: bool = True) -> Iterator[tuple[str, Any]]:
    """(path, item) of every Layer, Parameter and buffer inside ``root``, a Layer, list, tuple or dict, depth first.

    A Layer that stands in two places is visited twice, under both paths; one inside itself is not followed, and none
    where not ``deep``.
    """
    if id(root) in above:
        return
    above = (*above, id(root))
    if isinstance(root, Layer):
        members: Iterable[tuple[Any, Any]] = root.members()
        buffers = vars(root).get("buffer_names", ())
    else:
        members = root.items() if isinstance(root, dict) else enumerate(root)
        buffers = ()
    for name, item in members:
        inner = f"{path}{name}"
        if item is None:
            continue  # what is not there now, a buffer that was taken away among it
        if name in buffers and not isinstance(item, Tensor):
            item = Tensor(item)  # a plain array was assigned to a buffer: it stays one
            setattr(root, name, item)
        if isinstance(item, Parameter) or name in buffers:
            yield inner, item
        elif isinstance(item, Layer):
            yield inner, item
            if deep:
                yield from walk(item, inner + ".", above)
        elif isinstance(item, (list, tuple, dict)):
            yield from walk(item, inner + ".", above, deep)


def inner_layers(root: Layer) -> list[Layer]:
    """``root`` and every Layer inside it, each once. (``root.layers()`` without itself, where no attribute hides it.)"""
    return [root, *(layer for _, layer in _once(walk(root)) if isinstance(layer, Layer) and layer is not root)]


def _by_path(root: Layer) -> dict[str, Tensor]:
    """The parameters and buffers inside ``root``, under each of their paths. ValueError where two have one path."""
    found: dict[str, Tensor] = {}
    for path, t in walk(root):
        if isinstance(t, Tensor) and found.setdefault(path, t) is not t:
            raise ValueError(
                f"{type(root).__name__}: two parameters or buffers are named {path!r}; rename one of the layers"
            )
    return found


def _once(found: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Each item under the first of its paths."""
    paths: dict[int, tuple[str, Any]] = {}
    for path, item in found:
        paths.setdefault(id(item), (path, item))
    return list(paths.values())
