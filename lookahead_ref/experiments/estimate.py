"""Predicts how long training takes, by measuring a few steps and examples."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from lookahead_ref.experiments import optimizers, plugins
from lookahead_ref.experiments.parallel import one_thread
from lookahead_ref.experiments.train import Prepared
from lookahead_ref.experiments.trials import Plan
from lookahead_ref.report.words import duration, several
from lookahead_ref.stepping.backend import load as load_backend
from lookahead_ref.training.protocols import carries
from lookahead_ref.training.state import Placement, TrainingState, evaluator, gradients

_SECONDS = 0.3
_EXAMPLES = 256
_TOKENS = 2_000


@dataclass(frozen=True)
class Estimate:
    """The steps and epochs of a run, and about how long they take."""

    steps: int
    epochs: int
    seconds: float

    def __str__(self) -> str:
        done = f"{self.steps:,} steps in {several(self.epochs, 'epoch')}"
        return f"{done}, about {duration(self.seconds)}"


def work_left(
    plan: Plan, prepared: Sequence[Prepared], jobs: int, folder: Path | None
) -> tuple[list[str], str]:
    """Describe the work left, in a line for each arm and one for all."""
    with one_thread():  # as parallel runs have it
        found = estimates(prepared, evaluations=plan.evaluations)
    left: Counter[str] = Counter()
    for arm, trial in plan.trials():
        there = folder is not None and trial.file(folder / "trials").exists()
        left[arm.title] += not there
    lines, steps, seconds, longest = [], 0, 0.0, 0.0
    for arm, each in zip(plan.arms, found, strict=True):
        count = left[arm.title]
        lines.append(f"{arm.title}: {several(count, 'run')} of {each}")
        steps += count * each.steps
        seconds += count * each.seconds
        longest = max(longest, each.seconds if count else 0.0)
    together = max(seconds / jobs, longest)
    return lines, (
        f"{several(left.total(), 'run')}, {several(steps, 'step')} in all, about "
        f"{duration(longest)} a run and {duration(together)} in {several(jobs, 'process')}"
    )


def estimates(
    runs: Sequence[Prepared], processes: int = 1, evaluations: int | None = None
) -> list[Estimate]:
    """Predict how long runs with the same model and data take."""
    measured = _measured(runs[0])
    found = []
    for run in runs:
        once, an_epoch = _cost(run, measured, evaluations, processes)
        epochs = run.settings.epochs
        found.append(Estimate(run.steps, epochs, once + epochs * an_epoch))
    return found


def epochs_within(seconds: float, plan: Plan, runs: Sequence[Prepared]) -> int:
    """Return how many epochs of all trials of a plan fit into a time."""
    with one_thread():  # as parallel runs have it
        measured = _measured(runs[0])
    costs = [_cost(run, measured, plan.evaluations) for run in runs]
    once, an_epoch = (sum(parts) for parts in zip(*costs, strict=True))
    return int((seconds / len(plan.seeds) - once) / an_epoch)


def _cost(
    run: Prepared,
    measured: tuple[float, float, float],
    evaluations: int | None,
    processes: int = 1,
) -> tuple[float, float]:
    """Return the seconds that a run takes besides its epochs, and for each epoch."""
    step, statistics, each = measured
    settings, data = run.settings, run.data
    workers = cast("int", settings.workers) / processes
    an_epoch = run.steps / settings.epochs * workers * step
    evaluation = statistics + each * _size(data.validation)
    if evaluations is not None:
        return evaluations * evaluation, an_epoch
    if settings.evaluate_train:
        evaluation += each * _size(data.train)
    test = getattr(data, "test", None)
    tested = statistics + each * (0 if test is None else _size(test))
    return evaluation + tested, an_epoch + evaluation / settings.evaluate_every


def _measured(run: Prepared) -> tuple[float, float, float]:
    """Measure the seconds of a step, of statistics, and of evaluating an example."""
    with plugins.located_in(**optimizers.named(run.settings)), np.errstate(all="ignore"):
        return _measured_here(run)


def _measured_here(run: Prepared) -> tuple[float, float, float]:
    model, data, settings = run.model, run.data, run.settings
    place = Placement(load_backend(settings.backend))
    job = (model, data, run.optimizer, settings.seed, run.batch_size, place)
    state = TrainingState.begun(*job)
    gradient = gradients(model, state, run.batch_size, settings.accumulate)
    batches = state.stream.epoch()

    def steps(most: int) -> int:
        began, done = time.perf_counter(), 0
        while done < most and time.perf_counter() - began < _SECONDS:
            loss, state.carried, grads = gradient(next(batches))
            state.stepper.step(grads)
            float(loss)
            done += 1
        return max(done, 1)

    steps(1)  # compiles
    began = time.perf_counter()
    done = steps(state.stream.batches_per_epoch - 1)
    per_step = (time.perf_counter() - began) / done
    params, some = state.stepper.evaluation_params(), _some(data.validation)
    learned = _some(data.train)

    def prepared() -> Callable[[Any], Any]:
        return evaluator(model, params, learned, place)

    evaluate = prepared()
    evaluate(some)  # compiles
    share = _seconds(prepared) / _size(learned) if carries(model) else 0.0
    each = _seconds(lambda: evaluate(some)) / _size(some)
    return per_step, share * _looked_at(run), each


def examples_evaluated(run: Prepared) -> int:
    """Return how many examples an evaluation without the training set goes through."""
    return _size(run.data.validation) + (_looked_at(run) if carries(run.model) else 0)


def _looked_at(run: Prepared) -> int:
    """Return of how many training examples an evaluation computes the statistics."""
    every = _size(run.data.train)
    return min(run.settings.statistics_examples or every, every)


def _some(source: Any) -> Any:
    """Return the first examples of a source, or tokens of a text."""
    most = _TOKENS if isinstance(source, np.ndarray) else _EXAMPLES
    # The user's own data may not be divisible.
    if not hasattr(source, "take"):
        return source
    return source.take(np.arange(min(most, _size(source))))


def _size(source: Any) -> int:
    return int(getattr(source, "size", 1))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
