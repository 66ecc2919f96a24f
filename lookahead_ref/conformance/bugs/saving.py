"""Bugs of what is evaluated, saved and restored."""

from lookahead_ref.conformance.bugs.bug import Bug
from lookahead_ref.conformance.bugs.simulation import Lookahead, Program, State, arrays_of
from lookahead_ref.conformance.oracle import Tensors


class EvaluatesFastWeights(Bug, Program):
    clause, place, needs = "LA-9", "evaluation", ("evaluate",)
    says = "evaluates the fast weights"
    breaks = (
        "the weights that are measured and shipped are not those that Lookahead returns"
    )
    fix = "evaluate, save and return phi"

    def evaluate(self, outermost: Lookahead, theta: Tensors) -> tuple[Tensors, Tensors]:
        return theta, theta


class EvaluationNotUndone(Bug, Program):
    clause, place, needs = "LA-10", "evaluation", ("evaluate",)
    says = "leaves phi in the parameters after an evaluation"
    breaks = "how often one evaluates changes the training"
    fix = "put the fast weights back, to the bit, after the evaluation"

    def evaluate(self, outermost: Lookahead, theta: Tensors) -> tuple[Tensors, Tensors]:
        return outermost.phi, outermost.phi


class EvaluationSynchronizes(Bug, Program):
    clause, place, needs = "LA-10", "evaluation", ("evaluate",)
    says = "forces a synchronization in order to evaluate"
    breaks = "how often one evaluates changes the training"
    fix = "evaluate phi as it is, and put the fast weights back afterwards"

    def evaluate(self, outermost: Lookahead, theta: Tensors) -> tuple[Tensors, Tensors]:
        counted = outermost.cycle_step
        outermost.synchronize(theta)
        outermost.cycle_step = counted
        return outermost.phi, outermost.phi


class CheckpointWithoutPhi(Bug, Program):
    clause, place, needs = "LA-22", "checkpoint", ("save",)
    says = "saves no phi, and captures it anew from the loaded parameters"
    breaks = "after each restart the next synchronization starts from the wrong place"
    fix = "save phi and restore it"
    lost = ("phi",)


class CheckpointWithoutStepCounter(Bug, Program):
    clause, place, needs = "LA-22", "checkpoint", ("save",)
    says = "saves no count of the steps since the last synchronization"
    breaks = "after a restart in the middle of a cycle every synchronization comes late"
    fix = "save the step counter and restore it"
    lost = ("cycle_step", "calls")


class CheckpointWithoutCount(Bug, Program):
    clause, place, needs = "LA-22", "checkpoint", ("save", "adam")
    says = "saves the slots but not the count that Adam's bias correction uses"
    breaks = "updates are far too large for a while after each restart"
    fix = "save the inner optimizer's count and restore it"
    lost = ("count",)


class CheckpointWithoutSlots(Bug, Program):
    clause, place, needs = "LA-22", "checkpoint", ("save", "slots")
    says = "saves no state of the inner optimizer"
    breaks = "momentum and moments start from nothing after each restart"
    fix = "save the inner optimizer's state and restore it"
    lost = ("slots", "count")


class CheckpointWithoutSchedule(Bug, Program):
    clause, place, needs = "LA-22", "checkpoint", ("save", "rates")
    says = "saves no clock of the learning rate's schedule"
    breaks = "warm-up and decay begin again after each restart"
    fix = "save the schedule's clock and restore it"
    lost = ("clock",)


class CheckpointWithoutAnchor(Bug, Program):
    clause, place, needs = "LA-22", "checkpoint", ("save", "slots", "interpolate")
    says = "saves no slots to interpolate from"
    breaks = "the first synchronization after a restart interpolates from the wrong slots"
    fix = "save the slots of the last synchronization and restore them"
    lost = ("anchor",)


class CheckpointWithoutSyncCount(Bug, Program):
    clause, place, needs = "LA-22", "checkpoint", ("save", "alphas")
    says = "saves no count of synchronizations"
    breaks = "alpha's schedule begins again after each restart"
    fix = "save the number of synchronizations and restore it"
    lost = ("syncs", "own_syncs")


class CheckpointSharesMemory(Bug, Program):
    clause, place, needs = "LA-23", "checkpoint", ("save",)
    says = "hands out its own arrays as the saved state"
    breaks = "a state kept in memory changes with the training: no way back to the best"
    fix = "copy every array when the state is taken"

    def saved(self, then: State, now: State) -> State:
        return [a | b for a, b in zip(then, arrays_of(now), strict=True)]


class CheckpointIsLive(Bug, Program):
    clause, place, needs = "LA-23", "checkpoint", ("save",)
    says = "hands out its running state, counts included, as the saved one"
    breaks = "what is written later is a later state beside the step that was to be kept"
    fix = "copy arrays and counts when the state is taken"

    def saved(self, then: State, now: State) -> State:
        return now
