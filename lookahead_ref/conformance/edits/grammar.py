"""Which functions of the oracle are edited, and what may stand for what in them."""

from dataclasses import dataclass
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.simulation import (
    Outer,
    SimulatedInner,
    SimulatedLookahead,
    SimulatedProgram,
    SimulatedWorkers,
)

Said = tuple[int, str]
"""How far from plain an edit is, and what it does in words."""


@dataclass(frozen=True)
class Place:
    """A function of the oracle, and where an edited one takes effect."""

    function: Any
    clause: str
    words: str
    beneath: tuple[type[Any], ...] = ()  # the simulated classes; () for a helper
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()  # of a helper: the methods of a Lookahead that call it

    @property
    def title(self) -> str:
        """Name it as a reader finds it."""
        return str(self.function.__qualname__)

    @property
    def is_method(self) -> bool:
        return "." in self.title


OF_RULES = (SimulatedInner, Outer)
OF_LOOKAHEAD, OF_WORKERS = (SimulatedLookahead,), (SimulatedWorkers,)
OF_PROGRAM = (SimulatedProgram,)
_INNER, _LOOKAHEAD, _WORKERS = (
    oracle.OracleInner,
    oracle.OracleLookahead,
    oracle.OracleWorkers,
)
PLACES = (
    Place(_LOOKAHEAD.synchronize, "LA-5", "a synchronization", OF_LOOKAHEAD),
    Place(_LOOKAHEAD.advance, "LA-3", "counting the steps", OF_LOOKAHEAD),
    Place(_LOOKAHEAD.step, "LA-4", "a step", OF_LOOKAHEAD),
    Place(_LOOKAHEAD.__init__, "LA-1", "the start", OF_LOOKAHEAD),
    Place(_LOOKAHEAD.outer_step, "OU-2", "the outer step", OF_LOOKAHEAD, ("outer",)),
    Place(
        _LOOKAHEAD.pseudo_gradient,
        "OU-1",
        "the pseudo-gradient",
        OF_LOOKAHEAD,
        ("outer",),
    ),
    Place(_LOOKAHEAD.restart, "LA-21", "a reset from outside", OF_LOOKAHEAD, ("nested",)),
    Place(_LOOKAHEAD.follow, "LA-19", "the levels below", OF_LOOKAHEAD, ("nested",)),
    Place(oracle.adam, "IN-9", "Adam", OF_RULES, ("adam",)),
    Place(oracle.heavy_ball, "IN-6", "heavy ball", OF_RULES, ("heavy-ball",)),
    Place(oracle.nesterov, "IN-7", "Nesterov's momentum", OF_RULES, ("nesterov",)),
    Place(oracle.adagrad, "IN-8", "AdaGrad", OF_RULES, ("adagrad",)),
    Place(_INNER.element, "IN-1", "the update of an element", OF_RULES),
    Place(_INNER.step, "LA-2", "the inner step", OF_RULES),
    Place(_INNER.__init__, "LA-27", "the inner optimizer's start", OF_RULES),
    Place(_INNER.restart, "LA-12", "making slots anew", OF_RULES),
    Place(_WORKERS.synchronize, "WO-4", "the workers' mean", OF_WORKERS, ("workers",)),
    Place(_WORKERS.step, "WO-1", "the workers' step", OF_WORKERS, ("workers",)),
    Place(_WORKERS.__init__, "WO-2", "making workers", OF_WORKERS, ("workers",)),
    Place(SimulatedProgram.evaluate, "LA-9", "an evaluation", OF_PROGRAM, ("evaluate",)),
    Place(SimulatedProgram.loaded, "LA-24", "loading a state", OF_PROGRAM, ("save",)),
    Place(oracle.interpolate, "LA-5", "interpolation", uses=("synchronize",)),
)

# What may stand for what: the source of each, and its name in a sentence.

_HYPERPARAMETERS = ("weight_decay", "epsilon", "momentum", "beta1", "beta2")
_SLOTS = ("first_moment", "second_moment")
_WITHIN = "getattr(self.inner, 'phi', self.phi)"
WORDS = {
    "theta": "the fast weights",
    "self.phi": "phi",
    _WITHIN: "phi of the Lookahead within",
    "self.before": "the fast weights from before the step",
    "self.initial": "the initial weights",
    "self.slots": "the slots",
    "self.anchor": "the slots of the last synchronization",
    "self.cycle_step": "the count of steps since a synchronization",
    "self.syncs": "the count of synchronizations",
    "self.calls": "the count of steps",
    "self.clock": "the clock of the learning rate",
    "self.innermost.clock": "the clock of the learning rate",
    "self.count[i]": "the parameter's count",
    "self.innermost.count": "the counts of the parameters",
    "t": "the count",
    "h['beta1']": "beta1",
    "h['beta2']": "beta2",
    "h['momentum']": "momentum",
    **{f"self.h[{name!r}]": name.replace("_", " ") for name in _HYPERPARAMETERS},
    "h['epsilon']": "epsilon",
    "gamma": "the learning rate",
    "self.k": "k",
    "C": "C",
    "len(theta)": "the number of parameters",
    "len(self.workers)": "the number of workers",
    "minus(self.phi, theta)": "the pseudo-gradient",
    "self.pseudo_gradient(theta)": "the pseudo-gradient",
}
_ALPHA = "at(self.alpha, self.syncs)"
CLAUSES = {
    "the clock of the learning rate": "LA-14",
    "the count of synchronizations": "LA-16",
    "alpha's schedule": "LA-16",
    "the counts of the parameters": "LA-15",
    "the slots": "LA-13",
    "the outer": "OU-5",
}
"""What an edit of a Lookahead says, and the clause that it breaks then."""
NEW = {
    "zeros(theta)": "zeros",
    "self.initial": "the initial weights",
    f"interpolate(self.phi, theta, {_ALPHA})": "phi + alpha (theta - phi)",
    f"interpolate(theta, self.phi, {_ALPHA})": "theta + alpha (phi - theta)",
}
_TENSORS = ("theta", "self.phi", "self.before", "self.initial")
KINDS: tuple[tuple[str, ...], ...] = (
    (*_TENSORS, *NEW, _WITHIN),
    ("self.slots", "self.anchor"),
    ("self.cycle_step", "self.syncs", "self.calls", "self.innermost.clock"),
    ("self.cycle_step", "self.clock", "self.count[i]", "self.count[0]", "max(self.count)"),
    ("h['beta1']", "h['beta2']"),
    ("rest1", "rest2"),
    ("bias1", "bias2"),
    ("h['momentum']", "h['epsilon']"),
    ("m", "v", "g", "s"),
    ("x", "g", "direction"),
    ("'l2'", "'decoupled'", "'none'"),
    ("'reset'", "'interpolate'", "'maintain'"),
)
NUMBERS = {
    "LA": ("self.k", "alpha", "1 - alpha", "len(theta)", "self.syncs", "-1", "2"),
    "OU": ("self.k", "len(theta)", "self.alpha[0]", "-1", "2"),
    "IN": (
        *("h['momentum']", "1 - h['momentum']", "h['beta1']", "1 - h['beta1']"),
        *("1 - h['beta2']", "gamma", "t", "-1", "2"),
    ),
    "WO": ("len(self.workers)", "-1"),
}
_BY_TENSOR = f"interpolate([a], [b], {_ALPHA[:-1]} + i))[0]"
VARIANTS = {
    "OracleLookahead.synchronize": {
        "raises the clock of alpha's schedule once a parameter": (
            (
                "interpolate(self.phi, theta, alpha)",
                f"[{_BY_TENSOR} for i, (a, b) in enumerate(zip(self.phi, theta))]",
            ),
            ("self.syncs += 1", "self.syncs += len(theta)"),
        ),
    },
}
# What is defined in some functions only; where it is not, there is nothing to edit.
OWN = {
    *(
        "theta",
        "grads",
        "thetas",
        "gamma",
        "direction",
        "found",
        "x",
        "g",
        "m",
        "v",
        "s",
        "t",
    ),
    *("rest1", "rest2", "bias1", "bias2"),
}
RETURN_NUMBERS = {"interpolate", "minus", "at", "sqrt", "update", "mean", "total"}
SCALED = {
    *("alpha", "gamma", "g", "x", "m", "v", "s", "theta", "found", "direction"),
    *("self.phi", "self.slots", "self.anchor", "rest1", "rest2", "bias1", "bias2"),
}
_STALE = (
    "grads = self.latest = [old if g is None else g "
    "for old, g in zip(vars(self).get('latest', grads), grads)]"
)
UNASKED = {
    f"if inner['rule'] == '{rule}' and self.decay_kind == 'none':\n"
    f"    self.h['weight_decay'], self.decay_kind = (C, '{kind}')": (
        f"decay the weights by C ({kind}) though {rule} was to have no weight decay"
    )
    for kind in ("decoupled", "l2")
    for rule in oracle.RULES
}
STATEMENTS = {
    SimulatedLookahead: (
        *("self.cycle_step = 0", "self.cycle_step = 1", "self.cycle_step = -1"),
        *("self.cycle_step += 1", "self.syncs = 0", "self.syncs += 1"),
        *("self.innermost.clock = 0", "self.innermost.clock += 1"),
        *("self.innermost.clock = self.syncs", "self.innermost.clock = self.calls"),
        "self.innermost.count = [0] * len(theta)",
        "self.innermost.count = [n + 1 for n in self.innermost.count]",
        *(f"self.phi = {new}" for new in (*_TENSORS[:1], *_TENSORS[2:], *NEW)),
        *(f"theta = {new}" for new in (*_TENSORS[1:], *NEW)),
        "self.slots = {name: zeros(tensors) for name, tensors in self.slots.items()}",
        *("self.slots = self.anchor", "self.anchor = self.slots"),
        "self.anchor = {name: zeros(tensors) for name, tensors in self.slots.items()}",
        *("self.outer.restart(theta)", "self.outer.clock = 0", "self.outer.clock += 1"),
        *("self.innermost.restart(theta)", "self.inner.follow(self.phi)"),
        "grads = [None if g is None else [0 * x for x in g] for g in grads]",
        "self.alpha = self.alpha[:1]",
    ),
    SimulatedInner: (
        *("self.clock = 0", "self.clock += 1", "self.clock -= 1"),
        *("self.count = [n + 1 for n in self.count]", "self.count = [0] * len(theta)"),
        "self.count = [max(self.count)] * len(theta)",
        "self.learning_rate = self.learning_rate[:1]",
        "self.rule = self.rules['nesterov'][0]",
        "self.rule = self.rules['heavy-ball'][0]",
        *UNASKED,
        *(f"self.h[{name!r}] = C" for name in _HYPERPARAMETERS),
        "self.decay_kind = 'l2'",
        "self.decay_kind = 'decoupled'",
        "self.decay_kind = 'none'",
        "grads = [[0.0] * len(x) if g is None else g for x, g in zip(theta, grads)]",
        _STALE,
        *(
            f"self.slots = {{n: zeros(x) if n == {name!r} else x "
            "for n, x in self.slots.items()}"
            for name in _SLOTS
        ),
    ),
    SimulatedWorkers: (
        "for each in workers: each.inner = workers[0].inner",
        "for each in workers: each.outer = workers[0].outer",
        "for each in self.workers[1:]: each.slots = self.workers[0].slots",
        "thetas = [thetas[0] for _ in thetas]",
        "thetas = [mean(thetas) for _ in thetas]",
    ),
}


def zeros(tensors: oracle.Tensors) -> oracle.Tensors:
    """Return tensors of zeros."""
    return [[0.0] * len(each) for each in tensors]


def scaled(value: Any, by: Any) -> Any:
    """Multiply a number, tensors, or slots."""
    if isinstance(value, dict):
        return {name: scaled(each, by) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [scaled(each, by) for each in value]
    return value and value * by
