"""Rates of convergence, against what is known of them and against runs."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from mpmath import mp

from lookahead_ref.theory.cycles import InnerStateKind, Kind, cycle, log_rate, step_matrix
from lookahead_ref.theory.rates import best_possible_rate, convergence_rate, tuned_rate
from moments import KINDS, STATES

CASES: list[tuple[Kind, InnerStateKind]] = [("sgd", "maintain"), *product(KINDS, STATES)]


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


@pytest.mark.parametrize(("kind", "inner_state"), CASES)
@pytest.mark.parametrize(
    ("kappa", "momentum", "k", "alpha"),
    [(1e5, 0.9, 5, 0.5), (1e4, 0.99, 20, 0.5), (30.0, 0.95, 50, 0.2), (1.5, 0.3, 3, 0.05)],
)
def test_a_tuned_rate_holds_on_20000_eigenvalues(
    kind: Kind,
    inner_state: InnerStateKind,
    kappa: float,
    momentum: float,
    k: int,
    alpha: float,
) -> None:
    mu = 0.0 if kind == "sgd" else momentum
    given: Any = {"k": k, "alpha": alpha, "inner_state": inner_state}
    found = tuned_rate(kind, kappa, mu, **given)
    assert found.rate < 1.0

    spread = (np.geomspace(1.0 / kappa, 1.0, 10_000), np.linspace(1.0 / kappa, 1.0, 10_000))
    seen = convergence_rate(kind, found.learning_rate, np.concatenate(spread), mu, **given)
    assert np.log(seen) == pytest.approx(np.log(found.rate), rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "steps", "learning_rate"),
    [
        (("heavy-ball", 1e5, 0.9, 5, 0.5, "maintain"), 17718.6, 2.59653),
        (("heavy-ball", 5.1e4, 0.9, 5, 0.5, "maintain"), 9029.47, 2.59610),
        (("heavy-ball", 1e5, 0.99, 20, 0.5, "maintain"), 3185.68, None),
        (("heavy-ball", 1e4, 0.99, 20, 0.5, "reset"), 6065.37, 0.768853),
        # At a learning rate above 5: the cycle is stable up to 2 / alpha.
        (("sgd", 9.0, 0.0, 1, 0.2, "maintain"), np.log(0.1) / np.log(0.8), 9.0),
    ],
)
def test_the_best_lies_between_the_tongues_of_instability(
    arguments: tuple[Any, ...], steps: float, learning_rate: float | None
) -> None:
    kind, kappa, mu, k, alpha, state = arguments
    found = tuned_rate(kind, kappa, mu, k=k, alpha=alpha, inner_state=state)
    assert np.log(0.1) / np.log(found.rate) == pytest.approx(steps, rel=1e-5)
    if learning_rate is not None:
        assert found.learning_rate == pytest.approx(learning_rate, rel=1e-5)


@pytest.mark.parametrize("kind", ["sgd", *KINDS])
def test_with_alpha_1_maintained_the_rate_is_the_inner_optimizer_s(kind: Kind) -> None:
    x = np.array([1e-9, 0.1, 0.5, 2 / 3, 1.2, 4 / 3, 1.45])
    mu = 0.0 if kind == "sgd" else 0.5
    alone = cycle(kind, x, mu).rate
    around = cycle(kind, x, mu, k=np.arange(1, 1001)[:, None]).rate
    np.testing.assert_allclose(around, np.broadcast_to(alone, around.shape), rtol=1e-9)
    # Nothing is left but what a power of a tenth, or of 1 - 1e-12, leaves.
    assert convergence_rate("sgd", 0.9, [1.0], k=5000) == pytest.approx(0.1, rel=1e-12)
    assert convergence_rate("sgd", 4 / 3, [1.0, 0.5], k=100) == pytest.approx(1 / 3)
    assert convergence_rate("nesterov", 0.1, [1.0], 0.5, k=200) == pytest.approx(0.75)
    assert convergence_rate("sgd", 3.0, [1.0], k=5000) == pytest.approx(2.0)


@pytest.mark.parametrize(("kind", "inner_state"), CASES)
def test_log_rates_are_right_to_ten_digits(kind: Kind, inner_state: InnerStateKind) -> None:
    mu = 0.0 if kind == "sgd" else 0.9
    with mp.workdps(60):
        for x, k, alpha in [
            (1e-14, 1, 0.5),
            (1e-6, 20, 0.1),
            (0.3, 7, 0.5),
            (1.3, 1000, 1.0),
            (1.9, 100, 0.8),
        ]:
            a, step = mp.mpf(alpha), mp.matrix(step_matrix(kind, x, mu))
            # Exactly, where the matrix in floats has lost x beside 1.
            step[0, 0] = 1 - mp.mpf(x) * (1 + mp.mpf(mu) if kind == "nesterov" else 1)
            if kind == "nesterov":
                step[0, 1] = -(mp.mpf(mu) ** 2)
            kept = {"maintain": mp.mpf(1), "reset": mp.mpf(0), "interpolate": a}
            whole = mp.diag([a, kept[inner_state]]) * step**k
            whole[0, 0] += 1 - a
            whole[1, 1] += 1 - a if inner_state == "interpolate" else 0
            half = (whole[0, 0] + whole[1, 1]) / 2
            root = mp.sqrt(half**2 - mp.det(whole))
            exact = mp.log(max(abs(half + root), abs(half - root))) / k
            found = log_rate(kind, x, mu, k=k, alpha=alpha, inner_state=inner_state)
            assert float(found) == pytest.approx(float(exact), rel=1e-10)


def test_the_slowest_eigenvalue_decides_and_a_diverging_one_shows() -> None:
    rates = convergence_rate("sgd", [0.5, 1.0, 2.5], [1.0, 0.125])
    assert rates.tolist() == [0.9375, 0.875, 1.5]


def test_lookahead_helps_where_momentum_is_too_high_for_the_problem() -> None:
    plain = tuned_rate("heavy-ball", 10.0, 0.9)
    for state in STATES:
        around = tuned_rate("heavy-ball", 10.0, 0.9, k=5, alpha=0.5, inner_state=state)
        assert around.rate < plain.rate - 0.01
