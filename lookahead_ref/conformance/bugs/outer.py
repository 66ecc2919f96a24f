"""Bugs and conventions of the outer step, which updates phi from phi - theta."""

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.conventions_and_mistakes import RateInVelocity
from lookahead_ref.conformance.bugs.inner_rules import MomentumDampened
from lookahead_ref.conformance.bugs.simulation import (
    Bug,
    Convention,
    Outer,
    SimulatedLookahead,
    SimulatedProgram,
)
from lookahead_ref.conformance.oracle import OracleInner, Tensors, interpolate, minus


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
        gamma = oracle.at(self.innermost.learning_rate, self.innermost.clock - self.k)
        scaled = [[g / gamma for g in each] for each in self.pseudo_gradient(theta)]
        return interpolate(self.phi, outer.step(self.phi, scaled), gamma)
