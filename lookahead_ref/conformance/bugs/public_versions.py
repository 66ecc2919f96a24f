"""Bugs of public implementations and of ports, met after release 2 of the vectors."""

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.lookahead import (
    AlphaSwapped,
    CheckpointWithoutAnchor,
    NeverSynchronizes,
    OtherAlphaForSlots,
    PhiAfterFirstStep,
    SlotsNotReset,
)
from lookahead_ref.conformance.bugs.simulation import (
    Evaluated,
    Mistake,
    SimulatedInner,
    SimulatedLookahead,
    SimulatedProgram,
    State,
    parts_of,
    picked,
)
from lookahead_ref.conformance.oracle import Gradients, Slots, Step, Tensors, minus

# What is saved.


class CheckpointLeavesNewPhi(Mistake, SimulatedProgram):
    clause, place, needs = "LA-24", "checkpoint", ("save",)
    says = "restores no phi: it stays what the new program started with"
    breaks = "the next synchronization pulls back to weights of before the training"
    fix = "save phi and restore it"
    lost, recaptures = ("phi", "lacking"), False


class CheckpointLeavesNewAnchor(Mistake, CheckpointWithoutAnchor):
    says = "restores no slots to interpolate from: they stay those of the new program"
    recaptures = False


_OF_LOOKAHEAD = ("phi", "lacking", "anchor", "cycle_step", "calls", "syncs", "own_steps")


class CheckpointOfInnerAlone(Mistake, SimulatedProgram):
    clause, place, needs = "LA-22", "checkpoint", ("save",)
    says = (
        "saves the state of the inner optimizer alone: the step counter begins again, and "
        "phi stays what the new program started with"
    )
    breaks = "the slow weights are lost: the next synchronization undoes half the training"
    fix = "have state_dict hold phi and the counter beside the inner optimizer's state"
    lost = (*_OF_LOOKAHEAD, "outer slots", "outer count", "outer clock")
    recaptures = False


class CheckpointOfInnerAlonePhiAnew(CheckpointOfInnerAlone):
    says = (
        "saves the state of the inner optimizer alone: the step counter begins again, and "
        "phi at the loaded weights"
    )
    breaks = "the slow weights are lost: each restart goes on from the fast ones"
    recaptures = True


class CheckpointOfArraysAlone(Mistake, SimulatedProgram):
    clause, place, needs = "LA-22", "checkpoint", ("save",)
    says = "saves arrays and none of the counts"
    breaks = "cycles, schedules and bias correction begin again after each restart"
    fix = "save the step counter, the clocks and the counts as well"
    lost = (
        *("cycle_step", "calls", "syncs", "clock", "count", "own_steps"),
        *("outer count", "outer clock"),
    )


class CheckpointOfParametersAlone(Mistake, SimulatedProgram):
    clause, place, needs = "LA-22", "checkpoint", ("save",)
    says = "saves nothing of itself: all of its state is what the new program started with"
    breaks = "each restart loses the slow weights, the momentum and the counts"
    fix = "have state_dict hold phi, the counter and the inner optimizer's state"
    lost = (*CheckpointOfInnerAlone.lost, "slots", "count")
    recaptures = False


class CheckpointOfPhiAlone(Mistake, SimulatedProgram):
    clause, place, needs = "LA-22", "checkpoint", ("save",)
    says = "restores phi to the fast weights as well"
    breaks = "what was done since the last synchronization is lost at each restart"
    fix = "save theta, to go on from, beside phi"

    def restore(self, levels: list[Any], state: State) -> Tensors:
        super().restore(levels, state)
        phi: Tensors = levels[0].phi
        return phi


class CheckpointWithoutFastWeights(Mistake, SimulatedProgram):
    clause, place, needs = "LA-22", "checkpoint", ("save",)
    says = "restores phi and the inner state, and leaves the parameters as they were made"
    breaks = "the first cycle after a restart starts from untrained weights"
    fix = "save theta, to go on from, beside phi"

    def restore(self, levels: list[Any], state: State) -> Tensors:
        theta: Tensors = levels[0].phi
        super().restore(levels, state)
        return theta


class CheckpointNotLoaded(Mistake, SimulatedProgram):
    clause, place, needs = "LA-24", "checkpoint", ("save",)
    says = "begins anew where a saved state is loaded"
    breaks = "the training before a restart is lost"
    fix = "put what was saved into the optimizer and the parameters"

    def restore(self, levels: list[Any], state: State) -> Tensors:
        theta: Tensors = levels[0].phi
        return theta


class ScheduleFrozenAfterLoading(Mistake, SimulatedProgram):
    clause, place, needs = "LA-24", "loaded_rate", ("save", "rates")
    says = "keeps the learning rate of the save point, whatever a scheduler sets later"
    breaks = "a scheduler writes to groups that the inner optimizer has left behind"
    fix = "let wrapper and inner optimizer have the same param_groups after loading, too"

    def restore(self, levels: list[Any], state: State) -> Tensors:
        theta = super().restore(levels, state)
        for each in parts_of(levels):
            if isinstance(each, SimulatedInner):
                each.learning_rate = [oracle.at(each.learning_rate, each.clock - 1)]
        return theta


# Slots at a synchronization.


def scaled(slots: Slots, by: Any) -> Slots:
    return {n: [[by * x for x in xs] for xs in slots[n]] for n in slots}


class StateInterpolatedUnasked(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-11", "state", ("maintain", "slots")
    says = "interpolates the inner state though it was to be maintained"
    breaks = "momentum is pulled back every k steps"
    fix = "leave the inner optimizer's state alone unless asked"
    given = {
        "inner_state": lambda self: self.inner_state.replace("maintain", "interpolate")
    }


class ResetForInterpolation(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-13", "interpolation", ("interpolate", "slots")
    says = "resets the inner state though it was to be interpolated"
    breaks = "momentum is lost every k steps"
    fix = "move the slots by alpha, from those of the last synchronization"
    given = {"inner_state": lambda self: self.inner_state.replace("interpolate", "reset")}


class SlotsScaledByAlpha(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-13", "interpolation", ("interpolate", "slots")
    says = "multiplies the slots by alpha at a synchronization"
    breaks = "they are pulled towards zero, not towards those of the last synchronization"
    fix = "keep a copy of the slots of each synchronization, and interpolate from it"

    def after_interpolation(self, slots: Slots, anchor: Slots, alpha: Any) -> None:
        self.slots = self.anchor = scaled(slots, alpha)
        self.inner.follow(self.phi)


class SlotsScaledByOneMinusAlpha(SlotsScaledByAlpha):
    says = "multiplies the slots by 1 - alpha at a synchronization"

    def after_interpolation(self, slots: Slots, anchor: Slots, alpha: Any) -> None:
        super().after_interpolation(slots, anchor, 1 - alpha)


class InterpolatedSlotsAliasedLater(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-13", "interpolation", ("interpolate", "slots")
    says = (
        "interpolates the slots from zero at the first synchronization, and keeps a "
        "reference to them there, not a copy"
    )
    breaks = "from the second synchronization on, interpolation silently becomes maintain"
    fix = "copy the slots after each synchronization"

    def slots_to_start_from(self) -> Slots:
        return self.slots if self.syncs else self.anchor


class InterpolatedSlotsAliasedInPlace(InterpolatedSlotsAliasedLater):
    says = (
        "interpolates the slots from zero at the first synchronization, and from then on, "
        "in place, from themselves: alpha times the slots, and 1 - alpha times that"
    )
    breaks = "from the second synchronization on, slots are scaled by 1 - (1 - alpha)^2"

    def after_interpolation(self, slots: Slots, anchor: Slots, alpha: Any) -> None:
        super().after_interpolation(slots, anchor, alpha)
        if self.syncs > 1:
            self.slots = self.anchor = scaled(slots, alpha * (2 - alpha))
            self.inner.follow(self.phi)


class AlphaSwappedForPhi(Mistake, AlphaSwapped, OtherAlphaForSlots):
    says = "uses 1 - alpha for alpha where it moves phi; its slots move by alpha"


class OnlyFirstMomentInterpolated(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-13", "interpolated", ("interpolate", "adam")
    says = "interpolates Adam's first moment, and leaves the second as it is"
    breaks = "the two moments belong to different cycles"
    fix = "interpolate every slot that the inner optimizer keeps"

    def slots_to_start_from(self) -> Slots:
        first = {"first_moment": super().slots_to_start_from()["first_moment"]}
        return {**self.slots, **first}


class OnlyFirstMomentReset(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-12", "reset", ("reset", "adam")
    says = "resets Adam's first moment, and leaves the second as it is"
    breaks = "the bias correction inflates a moment that is already settled"
    fix = "reset every slot that the inner optimizer keeps"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        self.slots = {**self.slots, "second_moment": slots["second_moment"]}


class OnlyFirstTensorReset(Mistake, SimulatedLookahead):
    clause, place = "LA-12", "reset"
    needs: ClassVar[tuple[str, ...]] = ("reset", "slots")
    says = "resets the slots of the first parameter only"
    breaks = "momentum of the old cycle pushes all other parameters"
    fix = "go over the slots of all parameters; look for a break in the loop"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        self.slots = self.first_new(slots)
        self.innermost.count = [*self.innermost.count[:1], *counts[1:]]

    def first_new(self, old: Slots) -> Slots:
        return {n: [*new[:1], *old[n][1:]] for n, new in self.slots.items()}


class OnlyFirstTensorTreated(OnlyFirstTensorReset):
    needs = ("slots",)
    says = "resets or interpolates the slots of the first parameter only"

    def after_interpolation(self, slots: Slots, anchor: Slots, alpha: Any) -> None:
        self.slots = self.anchor = self.first_new(slots)
        self.inner.follow(self.phi)


class OnlyFirstBytesReset(Mistake, SlotsNotReset):
    clause, place, needs = "LA-12", "reset", ("reset", "slots")
    says = "clears as many bytes of the slots as there are numbers in them: an eighth"
    breaks = OnlyFirstTensorReset.breaks
    fix = "memset takes a size in bytes: multiply by sizeof"

    def after_reset(self, slots: Slots, counts: list[int]) -> None:
        self.slots = {name: self.cleared(tensors) for name, tensors in slots.items()}

    @staticmethod
    def cleared(tensors: Tensors) -> Tensors:
        flat = np.array([x for xs in tensors for x in xs], "<f8")
        flat.view(np.uint8)[: flat.size] = 0
        numbers = iter(flat.tolist())
        return [[next(numbers) for _ in xs] for xs in tensors]


class CountInterpolated(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-15", "interpolated_count", ("interpolate", "adam")
    says = "interpolates the count that Adam's bias correction uses like a slot"
    breaks = "the moments are corrected as if fewer steps had been done"
    fix = "leave the count alone: in PyTorch it is a tensor beside the slots"
    given = {"anchored": lambda self: [0] * len(self.phi)}
    anchored: list[Any]

    def after_interpolation(self, slots: Slots, anchor: Slots, alpha: Any) -> None:
        super().after_interpolation(slots, anchor, alpha)
        both = zip(self.anchored, self.innermost.count, strict=True)
        self.anchored = [a + alpha * (n - a) for a, n in both]
        self.innermost.count = list(self.anchored)


# When it synchronizes, and where phi starts.


class FirstSyncOneLate(Mistake, SimulatedLookahead):
    clause, place = "LA-3", "first"
    says = "synchronizes after step k + 1, and every k steps from there"
    breaks = "the first cycle is a step too long, and every later one out of phase"
    fix = "count the step before asking whether k divides the count"

    def first_count(self) -> int:
        return -1


class CountFrozenByTracing(Mistake, SimulatedLookahead):
    clause, place = "LA-29", "first"
    says = "counts the first step only: at k = 1 it synchronizes always, else never"
    breaks = "a count in Python is a constant of what jit or compile has traced"
    fix = "keep the count in the state, as an array that the traced step returns"

    def due(self) -> bool:
        return bool(self.k == 1)


class PhiAtOwnFirstStep(Mistake, PhiAfterFirstStep):
    says = "captures the phi of each parameter after its own first step with a gradient"

    def stepped(self) -> list[bool]:
        return [g is not None for g in self.grads]


class PhiAfterDecay(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-1", "capture", ("decoupled",)
    says = "captures phi in the first step, after weight decay and before the update"
    breaks = "phi_0 is not theta_0: every slow weight is displaced by a decay"
    fix = "copy the parameters when the optimizer is made, before any step"

    def after_inner_step(self, theta: Tensors) -> None:
        inner = self.innermost
        decay = oracle.at(inner.learning_rate, inner.clock - 1) * inner.h["weight_decay"]
        self.capture(self.stepped(), [[x - decay * x for x in xs] for xs in self.before])
        super().after_inner_step(theta)


class OuterSyncFirst(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-18", "nested_order", ("nested",)
    says = "does the outer synchronization before the inner one, where both are due"
    breaks = "the outer one sees fast weights, and the inner one then does nothing"
    fix = "let the innermost synchronize first: call step of the Lookahead within"

    # Those within wait, until the outermost has synchronized.
    given = {"waits": lambda self: vars(self.inner).update(waits=True)}
    waits: Any

    def step(self, theta: Tensors, grads: Gradients) -> Tensors:
        theta = self.advance(theta, grads)
        level: Any = self
        while not self.waits and isinstance(level, SimulatedLookahead):
            if level.synchronized:
                theta = level.restarted(level.synchronize(theta))
            level = level.inner
        return theta


class EvaluationCounts(Mistake, SimulatedProgram):
    clause, place, needs = "LA-29", "evaluation", ("evaluate",)
    says = "counts an evaluation as a step"
    breaks = "how often one evaluates changes when it synchronizes"
    fix = "count in step alone"

    def evaluate(self, outermost: Any, theta: Tensors) -> Evaluated:
        # As one that asks whether the count is k or more.
        outermost.cycle_step = min(outermost.cycle_step + 1, outermost.k - 1)
        return super().evaluate(outermost, theta)


# Clocks and counts.


class AlphaOneBehind(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-16", "alpha", ("alphas",)
    says = "reads the table of alpha one synchronization late: the first entry twice"
    breaks = "a schedule of alpha comes a synchronization late"
    fix = "the first synchronization takes the first entry, the second the second"
    given = {"alpha": lambda self: [*self.alpha[:1], *self.alpha]}


class ScheduleOneBehind(Mistake, SimulatedInner):
    clause, place, needs = "LA-14", "rate", ("rates",)
    says = "reads the table of learning rates one step late: the first entry twice"
    breaks = "warm-up and decay come a step late"
    fix = "the first update takes the first entry, the second the second"
    given = {"learning_rate": lambda self: [*self.learning_rate[:1], *self.learning_rate]}


class AlphaRepeats(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-16", "alpha", ("alphas",)
    says = "begins alpha's schedule again where it has ended"
    breaks = "alpha jumps back"
    fix = "hold the last entry of a schedule from then on"
    given = {"alpha": lambda self: self.alpha * 99}


class ScheduleRepeats(Mistake, SimulatedInner):
    clause, place, needs = "LA-14", "rate", ("rates",)
    says = "begins the learning rate's schedule again where it has ended"
    breaks = "the learning rate jumps back"
    fix = "hold the last entry of a schedule from then on"
    given = {"learning_rate": lambda self: self.learning_rate * 99}


class AdagradStartsAboveZero(Mistake, SimulatedInner):
    clause, place, needs = "IN-2", "slots", ("adagrad",)
    says = "starts AdaGrad's sum of squares at 0.1"
    breaks = "the first updates are smaller than the learning rate; Keras' default"
    fix = "start the sum at zero: initial_accumulator_value = 0"

    def restart(self, theta: Tensors) -> None:
        super().restart(theta)
        tenth = self.arithmetic.number(0.1)
        self.slots = {name: [[tenth] * len(x) for x in theta] for name in self.names}


class AdamCountFrozen(Mistake, SimulatedInner):
    clause, place, needs = "IN-10", "adam", ("adam",)
    says = "corrects the moments' bias with t = 1 at every step"
    breaks = "the moments, divided by 1 - beta, come out far too large later"
    fix = "count the steps, in the state and not in what jit or compile has traced"
    given = {"rule": lambda _: lambda h, t, sqrt: oracle.adam(h, 1, sqrt)}


class DecayTwice(Mistake, SimulatedInner):
    clause, place, needs = "LA-27", "decay", ("decay",)
    says = "decays the weights twice"
    breaks = "the regularization is twice what was tuned"
    fix = "leave weight decay to the inner optimizer alone"
    given = {"h": lambda self: {**self.h, "weight_decay": 2 * self.h["weight_decay"]}}


class DecayFromPhi(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-27", "decay_of", ("decay",)
    says = "hands phi to the inner optimizer as the weights to decay"
    breaks = "weights decay by where they were at the last synchronization"
    fix = "give the inner optimizer the fast weights"

    def advance(self, theta: Tensors, grads: Gradients) -> Tensors:
        phi = self.phi
        return minus(super().advance(phi, grads), minus(phi, theta))


class SynchronizesNoSgd(Mistake, NeverSynchronizes):
    clause, place, needs = "LA-30", "first", ("sgd",)
    says = "synchronizes what the inner optimizer keeps slots of: with SGD nothing"
    fix = "go over the parameters, not over the inner optimizer's state"


class PhiOfMatricesAlone(Mistake, SimulatedLookahead):
    clause, place = "LA-30", "tensors"
    says = "synchronizes only matrices, and leaves out biases, other vectors and scalars"
    breaks = "they are trained without Lookahead"
    fix = "keep phi of every parameter, whatever its shape"

    def synchronize(self, theta: Tensors) -> Tensors:
        some = [len(p["shape"]) > 1 for p in self.innermost.case["params"][: len(theta)]]
        return picked(some, super().synchronize(picked(some, theta, self.phi)), theta)


class NestedPhiAliased(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-19", "nested", ("nested",)
    says = "makes outer and inner phi one array, at an outer synchronization"
    breaks = "from then on each inner synchronization moves the outer phi too"
    fix = "copy the values of the outer phi into the inner one"

    given = {"tied": lambda _: False}  # as it is where copies have been loaded

    def after_inner_step(self, theta: Tensors) -> None:
        if self.tied and isinstance(self.inner, SimulatedLookahead):
            self.phi = self.inner.phi
        super().after_inner_step(theta)

    def synchronize(self, theta: Tensors) -> Tensors:
        self.tied = True
        return super().synchronize(theta)


# Numbers on their way in and out.


def _transposed(case: Mapping[str, Any], tensors: Tensors, axis: int = -1) -> Tensors:
    """Write matrices column by column; with axis 0, undo it."""
    strides = [each["shape"][axis] if each["shape"] else 1 for each in case["params"]]
    pairs = zip(tensors, strides, strict=True)
    return [[x for start in range(n) for x in xs[start::n]] for xs, n in pairs]


def _shown(case: Mapping[str, Any], shown: Step, axis: int) -> Step:
    slots = {n: _transposed(case, each, axis) for n, each in shown.slots.items()}
    slow = [_transposed(case, each, axis) for each in shown.slow]
    return shown._replace(fast=_transposed(case, shown.fast, axis), slow=slow, slots=slots)


class ShownColumnByColumn(Mistake, SimulatedProgram):
    clause, place, needs = "LA-30", "layout", ("matrix",)
    says = "answers with matrices column by column, though it reads them row by row"
    breaks = "the elements change places, in R, Julia, Fortran, MATLAB and Octave"
    fix = "write the last index fastest: transpose before flattening"

    def step(self, levels: list[Any], theta: Tensors, t: int) -> tuple[Step, Tensors]:
        shown, theta = super().step(levels, theta, t)
        return _shown(self.case, shown, -1), theta


class ReadColumnByColumn(Mistake, SimulatedProgram):
    clause, place, needs = "LA-30", "layout", ("matrix",)
    says = "reads matrices column by column, though it answers with them row by row"
    breaks = ShownColumnByColumn.breaks
    fix = "the last index runs fastest: read into the reversed shape, and transpose"

    def step(self, levels: list[Any], theta: Tensors, t: int) -> tuple[Step, Tensors]:
        shown, theta = super().step(levels, theta, t)
        return _shown(self.case, shown, 0), theta


class SynchronizesColumnByColumn(Mistake, SimulatedProgram):
    clause, place, needs = "LA-30", "layout", ("matrix",)
    says = "writes phi to the parameters column by column at a synchronization"
    breaks = ShownColumnByColumn.breaks
    fix = "keep the shape of what is flattened, or flatten both in the same order"

    def step(self, levels: list[Any], theta: Tensors, t: int) -> tuple[Step, Tensors]:
        shown, theta = super().step(levels, theta, t)
        if any(shown.synchronized):
            theta = _transposed(self.case, theta)
        return shown._replace(fast=self.fast(levels[0], theta)), theta


class StrideOfRows(Mistake, SimulatedLookahead):
    clause, place, needs = "LA-30", "layout", ("not-square",)
    says = "goes from row to row of a matrix by the number of rows, not by that of columns"
    breaks = "the last elements do not synchronize, unless the matrix is square"
    fix = "row * columns + column, or one loop over all elements"

    def synchronize(self, theta: Tensors) -> Tensors:
        phi, new = self.phi, super().synchronize(theta)
        self.phi = self.beginnings(self.phi, phi)
        return self.beginnings(new, theta)

    def beginnings(self, these: Tensors, others: Tensors) -> Tensors:
        shapes = [each["shape"] for each in self.innermost.case["params"]]
        rows = [shape[0] if len(shape) > 1 else 1 for shape in shapes]
        each = list(zip(rows, these, others, strict=False))  # of one worker
        ends = [(n - 1) * n + len(a) // n for n, a, _ in each]
        return [a[:end] + b[end:] for end, (_, a, b) in zip(ends, each, strict=True)]


class ReadsBitsSwapped(Mistake, SimulatedProgram):
    clause, place = "LA-31", "reading"
    says = "reads bit strings with the last byte first"
    breaks = "0.1 becomes -2e-180: nothing moves, from weights near zero"
    fix = "read the sign bit first: big endian"

    def __init__(self, case: Mapping[str, Any], *made: Any) -> None:
        super().__init__(bits_swapped(case), *made)


def bits_swapped(case: Mapping[str, Any]) -> Mapping[str, Any]:
    """Turn every bit string of a case round."""

    def swapped(found: re.Match[str]) -> str:
        return f'"{bytes.fromhex(found[1])[::-1].hex()}"'

    numbers = ("lookahead", "inner", "learning_rate", "params", "problem")
    text = json.dumps({name: case[name] for name in numbers})
    return {**case, **json.loads(re.sub('"([0-9a-f]{16})"', swapped, text))}


class WritesBitsSwapped(Mistake, SimulatedProgram):
    clause, place = "LA-31", "writing"
    says = "writes bit strings with the last byte first"
    breaks = "every answer is nonsense, though it computes rightly"
    fix = "write the sign bit first: big endian"
    # Swapping is undone in what was observed: the last bits of a result are not exact.
