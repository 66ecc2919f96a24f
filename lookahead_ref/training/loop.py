"""The training loop: batches, gradients, updates, and evaluation on the slow weights."""

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

import lookahead_ref as la
from lookahead_ref import hyperparameters, trees
from lookahead_ref.optimizers.workers import Worker
from lookahead_ref.stepping.backend import Backend, explained
from lookahead_ref.stepping.backend import load as load_backend
from lookahead_ref.stopping import Interrupted, StoppedError
from lookahead_ref.training.events import (
    Callback,
    Diverging,
    EpochEnded,
    EpochRecord,
    Event,
    RunEnded,
    RunStarted,
)
from lookahead_ref.training.feedback import Pace
from lookahead_ref.training.nonfinite import NonFiniteLossError, first_nonfinite
from lookahead_ref.training.protocols import Data, Measured, Model, evaluated
from lookahead_ref.training.state import (
    Piece,
    Placement,
    Snapshot,
    TrainingState,
    evaluator,
    gradients,
    joined,
    parted,
    seeds,
)
from lookahead_ref.training.steps import OnNonFinite, Steps
from lookahead_ref.training.workers import Team, check_stops, join, share
from lookahead_ref.trees import flatten
from lookahead_ref.zoo.losses import Evaluation

# On a device, reading a number waits for all earlier work.
_DEVICE_CHECK_EVERY = 50
_TURN = 1.0  # seconds, after which other processes ask the first whether to stop


class Checkpoints(Protocol):
    """Keeps the state of a run."""

    def due(self, batches: int) -> bool:
        """Return whether to save now, after this many batches."""

    def save(self, batches: int, snapshot: Snapshot) -> None:
        """Save a state of NumPy arrays."""

    def stopping(self) -> bool:
        """Return whether to save and stop the run."""

    def interruptible(self) -> AbstractContextManager[None]:
        """Return a context in which a request to stop may raise `Interrupted`."""


@dataclass(frozen=True)
class TrainingResult:
    """The result of a run."""

    params: Mapping[str, Any]
    """A copy of the final evaluation parameters (for Lookahead the slow weights), as NumPy
    arrays."""
    history: tuple[EpochRecord, ...]
    """A record for each evaluated epoch, from epoch 0, the start."""
    steps: int
    """Updates done."""
    seconds: float
    """Wall time with evaluations, over all parts of a continued run."""
    skipped: int = 0
    """Batches skipped because their loss or gradient was not finite."""
    test: Measured | None = None
    """Loss and accuracy of the evaluation parameters over the test examples, if any."""


def train(
    model: Model,
    data: Data,
    optimizer: Any,
    *,
    schedule: Callable[[int], float] | None = None,
    seed: int,
    epochs: int,
    batch_size: int,
    weights: trees.Tree | None = None,
    backend: str | Backend = "numpy",
    accumulate: int = 1,
    clip: float | None = None,
    evaluate_train: bool = True,
    evaluate_every: int = 1,
    on_nonfinite: OnNonFinite = "stop",
    check_every: int | None = None,
    checkpoints: Checkpoints | None = None,
    resume: Snapshot | None = None,
    workers: int | str | Team = 1,
    callbacks: Sequence[Callback] = (),
) -> TrainingResult:
    """Train a model.

    The seed decides the initial parameters, the batches and the model's randomness, from
    three separate streams: runs that differ only in the optimizer start at the same point
    and see the same batches.

    Parameters
    ----------
    model : Model
        Such as `lookahead_ref.zoo.MLP`.
    data : Dataset or Corpus
        Examples or text to train on, to validate on, and to test on at the end, if any.
    optimizer : Optimizer
        Any optimizer of this library.
    schedule : callable, optional
        From the global step, 0 at the first update, to the learning rate, in place of that
        of the innermost optimizer. If a batch has an attribute ``scale``, as those of a
        text with windows of random length do, the learning rate is multiplied by it. A
        `lookahead_ref.training.Plateau` follows the validation loss.
    seed : int
        Not negative.
    epochs : int
        Passes over the training examples, at least 1.
    batch_size : int
        Examples in a batch; for a text, columns that are read in parallel.
    weights : dict, optional
        Initial parameters in place of the seed's, with the same names, shapes and dtypes;
        or flat, by their paths.
    backend : str or Backend, default "numpy"
        Computes the updates: see `lookahead_ref.Stepper`. Parameters and batches are moved
        to its device, if it has one.
    accumulate : int, default 1
        Number of parts in which a batch of examples goes through the model. The gradient is
        that of the whole batch, but for rounding and batch statistics, and needs only the
        memory of a part.
    clip : float, optional
        The largest norm of all gradients together; larger ones are scaled down to it.
    evaluate_train : bool, default True
        Whether to evaluate the training examples too.
    evaluate_every : int, default 1
        Epochs between evaluations; the start and the end are evaluated too.
    on_nonfinite : {"stop", "skip"}, default "stop"
        What to do about a batch whose loss or gradient is NaN or infinite, or makes the
        optimizer's state so. *skip* changes nothing and continues with the next batch: no
        step is counted, so that neither a schedule nor Lookahead's cycle advances, and a
        synchronization always follows k actual updates.
    check_every : int, optional
        Number of batches between checks for NaN and infinity. The default is 1, before
        each update, if the backend computes in host memory, and 50 otherwise. If a check
        fails, the batches since the last one are repeated one by one, so that the outcome
        does not depend on this number.
    checkpoints : Checkpoints, optional
        Keeps the state of the run.
    resume : Snapshot, optional
        A state to continue from. Everything else must be as it was in that run.
    workers : int or "mpi", default 1
        Number of workers that share the outer step of a `Lookahead`, as in
        `lookahead_ref.Workers`. Each has its share of the training examples or the text.
        All are in this process; with "mpi" each is a rank, and only the first evaluates,
        calls the callbacks and keeps checkpoints.
    callbacks : sequence of callable
        Called with each event, in this order. An exception in one ends the run.

    Returns
    -------
    TrainingResult
        The evaluation parameters and the history.

    Raises
    ------
    NonFiniteLossError
        If the loss of an evaluation is NaN or infinite; if the loss or gradient of a batch
        is, or the optimizer's state after it, unless it is skipped; if every batch of an
        epoch was skipped; or if a batch cannot be skipped because parameters or the
        optimizer's state are not finite. The callbacks are called first.
    StoppedError
        If `checkpoints` was asked to stop the run, after saving its state.
    TypeError, ValueError
        If a number is out of range.

    Examples
    --------
    >>> from lookahead_ref.data import load_digits
    >>> from lookahead_ref.zoo import MLP
    >>> optimizer = la.Lookahead(la.SGD(learning_rate=0.5), k=5, alpha=0.5)
    >>> result = train(
    ...     MLP((64, 16, 10)), load_digits(), optimizer, seed=0, epochs=2, batch_size=64
    ... )
    >>> [record.epoch for record in result.history], result.steps
    ([0, 1, 2], 40)
    >>> result.history[-1].validation_accuracy > 0.5
    True
    """
    epochs = hyperparameters.count("epochs", epochs)
    evaluate_every = hyperparameters.count("evaluate_every", evaluate_every)
    seed = hyperparameters.count("seed", seed, least=0)
    hyperparameters.option("on_nonfinite", on_nonfinite, ("stop", "skip"))
    accumulate = hyperparameters.count("accumulate", accumulate)
    if clip is not None:
        clip = hyperparameters.positive("clip", clip)
    own = getattr(optimizer, "groups", {"": optimizer}).values()
    followers = (schedule, *(getattr(each, "begun", None) for each in own))
    pace = None
    if schedule is not None:
        pace = Pace(schedule)
        optimizer = la.with_learning_rate(optimizer, pace)
    placement = Placement(load_backend(backend) if isinstance(backend, str) else backend)
    if check_every is None:
        check_every = 1 if placement.on_host else _DEVICE_CHECK_EVERY
    check_every = hyperparameters.count("check_every", check_every)
    team = workers if isinstance(workers, Team) else join(workers)
    with team.together():
        check_stops(team, on_nonfinite)
        own = Worker(optimizer) if team.size > 1 else optimizer
        states = [
            TrainingState.begun(
                model,
                share(data, number, team.size, batch_size),
                own,
                seed,
                batch_size,
                placement,
                worker=number,
                weights=weights,
            )
            for number in team.here
        ]
    resume = team.broadcast(resume)
    if resume is not None:
        parts = parted(resume)
        if len(parts) != team.size:
            raise ValueError(f"workers must be {len(parts)}, as in resume, got {team.size}")
        for number, each in zip(team.here, states, strict=True):
            each.restore(parts[number])
    state = states[0]
    loop = _Loop(
        model=model,
        data=data,
        states=states,
        team=team,
        seed=seed,
        epochs=epochs,
        observers=[each for each in followers if hasattr(each, "observe")],
        evaluate_train=evaluate_train,
        evaluate_every=evaluate_every,
        checkpoints=checkpoints if team.leads else None,
        callbacks=callbacks if team.leads else (),
    )
    loop.workers = [
        Steps(
            state=each,
            gradient=gradients(model, each, batch_size, accumulate),
            clip=clip,
            pace=pace,
            on_nonfinite=on_nonfinite,
            check_every=check_every,
            report=loop.report if each is state else lambda _: None,
            interruptible=loop.interruptible if loop.alone else lambda _: nullcontext(),
            pause=loop.pause if team.size == 1 else lambda: None,
        )
        for each in states
    ]
    started = RunStarted(
        model=described(model),
        data=data.name,
        optimizer=described(optimizer),
        backend=placement.backend.name,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        steps_per_epoch=state.stream.batches_per_epoch,
        text=hasattr(data, "vocabulary"),
        evaluated=evaluated(data),
        batches_done=state.batches_in_all,
    )
    # Report overflow as an error with a step, not as NumPy's warning.
    with np.errstate(over="ignore", invalid="ignore"), explained(placement.backend):
        try:
            return loop.run(started)
        except NonFiniteLossError as error:  # of any worker
            loop.end(str(error))
            raise


def described(value: object) -> str:
    """Describe a model, an optimizer or a schedule without its address in memory."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


@dataclass(kw_only=True)
class _Loop:
    """One run: advances its workers' states from epoch to epoch."""

    model: Model
    data: Data
    states: Sequence[TrainingState]
    """The states of the workers in this process."""
    team: Team
    seed: int
    epochs: int
    observers: Sequence[Any]
    evaluate_train: bool
    evaluate_every: int
    checkpoints: Checkpoints | None
    callbacks: Sequence[Callback]

    def __post_init__(self) -> None:
        self.state = self.states[0]
        self.alone = len(self.states) == self.team.size  # all workers are in this process
        self.workers: Sequence[Steps] = ()
        self.began = time.perf_counter() - self.state.seconds
        self.saved: tuple[int, ...] | None = None
        self.turn = 1  # batches of each worker

    def share_history(self) -> None:
        """Pass the history to schedules and averages that depend on it."""
        losses = [record.validation_loss for record in self.state.history]
        for observer in self.observers:
            observer.observe(losses)

    def report(self, event: Event) -> None:
        for callback in self.callbacks:
            callback(event)

    def run(self, started: RunStarted) -> TrainingResult:
        state = self.state
        records = [record.epoch for record in state.history]
        wanted = [epoch for epoch in range(state.epoch + 1) if self._measured(epoch)]
        # The first checkpoint may precede the first evaluation.
        if records != wanted and (records or state.epoch):
            raise ValueError(
                "resume must be a state of this run: the history must have records of "
                f"the epochs {wanted}, got {records}"
            )
        self.share_history()
        # Before anything slow, as a callback may be.
        self.pause()
        before = time.perf_counter()
        with self.interruptible():
            self.report(started)
        self.began += time.perf_counter() - before  # none of the training's time
        self.pause()
        if not state.history:
            self._end_epoch(0)
        while state.epoch < self.epochs:
            self._updates()
            self._end_epoch(state.epoch + 1)
        self.pause(save=True)
        test = getattr(self.data, "test", None)
        found = [] if test is None else self._evaluations(test)
        tested = found[0] if found else None
        self.end(None, tested)
        return TrainingResult(
            params=state.placement.fetch(state.stepper.evaluation_params()),
            history=tuple(state.history),
            steps=state.step,
            seconds=self._seconds(),
            skipped=state.skipped,
            test=tested,
        )

    # One epoch.

    def _updates(self) -> None:
        """Learn from the epoch's remaining batches."""
        state = self.state
        per_epoch = state.stream.batches_per_epoch
        if state.batches < per_epoch:
            # Those of the test, in a run that goes on past its end.
            state.pieces, state.read = [], {}
        if self.team.size == 1:
            self.workers[0].advance(per_epoch)
            return
        k = cast("Worker", state.stepper.optimizer).lookahead.k
        while state.batches < per_epoch:
            meeting = state.batches + k - state.step % k
            # They take turns, between which the run can stop.
            turn = max(self.turn, self.workers[0].check_every)
            first, stop = state.batches, min(meeting, per_epoch, state.batches + turn)
            began = time.perf_counter()
            with self.team.together(self.end):
                for worker in self.workers:
                    worker.advance(stop)
            if not self.alone and stop < per_epoch:  # the last batch may be smaller
                took = max(time.perf_counter() - began, 1e-9)
                self.turn = int(_TURN * (stop - first) / took)
            if state.batches == meeting:
                self._synchronize()
            self.pause()

    def _synchronize(self) -> None:
        """Do the outer step with the mean of all workers' pseudo-gradients."""
        placement = self.state.placement
        steppers = [state.stepper for state in self.states]
        found = [stepper.params for stepper in steppers]
        if not self.team.on_devices:
            found = [trees.map(placement.backend.to_host, each) for each in found]
        mean = placement.put(self.team.mean(found))
        for stepper in steppers:
            stepper.step(mean)

    # Between batches and epochs.

    def pause(self, *, save: bool = False, stop: bool = False) -> None:
        """Save the state if due, and stop if asked to, in all processes."""
        state, kept = self.state, self.checkpoints
        place = state.batches_in_all, len(state.history), len(state.pieces)
        if kept is not None:  # in the first worker's process
            stop = stop or kept.stopping()
            # A stopped evaluation has changed nothing.
            save = (save or stop or kept.due(place[0])) and place != self.saved
        now = save and kept is not None, stop, self.turn
        save, stop, self.turn = self.team.broadcast(now)
        if save:
            self._save(place)
        if stop:
            self.end("stopped")
            raise StoppedError(state.step)

    def _save(self, place: tuple[int, ...]) -> None:
        self.state.seconds = self._seconds()
        # No run can continue from weights that are not finite: keep the last good ones.
        finite = [first_nonfinite(each.stepper.params) is None for each in self.states]
        if not all(self.team.gather(finite)):
            return
        self.saved = place
        copies = self.team.gather([state.on_host() for state in self.states])
        if self.checkpoints is not None:
            self.checkpoints.save(place[0], joined(copies))
        self.team.broadcast(None)  # once it is written

    @contextmanager
    def interruptible(self, before: Snapshot | None = None) -> Iterator[None]:
        """Let a request to stop undo and end the block, after which all pause."""
        kept, places = self.checkpoints, {each.batches for each in self.states}
        if kept is None or len(places) > 1:
            yield  # workers stop only together
            return
        place = self.state.place()
        try:
            with kept.interruptible():
                yield
        except Interrupted:
            if before is None:
                self.state.go_back(place)
            else:
                self.state.restore(before)
            self.pause(stop=True)

    def _measured(self, epoch: int) -> bool:
        return epoch % self.evaluate_every == 0 or epoch == self.epochs

    def _end_epoch(self, epoch: int) -> None:
        """Evaluate if due, and prepare the next epoch."""
        record = self._recorded(epoch) if self._measured(epoch) else None
        for state in self.states:
            state.epoch, state.batches, state.epoch_updates = epoch, 0, 0
            if record is not None:
                state.loss_sum, state.labels = 0.0, 0
                state.history.append(record)
                state.pieces, state.read = [], {}
        if record is not None:
            self.share_history()
            self.report(EpochEnded(record, seconds=self._seconds()))
            if self.team.leads:
                loss = record.validation_loss + (record.train_loss or 0.0)
                if not math.isfinite(loss):
                    broken = first_nonfinite(self.state.stepper.evaluation_params())
                    self.workers[0].fail("evaluation", epoch, loss, broken)
                self._watch()
        self.pause()

    def _recorded(self, epoch: int) -> EpochRecord:
        """Evaluate in one process, and send the record to all."""
        sums = self.team.gather([(each.loss_sum, each.labels) for each in self.states])
        loss, labels = map(sum, zip(*sums, strict=True))
        sources = [self.data.train] * self.evaluate_train + [self.data.validation]
        record, found = None, self._evaluations(*sources)
        if found:
            *train, on_validation = found
            on_train = train[0] if train else None
            record = EpochRecord(
                epoch=epoch,
                step=self.state.step,
                batch_loss=loss / labels if labels else None,
                train_loss=None if on_train is None else on_train.loss,
                train_accuracy=None if on_train is None else on_train.accuracy,
                validation_loss=on_validation.loss,
                validation_accuracy=on_validation.accuracy,
                validation_top5_accuracy=getattr(on_validation, "top5_accuracy", None),
                skipped=self.state.skipped,
            )
        return cast("EpochRecord", self.team.broadcast(record))

    def _evaluations(self, *sources: Any) -> list[Any]:
        """Evaluate sources in the first worker's process, in pieces if the model can."""
        most, done = getattr(self.model, "evaluation_piece", None), self.state.pieces
        if most is None:
            found = []
            if self.team.leads:
                with self.interruptible():
                    found = [*map(self._evaluator(), sources)]
            self.pause()
            return found
        left = [
            (number, start, min(most, size - start))
            for number, size in enumerate(map(Piece.whole, sources))
            for start in range(0, max(1, size), most)
        ]
        for number, size, *_ in done:
            if not left or (number, size) != left.pop(0)[::2]:
                raise ValueError("resume must be a state of this run: pieces are others")
        evaluate = None
        for number, start, size in self.team.broadcast(left):
            if self.team.leads:
                carried = dict(self.state.read) if start else {}
                piece = Piece(sources[number], start, size, carried)
                with self.interruptible():
                    evaluate = evaluate or self._evaluator()
                    measured: Any = evaluate(piece)
                self.state.read = piece.carried
                done.append((number, size, *(float(x) for x in measured if x is not None)))
            self.pause()
        means = []
        for number in range(len(sources) if self.team.leads else 0):
            sizes, *columns = zip(*(each for n, *each in done if n == number), strict=True)
            means.append(Evaluation(*np.average(columns, axis=1, weights=sizes).tolist()))
        return means

    def _watch(self) -> None:
        """Report weights that have become worse than at the start."""
        records = (self.state.history[0], *self.state.history[-2:])
        start, before, now = (
            each.validation_loss if each.train_loss is None else each.train_loss
            for each in (records[0], *records[-2:])
        )
        if not now > start or before > start:
            return
        began = flatten(self.model.init(seeds(self.seed)[0]))
        phi = flatten(self.state.placement.fetch(self.state.stepper.evaluation_params()))
        moved = {path: float(np.linalg.norm(phi[path] - began[path])) for path in phi}
        parameter = max(moved, key=moved.__getitem__)
        self.report(Diverging(self.state.epoch, now, start, parameter, moved[parameter]))

    def _evaluator(self) -> Callable[[Any], Measured]:
        """Prepare to evaluate the current evaluation parameters."""
        params = self.state.stepper.evaluation_params()
        return evaluator(self.model, params, self.data.train, self.state.placement)

    def _seconds(self) -> float:
        return time.perf_counter() - self.began

    def end(self, error: str | None, tested: Measured | None = None) -> None:
        of_test = (None, None) if tested is None else (tested.loss, tested.accuracy)
        self.report(RunEnded(self.state.epoch, self._seconds(), error, *of_test))
