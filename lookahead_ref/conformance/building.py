"""The parts that cases are built from, as the vector files hold them.

Every tensor is exact in float32, so that one case serves both precisions. Numbers that look
random are taken from a hash of the case's id: no generator of random numbers has to stay as
it is.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

Case: TypeAlias = dict[str, Any]
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

VECTOR: Shapes = {"w": (3,)}
SINGLE: Shapes = {"w": (1,)}
SEVERAL: Shapes = {"weight": (2, 2), "bias": (2,), "scale": ()}
PAIR: Shapes = {"first": (2,), "second": (2,)}


def bits(value: float) -> str:
    """Write a number as the 16 hexadecimal digits of its IEEE-754 binary64 form.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    str
        The digits, sign first.

    Examples
    --------
    >>> bits(-0.0), bits(1.0)
    ('8000000000000000', '3ff0000000000000')
    """
    return struct.pack(">d", value).hex()


def is_float32(value: float) -> bool:
    """Return whether a number is exact in float32."""
    narrowed: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return narrowed == value


def noise(label: str, size: int, *, scale: int = 0) -> list[float]:
    """Draw numbers of either sign with 24 significant bits.

    Parameters
    ----------
    label : str
        What decides them.
    size : int
        How many.
    scale : int, default: 0
        The power of two that they are multiplied by; their size is then from 1/4 to 2 of
        it.

    Returns
    -------
    list of float
        The numbers.
    """
    numbers = []
    for i in range(size):
        digest = hashlib.sha256(f"{label}/{i}".encode()).digest()
        fraction = int.from_bytes(digest[:3], "big") | 1 << 23
        exponent = digest[3] % 3 - 2 + scale - 23
        sign = -1.0 if digest[4] & 1 else 1.0
        numbers.append(sign * float(fraction) * 2.0**exponent)
    return numbers


def params(label: str, shapes: Shapes, *, scale: int = 0) -> list[dict[str, Any]]:
    """Draw initial parameters.

    Parameters
    ----------
    label : str
        What decides them.
    shapes : dict
        Name to shape.
    scale : int, default: 0
        As for `noise`.

    Returns
    -------
    list of dict
        The tensors.
    """
    return [
        {
            "name": name,
            "shape": list(shape),
            "values": [bits(v) for v in noise(f"{label}/{name}", prod(shape), scale=scale)],
        }
        for name, shape in shapes.items()
    ]


def tape(
    label: str,
    shapes: Shapes,
    steps: int,
    *,
    scale: int = 0,
    missing: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """Draw a tape of gradients.

    Parameters
    ----------
    label : str
        What decides them.
    shapes : dict
        Name to shape.
    steps : int
        The number of steps.
    scale : int, default: 0
        As for `noise`.
    missing : dict
        Name to the steps, counted from 1, at which that parameter has no gradient.

    Returns
    -------
    dict
        The problem.
    """
    gradients = [
        [
            None
            if t in missing.get(name, ())
            else [bits(v) for v in noise(f"{label}/{name}/g{t}", prod(shape), scale=scale)]
            for name, shape in shapes.items()
        ]
        for t in range(1, steps + 1)
    ]
    return {"kind": "tape", "gradients": gradients}


def given_tape(gradients: Sequence[Sequence[Sequence[float]]]) -> dict[str, Any]:
    """Write a tape of gradients given as numbers: step, tensor, element."""
    return {
        "kind": "tape",
        "gradients": [[[bits(v) for v in each] for each in step] for step in gradients],
    }


def quadratic(
    matrices: Sequence[Sequence[float]], centres: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """Write a quadratic for each tensor: the gradient is A (x - c)."""
    return {
        "kind": "quadratic",
        "matrix": [[bits(v) for v in each] for each in matrices],
        "centre": [[bits(v) for v in each] for each in centres],
    }


def double_well(curvatures: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Write a double well for each element: the gradient is a (x x - 1) x."""
    return {
        "kind": "double-well",
        "curvature": [[bits(v) for v in each] for each in curvatures],
    }


def diagonal(*entries: float) -> list[float]:
    """Return a diagonal matrix, row by row."""
    size = len(entries)
    return [entries[i] if i == j else 0.0 for i in range(size) for j in range(size)]


@dataclass(frozen=True)
class Inner:
    """An inner optimizer.

    Parameters
    ----------
    rule : str
        ``sgd``, ``heavy-ball``, ``nesterov``, ``adagrad`` or ``adam``.
    rate : float or sequence of float
        The learning rate, or its table over the steps.
    decay : float, default: 0.0
        Weight decay's coefficient.
    decay_kind : str, default: "none"
        ``none``, ``l2`` or ``decoupled``.
    h : dict
        The other hyperparameters.
    """

    rule: str
    rate: float | Sequence[float]
    decay: float = 0.0
    decay_kind: str = "none"
    h: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        rate = f"{self.rate!r}" if isinstance(self.rate, float) else "tabulated"
        words = [f"{name} {value!r}" for name, value in self.h.items()]
        if self.decay_kind != "none":
            words.append(f"{self.decay_kind} weight decay {self.decay!r}")
        return ", ".join([f"{self.rule} with learning rate {rate}", *words])


def sgd(
    rate: float | Sequence[float] = 0.1, decay: float = 0.0, kind: str = "none"
) -> Inner:
    """Return stochastic gradient descent."""
    return Inner("sgd", rate, decay, kind)


def heavy_ball(
    rate: float | Sequence[float] = 0.1,
    momentum: float = 0.9,
    decay: float = 0.0,
    kind: str = "none",
) -> Inner:
    """Return heavy ball."""
    return Inner("heavy-ball", rate, decay, kind, {"momentum": momentum})


def nesterov(
    rate: float | Sequence[float] = 0.1,
    momentum: float = 0.9,
    decay: float = 0.0,
    kind: str = "none",
) -> Inner:
    """Return Nesterov's momentum."""
    return Inner("nesterov", rate, decay, kind, {"momentum": momentum})


def adagrad(
    rate: float | Sequence[float] = 0.1,
    epsilon: float = 1e-10,
    decay: float = 0.0,
    kind: str = "none",
) -> Inner:
    """Return AdaGrad."""
    return Inner("adagrad", rate, decay, kind, {"epsilon": epsilon})


def adam(
    rate: float | Sequence[float] = 0.1,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    decay: float = 0.0,
    kind: str = "none",
) -> Inner:
    """Return Adam."""
    h = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon}
    return Inner("adam", rate, decay, kind, h)


@dataclass(frozen=True)
class Level:
    """A Lookahead.

    Parameters
    ----------
    k : int
        The synchronization period.
    alpha : float or sequence of float
        The slow weights' step size, or its table over the synchronizations.
    inner_state : str, default: "maintain"
        ``maintain``, ``reset`` or ``interpolate``.
    """

    k: int
    alpha: float | Sequence[float]
    inner_state: str = "maintain"

    def __str__(self) -> str:
        alpha = repr(self.alpha) if isinstance(self.alpha, float) else "tabulated"
        return f"Lookahead k = {self.k}, alpha = {alpha}, {self.inner_state}"


def build(
    identity: str,
    profile: str,
    clause: str,
    levels: Level | Sequence[Level],
    inner: Inner,
    steps: int,
    *,
    says: str = "",
    shapes: Shapes = VECTOR,
    scale: int = 0,
    gradient_scale: int = 0,
    initial: Sequence[Sequence[float]] | None = None,
    problem: Mapping[str, Any] | None = None,
    missing: Mapping[str, Any] = {},
    conditions: Sequence[str] = (),
    dtypes: Sequence[str] = ("float32", "float64"),
    **more: Any,
) -> Case:
    """Build a case, all but its outcomes and the bugs that it shows.

    Parameters
    ----------
    identity : str
        Its id.
    profile, clause : str
        The profile that it counts for; the clause of the specification that it tests.
    levels : Level or sequence of Level
        The Lookaheads, the outermost first.
    inner : Inner
        The inner optimizer.
    steps : int
        The number of steps.
    says : str
        What is special about it, for the comment.
    shapes : dict
        Parameter name to shape.
    scale, gradient_scale : int
        Powers of two for the sizes of parameters and gradients.
    initial : sequence of sequence of float, optional
        The initial values, in place of noise.
    problem : dict, optional
        The problem; a tape of noise if not given.
    missing : dict
        As for `tape`.
    conditions : sequence of str
        Flags of what it contains.
    dtypes : sequence of str
        The precisions that it is for.
    **more : object
        ``save_after`` or ``evaluate_after``.

    Returns
    -------
    dict
        The case.
    """
    levels = [levels] if isinstance(levels, Level) else list(levels)
    tensors = params(identity, shapes, scale=scale)
    if initial is not None:
        for tensor, values in zip(tensors, initial, strict=True):
            tensor["values"] = [bits(v) for v in values]
    if problem is None:
        problem = tape(identity, shapes, steps, scale=gradient_scale, missing=missing)
    around = " around ".join(str(level) for level in levels)
    comment = f"{around} around {inner}; {steps} steps."
    h = dict(inner.h)
    if inner.decay_kind != "none":
        h["weight_decay"] = inner.decay
    return {
        "id": identity,
        "profile": profile,
        "clause": clause,
        "flags": list(conditions),
        "comment": f"{says[:1].upper()}{says[1:]}: {comment}" if says else comment,
        "dtypes": list(dtypes),
        "steps": steps,
        **more,
        "lookahead": [
            {
                "k": level.k,
                "alpha": [bits(v) for v in _table(level.alpha)],
                "inner_state": level.inner_state,
            }
            for level in levels
        ],
        "inner": {
            "rule": inner.rule,
            "weight_decay_kind": inner.decay_kind,
            "hyperparameters": [
                {"name": name, "value": bits(value), "decimal": repr(value)}
                for name, value in h.items()
            ],
        },
        "learning_rate": [bits(v) for v in _table(inner.rate)],
        "params": tensors,
        "problem": dict(problem),
    }


def _table(value: float | Sequence[float]) -> list[float]:
    return [value] if isinstance(value, float) else list(value)
