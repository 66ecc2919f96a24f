"""What the benchmarks optimize, and with what."""

import numpy as np

import lookahead_ref as la

INNER = {
    "sgd": lambda: la.SGD(1e-3),
    "heavy-ball": lambda: la.HeavyBall(1e-3, momentum=0.9),
    "nesterov": lambda: la.Nesterov(1e-3, momentum=0.9),
    "adam": lambda: la.Adam(1e-3),
}
"""Name to a function that makes the optimizer."""

BACKENDS = ["numpy", "numba"]

SHAPES = {
    "tiny": [(10,)] * 6,
    "mlp": [(64, 64), (64,), (64, 64), (64,), (64, 10), (10,)],
    "one million": [(1_000_000,)],
    "ten million": [(10_000_000,)],
}
"""Name to the shapes of the parameters."""


def arrays(shapes, seed):
    """Make float32 arrays, by name."""
    generator = np.random.default_rng(seed)
    return {
        f"p{place}": generator.standard_normal(shape, dtype=np.float32)
        for place, shape in enumerate(shapes)
    }


def stepper(optimizer, backend, shapes):
    """Make a Stepper and gradients, compiled: every step of two cycles was done."""
    made = la.Stepper(optimizer, arrays(SHAPES[shapes], 0), backend=backend)
    grads = arrays(SHAPES[shapes], 1)
    for _ in range(2 * getattr(optimizer, "k", 1)):
        made.step(grads)
    return made, grads
