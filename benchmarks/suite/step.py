"""Time of a step, and what Lookahead adds to it."""

import statistics
import time

from .cases import BACKENDS, OPTIMIZERS, PARAMETERS, stepper, traffic


class Step:
    """One step of an optimizer, alone or inside Lookahead: the mean over a cycle."""

    params = (list(OPTIMIZERS), [None, 5], BACKENDS, PARAMETERS)
    param_names = ("optimizer", "k", "backend", "parameters")

    def setup(self, optimizer, k, backend, parameters):
        self.stepper, self.grads = stepper(optimizer, k, backend, parameters)

    def time_step(self, optimizer, k, backend, parameters):
        self.stepper.step(self.grads)


class Overhead:
    """A whole cycle of Lookahead, divided by k steps of its inner optimizer.

    Counted in steps it is (k + 1) / k: an outer update is taken for as dear as a step.
    Counted in bytes it is less, where the last inner step and the interpolation are fused:
    8 bytes more are read and written for a parameter of 4 bytes, once in k steps.
    """

    params = (list(OPTIMIZERS), BACKENDS, [1, 2, 5, 10])
    param_names = ("optimizer", "backend", "k")
    repetitions = 15
    parameters = "1e6"

    def setup(self, optimizer, backend, k):
        self.inner, self.grads = stepper(optimizer, None, backend, self.parameters)
        self.lookahead, _ = stepper(optimizer, k, backend, self.parameters)

    def _seconds(self, stepper, steps):
        start = time.perf_counter()
        for _ in range(steps):
            stepper.step(self.grads)
        return time.perf_counter() - start

    def _ratio(self, k):
        # They take turns: what slows the machine down for a while slows both.
        ratios = [
            self._seconds(self.lookahead, k) / self._seconds(self.inner, k)
            for _ in range(self.repetitions)
        ]
        return statistics.median(ratios)

    def track_of_the_inner_step(self, optimizer, backend, k):
        return self._ratio(k)

    track_of_the_inner_step.unit = "inner steps a step"

    def track_of_the_steps_counted(self, optimizer, backend, k):
        return self._ratio(k) / ((k + 1) / k)

    track_of_the_steps_counted.unit = "of (k + 1) / k"

    def track_of_the_bytes_counted(self, optimizer, backend, k):
        return self._ratio(k) / (traffic(optimizer, k) / traffic(optimizer))

    track_of_the_bytes_counted.unit = "of the traffic model"
