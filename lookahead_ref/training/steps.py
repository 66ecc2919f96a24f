"""The steps of one worker: gradients, updates, and checks for NaN and infinity."""

import itertools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import lookahead_ref as la
from lookahead_ref.gradients import clip_in_place
from lookahead_ref.training.events import Callback, StepSkipped, StepTaken
from lookahead_ref.training.feedback import Pace
from lookahead_ref.training.nonfinite import (
    NonFiniteLossError,
    Where,
    first_nonfinite,
    is_finite,
    joint_sum,
    sum_of_squares,
)
from lookahead_ref.training.state import Snapshot, TrainingState
from lookahead_ref.trees import flatten

OnNonFinite = Literal["stop", "skip"]
"""What to do about a batch whose loss or gradient is not finite."""

# In host memory the state is checked now and then, and after a gradient so large that its
# squares may overflow (smaller ones would take millions of steps).
_LARGE = 1e10
_STATE_CHECK_EVERY = 50


@dataclass(kw_only=True)
class Steps:
    """One worker's steps."""

    state: TrainingState
    gradient: Callable[[Any], tuple[Any, Any, Any]]
    clip: float | None
    pace: Pace | None
    on_nonfinite: OnNonFinite
    check_every: int
    report: Callback
    interruptible: Callable[[Snapshot | None], AbstractContextManager[None]]
    """A context that a request to stop may undo and end."""
    pause: Callable[[], None]
    """Called between batches."""

    def advance(self, until: int) -> None:
        """Learn from the epoch's batches up to a number."""
        state = self.state
        while state.batches < until:
            left = until - state.batches
            if self.check_every == 1:
                self._look_at_each(left)
                continue
            before, count = state.snapshot(), min(left, self.check_every)
            with self.interruptible(before):
                all_finite = self._look_after(count)
            if not all_finite:
                state.restore(before)
                self._look_at_each(count)
            del before  # memory may have room for only one
            self.pause()

    def _look_at_each(self, count: int) -> None:
        """Learn from some batches, checking each gradient before its update."""
        state, batches = self.state, self.state.stream.epoch()
        for _ in range(count):
            with self.interruptible(None):
                batch = next(batches)
                loss, carried, grads = self.gradient(batch)
            state.batches += 1
            fault = self._update_if_finite(batch, float(loss), grads)
            if fault is None:
                state.carried = carried
                self._take(_labels(batch), float(loss))
            else:
                self._leave_out(batch, float(loss), *fault)
            self.pause()

    def _update_if_finite(
        self, batch: Any, loss: float, grads: Any
    ) -> tuple[Where, str | None] | None:
        """Do an update, or return what is not finite, and where."""
        stepper, before = self.state.stepper, None
        squares = sum_of_squares(grads)
        total = squares + loss
        if not math.isfinite(total):
            parameter = first_nonfinite(grads)
            if parameter is not None or not math.isfinite(loss):
                return ("gradient" if math.isfinite(loss) else "batch"), parameter
            # The square of so large a gradient would make a slot infinite for good.
            before = stepper.state_dict()
        self._update(batch, grads, squares)
        batches = self.state.batches
        last = batches == self.state.stream.batches_per_epoch
        if total < _LARGE and batches % _STATE_CHECK_EVERY and not last:
            return None
        entry = first_nonfinite(stepper.state_arrays)
        if entry is None:
            return None
        if before is not None:
            stepper.load_state_dict(before)
        return "state", entry

    def _look_after(self, count: int) -> bool:
        """Learn from some batches without waiting; return whether all is finite."""
        state = self.state
        pending = []
        for batch in itertools.islice(state.stream.epoch(), count):
            loss, carried, grads = self.gradient(batch)
            state.batches += 1
            total = joint_sum(loss, flatten(grads).values())
            self._update(batch, grads)
            state.carried = carried
            total = joint_sum(total, state.stepper.state_arrays.values())
            pending.append((_labels(batch), loss, total))
        # If not, the state is useless, and the batches are repeated one by one.
        if not all(math.isfinite(float(total)) for *_, total in pending):
            return False
        for labels, loss, _ in pending:
            self._take(labels, float(loss))
        return True

    def _update(self, batch: Any, grads: Any, squares: float | None = None) -> None:
        if self.pace is not None:
            self.pace.scale = getattr(batch, "scale", 1.0)
        if self.clip is not None:
            if squares is None and self.state.placement.on_host:
                squares = sum_of_squares(grads)
            if squares is None or not clip_in_place(grads, squares, self.clip):
                grads, _ = la.clip_by_global_norm(grads, self.clip)
        self.state.stepper.step(grads)

    def _take(self, labels: int, loss: float) -> None:
        state = self.state
        self.report(StepTaken(step=state.step, epoch=state.epoch + 1, loss=loss))
        state.step += 1
        state.epoch_updates += 1
        state.loss_sum += labels * loss
        state.labels += labels

    def _leave_out(self, batch: Any, loss: float, of: Where, parameter: str | None) -> None:
        """Skip a batch with something not finite, or stop."""
        state = self.state
        broken = first_nonfinite(state.stepper.params)
        none_left = (
            state.batches == state.stream.batches_per_epoch and not state.epoch_updates
        )
        # With weights or slots that are not finite, every batch would be skipped.
        if (
            self.on_nonfinite == "stop"
            or none_left
            or broken is not None
            or first_nonfinite(state.stepper.state_arrays) is not None
        ):
            self.fail(of, state.epoch + 1, loss, broken, parameter, batch)
        state.skipped += 1
        self.report(StepSkipped(state.step, state.epoch + 1, loss, parameter))

    def fail(
        self,
        of: Where,
        epoch: int,
        loss: float,
        broken: str | None,
        parameter: str | None = None,
        batch: Any = None,
    ) -> NoReturn:
        """Raise the error that ends the run; `broken` is a parameter that is not finite."""
        raise NonFiniteLossError(
            *(of, self.state.step, epoch, loss, tuple(self.state.history)),
            parameter if broken is None or of == "state" else broken,
            parameter_is_finite=broken is None,
            inputs_are_finite=is_finite(batch),
        )


def _labels(batch: Any) -> int:
    """Count the labels of a batch, over which its loss is the mean."""
    return int(getattr(getattr(batch, "labels", None), "size", 1))
