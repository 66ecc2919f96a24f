"""What all optimizers have in common: whose state they take, and in what order."""

from typing import Any

import numpy as np
import pytest

import lookahead_ref as la

X = {"x": np.array([8.0])}
GRADIENT = {"x": np.array([1.0])}

SGD, ADAM = la.SGD(1.0), la.Adam(1.0)


@pytest.mark.parametrize(
    ("optimizer", "other", "wanted"),
    [
        (SGD, la.Lookahead(SGD), "InnerState .* got LookaheadState"),
        (la.Lookahead(SGD), SGD, "LookaheadState .* got InnerState"),
        (la.PolyakAveraging(SGD), SGD, "PolyakState .* got InnerState"),
        (la.Lookahead(la.Lookahead(SGD)), la.Lookahead(SGD), "LookaheadState .* got Inner"),
    ],
)
def test_a_state_of_another_kind_is_refused(
    optimizer: Any, other: Any, wanted: str
) -> None:
    with pytest.raises(TypeError, match=f"state must be the {wanted}"):
        optimizer.step(X, GRADIENT, other.init(X))


@pytest.mark.parametrize("around", [lambda inner: inner, la.Lookahead])
def test_a_state_with_other_slots_is_refused(around: Any) -> None:
    with pytest.raises(
        ValueError, match=r"the slots first_moment, second_moment, got \(none\)"
    ):
        around(ADAM).step(X, GRADIENT, around(SGD).init(X))
    with pytest.raises(ValueError, match=r"the slots \(none\), got first_moment, second"):
        around(SGD).step(X, GRADIENT, around(ADAM).init(X))


def test_the_order_in_which_slots_are_stored_does_not_matter() -> None:
    params, state = ADAM.step(X, GRADIENT, ADAM.init(X))
    turned = state._replace(slots=dict(reversed(state.slots.items())))
    expected, _ = ADAM.step(params, GRADIENT, state)
    assert ADAM.step(params, GRADIENT, turned)[0] == expected


def test_a_cycle_that_is_over_already_is_refused() -> None:
    params, state = X, la.Lookahead(SGD, k=5).init(X)
    for _ in range(3):
        params, state = la.Lookahead(SGD, k=5).step(params, GRADIENT, state)
    with pytest.raises(ValueError, match=r"state.cycle_step must be below k = 3, got 3"):
        la.Lookahead(SGD, k=3).step(params, GRADIENT, state)
