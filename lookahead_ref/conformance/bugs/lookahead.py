"""Bugs of Lookahead: of synchronizing, inner state, saving, nesting, and of schedules."""

from typing import Any

from lookahead_ref.conformance.bugs.simulation import (
    Bug,
    Evaluated,
    SimulatedInner,
    SimulatedLookahead,
    SimulatedProgram,
    State,
    arrays_of,
)
from lookahead_ref.conformance.oracle import Gradients, Slots, Tensors, interpolate

# When it synchronizes, where phi starts, and what the outer update does.


class PeriodPlusOne(Bug, SimulatedLookahead):
    clause, place = "LA-3", "period"
    says = "synchronizes every k + 1 steps"
    breaks = "k is not the k that was tuned, and k = 1 does not exist"
    fix = "count the step first, then compare the count with k"
    given = {"k": lambda self: self.k + 1}


class PeriodMinusOne(Bug, SimulatedLookahead):
    clause, place = "LA-3", "period"
    says = "synchronizes every k - 1 steps"
    breaks = "k is not the k that was tuned"
    fix = "compare the number of steps done, not of steps begun, with k"
    given = {"k": lambda self: max(1, self.k - 1)}


class FirstSyncAtStep1(Bug, SimulatedLookahead):
    clause, place = "LA-3", "first"
    says = "synchronizes after step 1, and every k steps from there"
    breaks = "the first cycle is cut to one step and every later one is out of phase"
    fix = "count the step before testing whether k divides the count"

    def first_count(self) -> int:
        return int(self.k) - 1


class NeverSynchronizes(Bug, SimulatedLookahead):
    clause, place = "LA-3", "first"
    says = "never synchronizes"
    breaks = "this is the inner optimizer alone, with phi carried along for nothing"
    fix = "count the steps where all of them pass, and compare the count with k"

    def due(self) -> bool:
        return False


class PhiAfterFirstStep(Bug, SimulatedLookahead):
    clause, place = "LA-1", "capture"
    says = "captures phi after the first inner step"
    breaks = "phi_0 is not theta_0: every slow weight is displaced by the first update"
    fix = "copy the parameters when the optimizer is made, before any step"

    def after_inner_step(self, theta: Tensors) -> None:
        self.capture(self.stepped(), theta)
        super().after_inner_step(theta)


class PhiAtFirstSync(Bug, SimulatedLookahead):
    clause, place = "LA-1", "capture"
    says = "captures phi at the first synchronization"
    breaks = "the first synchronization does nothing: k steps run without Lookahead"
    fix = "copy the parameters when the optimizer is made, before any step"

    def synchronize(self, theta: Tensors) -> Tensors:
        self.capture(self.moving, theta)
        return super().synchronize(theta)


class PhiStartsAtZero(Bug, SimulatedLookahead):
    clause, place = "LA-1", "capture"
    says = "starts phi at zero"
    breaks = "the first synchronization pulls the weights towards the origin"
    fix = "start phi as a copy of the parameters, not as zeros"
    given = {"phi": lambda self: [[self.arithmetic.number(0.0)] * len(x) for x in self.phi]}


class PhiStartsAtFirstGradient(Bug, SimulatedLookahead):
    clause, place = "LA-1", "capture"
    says = "starts phi at the first gradient"
    breaks = "the first synchronization mixes a gradient into the weights"
    fix = "copy the parameter's data, not its gradient's"

    def after_inner_step(self, theta: Tensors) -> None:
        given = zip(self.grads, self.phi, strict=True)
        self.capture(self.stepped(), [p if g is None else list(g) for g, p in given])
        super().after_inner_step(theta)


class AlphaSwapped(Bug, SimulatedLookahead):
    clause, place, needs = "LA-5", "alpha", ("alpha",)
    says = "uses 1 - alpha for alpha"
    breaks = "alpha = 0.8 behaves as 0.2; nothing shows at 0.5"
    fix = "move phi the fraction alpha towards theta: phi + alpha (theta - phi)"
    given = {"alpha": lambda self: [1 - each for each in self.alpha]}


class AlphaIgnored(Bug, SimulatedLookahead):
    clause, place, needs = "LA-5", "alpha", ("alpha",)
    says = "sets phi to theta at a synchronization"
    breaks = "this is the inner optimizer alone"
    fix = "move phi the fraction alpha towards theta: phi + alpha (theta - phi)"
    given = {"alpha": lambda self: [self.arithmetic.number(1.0)]}


class SyncBeforeInnerStep(Bug, SimulatedLookahead):
    clause, place = "LA-4", "order"
    says = "synchronizes before the k-th inner step, not after it"
    breaks = (
        "at first a cycle has k - 1 steps; the k-th gradient is of weights that were left"
    )
    fix = "do the inner step first, then the synchronization"

    def advance(self, theta: Tensors, grads: Gradients) -> Tensors:
        self.ahead = self.cycle_step + 1 == self.k
        if not self.ahead:
            return super().advance(theta, grads)
        self.before, self.grads = theta, grads
        self.cycle_step += 1
        self.calls += 1
        self.after_inner_step(theta)
        self.synchronized = True
        return theta

    def step(self, theta: Tensors, grads: Gradients) -> Tensors:
        return self.restarted(super().step(theta, grads))

    def restarted(self, theta: Tensors) -> Tensors:
        return self.inner.step(theta, self.grads) if self.ahead else theta


class SyncWithOldFast(Bug, SimulatedLookahead):
    clause, place = "LA-4", "order"
    says = "interpolates with the fast weights from before the k-th inner step"
    breaks = "every k-th update is lost"
    fix = "hand the weights that the inner step returned to the outer update"

    def handed(self, theta: Tensors) -> Tensors:
        return self.before


class FastNotRestarted(Bug, SimulatedLookahead):
    clause, place = "LA-7", "write"
    says = "leaves the fast weights where they are at a synchronization"
    breaks = "phi is an average beside the training, which it never touches"
    fix = "write phi to the parameters after the outer update"

    def synchronize(self, theta: Tensors) -> Tensors:
        super().synchronize(theta)
        return theta


class PhiNotStored(Bug, SimulatedLookahead):
    clause, place = "LA-7", "write"
    says = "writes the interpolation to the fast weights but keeps the old phi"
    breaks = "every cycle is pulled back towards the initial weights"
    fix = "store the new phi as well as writing it to the parameters"

    def synchronize(self, theta: Tensors) -> Tensors:
        phi, new = self.phi, super().synchronize(theta)
        self.phi = phi
        return new


class PhiTakesFast(Bug, SimulatedLookahead):
    clause, place = "LA-7", "write"
    says = "stores the fast weights as phi, and writes the interpolation to the parameters"
    breaks = "phi is where the last cycle ended, not an average of all of them"
    fix = "store the interpolation as phi, and write that to the parameters"

    def synchronize(self, theta: Tensors) -> Tensors:
        new = super().synchronize(theta)
        self.phi = theta
        return new


# What a synchronization does to the inner optimizer's slots and counts.


class InnerStateNotReset(Bug, SimulatedLookahead):
    clause, place, needs = "LA-12", "reset", ("reset", "slots")
    says = "maintains the inner state though reset was asked for"
    breaks = "momentum of the old cycle pushes the new one"
    fix = "make the slots and the count anew at each synchronization"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        self.slots, self.innermost.count = slots, counts


class OnlyMomentumReset(Bug, SimulatedLookahead):
    clause, place, needs = "LA-12", "reset", ("reset", "slots")
    says = "resets a velocity by its name, and leaves the state of every other optimizer"
    breaks = "reset works with SGD and silently does nothing with Adam or AdaGrad"
    fix = "reset every slot that the inner optimizer keeps, whatever its name"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        if "velocity" not in slots:
            self.slots, self.innermost.count = slots, counts


class CountNotReset(Bug, SimulatedLookahead):
    clause, place, needs = "LA-15", "reset", ("reset", "adam")
    says = "zeroes the slots but leaves the count that Adam's bias correction uses"
    breaks = (
        "moments near zero are taken for settled ones: updates after a reset are far off"
    )
    fix = "reset the count together with the slots"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        self.innermost.count = counts


class SlotsNotReset(Bug, SimulatedLookahead):
    clause, place, needs = "LA-12", "reset", ("reset", "adam")
    says = "resets the count but not the slots"
    breaks = "the bias correction inflates moments that are already settled"
    fix = "zero the slots together with the count"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        self.slots = slots


class ResetRestartsSchedule(Bug, SimulatedLookahead):
    clause, place, needs = "LA-14", "reset", ("reset", "rates")
    says = "restarts the learning rate's schedule at a reset"
    breaks = "warm-up repeats every k steps, and decay never comes"
    fix = "keep the schedule's clock apart from the count that reset clears"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        self.innermost.clock = 0


class StateResetUnasked(Bug, SimulatedLookahead):
    clause, place, needs = "LA-11", "state", ("maintain", "slots")
    says = "resets the inner state though it was to be maintained"
    breaks = "momentum is lost every k steps"
    fix = "leave the inner optimizer's state alone unless asked"
    given = {"inner_state": lambda self: self.inner_state.replace("maintain", "reset")}


class InterpolatedSlotsAliased(Bug, SimulatedLookahead):
    clause, place, needs = "LA-13", "interpolation", ("interpolate", "slots")
    says = "keeps a reference to the slots, not a copy, as what to interpolate from"
    breaks = "interpolation silently becomes maintain"
    fix = "copy the slots after each synchronization"

    @classmethod
    def as_dict(cls) -> dict[str, str]:
        # The vectors name one cause only; another one looks the same.
        return super().as_dict() | {
            "says": f"{cls.says}, or never writes to the slots what it interpolates",
            "fix": f"{cls.fix}, or write what is interpolated to the slots",
        }

    def slots_to_start_from(self) -> Slots:
        return self.slots


class OtherAlphaForSlots(SimulatedLookahead):
    """Slots move by 1 - alpha."""

    def after_interpolation(self, slots: Slots, anchor: Slots, alpha: Any) -> None:
        self.slots = self.anchor = {
            name: interpolate(anchor[name], tensors, 1 - alpha)
            for name, tensors in slots.items()
        }
        self.inner.follow(self.phi)


class InterpolatedSlotsSwapped(Bug, OtherAlphaForSlots):
    clause, place, needs = "LA-13", "interpolation", ("interpolate", "slots")
    says = "interpolates slots with 1 - alpha"
    breaks = "slots follow the old cycle where weights follow the new one; not seen at 0.5"
    fix = "move slots by the same alpha as the weights"


class InterpolatedSlotsNotKept(Bug, SimulatedLookahead):
    clause, place, needs = "LA-13", "interpolation", ("interpolate", "slots")
    says = "keeps the slots from before an interpolation as what to interpolate from next"
    breaks = "the next synchronization starts from slots that the last one has left"
    fix = "copy the slots after the interpolation"

    def after_interpolation(self, slots: Slots, anchor: Slots, alpha: Any) -> None:
        self.anchor = slots


class OnlyMomentumInterpolated(Bug, SimulatedLookahead):
    clause, place, needs = "LA-13", "interpolated", ("interpolate", "slots")
    says = "interpolates a velocity by its name, and no slot of any other optimizer"
    breaks = "interpolation works with SGD and silently does nothing with Adam or AdaGrad"
    fix = "interpolate every slot that the inner optimizer keeps, whatever its name"

    def slots_to_start_from(self) -> Slots:
        return super().slots_to_start_from() if "velocity" in self.slots else self.slots


class SlotsAnchoredAtFirstSync(Bug, SimulatedLookahead):
    clause, place, needs = "LA-13", "interpolation", ("interpolate", "slots")
    says = "first keeps slots to interpolate from at the first synchronization"
    breaks = "the first synchronization leaves the slots alone"
    fix = "start from the slots as they are made: zeros"

    def slots_to_start_from(self) -> Slots:
        return self.anchor if self.syncs else self.slots


# What is evaluated, saved and restored.


class EvaluatesFastWeights(Bug, SimulatedProgram):
    clause, place, needs = "LA-9", "evaluation", ("evaluate",)
    says = "evaluates the fast weights"
    breaks = (
        "the weights that are measured and shipped are not those that Lookahead returns"
    )
    fix = "evaluate, save and return phi"

    def evaluate(self, outermost: Any, theta: Tensors) -> Evaluated:
        return theta, theta


class EvaluationNotUndone(Bug, SimulatedProgram):
    clause, place, needs = "LA-10", "evaluation", ("evaluate",)
    says = "leaves phi in the parameters after an evaluation"
    breaks = "how often one evaluates changes the training"
    fix = "put the fast weights back, to the bit, after the evaluation"

    def evaluate(self, outermost: Any, theta: Tensors) -> Evaluated:
        return outermost.phi, outermost.phi


class EvaluationSynchronizes(Bug, SimulatedProgram):
    clause, place, needs = "LA-10", "evaluation", ("evaluate",)
    says = "forces a synchronization in order to evaluate"
    breaks = "how often one evaluates changes the training"
    fix = "evaluate phi as it is, and put the fast weights back afterwards"

    def evaluate(self, outermost: Any, theta: Tensors) -> Evaluated:
        counted = outermost.cycle_step
        outermost.synchronize(theta)
        outermost.cycle_step = counted
        return outermost.phi, outermost.phi


class CheckpointWithoutPhi(Bug, SimulatedProgram):
    clause, place, needs = "LA-22", "checkpoint", ("save",)
    says = "saves no phi, and captures it anew from the loaded parameters"
    breaks = "after each restart the next synchronization starts from the wrong place"
    fix = "save phi and restore it"
    lost = ("phi", "lacking")


class CheckpointWithoutStepCounter(Bug, SimulatedProgram):
    clause, place, needs = "LA-22", "checkpoint", ("save",)
    says = "saves no count of the steps since the last synchronization"
    breaks = "after a restart in the middle of a cycle every synchronization comes late"
    fix = "save the step counter and restore it"
    lost = ("cycle_step", "calls")


class CheckpointWithoutCount(Bug, SimulatedProgram):
    clause, place, needs = "LA-22", "checkpoint", ("save", "adam")
    says = "saves the slots but not the count that Adam's bias correction uses"
    breaks = "updates are far too large for a while after each restart"
    fix = "save the inner optimizer's count and restore it"
    lost = ("count",)


class CheckpointWithoutSlots(Bug, SimulatedProgram):
    clause, place, needs = "LA-22", "checkpoint", ("save", "slots")
    says = "saves no state of the inner optimizer"
    breaks = "momentum and moments start from nothing after each restart"
    fix = "save the inner optimizer's state and restore it"
    lost = ("slots", "count")


class CheckpointWithoutSchedule(Bug, SimulatedProgram):
    clause, place, needs = "LA-22", "checkpoint", ("save", "rates")
    says = "saves no clock of the learning rate's schedule"
    breaks = "warm-up and decay begin again after each restart"
    fix = "save the schedule's clock and restore it"
    lost = ("clock",)


class CheckpointWithoutAnchor(Bug, SimulatedProgram):
    clause, place, needs = "LA-22", "checkpoint", ("save", "slots", "interpolate")
    says = "saves no slots to interpolate from"
    breaks = "the first synchronization after a restart interpolates from the wrong slots"
    fix = "save the slots of the last synchronization and restore them"
    lost = ("anchor",)


class CheckpointWithoutSyncCount(Bug, SimulatedProgram):
    clause, place, needs = "LA-22", "checkpoint", ("save", "alphas")
    says = "saves no count of synchronizations"
    breaks = "alpha's schedule begins again after each restart"
    fix = "save the number of synchronizations and restore it"
    lost = ("syncs",)


class CheckpointSharesMemory(Bug, SimulatedProgram):
    clause, place, needs = "LA-23", "checkpoint", ("save",)
    says = "hands out its own arrays as the saved state"
    breaks = "a state kept in memory changes with the training: no way back to the best"
    fix = "copy every array when the state is taken"

    def saved(self, then: State, now: State) -> State:
        return [a | b for a, b in zip(then, arrays_of(now), strict=True)]


class CheckpointIsLive(Bug, SimulatedProgram):
    clause, place, needs = "LA-23", "checkpoint", ("save",)
    says = "hands out its running state, counts included, as the saved one"
    breaks = "what is written later is a later state beside the step that was to be kept"
    fix = "copy arrays and counts when the state is taken"

    def saved(self, then: State, now: State) -> State:
        return now


# A Lookahead around another; schedules and their clocks.


class NestedPhiKept(Bug, SimulatedLookahead):
    clause, place, needs = "LA-19", "nested", ("nested",)
    says = "leaves the inner phi where it was at an outer synchronization"
    breaks = (
        "the next inner synchronization pulls back to weights that the outer one has left"
    )
    fix = "set the phi of every level below to the new weights"

    def follow(self, phi: Tensors) -> None:
        kept = self.phi
        super().follow(phi)
        self.phi = kept


class OuterCountsCycles(Bug, SimulatedLookahead):
    clause, place, needs = "LA-17", "cycles", ("nested",)
    says = "counts inner synchronizations, not calls of step, for the outer period"
    breaks = "the outer period is k times too long"
    fix = "count calls of step at every level"

    def counts(self) -> bool:
        return not isinstance(self.inner, SimulatedLookahead) or self.inner.synchronized


class ScheduleOneAhead(Bug, SimulatedInner):
    clause, place, needs = "LA-14", "rate", ("rates",)
    says = "asks the learning rate's schedule for step 1 at the first update"
    breaks = "warm-up and decay come a step early"
    fix = "the schedule sees 0 at the first update"
    given = {"clock": lambda _: 1}


class ScheduleFrozen(Bug, SimulatedInner):
    clause, place, needs = "LA-14", "rate", ("rates",)
    says = "keeps the first learning rate"
    breaks = "schedules do nothing"
    fix = "read the learning rate anew at each step"
    given = {"learning_rate": lambda self: self.learning_rate[:1]}


class ScheduleSeesSyncs(Bug, SimulatedLookahead):
    clause, place, needs = "LA-14", "rate", ("rates",)
    says = "sets the schedule's clock to the number of synchronizations"
    breaks = "warm-up and decay take k times as long"
    fix = "the learning rate's schedule sees the number of updates done"

    def synchronize(self, theta: Tensors) -> Tensors:
        new = super().synchronize(theta)
        self.innermost.clock = self.syncs
        return new


class AlphaFrozen(Bug, SimulatedLookahead):
    clause, place, needs = "LA-16", "alpha", ("alphas",)
    says = "keeps the first alpha"
    breaks = "a schedule of alpha does nothing"
    fix = "read alpha anew at each synchronization"
    given = {"alpha": lambda self: self.alpha[:1]}


class AlphaSeesSteps(Bug, SimulatedLookahead):
    clause, place, needs = "LA-16", "alpha", ("alphas",)
    says = "asks alpha's schedule for the number of steps"
    breaks = "a schedule of alpha runs k times too fast"
    fix = "alpha's schedule sees the number of synchronizations done"

    def synchronize(self, theta: Tensors) -> Tensors:
        self.syncs = self.calls - 1
        return super().synchronize(theta)
