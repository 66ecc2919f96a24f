"""Optimizers as other libraries have them, where an edit cannot say it."""

from lookahead_ref.conformance.bugs.simulation import Some
from lookahead_ref.conformance.oracle import Gradients, Tensors


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
        return super().advance(theta, grads)
