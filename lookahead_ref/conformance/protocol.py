"""What a program under test is asked, and how a case is run on it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookahead_ref.conformance.judging import Observation, Trajectory
from lookahead_ref.conformance.vectors import Case, Float64Array, decode

Array = NDArray[Any]
Tensors = Mapping[str, Array]
Answer = Mapping[str, ArrayLike]


OWN_RULE = "own"
"""The rule of an inner optimizer that a program is free to choose."""

_OFFERS = {
    "outer": "an outer optimizer",
    "workers": "several workers",
    "own-inner": "an inner optimizer of its own",
}


class UnsupportedError(Exception):
    """A case needs something that a program does not offer; the message names it."""


class TargetError(Exception):
    """A program stopped with an error in a case, or gave an invalid answer."""

    def __init__(self, said: str, frame: Mapping[str, str] | None = None) -> None:
        super().__init__(said)
        self.frame = frame  # the file, line, function and code, if known


@dataclass(frozen=True)
class Level:
    """A Lookahead."""

    k: int
    """The synchronization period."""
    alpha: tuple[float, ...]
    """The slow weights' step size at the first synchronization, the second, ...; the last
    entry holds from then on, so that a constant has one entry. Empty with `outer`."""
    inner_state: str
    """What a synchronization does to the inner optimizer's state: ``"maintain"``,
    ``"reset"`` or ``"interpolate"`` it."""
    outer: "Inner | None" = None
    """The optimizer of phi, from phi - theta, instead of alpha; its learning rate counts
    synchronizations. Only for adapters that offer it."""

    def alpha_at(self, synchronization: int) -> float:
        """Return alpha at a synchronization, counted from 0."""
        return _at(self.alpha, synchronization)


@dataclass(frozen=True)
class Inner:
    """An inner optimizer."""

    rule: str
    """``"sgd"``, ``"heavy-ball"``, ``"nesterov"``, ``"adagrad"`` or ``"adam"``; or
    ``"own"``, the program's, only for those that offer ``own-inner``."""
    hyperparameters: Mapping[str, float]
    """From ``momentum``, ``beta1``, ``beta2``, ``epsilon`` and ``weight_decay``."""
    weight_decay_kind: str
    """Where weight decay enters: ``"none"``, ``"l2"`` or ``"decoupled"``."""
    learning_rate: tuple[float, ...]
    """At the first step, the second, ...; the last entry holds from then on."""

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate at a step, counted from 0."""
        return _at(self.learning_rate, step)


@dataclass(frozen=True)
class Setup:
    """Everything that a program needs to start a case."""

    case: str
    """The case's id; nothing may depend on it."""
    dtype: str
    params: Tensors
    """Name to initial array, new and of that dtype."""
    levels: tuple[Level, ...]
    """The Lookaheads, the outermost first."""
    inner: Inner
    workers: int = 1
    """With several workers, dicts hold the tensors of all: ``1/weight``, ``2/weight``, ...;
    see `split` and `merged`. Only for adapters that offer workers."""

    def split(self, tensors: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Split a dict by name into one for each worker."""
        if self.workers == 1:
            return [dict(tensors)]
        return [
            {n.removeprefix(own): x for n, x in tensors.items() if n.startswith(own)}
            for own in (f"{number}/" for number in range(1, self.workers + 1))
        ]

    def merged(self, of_each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Merge the dicts of all workers, as the inverse of `split`."""
        if self.workers == 1:
            return dict(of_each[0])
        numbered = enumerate(of_each, start=1)
        return {f"{number}/{n}": x for number, own in numbered for n, x in own.items()}

    def only(
        self,
        *,
        rules: Collection[str] | None = None,
        weight_decay: Collection[str] | None = None,
        inner_states: Collection[str] | None = None,
        nesting: bool = False,
        alpha_schedule: bool = False,
    ) -> None:
        """Refuse a case that needs more than a program offers.

        Parameters
        ----------
        rules, weight_decay, inner_states : collection of str, optional
            What the program has, as in `Inner.rule`, `Inner.weight_decay_kind` and
            `Level.inner_state`; default: all.
        nesting, alpha_schedule : bool, default: False
            Whether Lookaheads may be nested, and whether alpha may change.

        Raises
        ------
        UnsupportedError
            If the case needs more; it then counts as not offered, not as wrong.

        Examples
        --------
        >>> inner = Inner("adam", {"beta1": 0.9}, "none", (0.1,))
        >>> setup = Setup("one", "float32", {}, (Level(5, (0.5,), "reset"),), inner)
        >>> setup.only(rules={"sgd", "adam"})
        >>> setup.only(inner_states={"maintain"})
        Traceback (most recent call last):
            ...
        lookahead_ref.conformance.protocol.UnsupportedError: inner_state 'reset'
        """
        if len(self.levels) > 1 and not nesting:
            raise UnsupportedError("a Lookahead around another")
        if any(len(level.alpha) > 1 for level in self.levels) and not alpha_schedule:
            raise UnsupportedError("a changing alpha")
        asked = [
            ("rule", self.inner.rule, rules),
            ("weight decay", self.inner.weight_decay_kind, weight_decay),
            *[("inner_state", level.inner_state, inner_states) for level in self.levels],
        ]
        for what, value, offered in asked:
            if offered is not None and value not in offered:
                raise UnsupportedError(f"{what} {value!r}")


class Adapter(Protocol):
    """A program under test, one case at a time.

    An attribute ``offers = ("outer", "workers")`` says that it has outer optimizers and
    several workers; ``"own-inner"`` in it, that it is judged around its own inner
    optimizer.

    `start`, `step` and `fast` are enough to begin with. Without `slow` or `slots`, those
    values are not checked; cases that need another missing method count as not offered. An
    exception counts as an error, or as not offered if it is an `UnsupportedError` or a
    `NotImplementedError`. Tensors are a dict from the parameters' names to arrays of NumPy
    or anything that `numpy.asarray` takes.
    """

    def start(self, setup: Setup) -> None:
        """Make new parameters and a new optimizer, or raise an `UnsupportedError`."""

    def step(self, gradients: Mapping[str, Array | None]) -> None:
        """Do one step, given gradients by name, None for a parameter without one."""

    def fast(self) -> Answer:
        """Return the fast weights, at which the next gradient is taken, as tensors."""

    def slow(self) -> Sequence[Answer]:
        """Return a list of tensors: phi of each Lookahead, the outermost first; or []."""

    def slots(self) -> Mapping[str, Answer]:
        """Return a dict of tensors: all or some of the inner optimizer's slots, by name."""

    def evaluation(self) -> Answer:
        """Return the weights that a user would evaluate now, as tensors."""

    def snapshot(self) -> Any:
        """Copy the state, as a user would to keep it in memory during training."""

    def dump(self, snapshot: Any) -> bytes:
        """Write a state, which may be many steps old, as bytes."""

    def load(self, state: bytes) -> None:
        """Restore a state; called after `start`, in a new process."""


class ModelAdapter(Protocol):
    """A Python adapter's method for models, besides those of `Adapter`."""

    def model_loss_and_grads(
        self, model: Mapping[str, Any], params: Tensors, batch: Mapping[str, Any]
    ) -> tuple[Any, Tensors, Tensors]:
        """Compute loss and gradients of a batch.

        Parameters
        ----------
        model : dict
            ``kind``, ``"mlp"`` or ``"lstm"``; ``layers``; ``activation`` of a perceptron,
            ``tied`` of an LSTM.
        params : dict
            Name, such as ``layer1.weight``, to an array of the precision to work in.
        batch : dict
            ``inputs`` and ``labels``; of an LSTM ``carried`` too.

        Returns
        -------
        loss : number
            The mean cross entropy in nats.
        gradients : dict
            Array by the parameter's name.
        carried : dict
            Array by its name in ``batch["carried"]``; empty for a perceptron.
        """


def setup(case: Case, dtype: str) -> Setup:
    """Read a case's setup: everything but gradients and expected values."""
    return Setup(
        case.id,
        dtype,
        dict(zip(case.names, case.params(dtype), strict=True)),
        tuple(map(_level, case.data["lookahead"])),
        _inner(case.data["inner"], case.data["learning_rate"]),
        case.data.get("workers", 1),
    )


def _level(level: Mapping[str, Any]) -> Level:
    outer = level.get("outer")
    return Level(
        level["k"],
        _table(level.get("alpha", [])),
        level["inner_state"],
        outer and _inner(outer, outer["learning_rate"]),
    )


def _inner(inner: Mapping[str, Any], learning_rate: list[str]) -> Inner:
    return Inner(
        inner["rule"],
        {h["name"]: float(decode([h["value"]])[0]) for h in inner["hyperparameters"]},
        inner["weight_decay_kind"],
        _table(learning_rate),
    )


def observe(
    case: Case, dtype: str, adapter: Adapter, resumed: Callable[[], Adapter] | None = None
) -> Observation:
    """Run a case on a program.

    Parameters
    ----------
    case : Case
        The case.
    dtype : {"float32", "float64"}
        The precision to work in.
    adapter : Adapter
        The program.
    resumed : callable, optional
        Makes the program that loads a saved state; default: `adapter` loads it.

    Returns
    -------
    Observation
        The program's values.

    Raises
    ------
    UnsupportedError
        If the program does not offer what the case needs.
    TargetError
        If an answer has the wrong names or shapes.
    """
    seen, *saved = walk(case, dtype, adapter)
    if case.save_after is not None:
        other = adapter if resumed is None else resumed()
        seen.resumed = resume(case, dtype, other, *saved)
    return seen


def walk(case: Case, dtype: str, adapter: Adapter) -> tuple[Observation, Any, list[Array]]:
    """Run a case; also return the state and fast weights at its save point."""
    given = setup(case, dtype)
    # Old programs cannot refuse what was added later.
    asked = {
        "outer": any(level.outer for level in given.levels),
        "workers": given.workers > 1,
        "own-inner": given.inner.rule == OWN_RULE,
    }
    for name, wanted in asked.items():
        if wanted and name not in getattr(adapter, "offers", ()):
            raise UnsupportedError(_OFFERS[name])
    adapter.start(given)
    seen = Observation()
    snapshot = None
    fast = kept = list(given.params.values())
    for t in range(case.steps):
        adapter.step(gradients_at(case, dtype, t, fast))
        fast = _record(case, dtype, adapter, seen.steps)
        if t + 1 in case.evaluate_after:
            weights = _checked(case, "evaluated weights", method(adapter, "evaluation")())
            seen.evaluations[t + 1] = _flat(weights)
            # An evaluation may have changed the weights; the next gradient is taken there.
            fast = _copied(_checked(case, "fast weights", adapter.fast()), dtype)
        if t + 1 == case.save_after:
            snapshot, kept = method(adapter, "snapshot")(), fast
    saved = None if case.save_after is None else method(adapter, "dump")(snapshot)
    return seen, saved, kept


def resume(
    case: Case, dtype: str, adapter: Adapter, saved: bytes, fast: list[Array]
) -> Trajectory:
    """Restore a saved state in a program, and run the rest of the case."""
    adapter.start(setup(case, dtype))
    method(adapter, "load")(saved)
    seen = Trajectory()
    for t in range(case.save_after or 0, case.steps):
        adapter.step(gradients_at(case, dtype, t, fast))
        fast = _record(case, dtype, adapter, seen)
    return seen


def gradients_at(
    case: Case, dtype: str, t: int, theta: list[Array]
) -> dict[str, Array | None]:
    """Compute the gradients at the fast weights after t steps, in their precision."""
    problem = case.data["problem"]
    found: list[Array | None] = []
    if problem["kind"] == "tape":
        for values, shape in zip(problem["gradients"][t], case.shapes, strict=True):
            bits = None if values is None else decode(values)
            found.append(None if bits is None else bits.astype(dtype).reshape(shape))
    elif problem["kind"] == "quadratic":
        centres = case.arrays(problem["centre"], dtype)
        for x, matrix, c in zip(theta, problem["matrix"], centres, strict=True):
            away = (x - c).reshape(-1)
            rows = decode(matrix).astype(dtype).reshape(away.size, away.size)
            # A matrix product would sum in an order that depends on the machine.
            total = np.zeros_like(away)
            for j in range(away.size):
                total += rows[:, j] * away[j]
            found.append(total.reshape(x.shape))
    else:
        one = np.asarray(1.0, dtype)
        for x, a in zip(theta, case.arrays(problem["curvature"], dtype), strict=True):
            found.append(np.asarray(a * (x * x - one) * x))
    return dict(zip(case.names, found, strict=True))


def method(adapter: Adapter, name: str) -> Callable[..., Any]:
    """Return an optional method of an adapter, or raise an UnsupportedError."""
    found: Callable[..., Any] | None = getattr(adapter, name, None)
    if found is None:
        raise UnsupportedError(f"there is no method {name}")
    return found


def _record(
    case: Case, dtype: str, adapter: Adapter, trajectory: Trajectory
) -> list[Array]:
    """Record the values after a step, and return the fast weights."""
    fast = _checked(case, "fast weights", adapter.fast())
    trajectory.fast.append(_flat(fast))
    slow: Any = getattr(adapter, "slow", list)()
    if isinstance(slow, Mapping):
        raise TargetError(
            "slow weights must be a list with a dict for each Lookahead, got a dict"
        )
    trajectory.slow.append([_flat(_checked(case, "slow weights", each)) for each in slow])
    slots: Any = getattr(adapter, "slots", dict)()
    trajectory.slots.append(
        {name: _flat(_checked(case, name, each)) for name, each in slots.items()}
    )
    return _copied(fast, dtype)


def _copied(arrays: list[Array], dtype: str) -> list[Array]:
    with np.errstate(all="ignore"):
        return [each.astype(dtype) for each in arrays]


def named_alike(what: str, tensors: Any, shapes: Mapping[str, Any]) -> list[Array]:
    """Check names and shapes of tensors, and return them in order."""
    if not isinstance(tensors, Mapping) or set(tensors) != set(shapes):
        got = list(tensors) if isinstance(tensors, Mapping) else type(tensors).__name__
        raise TargetError(
            f"{what} must be a dict with the tensors {list(shapes)}, got {got}"
        )
    arrays = [np.asarray(tensors[name]) for name in shapes]
    for (name, shape), array in zip(shapes.items(), arrays, strict=True):
        if array.shape != shape:
            raise TargetError(
                f"{what}: {name} must have the shape {shape}, got {array.shape}"
            )
    return arrays


def _checked(case: Case, what: str, tensors: Any) -> list[Array]:
    shapes = dict(zip(case.names, case.shapes, strict=True))
    arrays = named_alike(what, tensors, shapes)
    for name, array in zip(shapes, arrays, strict=True):
        if array.dtype not in (np.float32, np.float64):
            raise TargetError(
                f"{what}: {name} must be float32 or float64, got {array.dtype}"
            )
    return arrays


def _flat(arrays: list[Array]) -> Float64Array:
    return np.concatenate([each.reshape(-1).astype(np.float64) for each in arrays])


def _table(bits: list[str]) -> tuple[float, ...]:
    return tuple(decode(bits).tolist())


def _at(table: Sequence[float], tick: int) -> float:
    return table[min(tick, len(table) - 1)]
