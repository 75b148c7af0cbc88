"""A training step captured once on a GPU, as a CUDA graph, and replayed: what the CPU would do in it again is left out.

The one idea: what a step does on the GPU is the same list of kernels every time, on the same memory. The first calls run the
step as it stands, which builds what is built on first use and fills a pool of memory that is the step's own. Then it is
recorded, which runs nothing, and from then on a call copies its arguments to where the recorded kernels read them, does
what has to be done on the CPU before each step (``Recording.before``: the optimizer's count and rates, dropout's seeds), and
starts the whole list at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .backend import Recording, device_number, get_matmul_precision, gpu_module, recorded
from .kernels.checks import reopen
from .kernels.gpu.blas import Products
from .tensor import Tensor, make

WARM = 2  # calls that run as they stand: one that makes the optimizer's state, one in memory that is there


def capture(step: Callable[..., Any]) -> Captured:
    """``step(*arrays)``, made ready to be replayed on a GPU as a CUDA graph; on a CPU it is simply called.

    ``step`` takes Tensors and returns Tensors (one, or a tuple, list or dict of them, or None): forward, loss,
    ``optimizer.zero_grad()``, ``backward()`` and ``optimizer.step()``, say. Every call does one step. The first two run it
    as it stands, the third records it, those that follow replay that. What is returned lies in the same memory every time:
    copy what is to outlast the next call.

    What a captured step may not do, and what happens when it does:

    - take arguments of other shapes, dtypes or devices than when it was recorded, or another number of them: ``ValueError``;
    - read a number (``.item()``, ``print``, ``if loss > 1``), pick by a boolean mask, move arrays between devices, make
      arrays from numbers on the CPU (``tn.randn``), add to gradients from before the step: ``RuntimeError`` when it is
      recorded;
    - depend on anything in Python that changes: it is not looked at again. ``train()`` and ``eval()``, a counter, a branch
      stay what they were. The exceptions are the optimizer's rates and step count and dropout's random numbers, which are
      those of each replay. A ``load_state_dict`` or ``to`` after which parameters are other arrays: ``RuntimeError``;
    - use an optimizer whose rule is no elementwise kernel on a GPU (Muon, LBFGS, float16 parameters), ``check_finite=True``,
      RAdam in the steps in which its rule changes: ``RuntimeError``.

    Nothing of this has run on a GPU yet: it was written from CuPy's documentation and tested on a stand-in.

    >>> import tinynet as tn
    >>> w = tn.Parameter([1.0])
    >>> optimizer = tn.optim.SGD([w], lr=0.5)
    >>> @tn.capture
    ... def step(x):
    ...     loss = ((w - x) ** 2).sum()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> [step(tn.tensor([3.0])).item() for _ in range(2)]
    [4.0, 0.0]
    """
    return Captured(step)


class Captured:
    """What ``capture`` returns: call it like the step. ``replays``: how many calls so far were replays of a graph."""

    def __init__(self, step: Callable[..., Any]):
        if not callable(step):
            raise TypeError(f"capture: expected a function, got {type(step).__name__}")
        self.step, self.replays, self._calls = step, 0, 0
        self._stream: Any = None
        self._pool: Any = None
        self._graph: Any = None
        self._recording: Recording | None = None
        self._inputs: list[Tensor] = []
        self._outputs: Any = None

    def __call__(self, *arrays: Any) -> Any:
        tensors = [x if isinstance(x, Tensor) else Tensor(x) for x in arrays]
        devices = {x.device for x in tensors}
        if devices <= {"cpu"}:
            return self.step(*tensors)
        if len(devices) > 1:
            raise ValueError(f"capture: the arguments are on several devices: {', '.join(sorted(devices))}")
        number = device_number(devices.pop())
        if self._graph is not None:
            self._check(tensors)
        with self._aside(number):
            if self._graph is None and self._calls < WARM:
                self._calls += 1
                return _detached(self.step(*tensors))
            if self._graph is None:
                self._record(tensors)
            else:
                for held, x in zip(self._inputs, tensors, strict=True):
                    held.data[...] = x.data
            self._replay(number)
        return self._outputs

    @contextmanager
    def _aside(self, number: int) -> Iterator[None]:
        """On the step's own stream and in its own memory; in order with what comes before and after on the current stream.

        The graph goes on to use that memory, so nobody else may be given it.
        """
        cuda = gpu_module().cuda
        with cuda.Device(number):
            if self._stream is None:
                self._stream, self._pool = cuda.Stream(non_blocking=True), cuda.MemoryPool()
            outer = cuda.get_current_stream()
            self._stream.wait_event(outer.record())
            try:
                with self._stream, cuda.using_allocator(self._pool.malloc):
                    yield
            finally:
                outer.wait_event(self._stream.record())

    def _record(self, tensors: list[Tensor]) -> None:
        recording = Recording()
        recording.products = Products(gpu_module(), get_matmul_precision())
        inputs = [make(x.data.copy()) for x in tensors]
        recorded.now = recording
        self._stream.begin_capture()
        try:
            outputs = _detached(self.step(*inputs))
        except Exception as error:
            self._end_capture()
            raise RuntimeError(f"capture: the step cannot be captured: {error}") from error
        finally:
            recorded.now = None
        graph = self._end_capture()
        if graph is None:
            raise RuntimeError("capture: the step waited for the GPU while it was being captured, which no graph can")
        self._inputs, self._outputs, self._recording, self._graph = inputs, outputs, recording, graph

    def _end_capture(self) -> Any:
        """The graph; None where the capture has failed, which the stream then has to be told as well."""
        try:
            return self._stream.end_capture()
        except Exception:
            return None

    def _check(self, tensors: list[Tensor]) -> None:
        if len(tensors) != len(self._inputs):
            raise ValueError(f"capture: the step was captured with {len(self._inputs)} arguments, got {len(tensors)}")
        for k, (x, held) in enumerate(zip(tensors, self._inputs, strict=True)):
            given, wanted = ((t.shape, t.dtype, t.device) for t in (x, held))
            if given != wanted:
                raise ValueError(
                    f"capture: argument {k} is {given[1]} {given[0]} on {given[2]!r}, but the step was captured with "
                    f"{wanted[1]} {wanted[0]} on {wanted[2]!r}; call the step itself, or capture one for each shape"
                )

    def _replay(self, number: int) -> None:
        assert self._recording is not None
        for before in self._recording.before:
            before()
        self._graph.launch()
        self.replays += 1
        reopen(number)


def _detached(outputs: Any) -> Any:
    """The outputs without the graph behind them; TypeError for what a replay could not give anew."""
    if isinstance(outputs, Tensor):
        return make(outputs.data)
    if isinstance(outputs, (tuple, list)):
        return type(outputs)([_detached(y) for y in outputs])
    if isinstance(outputs, dict):
        return {name: _detached(y) for name, y in outputs.items()}
    if outputs is not None:
        raise TypeError(f"capture: a step returns Tensors, got {type(outputs).__name__}, which a replay would not renew")
    return None
