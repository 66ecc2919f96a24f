"""Programs run by NumPy, a block that fits the cache at a time.

The plain functional form passes over memory once for each operation. Here every operation
of a program runs on one block, whose intermediate results stay in the cache, before the
next block.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..stepping.backend import Kernel, Program
from . import host
from .host import HostArray


def _maximum(a: Any, b: Any, out: Any) -> None:
    out[...] = np.where((a > b) | (a != a), a, b)


def _minimum(a: Any, b: Any, out: Any) -> None:
    out[...] = np.where((a < b) | (a != a), a, b)


_SAME = ("add", "subtract", "multiply", "divide", "sqrt", "abs", "sign")
_FUNCTIONS: dict[str, Any] = {name: getattr(np, name) for name in _SAME}
_FUNCTIONS |= {"maximum": _maximum, "minimum": _minimum}

# Bytes for the blocks of all arrays of a program: the second-level cache of common
# processors and a little of the third. With smaller blocks calls dominate.
_CACHE = 1_500_000


class NumpyBackend:
    """NumPy on the CPU."""

    name = "numpy"
    version = np.__version__
    devices = host.devices()
    from_host = staticmethod(host.itself)
    to_host = staticmethod(host.itself)
    own = staticmethod(host.own)
    copy = staticmethod(host.copy)
    assign = staticmethod(host.assign)
    readonly = staticmethod(host.readonly)
    flatten = staticmethod(host.flatten)
    gradient = staticmethod(host.gradient)

    @staticmethod
    def compile(program: Program, dtype: str) -> Kernel:
        return _Blocked(program, np.dtype(dtype))


class _Blocked:
    """A program, with a place for each result: its buffer or scratch memory."""

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
        home: dict[int, int] = {}  # result register -> register whose memory it reuses
        free: list[int] = []
        scratch = 0
        for number, line in enumerate(program.instructions):
            register = first_result + number
            buffer = target.get(register)
            # A buffer's old value may be overwritten after its last use.
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
                _FUNCTIONS.get(line.operation, np.positive),
                tuple(home.get(operand, operand) for operand in line.operands),
                home[first_result + number],
            )
            for number, line in enumerate(program.instructions)
        ]
        # A buffer may receive the old value of another written buffer, so save that first.
        written = {buffer for buffer, _ in program.writes}
        saved = sorted(written & {register for _, register in program.writes})
        home |= {buffer: -scratch - 1 - number for number, buffer in enumerate(saved)}
        self._copies = [(home[buffer], buffer) for buffer in saved] + [
            (buffer, home.get(register, register))
            for buffer, register in program.writes
            if home.get(register, register) != buffer
        ]
        self._scratch = scratch + len(saved)
        arrays = program.buffers + self._scratch
        self.block = _CACHE // arrays // dtype.itemsize // 1024 * 1024 or 1024

    def __call__(self, buffers: Sequence[HostArray], scalars: Sequence[float]) -> None:
        length = buffers[0].size
        block = min(self.block, length)
        if not block:
            return
        # Scratch memory is counted from the end.
        places: list[Any] = [
            *buffers,
            *[np.asarray(scalar, self._dtype) for scalar in scalars],
            *[np.empty(block, self._dtype) for _ in range(self._scratch)],
        ]
        whole = length - length % block
        rows = [buffer[:whole].reshape(-1, block) for buffer in buffers]
        # A NumPy error, or a warning turned into one, would come after a partial write.
        with np.errstate(all="ignore"):
            for blocks in zip(*rows, strict=True):
                places[: self._buffers] = blocks
                self._run_block(places)
            if whole < length:
                places[: self._buffers] = [buffer[whole:] for buffer in buffers]
                for number in range(self._scratch):
                    places[-1 - number] = places[-1 - number][: length - whole]
                self._run_block(places)

    def _run_block(self, places: list[Any]) -> None:
        # Special cases, as this runs some thousand times in a step.
        for function, operands, result in self._lines:
            if len(operands) == 2:
                first, second = operands
                function(places[first], places[second], places[result])
            elif operands:
                function(places[operands[0]], places[result])
            else:
                places[result].fill(0)
        for copy, source in self._copies:
            places[copy][...] = places[source]
