"""AdaGrad, against a loop in 50-digit decimal arithmetic."""

from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lookahead_ref as la
from support import one, run

finite = st.floats(-100.0, 100.0).map(lambda number: round(number, 3))


def by_hand(
    start: float,
    gradients: list[float],
    rate: float,
    epsilon: float,
    decay: float,
    kind: str,
) -> float:
    with localcontext(prec=50):
        theta, s = Decimal(start), Decimal(0)
        for given_gradient in gradients:
            g = Decimal(given_gradient)
            if kind == "l2":
                g += Decimal(decay) * theta
            s += g * g
            update = g / (s.sqrt() + Decimal(epsilon))
            if kind == "decoupled":
                update += Decimal(decay) * theta
            theta -= Decimal(rate) * update
        return float(theta)


@pytest.mark.parametrize(("decay", "kind"), [(0.0, "l2"), (0.1, "l2"), (0.1, "decoupled")])
@given(start=finite, gradients=st.lists(finite, min_size=1, max_size=12))
def test_adagrad_is_the_loop_written_by_hand(
    decay: float, kind: Any, start: float, gradients: list[float]
) -> None:
    optimizer = la.AdaGrad(0.3, epsilon=1e-3, weight_decay=decay, weight_decay_kind=kind)
    params, state = run(optimizer, one(start), [one(g) for g in gradients])
    expected = by_hand(start, gradients, 0.3, 1e-3, decay, kind)
    # A step rounds some ten times, each by 2**-53 of values of at most 100; with L2 the
    # rounding of theta enters the gradient, divided by epsilon where all of the gradient is
    # cancelled.
    tolerance = 12 * 10 * 2.0**-53 * 100
    assert abs(params["x"].item() - expected) <= tolerance * (30.0 if kind == "l2" else 1.0)
    assert state.updates == len(gradients)


def test_the_sum_of_squares_starts_at_zero_and_forgets_nothing() -> None:
    _, state = run(la.AdaGrad(0.1), one(1.0, 1.0), [one(3.0, 0.0), one(4.0, -2.0)])
    assert state.slots["sum_of_squares"]["x"].tolist() == [25.0, 4.0]


def test_the_first_step_has_the_length_of_the_learning_rate() -> None:
    params, _ = run(la.AdaGrad(0.5), one(0.0, 0.0), [one(1e-3, -1e3)])
    # epsilon is 1e-10: it shortens the step of the smaller gradient by 1e-7 of it.
    np.testing.assert_allclose(params["x"], [-0.5, 0.5], rtol=1.1e-7)


def test_epsilon_stands_outside_of_the_root() -> None:
    params, _ = run(la.AdaGrad(1.0, epsilon=2.0), one(0.0), [one(2.0)])
    assert params["x"].item() == -0.5


def test_a_weight_that_never_had_a_gradient_stays() -> None:
    params, _ = run(la.AdaGrad(1.0), one(3.0), [one(0.0)] * 3)
    assert params["x"].item() == 3.0
