"""Predicts how long training takes, by measuring a few steps and examples."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

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

Speed: TypeAlias = tuple[float, float, float]
"""The seconds of a step, of statistics, and of evaluating an example."""


@dataclass(frozen=True)
class Estimate:
    """The steps and epochs of a run, and about how long they take."""

    steps: int
    epochs: int
    once: float
    """Seconds besides the epochs."""
    an_epoch: float
    """Seconds for each epoch."""

    @property
    def seconds(self) -> float:
        """Seconds in all."""
        return self.once + self.epochs * self.an_epoch

    def __str__(self) -> str:
        done = f"{self.steps:,} steps in {several(self.epochs, 'epoch')}"
        return f"{done}, about {duration(self.seconds)}"


def work_left(
    plan: Plan,
    prepared: Sequence[Prepared],
    jobs: int,
    folder: Path | None,
    speed: Speed | None = None,
) -> tuple[list[str], str]:
    """Describe the work left, in a line for each arm and one for all."""
    with one_thread():  # as parallel runs have it
        speed = speed or measured(prepared[0])
    left: Counter[str] = Counter()
    for arm, trial in plan.trials():
        there = folder is not None and trial.file(folder / "trials").exists()
        left[arm.title] += not there
    lines, steps, seconds, longest = [], 0, 0.0, 0.0
    for arm, run in zip(plan.arms, prepared, strict=True):
        count, each = left[arm.title], estimate(run, speed, plan.evaluations)
        lines.append(f"{arm.title}: {several(count, 'run')} of {each}")
        steps += count * each.steps
        seconds += count * each.seconds
        longest = max(longest, each.seconds if count else 0.0)
    together = max(seconds / jobs, longest)
    return lines, (
        f"{several(left.total(), 'run')}, {several(steps, 'step')} in all, about "
        f"{duration(longest)} a run and {duration(together)} in {several(jobs, 'process')}"
    )


def epochs_within(seconds: float, jobs: int, runs: Sequence[Estimate], seeds: int) -> int:
    """Return how many epochs of all runs, each with so many seeds, fit into a time."""
    once, an_epoch = sum(run.once for run in runs), sum(run.an_epoch for run in runs)
    alone = [(seconds - run.once) / run.an_epoch for run in runs]
    return int(min((seconds * jobs / seeds - once) / an_epoch, *alone))


def estimate(
    run: Prepared, speed: Speed, evaluations: int | None = None, processes: int = 1
) -> Estimate:
    """Predict how long a run takes."""
    step, statistics, each = speed
    settings, data = run.settings, run.data
    workers = cast("int", settings.workers) / processes
    an_epoch = run.steps / settings.epochs * workers * step
    once = statistics + each * _size(data.validation)
    if evaluations is not None:
        once *= evaluations
    else:
        once += each * _size(data.train) * bool(settings.evaluate_train)
        an_epoch += once / settings.evaluate_every
        test = getattr(data, "test", None)
        once += statistics + each * (0 if test is None else _size(test))
    return Estimate(run.steps, settings.epochs, once, an_epoch)


def measured(run: Prepared) -> Speed:
    """Measure the speed of a run."""
    model, data, settings = run.model, run.data, run.settings
    place = Placement(load_backend(settings.backend))
    job = (model, data, run.optimizer, settings.seed, run.batch_size, place)
    with plugins.located_in(**optimizers.named(settings)), np.errstate(all="ignore"):
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
