"""NVIDIA's own compiler of CUDA kernels, which needs no GPU: ``pip install nvidia-cuda-nvrtc-cu12``."""

import ctypes
import importlib.util
from pathlib import Path

SPEC = importlib.util.find_spec("nvidia.cuda_nvrtc") if importlib.util.find_spec("nvidia") else None
FOLDER = None if SPEC is None else Path(next(iter(SPEC.submodule_search_locations))) / "lib"
INSTALLED = FOLDER is not None and bool(list(FOLDER.glob("libnvrtc.so.*")))


def compile_to_ptx(source, options=("-std=c++17", "-arch=compute_90")):
    """PTX, and what the compiler said of the source; an AssertionError where it did not take it."""
    library = ctypes.CDLL(str(next(iter(sorted(FOLDER.glob("libnvrtc.so.*"))))))
    program = ctypes.c_void_p()
    assert library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None) == 0
    flags = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
    status = library.nvrtcCompileProgram(program, len(options), flags)
    said = _text(library.nvrtcGetProgramLogSize, library.nvrtcGetProgramLog, program)
    assert status == 0, said
    ptx = _text(library.nvrtcGetPTXSize, library.nvrtcGetPTX, program)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx, said


def _text(size_of, get, program):
    size = ctypes.c_size_t()
    assert size_of(program, ctypes.byref(size)) == 0
    text = ctypes.create_string_buffer(size.value)
    assert get(program, text) == 0
    return text.value.decode()
