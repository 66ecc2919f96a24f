"""Programs compiled by Numba into one loop over memory.

The source of the loop is written from the program and kept, under a name that is the hash
of its text, in the user's cache folder, where Numba keeps the machine code beside it. An
edited rule has another text, hence another name: an old kernel cannot be run by mistake.

Kernels are compiled for one thread and release Python's lock; large arrays are cut into
pieces for a pool of threads. No threading layer of Numba's is started, so a forked child
can go on.
"""

import hashlib
import importlib.util
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache as memoized
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np
import platformdirs

from ..backend import Kernel, Program
from ..convolution import ConvolutionKernels
from ..layers import LayerKernels
from . import _host
from ._host import HostArray

_OPERATORS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}

# Below this many elements for each thread, handing out work costs more than it saves.
_LEAST_PIECE = 65536


class NumbaBackend:
    """Fused loops on the CPU.

    Parameters
    ----------
    threads : int, optional
        The number of threads for large arrays; by default, one for each core that this
        process may use.
    cache : path, optional
        The folder for compiled loops; by default, one in the user's cache folder.

    Examples
    --------
    >>> from lookahead_ref import backend
    >>> backend.load("numba").name
    'numba'
    """

    name = "numba"
    version = numba.__version__
    devices = _host.devices()
    from_host = staticmethod(_host.itself)
    to_host = staticmethod(_host.itself)
    own = staticmethod(_host.own)
    copy = staticmethod(_host.copy)
    assign = staticmethod(_host.assign)
    readonly = staticmethod(_host.readonly)
    flatten = staticmethod(_host.flatten)
    gradient = staticmethod(_host.gradient)

    def __init__(self, threads: int | None = None, cache: Path | None = None) -> None:
        self._threads = _cores() if threads is None else threads
        self._cache = (
            platformdirs.user_cache_path("lookahead-ref") if cache is None else cache
        )
        self._process = os.getpid()

    def compile(self, program: Program, dtype: str) -> Kernel:
        """Compile a program into a loop.

        Parameters
        ----------
        program : Program
            The program.
        dtype : str
            The dtype of its arrays.

        Returns
        -------
        callable
            The kernel.
        """
        loop = _load(_source(program, dtype), Path(self._cache)).loop
        scalar = np.dtype(dtype).type

        def kernel(buffers: Sequence[HostArray], scalars: Sequence[float]) -> None:
            values = [scalar(each) for each in scalars]
            length = buffers[0].size
            pieces = min(self._threads, length // _LEAST_PIECE)
            if pieces < 2:
                loop(0, length, *buffers, *values)
                return
            bounds = [length * piece // pieces for piece in range(pieces + 1)]
            work = [
                self._pool.submit(loop, start, stop, *buffers, *values)
                for start, stop in pairwise(bounds[1:])
            ]
            loop(0, bounds[1], *buffers, *values)
            for each in work:
                each.result()

        return kernel

    @cached_property
    def convolution(self) -> ConvolutionKernels:
        """Kernels for models of pictures."""
        # Here, since most runs have no use for them.
        from .numba_pictures import Pictures

        return Pictures(self._share)

    @cached_property
    def layers(self) -> LayerKernels:
        """Kernels for the layers of models."""
        from .numba_layers import Layers

        return Layers(self._share)

    def _share(self, work: Callable[[int, int], None], count: int, least: int = 1) -> None:
        """Call ``work(start, stop)`` for parts of a range, no smaller than `least`."""
        pieces = max(1, min(self._threads, count // least))
        bounds = [count * piece // pieces for piece in range(pieces + 1)]
        given = [
            self._pool.submit(work, start, stop) for start, stop in pairwise(bounds[1:])
        ]
        work(0, bounds[1])
        for each in given:
            each.result()

    @property
    def _pool(self) -> ThreadPoolExecutor:
        # The threads of a pool do not live on in a forked child: it makes its own.
        if self._process != os.getpid():
            self._process = os.getpid()
            self.__dict__.pop("_executor", None)
        return self._executor

    @cached_property
    def _executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max(self._threads - 1, 1), "lookahead-ref")


def _cores() -> int:
    # Which cores a process may use, only some systems tell.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _source(program: Program, dtype: str) -> str:
    """Write a program as a function for Numba."""
    buffers = [f"b{number}" for number in range(program.buffers)]
    scalars = [f"s{number}" for number in range(program.scalars)]
    names = [f"x{number}" for number in range(program.buffers)] + scalars
    read = {operand for line in program.instructions for operand in line.operands}
    read |= {register for _, register in program.writes}
    body = [
        f"x{number} = b{number}[i]" for number in range(program.buffers) if number in read
    ]
    for number, line in enumerate(program.instructions):
        operands = [names[operand] for operand in line.operands]
        if line.operation == "zero":
            value = "zero"
        elif line.operation == "sqrt":
            value = f"np.sqrt({operands[0]})"
        else:
            value = f" {_OPERATORS[line.operation]} ".join(operands)
        names.append(f"r{number}")
        body.append(f"r{number} = {value}")
    body += [f"b{buffer}[i] = {names[register]}" for buffer, register in program.writes]
    lines = "\n        ".join(body)
    # What is only read, such as a gradient, may be in memory that cannot be written to.
    written = {buffer for buffer, _ in program.writes}
    kinds = ["array" if number in written else "view" for number in range(program.buffers)]
    arguments = ", ".join(["types.int64"] * 2 + kinds + ["scalar"] * len(scalars))
    return f'''"""Written by lookahead_ref from an update rule; safe to delete."""

import numpy as np
from numba import njit, types

zero = np.{dtype}(0)
scalar = types.{dtype}
array = types.Array(scalar, 1, "C")
view = types.Array(scalar, 1, "C", readonly=True)


@njit(types.void({arguments}), error_model="numpy", nogil=True, cache=True)
def loop(start, stop, {", ".join(buffers + scalars)}):
    for i in range(start, stop):
        {lines}
'''


@memoized  # one source is one loop, whichever stepper asks for it
def _load(source: str, cache: Path) -> ModuleType:
    """Import a loop from the cache folder, or from another where that cannot be written."""
    name = "loop_" + hashlib.sha256(source.encode()).hexdigest()[:32]
    try:
        path = cache / f"{name}.py"
        if not (path.is_file() and path.read_bytes() == source.encode()):
            cache.mkdir(parents=True, exist_ok=True)
            # Another process may be writing the same: the last to rename wins, all are
            # equal.
            with tempfile.NamedTemporaryFile(dir=cache, delete=False) as file:
                file.write(source.encode())
            Path(file.name).replace(path)
        return _import(name, path)
    except (OSError, EOFError, pickle.UnpicklingError):
        # Machine code that was cut short, as when the power fails, is made anew next time.
        for damaged in (cache / "__pycache__").glob(f"{name}.*.nb?"):
            with suppress(OSError):
                damaged.unlink()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.py"
            path.write_text(source)
            return _import(name, path)


def _import(name: str, path: Path) -> ModuleType:
    spec: Any = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
