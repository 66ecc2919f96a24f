"""The profile ``own-inner``: the outer update alone, around any inner optimizer.

The suite need not know the rule, which may be fused with Lookahead. A program runs each
case with and without synchronizations. The run without shows what its inner steps add to
the weights. These increments serve as gradients of SGD with learning rate 1, which makes an
ordinary case with expected values and with tolerances in both precisions, as a program
may round to the other one; to the first synchronization alone if they depend on weights.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from lookahead_ref.conformance.case_building import SEVERAL, build, lookahead
from lookahead_ref.conformance.generate import complete
from lookahead_ref.conformance.judging import Observation, Trajectory, within
from lookahead_ref.conformance.oracle import bits
from lookahead_ref.conformance.protocol import (
    OWN_RULE,
    Inner,
    TargetError,
    UnsupportedError,
)
from lookahead_ref.conformance.vectors import Case, Float64Array

PROFILE = "own-inner"

# The weights stay far from zero and near their start, so that rounding is the same with and
# without synchronizations.
_LEARNING_RATE, _SCALE, _FAR = 0.01, 2, 0.5


@cache
def own_cases() -> list[Case]:
    """List the cases, which get outcomes only when a program runs them."""

    # Expected values depend on the precision, so each case has only one.
    def both(k: int, alpha: float, steps: int, what: str = "", **more: Any) -> list[Case]:
        inner = Inner(OWN_RULE, {}, "none", (_LEARNING_RATE,))
        more = {"profile": PROFILE, "scale": _SCALE, **more}
        clause, level = more.pop("clause", "LA-5"), lookahead(k, alpha)
        name = f"{PROFILE}-k{k}-alpha{alpha}{what}"
        return [
            Case(
                build(f"{name}-{each}", clause, level, inner, steps, dtypes=[each], **more)
            )
            for each in ("float32", "float64")
        ]

    return [
        *both(1, 0.5, 4),
        *both(2, 0.8, 6),
        *both(5, 0.2, 17),
        *both(5, 0.5, 12, "-tensors", shapes=SEVERAL),
        *both(3, 0.5, 9, "-after4", clause="LA-22", save_after=4),
        *both(3, 0.5, 9, "-after6", clause="LA-22", save_after=6),
        *both(3, 0.5, 9, "-evaluated", clause="LA-9", evaluate_after=[2, 3, 7]),
    ]


def judged_by_itself(
    observe: Callable[[Case], Observation], case: Case, dtype: str
) -> tuple[Case, Observation]:
    """Run a case; return the case made of the program's own steps, and its values."""
    weights = np.concatenate([each.reshape(-1) for each in case.params("float64")])
    seen, steps, evaluated = observe(case), case.steps, case.data.get("evaluate_after", ())
    added = _increments(observe, case, weights)
    moved, k = np.cumsum(added, axis=0), case.data["lookahead"][0]["k"]
    if np.any(np.abs(moved) > _FAR * np.abs(weights)):
        raise UnsupportedError("its steps are too large: does it use the learning rate?")
    rounding = np.finfo(dtype).eps * 16 * np.abs(weights)
    if np.any(np.abs(added - _increments(observe, case, 2 * weights)) > rounding):
        # What such steps add is known to the first synchronization, which may be too early.
        apart = np.any(np.abs(seen.steps.fast - (weights + moved)) > rounding, axis=1)
        steps = min(k, 1 + int(np.append(apart, True).argmax()))
        if case.save_after is not None:
            raise UnsupportedError("its steps depend on the weights, as with weight decay")
        evaluated = {n: seen.evaluations[n] for n in evaluated if n <= steps}
        shown = (each[:steps] for each in vars(seen.steps).values())
        seen, added = Observation(Trajectory(*shown), None, evaluated), added[:steps]
    sgd = {"rule": "sgd", "weight_decay_kind": "none", "hyperparameters": []}
    data = {**case.data, "inner": sgd, "learning_rate": [bits(1.0)], "steps": steps}
    data |= {"evaluate_after": list(evaluated), "dtypes": ["float32", "float64"]}
    data["problem"] = {"kind": "tape", "gradients": [_bits(case, -row) for row in added]}
    complete(data)
    made, last = Case(data), weights + moved[steps - 1]
    if steps >= k and within(last, made.outcomes[0].fast, steps, dtype):
        raise UnsupportedError("its steps are too small for a synchronization to show")
    return made, seen


def _bits(case: Case, numbers: Float64Array) -> list[list[str]]:
    """Write the numbers of all tensors, which are one row, tensor by tensor."""
    sizes = np.cumsum([len(each["values"]) for each in case.data["params"]])[:-1]
    return [[*map(bits, each)] for each in np.split(numbers, sizes)]


def _increments(
    observe: Callable[[Case], Observation], case: Case, start: Float64Array
) -> Float64Array:
    """Observe what each step adds to weights, from some start, without Lookahead."""
    both = zip(case.data["params"], _bits(case, start), strict=True)
    params = [{**each, "values": values} for each, values in both]

    def steps(alpha: float) -> list[Float64Array]:
        # With alpha 1, even an unwanted synchronization would change nothing.
        level = {"k": case.steps + 1, "alpha": [bits(alpha)], "inner_state": "maintain"}
        given = {**case.data, "lookahead": [level], "params": params}
        alone = {n: given[n] for n in given.keys() - {"save_after", "evaluate_after"}}
        return observe(Case(alone)).steps.fast

    try:
        fast = steps(1.0)
    except (TargetError, UnsupportedError):  # some programs require alpha < 1
        fast = steps(0.5)
    return np.diff(np.stack([start, *fast]), axis=0)
