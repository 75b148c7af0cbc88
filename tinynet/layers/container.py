"""Layers made of layers: in a row, in a list, by name; and small ones that only pass on."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, ValuesView
from copy import copy
from typing import Any

from .layer import Layer


def _checked(owner: str, layer: Any) -> Layer:
    if not isinstance(layer, Layer):
        raise TypeError(f"{owner}: expected Layers, got {layer!r}; wrap a function in Lambda")
    return layer


def _in_front(items: dict[str, Layer], container: Layer) -> Iterable[tuple[str, Any]]:
    """A container's members: its layers under their own names, then whatever a subclass has made attributes.

    No dict of both: a layer may be named like an attribute, ``training`` for one.
    """
    return [*items.items(), *((name, value) for name, value in vars(container).items() if name != "_items")]


class LayerList(Layer):
    """Layers by number, for a ``forward`` of your own; their parameters are named ``0.weight``, ``1.weight``, ...

    A plain Python list as an attribute does as well.
    """

    def __init__(self, layers: Iterable[Layer] = ()):
        self._items: list[Layer] = [_checked(type(self).__name__, layer) for layer in layers]

    def members(self) -> Iterable[tuple[str, Any]]:
        return _in_front({str(i): layer for i, layer in enumerate(self._items)}, self)

    def append(self, layer: Layer) -> LayerList:
        """Add a layer at the end; returns the container."""
        self._items.append(_checked(type(self).__name__, layer))
        return self

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._items)

    def __getitem__(self, index: int | slice) -> Any:
        if not isinstance(index, slice):
            return self._items[index]
        part = copy(self)  # of the same class, whatever its __init__ takes
        part._items = self._items[index]
        return part


class Sequential(LayerList):
    """Layers one after the other: the output of each is the input of the next.

    A convolution, the ReLU after it and a pooling by two are computed in one pass over the images where that can be, and
    a Linear and the ReLU after it as one op.

    >>> from tinynet import layers as L
    >>> Sequential(L.Linear(4, 8), L.ReLU(), L.Linear(8, 2))
    Sequential(
      (0): Linear(4, 8)
      (1): ReLU()
      (2): Linear(8, 2)
    )
    """

    def __init__(self, *layers: Layer):
        super().__init__(layers)

    def forward(self, x: Any) -> Any:
        layers, i = self._items, 0
        while i < len(layers):
            x, joined = layers[i].followed(x, layers[i + 1 : i + 3])
            i += 1 + joined
        return x


class LayerDict(Layer):
    """Layers by name, for a ``forward`` of your own; their parameters are named ``name.weight``."""

    def __init__(self, layers: dict[str, Layer] | None = None):
        self._items = {name: _checked("LayerDict", layer) for name, layer in (layers or {}).items()}

    def members(self) -> Iterable[tuple[str, Any]]:
        return _in_front(self._items, self)

    def __setitem__(self, name: str, layer: Layer) -> None:
        self._items[name] = _checked("LayerDict", layer)

    def __getitem__(self, name: str) -> Layer:
        return self._items[name]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def keys(self) -> KeysView[str]:
        """The names, in the order in which they were given."""
        return self._items.keys()

    def values(self) -> ValuesView[Layer]:
        """The layers."""
        return self._items.values()

    def items(self) -> ItemsView[str, Layer]:
        """(name, layer) of each."""
        return self._items.items()


class Identity(Layer):
    """The input, unchanged."""

    def forward(self, x: Any) -> Any:
        return x


class Lambda(Layer):
    """A function of Tensors as a layer, without parameters: ``Lambda(lambda x: x.mean(axis=1))``."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)

    def describe(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))
