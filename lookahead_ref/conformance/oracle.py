"""Lookahead in 50-digit arithmetic, which computes the golden suite's expected values.

This file shares no code with the library. Read it beside Algorithm 1 of the paper and the
specification (``docs/spec.md``): it should be right by inspection.

It reads cases of the vector files. Tensors are flat lists of numbers; nothing is changed in
place. The arithmetic is a parameter: 50 digits for the expected values, numbers with a
bound of their rounding error (`lookahead_ref.conformance.bounds`) for the tolerances, and
binary64 to simulate bugs.
"""

import hashlib
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple, Protocol, TypeAlias

import mpmath

Number: TypeAlias = Any
Tensors: TypeAlias = list[list[Number]]
Gradients: TypeAlias = Sequence[list[Number] | None]
Slots: TypeAlias = dict[str, Tensors]
Update: TypeAlias = Callable[..., tuple[Number, ...]]

context = mpmath.MPContext()
context.dps = 50


class Arithmetic(Protocol):
    """Numbers to compute with: they have ``+ - * /`` and positive integer powers."""

    def number(self, value: float) -> Number:
        """Make a number from a tensor's value, without rounding."""

    def hyperparameter(self, value: float) -> Number:
        """Make a number from a hyperparameter, which an implementation may round."""

    def sqrt(self, value: Number) -> Number:
        """Take a square root."""


class Exact:
    """Numbers of 50 digits."""

    number = hyperparameter = staticmethod(context.mpf)
    sqrt = staticmethod(context.sqrt)


class Double:
    """The machine's binary64."""

    number = hyperparameter = staticmethod(float)
    sqrt = staticmethod(math.sqrt)


class Step(NamedTuple):
    """The values after a step; with several Lookaheads, the outermost first."""

    synchronized: list[bool]  # for each Lookahead, at this step
    fast: Tensors  # theta
    slow: list[Tensors]  # phi of each Lookahead
    slots: Slots


@lru_cache(maxsize=65536)
def value(bits: str) -> float:
    """Read the 16 hexadecimal digits of an IEEE-754 binary64 number."""
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    return float(number)


def bits(value: float) -> str:
    """Write a number as 16 hexadecimal digits."""
    return struct.pack(">d", value).hex()


def at(table: Sequence[Number], clock: int) -> Number:
    """Read a schedule: its last entry holds from then on."""
    return table[min(clock, len(table) - 1)]


# Random-looking numbers from a hash of the case's id, independent of any generator.


def noise(label: str, size: int, *, scale: int = 0) -> list[float]:
    """Draw numbers of both signs with 24 significant bits, about 2 to the power `scale`."""
    numbers = []
    for i in range(size):
        digest = hashlib.sha256(f"{label}/{i}".encode()).digest()
        fraction = int.from_bytes(digest[:3], "big") | 1 << 23
        exponent = digest[3] % 3 - 2 + scale - 23
        sign = -1.0 if digest[4] & 1 else 1.0
        numbers.append(sign * float(fraction) * 2.0**exponent)
    return numbers


def tensor(
    case: str, name: str, shape: tuple[int, ...], *, scale: int = 0, zero: bool = False
) -> dict[str, Any]:
    """Draw a tensor of a case, or make one of zeros."""
    size = prod(shape)
    values = [0.0] * size if zero else noise(f"{case}/{name}", size, scale=scale)
    return {"name": name, "shape": list(shape), "values": [bits(v) for v in values]}


# The inner optimizers: from the gradient and the slots to the update and the new slots.


def sgd(h: Mapping[str, Number], t: int, sqrt: Any) -> Update:  # noqa: ARG001
    return lambda g: (g,)


def heavy_ball(h: Mapping[str, Number], t: int, sqrt: Any) -> Update:  # noqa: ARG001
    """V <- mu v + g; theta <- theta - gamma v."""

    def update(g: Number, v: Number) -> tuple[Number, ...]:
        v = h["momentum"] * v + g
        return v, v

    return update


def nesterov(h: Mapping[str, Number], t: int, sqrt: Any) -> Update:  # noqa: ARG001
    """V <- mu v + g; theta <- theta - gamma (g + mu v)."""

    def update(g: Number, v: Number) -> tuple[Number, ...]:
        v = h["momentum"] * v + g
        return g + h["momentum"] * v, v

    return update


def adagrad(h: Mapping[str, Number], t: int, sqrt: Any) -> Update:  # noqa: ARG001
    """S <- s + g g; theta <- theta - gamma g / (sqrt(s) + epsilon)."""

    def update(g: Number, s: Number) -> tuple[Number, ...]:
        s = s + g * g
        return g / (sqrt(s) + h["epsilon"]), s

    return update


def adam(h: Mapping[str, Number], t: int, sqrt: Any) -> Update:
    """Kingma and Ba, Algorithm 1: bias-corrected moments, epsilon outside the root."""
    rest1, rest2 = 1 - h["beta1"], 1 - h["beta2"]
    bias1, bias2 = 1 - h["beta1"] ** t, 1 - h["beta2"] ** t

    def update(g: Number, m: Number, v: Number) -> tuple[Number, ...]:
        m = h["beta1"] * m + rest1 * g
        v = h["beta2"] * v + rest2 * (g * g)
        return (m / bias1) / (sqrt(v / bias2) + h["epsilon"]), m, v

    return update


RULES = {
    "sgd": (sgd, ()),
    "heavy-ball": (heavy_ball, ("velocity",)),
    "nesterov": (nesterov, ("velocity",)),
    "adagrad": (adagrad, ("sum_of_squares",)),
    "adam": (adam, ("first_moment", "second_moment")),
}
"""Name to rule and slots; slots start at zero."""


class OracleInner:
    """The inner optimizer A, with its clock (steps done) and counts (since a reset)."""

    rules = RULES

    def __init__(
        self, case: Mapping[str, Any], theta: Tensors, arithmetic: Arithmetic
    ) -> None:
        inner = case["inner"]
        read = arithmetic.hyperparameter
        self.arithmetic = arithmetic
        self.h = {h["name"]: read(value(h["value"])) for h in inner["hyperparameters"]}
        self.learning_rate = [read(value(bits)) for bits in case["learning_rate"]]
        self.decay_kind = inner["weight_decay_kind"]
        self.rule, self.names = self.rules[inner["rule"]]
        self.clock = 0
        self.restart(theta)

    def restart(self, theta: Tensors) -> None:
        """Reset slots and counts; the clock of the learning rate runs on."""
        zero = self.arithmetic.number(0.0)
        self.slots = {name: [[zero] * len(x) for x in theta] for name in self.names}
        self.count = [0] * len(theta)

    def follow(self, phi: Tensors) -> None:
        """Do nothing: an inner optimizer has no weights of its own."""

    def step(self, theta: Tensors, grads: Gradients) -> Tensors:
        """Do one update of every tensor that has a gradient, equation (0.2)."""
        gamma = at(self.learning_rate, self.clock)
        self.clock += 1
        new = list(theta)
        slots = {name: list(tensors) for name, tensors in self.slots.items()}
        for i, (x, g) in enumerate(zip(theta, grads, strict=True)):
            if g is None:
                continue
            self.count[i] += 1
            update = self.rule(self.h, self.count[i], self.arithmetic.sqrt)
            old = [self.slots[name][i] for name in self.names]
            results = [
                self.element(update, gamma, *each) for each in zip(x, g, *old, strict=True)
            ]
            new[i], *kept = [list(column) for column in zip(*results, strict=True)]
            for name, values in zip(self.names, kept, strict=True):
                slots[name][i] = values
        self.slots = slots
        return new

    def element(
        self, update: Update, gamma: Number, x: Number, g: Number, *slots: Number
    ) -> tuple[Number, ...]:
        """Update one element; weight decay enters the gradient or the update."""
        if self.decay_kind == "l2":
            g = g + self.h["weight_decay"] * x
        direction, *slots_after = update(g, *slots)
        if self.decay_kind == "decoupled":
            direction = direction + self.h["weight_decay"] * x
        return x - gamma * direction, *slots_after


def interpolate(slow: Tensors, fast: Tensors, alpha: Number) -> Tensors:
    return [
        [s + alpha * (f - s) for s, f in zip(a, b, strict=True)]
        for a, b in zip(slow, fast, strict=True)
    ]


def minus(some: Tensors, others: Tensors) -> Tensors:
    both = zip(some, others, strict=True)
    return [[x - y for x, y in zip(a, b, strict=True)] for a, b in both]


def total(several: Sequence[Tensors]) -> Tensors:
    same = zip(*several, strict=True)
    return [[sum(numbers) for numbers in zip(*each, strict=True)] for each in same]


def mean(several: Sequence[Tensors]) -> Tensors:
    return [[x / len(several) for x in each] for each in total(several)]


class OracleLookahead:
    """Algorithm 1 around an inner optimizer, itself perhaps a Lookahead."""

    # An outer optimizer may update phi from the pseudo-gradient instead.
    outer_optimizer = OracleInner

    def __init__(
        self,
        inner: "OracleInner | OracleLookahead",
        level: Mapping[str, Any],
        theta: Tensors,
        arithmetic: Arithmetic,
    ) -> None:
        self.inner = inner
        self.k = level["k"]
        outer = level.get("outer")
        self.outer: OracleInner | None = outer and self.outer_optimizer(
            {"inner": outer, "learning_rate": outer["learning_rate"]}, theta, arithmetic
        )
        # Slots move by the outer learning rate, but at most by 1.
        table = outer["learning_rate"] if outer else level["alpha"]
        fractions = [min(value(bits), 1.0) for bits in table]
        self.alpha = [arithmetic.hyperparameter(each) for each in fractions]
        self.inner_state = level["inner_state"]
        self.phi = theta  # phi_0 = theta_0
        self.cycle_step = 0
        self.syncs = 0
        self.anchor = inner.slots
        self.synchronized = False

    @property
    def slots(self) -> Slots:
        return self.inner.slots

    @slots.setter
    def slots(self, slots: Slots) -> None:
        self.inner.slots = slots

    def step(self, theta: Tensors, grads: Gradients) -> Tensors:
        """Do one inner step and, after every k of them, synchronize."""
        theta = self.advance(theta, grads)
        if self.synchronized:
            theta = self.synchronize(theta)
        return theta

    def advance(self, theta: Tensors, grads: Gradients) -> Tensors:
        """Do one inner step, and then say whether a synchronization is due."""
        theta = self.inner.step(theta, grads)
        self.cycle_step += 1
        self.synchronized = self.cycle_step == self.k
        return theta

    def synchronize(self, theta: Tensors) -> Tensors:
        """Do the outer update; the fast weights restart from the slow ones."""
        alpha = at(self.alpha, self.syncs)
        if self.outer is None:
            self.phi = interpolate(self.phi, theta, alpha)
        else:
            self.phi = self.outer_step(self.outer, theta)
        self.syncs += 1
        self.cycle_step = 0
        if self.inner_state == "reset":
            self.inner.restart(theta)
        if self.inner_state == "interpolate":
            self.slots = {
                name: interpolate(self.anchor[name], tensors, alpha)
                for name, tensors in self.slots.items()
            }
        self.anchor = self.slots
        self.inner.follow(self.phi)
        return self.phi

    def outer_step(self, outer: OracleInner, theta: Tensors) -> Tensors:
        """Return phi after a step of the outer optimizer."""
        return outer.step(self.phi, self.pseudo_gradient(theta))

    def pseudo_gradient(self, theta: Tensors) -> Tensors:
        return minus(self.phi, theta)

    def restart(self, theta: Tensors) -> None:
        """Reset for an enclosing Lookahead; the count of synchronizations runs on."""
        self.cycle_step = 0
        if self.outer is not None:
            self.outer.restart(theta)
        self.inner.restart(theta)

    def follow(self, phi: Tensors) -> None:
        """Take the weights and slots of an enclosing Lookahead's synchronization."""
        self.phi = phi
        self.anchor = self.slots
        self.inner.follow(phi)


class OracleWorkers:
    """M workers, each a Lookahead on its own data, and one outer step: DiLoCo 2023."""

    # Their tensors are one list: the first worker's, the second's, ...

    averaged = staticmethod(mean)

    def __init__(self, workers: Sequence[OracleLookahead]) -> None:
        self.workers = workers

    @staticmethod
    def begin(thetas: Sequence[Tensors]) -> list[Tensors]:
        """Return the initial weights of the workers: those of the first for all."""
        return [thetas[0] for _ in thetas]

    @property
    def synchronized(self) -> bool:
        return self.workers[0].synchronized

    @property
    def phi(self) -> Tensors:
        return joined([worker.phi for worker in self.workers])

    @property
    def slots(self) -> Slots:
        of_each = [worker.slots for worker in self.workers]
        return {name: joined([slots[name] for slots in of_each]) for name in of_each[0]}

    def step(self, theta: Tensors, grads: Gradients) -> Tensors:
        """Do an inner step of each worker and, after every k of them, synchronize."""
        thetas = parted(theta, len(self.workers))
        thetas = self.advance(thetas, grads)
        if self.synchronized:
            thetas = self.synchronize(thetas)
        return joined(thetas)

    def advance(self, thetas: Sequence[Tensors], grads: Gradients) -> list[Tensors]:
        each = zip(self.workers, thetas, self.shares(grads), strict=True)
        return [worker.advance(x, g) for worker, x, g in each]

    def shares(self, grads: Gradients) -> list[Gradients]:
        """Return the gradients of each worker."""
        return parted(grads, len(self.workers))

    def synchronize(self, thetas: Sequence[Tensors]) -> list[Tensors]:
        """Do the same outer step in each worker, with the mean pseudo-gradient."""
        thetas = list(thetas)
        each = zip(self.workers, thetas, strict=True)
        found = self.averaged([minus(worker.phi, x) for worker, x in each])
        for i, worker in enumerate(self.workers):
            thetas[i] = minus(worker.phi, found)
        both = zip(self.workers, thetas, strict=True)
        return [worker.synchronize(theta) for worker, theta in both]


def parted(tensors: Sequence[Any], count: int) -> list[Any]:
    size = len(tensors) // count
    return [tensors[size * number : size * (number + 1)] for number in range(count)]


def joined(parts: Sequence[Tensors]) -> Tensors:
    return [tensor for part in parts for tensor in part]


class GradientSource:
    """Gradients from a tape, or from a formula of the fast weights."""

    def __init__(self, problem: Mapping[str, Any], arithmetic: Arithmetic) -> None:
        def read(tensors: Sequence[Sequence[str] | None]) -> Any:
            return [t and [arithmetic.number(value(bits)) for bits in t] for t in tensors]

        self.kind, self.read = problem["kind"], read
        if self.kind == "tape":
            self.tape = problem["gradients"]
        elif self.kind == "quadratic":
            self.matrix, self.centre = read(problem["matrix"]), read(problem["centre"])
        else:
            self.curvature = read(problem["curvature"])

    def gradients(self, theta: Tensors, t: int) -> Gradients:
        """Return the gradient at the fast weights theta after t steps."""
        if self.kind == "tape":
            found: Gradients = self.read(self.tape[t])
            return found
        if self.kind == "quadratic":  # A (x - c), A symmetric, row by row
            return [
                [
                    sum(a[i * len(x) + j] * (x[j] - c[j]) for j in range(len(x)))
                    for i in range(len(x))
                ]
                for x, a, c in zip(theta, self.matrix, self.centre, strict=True)
            ]
        return [  # double-well: a (x x - 1) x, the gradient of a (x x - 1)^2 / 4
            [a * (x * x - 1) * x for x, a in zip(xs, each, strict=True)]
            for xs, each in zip(theta, self.curvature, strict=True)
        ]


def start(
    case: Mapping[str, Any],
    arithmetic: Arithmetic,
    inner: type[OracleInner] = OracleInner,
    lookahead: type[OracleLookahead] = OracleLookahead,
    workers: type[OracleWorkers] = OracleWorkers,
) -> tuple[Tensors, list[Any]]:
    """Return the initial weights and the Lookaheads of a case, the outermost first."""
    theta = [
        [arithmetic.number(value(bits)) for bits in p["values"]] for p in case["params"]
    ]

    def made(theta: Tensors) -> list[OracleLookahead]:
        optimizer: OracleInner | OracleLookahead = inner(case, theta, arithmetic)
        levels: list[OracleLookahead] = []
        for level in reversed(case["lookahead"]):
            optimizer = lookahead(optimizer, level, theta, arithmetic)
            levels.insert(0, optimizer)
        return levels

    if "workers" not in case:
        return theta, made(theta)
    thetas = workers.begin(parted(theta, case["workers"]))
    return joined(thetas), [workers([made(each)[0] for each in thetas])]


def run(case: Mapping[str, Any], arithmetic: Arithmetic | None = None) -> list[Step]:
    """Run a case, by default in 50 digits."""
    arithmetic = Exact() if arithmetic is None else arithmetic
    source = GradientSource(case["problem"], arithmetic)
    theta, levels = start(case, arithmetic)
    steps = []
    for t in range(case["steps"]):
        theta = levels[0].step(theta, source.gradients(theta, t))
        steps.append(
            Step(
                [level.synchronized for level in levels],
                theta,
                [level.phi for level in levels],
                levels[0].slots,
            )
        )
    return steps
