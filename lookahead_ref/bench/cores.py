"""How far apart two cores are: how long a line of the cache takes between them.

Cores that share the last level of cache hand a line over in tens of nanoseconds, others in
hundreds. Those that do not share it have more of it together, and often each a way to
memory of its own, so that what waits for memory is nearly twice as fast. A hypervisor may
move a machine's cores from the one to the other at any moment, and does not tell.
"""

import os
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["latency"]

_TURNS = 2000

# How often to look before the other is given up, which takes about a second: it may have
# been interrupted, and nothing can interrupt who looks.
_PATIENCE = 1 << 32


def _load(typing: Any, address: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(address), generate


def _store(typing: Any, address: Any, value: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.store_atomic(args[1], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(address, value), generate


_value: Any = intrinsic(_load)
_write: Any = intrinsic(_store)


@njit(nogil=True)  # compiled at its first call: most sections have no use for it
def _volley(count: Any, first: int) -> bool:
    address = np.int64(count.ctypes.data)
    for turn in range(first, first + 2 * _TURNS, 2):
        for _ in range(_PATIENCE):
            if _value(address) == turn:
                break
        else:
            return False
        _write(address, turn + 1)
    return True


def latency() -> float | None:
    """Measure how long a line of the cache takes from one core to the other.

    The cores are the first two that this process may use.

    Returns
    -------
    float or None
        Seconds; None where there is one core, the system puts threads where it likes, or
        the other core did not answer.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        return None
    one, other = sorted(allowed)[:2]
    begun, timed = np.zeros((2, 1), np.int64)

    def answer() -> None:
        with suppress(OSError):  # the core was taken away from the process
            os.sched_setaffinity(0, {other})
            _volley(begun, 1)
            _volley(timed, 1)

    thread = threading.Thread(target=answer)
    try:
        os.sched_setaffinity(0, {one})
        thread.start()
        _volley(begun, 0)  # both are awake after it
        start = time.perf_counter()
        answered = _volley(timed, 0)
        seconds = time.perf_counter() - start
        thread.join()
    except OSError:
        return None
    finally:
        os.sched_setaffinity(0, allowed)
    return seconds / (2 * _TURNS) if answered else None
