"""Bugs of what a synchronization does to the inner optimizer's slots and counts."""

from typing import Any

from lookahead_ref.conformance.bugs.bug import Bug
from lookahead_ref.conformance.bugs.simulation import Lookahead
from lookahead_ref.conformance.oracle import Slots, Tensors, interpolate


class InnerStateNotReset(Bug, Lookahead):
    clause, place, needs = "LA-12", "reset", ("reset", "slots")
    says = "maintains the inner state though reset was asked for"
    breaks = "momentum of the old cycle pushes the new one"
    fix = "make the slots and the count anew at each synchronization"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        self.slots, self.innermost.count = slots, counts


class OnlyMomentumReset(Bug, Lookahead):
    clause, place, needs = "LA-12", "reset", ("reset", "slots")
    says = "resets a velocity by its name, and leaves the state of every other optimizer"
    breaks = "reset works with SGD and silently does nothing with Adam or AdaGrad"
    fix = "reset every slot that the inner optimizer keeps, whatever its name"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        if "velocity" not in slots:
            self.slots, self.innermost.count = slots, counts


class CountNotReset(Bug, Lookahead):
    clause, place, needs = "LA-15", "reset", ("reset", "adam")
    says = "zeroes the slots but leaves the count that Adam's bias correction uses"
    breaks = (
        "moments near zero are taken for settled ones: updates after a reset are far off"
    )
    fix = "reset the count together with the slots"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        self.innermost.count = counts


class SlotsNotReset(Bug, Lookahead):
    clause, place, needs = "LA-12", "reset", ("reset", "adam")
    says = "resets the count but not the slots"
    breaks = "the bias correction inflates moments that are already settled"
    fix = "zero the slots together with the count"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        self.slots = slots


class ResetRestartsSchedule(Bug, Lookahead):
    clause, place, needs = "LA-14", "reset", ("reset", "rates")
    says = "restarts the learning rate's schedule at a reset"
    breaks = "warm-up repeats every k steps, and decay never comes"
    fix = "keep the schedule's clock apart from the count that reset clears"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        self.innermost.clock = 0


class StateResetUnasked(Bug, Lookahead):
    clause, place, needs = "LA-11", "state", ("maintain", "slots")
    says = "resets the inner state though it was to be maintained"
    breaks = "momentum is lost every k steps"
    fix = "leave the inner optimizer's state alone unless asked"

    def begin(self, theta: Tensors) -> None:
        super().begin(theta)
        if self.inner_state == "maintain":
            self.inner_state = "reset"


class InterpolatedSlotsAliased(Bug, Lookahead):
    clause, place, needs = "LA-13", "interpolation", ("interpolate", "slots")
    says = "keeps a reference to the slots, not a copy, as what to interpolate from"
    breaks = "interpolation silently becomes maintain"
    fix = "copy the slots after each synchronization"

    def slots_to_start_from(self) -> Slots:
        return self.slots


class InterpolatedSlotsSwapped(Bug, Lookahead):
    clause, place, needs = "LA-13", "interpolation", ("interpolate", "slots")
    says = "interpolates slots with 1 - alpha"
    breaks = "slots follow the old cycle where weights follow the new one; not seen at 0.5"
    fix = "move slots by the same alpha as the weights"

    def after_interpolation(self, slots: Slots, anchor: Slots, alpha: Any) -> None:
        self.slots = self.anchor = {
            name: interpolate(anchor[name], tensors, 1 - alpha)
            for name, tensors in slots.items()
        }
        self.inner.follow(self.phi)


class InterpolatedSlotsNotKept(Bug, Lookahead):
    clause, place, needs = "LA-13", "interpolation", ("interpolate", "slots")
    says = "keeps the slots from before an interpolation as what to interpolate from next"
    breaks = "the next synchronization starts from slots that the last one has left"
    fix = "copy the slots after the interpolation"

    def after_interpolation(self, slots: Slots, anchor: Slots, alpha: Any) -> None:
        self.anchor = slots


class OnlyMomentumInterpolated(Bug, Lookahead):
    clause, place, needs = "LA-13", "interpolation", ("interpolate", "slots")
    says = "interpolates a velocity by its name, and no slot of any other optimizer"
    breaks = "interpolation works with SGD and silently does nothing with Adam or AdaGrad"
    fix = "interpolate every slot that the inner optimizer keeps, whatever its name"

    def slots_to_start_from(self) -> Slots:
        return self.anchor if "velocity" in self.slots else self.slots


class SlotsAnchoredAtFirstSync(Bug, Lookahead):
    clause, place, needs = "LA-13", "interpolation", ("interpolate", "slots")
    says = "first keeps slots to interpolate from at the first synchronization"
    breaks = "the first synchronization leaves the slots alone"
    fix = "start from the slots as they are made: zeros"

    def slots_to_start_from(self) -> Slots:
        return self.anchor if self.syncs else self.slots
