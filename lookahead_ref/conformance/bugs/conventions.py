"""What other libraries document and do: conventions, of which a program follows one."""

from collections.abc import Mapping
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.inner_rules import OtherAdam
from lookahead_ref.conformance.bugs.simulation import Convention, Inner, Some, picked
from lookahead_ref.conformance.oracle import Gradients, Number, Tensors, Update


class EpsilonHat(Convention, OtherAdam):
    clause, place, needs = "IN-11", "adam", ("adam",)
    says = "adds epsilon to the uncorrected root"
    breaks = "Kingma and Ba's remark before section 2.1; Keras and TensorFlow"
    fix = "epsilon means something else at the first steps"

    def direction(self, m: Any, v: Any, bias1: Any, bias2: Any, e: Any) -> Any:
        sqrt = self.arithmetic.sqrt
        return m * sqrt(bias2) / bias1 / (sqrt(v) + e)


class LearningRateInVelocity(Convention, Inner):
    clause, place, needs = "IN-12", "velocity", ("velocity",)
    says = "keeps the learning rate in the velocity: v <- mu v - gamma g"
    breaks = "Sutskever et al. 2013, Keras"
    fix = "the same only while the learning rate is constant"

    def element(
        self, update: Update, gamma: Number, x: Number, g: Number, *slots: Number
    ) -> tuple[Number, ...]:
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


class AdagradEpsilonInRoot(Convention, Inner):
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


class DecayWithoutLearningRate(Convention, Inner):
    clause, place, needs = "IN-4", "decay", ("decoupled",)
    says = "does not multiply decoupled weight decay by the learning rate"
    breaks = "Loshchilov and Hutter's Algorithm 2, with its schedule multiplier at 1"
    fix = "the coefficient is to be smaller by the learning rate"

    def element(
        self, update: Update, gamma: Number, x: Number, g: Number, *slots: Number
    ) -> tuple[Number, ...]:
        direction, *slots_after = update(g, *slots)
        return x - gamma * direction - self.h["weight_decay"] * x, *slots_after


class NoGradientIsZero(Convention, Inner):
    clause, place, needs = "LA-25", "no_gradient", ("no-gradient",)
    says = "takes no gradient for a gradient of zeros"
    breaks = "programs in which every parameter has a gradient; this library"
    fix = "momentum and weight decay go on moving the parameter"

    def step(self, theta: Tensors, grads: Gradients) -> Tensors:
        zero = self.arithmetic.number(0.0)
        given = zip(theta, grads, strict=True)
        return super().step(theta, [[zero] * len(x) if g is None else g for x, g in given])


class NoGradientSkips(Convention, Inner):
    clause, place, needs = "LA-25", "no_gradient", ("no-gradient",)
    says = (
        "leaves a parameter without a gradient, and its slots, as they are; "
        "it synchronizes with the others"
    )
    breaks = "PyTorch's optimizers inside a wrapper that synchronizes all parameters"
    fix = "momentum does not decay meanwhile"
    # The oracle itself does this.


class NoGradientOwnClock(Convention, Some):
    clause, place, needs = "LA-25", "no_gradient", ("no-gradient",)
    says = "counts the steps of each parameter by itself"
    breaks = "wrappers that keep the step counter in the state of each parameter"
    fix = "parameters synchronize at different steps"

    def after_inner_step(self, first: list[bool], theta: Tensors) -> None:
        has = [g is not None for g in self.grads]
        self.own_steps = [n + h for n, h in zip(self.own_steps, has, strict=True)]
        self.moving = [
            h and n % self.k == 0 for h, n in zip(has, self.own_steps, strict=True)
        ]
        first = [h and n == 1 for h, n in zip(has, self.own_steps, strict=True)]
        super().after_inner_step(first, theta)

    def due(self, counted: bool) -> bool:
        return any(self.moving)


class NoGradientSkipsSync(Convention, Some):
    clause, place, needs = "LA-25", "no_gradient", ("no-gradient",)
    says = "leaves a parameter out of a synchronization at which it has no gradient"
    breaks = "wrappers that skip parameters without a gradient in the outer update too"
    fix = "its next synchronization spans two cycles"

    def after_inner_step(self, first: list[bool], theta: Tensors) -> None:
        self.moving = [g is not None for g in self.grads]
        phi = self.phi
        super().after_inner_step(first, theta)
        if any(first) and self.phi is not phi:
            # A slot that is made with the first gradient holds zeros until then.
            zeros = [[self.arithmetic.number(0.0)] * len(x) for x in theta]
            self.phi = picked(self.moving, self.phi, zeros)
