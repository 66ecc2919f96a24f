"""Saving and restoring a stepper: after any step, on any backend, bit for bit."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lookahead_ref as la
from support import (
    INNER,
    INNER_STATES,
    assert_same_bits,
    gradients,
    left_as_it_was,
    mixed_params,
    one,
)

START = mixed_params()
GRADIENTS = list(gradients(START, 20))

OPTIMIZERS: list[Any] = [
    *[make() for make in INNER.values()],
    *[
        la.Lookahead(la.Adam(la.schedules.Cosine(0.1, 20)), 3, 0.3, kind)
        for kind in INNER_STATES
    ],
    la.Lookahead(
        la.Lookahead(la.HeavyBall(0.1), k=2, alpha=0.3, inner_state="interpolate"),
        k=3,
        alpha=lambda syncs: 0.8 / (1 + syncs),
        inner_state="reset",
    ),
    la.PolyakAveraging(la.Lookahead(la.SGD(0.1), k=3)),
    la.PolyakAveraging(la.Nesterov(0.1), decay=0.9),
]


def advance(steppers: Sequence[la.Stepper], some: Iterable[Any]) -> None:
    """Step all of them along the same gradients, whose arithmetic may overflow."""
    with np.errstate(all="ignore"):
        for grads in some:
            for stepper in steppers:
                stepper.step(grads)


@given(st.sampled_from(OPTIMIZERS), st.integers(0, 20), st.integers(0, 7))
@settings(max_examples=40)
def test_a_restored_stepper_continues_bit_for_bit(
    optimizer: Any, stop: int, wander: int
) -> None:
    stepper, other = (la.Stepper(optimizer, START) for _ in range(2))
    # Elsewhere: loading must leave nothing of that.
    advance([other], reversed(GRADIENTS[:wander]))
    advance([stepper], GRADIENTS[:stop])
    other.load_state_dict(stepper.state_dict())
    advance([stepper, other], GRADIENTS[stop:])
    assert_same_bits(other.state_dict(), stepper.state_dict())
    assert_same_bits(other.evaluation_params(), stepper.evaluation_params())


@pytest.mark.parametrize(("first", "second"), [("numpy", "numba"), ("numba", "numpy")])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_another_backend_continues_from_it(first: str, second: str, stop: int) -> None:
    optimizer = la.Lookahead(la.Adam(0.1), k=3, alpha=0.3, inner_state="interpolate")
    undisturbed, before, after = (
        la.Stepper(optimizer, START, backend=backend)
        for backend in ("numpy", first, second)
    )
    advance([undisturbed], GRADIENTS)
    advance([before], GRADIENTS[:stop])
    after.load_state_dict(before.state_dict())
    advance([after], GRADIENTS[stop:])
    assert_same_bits(after.state_dict(), undisturbed.state_dict())


def test_a_saved_state_shares_no_memory_with_the_stepper() -> None:
    stepper = la.Stepper(OPTIMIZERS[-2], START)
    saved = stepper.state_dict()
    kept = copy.deepcopy(saved)
    stepper.step(GRADIENTS[0])
    assert_same_bits(saved, kept)
    stepper.load_state_dict(saved)
    for value in saved.values():
        if isinstance(value, np.ndarray):
            value[...] = 77.0
    assert_same_bits(stepper.state_dict(), kept)


def test_entries_are_named_by_their_place() -> None:
    optimizer = la.PolyakAveraging(
        la.Lookahead(la.HeavyBall(0.1), k=2, inner_state="interpolate")
    )
    saved = la.Stepper(optimizer, {"a": {"w": np.ones(2)}}).state_dict()
    assert sorted(saved) == [
        "average/a/w",
        "averaged",
        "inner/anchor/velocity/a/w",
        "inner/cycle_step",
        "inner/inner/slots/velocity/a/w",
        "inner/inner/step",
        "inner/inner/updates",
        "inner/phi/a/w",
        "inner/syncs",
        "params/a/w",
    ]
    assert {type(value) for value in saved.values()} == {int, np.ndarray}


def case() -> tuple[la.Stepper, dict[str, Any]]:
    stepper = la.Stepper(la.Lookahead(la.HeavyBall(0.1), k=2), one(1.0, 2.0))
    stepper.step(one(3.0, 4.0))
    other = la.Stepper(la.Lookahead(la.HeavyBall(0.1), k=2), one(5.0, 6.0))
    return stepper, other.state_dict()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("params/x", None, "be an array, got NoneType"),
        ("params/x", [5.0, 6.0], "be an array, got list"),
        ("phi/x", np.zeros(3), r"have the shape \(2,\) of the parameter, got \(3,\)"),
        ("inner/slots/velocity/x", np.zeros(2, np.float32), "be float64 .* got float32"),
        ("phi/x", strict.asarray([5.0, 6.0]), "be an array of numpy"),
        ("cycle_step", -1, "be an integer >= 0, got -1"),
        ("cycle_step", 1.5, "be an integer >= 0, got 1.5"),
        ("inner/step", True, "be an integer >= 0, got True"),
        ("inner/step", "3", "be an integer >= 0, got '3'"),
        ("inner/updates", None, "be an integer >= 0, got None"),
        ("syncs", float("nan"), "be an integer >= 0, got nan"),
        ("syncs", float("inf"), "be an integer >= 0, got inf"),
        ("syncs", np.zeros(1), "be an integer >= 0, got array"),
    ],
)
def test_a_bad_entry_is_named(name: str, value: Any, message: str) -> None:
    stepper, saved = case()
    says = rf"saved\['{name}'\] must {message}"
    with left_as_it_was(stepper, (TypeError, ValueError), says):
        stepper.load_state_dict(saved | {name: value})


@pytest.mark.parametrize("name", ["params/x", "phi/x", "cycle_step", "inner/updates"])
def test_a_missing_entry_and_one_too_many_are_named(name: str) -> None:
    stepper, saved = case()
    more = saved | {"anchor/velocity/x": saved["phi/x"]}
    del saved[name]
    with left_as_it_was(stepper, ValueError, f"must have an entry '{name}', got none"):
        stepper.load_state_dict(saved)
    with left_as_it_was(stepper, ValueError, "has an entry 'anchor/velocity/x', which"):
        stepper.load_state_dict(more)


def test_counts_may_be_arrays_of_no_dimensions() -> None:
    # As formats for arrays keep them.
    stepper, saved = case()
    as_arrays = {name: np.asarray(value) for name, value in saved.items()}
    stepper.load_state_dict(as_arrays)
    assert_same_bits(stepper.state_dict(), saved)


def test_a_foreign_state_is_refused() -> None:
    stepper = la.Stepper(la.Adam(), one(1.0))
    other: Any = la.Stepper(la.HeavyBall(0.1), one(1.0)).state_dict()
    with left_as_it_was(stepper, ValueError, "must have an entry 'slots/first_moment/x'"):
        stepper.load_state_dict(other)
    with left_as_it_was(stepper, TypeError, "must be a dict as state_dict returns, got No"):
        stepper.load_state_dict(None)  # type: ignore[arg-type]


def test_entries_may_be_views_of_the_stepper_itself() -> None:
    stepper = la.Stepper(la.SGD(0.1), {"a": np.array([1.0]), "b": np.array([2.0])})
    swapped = {"params/a": stepper.params["b"], "params/b": stepper.params["a"]}
    stepper.load_state_dict(stepper.state_dict() | swapped)
    assert (stepper.params["a"].item(), stepper.params["b"].item()) == (2.0, 1.0)


def test_a_cycle_of_a_longer_period_is_not_continued() -> None:
    longer, shorter = (la.Stepper(la.Lookahead(la.SGD(0.1), k=k), one(1.0)) for k in (5, 3))
    for _ in range(4):
        longer.step(one(1.0))
    shorter.load_state_dict(longer.state_dict())
    with left_as_it_was(shorter, ValueError, "cycle_step must be below k = 3, got 4"):
        shorter.step(one(1.0))
    assert_same_bits(shorter.state_dict(), longer.state_dict())
