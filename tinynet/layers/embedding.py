"""Embedding: a vector of its own for every id."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..functions import embedding
from ..tensor import Parameter, Tensor
from . import init
from .layer import Layer


class Embedding(Layer):
    """A table of ``num_embeddings`` vectors, looked up by integer ids: ``(...)`` to ``(..., embedding_dim)``.

    ``weight`` ``(num_embeddings, embedding_dim)`` starts normal with standard deviation 1, as in PyTorch. The row
    ``padding_idx`` (counted from the end where negative) starts at zero and is not trained: it is for ids that only fill a
    line up.

    Raises ``IndexError`` naming an id outside [0, num_embeddings), ``TypeError`` for ids that are no integers,
    ``ValueError`` for sizes that make no table.

    >>> Embedding(10, 3)(np.array([[1, 2], [4, 9]])).shape
    (2, 2, 3)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None):
        for name, size in (("num_embeddings", num_embeddings), ("embedding_dim", embedding_dim)):
            if not isinstance(size, (int, np.integer)) or size < 1:
                raise ValueError(f"Embedding: {name} is {size!r}, expected an integer of at least 1")
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"Embedding: padding_idx is {padding_idx!r}, expected one of {num_embeddings} rows")
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = init.normal(Parameter(np.zeros((num_embeddings, embedding_dim), np.float32)))
        if padding_idx is not None:
            self.weight.data[padding_idx] = 0

    @property
    def num_embeddings(self) -> int:
        """How many ids there are."""
        return self.weight.shape[0]

    @property
    def embedding_dim(self) -> int:
        """The width of a vector."""
        return self.weight.shape[1]

    def forward(self, ids: Any) -> Tensor:
        return embedding(ids, self.weight, self.padding_idx)

    def describe(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
