"""The executors of this library, the plain functional form, and what memory allows."""

from typing import Any

import numpy as np

import lookahead_ref as la
from lookahead_ref import backend
from lookahead_ref.bench.cases import OPTIMIZERS, SLOTS, Arrays, arrays, traffic
from lookahead_ref.bench.turns import Contestant
from lookahead_ref.program import Instruction, Program


def elements(parameters: Arrays) -> int:
    """Return the number of elements of all arrays.

    Parameters
    ----------
    parameters : dict
        The arrays.

    Returns
    -------
    int
        The number.
    """
    return sum(array.size for array in parameters.values())


def ours(
    optimizer: str,
    parameters: str,
    grads: Arrays,
    *,
    executor: str = "numba",
    k: int | None = None,
    inner_state: Any = "maintain",
) -> Contestant:
    """Make a stepper, alone or inside Lookahead.

    Parameters
    ----------
    optimizer : str
        The inner optimizer.
    parameters : str
        What is optimized.
    grads : dict
        The gradients.
    executor : str, default: "numba"
        The backend.
    k : int, optional
        The period of a Lookahead around it.
    inner_state : str, default: "maintain"
        What that does to the slots.

    Returns
    -------
    Contestant
        The stepper.
    """
    made: Any = OPTIMIZERS[optimizer]
    if k is not None:
        made = la.Lookahead(made, k=k, inner_state=inner_state)
    stepper = la.Stepper(made, arrays(parameters, 0), backend=executor)
    moved = traffic(optimizer, k, interpolated=inner_state == "interpolate")
    return Contestant(
        f"Stepper, {executor}",
        lambda: stepper.step(grads),
        "plain" if k is None else "lookahead",
        moved * elements(grads),
        k or 1,
    )


def functional(optimizer: str, parameters: str, grads: Arrays) -> Contestant:
    """Make the plain functional form: an array for each result, as one would write it.

    Parameters
    ----------
    optimizer : str
        The optimizer.
    parameters : str
        What is optimized.
    grads : dict
        The gradients.

    Returns
    -------
    Contestant
        The pure interface on NumPy arrays.
    """
    made = OPTIMIZERS[optimizer]
    params: Any = arrays(parameters, 0)
    held = [params, made.init(params)]

    def step() -> None:
        held[:] = made.step(held[0], grads, held[1])

    return Contestant(
        "plain functional NumPy", step, "plain", traffic(optimizer) * elements(grads)
    )


def limit(optimizer: str, grads: Arrays, *, synchronized: bool = False) -> Contestant:
    """Make a loop with an update's reads and writes, and none of its arithmetic.

    Each array that the update writes takes what another one holds. One addition brings in
    the gradient, which would not be read otherwise.

    Parameters
    ----------
    optimizer : str
        The optimizer.
    grads : dict
        The gradients, which are read.
    synchronized : bool, default: False
        Whether slow weights are read and written, too.

    Returns
    -------
    Contestant
        The loop, run as an update is.
    """
    written = 1 + SLOTS[optimizer] + synchronized
    program = Program(
        written + 1,
        0,
        (Instruction("add", (0, written)),),
        (
            *[(number, number + 1) for number in range(written - 1)],
            (written - 1, written + 1),
        ),
    )
    moved = traffic(optimizer, 1 if synchronized else None)
    return _bound("the same reads and writes", program, grads, moved, "limit")


def copy(grads: Arrays) -> Contestant:
    """Make a copy from array to array.

    Parameters
    ----------
    grads : dict
        What is copied.

    Returns
    -------
    Contestant
        The copy.
    """
    return _bound("copy", Program(2, 0, (), ((0, 1),)), grads, 8.0, "copy")


def _bound(
    method: str, program: Program, source: Arrays, moved: float, kind: str
) -> Contestant:
    numba: Any = backend.load("numba")
    leaves = [
        [np.zeros(array.size, np.float32) for _ in range(program.buffers - 1)]
        for array in source.values()
    ]
    run = numba.bind(program, "float32", leaves)
    grads = [array.reshape(-1) for array in source.values()]
    return Contestant(method, lambda: run(grads, ()), kind, moved * elements(source))
