"""Optimizers as other libraries have them, where an edit cannot say it."""

from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.helpers import zeros
from lookahead_ref.conformance.bugs.simulation import (
    Outer,
    SimulatedInner,
    SimulatedLookahead,
    Some,
    picked,
)
from lookahead_ref.conformance.oracle import Gradients, Tensors


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
