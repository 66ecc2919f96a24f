"""Bugs of several workers, which average their pseudo-gradients."""

from collections.abc import Callable, Sequence
from operator import itemgetter

from lookahead_ref.conformance.bugs.simulation import (
    Bug,
    SimulatedLookahead,
    SimulatedProgram,
    SimulatedWorkers,
    State,
)
from lookahead_ref.conformance.oracle import (
    Gradients,
    OracleInner,
    OracleLookahead,
    Tensors,
    mean,
    total,
)


class WorkersStartApart(Bug, SimulatedWorkers):
    clause, place, needs = "WO-2", "start", ("workers",)
    says = "starts each worker from the parameters that it has drawn itself"
    breaks = "the workers never meet: each moves by the mean, from a place of its own"
    fix = "hand the first worker's parameters to all before the first step"

    @staticmethod
    def begin(thetas: Sequence[Tensors]) -> list[Tensors]:
        return list(thetas)


class WorkersSeeTheSameData(Bug, SimulatedWorkers):
    clause, place, needs = "WO-1", "data", ("workers",)
    says = "gives all workers the gradients of the first"
    breaks = "M workers do what one does, at M times the cost"
    fix = "give each worker a share of the data, or a seed of its own to draw from it"

    def shares(self, grads: Gradients) -> list[Gradients]:
        first, *others = super().shares(grads)
        return [first, *(first for _ in others)]


class KOverAllWorkers(Bug, SimulatedWorkers):
    clause, place, needs = "WO-3", "period", ("workers",)
    says = "counts the steps of all workers together, and synchronizes every k of them"
    breaks = "cycles are M times too short, and there is M times as much to send"
    fix = "count the steps of one worker"

    def __init__(self, workers: Sequence[OracleLookahead]) -> None:
        super().__init__(workers)
        for each in workers:
            each.k = -(-each.k // len(workers))


class PseudoGradientsSummed(Bug, SimulatedWorkers):
    clause, place, needs = "WO-4", "mean", ("workers",)
    says = "adds the pseudo-gradients up and does not divide by their number"
    breaks = "the outer learning rate is M times what was asked for"
    fix = "divide the sum by the number of workers"
    averaged = staticmethod(total)


class WeightsAveraged(Bug, SimulatedWorkers):
    clause, place, needs = "WO-5", "mean", ("workers", "outer")
    says = "does an outer step in each worker by itself, and averages the slow weights"
    breaks = "nothing, if the outer step is linear, as with SGD; Adam's is another step"
    fix = "average the pseudo-gradients, and do one outer step with the mean"

    def synchronize(self, thetas: Sequence[Tensors]) -> list[Tensors]:
        each = zip(self.workers, thetas, strict=True)
        phi = mean([worker.synchronize(theta) for worker, theta in each])
        for worker in self.workers:
            worker.follow(phi)
        return [worker.restarted(phi) for worker in self.workers]


class OuterStepSkipped(Bug, SimulatedLookahead):
    clause, place, needs = "WO-5", "outer_rule", ("workers", "outer")
    says = "sets phi to the mean of the fast weights, whatever the outer optimizer is"
    breaks = "this is Local SGD: no outer learning rate, no momentum"
    fix = "step from phi with the mean pseudo-gradient"

    def outer_step(self, outer: OracleInner, theta: Tensors) -> Tensors:
        return theta


class WorkerKeepsFastWeights(Bug, SimulatedWorkers):
    clause, place, needs = "WO-6", "write", ("workers",)
    says = "restarts the first worker at the new phi; the others keep their fast weights"
    breaks = "the others drift apart, and their pseudo-gradients grow with each cycle"
    fix = "write the new phi to the parameters of every worker"

    def synchronize(self, thetas: Sequence[Tensors]) -> list[Tensors]:
        first, *_ = super().synchronize(thetas)
        return [first, *thetas[1:]]


class InnerStateShared(SimulatedWorkers):
    """After a synchronization all workers go on with the same slots."""

    shared: Callable[[Sequence[Tensors]], Tensors]

    def synchronize(self, thetas: Sequence[Tensors]) -> list[Tensors]:
        new = super().synchronize(thetas)
        of_each = [worker.slots for worker in self.workers]
        for name in of_each[0]:
            shared = self.shared([slots[name] for slots in of_each])
            for slots in of_each:
                slots[name] = shared
        return new


class InnerStateAveraged(Bug, InnerStateShared):
    clause, place, needs = "WO-7", "inner_state", ("workers", "slots")
    says = "averages the inner slots of the workers at a synchronization"
    breaks = "M times as much is sent; SlowMo offers it, by name, where it is wanted"
    fix = "leave each worker its own inner state"
    shared = staticmethod(mean)


class InnerStateOfFirstWorker(Bug, InnerStateShared):
    clause, place, needs = "WO-7", "inner_state", ("workers", "slots")
    says = "sends the first worker's inner slots to all at a synchronization"
    breaks = "what the others have learned of their data is lost every k steps"
    fix = "broadcast weights alone, and leave each worker its own inner state"
    shared = staticmethod(itemgetter(0))


class CheckpointOfFirstWorker(Bug, SimulatedProgram):
    clause, place, needs = "WO-8", "checkpoint", ("save", "workers")
    says = "saves the first worker alone, and starts all others from what it has"
    breaks = "after a restart all have one inner state and, in mid-cycle, one theta"
    fix = "save the inner state and the fast weights of every worker"

    def saved(self, then: State, now: State) -> State:
        *parts, weights = then
        count = self.case["workers"]
        firsts = [parts[place - place % count] for place in range(len(parts))]
        theta = weights["theta"]
        return [*firsts, {"theta": theta[: len(theta) // count] * count}]
