"""The parts that cases are built from, as the vector files hold them.

Every tensor is exact in float32, so that one case serves both precisions. Numbers that look
random are taken from a hash of the case's id: no generator of random numbers has to stay as
it is.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from typing import Any, TypeAlias

from lookahead_ref.conformance.protocol import Inner, Level

PlannedCase: TypeAlias = dict[str, Any]
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Numbers: TypeAlias = Sequence[Sequence[float]]

VECTOR: Shapes = {"w": (3,)}
SINGLE: Shapes = {"w": (1,)}
SEVERAL: Shapes = {"weight": (2, 2), "bias": (2,), "scale": ()}
PAIR: Shapes = {"first": (2,), "second": (2,)}


def bits(value: float) -> str:
    """Write a number as the 16 hexadecimal digits of its IEEE-754 binary64 form."""
    return struct.pack(">d", value).hex()


def _bits(tensors: Numbers) -> list[list[str]]:
    return [[bits(v) for v in each] for each in tensors]


def noise(label: str, size: int, *, scale: int = 0) -> list[float]:
    """Draw numbers of either sign and 24 significant bits, about 2 to the power `scale`."""
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


# Problems: where gradients come from.


def tape(
    case: str, shapes: Shapes, steps: int, scale: int, missing: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """Draw a tape of gradients; `missing` has the steps at which a parameter has none."""
    gradients = [
        [
            None
            if t in missing.get(name, ())
            else [bits(v) for v in noise(f"{case}/{name}/g{t}", prod(shape), scale=scale)]
            for name, shape in shapes.items()
        ]
        for t in range(1, steps + 1)
    ]
    return {"kind": "tape", "gradients": gradients}


def given_tape(gradients: Sequence[Numbers]) -> dict[str, Any]:
    """Write a tape of gradients given as numbers: step, tensor, element."""
    return {"kind": "tape", "gradients": [_bits(step) for step in gradients]}


def quadratic(matrices: Numbers, centres: Numbers) -> dict[str, Any]:
    """Write a quadratic for each tensor: the gradient is A (x - c)."""
    return {"kind": "quadratic", "matrix": _bits(matrices), "centre": _bits(centres)}


def double_well(curvatures: Numbers) -> dict[str, Any]:
    """Write a double well for each element: the gradient is a (x x - 1) x."""
    return {"kind": "double-well", "curvature": _bits(curvatures)}


# Optimizers.

_DEFAULTS: Mapping[str, Mapping[str, float]] = {
    "sgd": {},
    "heavy-ball": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9},
    "adagrad": {"epsilon": 1e-10},
    "adam": {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
}


def inner(
    rule: str,
    rate: float | Sequence[float] = 0.1,
    *,
    l2: float | None = None,
    decoupled: float | None = None,
    **changed: float,
) -> Inner:
    """Make an inner optimizer, with one of both kinds of weight decay or none."""
    h = {**_DEFAULTS[rule], **changed}
    kind = "none"
    for name, decay in (("l2", l2), ("decoupled", decoupled)):
        if decay is not None:
            kind, h["weight_decay"] = name, decay
    return Inner(rule, h, kind, _table(rate))


sgd = partial(inner, "sgd")
heavy_ball = partial(inner, "heavy-ball")
nesterov = partial(inner, "nesterov")
adagrad = partial(inner, "adagrad")
adam = partial(inner, "adam")


def lookahead(
    k: int, alpha: float | Sequence[float], inner_state: str = "maintain"
) -> Level:
    return Level(k, _table(alpha), inner_state)


def _table(value: float | Sequence[float]) -> tuple[float, ...]:
    return (value,) if isinstance(value, float) else tuple(value)


def _described(levels: Sequence[Level], inner: Inner) -> str:
    def number(table: Sequence[float]) -> str:
        return repr(table[0]) if len(table) == 1 else "tabulated"

    parts = [
        f"Lookahead k = {level.k}, alpha = {number(level.alpha)}, {level.inner_state}"
        for level in levels
    ]
    words = [f"{inner.rule} with learning rate {number(inner.learning_rate)}"]
    for name, value in inner.hyperparameters.items():
        if name == "weight_decay":
            name = f"{inner.weight_decay_kind} weight decay"
        words.append(f"{name} {value!r}")
    return " around ".join([*parts, ", ".join(words)])


def build(
    identity: str,
    clause: str,
    levels: Level | Sequence[Level],
    inner: Inner,
    steps: int,
    *,
    profile: str = "",
    says: str = "",
    shapes: Shapes = VECTOR,
    scale: int = 0,
    gradient_scale: int = 0,
    initial: Numbers | None = None,
    problem: Mapping[str, Any] | None = None,
    missing: Mapping[str, Sequence[int]] = {},
    conditions: Sequence[str] = (),
    dtypes: Sequence[str] = ("float32", "float64"),
    **more: Any,
) -> PlannedCase:
    """Build a case, all but its outcomes and the bugs that it shows."""
    # The profile is what the id begins with, if not given. Values and gradients are noise,
    # of sizes about the powers of two `scale` and `gradient_scale`, unless they are given
    # by `initial` or `problem`. `more` is ``save_after`` or ``evaluate_after``.
    levels = [levels] if isinstance(levels, Level) else levels
    tensors = [tensor(identity, *each, scale=scale) for each in shapes.items()]
    for each, values in zip(tensors, initial or (), strict=initial is not None):
        each["values"] = [bits(v) for v in values]
    comment = f"{_described(levels, inner)}; {steps} steps."
    return {
        "id": identity,
        "profile": profile or identity.partition("-")[0],
        "clause": clause,
        "flags": list(conditions),
        "comment": f"{says[:1].upper()}{says[1:]}: {comment}" if says else comment,
        "dtypes": list(dtypes),
        "steps": steps,
        **more,
        "lookahead": [
            {
                "k": level.k,
                "alpha": [bits(v) for v in level.alpha],
                "inner_state": level.inner_state,
            }
            for level in levels
        ],
        "inner": {
            "rule": inner.rule,
            "weight_decay_kind": inner.weight_decay_kind,
            "hyperparameters": [
                {"name": name, "value": bits(value), "decimal": repr(value)}
                for name, value in inner.hyperparameters.items()
            ],
        },
        "learning_rate": [bits(v) for v in inner.learning_rate],
        "params": tensors,
        "problem": problem or tape(identity, shapes, steps, gradient_scale, missing),
    }
