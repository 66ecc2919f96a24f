"""Conventions of other libraries, which a program must follow throughout."""

from functools import partial
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.helpers import zeros
from lookahead_ref.conformance.bugs.simulation import (
    Convention,
    Outer,
    SimulatedInner,
    SimulatedLookahead,
    Some,
    bug,
    picked,
)
from lookahead_ref.conformance.oracle import Gradients, Tensors

convention = partial(bug, kind=Convention)


class RateInVelocity(oracle.OracleInner):
    """An optimizer with the learning rate in its velocity."""

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


class InnerRateInVelocity(RateInVelocity, SimulatedInner):
    """Such an inner optimizer."""


class OuterRateInVelocity(RateInVelocity, Outer):
    """Such an outer optimizer."""


class OwnClock(Some):
    """A Lookahead that counts the steps of each tensor separately."""

    def stepped(self) -> list[bool]:
        return [g is not None for g in self.grads]

    def advance(self, theta: Tensors, grads: Gradients) -> Tensors:
        theta = super().advance(theta, grads)
        has = self.stepped()
        self.own_steps = [n + h for n, h in zip(self.own_steps, has, strict=True)]
        both = zip(has, self.own_steps, strict=True)
        self.moving = [h and n % self.k == 0 for h, n in both]
        self.synchronized = any(self.moving)
        return theta


class SkippedSync(Some):
    """A Lookahead that synchronizes only tensors with a gradient at that step."""

    def advance(self, theta: Tensors, grads: Gradients) -> Tensors:
        self.moving = [g is not None for g in grads]
        phi = self.phi
        theta = super().advance(theta, grads)
        if self.calls == 1 and self.phi is not phi:
            # A slot that is made with the first gradient holds zeros until then.
            self.phi = picked(self.moving, self.phi, zeros(theta))
        return theta


class SlowMomentum(SimulatedLookahead):
    """A Lookahead that divides the pseudo-gradient by the cycle's first learning rate."""

    def outer_step(self, outer: oracle.OracleInner, theta: Tensors) -> Tensors:
        inner = self.innermost
        gamma = oracle.at(inner.learning_rate, max(inner.clock - self.k, 0))
        scaled = [[g / gamma for g in each] for each in self.pseudo_gradient(theta)]
        return oracle.interpolate(self.phi, outer.step(self.phi, scaled), gamma)


CONVENTIONS = (
    convention("epsilon-hat", "IN-11", "adam", "adam",
        "adds epsilon to the uncorrected root",
        "Kingma and Ba's remark before section 2.1; Keras and TensorFlow",
        "epsilon means something else at the first steps",
        'Inner.adam: (m / bias1) / (sqrt(v / bias2) + h["epsilon"]) -> '
        'm * sqrt(bias2) / bias1 / (sqrt(v) + h["epsilon"])'),
    convention("learning-rate-in-velocity", "IN-12", "velocity", "velocity",
        "keeps the learning rate in the velocity: v <- mu v - gamma g",
        "Sutskever et al. 2013, Keras",
        "the same only while the learning rate is constant",
        mixes=InnerRateInVelocity),
    convention("adagrad-epsilon-in-root", "IN-13", "adagrad", "adagrad",
        "adds epsilon under the root of AdaGrad",
        "Optax",
        "epsilon means something else",
        'Inner.adagrad: (sqrt(s) + h["epsilon"]) -> sqrt(s + h["epsilon"])'),
    convention("decay-without-learning-rate", "IN-4", "decay", "decoupled",
        "does not multiply decoupled weight decay by the learning rate",
        "Loshchilov and Hutter's Algorithm 2, with its schedule multiplier at 1",
        "the coefficient is to be smaller by the learning rate",
        'Inner.element: direction = direction + self.h["weight_decay"] * x -> '
        'return x - gamma * direction - self.h["weight_decay"] * x, *slots_after'),
    convention("no-gradient-is-zero", "LA-25", "no_gradient", "no-gradient",
        "takes no gradient for a gradient of zeros",
        "programs in which every parameter has a gradient; this library",
        "momentum and weight decay go on moving the parameter",
        "Inner.step: continue -> g = [self.arithmetic.number(0.0)] * len(x)"),
    convention("no-gradient-skips", "LA-25", "no_gradient", "no-gradient",
        "leaves a parameter without a gradient, and its slots, as they are; it "
        "synchronizes with the others",
        "PyTorch's optimizers inside a wrapper that synchronizes all parameters",
        "momentum does not decay meanwhile"),
    convention("no-gradient-skips-but-counts", "LA-25", "no_gradient", "no-gradient adam",
        "leaves a parameter without a gradient, and its slots, as they are; it "
        "synchronizes with the others, and counts the step for Adam's bias correction",
        "frameworks that keep one count for all parameters: Keras, MLX",
        "a parameter whose first gradient comes late starts with small updates",
        "Inner.step: continue -> self.count[i] += 1; continue",
        special="no-gradient-skips"),
    convention("no-gradient-own-clock", "LA-25", "no_gradient", "no-gradient",
        "counts the steps of each parameter by itself",
        "wrappers that keep the step counter in the state of each parameter",
        "parameters synchronize at different steps",
        mixes=OwnClock),
    convention("no-gradient-skips-sync", "LA-25", "no_gradient", "no-gradient",
        "leaves a parameter out of a synchronization at which it has no gradient",
        "wrappers that skip parameters without a gradient in the outer update too",
        "its next synchronization spans two cycles",
        mixes=SkippedSync),
    convention("outer-learning-rate-in-velocity", "OU-6", "outer_velocity",
        "outer-velocity outer-rates",
        "keeps the outer learning rate in the outer velocity",
        "Keras' SGD as the outer optimizer",
        "the same only while the outer learning rate is constant",
        mixes=OuterRateInVelocity),
    convention("slow-momentum", "OU-11", "outer_units", "outer-heavy-ball rates",
        "measures the pseudo-gradient in units of the cycle's first learning rate",
        "SlowMo: Wang, Tantia, Ballas and Rabbat 2020, Algorithm 1",
        "the same only while the learning rate is constant",
        mixes=SlowMomentum),
)  # fmt: skip
