"""Rates of convergence, against what is known of them and against runs."""

from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref.theory.rates import best_possible_rate, convergence_rate, tuned_rate


@pytest.mark.parametrize("kappa", [1.0, 10.0, 1e4])
def test_tuned_sgd_has_its_textbook_rate(kappa: float) -> None:
    found = tuned_rate("sgd", kappa)
    assert found.rate == pytest.approx((kappa - 1.0) / (kappa + 1.0), abs=1e-3 / kappa)
    assert found.learning_rate == pytest.approx(2.0 * kappa / (kappa + 1.0), rel=1e-3)


def test_heavy_ball_with_the_best_momentum_reaches_the_best_possible_rate() -> None:
    kappa = 25.0
    best = float(best_possible_rate(kappa))
    assert best == 4.0 / 6.0
    found = tuned_rate("heavy-ball", kappa, best**2)
    # The roots meet at both ends, where a rounding becomes its square root.
    assert found.rate == pytest.approx(best, abs=1e-3)


def test_the_rate_is_what_a_run_shows() -> None:
    curvature = np.array([1.0, 0.2, 0.03])
    for inner_state in ("maintain", "reset", "interpolate"):
        optimizer = la.Lookahead(
            la.HeavyBall(0.8, 0.9), k=5, alpha=0.5, inner_state=inner_state
        )
        params: Any = {"x": np.ones(3)}
        state = optimizer.init(params)
        sizes = []
        for _ in range(400):
            for _ in range(5):
                params, state = optimizer.step(
                    params, {"x": curvature * params["x"]}, state
                )
            sizes.append(np.abs(params["x"]).max())
        # Complex eigenvalues make it swing: peak against peak.
        seen = (max(sizes[140:200]) / max(sizes[40:100])) ** (1 / 500)
        rate = convergence_rate(
            "heavy-ball", 0.8, curvature, 0.9, k=5, alpha=0.5, inner_state=inner_state
        )
        assert seen == pytest.approx(float(rate), abs=2e-3)


def test_the_slowest_eigenvalue_decides_and_a_diverging_one_shows() -> None:
    rates = convergence_rate("sgd", [0.5, 1.0, 2.5], [1.0, 0.125])
    assert rates.tolist() == [0.9375, 0.875, 1.5]


def test_lookahead_helps_where_momentum_is_too_high_for_the_problem() -> None:
    plain = tuned_rate("heavy-ball", 10.0, 0.9)
    for inner_state in ("maintain", "reset", "interpolate"):
        around = tuned_rate(
            "heavy-ball", 10.0, 0.9, k=5, alpha=0.5, inner_state=inner_state
        )
        assert around.rate < plain.rate - 0.01
