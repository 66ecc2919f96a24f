"""The measurements: what takes turns with what, and which bar it must reach."""

import math
import statistics
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import lookahead_ref as la
from lookahead_ref.bench import contestants
from lookahead_ref.bench.cases import OPTIMIZERS, SLOTS, arrays
from lookahead_ref.bench.peers import peers
from lookahead_ref.bench.start import first_steps
from lookahead_ref.bench.turns import Contestant, ratio, take_turns

__all__ = ["SECTIONS", "Bar", "Plan", "Results", "Timing", "run"]

PAPER = ("sgd", "heavy-ball", "nesterov", "adam")


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Parameters
    ----------
    large, largest : str
        Numbers of parameters in one tensor.
    trees : tuple of str
        Sets of parameters in many tensors.
    sizes : tuple of float
        For the growth; the exponent is fitted to those of at least a tenth of the last.
    repeats : int
        Turns of each contestant.
    turn : float
        How long one lasts at least, in seconds.
    """

    large: str = "1e7"
    largest: str = "1e8"
    trees: tuple[str, ...] = ("resnet-50", "mlp")
    sizes: tuple[float, ...] = (1e4, 1e5, 1e6, 1e7, 2e7, 5e7, 1e8)
    repeats: int = 11
    turn: float = 0.03


QUICK = Plan("2e6", "4e6", ("mlp",), (1e4, 1e5, 1e6, 4e6), 3, 0.01)
"""Seconds instead of minutes; the figures mean little."""


@dataclass(frozen=True)
class Timing:
    """What a contestant took.

    Parameters
    ----------
    section, parameters, optimizer, method, kind : str
        What was measured.
    seconds : float
        Median of a step.
    low, high : float
        Its quartiles.
    bytes_moved : float
        What a step must move.
    """

    section: str
    parameters: str
    optimizer: str
    method: str
    kind: str
    seconds: float
    low: float
    high: float
    bytes_moved: float


@dataclass(frozen=True)
class Bar:
    """A measure, and what it must reach.

    Parameters
    ----------
    section, parameters, optimizer, measure : str
        What it is.
    value : float
        The median, of ratios taken turn by turn where it is a ratio.
    low, high : float
        The quartiles.
    bar : float
        What it must reach.
    least : bool, default: False
        Whether the bar is the least that it may be, and not the most.
    """

    section: str
    parameters: str
    optimizer: str
    measure: str
    value: float
    low: float
    high: float
    bar: float
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.value >= self.bar if self.least else self.value <= self.bar


@dataclass
class Results:
    """What was measured so far."""

    timings: list[Timing] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)


class _Turns:
    """Contestants of one comparison, timed; ratios of them become bars."""

    def __init__(
        self, results: Results, section: str, parameters: str, optimizer: str
    ) -> None:
        self._results = results
        self._where = (section, parameters, optimizer)
        self._times: dict[str, list[float]] = {}

    def run(self, contestants: dict[str, Contestant], repeats: int, seconds: float) -> None:
        self._times = take_turns(contestants, repeats=repeats, seconds=seconds)
        for name, each in contestants.items():
            low, middle, high = _quartiles(self._times[name])
            self._results.timings.append(
                Timing(*self._where, name, each.kind, middle, low, high, each.bytes_moved)
            )

    def fastest(self, names: list[str]) -> str:
        return min(names, key=lambda name: statistics.median(self._times[name]))

    def bar(
        self,
        measure: str,
        of: str,
        to: str,
        bar: float,
        *,
        scale: float = 1.0,
        least: bool = False,
    ) -> None:
        value, low, high = ratio(self._times[of], self._times[to])
        self._results.bars.append(
            Bar(*self._where, measure, value * scale, low * scale, high * scale, bar, least)
        )


def _quartiles(times: list[float]) -> tuple[float, float, float]:
    if len(times) < 3:
        return min(times), statistics.median(times), max(times)
    low, middle, high = statistics.quantiles(times, n=4)
    return low, middle, high


def _step(plan: Plan, results: Results) -> Iterator[str]:
    """Time steps of one large tensor and of many, beside those of the peers."""
    for parameters in (plan.large, *plan.trees):
        grads = arrays(parameters, 1)
        for optimizer in OPTIMIZERS:
            yield f"{optimizer}, {parameters}"
            bars = optimizer in PAPER
            turns = _Turns(results, "step", parameters, optimizer)
            others = {each.method: each for each in peers(optimizer, parameters, grads)}
            mine = contestants.ours(optimizer, parameters, grads)
            turns.run({mine.method: mine, **others}, plan.repeats, plan.turn)
            if bars and others:
                peer = turns.fastest(list(others))
                turns.bar(f"plain / {peer}, the fastest", mine.method, peer, 1.0)
            yield f"Lookahead of {optimizer}, {parameters}"
            others = {
                each.method: each for each in peers(optimizer, parameters, grads, k=5)
            }
            mine = contestants.ours(optimizer, parameters, grads, k=5)
            turns.run({mine.method: mine, **others}, plan.repeats, plan.turn)
            for peer in others if bars else ():
                bar = 0.8 if parameters == plan.large else 1.0
                turns.bar(f"Lookahead, k = 5 / {peer}", mine.method, peer, bar)


def _cost(plan: Plan, results: Results) -> Iterator[str]:
    """Compare cycles of Lookahead with as many steps of the inner optimizer."""
    grads = arrays(plan.large, 1)
    for optimizer in OPTIMIZERS:
        yield optimizer
        turns = _Turns(results, "cost", plan.large, optimizer)
        entries = {"inner step": contestants.ours(optimizer, plan.large, grads)}
        for k in (1, 2, 5, 10):
            entries[f"k = {k}"] = contestants.ours(optimizer, plan.large, grads, k=k)
        if SLOTS[optimizer]:
            entries["k = 5, interpolate"] = contestants.ours(
                optimizer, plan.large, grads, k=5, inner_state="interpolate"
            )
        turns.run(entries, plan.repeats, plan.turn)
        for name, each in entries.items():
            if name == "inner step":
                continue
            counted = (each.steps + 1) / each.steps
            model = each.bytes_moved / entries["inner step"].bytes_moved
            turns.bar(
                f"cost, {name} / steps counted", name, "inner step", 1.0, scale=1 / counted
            )
            turns.bar(
                f"cost, {name} / bytes counted", name, "inner step", 1.05, scale=1 / model
            )


def _bandwidth(plan: Plan, results: Results) -> Iterator[str]:
    """Compare steps with loops that move the same bytes and compute nothing."""
    for parameters in (plan.large, plan.largest):
        grads = arrays(parameters, 1)
        for optimizer in OPTIMIZERS:
            for k in (None, 1):
                name = optimizer if k is None else f"Lookahead of {optimizer}, k = 1"
                yield f"{name}, {parameters}"
                turns = _Turns(results, "bandwidth", parameters, name)
                mine = contestants.ours(optimizer, parameters, grads, k=k)
                bound = contestants.limit(optimizer, grads, synchronized=k == 1)
                copied = contestants.copy(grads)
                entries = {each.method: each for each in (mine, bound, copied)}
                turns.run(entries, plan.repeats, plan.turn)
                turns.bar(
                    "bandwidth / that of the same reads and writes",
                    bound.method,
                    mine.method,
                    0.9,
                    least=True,
                )


def _numpy(plan: Plan, results: Results) -> Iterator[str]:
    """Compare NumPy in blocks with the plain functional form."""
    grads = arrays(plan.large, 1)
    for optimizer in OPTIMIZERS:
        yield optimizer
        turns = _Turns(results, "numpy", plan.large, optimizer)
        mine = contestants.ours(optimizer, plan.large, grads, executor="numpy")
        plain = contestants.functional(optimizer, plan.large, grads)
        turns.run({mine.method: mine, plain.method: plain}, plan.repeats, plan.turn)
        turns.bar(
            "times faster than the plain functional form",
            plain.method,
            mine.method,
            2.5,
            least=True,
        )


def _overhead(plan: Plan, results: Results) -> Iterator[str]:
    """Time steps of parameters so small that only calls cost something."""
    grads = arrays("tiny", 1)
    for optimizer in OPTIMIZERS:
        for k in (None, 5):
            name = optimizer if k is None else f"Lookahead of {optimizer}"
            yield name
            turns = _Turns(results, "overhead", "tiny", name)
            others = {each.method: each for each in peers(optimizer, "tiny", grads, k=k)}
            mine = contestants.ours(optimizer, "tiny", grads, k=k)
            turns.run({mine.method: mine, **others}, max(plan.repeats, 7), plan.turn)
            for peer in others:
                if peer.startswith("optax"):
                    turns.bar(f"step / {peer}", mine.method, peer, 1.0)


def _memory(plan: Plan, results: Results) -> Iterator[str]:
    """Measure the most that a run holds, beside parameters, slow weights and slots."""
    grads = arrays(plan.large, 1)
    size = contestants.elements(grads)
    for optimizer in OPTIMIZERS:
        kinds: tuple[Any, ...] = ("plain", "maintain", "reset", "interpolate")
        for kind in kinds:
            yield f"{optimizer}, {kind}"
            made: Any = OPTIMIZERS[optimizer]
            copies = 1 + SLOTS[optimizer]
            if kind != "plain":
                copies += 1 + SLOTS[optimizer] * (kind == "interpolate")
                made = la.Lookahead(made, k=2, inner_state=kind)

            def steps(made: Any = made) -> None:
                stepper = la.Stepper(made, grads, backend="numba")
                for _ in range(4):
                    stepper.step(grads)

            steps()  # what a compiler holds is no part of a run
            tracemalloc.start()
            steps()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            extra = (peak - copies * 4 * size) / 1e6
            results.bars.append(
                Bar(
                    "memory",
                    plan.large,
                    optimizer,
                    f"{kind}: MB besides {copies} arrays",
                    extra,
                    extra,
                    extra,
                    1.0,
                )
            )


def _growth(plan: Plan, results: Results) -> Iterator[str]:
    """Fit the exponent with which the time of a step grows."""
    for optimizer in ("sgd", "adam"):
        yield optimizer
        entries = {}
        for size in plan.sizes:
            grads = arrays(str(size), 1)
            entries[f"{size:.0e}"] = contestants.ours(optimizer, str(size), grads)
        times = take_turns(entries, repeats=plan.repeats, seconds=plan.turn)
        points = []
        for size, (name, each) in zip(plan.sizes, entries.items(), strict=True):
            low, middle, high = _quartiles(times[name])
            results.timings.append(
                Timing(
                    "growth",
                    name,
                    optimizer,
                    each.method,
                    each.kind,
                    middle,
                    low,
                    high,
                    each.bytes_moved,
                )
            )
            if size >= plan.sizes[-1] / 10:
                points.append((math.log(size), math.log(middle)))
        exponent = statistics.linear_regression(*zip(*points, strict=True)).slope
        away = abs(exponent - 1)
        measure = f"exponent's distance from 1, above {plan.sizes[-1] / 10:.0e}"
        results.bars.append(Bar("growth", "", optimizer, measure, away, away, away, 0.05))


def _first(_: Plan, results: Results) -> Iterator[str]:
    """Time the first steps of a process, which compile what the disk does not hold."""
    yield "two processes"
    for method, seconds in first_steps().items():
        results.timings.append(
            Timing("first", "tiny", "adam", method, "start", seconds, seconds, seconds, 0.0)
        )


SECTIONS: dict[str, Callable[[Plan, Results], Iterator[str]]] = {
    "step": _step,
    "cost": _cost,
    "bandwidth": _bandwidth,
    "numpy": _numpy,
    "overhead": _overhead,
    "memory": _memory,
    "growth": _growth,
    "first": _first,
}
"""Name to measurement, which tells what it is at."""


def run(plan: Plan, sections: tuple[str, ...], told: Callable[[str], object]) -> Results:
    """Measure.

    Parameters
    ----------
    plan : Plan
        How much.
    sections : tuple of str
        What; names in `SECTIONS`.
    told : callable
        Called with what is measured next.

    Returns
    -------
    Results
        What came out.

    Raises
    ------
    ValueError
        If there is no such section.
    """
    for name in sections:
        if name not in SECTIONS:
            listed = ", ".join(SECTIONS)
            raise ValueError(f"only must be one of {listed}, got {name!r}")
    results = Results()
    for name in sections or tuple(SECTIONS):
        for what in SECTIONS[name](plan, results):
            told(f"{name}: {what}")
    return results
