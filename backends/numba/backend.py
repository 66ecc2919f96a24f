"""Programs compiled by Numba: one pass over memory, for all arrays at once.

A program becomes a loop that is kept on disk (`compiler`). Bound to arrays, it knows their
addresses and a list of pieces of work, which become smaller towards the end: several small
arrays make one piece, a large one is cut. Threads take pieces until none is left, so that a
delayed thread delays no other.

Loops release Python's lock, and do not start Numba's threading layer, so that a forked
child can continue.
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

# The least and the most elements in a piece of work, except for the last. Threads begin at
# both ends with large pieces, as each change of piece costs a little, and meet among small
# ones, so that the first to finish waits for only a small piece.
_PIECE = 65536
_LARGEST = 1 << 20

# Below this many bytes in all arrays, waking a thread takes longer than its share.
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
        self._loop(program, dtype)  # compiles now

        def kernel(buffers: Sequence[HostArray], scalars: Sequence[float]) -> None:
            self.bind(program, dtype, [buffers])([], scalars)

        return kernel

    @cached_property
    def layers(self) -> LayerKernels:
        """Kernels for the layers of models."""
        # Imported here, as most runs do not need them.
        from .kernels import NumbaLayers

        return NumbaLayers(self._threads.share)

    def bind(
        self, program: Program, dtype: str, leaves: Sequence[Sequence[HostArray]]
    ) -> Callable[[Sequence[HostArray], Sequence[float]], None]:
        loop = self._loop(program, dtype)
        sizes = [buffers[0].size for buffers in leaves]
        # `gather` writes addresses in eights, so there is room for extra ones.
        rows = -(-len(leaves) // compiler.GATHERED) * compiler.GATHERED
        addresses = np.zeros((rows, program.buffers), np.intp)
        for place, buffers in enumerate(leaves):
            for number, buffer in enumerate(buffers):
                addresses[place, number] = buffer.ctypes.data
        gather = compiler.load(compiler.gather_source(dtype), self._cache).gather
        missing = [np.zeros(0, dtype)] * (rows - len(leaves))
        # Keep the arrays alive, as the loop has only their addresses.
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
            # Without helpers, as during shutdown, the caller does everything. A late helper
            # finds nothing left, and touches only the counters.
            try:
                if threads > 1:
                    self._threads.start([(loop, (0, *work))] * (threads - 1))
            finally:
                # Even if interrupted, as helpers may still use the addresses.
                loop(count, *work)

        return run

    def _loop(self, program: Program, dtype: str) -> Any:
        return compiler.load(compiler.loop_source(program, dtype), self._cache).loop


def _pieces(
    sizes: Sequence[int], threads: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cut work into pieces; return their starts, and segments of leaf, start and stop."""
    groups, segments = [0], []
    leaf = start = 0
    # One thread begins at the front, the others at the back.
    front = sum(sizes) // threads
    back = _shrinking(sum(sizes) - front, threads - 1)
    for piece in [*_shrinking(front, 1), *reversed(back)]:
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


def _shrinking(total: int, threads: int) -> list[int]:
    pieces = []
    while total:
        piece = min(max(total // (3 * threads), _PIECE), _LARGEST, total)
        pieces.append(piece)
        total -= piece
    return pieces
