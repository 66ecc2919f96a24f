"""Predicts how long training takes, by measuring a few steps and examples."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from lookahead_ref.experiments import optimizers, plugins
from lookahead_ref.experiments.parallel import one_thread
from lookahead_ref.experiments.report import Job
from lookahead_ref.experiments.resume import Note
from lookahead_ref.experiments.train import Prepared
from lookahead_ref.experiments.trials import Speed
from lookahead_ref.report.words import duration, several
from lookahead_ref.stepping.backend import load as load_backend
from lookahead_ref.training.protocols import carries
from lookahead_ref.training.state import Placement, TrainingState, evaluator, gradients

_SECONDS = 0.3
_EXAMPLES = 256
_TOKENS = 2_000


@dataclass(frozen=True)
class Estimate:
    """The steps and epochs of a run, and the seconds of its parts."""

    steps: int
    epochs: int
    start: float
    an_epoch: float
    end: float
    done: int = 0
    """Steps that are done already."""

    @property
    def left(self) -> int:
        return self.steps - self.done

    @property
    def seconds(self) -> float:
        epochs = self.epochs * self.left / self.steps
        return self.start * (self.done == 0) + epochs * self.an_epoch + self.end

    def __str__(self) -> str:
        steps = f"{self.steps:,} steps in {several(self.epochs, 'epoch')}"
        left = f", {self.left:,} left" if self.done else ""
        return f"{steps}{left}, about {duration(self.seconds)}"


def unfinished(job: Job, folder: Path | None) -> list[tuple[str, float]]:
    """Return the arm of each trial without a result, and the part of it that is done."""
    trials, found = folder and folder / "trials", list[tuple[str, float]]()
    for arm, trial in job.plan.trials():
        if trials is None or not trial.file(trials).exists():
            part = 0.0 if trials is None else Note.read(trials / trial.name, 0.0)[0]
            found.append((arm.title, part))
    return found


def work_left(
    job: Job, jobs: int, left: Sequence[tuple[str, float]]
) -> tuple[list[str], str]:
    """Describe the work left, in a line for each arm and one for all."""
    plan, titles = job.plan, [title for title, _ in left]
    speed = job.speed or (0.0, 0.0, 0.0)
    if left and job.speed is None:
        with one_thread():  # as parallel runs have it
            speed = measured(job.prepared[0])
    each = [estimate(run, speed, plan.evaluations) for run in job.prepared]
    found = dict(zip([arm.title for arm in plan.arms], each, strict=True))
    runs = [replace(found[t], done=int(part * found[t].steps)) for t, part in left]
    counts = {title: several(titles.count(title), "run") for title in titles}
    lines = [f"{t}: {counts[t]} of {run}" for t, run in found.items() if t in counts]
    steps, times = sum(run.left for run in runs), [run.seconds for run in runs]
    longest = max(times, default=0.0)
    together = max(sum(times) / jobs, longest)
    return lines, (
        f"{several(len(left), 'run')}, {several(steps, 'step')} in all, about "
        f"{duration(longest)} a run and {duration(together)} in {several(jobs, 'process')}"
    )


def epochs_within(seconds: float, jobs: int, runs: Sequence[Estimate], seeds: int) -> int:
    """Return how many epochs of all runs, each with so many seeds, fit into a time."""
    once, an_epoch = [run.start + run.end for run in runs], [run.an_epoch for run in runs]
    alone = [(seconds - a) / b for a, b in zip(once, an_epoch, strict=True)]
    return int(min((seconds * jobs / seeds - sum(once)) / sum(an_epoch), *alone))


def estimate(
    run: Prepared, speed: Speed, evaluations: int | None = None, processes: int = 1
) -> Estimate:
    """Predict how long a run takes."""
    step, statistics, each = speed
    settings, data = run.settings, run.data
    workers = cast("int", settings.workers) / processes
    an_epoch = run.steps / settings.epochs * workers * step
    start, end = statistics + each * _size(data.validation), 0.0
    if evaluations is not None:  # after the training
        start, end = 0.0, start * evaluations
    else:
        start += each * _size(data.train) * bool(settings.evaluate_train)
        an_epoch += start / settings.evaluate_every
        if (test := getattr(data, "test", None)) is not None:
            end = statistics + each * _size(test)
    return Estimate(run.steps, settings.epochs, start, an_epoch, end)


def measured(run: Prepared) -> Speed:
    """Measure the speed of a run."""
    model, data, settings = run.model, run.data, run.settings
    place = Placement(load_backend(settings.backend))
    job = (model, data, run.optimizer, settings.seed, run.batch_size, place)
    with plugins.located_in(**optimizers.named(settings)), np.errstate(all="ignore"):
        state = TrainingState.begun(*job)
        gradient = gradients(model, state, run.batch_size, settings.accumulate)
        batches = state.stream.epoch()

        def steps(most: int) -> float:
            began, done = time.perf_counter(), 0
            while done < most and time.perf_counter() - began < _SECONDS:
                loss, state.carried, grads = gradient(next(batches))
                state.stepper.step(grads)
                float(loss)
                done += 1
            return (time.perf_counter() - began) / max(done, 1)

        steps(1)  # compiles
        per_step = steps(state.stream.batches_per_epoch - 1)
        some, learned = _some(data.validation), _some(data.train)
        params = state.stepper.evaluation_params()
        prepare = partial(evaluator, model, params, learned, place)
        evaluate = prepare()
        evaluate(some)  # compiles
        share = _seconds(prepare) / _size(learned) if carries(model) else 0.0
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
