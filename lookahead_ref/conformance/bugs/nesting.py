"""Bugs of a Lookahead around another, and of schedules and their clocks."""

from lookahead_ref.conformance.bugs.bug import Bug
from lookahead_ref.conformance.bugs.simulation import Inner, Lookahead
from lookahead_ref.conformance.oracle import Tensors


class NestedPhiKept(Bug, Lookahead):
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


class OuterCountsCycles(Bug, Lookahead):
    clause, place, needs = "LA-17", "cycles", ("nested",)
    says = "counts inner synchronizations, not calls of step, for the outer period"
    breaks = "the outer period is k times too long"
    fix = "count calls of step at every level"

    def counts(self) -> bool:
        return not isinstance(self.inner, Lookahead) or self.inner.synchronized


class ScheduleOneAhead(Bug, Inner):
    clause, place, needs = "LA-14", "rate", ("rates",)
    says = "asks the learning rate's schedule for step 1 at the first update"
    breaks = "warm-up and decay come a step early"
    fix = "the schedule sees 0 at the first update"

    def begin(self) -> None:
        super().begin()
        self.clock = 1


class ScheduleFrozen(Bug, Inner):
    clause, place, needs = "LA-14", "rate", ("rates",)
    says = "keeps the first learning rate"
    breaks = "schedules do nothing"
    fix = "read the learning rate anew at each step"

    def begin(self) -> None:
        super().begin()
        self.learning_rate = self.learning_rate[:1]


class ScheduleSeesSyncs(Bug, Lookahead):
    clause, place, needs = "LA-14", "rate", ("rates",)
    says = "sets the schedule's clock to the number of synchronizations"
    breaks = "warm-up and decay take k times as long"
    fix = "the learning rate's schedule sees the number of updates done"

    def synchronize(self, theta: Tensors) -> Tensors:
        new = super().synchronize(theta)
        self.innermost.clock = self.syncs
        return new


class AlphaFrozen(Bug, Lookahead):
    clause, place, needs = "LA-16", "alpha", ("alphas",)
    says = "keeps the first alpha"
    breaks = "a schedule of alpha does nothing"
    fix = "read alpha anew at each synchronization"

    def begin(self, theta: Tensors) -> None:
        super().begin(theta)
        self.alpha = self.alpha[:1]


class AlphaSeesSteps(Bug, Lookahead):
    clause, place, needs = "LA-16", "alpha", ("alphas",)
    says = "asks alpha's schedule for the number of steps"
    breaks = "a schedule of alpha runs k times too fast"
    fix = "alpha's schedule sees the number of synchronizations done"

    def synchronize(self, theta: Tensors) -> Tensors:
        self.syncs = self.calls - 1
        return super().synchronize(theta)
