"""The measurements: what takes turns with what, and which bar it must reach."""

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import lookahead_ref as la
from lookahead_ref import backend
from lookahead_ref.bench import contestants
from lookahead_ref.bench.cases import OPTIMIZERS, SLOTS
from lookahead_ref.bench.peers import peers
from lookahead_ref.bench.place import Place
from lookahead_ref.bench.results import Bar, Results, Timing, Turns, quartiles
from lookahead_ref.bench.start import first_steps
from lookahead_ref.bench.turns import take_turns

__all__ = [
    "DEVICE",
    "QUICK",
    "QUICK_DEVICE",
    "SECTIONS",
    "Plan",
    "check",
    "plan_for",
    "run",
    "sections",
]

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
    wrapped : float
        The bar for Lookahead on one large tensor beside a wrapper of a fused optimizer.
    copied : float, optional
        The least part of a copy's bandwidth that a step is to reach.
    """

    large: str = "1e7"
    largest: str = "1e8"
    trees: tuple[str, ...] = ("resnet-50", "mlp")
    sizes: tuple[float, ...] = (1e4, 1e5, 1e6, 1e7, 2e7, 5e7, 1e8)
    repeats: int = 11
    turn: float = 0.03
    wrapped: float = 0.8
    copied: float | None = None


QUICK = Plan("2e6", "4e6", ("mlp",), (1e4, 1e5, 1e6, 4e6), 3, 0.01)
"""Seconds instead of minutes; the figures mean little."""

DEVICE = Plan("1e8", "1e8", wrapped=1.0, copied=0.85)
"""What a device is to reach, it is to reach where its caches are of no use."""

QUICK_DEVICE = replace(QUICK, wrapped=DEVICE.wrapped, copied=DEVICE.copied)
"""The same in seconds."""


def _step(plan: Plan, results: Results, place: Place) -> Iterator[str]:
    """Time steps of one large tensor and of many, beside those of the peers."""
    for parameters in (plan.large, *plan.trees):
        grads = place.arrays(parameters, 1)
        for optimizer in OPTIMIZERS:
            yield f"{optimizer}, {parameters}"
            bars = optimizer in PAPER
            turns = Turns(results, "step", parameters, optimizer, place.clock)
            others = {each.method: each for each in peers(optimizer, parameters, grads)}
            mine = contestants.ours(place.backend, optimizer, parameters, grads)
            turns.run({mine.method: mine, **others}, plan.repeats, plan.turn)
            if bars and others:
                peer = turns.fastest(list(others))
                turns.bar(f"plain / {peer}, the fastest", mine.method, peer, 1.0)
            yield f"Lookahead of {optimizer}, {parameters}"
            others = {
                each.method: each for each in peers(optimizer, parameters, grads, k=5)
            }
            mine = contestants.ours(place.backend, optimizer, parameters, grads, k=5)
            turns.run({mine.method: mine, **others}, plan.repeats, plan.turn)
            for peer in others if bars else ():
                bar = plan.wrapped if parameters == plan.large else 1.0
                turns.bar(f"Lookahead, k = 5 / {peer}", mine.method, peer, bar)


def _cost(plan: Plan, results: Results, place: Place) -> Iterator[str]:
    """Compare cycles of Lookahead with as many steps of the inner optimizer."""
    grads = place.arrays(plan.large, 1)
    for optimizer in OPTIMIZERS:
        yield optimizer
        turns = Turns(results, "cost", plan.large, optimizer, place.clock)
        entries = {
            "inner step": contestants.ours(place.backend, optimizer, plan.large, grads)
        }
        for k in (1, 2, 5, 10):
            entries[f"k = {k}"] = contestants.ours(
                place.backend, optimizer, plan.large, grads, k=k
            )
        if SLOTS[optimizer]:
            entries["k = 5, interpolate"] = contestants.ours(
                place.backend, optimizer, plan.large, grads, k=5, inner_state="interpolate"
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


def _bandwidth(plan: Plan, results: Results, place: Place) -> Iterator[str]:
    """Compare steps with loops that move the same bytes and compute nothing."""
    for parameters in dict.fromkeys((plan.large, plan.largest)):
        grads = place.arrays(parameters, 1)
        for optimizer in OPTIMIZERS:
            for k in (None, 1):
                name = optimizer if k is None else f"Lookahead of {optimizer}, k = 1"
                yield f"{name}, {parameters}"
                turns = Turns(results, "bandwidth", parameters, name, place.clock)
                mine = contestants.ours(place.backend, optimizer, parameters, grads, k=k)
                bound = contestants.limit(
                    place.backend, optimizer, grads, synchronized=k == 1
                )
                entries = {each.method: each for each in (mine, bound)}
                if plan.copied is None:
                    copied = contestants.copy(place.backend, grads)
                else:
                    copied = contestants.library_copy(place.backend, grads)
                entries[copied.method] = copied
                turns.run(entries, plan.repeats, plan.turn)
                turns.bar(
                    "bandwidth / that of the same reads and writes",
                    bound.method,
                    mine.method,
                    0.9,
                    least=True,
                )
                if plan.copied is not None:
                    turns.bar(
                        f"bandwidth / that of {copied.method}",
                        copied.method,
                        mine.method,
                        plan.copied,
                        scale=mine.bytes_moved / copied.bytes_moved,
                        least=True,
                    )


def _numpy(plan: Plan, results: Results, place: Place) -> Iterator[str]:
    """Compare NumPy in blocks with the plain functional form."""
    grads = place.arrays(plan.large, 1)
    for optimizer in OPTIMIZERS:
        yield optimizer
        turns = Turns(results, "numpy", plan.large, optimizer, place.clock)
        mine = contestants.ours(backend.load("numpy"), optimizer, plan.large, grads)
        plain = contestants.functional(optimizer, plan.large, grads)
        turns.run({mine.method: mine, plain.method: plain}, plan.repeats, plan.turn)
        turns.bar(
            "times faster than the plain functional form",
            plain.method,
            mine.method,
            2.5,
            least=True,
        )


def _overhead(plan: Plan, results: Results, place: Place) -> Iterator[str]:
    """Time steps of parameters so small that only calls cost something."""
    grads = place.arrays("tiny", 1)
    for optimizer in OPTIMIZERS:
        for k in (None, 5):
            name = optimizer if k is None else f"Lookahead of {optimizer}"
            yield name
            turns = Turns(results, "overhead", "tiny", name, place.clock)
            others = {each.method: each for each in peers(optimizer, "tiny", grads, k=k)}
            mine = contestants.ours(place.backend, optimizer, "tiny", grads, k=k)
            turns.run({mine.method: mine, **others}, max(plan.repeats, 7), plan.turn)
            for peer in others:
                if peer.startswith("optax"):
                    turns.bar(f"step / {peer}", mine.method, peer, 1.0)


def _memory(plan: Plan, results: Results, place: Place) -> Iterator[str]:
    """Measure the most that a run holds, beside parameters, slow weights and slots."""
    grads = place.arrays(plan.large, 1)
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
                stepper = la.Stepper(made, grads, backend=place.backend)
                for _ in range(4):
                    stepper.step(grads)

            steps()  # what a compiler holds is no part of a run
            extra = (place.peak(steps) - copies * 4 * size) / 1e6
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


def _growth(plan: Plan, results: Results, place: Place) -> Iterator[str]:
    """Fit the exponent with which the time of a step grows."""
    for optimizer in ("sgd", "adam"):
        yield optimizer
        entries = {}
        for size in plan.sizes:
            grads = place.arrays(str(size), 1)
            entries[f"{size:.0e}"] = contestants.ours(
                place.backend, optimizer, str(size), grads
            )
        times = take_turns(
            entries, repeats=plan.repeats, seconds=plan.turn, clock=place.clock
        )
        points = []
        for size, (name, each) in zip(plan.sizes, entries.items(), strict=True):
            low, middle, high = quartiles(times[name])
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


def _first(_: Plan, results: Results, __: Place) -> Iterator[str]:
    """Time the first steps of a process, which compile what the disk does not hold."""
    yield "two processes"
    for method, seconds in first_steps().items():
        results.timings.append(
            Timing("first", "tiny", "adam", method, "start", seconds, seconds, seconds, 0.0)
        )


SECTIONS: dict[str, Callable[[Plan, Results, Place], Iterator[str]]] = {
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

_OF_THE_HOST = ("numpy", "first")


def sections(place: Place) -> tuple[str, ...]:
    """List what can be measured somewhere.

    Parameters
    ----------
    place : Place
        Where.

    Returns
    -------
    tuple of str
        Names in `SECTIONS`.
    """
    return tuple(
        name for name in SECTIONS if not (place.on_device and name in _OF_THE_HOST)
    )


def plan_for(place: Place, *, quick: bool = False) -> Plan:
    """Choose how much is measured somewhere.

    Parameters
    ----------
    place : Place
        Where.
    quick : bool, default: False
        Whether it is to take seconds instead of minutes.

    Returns
    -------
    Plan
        The plan.
    """
    if place.on_device:
        return QUICK_DEVICE if quick else DEVICE
    return QUICK if quick else Plan()


def check(place: Place, only: tuple[str, ...]) -> None:
    """Refuse what cannot be measured somewhere.

    Parameters
    ----------
    place : Place
        Where.
    only : tuple of str
        What.

    Raises
    ------
    ValueError
        If there is no such section.
    """
    known = sections(place)
    for name in only:
        if name not in known:
            raise ValueError(f"only must be one of {', '.join(known)}, got {name!r}")


def run(
    plan: Plan, only: tuple[str, ...], told: Callable[[str], object], place: Place
) -> Results:
    """Measure.

    Parameters
    ----------
    plan : Plan
        How much.
    only : tuple of str
        What; all that can be measured there, if empty.
    told : callable
        Called with what is measured next.
    place : Place
        Where.

    Returns
    -------
    Results
        What came out.

    Raises
    ------
    ValueError
        If there is no such section.
    """
    check(place, only)
    results = Results()
    for name in only or sections(place):
        for what in SECTIONS[name](plan, results, place):
            told(f"{name}: {what}")
    return results
