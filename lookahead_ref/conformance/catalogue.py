"""The named departures: what each is, what it breaks in practice, how to fix it.

A *bug* breaks something. A *variant* is a convention that other libraries document; a
program that follows it throughout passes, and the report names it.
"""

from collections.abc import Iterator
from itertools import combinations

from lookahead_ref.conformance.departures import Departure, makes
from lookahead_ref.conformance.mistakes import MISTAKES

_bug, _variant = makes("bug"), makes("variant")

BUGS = (
    _bug(
        "period-plus-one", "LA-3", "period", 1,
        "synchronizes every k + 1 steps",
        "k is not the k that was tuned, and k = 1 does not exist",
        "count the step first, then compare the count with k",
    ),
    _bug(
        "period-minus-one", "LA-3", "period", -1,
        "synchronizes every k - 1 steps",
        "k is not the k that was tuned",
        "compare the number of steps done, not of steps begun, with k",
    ),
    _bug(
        "first-sync-at-step-1", "LA-3", "first", 1,
        "synchronizes after step 1, and every k steps from there",
        "the first cycle is cut to one step and every later one is out of phase",
        "count the step before testing whether k divides the count",
    ),
    _bug(
        "never-synchronizes", "LA-3", "first", "never",
        "never synchronizes",
        "this is the inner optimizer alone, with phi carried along for nothing",
        "count the steps where all of them pass, and compare the count with k",
    ),
    _bug(
        "phi-after-first-step", "LA-1", "capture", "after-first-step",
        "captures phi after the first inner step",
        "phi_0 is not theta_0: every slow weight is displaced by the first update",
        "copy the parameters when the optimizer is made, before any step",
    ),
    _bug(
        "phi-at-first-sync", "LA-1", "capture", "first-sync",
        "captures phi at the first synchronization",
        "the first synchronization does nothing: k steps run without Lookahead",
        "copy the parameters when the optimizer is made, before any step",
    ),
    _bug(
        "phi-starts-at-zero", "LA-1", "capture", "zero",
        "starts phi at zero",
        "the first synchronization pulls the weights towards the origin",
        "start phi as a copy of the parameters, not as zeros",
    ),
    _bug(
        "phi-starts-at-first-gradient", "LA-1", "capture", "first-gradient",
        "starts phi at the first gradient",
        "the first synchronization mixes a gradient into the weights",
        "copy the parameter's data, not its gradient's",
    ),
    _bug(
        "alpha-swapped", "LA-5", "alpha", "swapped",
        "uses 1 - alpha for alpha",
        "alpha = 0.8 behaves as 0.2; nothing shows at 0.5",
        "move phi the fraction alpha towards theta: phi + alpha (theta - phi)",
    ),
    _bug(
        "alpha-ignored", "LA-5", "alpha", "one",
        "sets phi to theta at a synchronization",
        "this is the inner optimizer alone",
        "move phi the fraction alpha towards theta: phi + alpha (theta - phi)",
    ),
    _bug(
        "sync-before-inner-step", "LA-4", "order", "before-step",
        "synchronizes before the k-th inner step, not after it",
        "at first a cycle has k - 1 steps; the k-th gradient is of weights that were left",
        "do the inner step first, then the synchronization",
    ),
    _bug(
        "sync-with-old-fast", "LA-4", "order", "stale",
        "interpolates with the fast weights from before the k-th inner step",
        "every k-th update is lost",
        "hand the weights that the inner step returned to the outer update",
    ),
    _bug(
        "fast-not-restarted", "LA-7", "write", "fast-kept",
        "leaves the fast weights where they are at a synchronization",
        "phi is an average beside the training, which it never touches",
        "write phi to the parameters after the outer update",
    ),
    _bug(
        "phi-not-stored", "LA-7", "write", "slow-kept",
        "writes the interpolation to the fast weights but keeps the old phi",
        "every cycle is pulled back towards the initial weights",
        "store the new phi as well as writing it to the parameters",
    ),
    _bug(
        "phi-takes-fast", "LA-7", "write", "slow-takes-fast",
        "stores the fast weights as phi, and writes the interpolation to the parameters",
        "phi is where the last cycle ended, not an average of all of them",
        "store the interpolation as phi, and write that to the parameters",
    ),
    _bug(
        "inner-state-not-reset", "LA-12", "reset", "kept",
        "maintains the inner state though reset was asked for",
        "momentum of the old cycle pushes the new one",
        "make the slots and the count anew at each synchronization",
        "reset", "slots",
    ),
    _bug(
        "only-momentum-reset", "LA-12", "reset", "momentum-only",
        "resets a velocity by its name, and leaves the state of every other optimizer",
        "reset works with SGD and silently does nothing with Adam or AdaGrad",
        "reset every slot that the inner optimizer keeps, whatever its name",
        "reset", "slots",
    ),
    _bug(
        "count-not-reset", "LA-15", "reset", "slots-only",
        "zeroes the slots but leaves the count that Adam's bias correction uses",
        "moments near zero are taken for settled ones: updates after a reset are far off",
        "reset the count together with the slots",
        "reset", "adam",
    ),
    _bug(
        "slots-not-reset", "LA-12", "reset", "count-only",
        "resets the count but not the slots",
        "the bias correction inflates moments that are already settled",
        "zero the slots together with the count",
        "reset", "adam",
    ),
    _bug(
        "reset-restarts-schedule", "LA-14", "reset", "schedule",
        "restarts the learning rate's schedule at a reset",
        "warm-up repeats every k steps, and decay never comes",
        "keep the schedule's clock apart from the count that reset clears",
        "reset", "rates",
    ),
    _bug(
        "state-reset-unasked", "LA-11", "state", "reset",
        "resets the inner state though it was to be maintained",
        "momentum is lost every k steps",
        "leave the inner optimizer's state alone unless asked",
        "maintain", "slots",
    ),
    _bug(
        "interpolated-slots-aliased", "LA-13", "interpolation", "aliased",
        "keeps a reference to the slots, not a copy, as what to interpolate from",
        "interpolation silently becomes maintain",
        "copy the slots after each synchronization",
        "interpolate", "slots",
    ),
    _bug(
        "interpolated-slots-swapped", "LA-13", "interpolation", "swapped",
        "interpolates slots with 1 - alpha",
        "slots follow the old cycle where weights follow the new one; not seen at 0.5",
        "move slots by the same alpha as the weights",
        "interpolate", "slots",
    ),
    _bug(
        "interpolated-slots-not-kept", "LA-13", "interpolation", "raw-anchor",
        "keeps the slots from before an interpolation as what to interpolate from next",
        "the next synchronization starts from slots that the last one has left",
        "copy the slots after the interpolation",
        "interpolate", "slots",
    ),
    _bug(
        "only-momentum-interpolated", "LA-13", "interpolation", "momentum-only",
        "interpolates a velocity by its name, and no slot of any other optimizer",
        "interpolation works with SGD and silently does nothing with Adam or AdaGrad",
        "interpolate every slot that the inner optimizer keeps, whatever its name",
        "interpolate", "slots",
    ),
    _bug(
        "slots-anchored-at-first-sync", "LA-13", "interpolation", "late-anchor",
        "first keeps slots to interpolate from at the first synchronization",
        "the first synchronization leaves the slots alone",
        "start from the slots as they are made: zeros",
        "interpolate", "slots",
    ),
    _bug(
        "evaluates-fast-weights", "LA-9", "evaluation", "fast",
        "evaluates the fast weights",
        "the weights that are measured and shipped are not those that Lookahead returns",
        "evaluate, save and return phi",
        "evaluate",
    ),
    _bug(
        "evaluation-not-undone", "LA-10", "evaluation", "not-restored",
        "leaves phi in the parameters after an evaluation",
        "how often one evaluates changes the training",
        "put the fast weights back, to the bit, after the evaluation",
        "evaluate",
    ),
    _bug(
        "evaluation-synchronizes", "LA-10", "evaluation", "synchronizes",
        "forces a synchronization in order to evaluate",
        "how often one evaluates changes the training",
        "evaluate phi as it is, and put the fast weights back afterwards",
        "evaluate",
    ),
    _bug(
        "checkpoint-without-phi", "LA-22", "checkpoint", "phi",
        "saves no phi, and captures it anew from the loaded parameters",
        "after each restart the next synchronization starts from the wrong place",
        "save phi and restore it",
        "save",
    ),
    _bug(
        "checkpoint-without-step-counter", "LA-22", "checkpoint", "cycle",
        "saves no count of the steps since the last synchronization",
        "after a restart in the middle of a cycle every synchronization comes late",
        "save the step counter and restore it",
        "save",
    ),
    _bug(
        "checkpoint-without-count", "LA-22", "checkpoint", "count",
        "saves the slots but not the count that Adam's bias correction uses",
        "updates are far too large for a while after each restart",
        "save the inner optimizer's count and restore it",
        "save", "adam",
    ),
    _bug(
        "checkpoint-without-slots", "LA-22", "checkpoint", "slots",
        "saves no state of the inner optimizer",
        "momentum and moments start from nothing after each restart",
        "save the inner optimizer's state and restore it",
        "save", "slots",
    ),
    _bug(
        "checkpoint-without-schedule", "LA-22", "checkpoint", "clock",
        "saves no clock of the learning rate's schedule",
        "warm-up and decay begin again after each restart",
        "save the schedule's clock and restore it",
        "save", "rates",
    ),
    _bug(
        "checkpoint-without-anchor", "LA-22", "checkpoint", "anchor",
        "saves no slots to interpolate from",
        "the first synchronization after a restart interpolates from the wrong slots",
        "save the slots of the last synchronization and restore them",
        "save", "slots", "interpolate",
    ),
    _bug(
        "checkpoint-without-sync-count", "LA-22", "checkpoint", "syncs",
        "saves no count of synchronizations",
        "alpha's schedule begins again after each restart",
        "save the number of synchronizations and restore it",
        "save", "alphas",
    ),
    _bug(
        "checkpoint-shares-memory", "LA-23", "checkpoint", "shared",
        "hands out its own arrays as the saved state",
        "a state kept in memory changes with the training: no way back to the best",
        "copy every array when the state is taken",
        "save",
    ),
    _bug(
        "checkpoint-is-live", "LA-23", "checkpoint", "live",
        "hands out its running state, counts included, as the saved one",
        "what is written later is a later state beside the step that was to be kept",
        "copy arrays and counts when the state is taken",
        "save",
    ),
    _bug(
        "nested-phi-kept", "LA-19", "nested", "phi-kept",
        "leaves the inner phi where it was at an outer synchronization",
        "the next inner synchronization pulls back to weights that the outer one has left",
        "set the phi of every level below to the new weights",
        "nested",
    ),
    _bug(
        "outer-counts-cycles", "LA-17", "cycles", 1,
        "counts inner synchronizations, not calls of step, for the outer period",
        "the outer period is k times too long",
        "count calls of step at every level",
        "nested",
    ),
    _bug(
        "schedule-one-ahead", "LA-14", "rate", "one-ahead",
        "asks the learning rate's schedule for step 1 at the first update",
        "warm-up and decay come a step early",
        "the schedule sees 0 at the first update",
        "rates",
    ),
    _bug(
        "schedule-frozen", "LA-14", "rate", "frozen",
        "keeps the first learning rate",
        "schedules do nothing",
        "read the learning rate anew at each step",
        "rates",
    ),
    _bug(
        "schedule-sees-syncs", "LA-14", "rate", "sees-syncs",
        "sets the schedule's clock to the number of synchronizations",
        "warm-up and decay take k times as long",
        "the learning rate's schedule sees the number of updates done",
        "rates",
    ),
    _bug(
        "alpha-frozen", "LA-16", "alpha", "frozen",
        "keeps the first alpha",
        "a schedule of alpha does nothing",
        "read alpha anew at each synchronization",
        "alphas",
    ),
    _bug(
        "alpha-sees-steps", "LA-16", "alpha", "sees-steps",
        "asks alpha's schedule for the number of steps",
        "a schedule of alpha runs k times too fast",
        "alpha's schedule sees the number of synchronizations done",
        "alphas",
    ),
    _bug(
        "momentum-dampened", "IN-6", "momentum", "dampened",
        "averages gradients: v <- mu v + (1 - mu) g",
        "the learning rate is 1 - mu of what was asked for",
        "add the whole gradient: v <- mu v + g",
        "heavy-ball",
    ),
    _bug(
        "nesterov-ignored", "IN-7", "momentum", "not-nesterov",
        "does heavy ball though Nesterov was asked for",
        "the gradient's weight in the update is 1, not 1 + mu",
        "use g + mu v for the update",
        "nesterov",
    ),
    _bug(
        "adam-uncorrected", "IN-10", "adam", "uncorrected",
        "does not correct the moments' bias",
        "the first updates have the wrong size",
        "divide the moments by 1 - beta^t",
        "adam",
    ),
    _bug(
        "adam-first-uncorrected", "IN-10", "adam", "second-only",
        "corrects the second moment's bias only",
        "the first updates are too small",
        "divide the first moment by 1 - beta1^t",
        "adam",
    ),
    _bug(
        "adam-count-one-ahead", "IN-10", "adam", "count-ahead",
        "corrects the moments' bias with t + 1 for t",
        "the first updates are of another size",
        "let t be 1 at the first update",
        "adam",
    ),
    _bug(
        "adam-epsilon-in-root", "IN-11", "adam", "epsilon-in-root",
        "adds epsilon under the root",
        "epsilon = 1e-8 acts as 1e-4: small gradients hardly move anything",
        "add epsilon to the root",
        "adam",
    ),
    _bug(
        "decay-ignored", "LA-27", "decay", "ignored",
        "ignores weight decay",
        "weights grow",
        "hand weight decay through to the inner optimizer",
        "decay",
    ),
    _bug(
        "decay-coupled", "IN-4", "decay", "l2",
        "adds weight decay to the gradient though it was to be decoupled",
        "Adam divides the decay by the gradient's size: large gradients hardly decay",
        "subtract learning rate times decay times the old weights",
        "decoupled",
    ),
    _bug(
        "decay-decoupled", "IN-3", "decay", "decoupled",
        "decouples weight decay though it was to be added to the gradient",
        "another regularizer than the one that was tuned",
        "add decay times the weights to the gradient before anything else",
        "l2", "slots",
    ),
    _bug(
        "decay-after-update", "IN-4", "decay", "after",
        "decays the weights after the update, not the old weights",
        "the update itself decays too: not the published rule",
        "take decay from the weights before the update",
        "decoupled",
    ),
)  # fmt: skip

VARIANTS = (
    _variant(
        "epsilon-hat", "IN-11", "adam", "epsilon-hat",
        "adds epsilon to the uncorrected root",
        "Kingma and Ba's remark before section 2.1; Keras and TensorFlow",
        "epsilon means something else at the first steps",
        "adam",
    ),
    _variant(
        "learning-rate-in-velocity", "IN-12", "velocity", 1,
        "keeps the learning rate in the velocity: v <- mu v - gamma g",
        "Sutskever et al. 2013, Keras",
        "the same only while the learning rate is constant",
        "velocity",
    ),
    _variant(
        "adagrad-epsilon-in-root", "IN-13", "adagrad", "in-root",
        "adds epsilon under the root of AdaGrad",
        "Optax",
        "epsilon means something else",
        "adagrad",
    ),
    _variant(
        "decay-without-learning-rate", "IN-4", "decay", "without-rate",
        "does not multiply decoupled weight decay by the learning rate",
        "Loshchilov and Hutter's Algorithm 2, with its schedule multiplier at 1",
        "the coefficient is to be smaller by the learning rate",
        "decoupled",
    ),
    _variant(
        "no-gradient-is-zero", "LA-25", "no_gradient", "zero-gradient",
        "takes no gradient for a gradient of zeros",
        "programs in which every parameter has a gradient; this library",
        "momentum and weight decay go on moving the parameter",
        "no-gradient",
    ),
    _variant(
        "no-gradient-skips", "LA-25", "no_gradient", "skip",
        "leaves a parameter without a gradient, and its slots, as they are; "
        "it synchronizes with the others",
        "PyTorch's optimizers inside a wrapper that synchronizes all parameters",
        "momentum does not decay meanwhile",
        "no-gradient",
    ),
    _variant(
        "no-gradient-own-clock", "LA-25", "no_gradient", "own-clock",
        "counts the steps of each parameter by itself",
        "wrappers that keep the step counter in the state of each parameter",
        "parameters synchronize at different steps",
        "no-gradient",
    ),
    _variant(
        "no-gradient-skips-sync", "LA-25", "no_gradient", "skip-sync",
        "leaves a parameter out of a synchronization at which it has no gradient",
        "wrappers that skip parameters without a gradient in the outer update too",
        "its next synchronization spans two cycles",
        "no-gradient",
    ),
)  # fmt: skip

SINGLE_PRECISION = _bug(
    "single-precision", "LA-31", "precision", "float32",
    "computes, or keeps hyperparameters, in float32 though it works in float64",
    "float64 is hardly more exact than float32",
    "keep hyperparameters, slots and phi in the precision of the parameters",
)  # fmt: skip
"""Seen by its size, not by a simulation, and in float64 only: no case has its flag."""

NO_GRADIENT = tuple(each for each in VARIANTS if each.switch == "no_gradient")

CONDITIONS = {
    "subnormal": (
        "LA-32", "Some values are subnormal in float32; flushing them passes at gpu."
    ),
    "overflow": (
        "LA-32", "Some value overflows in float32, and the rule says what comes of it."
    ),
    "no-gradient": (
        "LA-25", "A parameter has no gradient at some step; outcomes are variants."
    ),
}  # fmt: skip
"""Flags that name what a case contains, not a bug: to their clause, and what it is."""


def by_name(name: str) -> Departure:
    """Look a departure up.

    Parameters
    ----------
    name : str
        Its name.

    Returns
    -------
    Departure
        The departure.

    Raises
    ------
    KeyError
        If there is none of that name.
    """
    return {each.name: each for each in (*BUGS, *VARIANTS, *MISTAKES, SINGLE_PRECISION)}[
        name
    ]


def explanations(
    departures: tuple[Departure, ...] = BUGS + VARIANTS, size: int = 1
) -> Iterator[tuple[Departure, ...]]:
    """List what may explain a trajectory.

    Parameters
    ----------
    departures : tuple of Departure
        What may depart.
    size : int, default: 1
        How many depart at once.

    Yields
    ------
    tuple of Departure
        So many departures with different switches.
    """
    for each in combinations(departures, size):
        if len({departure.switch for departure in each}) == size:
            yield each
