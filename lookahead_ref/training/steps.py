"""Batch after batch: the gradient, the update, and what is not finite."""

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

# In host memory the state is looked at after a gradient that may have made it infinite (the
# sum of its squares is that large; smaller ones add up for millions of steps), and now and
# then for what else a rule may do.
_LARGE = 1e10
_STATE_CHECK_EVERY = 50


@dataclass(kw_only=True)
class Steps:
    """What one worker does, from batch to batch."""

    state: TrainingState
    gradient: Callable[[Any], tuple[Any, Any, Any]]
    clip: float | None
    pace: Pace | None
    on_nonfinite: OnNonFinite
    check_every: int
    report: Callback
    interruptible: Callable[[Snapshot | None], AbstractContextManager[None]]
    """A context that a request to stop may end, as if it had not begun."""
    pause: Callable[[], None]
    """Called between batches."""

    def advance(self, until: int) -> None:
        """Go through the epoch's batches up to a number."""
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
            del before  # there is room for one, not for this and the next
            self.pause()

    def _look_at_each(self, count: int) -> None:
        """Go through some batches, looking at each one's gradient before it is used."""
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
        """Make an update, or tell why none was made: what is not finite, and where."""
        stepper, before = self.state.stepper, None
        squares = float(sum_of_squares(0.0, flatten(grads).values()))
        total = squares + loss
        if not math.isfinite(total):
            parameter = first_nonfinite(grads)
            if parameter is not None or not math.isfinite(loss):
                return ("gradient" if math.isfinite(loss) else "batch"), parameter
            # A rule that squares what is so large makes a slot infinite, for good.
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
        """Go through some batches without waiting for any; tell whether all is finite."""
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
        # The state is of no use then; a sum that overflowed is cleared up batch by batch.
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
                squares = float(sum_of_squares(0.0, flatten(grads).values()))
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
        """Skip a batch of which something is not finite, or stop."""
        state = self.state
        broken = first_nonfinite(state.stepper.params)
        none_left = (
            state.batches == state.stream.batches_per_epoch and not state.epoch_updates
        )
        # Weights and slots that are not finite make every batch like this one.
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
        """Raise what ends the run; `broken` is a parameter that is not finite itself."""
        raise NonFiniteLossError(
            *(of, self.state.step, epoch, loss, self.state.history),
            parameter if broken is None or of == "state" else broken,
            parameter_is_finite=broken is None,
            inputs_are_finite=is_finite(batch),
        )


def _labels(batch: Any) -> int:
    """Count what a batch's loss is the mean of; the last batch may have less."""
    return int(getattr(getattr(batch, "labels", None), "size", 1))
