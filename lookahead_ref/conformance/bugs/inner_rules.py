"""Bugs of the inner optimizers and of weight decay."""

from collections.abc import Mapping
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.simulation import Bug, SimulatedInner
from lookahead_ref.conformance.oracle import Number, Update


class MomentumDampened(Bug, SimulatedInner):
    clause, place, needs = "IN-6", "momentum", ("heavy-ball",)
    says = "averages gradients: v <- mu v + (1 - mu) g"
    breaks = "the learning rate is 1 - mu of what was asked for"
    fix = "add the whole gradient: v <- mu v + g"
    given = {"rule": lambda self: self.dampened}

    @staticmethod
    def dampened(h: Mapping[str, Number], t: int, sqrt: Any) -> Update:
        def update(g: Number, v: Number) -> tuple[Number, ...]:
            v = h["momentum"] * v + (1 - h["momentum"]) * g
            return v, v

        return update


class NesterovIgnored(Bug, SimulatedInner):
    clause, place, needs = "IN-7", "momentum", ("nesterov",)
    says = "does heavy ball though Nesterov was asked for"
    breaks = "the gradient's weight in the update is 1, not 1 + mu"
    fix = "use g + mu v for the update"
    given = {"rule": lambda _: oracle.heavy_ball}


class OtherAdam(SimulatedInner):
    """Adam with another way from its moments to its update."""

    given = {"rule": lambda self: self.adam}

    def adam(self, h: Mapping[str, Number], t: int, sqrt: Any) -> Update:
        right = oracle.adam(h, t, sqrt)
        bias1, bias2 = 1 - h["beta1"] ** t, 1 - h["beta2"] ** t

        def update(g: Number, m: Number, v: Number) -> tuple[Number, ...]:
            _, m, v = right(g, m, v)
            return self.direction(m, v, bias1, bias2, h["epsilon"]), m, v

        return update

    def direction(self, m: Any, v: Any, bias1: Any, bias2: Any, e: Any) -> Any:
        raise NotImplementedError


class AdamUncorrected(Bug, OtherAdam):
    clause, place, needs = "IN-10", "adam", ("adam",)
    says = "does not correct the moments' bias"
    breaks = "the first updates have the wrong size"
    fix = "divide the moments by 1 - beta^t"

    def direction(self, m: Any, v: Any, bias1: Any, bias2: Any, e: Any) -> Any:
        return m / (self.arithmetic.sqrt(v) + e)


class AdamFirstUncorrected(Bug, OtherAdam):
    clause, place, needs = "IN-10", "adam", ("adam",)
    says = "corrects the second moment's bias only"
    breaks = "the first updates are too small"
    fix = "divide the first moment by 1 - beta1^t"

    def direction(self, m: Any, v: Any, bias1: Any, bias2: Any, e: Any) -> Any:
        return m / (self.arithmetic.sqrt(v / bias2) + e)


class AdamCountOneAhead(Bug, SimulatedInner):
    clause, place, needs = "IN-10", "adam", ("adam",)
    says = "corrects the moments' bias with t + 1 for t"
    breaks = "the first updates are of another size"
    fix = "let t be 1 at the first update"
    given = {"rule": lambda _: lambda h, t, sqrt: oracle.adam(h, t + 1, sqrt)}


class AdamEpsilonInRoot(Bug, OtherAdam):
    clause, place, needs = "IN-11", "adam", ("adam",)
    says = "adds epsilon under the root"
    breaks = "epsilon = 1e-8 acts as 1e-4: small gradients hardly move anything"
    fix = "add epsilon to the root"

    def direction(self, m: Any, v: Any, bias1: Any, bias2: Any, e: Any) -> Any:
        return (m / bias1) / self.arithmetic.sqrt(v / bias2 + e)


class DecayIgnored(Bug, SimulatedInner):
    clause, place, needs = "LA-27", "decay", ("decay",)
    says = "ignores weight decay"
    breaks = "weights grow"
    fix = "hand weight decay through to the inner optimizer"
    given = {"decay_kind": lambda _: "none"}


class DecayCoupled(Bug, SimulatedInner):
    clause, place, needs = "IN-4", "decay", ("decoupled",)
    says = "adds weight decay to the gradient though it was to be decoupled"
    breaks = "Adam divides the decay by the gradient's size: large gradients hardly decay"
    fix = "subtract learning rate times decay times the old weights"
    given = {"decay_kind": lambda _: "l2"}


class DecayDecoupled(Bug, SimulatedInner):
    clause, place, needs = "IN-3", "decay", ("l2", "slots")
    says = "decouples weight decay though it was to be added to the gradient"
    breaks = "another regularizer than the one that was tuned"
    fix = "add decay times the weights to the gradient before anything else"
    given = {"decay_kind": lambda _: "decoupled"}


class DecayAfterUpdate(Bug, SimulatedInner):
    clause, place, needs = "IN-4", "decay", ("decoupled",)
    says = "decays the weights after the update, not the old weights"
    breaks = "the update itself decays too: not the published rule"
    fix = "take decay from the weights before the update"

    def element(self, update: Any, gamma: Any, x: Any, g: Any, *slots: Any) -> Any:
        direction, *slots_after = update(g, *slots)
        moved = x - gamma * direction
        return moved - gamma * self.h["weight_decay"] * moved, *slots_after
