"""Builds a case of an optimizer: its problem, its optimizers, and its record.

Every tensor is exact in float32, so that a case works in both precisions.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from typing import Any, TypeAlias

from lookahead_ref.conformance.oracle import bits, noise, tensor
from lookahead_ref.conformance.protocol import Inner, Level

PlannedCase: TypeAlias = dict[str, Any]
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Numbers: TypeAlias = Sequence[Sequence[float]]

VECTOR: Shapes = {"w": (3,)}
SINGLE: Shapes = {"w": (1,)}
SEVERAL: Shapes = {"weight": (2, 2), "bias": (2,), "scale": ()}
PAIR: Shapes = {"first": (2,), "second": (2,)}
DUO: Shapes = {"w": (2,)}
NOT_SQUARE: Shapes = {"weight": (2, 3), "kernel": (2, 1, 3)}


def _bits(values: Any) -> Any:
    """Write numbers, in nested lists, as bit strings."""
    return bits(values) if isinstance(values, float) else [_bits(each) for each in values]


# Problems, which give the gradients.


def tape(
    case: str, shapes: Shapes, steps: int, scale: int, missing: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """Draw a tape of gradients; `missing` lists the steps without one, by parameter."""

    def drawn(t: int, name: str, shape: tuple[int, ...]) -> list[str] | None:
        if t in missing.get(name, ()):
            return None
        return [bits(v) for v in noise(f"{case}/{name}/g{t}", prod(shape), scale=scale)]

    all_steps = range(1, steps + 1)
    gradients = [[drawn(t, *each) for each in shapes.items()] for t in all_steps]
    return {"kind": "tape", "gradients": gradients}


def given_tape(gradients: Sequence[Numbers]) -> dict[str, Any]:
    """Write a tape of gradients given as numbers: step, tensor, element."""
    return {"kind": "tape", "gradients": _bits(gradients)}


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
    """Make an inner optimizer, with L2, decoupled or no weight decay."""
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


def with_outer(k: int, outer: Inner, inner_state: str = "maintain") -> Level:
    return Level(k, (), inner_state, outer)


def _table(value: float | Sequence[float]) -> tuple[float, ...]:
    return (value,) if isinstance(value, float) else tuple(value)


def _described(levels: Sequence[Level], inner: Inner) -> str:
    def number(table: Sequence[float]) -> str:
        return repr(table[0]) if len(table) == 1 else "tabulated"

    def rule(inner: Inner) -> str:
        words = [f"{inner.rule} with learning rate {number(inner.learning_rate)}"]
        for name, value in inner.hyperparameters.items():
            if name == "weight_decay":
                name = f"{inner.weight_decay_kind} weight decay"
            words.append(f"{name} {value!r}")
        return ", ".join(words)

    parts = []
    for level in levels:
        outer = level.outer
        how = f"outer {rule(outer)}" if outer else f"alpha = {number(level.alpha)}"
        parts.append(f"Lookahead k = {level.k}, {how}, {level.inner_state}")
    return " around ".join([*parts, rule(inner)])


def _rule(inner: Inner) -> dict[str, Any]:
    return {
        "rule": inner.rule,
        "weight_decay_kind": inner.weight_decay_kind,
        "hyperparameters": [
            {"name": name, "value": bits(value), "decimal": repr(value)}
            for name, value in inner.hyperparameters.items()
        ],
    }


def _level(level: Level) -> dict[str, Any]:
    outer = level.outer
    if outer is None:
        how = {"alpha": _bits(level.alpha)}
    else:
        how = {"outer": {**_rule(outer), "learning_rate": _bits(outer.learning_rate)}}
    return {"k": level.k, **how, "inner_state": level.inner_state}


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
    """Build a case without outcomes and flags."""
    # The profile defaults to the start of the id. Values and gradients are noise, with
    # sizes of about 2 to the powers `scale` and `gradient_scale`, unless `initial` or
    # `problem` is given. `more` is ``save_after`` or ``evaluate_after``.
    levels = [levels] if isinstance(levels, Level) else levels
    tensors = [tensor(identity, *each, scale=scale) for each in shapes.items()]
    for each, values in zip(tensors, initial or (), strict=initial is not None):
        each["values"] = _bits(values)
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
        "lookahead": [_level(each) for each in levels],
        "inner": _rule(inner),
        "learning_rate": _bits(inner.learning_rate),
        "params": tensors,
        "problem": problem or tape(identity, shapes, steps, gradient_scale, missing),
    }
