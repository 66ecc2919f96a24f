"""What the benchmarks optimize, and with what: as `lookahead-ref bench` does."""

import lookahead_ref as la
from lookahead_ref.bench.cases import OPTIMIZERS, arrays, traffic

__all__ = ["BACKENDS", "OPTIMIZERS", "PARAMETERS", "arrays", "stepper", "traffic"]

BACKENDS = ["numpy", "numba"]

PARAMETERS = ["tiny", "mlp", "resnet-50", "1e6", "1e7"]
"""Sets of parameters: names of shapes, or the number of elements of one array."""


def stepper(optimizer, k, backend, parameters):
    """Make a Stepper and gradients, compiled: every step of two cycles was done."""
    inner = OPTIMIZERS[optimizer]
    made = inner if k is None else la.Lookahead(inner, k=k)
    stepper = la.Stepper(made, arrays(parameters, 0), backend=backend)
    grads = arrays(parameters, 1)
    for _ in range(2 * (k or 1)):
        stepper.step(grads)
    return stepper, grads
