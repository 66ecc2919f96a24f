"""Programs run by NumPy, a block that fits the cache at a time.

The plain functional form passes over memory once for each operation. Here every operation
of a program runs on one block, whose intermediate results stay in the cache, before the
next block.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import Kernel, Program
from . import _host
from ._host import HostArray

_UFUNCS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "sqrt": np.sqrt,
}

# A dozen blocks of float32 fit into the second-level cache of common processors.
_BLOCK = 16384


class NumpyBackend:
    """NumPy on the CPU.

    Examples
    --------
    >>> from lookahead_ref import backend
    >>> backend.load("numpy").name
    'numpy'
    """

    name = "numpy"
    version = np.__version__
    devices = _host.devices()
    from_host = staticmethod(_host.itself)
    to_host = staticmethod(_host.itself)
    own = staticmethod(_host.own)
    copy = staticmethod(_host.copy)
    assign = staticmethod(_host.assign)
    readonly = staticmethod(_host.readonly)
    flatten = staticmethod(_host.flatten)
    gradient = staticmethod(_host.gradient)

    @staticmethod
    def compile(program: Program, dtype: str) -> Kernel:
        """Arrange a program for blocks: which operation writes to which memory.

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
        return _Blocked(program, np.dtype(dtype))


class _Blocked:
    """A program, with a place for each result: the buffer it goes to, or scratch."""

    def __init__(self, program: Program, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._buffers = program.buffers
        first_result = program.buffers + program.scalars
        last_use = {
            operand: number
            for number, line in enumerate(program.instructions)
            for operand in line.operands
        }
        target = {register: buffer for buffer, register in reversed(program.writes)}
        home: dict[int, int] = {}  # result register -> register whose memory it takes
        free: list[int] = []
        scratch = 0
        for number, line in enumerate(program.instructions):
            register = first_result + number
            buffer = target.get(register)
            # The old value of the buffer may be overwritten once nobody will read it.
            if (
                buffer is not None
                and last_use.get(buffer, -1) <= number
                and all(kept != buffer for _, kept in program.writes)
            ):
                home[register] = buffer
            elif free:
                home[register] = free.pop()
            else:
                scratch += 1
                home[register] = -scratch
            for operand in set(line.operands):
                place = home.get(operand, 0)
                dies = last_use[operand] == number and operand not in target
                if place < 0 and dies:
                    free.append(place)
        self._lines = [
            (
                _UFUNCS.get(line.operation),
                tuple(home.get(operand, operand) for operand in line.operands),
                home[first_result + number],
            )
            for number, line in enumerate(program.instructions)
        ]
        # A buffer may take what another one held that is itself written: that is saved
        # first.
        written = {buffer for buffer, _ in program.writes}
        saved = sorted(written & {register for _, register in program.writes})
        home |= {buffer: -scratch - 1 - number for number, buffer in enumerate(saved)}
        self._copies = [(home[buffer], buffer) for buffer in saved] + [
            (buffer, home.get(register, register))
            for buffer, register in program.writes
            if home.get(register, register) != buffer
        ]
        self._scratch = scratch + len(saved)

    def __call__(self, buffers: Sequence[HostArray], scalars: Sequence[float]) -> None:
        length = buffers[0].size
        block = min(_BLOCK, length)
        scratch = [np.empty(block, self._dtype) for _ in range(self._scratch)]
        places: dict[int, Any] = {
            self._buffers + number: self._dtype.type(scalar)
            for number, scalar in enumerate(scalars)
        }
        # Where NumPy raises or warns, and a warning may be an error, it would do so after a
        # part has been written.
        with np.errstate(all="ignore"):
            for start in range(0, length, max(block, 1)):
                stop = min(start + block, length)
                for number, buffer in enumerate(buffers):
                    places[number] = buffer[start:stop]
                for number, array in enumerate(scratch):
                    places[-1 - number] = array[: stop - start]
                self._run_block(places)

    def _run_block(self, places: dict[int, Any]) -> None:
        for ufunc, operands, result in self._lines:
            if ufunc is None:
                places[result].fill(0)
            else:
                ufunc(*[places[operand] for operand in operands], out=places[result])
        for copy, source in self._copies:
            places[copy][...] = places[source]
