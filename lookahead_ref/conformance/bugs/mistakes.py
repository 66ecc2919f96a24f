"""Mistakes of someone who writes Lookahead for the first time."""

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.simulation import (
    Inner,
    Lookahead,
    Mistake,
    Program,
    Some,
)
from lookahead_ref.conformance.oracle import Tensors, interpolate


class PhiIsTheta(Mistake, Lookahead):
    clause, place = "LA-1", "capture"
    says = "has one array under two names, phi and theta"
    breaks = "phi moves with theta: this is the inner optimizer alone"
    fix = (
        "start phi as a copy, array by array: a second name for a dict or an array is none"
    )

    def after_inner_step(self, first: list[bool], theta: Tensors) -> None:
        self.phi = theta
        super().after_inner_step(first, theta)


class ThetaBecomesPhi(Mistake, Lookahead):
    clause, place = "LA-7", "capture"
    says = "has one array under two names, phi and theta, from the first synchronization on"
    breaks = "phi moves with theta from there: the inner optimizer alone after one cycle"
    fix = "copy the values of phi into theta, and not the array itself"

    def after_inner_step(self, first: list[bool], theta: Tensors) -> None:
        if self.syncs:
            self.phi = theta
        super().after_inner_step(first, theta)


class KIgnored(Mistake, Lookahead):
    clause, place = "LA-3", "period"
    says = "synchronizes after every step, whatever k is"
    breaks = "this is the inner optimizer with steps that are shorter by alpha"
    fix = "count the steps, and do the outer update where the count reaches k"
    given = {"k": lambda _: 1}


class KFixed(Mistake, Lookahead):
    clause, place = "LA-3", "period"
    says = "synchronizes after every 5 steps, whatever k is"
    breaks = "k is not the k that was asked for"
    fix = "read k where the optimizer is made"
    given = {"k": lambda _: 5}


class SynchronizesOnce(Mistake, Lookahead):
    clause, place = "LA-3", "first"
    says = "synchronizes after step k, and never again"
    breaks = "from there on this is the inner optimizer alone"
    fix = "set the count back to 0 at each synchronization, or ask whether k divides it"

    def due(self, counted: bool) -> bool:
        return bool(self.calls == self.k)


class SynchronizesFromKOn(Mistake, Lookahead):
    clause, place = "LA-3", "first"
    says = "synchronizes after step k and after every step from there"
    breaks = "k is 1 after the first cycle"
    fix = "set the count back to 0 at each synchronization"

    def due(self, counted: bool) -> bool:
        return bool(self.calls >= self.k)


class CountsFromOneAgain(Mistake, Lookahead):
    clause, place = "LA-3", "first"
    says = "sets its count back to 1 at a synchronization, and not to 0"
    breaks = "every cycle but the first is a step too short"
    fix = "set the count back to 0"

    def synchronize(self, theta: Tensors) -> Tensors:
        new = super().synchronize(theta)
        self.cycle_step = 1
        return new


class OuterUpdateBackwards(Mistake, Lookahead):
    clause, place = "LA-5", "outer"
    says = "moves phi away from theta: it has a sign or a difference the wrong way round"
    breaks = "each synchronization undoes what the inner optimizer has done"
    fix = "phi + alpha (theta - phi)"

    def reached(self, theta: Tensors) -> Tensors:
        return interpolate(theta, self.phi, self.arithmetic.number(2.0))


class OuterUpdateAdds(Mistake, Lookahead):
    clause, place = "LA-5", "outer"
    says = "adds alpha theta to phi"
    breaks = "the weights grow with each synchronization"
    fix = "add alpha times the difference theta - phi"

    def reached(self, theta: Tensors) -> Tensors:
        both = zip(self.phi, theta, strict=True)
        return [[p + x for p, x in zip(a, b, strict=True)] for a, b in both]


class PhiMovesEveryStep(Mistake, Lookahead):
    clause, place = "LA-8", "outer"
    says = "moves phi towards theta after every step, and theta to phi after every k"
    breaks = "phi is an average of all the fast weights, not a step to the last of a cycle"
    fix = "leave phi alone until the count reaches k"

    def after_inner_step(self, first: list[bool], theta: Tensors) -> None:
        super().after_inner_step(first, theta)
        self.phi = interpolate(self.phi, theta, oracle.at(self.alpha, self.syncs))

    def reached(self, theta: Tensors) -> Tensors:
        return self.phi


class AlphaFixed(Mistake, Lookahead):
    clause, place = "LA-5", "alpha"
    says = "takes 0.5 for alpha, whatever alpha is"
    breaks = "alpha cannot be tuned"
    fix = "multiply the difference by alpha"
    given = {"alpha": lambda self: [self.arithmetic.number(0.5)]}


class OnlyFirstTensor(Mistake, Some):
    clause, place = "LA-30", "tensors"
    says = "synchronizes the first parameter only"
    breaks = "all the others are trained without Lookahead"
    fix = "go over all parameters; look for a return or a break in the loop"
    given = {"moving": lambda self: [True] + [False] * (len(self.phi) - 1)}


class OnlyLastTensor(Mistake, Some):
    clause, place = "LA-30", "tensors"
    says = "synchronizes the last parameter only"
    breaks = "all the others are trained without Lookahead"
    fix = "go over all parameters; look for a line that is behind the loop it belongs into"
    given = {"moving": lambda self: [False] * (len(self.phi) - 1) + [True]}


class Climbs(Mistake, Inner):
    clause, place = "IN-1", "rate"
    says = "adds the update where it is to be subtracted"
    breaks = "the loss grows"
    fix = "theta - learning rate times the update"
    given = {"learning_rate": lambda self: [-each for each in self.learning_rate]}


class ShowsSlowForFast(Mistake, Program):
    clause, place = "LA-8", "shown"
    says = "returns phi where the fast weights are asked for"
    breaks = (
        "between synchronizations it seems to stand still, and gradients are taken at phi"
    )
    fix = "return theta there, the weights that the inner optimizer moves"

    def fast(self, outermost: Lookahead, theta: Tensors) -> Tensors:
        return outermost.phi


class ShowsFastForSlow(Mistake, Program):
    clause, place = "LA-8", "shown"
    says = "returns theta where the slow weights are asked for"
    breaks = "what is called phi is not what training returns"
    fix = "return phi there, which rests between synchronizations"

    def slow(self, level: Lookahead, theta: Tensors) -> Tensors:
        return theta


class VelocityNotKept(Mistake, Inner):
    clause, place, needs = "IN-6", "momentum", ("heavy-ball",)
    says = "does not keep the velocity from one step to the next"
    breaks = "this is SGD: momentum does nothing"
    fix = "keep the velocity where the next step finds it"
    given = {"rule": lambda _: lambda h, t, sqrt: lambda g, v: (g, g)}


class AdamBetasSwapped(Mistake, Inner):
    clause, place, needs = "IN-9", "adam", ("adam",)
    says = "takes beta1 for beta2, and beta2 for beta1"
    breaks = "the direction is an average of a thousand gradients, the scale one of ten"
    fix = "beta1 for the gradient, beta2 for its square"
    given = {
        "h": lambda self: {**self.h, "beta1": self.h["beta2"], "beta2": self.h["beta1"]}
    }
