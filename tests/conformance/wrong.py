"""Wrong Lookaheads, written by hand as people write them: the suite must fail each.

`WRONG` holds each with the causes that a diagnosis is to name, or None where no hypothesis
of the suite covers what it does.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from conformance.port import Level, Port

from lookahead_ref.conformance import Case, judge, observe
from lookahead_ref.conformance.running import Result

Cause = frozenset[str] | None


def results(make: Any, chosen: Iterable[Case], dtype: str) -> list[Result]:
    """Take cases through an adapter in this process."""
    found = []
    for case in chosen:
        if dtype in case.dtypes:
            with np.errstate(all="ignore"):
                seen = observe(case, dtype, make(), make)
            verdict = judge(case, seen, dtype)
            status: Any = "passed" if verdict.passed else "departed"
            found.append(Result(case, dtype, status, "", verdict, seen))
    return found


WRONG: dict[str, tuple[type[Port], Cause]] = {}
ONLY: dict[str, str] = {}


def wrong(*causes: str, unknown: bool = False, floats: str = "") -> Any:
    """Enter a program under its causes, and the precision in which alone they show."""

    def enter(kind: Any) -> Any:
        if floats:
            ONLY[kind.__name__] = floats
        port = kind if issubclass(kind, Port) else type("Port", (Port,), {"level": kind})
        WRONG[kind.__name__] = (port, None if unknown else frozenset(causes))
        return kind

    return enter


def differs(cause: str, name: str, base: Any, **members: Any) -> None:
    """Enter a program that differs in a member of a level or of the port."""
    wrong(cause)(type(name, (base,), members))


# When the synchronization falls.


@wrong("period-plus-one")
class ComparesBeforeCounting(Level):
    def due(self) -> bool:
        if self.steps > self.k:
            self.steps = 0
            return True
        return False


@wrong("period-minus-one")
class CountsFromOne(Level):
    def due(self) -> bool:
        return self.steps % max(1, self.k - 1) == 0


@wrong("first-sync-at-step-1")
class TestsBeforeCounting(Level):
    def due(self) -> bool:
        return (self.steps - 1) % self.k == 0


@wrong("synchronizes-once")
class SynchronizesOnce(Level):
    def due(self) -> bool:
        return self.steps == self.k


differs("never-synchronizes", "NeverSynchronizes", Level, due=lambda self: False)


@wrong("sync-before-inner-step")
class SynchronizesBeforeStep(Port):
    def before_step(self, gradients: Mapping[str, Any]) -> None:
        super().after_update()

    def after_update(self) -> None:
        pass


@wrong("sync-with-old-fast")
class SynchronizesOldFast(Port):
    def before_step(self, gradients: Mapping[str, Any]) -> None:
        self.old = {name: array.copy() for name, array in self.p.items()}

    def after_update(self) -> None:
        for level in self.levels:
            if (level.steps + 1) % level.k == 0:
                for name, array in self.old.items():
                    self.p[name][...] = array
        super().after_update()


# What the slow weights are.


@wrong("phi-after-first-step")
class CapturesAfterFirstStep(Level):
    def after_step(self) -> bool:
        if self.port.clock == 1:
            self.phi = {name: array.copy() for name, array in self.port.p.items()}
        return super().after_step()


@wrong("phi-at-first-sync")
class CapturesAtFirstSync(Level):
    def synchronize(self) -> None:
        if self.syncs == 0:
            self.phi = {name: array.copy() for name, array in self.port.p.items()}
        super().synchronize()


@wrong("phi-starts-at-zero")
class StartsAtZero(Level):
    def capture(self) -> Any:
        return {name: np.zeros_like(array) for name, array in self.port.p.items()}


@wrong("phi-starts-at-first-gradient")
class StartsAtGradient(Port):
    begun = False

    def start(self, setup: Any) -> None:
        super().start(setup)
        self.begun = False

    def before_step(self, gradients: Mapping[str, Any]) -> None:
        if not self.begun:
            self.begun = True
            for level in self.levels:
                for name, gradient in gradients.items():
                    if gradient is not None:
                        level.phi[name][...] = gradient

    def load(self, state: bytes) -> None:
        super().load(state)
        self.begun = True


@wrong("alpha-swapped")
class SwapsAlpha(Level):
    def alpha(self) -> float:
        return 1 - super().alpha()


differs("alpha-ignored", "IgnoresAlpha", Level, alpha=lambda self: 1.0)


@wrong(unknown=True)
class SquaresAlpha(Level):
    def alpha(self) -> float:
        return super().alpha() ** 2


@wrong("fast-not-restarted")
class LeavesFastWeights(Level):
    def synchronize(self) -> None:
        fast = {name: array.copy() for name, array in self.port.p.items()}
        super().synchronize()
        for name, array in fast.items():
            self.port.p[name][...] = array


@wrong("phi-not-stored")
class ForgetsPhi(Level):
    def synchronize(self) -> None:
        phi = {name: array.copy() for name, array in self.phi.items()}
        super().synchronize()
        self.phi = phi


@wrong("phi-takes-fast")
class StoresFast(Level):
    def synchronize(self) -> None:
        fast = {name: array.copy() for name, array in self.port.p.items()}
        super().synchronize()
        self.phi = fast


@wrong(unknown=True)
class OnlyFirstTensor(Level):
    def synchronize(self) -> None:
        kept = {name: array.copy() for name, array in self.port.p.items()}
        super().synchronize()
        for name in list(kept)[1:]:
            self.port.p[name][...] = kept[name]
            self.phi[name][...] = kept[name]


# What becomes of the inner state.


@wrong("inner-state-not-reset")
class KeepsState(Level):
    def treat_state(self) -> None:
        self.state = "maintain" if self.state == "reset" else self.state
        super().treat_state()


@wrong("only-momentum-reset")
class ResetsMomentumOnly(Level):
    def treat_state(self) -> None:
        if self.state != "reset" or "velocity" in self.port.arrays:
            super().treat_state()
        else:
            self.keep_anchor()


@wrong("count-not-reset")
class KeepsCount(Level):
    def treat_state(self) -> None:
        count = dict(self.port.count)
        super().treat_state()
        self.port.count = count


@wrong("slots-not-reset")
class ResetsCountOnly(Level):
    def treat_state(self) -> None:
        if self.state == "reset" and self.port.inner.rule == "adam":
            self.port.count = dict.fromkeys(self.port.count, 0)
        else:
            super().treat_state()


@wrong("reset-restarts-schedule")
class RestartsSchedule(Level):
    def treat_state(self) -> None:
        super().treat_state()
        if self.state == "reset":
            self.port.clock = 0


@wrong("state-reset-unasked")
class ResetsUnasked(Level):
    def __init__(self, port: Port, k: int, alpha: Any, state: str) -> None:
        super().__init__(port, k, alpha, "reset" if state == "maintain" else state)


@wrong("interpolated-slots-aliased")
class AliasesSlots(Level):
    def treat_state(self) -> None:
        if self.state == "interpolate":
            self.keep_anchor()
        super().treat_state()


@wrong("slots-anchored-at-first-sync")
class AnchorsLate(Level):
    def treat_state(self) -> None:
        if self.syncs == 0 and self.state == "interpolate":
            self.keep_anchor()
        super().treat_state()


@wrong("interpolated-slots-swapped")
class SwapsSlots(Level):
    def treat_state(self) -> None:
        for slot, arrays in self.port.arrays.items():
            for key, array in arrays.items():
                if self.state == "interpolate":
                    anchor = self.anchor[slot][key]
                    array[...] = array + array.dtype.type(self.alpha()) * (anchor - array)
        if self.state == "interpolate":
            self.keep_anchor()
        else:
            super().treat_state()


@wrong("interpolated-slots-not-kept")
class KeepsRawSlots(Level):
    def treat_state(self) -> None:
        raw = {n: {m: a.copy() for m, a in s.items()} for n, s in self.port.arrays.items()}
        super().treat_state()
        if self.state == "interpolate":
            self.anchor = raw


# Evaluation and checkpoints.


differs("evaluates-fast-weights", "EvaluatesFast", Port, evaluation=lambda self: self.p)


@wrong("evaluation-not-undone")
class LeavesPhiAfterEvaluation(Port):
    def evaluation(self) -> Any:
        for name, array in self.levels[-1].phi.items():
            self.p[name][...] = array
        return self.p


class Forgets(Port):
    words: tuple[str, ...] = ()

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(
            {name: a for name, a in saved.items() if not name.startswith(self.words)}
        )


@wrong("checkpoint-without-phi")
class SavesNoPhi(Forgets):
    words = ("phi.",)

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        for level in self.levels:
            for name, array in self.p.items():
                level.phi[name][...] = array


differs("checkpoint-without-step-counter", "SavesNoSteps", Forgets, words=("steps.",))
differs("checkpoint-without-count", "SavesNoCount", Forgets, words=("count.",))
differs("checkpoint-without-slots", "SavesNoSlots", Forgets, words=("slot.", "count."))
differs("checkpoint-without-schedule", "SavesNoClock", Forgets, words=("clock",))
differs("checkpoint-without-sync-count", "SavesNoSyncs", Forgets, words=("syncs.",))


@wrong("checkpoint-without-anchor")
class SavesNoAnchor(Forgets):
    words = ("anchor.",)

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        for level in self.levels:
            level.keep_anchor()


@wrong("checkpoint-shares-memory")
class SharesMemory(Port):
    def snapshot(self) -> Any:
        return self.entries()


@wrong("checkpoint-is-live")
class SavesLater(Port):
    def snapshot(self) -> Any:
        return None

    def dump(self, snapshot: Any) -> bytes:
        return super().dump(super().snapshot())


@wrong(unknown=True)
class SavesNothing(Port):
    def load(self, state: bytes) -> None:
        pass


# Schedules and nesting.


@wrong("schedule-frozen")
class FreezesRate(Port):
    def rate(self) -> float:
        return self.inner.learning_rate[0]


@wrong("schedule-one-ahead")
class ReadsRateAhead(Port):
    def rate(self) -> float:
        table = self.inner.learning_rate
        return table[min(self.clock + 1, len(table) - 1)]


differs("alpha-frozen", "FreezesAlpha", Level, alpha=lambda self: self.alphas[0])


@wrong("nested-phi-kept")
class KeepsNestedPhi(Level):
    def follow(self, reset: bool) -> None:
        phi = {name: array.copy() for name, array in self.phi.items()}
        super().follow(reset)
        self.phi = phi


# Inner optimizers.


@wrong("momentum-dampened")
class Dampens(Port):
    def heavy_ball(self, name: str, g: Any) -> Any:
        if self.inner.rule == "nesterov":
            return super().heavy_ball(name, g)
        return super().heavy_ball(name, (1 - self.h("momentum")) * g)


@wrong("nesterov-ignored")
class HeavyBallForNesterov(Port):
    def nesterov(self, name: str, g: Any) -> Any:
        return self.heavy_ball(name, g)


@wrong("adam-uncorrected")
class Uncorrected(Port):
    def corrected(self, name: str, m: Any, v: Any) -> Any:
        return m / (np.sqrt(v) + self.h("epsilon"))


@wrong("adam-count-one-ahead")
class CountsAhead(Port):
    def corrected(self, name: str, m: Any, v: Any) -> Any:
        self.count[name] += 1
        found = super().corrected(name, m, v)
        self.count[name] -= 1
        return found


@wrong("single-precision", floats="float64")
class RoundsToSingle(Port):
    def h(self, name: str) -> Any:
        return np.dtype(self.setup.dtype).type(np.float32(super().h(name)))

    def rate(self) -> float:
        return float(np.float32(super().rate()))


@wrong("adam-epsilon-in-root")
class EpsilonInRoot(Port):
    def corrected(self, name: str, m: Any, v: Any) -> Any:
        one, t = m.dtype.type(1), m.dtype.type(self.count[name])
        bias1, bias2 = one - self.h("beta1") ** t, one - self.h("beta2") ** t
        return m / bias1 / np.sqrt(v / bias2 + self.h("epsilon"))


@wrong("decay-ignored")
class IgnoresDecay(Port):
    def h(self, name: str) -> Any:
        return super().h(name) * (name != "weight_decay")


@wrong("decay-coupled")
class CouplesDecay(Port):
    def start(self, setup: Any) -> None:
        super().start(setup)
        if self.inner.weight_decay_kind == "decoupled":
            object.__setattr__(self.inner, "weight_decay_kind", "l2")


# What somebody does who writes Lookahead for the first time.


differs("phi-is-theta", "AliasesPhi", Level, capture=lambda self: self.port.p)


@wrong("theta-becomes-phi")
class AliasesTheta(Level):
    def synchronize(self) -> None:
        super().synchronize()
        self.port.p.update(self.phi)


differs("k-ignored", "IgnoresK", Level, due=lambda self: True)
differs("k-fixed", "FixesK", Level, due=lambda self: self.steps % 5 == 0)


@wrong("synchronizes-from-k-on")
class SynchronizesFromK(Level):
    def due(self) -> bool:
        return self.steps >= self.k


@wrong("counts-from-one-again")
class Recounts(Level):
    def due(self) -> bool:
        due = self.steps == self.k
        self.steps = 1 if due else self.steps
        return due


@wrong("outer-update-backwards")
class Backwards(Level):
    def blend(self, slow: Any, fast: Any) -> Any:
        return super().blend(slow, slow + (slow - fast))


@wrong("outer-update-adds")
class Adds(Level):
    def blend(self, slow: Any, fast: Any) -> Any:
        return super().blend(slow, slow + fast)


@wrong("phi-moves-every-step")
class Averages(Level):
    def after_step(self) -> bool:
        for name, theta in self.port.p.items():
            self.phi[name][...], _ = self.blend(self.phi[name], theta)
        return super().after_step()

    def synchronize(self) -> None:
        for name, theta in self.port.p.items():
            theta[...] = self.phi[name]
        self.syncs += 1


differs("alpha-fixed", "FixesAlpha", Level, alpha=lambda self: 0.5)


@wrong("only-first-tensor")
class ReturnsEarly(Level):
    def synchronize(self) -> None:
        whole = self.port.p
        self.port.p = dict(list(whole.items())[:1])
        super().synchronize()
        self.port.p = whole


@wrong("only-last-tensor")
class BehindTheLoop(Level):
    def synchronize(self) -> None:
        whole = self.port.p
        self.port.p = dict(list(whole.items())[-1:])
        super().synchronize()
        self.port.p = whole


@wrong("climbs")
class Climbs(Port):
    def rate(self) -> float:
        return -super().rate()


differs("shows-slow-for-fast", "ShowsPhi", Port, fast=lambda self: self.levels[-1].phi)
differs("shows-fast-for-slow", "ShowsTheta", Port, slow=lambda self: [self.p])


@wrong("velocity-not-kept")
class ForgetsVelocity(Port):
    def heavy_ball(self, name: str, g: Any) -> Any:
        self.arrays["velocity"][name][...] = g
        return g


@wrong("adam-betas-swapped")
class SwapsBetas(Port):
    def h(self, name: str) -> Any:
        return super().h({"beta1": "beta2", "beta2": "beta1"}.get(name, name))


# Two bugs at once.


def both(*kinds: str) -> None:
    """Enter the program that two wrong ones make together."""
    classes: list[Any] = []
    levels: list[Any] = []
    causes: frozenset[str] = frozenset()
    for kind in kinds:
        port, cause = WRONG[kind]
        assert cause is not None
        causes |= cause
        if port.level is not Level:
            levels.append(port.level)
        else:
            classes.append(port)
    body = {"level": type("Level", tuple(levels), {})} if levels else {}
    WRONG["And".join(kinds)] = (type("Both", (*classes, Port), body), causes)


both("TestsBeforeCounting", "CapturesAfterFirstStep")
both("CapturesAtFirstSync", "SwapsAlpha")
both("StartsAtZero", "FreezesAlpha")
both("ComparesBeforeCounting", "SwapsAlpha")
both("CountsFromOne", "KeepsState")
both("KeepsCount", "SavesNoPhi")
both("RestartsSchedule", "EpsilonInRoot")
both("ResetsMomentumOnly", "SharesMemory")
both("SavesNoSteps", "EvaluatesFast")
both("SwapsAlpha", "Uncorrected")
both("AliasesSlots", "SavesNoClock")
both("CapturesAfterFirstStep", "IgnoresDecay")
both("KeepsNestedPhi", "HeavyBallForNesterov")
both("AliasesSlots", "RoundsToSingle")
both("NeverSynchronizes", "CountsAhead")
ONLY["AliasesSlotsAndRoundsToSingle"] = "float64"
