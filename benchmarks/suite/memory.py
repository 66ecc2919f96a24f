"""Peak memory of a run."""

import lookahead_ref as la

from . import settings
from .cases import OPTIMIZERS, SLOTS, elements


class Peak:
    """Megabytes besides the parameters, the slow weights and the slots."""

    params = (settings.NAMES, ["plain", "maintain", "reset", "interpolate"])
    param_names = ("optimizer", "inner_state")
    parameters = settings.LARGE
    unit = "MB"
    timeout = 600

    def track_megabytes(self, optimizer, inner_state):
        made = OPTIMIZERS[optimizer]
        copies = 1 + SLOTS[optimizer]
        if inner_state != "plain":
            made = la.Lookahead(made, k=2, inner_state=inner_state)
            copies += 1 + SLOTS[optimizer] * (inner_state == "interpolate")
        grads = settings.arrays(self.parameters, 1)

        def run():
            # The Stepper copies the parameters that it is given.
            stepper = la.Stepper(made, grads, backend=settings.EXECUTOR)
            for _ in range(4):
                stepper.step(grads)

        run()  # first, as compiling needs memory too
        return (settings.PEAK(run) - copies * 4 * elements(self.parameters)) / 1e6
