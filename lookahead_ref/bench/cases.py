"""What is measured: optimizers, parameters, and how many bytes an update must move."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lookahead_ref as la

Arrays = dict[str, NDArray[np.float32]]

OPTIMIZERS: Mapping[str, Any] = {
    "sgd": la.SGD(1e-3),
    "heavy-ball": la.HeavyBall(1e-3, momentum=0.9),
    "nesterov": la.Nesterov(1e-3, momentum=0.9),
    "adagrad": la.AdaGrad(1e-3),
    "adam": la.Adam(1e-3),
}
"""Name to inner optimizer."""

SLOTS = {name: len(optimizer.slots) for name, optimizer in OPTIMIZERS.items()}
"""Name to the number of arrays that the optimizer keeps for each parameter."""


def traffic(optimizer: str, k: int | None = None, *, interpolated: bool = False) -> float:
    """Count the bytes that a step reads and writes for each float32 parameter.

    Parameters
    ----------
    optimizer : str
        The inner optimizer: it reads the gradient, and reads and writes the parameter and
        each slot.
    k : int, optional
        The period of a Lookahead around it, which reads and writes the slow weights once
        in k steps.
    interpolated : bool, default: False
        Whether it interpolates the slots, and so reads and writes those of the last
        synchronization.

    Returns
    -------
    float
        Bytes, the mean over a cycle.

    Examples
    --------
    >>> [traffic(name) for name in ("sgd", "heavy-ball", "adam")]
    [12.0, 20.0, 28.0]
    >>> traffic("sgd", 4)
    14.0
    """
    step = 4.0 + 8.0 * (1 + SLOTS[optimizer])
    if k is None:
        return step
    return step + 8.0 * (1 + interpolated * SLOTS[optimizer]) / k


def _resnet50() -> Iterator[tuple[int, ...]]:
    """Yield the shapes of a ResNet-50's parameters, as torchvision's has them."""
    yield from ((64, 3, 7, 7), (64,), (64,))
    inputs = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            for out, into, size in (
                (width, inputs, 1),
                (width, width, 3),
                (4 * width, width, 1),
            ):
                yield from ((out, into, size, size), (out,), (out,))
            if block == 0:
                yield from ((4 * width, inputs, 1, 1), (4 * width,), (4 * width,))
            inputs = 4 * width
    yield from ((1000, 2048), (1000,))


SHAPES: dict[str, list[tuple[int, ...]]] = {
    "tiny": [(10,)] * 6,
    "mlp": [(64, 64), (64,), (64, 64), (64,), (64, 24), (24,)],
    "resnet-50": list(_resnet50()),
}
"""Name to the shapes of the parameters; a number is one array of so many elements."""


def shapes(parameters: str) -> list[tuple[int, ...]]:
    """Return the shapes of a set of parameters.

    Parameters
    ----------
    parameters : str
        A name in `SHAPES`, or a number of elements.

    Returns
    -------
    list of tuple of int
        The shapes.

    Examples
    --------
    >>> import math
    >>> shapes("1e6")
    [(1000000,)]
    >>> len(shapes("resnet-50")), sum(math.prod(shape) for shape in shapes("resnet-50"))
    (161, 25557032)
    """
    return SHAPES[parameters] if parameters in SHAPES else [(int(float(parameters)),)]


def arrays(parameters: str, seed: int) -> Arrays:
    """Draw float32 arrays.

    Parameters
    ----------
    parameters : str
        As for `shapes`.
    seed : int
        The seed.

    Returns
    -------
    dict
        Name to array.
    """
    generator = np.random.default_rng(seed)
    return {
        f"p{place}": generator.standard_normal(shape, dtype=np.float32)
        for place, shape in enumerate(shapes(parameters))
    }
