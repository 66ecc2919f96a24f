"""The measured optimizers and parameters, and the bytes that an update must move."""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

import lookahead_ref as la

OPTIMIZERS: dict[str, Any] = {
    "sgd": la.SGD(1e-3),
    "heavy-ball": la.HeavyBall(1e-3, momentum=0.9),
    "nesterov": la.Nesterov(1e-3, momentum=0.9),
    "adagrad": la.AdaGrad(1e-3),
    "adam": la.Adam(1e-3),
}

SLOTS = {name: len(optimizer.slots) for name, optimizer in OPTIMIZERS.items()}


def traffic(
    optimizer: str,
    k: int | None = None,
    *,
    interpolated: bool = False,
    outer: str = "sgd",
) -> float:
    """Count the bytes that a step reads and writes for each float32 parameter.

    It reads the gradient, and reads and writes the parameter and each slot. A Lookahead
    reads and writes the slow weights and the outer slots once in k steps, and slots that it
    interpolates.
    """
    step = 4.0 + 8.0 * (1 + SLOTS[optimizer])
    if k is None:
        return step
    return step + 8.0 * (1 + SLOTS[outer] + interpolated * SLOTS[optimizer]) / k


def _resnet50() -> Iterator[tuple[int, ...]]:
    """Yield the shapes of the parameters of torchvision's ResNet-50."""
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


def shapes(parameters: str) -> list[tuple[int, ...]]:
    """Return the shapes of a set in `SHAPES`, or of one array of a size."""
    return SHAPES[parameters] if parameters in SHAPES else [(int(float(parameters)),)]


def elements(parameters: str) -> int:
    return sum(prod(shape) for shape in shapes(parameters))


def arrays(parameters: str, seed: int) -> dict[str, Any]:
    """Make float32 arrays of random numbers, which repeat in large ones."""
    drawn = np.random.default_rng(seed).standard_normal(1_000_003, dtype=np.float32)
    return {
        f"p{at}": np.resize(drawn, shape) for at, shape in enumerate(shapes(parameters))
    }
