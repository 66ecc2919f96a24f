"""Lookahead step by step, with the fast weights before each interpolation.

A stepper does the last inner step of a cycle and the interpolation in one pass over memory,
so that theta_{t,k} is never stored. Here a second stepper, of the inner optimizer, does
that step too. All else is as in `train`: checkpoints, and the same initial weights, batches
and noise for the same seed.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lookahead_ref as la
from lookahead_ref.experiments import train
from lookahead_ref.experiments.estimate import examples_evaluated
from lookahead_ref.experiments.resume import Note, RunFolder, held
from lookahead_ref.experiments.settings import TrainSettings
from lookahead_ref.report.files import write_atomically
from lookahead_ref.stepping.backend import load as load_backend
from lookahead_ref.stopping import StoppedError, StopRequest
from lookahead_ref.system import read_file
from lookahead_ref.training.state import Placement, TrainingState, evaluator, gradients

# Styles of the fast weights, the slow weights, and the interpolation between them.
FAST = {"marker": "o", "markersize": 3.5, "linewidth": 1.2}
SLOW = {"marker": "D", "markersize": 6}
BACK = {"linestyle": (0, (2, 1.5))}


@dataclass(frozen=True)
class Visit:
    """The weights after a step of the inner optimizer, in host memory."""

    step: int
    """The number of updates done."""
    theta: Any
    """The fast weights after the inner step, before an interpolation."""
    phi: Any
    """The slow weights, after the interpolation if there was one."""
    synchronized: bool
    """Whether there was an interpolation."""


@contextmanager
def walking(
    settings: TrainSettings, folder: Path, request: StopRequest, evaluations: int = 0
) -> Iterator["Walk"]:
    """Begin or continue a walk in a folder, with this many evaluations."""
    with request.interrupting():
        prepared = train.prepare(settings)
    with held(folder, prepared.settings) as run:
        yield Walk(prepared, run, request, evaluations)


class Walk:
    """A run of Lookahead whose weights are visible; its folder keeps its state."""

    def __init__(
        self,
        prepared: train.Prepared,
        run: RunFolder,
        request: StopRequest,
        evaluations: int,
    ) -> None:
        optimizer, settings = prepared.optimizer, prepared.settings
        if not isinstance(optimizer, la.Lookahead):
            raise TypeError(f"optimizer must be a Lookahead, got {optimizer!r}")
        if prepared.schedule is not None:
            optimizer = la.with_learning_rate(optimizer, prepared.schedule)
        self._optimizer, self._prepared, self._request = optimizer, prepared, request
        self._placement = Placement(load_backend(settings.backend))
        job = (prepared.model, prepared.data, optimizer, settings.seed, prepared.batch_size)
        self._state = TrainingState.begun(*job, self._placement)
        self._checkpoints = train.checkpoints(prepared, run, request)
        restored = self._checkpoints.restore(run.note)
        if restored is not None:
            run.note(f"continuing from {restored.path}")
            self._state.restore(restored.snapshot)
        steps = settings.epochs * self.steps_per_epoch
        # In steps, of which a forward pass is about a third.
        self._evaluation = examples_evaluated(prepared) / (3 * prepared.batch_size)
        self._note = Note(run.path, steps + evaluations * self._evaluation)
        self._evaluated, self._evaluations = 0, evaluations
        self._file = run.path / "accuracies.txt"
        text = read_file(self._file).decode() if self._file.exists() else ""
        # The last line may have been cut off.
        lines = text[: text.rfind("\n") + 1]
        write_atomically(self._file, lines)
        self._measured = deque(map(float, lines.split()))
        self._began = time.perf_counter() - self._state.seconds

    @property
    def seconds(self) -> float:
        """The time taken, also before the walk was continued."""
        return time.perf_counter() - self._began

    @property
    def steps_per_epoch(self) -> int:
        """The number of updates in an epoch."""
        return self._state.stream.batches_per_epoch

    def visits(self, first: int, last: int) -> Iterator[Visit]:
        """Train, and yield the weights after each update from first to last."""
        state, place = self._state, self._placement
        prepared = self._prepared
        split = prepared.settings.accumulate
        gradient = gradients(prepared.model, state, prepared.batch_size, split)
        params = state.stepper.params
        inner = la.Stepper(self._optimizer.inner, params, backend=place.backend)
        names = inner.state_dict().keys()
        while state.step < last:
            for batch in state.stream.epoch():
                shown = state.step + 1 >= first
                before = state.stepper.state_dict() if shown else {}
                loss, state.carried, grads = gradient(batch)
                words = f"step {state.step}, batch loss {float(loss):.4f}"
                self._note.write(self._done, words)
                state.stepper.step(grads)
                state.step, state.batches = state.step + 1, state.batches + 1
                if shown:
                    parts = {n.removeprefix("inner/"): x for n, x in before.items()}
                    inner.load_state_dict({name: parts[name] for name in names})
                    inner.step(grads)
                    theta = place.fetch(inner.params)
                    phi = place.fetch(state.stepper.evaluation_params())
                    synchronized = state.step % self._optimizer.k == 0
                    yield Visit(state.step, theta, phi, synchronized)
                else:
                    self._pause()
                if state.step == last:
                    return

    @property
    def _done(self) -> float:
        return self._state.step + self._evaluated * self._evaluation

    def accuracy(self, params: Any) -> float:
        """Return the accuracy of weights on the validation examples, once recorded."""
        words = f"evaluation {self._evaluated + 1} of {self._evaluations}"
        self._note.write(self._done, words)
        self._evaluated += 1
        if self._measured:
            return self._measured.popleft()
        model, data, place = self._prepared.model, self._prepared.data, self._placement
        with self._request.interrupting():
            evaluate = evaluator(model, place.put(params), data.train, place)
            found = evaluate(data.validation)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{found.accuracy!r}\n")
        return found.accuracy

    def _pause(self) -> None:
        state, kept = self._state, self._checkpoints
        if kept.stopping() or kept.due(state.step):
            state.seconds = self.seconds
            kept.save(state.step, state.on_host())
        if kept.stopping():
            raise StoppedError(state.step)
