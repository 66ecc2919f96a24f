"""Time of a step, and what Lookahead adds to it."""

import statistics
import time

import lookahead_ref as la

from .cases import BACKENDS, INNER, SHAPES, stepper


class Step:
    """One step of an inner optimizer."""

    params = (list(INNER), BACKENDS, list(SHAPES))
    param_names = ("optimizer", "backend", "parameters")

    def setup(self, optimizer, backend, parameters):
        self.stepper, self.grads = stepper(INNER[optimizer](), backend, parameters)

    def time_step(self, optimizer, backend, parameters):
        self.stepper.step(self.grads)


class Overhead:
    """A whole cycle of Lookahead, divided by k steps of its inner optimizer.

    Counted in steps it is (k + 1) / k: an outer update is taken for as dear as a step.
    Counted in bytes it is less, where the last inner step and the interpolation are fused:
    8 bytes more are read and written for a parameter of 4 bytes, once in k steps.
    """

    params = (list(INNER), BACKENDS, [1, 2, 5, 10])
    param_names = ("optimizer", "backend", "k")
    repetitions = 15
    parameters = "one million"
    bytes_moved = {"sgd": 12, "heavy-ball": 20, "nesterov": 20, "adam": 28}

    def setup(self, optimizer, backend, k):
        inner = INNER[optimizer]()
        self.inner, self.grads = stepper(inner, backend, self.parameters)
        self.lookahead, _ = stepper(la.Lookahead(inner, k=k), backend, self.parameters)

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
        moved = self.bytes_moved[optimizer]
        return self._ratio(k) / ((k * moved + 8) / (k * moved))

    track_of_the_bytes_counted.unit = "of the traffic model"
