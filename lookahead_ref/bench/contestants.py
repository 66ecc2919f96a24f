"""The executors of this library, the plain functional form, and what memory allows."""

from typing import Any

import numpy as np

import lookahead_ref as la
from lookahead_ref.bench.cases import OPTIMIZERS, SLOTS, Arrays, arrays, traffic
from lookahead_ref.bench.turns import Contestant
from lookahead_ref.kernels import namespace
from lookahead_ref.stepping.backend import Instruction, Program


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
    executor: Any,
    optimizer: str,
    parameters: str,
    grads: Arrays,
    *,
    k: int | None = None,
    inner_state: Any = "maintain",
) -> Contestant:
    """Make a stepper, alone or inside Lookahead.

    Parameters
    ----------
    executor : Backend
        What makes the updates.
    optimizer : str
        The inner optimizer.
    parameters : str
        What is optimized.
    grads : dict
        The gradients, as arrays of the backend's.
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
    drawn = arrays(parameters, 0)
    params = {name: executor.from_host(array) for name, array in drawn.items()}
    stepper = la.Stepper(made, params, backend=executor)
    moved = traffic(optimizer, k, interpolated=inner_state == "interpolate")
    return Contestant(
        f"Stepper, {executor.name}",
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


def limit(
    executor: Any, optimizer: str, grads: Arrays, *, synchronized: bool = False
) -> Contestant:
    """Make a loop with an update's reads and writes, and none of its arithmetic.

    Each array that the update writes takes what another one holds. One addition brings in
    the gradient, which would not be read otherwise.

    Parameters
    ----------
    executor : BindingBackend
        What runs the loop.
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
    return _bound(executor, "the same reads and writes", program, grads, moved, "limit")


def copy(executor: Any, grads: Arrays) -> Contestant:
    """Make a copy from array to array.

    Parameters
    ----------
    executor : BindingBackend
        What runs the loop.
    grads : dict
        What is copied.

    Returns
    -------
    Contestant
        The copy.
    """
    return _bound(executor, "copy", Program(2, 0, (), ((0, 1),)), grads, 8.0, "copy")


def library_copy(executor: Any, grads: Arrays) -> Contestant:
    """Make a copy from array to array by the library of the arrays: CUDA's, for CuPy's.

    Parameters
    ----------
    executor : Backend
        What makes the arrays.
    grads : dict
        What is copied.

    Returns
    -------
    Contestant
        The copy.
    """
    xp = namespace(next(iter(grads.values())))
    pairs = [
        (executor.from_host(np.zeros(array.shape, np.float32)), array)
        for array in grads.values()
    ]

    def step() -> None:
        for target, source in pairs:
            xp.copyto(target, source)

    return Contestant("the library's copy", step, "copy", 8.0 * elements(grads))


def _bound(
    executor: Any,
    method: str,
    program: Program,
    source: Arrays,
    moved: float,
    kind: str,
) -> Contestant:
    leaves = [
        [
            executor.from_host(np.zeros(array.size, np.float32))
            for _ in range(program.buffers - 1)
        ]
        for array in source.values()
    ]
    run = executor.bind(program, "float32", leaves)
    grads = [array.reshape(-1) for array in source.values()]
    return Contestant(method, lambda: run(grads, ()), kind, moved * elements(source))
