"""The measurements: what takes turns with what, and which bar it must reach."""

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import lookahead_ref as la
from lookahead_ref.bench import contestants
from lookahead_ref.bench.cases import OPTIMIZERS, SLOTS
from lookahead_ref.bench.peers import peers
from lookahead_ref.bench.place import Place
from lookahead_ref.bench.results import Bar, Results, Timing, Turns, quartiles
from lookahead_ref.bench.start import first_steps
from lookahead_ref.bench.turns import take_turns
from lookahead_ref.experiments.steps import PYTORCH, race_work
from lookahead_ref.experiments.works import WORKS
from lookahead_ref.stepping import backend

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

MODELS = {
    "mlp": {"numpy": 1.05, "numba": 1.05},
    "lstm": {"numpy": 1.4, "numba": 1.0},
    "resnet18": {"numpy": 2.0, "numba": 2.0},
}
"""Work to the bar of each backend."""

PAPER = ("sgd", "heavy-ball", "nesterov", "adam")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured.

    Parameters
    ----------
    large, beyond, largest : str
        Numbers of parameters in one tensor. Of those beyond the cache, next to nothing is
        found in it.
    trees : tuple of str
        Sets of parameters in many tensors.
    sizes : tuple of float
        For the growth. The exponent is fitted to those of at least a tenth of the last of
        which the arrays are eight times as large as the cache, if these are two or more.
    repeats : int
        Turns of each contestant.
    close : int
        Turns where contestants are close together.
    turn : float
        How long one lasts at least, in seconds.
    wrapped : float
        The bar for Lookahead on one large tensor beside a wrapper of a fused optimizer.
    copied : float, optional
        The least part of a copy's bandwidth that a step is to reach.
    works : tuple of str
        Works whose steps are raced, with as many rounds as others have turns.
    """

    large: str = "1e7"
    beyond: str = "3e7"
    largest: str = "1e8"
    trees: tuple[str, ...] = ("resnet-50", "mlp")
    sizes: tuple[float, ...] = (1e4, 1e5, 1e6, 1e7, 2e7, 4e7, 7e7, 1e8)
    repeats: int = 11
    close: int = 31
    turn: float = 0.03
    wrapped: float = 0.8
    copied: float | None = None
    works: tuple[str, ...] = tuple(MODELS)


QUICK = Plan(
    large="2e6",
    beyond="4e6",
    largest="4e6",
    trees=("mlp",),
    sizes=(1e4, 1e5, 1e6, 4e6),
    repeats=3,
    close=3,
    turn=0.01,
    works=("mlp",),
)
"""Seconds instead of minutes; the figures mean little."""

DEVICE = Plan(large="1e8", beyond="1e8", largest="1e8", wrapped=1.0, copied=0.85)
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
            turns = place.turns(results, "step", parameters, optimizer)
            others = {each.method: each for each in peers(optimizer, parameters, grads)}
            mine = contestants.ours(place.backend, optimizer, parameters, grads)
            turns.run({mine.method: mine, **others}, plan.close, plan.turn)
            if bars and others:
                peer = turns.fastest(list(others))
                turns.bar(
                    "plain / the fastest plain peer", mine.method, peer, 1.0, beside=peer
                )
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
    for parameters in dict.fromkeys((plan.large, plan.beyond)):
        grads = place.arrays(parameters, 1)
        for optimizer in OPTIMIZERS:
            yield f"{optimizer}, {parameters}"
            turns = place.turns(results, "cost", parameters, optimizer)
            make = partial(contestants.ours, place.backend, optimizer, parameters, grads)
            inner = make()
            cycles = {f"k = {k}": make(k=k) for k in (1, 2, 5, 10)}
            if SLOTS[optimizer]:
                cycles["k = 5, interpolate"] = make(k=5, inner_state="interpolate")
            turns.run({"inner step": inner, **cycles}, plan.close, plan.turn)
            for name, each in cycles.items():
                counted = (each.steps + 1) / each.steps
                model = each.bytes_moved / inner.bytes_moved
                for what, bar, scale in (("steps", 1.0, counted), ("bytes", 1.05, model)):
                    turns.bar(
                        f"cost, {name} / {what} counted",
                        name,
                        "inner step",
                        bar,
                        scale=1 / scale,
                    )


def _bandwidth(plan: Plan, results: Results, place: Place) -> Iterator[str]:
    """Compare steps with loops that move the same bytes and compute nothing."""
    for parameters in dict.fromkeys((plan.large, plan.largest)):
        grads = place.arrays(parameters, 1)
        for optimizer in OPTIMIZERS:
            for k in (None, 1):
                name = optimizer if k is None else f"Lookahead of {optimizer}, k = 1"
                yield f"{name}, {parameters}"
                turns = place.turns(results, "bandwidth", parameters, name)
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
            points.append((size, middle))
        fitted = [each for each in points if each[0] >= plan.sizes[-1] / 10]
        # At most an eighth of arrays eight times as large is found in the cache, or a
        # quarter where a hypervisor tells of one, but runs two cores that have one each.
        held = 4 * (2 + SLOTS[optimizer])
        beyond = [each for each in fitted if held * each[0] >= 8 * place.cache]
        if len(beyond) > 1:
            fitted = beyond
        logs = [[math.log(each) for each in values] for values in zip(*fitted, strict=True)]
        exponent = statistics.linear_regression(*logs).slope
        away = abs(exponent - 1)
        measure = f"exponent's distance from 1, from {fitted[0][0]:.0e} on"
        results.bars.append(Bar("growth", "", optimizer, measure, away, away, away, 0.05))


def _models(plan: Plan, results: Results, _: Place) -> Iterator[str]:
    """Race training steps of models against PyTorch's, forward, backward and update."""
    if find_spec("torch") is None:
        results.left_out["models"] = "PyTorch is not installed"
        yield "left out, PyTorch is not installed"
        return
    for name in plan.works:
        yield name
        bars = MODELS[name]
        race = race_work(WORKS[name], list(bars), rounds=plan.repeats)
        for method, times in race.seconds.items():
            low, middle, high = quartiles(list(times))
            results.timings.append(
                Timing("models", name, "sgd", method, "model", middle, low, high, 0.0)
            )
        for each, bar in bars.items():
            measure = f"{each} / PyTorch's faster update"
            found = race.ratio(each, list(PYTORCH))
            results.bars.append(Bar("models", name, "sgd", measure, *found, bar))


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
    "models": _models,
    "first": _first,
}
"""Name to measurement, which tells what it is at."""

_OF_THE_HOST = ("numpy", "models", "first")


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
