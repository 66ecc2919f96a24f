"""Programs compiled by Numba: one pass over memory, for all arrays at once.

A program becomes a loop that is kept on disk (`compiler`). Bound to the arrays that it is
for, it knows their addresses and a list of pieces of work, the smaller the later they are
taken: several small arrays make one piece, a large one is cut. Threads take piece after
piece until there is none left, so a thread that was kept from running holds up nobody.

Loops release Python's lock, and no threading layer of Numba's is started, so a forked child
can go on.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numba
import numpy as np
import platformdirs
from numpy.typing import NDArray

from ...kernels import LayerKernels
from ...stepping.backend import BackendUnavailableError, Kernel, Program
from .. import host
from ..host import HostArray
from . import compiler
from .threads import Threads

# The least and the most elements in a piece of work, but for what is left at last. Threads
# begin at both ends with large ones, as moving on in memory from piece to piece costs a
# little, and meet among small ones: who is done first waits for one of the other's.
_PIECE = 65536
_LARGEST = 1 << 20

# With fewer bytes than this, in all arrays, to wake a thread takes longer than its share.
_LEAST = 8 << 20


class NumbaBackend:
    """Fused loops on the CPU."""

    name = "numba"
    version = numba.__version__
    devices = host.devices()
    from_host = staticmethod(host.itself)
    to_host = staticmethod(host.itself)
    own = staticmethod(host.own)
    copy = staticmethod(host.copy)
    assign = staticmethod(host.assign)
    readonly = staticmethod(host.readonly)
    flatten = staticmethod(host.flatten)
    gradient = staticmethod(host.gradient)

    def __init__(self, threads: int | None = None, cache: Path | None = None) -> None:
        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # made as it is loaded
            raise BackendUnavailableError(
                "backend 'numba' cannot compile: NUMBA_DISABLE_JIT is set"
            )
        self._threads = Threads(threads)
        self._cache = Path(
            platformdirs.user_cache_path("lookahead-ref") if cache is None else cache
        )

    def compile(self, program: Program, dtype: str) -> Kernel:
        self._loop(program, dtype)  # compiled now, not while it is run

        def kernel(buffers: Sequence[HostArray], scalars: Sequence[float]) -> None:
            self.bind(program, dtype, [buffers])([], scalars)

        return kernel

    @cached_property
    def layers(self) -> LayerKernels:
        """Kernels for the layers of models."""
        # Here, since most runs have no use for them.
        from .kernels import NumbaLayers

        return NumbaLayers(self._threads.share)

    def bind(
        self, program: Program, dtype: str, leaves: Sequence[Sequence[HostArray]]
    ) -> Callable[[Sequence[HostArray], Sequence[float]], None]:
        loop = self._loop(program, dtype)
        sizes = [buffers[0].size for buffers in leaves]
        # `gather` writes addresses by the eight: there is room for what is too much.
        rows = -(-len(leaves) // compiler.GATHERED) * compiler.GATHERED
        addresses = np.zeros((rows, program.buffers), np.intp)
        for place, buffers in enumerate(leaves):
            for number, buffer in enumerate(buffers):
                addresses[place, number] = buffer.ctypes.data
        gather = compiler.load(compiler.gather_source(dtype), self._cache).gather
        missing = [np.zeros(0, dtype)] * (rows - len(leaves))
        # What the addresses point to must stay: the loop holds on to nothing else.
        held = [*leaves]
        groups, segments = _pieces(sizes, self._threads.count)
        count = len(groups) - 1
        moved = sum(sizes) * program.buffers * np.dtype(dtype).itemsize
        threads = min(self._threads.count, count) if moved >= _LEAST else 1

        def run(gradients: Sequence[HostArray], scalars: Sequence[float]) -> None:
            if gradients:
                given = [*gradients, *missing]
                for first in range(0, len(held), compiler.GATHERED):
                    gather(addresses, first, *given[first : first + compiler.GATHERED])
            counters = np.zeros(compiler.COUNTERS * compiler.LINE, np.intp)
            work = (counters, groups, segments, addresses, *scalars)
            # Without helpers, as while Python shuts down, the caller does everything. One
            # that comes late finds nothing left, and touches only the counters.
            try:
                if threads > 1:
                    self._threads.start([(loop, (0, *work))] * (threads - 1))
            finally:
                # Also when interrupted: helpers may be at it, and know arrays by address.
                loop(count, *work)

        return run

    def _loop(self, program: Program, dtype: str) -> Any:
        return compiler.load(compiler.loop_source(program, dtype), self._cache).loop


def _pieces(
    sizes: Sequence[int], threads: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cut work into pieces: where each begins, and segments of leaf, start and stop."""
    groups, segments = [0], []
    leaf = start = 0
    for piece in _cut(sum(sizes), threads):
        room = piece
        while room:
            stop = min(start + room, sizes[leaf])
            if stop > start:
                segments.append((leaf, start, stop))
            room -= stop - start
            start = stop
            if start == sizes[leaf]:
                leaf, start = leaf + 1, 0
        groups.append(len(segments))
    return (
        np.array(groups, np.intp),
        np.array(segments, np.intp).reshape(len(segments), 3),
    )


def _cut(total: int, threads: int) -> list[int]:
    """Cut a number into pieces, for one thread from the front, the others from the back."""
    front = total // threads
    back = _shrinking(total - front, threads - 1)
    return [*_shrinking(front, 1), *reversed(back)]


def _shrinking(total: int, threads: int) -> list[int]:
    pieces = []
    while total:
        piece = min(max(total // (3 * threads), _PIECE), _LARGEST, total)
        pieces.append(piece)
        total -= piece
    return pieces
