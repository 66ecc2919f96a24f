"""Adam, against Algorithm 1 of its paper in 50-digit decimal arithmetic."""

from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lookahead_ref as la
from support import one, run

finite = st.floats(-100.0, 100.0).map(lambda number: round(number, 3))
RATE, BETA1, BETA2, EPSILON, DECAY = 0.1, 0.8, 0.95, 1e-2, 0.1


def by_hand(start: float, gradients: list[float], kind: str) -> dict[str, float]:
    with localcontext(prec=50):
        theta, m, v = Decimal(start), Decimal(0), Decimal(0)
        beta1, beta2 = Decimal(BETA1), Decimal(BETA2)
        for t, given_gradient in enumerate(gradients, start=1):
            g = Decimal(given_gradient)
            if kind == "l2":
                g += Decimal(DECAY) * theta
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
            update = m_hat / (v_hat.sqrt() + Decimal(EPSILON))
            if kind == "decoupled":
                update += Decimal(DECAY) * theta
            theta -= Decimal(RATE) * update
        return {"theta": float(theta), "m": float(m), "v": float(v)}


@pytest.mark.parametrize("kind", ["none", "l2", "decoupled"])
@given(start=finite, gradients=st.lists(finite, min_size=1, max_size=12))
def test_adam_is_the_loop_written_by_hand(
    kind: str, start: float, gradients: list[float]
) -> None:
    optimizer = la.Adam(
        RATE,
        beta1=BETA1,
        beta2=BETA2,
        epsilon=EPSILON,
        weight_decay=0.0 if kind == "none" else DECAY,
        weight_decay_kind="decoupled" if kind == "decoupled" else "l2",
    )
    params, state = run(optimizer, one(start), [one(g) for g in gradients])
    expected = by_hand(start, gradients, kind)
    # A step rounds some twenty times, each by 2**-53 of values of at most 100; an error in
    # m is divided by no less than epsilon and multiplied by the learning rate: ten times as
    # large.
    tolerance = 12 * 20 * 2.0**-53 * 100 * 10
    assert abs(params["x"].item() - expected["theta"]) <= tolerance
    assert abs(state.slots["first_moment"]["x"].item() - expected["m"]) <= tolerance
    second = state.slots["second_moment"]["x"].item()
    assert second == pytest.approx(expected["v"], rel=1e-12, abs=tolerance)


def test_the_first_step_has_the_length_of_the_learning_rate() -> None:
    params, _ = run(la.Adam(0.5), one(0.0, 0.0), [one(1e-2, -1e3)])
    # Without bias correction it would be 3.16 times as long; epsilon takes 1e-6 of the
    # smaller.
    np.testing.assert_allclose(params["x"], [-0.5, 0.5], rtol=1.1e-6)


def test_epsilon_stands_outside_of_the_root() -> None:
    params, _ = run(la.Adam(1.0, beta1=0.5, beta2=0.5, epsilon=2.0), one(0.0), [one(2.0)])
    assert params["x"].item() == -0.5


def test_the_second_gradient_is_corrected_by_the_second_power() -> None:
    optimizer = la.Adam(1.0, beta1=0.5, beta2=0.75, epsilon=0.0)
    params, state = run(optimizer, one(0.0), [one(1.0), one(0.0)])
    # m = 0.25 over 1 - 1/4; v = 3/16 over 1 - 9/16.
    assert state.slots["first_moment"]["x"].item() == 0.25
    assert state.slots["second_moment"]["x"].item() == 0.1875
    first, second = -1.0, -(0.25 / 0.75) / np.sqrt(0.1875 / 0.4375)
    np.testing.assert_allclose(params["x"], [first + second], rtol=4e-16)


def test_the_defaults_are_those_of_the_paper() -> None:
    adam = la.Adam()
    assert (adam.learning_rate, adam.beta1, adam.beta2) == (1e-3, 0.9, 0.999)
    assert (adam.epsilon, adam.weight_decay) == (1e-8, 0.0)


def test_decoupled_decay_shrinks_a_weight_without_gradients_by_the_rate() -> None:
    optimizer = la.Adam(0.5, weight_decay=0.25, weight_decay_kind="decoupled")
    params, _ = run(optimizer, one(8.0), [one(0.0)])
    assert params["x"].item() == 7.0


def test_decay_in_the_gradient_is_normalized_away() -> None:
    params: Any = one(8.0)
    params, _ = run(la.Adam(0.5, epsilon=0.0, weight_decay=0.25), params, [one(0.0)])
    np.testing.assert_allclose(params["x"], [7.5], rtol=4e-16)
