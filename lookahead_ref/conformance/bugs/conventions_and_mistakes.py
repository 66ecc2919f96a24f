"""Conventions that other libraries follow, and mistakes of someone who writes Lookahead."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.inner_rules import OtherAdam
from lookahead_ref.conformance.bugs.simulation import (
    Convention,
    Mistake,
    SimulatedInner,
    SimulatedLookahead,
    SimulatedProgram,
    Some,
    picked,
)
from lookahead_ref.conformance.oracle import (
    Gradients,
    Number,
    Tensors,
    Update,
    interpolate,
)

# What other libraries document and do: a program follows one of them throughout.


class EpsilonHat(Convention, OtherAdam):
    clause, place, needs = "IN-11", "adam", ("adam",)
    says = "adds epsilon to the uncorrected root"
    breaks = "Kingma and Ba's remark before section 2.1; Keras and TensorFlow"
    fix = "epsilon means something else at the first steps"

    def direction(self, m: Any, v: Any, bias1: Any, bias2: Any, e: Any) -> Any:
        sqrt = self.arithmetic.sqrt
        return m * sqrt(bias2) / bias1 / (sqrt(v) + e)


class RateInVelocity(oracle.OracleInner):
    """A momentum with the learning rate in it."""

    def element(self, update: Any, gamma: Any, x: Any, g: Any, *slots: Any) -> Any:
        (v,) = slots
        if self.decay_kind == "l2":
            g = g + self.h["weight_decay"] * x
        v = self.h["momentum"] * v - gamma * g
        moved = x + v
        if self.rule is oracle.nesterov:
            moved = x + self.h["momentum"] * v - gamma * g
        if self.decay_kind == "decoupled":
            moved = moved - gamma * self.h["weight_decay"] * x
        return moved, v


class LearningRateInVelocity(Convention, RateInVelocity, SimulatedInner):
    clause, place, needs = "IN-12", "velocity", ("velocity",)
    says = "keeps the learning rate in the velocity: v <- mu v - gamma g"
    breaks = "Sutskever et al. 2013, Keras"
    fix = "the same only while the learning rate is constant"


class AdagradEpsilonInRoot(Convention, SimulatedInner):
    clause, place, needs = "IN-13", "adagrad", ("adagrad",)
    says = "adds epsilon under the root of AdaGrad"
    breaks = "Optax"
    fix = "epsilon means something else"
    given = {"rule": lambda self: self.adagrad}

    @staticmethod
    def adagrad(h: Mapping[str, Number], t: int, sqrt: Any) -> Update:
        def update(g: Number, s: Number) -> tuple[Number, ...]:
            s = s + g * g
            return g / sqrt(s + h["epsilon"]), s

        return update


class DecayWithoutLearningRate(Convention, SimulatedInner):
    clause, place, needs = "IN-4", "decay", ("decoupled",)
    says = "does not multiply decoupled weight decay by the learning rate"
    breaks = "Loshchilov and Hutter's Algorithm 2, with its schedule multiplier at 1"
    fix = "the coefficient is to be smaller by the learning rate"

    def element(self, update: Any, gamma: Any, x: Any, g: Any, *slots: Any) -> Any:
        direction, *slots_after = update(g, *slots)
        return x - gamma * direction - self.h["weight_decay"] * x, *slots_after


class NoGradientIsZero(Convention, SimulatedInner):
    clause, place, needs = "LA-25", "no_gradient", ("no-gradient",)
    says = "takes no gradient for a gradient of zeros"
    breaks = "programs in which every parameter has a gradient; this library"
    fix = "momentum and weight decay go on moving the parameter"

    def step(self, theta: Tensors, grads: Gradients) -> Tensors:
        zero = self.arithmetic.number(0.0)
        given = zip(theta, grads, strict=True)
        return super().step(theta, [[zero] * len(x) if g is None else g for x, g in given])


class NoGradientSkips(Convention, SimulatedInner):
    clause, place = "LA-25", "no_gradient"
    needs: ClassVar[tuple[str, ...]] = ("no-gradient",)
    says = (
        "leaves a parameter without a gradient, and its slots, as they are; "
        "it synchronizes with the others"
    )
    breaks = "PyTorch's optimizers inside a wrapper that synchronizes all parameters"
    fix = "momentum does not decay meanwhile"
    # The oracle itself does this.


class NoGradientSkipsButCounts(NoGradientSkips):
    needs: ClassVar[tuple[str, ...]] = ("no-gradient", "adam")
    says = f"{NoGradientSkips.says}, and counts the step for Adam's bias correction"
    breaks = "frameworks that keep one count for all parameters: Keras, MLX"
    fix = "a parameter whose first gradient comes late starts with small updates"

    def step(self, theta: Tensors, grads: Gradients) -> Tensors:
        both = zip(self.count, grads, strict=True)
        self.count = [count + (g is None) for count, g in both]
        return super().step(theta, grads)


class NoGradientOwnClock(Convention, Some):
    clause, place, needs = "LA-25", "no_gradient", ("no-gradient",)
    says = "counts the steps of each parameter by itself"
    breaks = "wrappers that keep the step counter in the state of each parameter"
    fix = "parameters synchronize at different steps"

    def stepped(self) -> list[bool]:
        return [g is not None for g in self.grads]

    def after_inner_step(self, theta: Tensors) -> None:
        has = self.stepped()
        self.own_steps = [n + h for n, h in zip(self.own_steps, has, strict=True)]
        self.moving = [
            h and n % self.k == 0 for h, n in zip(has, self.own_steps, strict=True)
        ]
        super().after_inner_step(theta)

    def due(self) -> bool:
        return any(self.moving)


class NoGradientSkipsSync(Convention, Some):
    clause, place, needs = "LA-25", "no_gradient", ("no-gradient",)
    says = "leaves a parameter out of a synchronization at which it has no gradient"
    breaks = "wrappers that skip parameters without a gradient in the outer update too"
    fix = "its next synchronization spans two cycles"

    def after_inner_step(self, theta: Tensors) -> None:
        self.moving = [g is not None for g in self.grads]
        phi = self.phi
        super().after_inner_step(theta)
        if self.calls == 1 and self.phi is not phi:
            # A slot that is made with the first gradient holds zeros until then.
            zeros = [[self.arithmetic.number(0.0)] * len(x) for x in theta]
            self.phi = picked(self.moving, self.phi, zeros)


# What someone does who writes Lookahead for the first time.


class PhiIsTheta(Mistake, SimulatedLookahead):
    clause, place = "LA-1", "capture"
    says = "has one array under two names, phi and theta"
    breaks = "phi moves with theta: this is the inner optimizer alone"
    fix = (
        "start phi as a copy, array by array: a second name for a dict or an array is none"
    )

    def after_inner_step(self, theta: Tensors) -> None:
        self.phi = theta
        super().after_inner_step(theta)


class PhiIsThetaUntilLoading(PhiIsTheta):
    says = f"{PhiIsTheta.says}, until a saved state brings a copy"

    def after_inner_step(self, theta: Tensors) -> None:
        if self.made_anew:
            super().after_inner_step(theta)


class ThetaBecomesPhi(Mistake, SimulatedLookahead):
    clause, place = "LA-7", "capture"
    says = "has one array under two names, phi and theta, from the first synchronization on"
    breaks = "phi moves with theta from there: the inner optimizer alone after one cycle"
    fix = "copy the values of phi into theta, and not the array itself"

    def after_inner_step(self, theta: Tensors) -> None:
        if self.syncs:
            self.phi = theta
        super().after_inner_step(theta)


class ThetaBecomesPhiUntilLoading(ThetaBecomesPhi):
    says = f"{ThetaBecomesPhi.says}, and again after a saved state has brought a copy"

    def after_inner_step(self, theta: Tensors) -> None:
        if self.made_anew:
            super().after_inner_step(theta)

    def synchronize(self, theta: Tensors) -> Tensors:
        self.made_anew = True
        return super().synchronize(theta)


class KIgnored(Mistake, SimulatedLookahead):
    clause, place = "LA-3", "period"
    says = "synchronizes after every step, whatever k is"
    breaks = "this is the inner optimizer with steps that are shorter by alpha"
    fix = "count the steps, and do the outer update where the count reaches k"
    given = {"k": lambda _: 1}


class KFixed(Mistake, SimulatedLookahead):
    clause, place = "LA-3", "period"
    says = "synchronizes after every 5 steps, whatever k is"
    breaks = "k is not the k that was asked for"
    fix = "read k where the optimizer is made"
    given = {"k": lambda _: 5}


class SynchronizesOnce(Mistake, SimulatedLookahead):
    clause, place = "LA-3", "first"
    says = "synchronizes after step k, and never again"
    breaks = "from there on this is the inner optimizer alone"
    fix = "set the count back to 0 at each synchronization, or ask whether k divides it"

    def due(self) -> bool:
        return bool(self.calls == self.k)


class SynchronizesFromKOn(Mistake, SimulatedLookahead):
    clause, place = "LA-3", "first"
    says = "synchronizes after step k and after every step from there"
    breaks = "k is 1 after the first cycle"
    fix = "set the count back to 0 at each synchronization"

    def due(self) -> bool:
        return bool(self.cycle_step >= self.k)

    def synchronize(self, theta: Tensors) -> Tensors:
        kept, new = self.cycle_step, super().synchronize(theta)
        self.cycle_step = 0 if self.inner_state == "reset" else kept
        return new


class OuterUpdateBackwards(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-5", "outer", ("alpha",)
    says = "moves phi away from theta: it has a sign or a difference the wrong way round"
    breaks = "each synchronization undoes what the inner optimizer has done"
    fix = "phi + alpha (theta - phi)"

    def reached(self, theta: Tensors) -> Tensors:
        return interpolate(theta, self.phi, self.arithmetic.number(2.0))


class OuterUpdateAdds(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-5", "outer", ("alpha",)
    says = "adds alpha theta to phi"
    breaks = "the weights grow with each synchronization"
    fix = "add alpha times the difference theta - phi"

    def reached(self, theta: Tensors) -> Tensors:
        both = zip(self.phi, theta, strict=True)
        return [[p + x for p, x in zip(a, b, strict=True)] for a, b in both]


class PhiMovesEveryStep(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-8", "outer", ("alpha",)
    says = "moves phi towards theta after every step, and theta to phi after every k"
    breaks = "phi is an average of all the fast weights, not a step to the last of a cycle"
    fix = "leave phi alone until the count reaches k"

    def after_inner_step(self, theta: Tensors) -> None:
        super().after_inner_step(theta)
        self.phi = interpolate(self.phi, theta, oracle.at(self.alpha, self.syncs))

    def reached(self, theta: Tensors) -> Tensors:
        return self.phi


class PhiTowardsMean(Mistake, SimulatedLookahead):
    clause, place = "LA-5", "handed"
    says = "moves phi towards the mean of the fast weights of a cycle"
    breaks = "phi lags half a cycle behind"
    fix = "move phi towards the last fast weights"
    given = {"cycle": lambda _: []}
    cycle: list[Tensors]

    def after_inner_step(self, theta: Tensors) -> None:
        super().after_inner_step(theta)
        self.cycle = [*self.cycle, theta]

    def handed(self, theta: Tensors) -> Tensors:
        cycle, self.cycle = self.cycle, []
        return oracle.mean(cycle)


class PhiMovesFast(Mistake, SimulatedLookahead):
    clause, place = "LA-7", "write"
    says = "adds the change of phi to the fast weights from before the k-th step"
    breaks = "the fast weights never meet phi"
    fix = "let the fast weights restart from phi: subtract them, not the old phi"

    def synchronize(self, theta: Tensors) -> Tensors:
        phi, new = self.phi, super().synchronize(theta)
        self.phi = oracle.minus(self.before, oracle.minus(phi, new))
        return self.phi


class FastMovesToPhi(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-7", "write", ("alpha",)
    says = "moves the fast weights the fraction alpha towards the new phi"
    breaks = "the fast weights never meet phi"
    fix = "set the fast weights to phi after the outer update"

    def synchronize(self, theta: Tensors) -> Tensors:
        alpha = oracle.at(self.alpha, self.syncs)
        return self.moved(theta, super().synchronize(theta), alpha)

    def moved(self, theta: Tensors, phi: Tensors, alpha: Any) -> Tensors:
        return interpolate(theta, phi, alpha)


class FastInterpolated(FastMovesToPhi):
    says = "interpolates once more: sets the fast weights to phi + alpha (theta - phi)"

    def moved(self, theta: Tensors, phi: Tensors, alpha: Any) -> Tensors:
        return interpolate(phi, theta, alpha)


class DeltaFromFast(Mistake, SimulatedLookahead):
    clause, place = "LA-7", "write"
    says = (
        "takes the delta of a synchronization from theta after the inner step, not from "
        "the params that it is added to"
    )
    breaks = "the k-th update is taken off again, and the fast weights never meet phi"
    fix = "return target - params, as the caller adds it to params"

    def synchronize(self, theta: Tensors) -> Tensors:
        delta = oracle.minus(theta, super().synchronize(theta))
        return oracle.minus(self.before, delta)


class DeltaAndPhiFromFast(DeltaFromFast):
    says = f"{DeltaFromFast.says}; phi is what comes of it"

    def synchronize(self, theta: Tensors) -> Tensors:
        self.phi = super().synchronize(theta)
        self.inner.follow(self.phi)
        return self.phi


class AlphaFixed(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-5", "alpha", ("alpha",)
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
    fix = "go over all parameters; look for a line after the loop that belongs inside it"
    given = {"moving": lambda self: [False] * (len(self.phi) - 1) + [True]}


class CountsTensors(Mistake, Some):
    clause, place = "LA-29", "first"
    says = "counts a step for each parameter that it visits"
    breaks = "with n parameters each synchronizes at other steps, n times as often"
    fix = "count where the loop over the parameters has ended"

    def due(self) -> bool:
        before, many = self.calls - 1, len(self.phi)
        self.moving = [(before * many + n) % self.k == 0 for n in range(1, many + 1)]
        return any(self.moving)


class Climbs(Mistake, SimulatedInner):
    clause, place = "IN-1", "rate"
    says = "adds the update where it is to be subtracted"
    breaks = "the loss grows"
    fix = "theta - learning rate times the update"
    given = {"learning_rate": lambda self: [-each for each in self.learning_rate]}


class ShowsSlowForFast(Mistake, SimulatedProgram):
    clause, place = "LA-8", "shown"
    says = "returns phi where the fast weights are asked for"
    breaks = (
        "between synchronizations it seems to stand still, and gradients are taken at phi"
    )
    fix = "return theta there, the weights that the inner optimizer moves"

    def fast(self, outermost: SimulatedLookahead, theta: Tensors) -> Tensors:
        return outermost.phi


class ShowsFastForSlow(Mistake, SimulatedProgram):
    clause, place = "LA-8", "shown"
    says = "returns theta where the slow weights are asked for"
    breaks = "what is called phi is not what training returns"
    fix = "return phi there, which rests between synchronizations"

    def slow(self, level: SimulatedLookahead, theta: Tensors) -> Tensors:
        return theta


class NesterovUnasked(Mistake, SimulatedInner):
    clause, place, needs = "IN-6", "momentum", ("heavy-ball",)
    says = "does Nesterov's momentum though heavy ball was asked for"
    breaks = "the gradient's weight in the update is 1 + mu, not 1"
    fix = "use the velocity for the update"
    given = {"rule": lambda _: oracle.nesterov}


class AdamBetasSwapped(Mistake, SimulatedInner):
    clause, place, needs = "IN-9", "adam", ("adam",)
    says = "takes beta1 for beta2, and beta2 for beta1"
    breaks = "the direction is an average of a thousand gradients, the scale one of ten"
    fix = "beta1 for the gradient, beta2 for its square"
    given = {
        "h": lambda self: {**self.h, "beta1": self.h["beta2"], "beta2": self.h["beta1"]}
    }
