"""Bugs and conventions of the outer step, and of several workers that share one."""

from collections.abc import Callable, Sequence
from operator import itemgetter

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.conventions_and_mistakes import RateInVelocity
from lookahead_ref.conformance.bugs.inner_rules import MomentumDampened
from lookahead_ref.conformance.bugs.simulation import (
    Bug,
    Convention,
    Outer,
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
    interpolate,
    mean,
    minus,
    total,
)


class PseudoGradientSign(Bug, SimulatedLookahead):
    clause, place, needs = "OU-1", "pseudo_gradient", ("outer",)
    says = "takes theta - phi for the pseudo-gradient"
    breaks = "each outer step undoes what the cycle has done, and more: the loss grows"
    fix = "take phi - theta: an optimizer goes against what it is given"

    def pseudo_gradient(self, theta: Tensors) -> Tensors:
        return minus(theta, self.phi)


class PseudoGradientIsTheta(Bug, SimulatedLookahead):
    clause, place, needs = "OU-1", "pseudo_gradient", ("outer",)
    says = "gives the outer optimizer the fast weights, not how far they have come"
    breaks = "the outer step shrinks the weights, wherever the cycle has gone"
    fix = "take the difference phi - theta"

    def pseudo_gradient(self, theta: Tensors) -> Tensors:
        return theta


class AlphaAppliedTwice(Bug, SimulatedLookahead):
    clause, place, needs = "OU-3", "pseudo_gradient", ("outer",)
    says = "interpolates by the outer learning rate, and does the outer step from there"
    breaks = "the outer learning rate is squared; nothing shows at 1"
    fix = "let the outer step alone move phi, from what the whole cycle has done"

    def outer_step(self, outer: OracleInner, theta: Tensors) -> Tensors:
        rate = oracle.at(outer.learning_rate, outer.clock)
        return super().outer_step(outer, interpolate(self.phi, theta, rate))


class PhiNotRestored(Bug, SimulatedLookahead):
    clause, place, needs = "OU-2", "outer_start", ("outer",)
    says = "takes the outer step from the fast weights"
    breaks = "phi moves the whole cycle, and by the outer step once more"
    fix = "put phi back into the parameters before the outer step"

    def outer_step(self, outer: OracleInner, theta: Tensors) -> Tensors:
        return outer.step(theta, self.pseudo_gradient(theta))


class OuterDecayOnTheta(Bug, SimulatedLookahead):
    clause, place, needs = "OU-7", "outer_start", ("outer-decay",)
    says = "decays by the fast weights in the outer step"
    breaks = "how strong the decay is depends on how far the cycle has come"
    fix = "take the outer weight decay from phi"

    def outer_step(self, outer: OracleInner, theta: Tensors) -> Tensors:
        moved = outer.step(theta, self.pseudo_gradient(theta))
        return minus(moved, minus(theta, self.phi))


class OuterDecayIgnored(Bug, Outer):
    clause, place, needs = "OU-7", "outer_decay", ("outer-decay",)
    says = "ignores the outer weight decay"
    breaks = "weights grow"
    fix = "hand weight decay to the outer optimizer as well"
    given = {"decay_kind": lambda _: "none"}


class OuterStateReset(Bug, SimulatedLookahead):
    clause, place, needs = "OU-5", "outer_state", ("outer-slots",)
    says = "makes the outer optimizer's state anew at each synchronization"
    breaks = "there is no outer momentum: every outer step is the first"
    fix = "make the outer optimizer once, and keep it"

    def outer_step(self, outer: OracleInner, theta: Tensors) -> Tensors:
        outer.restart(theta)
        return super().outer_step(outer, theta)


class OuterHeavyBallForNesterov(Bug, Outer):
    clause, place, needs = "OU-4", "outer_rule", ("outer-nesterov",)
    says = "does heavy ball in the outer step though Nesterov was asked for"
    breaks = "the pseudo-gradient's weight in the update is 1, not 1 + mu"
    fix = "use g + mu v for the outer update"
    given = {"rule": lambda _: oracle.heavy_ball}


class OuterNesterovForHeavyBall(Bug, Outer):
    clause, place, needs = "OU-4", "outer_rule", ("outer-heavy-ball",)
    says = "does Nesterov's momentum in the outer step though heavy ball was asked for"
    breaks = "the pseudo-gradient's weight in the update is 1 + mu, not 1"
    fix = "use the velocity for the outer update"
    given = {"rule": lambda _: oracle.nesterov}


class OuterMomentumDampened(Bug, Outer):
    clause, place, needs = "OU-4", "outer_rule", ("outer-heavy-ball",)
    says = "averages pseudo-gradients: v <- mu v + (1 - mu) g"
    breaks = "the outer learning rate is 1 - mu of what was asked for"
    fix = "add the whole pseudo-gradient: v <- mu v + g"
    given = {"rule": lambda _: MomentumDampened.dampened}


class OuterScheduleSeesSteps(Bug, SimulatedLookahead):
    clause, place, needs = "OU-6", "outer_rate", ("outer-rates",)
    says = "asks the outer learning rate's schedule for the number of steps"
    breaks = "the outer schedule runs k times too fast"
    fix = "the outer schedule sees the number of synchronizations done"

    def outer_step(self, outer: OracleInner, theta: Tensors) -> Tensors:
        outer.clock = self.calls - 1
        return super().outer_step(outer, theta)


class CheckpointWithoutOuterState(Bug, SimulatedProgram):
    clause, place, needs = "OU-10", "checkpoint", ("save", "outer")
    says = "saves nothing of the outer optimizer"
    breaks = "outer momentum and schedule start from nothing after each restart"
    fix = "save the outer optimizer's slots, count and clock, and restore them"
    lost = ("outer slots", "outer count", "outer clock")


class CheckpointWithoutOuterSlots(Bug, SimulatedProgram):
    clause, place, needs = "OU-10", "checkpoint", ("save", "outer-slots")
    says = "saves the outer optimizer's clock but not its slots"
    breaks = "outer momentum starts from nothing after each restart"
    fix = "save the outer optimizer's slots and count, and restore them"
    lost = ("outer slots", "outer count")


class OuterLearningRateInVelocity(Convention, RateInVelocity, Outer):
    clause, place, needs = "OU-6", "outer_velocity", ("outer-velocity", "outer-rates")
    says = "keeps the outer learning rate in the outer velocity"
    breaks = "Keras' SGD as the outer optimizer"
    fix = "the same only while the outer learning rate is constant"


class SlowMomentum(Convention, SimulatedLookahead):
    clause, place, needs = "OU-11", "outer_units", ("outer-heavy-ball", "rates")
    says = "measures the pseudo-gradient in units of the cycle's first learning rate"
    breaks = "SlowMo: Wang, Tantia, Ballas and Rabbat 2020, Algorithm 1"
    fix = "the same only while the learning rate is constant"

    def outer_step(self, outer: OracleInner, theta: Tensors) -> Tensors:
        inner = self.innermost
        gamma = oracle.at(inner.learning_rate, max(inner.clock - self.k, 0))
        scaled = [[g / gamma for g in each] for each in self.pseudo_gradient(theta)]
        return interpolate(self.phi, outer.step(self.phi, scaled), gamma)


# Several workers, which average their pseudo-gradients.


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
