"""The training loop: batches, gradients, updates, and evaluation on the slow weights."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

import lookahead_ref as la
from lookahead_ref import hyperparameters
from lookahead_ref.data import BatchStream, Dataset, Examples
from lookahead_ref.training.events import (
    Callback,
    EpochEnded,
    EpochRecord,
    Event,
    RunEnded,
    RunStarted,
    StepTaken,
)

__all__ = ["Evaluation", "Model", "NonFiniteLossError", "TrainingResult", "train"]


class Evaluation(Protocol):
    """What a model's `evaluate` measures."""

    @property
    def loss(self) -> float:
        """Mean loss, in nats."""

    @property
    def accuracy(self) -> float:
        """Share of right answers, from 0 to 1."""


class Model(Protocol):
    """What the loop needs of a model; `lookahead_ref.zoo.MLP` is one."""

    def init(self, seed: int | np.random.SeedSequence) -> Any:
        """Draw initial parameters."""

    def loss(self, params: Any, batch: Examples) -> Any:
        """Mean loss of a batch, differentiable."""

    def evaluate(self, params: Any, examples: Any) -> Evaluation:
        """Measure loss and accuracy."""


@dataclass(frozen=True)
class TrainingResult:
    """What a run leaves behind."""

    params: Mapping[str, Any]
    """The evaluation parameters at the end, as NumPy arrays: for Lookahead the slow
    weights. A copy."""
    history: tuple[EpochRecord, ...]
    """One record an epoch, from epoch 0, the start."""
    steps: int
    """Updates made."""
    seconds: float
    """Wall time, evaluation included."""


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite.

    Attributes
    ----------
    of : {"batch", "evaluation"}
        Whether it is the loss of a batch, whose update was then not made, or that of
        the evaluation after an epoch.
    step : int
        Updates made before; as the global step is 0 at the first update, also the step
        of the batch.
    epoch : int
        The epoch it belongs to: 1 is the first.
    loss : float
        What it became.
    history : tuple of EpochRecord
        The epochs that were evaluated; the last one holds the loss if it is the
        evaluation's.
    """

    def __init__(
        self,
        of: Literal["batch", "evaluation"],
        step: int,
        epoch: int,
        loss: float,
        history: Sequence[EpochRecord],
    ) -> None:
        which = "the batch" if of == "batch" else "the evaluated weights"
        super().__init__(
            f"the loss of {which} is {loss} at step {step}, in epoch {epoch}: training "
            "stopped (a smaller learning rate may help)"
        )
        self.of = of
        self.step = step
        self.epoch = epoch
        self.loss = loss
        self.history = tuple(history)

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way back from a worker process."""
        return type(self), (self.of, self.step, self.epoch, self.loss, self.history)


def train(
    model: Model,
    data: Dataset,
    optimizer: Any,
    *,
    schedule: Callable[[int], float] | None = None,
    seed: int,
    epochs: int,
    batch_size: int,
    backend: str = "numpy",
    callbacks: Sequence[Callback] = (),
) -> TrainingResult:
    """Train a model.

    The seed decides the initial parameters and the batches, from two separate streams:
    runs that differ only in the optimizer start at the same point and see the same
    batches.

    Parameters
    ----------
    model : Model
        Such as `lookahead_ref.zoo.MLP`.
    data : Dataset
        What to train on and what to validate on.
    optimizer : Optimizer
        Any optimizer of this library.
    schedule : callable, optional
        From the global step, 0 at the first update, to the learning rate. It takes the
        place of the learning rate of the innermost optimizer.
    seed : int
        Not negative.
    epochs : int
        Passes over the training examples, at least 1.
    batch_size : int
        Examples in a batch.
    backend : str, default "numpy"
        What makes the updates: see `lookahead_ref.Stepper`.
    callbacks : sequence of callable
        Called with each event, in this order. An exception in one ends the run.

    Returns
    -------
    TrainingResult
        The evaluation parameters and the history.

    Raises
    ------
    NonFiniteLossError
        If the loss of a batch or of an evaluation is NaN or infinite. The callbacks are
        told first.
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
    seed = hyperparameters.count("seed", seed, least=0)
    if schedule is not None:
        optimizer = la.with_learning_rate(optimizer, schedule)

    init_seed, batch_seed = np.random.SeedSequence(seed).spawn(2)
    stream = BatchStream(data.train, batch_size, batch_seed)
    stepper = la.Stepper(optimizer, model.init(init_seed), backend=backend)
    value_and_grad = la.value_and_grad(model.loss)

    began = time.perf_counter()
    history: list[EpochRecord] = []

    def report(event: Event) -> None:
        for callback in callbacks:
            callback(event)

    def end(error: str | None) -> float:
        seconds = time.perf_counter() - began
        report(RunEnded(epochs=max(len(history) - 1, 0), seconds=seconds, error=error))
        return seconds

    def check(of: Literal["batch", "evaluation"], loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            error = NonFiniteLossError(of, step, epoch, loss, history)
            end(str(error))
            raise error

    def evaluate(epoch: int, batch_loss: float | None) -> None:
        params = stepper.evaluation_params()
        on_train = model.evaluate(params, data.train)
        on_validation = model.evaluate(params, data.validation)
        record = EpochRecord(
            epoch=epoch,
            step=step,
            batch_loss=batch_loss,
            train_loss=on_train.loss,
            train_accuracy=on_train.accuracy,
            validation_loss=on_validation.loss,
            validation_accuracy=on_validation.accuracy,
        )
        history.append(record)
        report(EpochEnded(record, seconds=time.perf_counter() - began))
        check("evaluation", on_train.loss + on_validation.loss, epoch)

    report(
        RunStarted(
            model=repr(model),
            data=data.name,
            optimizer=repr(optimizer),
            backend=backend,
            seed=seed,
            epochs=epochs,
            batch_size=batch_size,
            steps_per_epoch=stream.batches_per_epoch,
        )
    )
    step = 0
    # A loss that overflows is an error with a step, not a warning from inside NumPy.
    with np.errstate(over="ignore", invalid="ignore"):
        evaluate(epoch=0, batch_loss=None)
        for epoch in range(1, epochs + 1):
            total = 0.0
            for batch in stream.epoch():
                value, grads = value_and_grad(stepper.params, batch)
                loss = float(value)
                check("batch", loss, epoch)
                stepper.step(grads)
                report(StepTaken(step=step, epoch=epoch, loss=loss))
                step += 1
                total += loss
            evaluate(epoch, batch_loss=total / stream.batches_per_epoch)
    seconds = end(None)
    return TrainingResult(
        params=_copied(stepper.evaluation_params()),
        history=tuple(history),
        steps=step,
        seconds=seconds,
    )


def _copied(params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _copied(item) if isinstance(item, Mapping) else np.array(item)
        for name, item in params.items()
    }
