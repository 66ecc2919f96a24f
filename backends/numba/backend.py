"""Programs compiled by Numba: one pass over memory, for all arrays at once.

A program becomes a loop that is kept on disk (`compiler`). Bound to the arrays that it is
for, it knows their addresses and a list of pieces of work, the smaller the later they are
taken: several small arrays make one piece, a large one is cut. Threads take piece after
piece until there is none left, so a thread that was kept from running holds up nobody.

Loops release Python's lock, and no threading layer of Numba's is started, so a forked child
can go on.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np
import platformdirs
from numpy.typing import NDArray

from ...kernels import LayerKernels
from ...stepping.backend import Kernel, Program
from .. import host
from ..host import HostArray
from . import compiler
from .threads import Helpers

# The least and the most elements in a piece of work, but for what is left at last. Threads
# begin at both ends with large ones, as moving on in memory from piece to piece costs a
# little, and meet among small ones: who is done first waits for one of the other's.
_PIECE = 65536
_LARGEST = 1 << 20

# With fewer bytes than this, in all arrays, to wake a thread takes longer than its share.
_LEAST = 8 << 20

Work = Callable[[int, int], None]
"""Does a part of a range, from start to stop."""

Ended = SimpleQueue[BaseException | None]


class NumbaBackend:
    """Fused loops on the CPU.

    Parameters
    ----------
    threads : int, optional
        The number of threads for large arrays; by default, one for each core that this
        process may use. Small ones are always done by one thread, the caller's.
    cache : path, optional
        The folder for compiled loops; by default, one in the user's cache folder.

    Raises
    ------
    TypeError, ValueError
        If `threads` is not a positive integer.

    Examples
    --------
    >>> from lookahead_ref.stepping import backend
    >>> backend.load("numba", threads=2).name
    'numba'
    """

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
        self._threads = len(_cores()) if threads is None else _count(threads)
        self._cache = Path(
            platformdirs.user_cache_path("lookahead-ref") if cache is None else cache
        )
        self._started: tuple[int, Helpers | None] = os.getpid(), None

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
        self._loop(program, dtype)  # compiled now, not while it is run

        def kernel(buffers: Sequence[HostArray], scalars: Sequence[float]) -> None:
            self.bind(program, dtype, [buffers])([], scalars)

        return kernel

    @cached_property
    def layers(self) -> LayerKernels:
        """Kernels for the layers of models."""
        # Here, since most runs have no use for them.
        from .layers import NumbaLayers

        return NumbaLayers(self._share)

    def _share(self, work: Work, count: int, least: int = 1) -> None:
        """Call ``work(start, stop)`` for parts of a range, no smaller than `least`."""
        parts = max(1, min(self._threads, count // least))
        left = deque(pairwise(count * part // parts for part in range(parts + 1)))
        ended: Ended = SimpleQueue()
        calls = [(_take, (left.pop, work, ended))] * (parts - 1)
        # The caller waits only for parts that somebody has begun, so nothing stands still
        # where helpers are busy, or none can be had, or one calls this itself.
        if calls:
            with suppress(RuntimeError):
                self._helpers.start(calls)
        _take(left.popleft, work, ended)
        errors = [ended.get() for _ in range(parts)]
        for error in errors:
            if error is not None:
                raise error

    def bind(
        self, program: Program, dtype: str, leaves: Sequence[Sequence[HostArray]]
    ) -> Callable[[Sequence[HostArray], Sequence[float]], None]:
        """Compile a program and bind it to the arrays that it is for.

        Parameters
        ----------
        program : Program
            The program.
        dtype : str
            The dtype of the arrays.
        leaves : sequence of sequence of ndarray
            For each parameter its buffers: all, or all but the last, the gradient.

        Returns
        -------
        callable
            Called with the gradients, one for each parameter, and the scalars; runs the
            program on all parameters.
        """
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
        groups, segments = _pieces(sizes, self._threads)
        count = len(groups) - 1
        moved = sum(sizes) * program.buffers * np.dtype(dtype).itemsize
        threads = min(self._threads, count) if moved >= _LEAST else 1

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
                    with suppress(RuntimeError):
                        self._helpers.start([(loop, (0, *work))] * (threads - 1))
            finally:
                # Also when interrupted: helpers may be at it, and know arrays by address.
                loop(count, *work)

        return run

    def _loop(self, program: Program, dtype: str) -> Any:
        return compiler.load(compiler.loop_source(program, dtype), self._cache).loop

    @property
    def _helpers(self) -> Helpers:
        # Threads do not live on in a forked child: it makes its own. Both are set at once,
        # for several threads of a child may come first.
        process, helpers = self._started
        if helpers is None or process != os.getpid():
            cores = _cores()
            pinned = cores if len(cores) == self._threads else ()
            helpers = Helpers(self._threads - 1, pinned)
            self._started = os.getpid(), helpers
        return helpers


def _take(next_part: Callable[[], tuple[int, int]], work: Work, ended: Ended) -> None:
    with suppress(IndexError):
        while True:
            _told(work, *next_part(), ended)


def _told(work: Work, start: int, stop: int, ended: Ended) -> None:
    try:
        work(start, stop)
    except BaseException as error:
        ended.put(error)
    else:
        ended.put(None)


def _cores() -> Sequence[int]:
    # Which cores a process may use, only some systems tell.
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


def _count(threads: Any) -> int:
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"threads must be a positive integer, got {threads!r}")
    if threads < 1:
        raise ValueError(f"threads must be a positive integer, got {threads!r}")
    return threads


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
