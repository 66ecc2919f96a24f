"""A step compared with others', with its inner steps, and with the limit of memory."""

import math
import statistics

import lookahead_ref as la

from . import settings
from .cases import elements, traffic
from .contestants import (
    LOOKAHEAD,
    PLAIN,
    copy,
    functional,
    library_copy,
    limit,
    ours,
    peer,
    snoo,
)
from .settings import BEYOND, LARGE, LARGEST, NAMES, PAPER, SIZES, TREES
from .turns import fastest, ratios, samples, take_turns


def timed(*contestants, turns=None):
    """Let contestants take turns as the settings say."""
    return take_turns(
        contestants, turns or settings.TURNS, seconds=settings.SECONDS, clock=settings.CLOCK
    )


class Step:
    """The time of a step, the mean over a cycle."""

    params = ([LARGE, *TREES, "tiny"], NAMES, [None, 5])
    param_names = ("parameters", "optimizer", "k")
    unit = "seconds"
    timeout = 600

    def track_seconds(self, parameters, optimizer, k):
        grads = settings.arrays(parameters, 1)
        return samples(*timed(ours(optimizer, parameters, grads, k)))


def beside(name, optimizer, parameters):
    """Make our step, alone or with Lookahead and k = 5, and another implementation's."""
    grads = settings.arrays(parameters, 1)
    others = peer(name, optimizer, parameters, grads)
    return [ours(optimizer, parameters, grads, None if name in PLAIN else 5), *others]


def of_the_fastest(entries, turns):
    times, *others = timed(*entries, turns=turns)
    return ratios(times, fastest(others))


class Peers:
    """A step beside another implementation's."""

    params = ([LARGE, *TREES], PAPER, [*PLAIN, *LOOKAHEAD])
    param_names = ("parameters", "optimizer", "peer")
    unit = "of its time"
    timeout = 600

    def setup(self, parameters, optimizer, name):
        self.entries = beside(name, optimizer, parameters)

    def track_ratio(self, parameters, optimizer, name):
        # Plain steps take similar times, wrapped ones do not.
        turns = settings.TURNS_IF_CLOSE if name in PLAIN else settings.TURNS
        return of_the_fastest(self.entries, turns)


class Calls:
    """A step of tiny parameters, which measures calls."""

    params = (NAMES, [*PLAIN, "optax.lookahead, jit, donated"])
    param_names = ("optimizer", "peer")
    unit = "of its time"
    timeout = 600

    def setup(self, optimizer, name):
        self.entries = beside(name, optimizer, "tiny")

    def track_ratio(self, optimizer, name):
        return of_the_fastest(self.entries, settings.TURNS)


class Cost:
    """A cycle of Lookahead, divided by as many steps of its inner optimizer."""

    cycles = {
        "k = 1": (1, "maintain"),
        "k = 2": (2, "maintain"),
        "k = 5": (5, "maintain"),
        "k = 10": (10, "maintain"),
        "k = 5, interpolate": (5, "interpolate"),
    }
    params = (list(dict.fromkeys([LARGE, BEYOND])), NAMES, list(cycles))
    param_names = ("parameters", "optimizer", "Lookahead")
    unit = "inner steps a step"
    timeout = 600

    def setup(self, parameters, optimizer, cycle):
        if cycle == "k = 5, interpolate" and optimizer == "sgd":
            raise NotImplementedError("it has no slots")

    def track_ratio(self, parameters, optimizer, cycle):
        k, inner_state = self.cycles[cycle]
        grads = settings.arrays(parameters, 1)
        inner = ours(optimizer, parameters, grads)
        whole = ours(optimizer, parameters, grads, k, inner_state=inner_state)
        return ratios(*timed(whole, inner, turns=settings.TURNS_IF_CLOSE))


class Outer:
    """A cycle of Adam with an outer optimizer, k = 10, divided by as many of its steps."""

    params = ["sgd", "nesterov", "adam"]
    param_names = ("outer",)
    unit = "inner steps a step"
    timeout = 600

    def track_cost(self, outer):
        grads = settings.arrays(BEYOND, 1)
        inner = ours("adam", BEYOND, grads)
        whole = ours("adam", BEYOND, grads, 10, outer=outer)
        return ratios(*timed(whole, inner, turns=settings.TURNS_IF_CLOSE))


class Snoo:
    """The same with Nesterov's momentum, beside SNOO as published, over fused Adam."""

    unit = "of its time"
    timeout = 600

    def setup(self):
        self.grads = settings.arrays(LARGE, 1)
        try:
            self.theirs = snoo(LARGE, self.grads, 10)
        except ImportError as error:
            raise NotImplementedError("PyTorch is not installed") from error

    def track_ratio(self):
        mine = ours("adam", LARGE, self.grads, 10, outer="nesterov")
        return ratios(*timed(mine, self.theirs))


class Bandwidth:
    """A step's bandwidth, divided by that of loops that compute nothing."""

    loops = ["the same reads and writes"] + ["the library's copy"] * settings.ON_DEVICE
    params = (list(dict.fromkeys([LARGE, LARGEST])), NAMES, [None, 1], loops)
    param_names = ("parameters", "optimizer", "k", "loop")
    unit = "of its bandwidth"
    timeout = 600

    def track_ratio(self, parameters, optimizer, k, loop):
        grads = settings.arrays(parameters, 1)
        mine = ours(optimizer, parameters, grads, k)
        if loop == "the library's copy":
            other, scale = library_copy(grads), traffic(optimizer, k) / 8
        else:
            other, scale = limit(optimizer, grads, synchronized=k == 1), 1.0
        step, bound = timed(mine, other)
        return ratios(bound, step, scale)


class Loops:
    """The bandwidth of a loop without computation."""

    params = ["copy", *NAMES]
    param_names = ("reads and writes of",)
    unit = "GB/s"
    timeout = 600

    def track_rate(self, loop):
        grads = settings.arrays(LARGEST, 1)
        made = copy(grads) if loop == "copy" else limit(loop, grads)
        moved = (8 if loop == "copy" else traffic(loop)) * elements(LARGEST)
        (found,) = timed(made)
        return samples([moved / seconds / 1e9 for seconds in found])


class Growth:
    """The growth of a step's time beyond the caches."""

    params = ["sgd", "adam"]
    param_names = ("optimizer",)
    timeout = 600
    sizes = SIZES[-3:]

    def track_exponent(self, optimizer):
        made = [ours(optimizer, size, settings.arrays(size, 1)) for size in self.sizes]
        logs = [math.log(elements(size)) for size in self.sizes]
        slopes = [
            statistics.linear_regression(logs, [math.log(each) for each in turn]).slope
            for turn in zip(*timed(*made), strict=True)
        ]
        return samples(slopes)

    track_exponent.unit = "of the number of parameters"


class Sizes:
    """The time of a step, by the number of parameters."""

    params = (["sgd", "adam"], SIZES)
    param_names = ("optimizer", "parameters")
    unit = "seconds"
    timeout = 600

    def track_seconds(self, optimizer, parameters):
        grads = settings.arrays(parameters, 1)
        return samples(*timed(ours(optimizer, parameters, grads)))


class NumPy:
    """NumPy in blocks, and the plain functional form."""

    params = ([LARGE], NAMES)
    param_names = ("parameters", "optimizer")
    timeout = 600

    def setup(self, parameters, optimizer):
        self.grads = settings.arrays(parameters, 1)
        numpy = la.backend.load("numpy")
        self.blocks = ours(optimizer, parameters, self.grads, executor=numpy)

    def track_seconds(self, parameters, optimizer):
        return samples(*timed(self.blocks))

    def track_times_faster(self, parameters, optimizer):
        plain = functional(optimizer, parameters, self.grads)
        return ratios(*timed(plain, self.blocks))

    track_seconds.unit = "seconds"
    track_times_faster.unit = "times faster"
