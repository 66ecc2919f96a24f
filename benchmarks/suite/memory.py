"""Memory that a run holds at most, NumPy's arrays included."""

import tracemalloc

import lookahead_ref as la

from .cases import BACKENDS, OPTIMIZERS, arrays


class Peak:
    """Bytes for each parameter of 4 bytes, the gradients not counted."""

    params = (list(OPTIMIZERS), ["plain", "maintain", "interpolate"], BACKENDS)
    param_names = ("optimizer", "inner_state", "backend")
    parameters = "1e6"

    def track_bytes_a_parameter(self, optimizer, inner_state, backend):
        inner = OPTIMIZERS[optimizer]
        made = inner
        if inner_state != "plain":
            made = la.Lookahead(inner, k=2, inner_state=inner_state)
        grads = arrays(self.parameters, 1)
        # Compile first: what a compiler holds is no part of a run.
        self._run(made, grads, backend)
        tracemalloc.start()
        self._run(made, grads, backend)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak / sum(array.size for array in grads.values())

    track_bytes_a_parameter.unit = "bytes"

    def _run(self, optimizer, grads, backend):
        # The Stepper copies the parameters that it is given.
        stepper = la.Stepper(optimizer, grads, backend=backend)
        for _ in range(4):
            stepper.step(grads)
