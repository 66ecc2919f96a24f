"""How long it takes, and what is best: against a search that tries everything."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookahead_ref.theory.planning import (
    Problem,
    best_hyperparameters,
    loss_after,
    steps_to_reach,
)

PROBLEM = Problem([1.0, 0.3, 0.01], noise=[1.0, 0.5, 2.0], mean=[3.0, -5.0, 10.0])


def test_the_slow_weights_rest_between_synchronizations() -> None:
    losses = loss_after(PROBLEM, np.arange(12), 0.5, k=5, alpha=0.5)
    assert losses[0] == losses[4] > losses[5] == losses[9] > losses[10] == losses[11]


moments = st.tuples(st.floats(-5, 5), st.floats(0, 5))
rates, alphas = st.floats(0.05, 1.9), st.floats(0.1, 1.0)


@settings(max_examples=50)
@given(st.tuples(*[moments] * 3), rates, st.integers(1, 4), alphas, st.floats(0, 1))
def test_the_first_time_is_that_of_a_step_by_step_search(
    start: tuple[Any, ...], rate: float, k: int, alpha: float, share: float
) -> None:
    mean, variance = zip(*start, strict=True)
    problem = Problem([1.0, 0.3, 0.1], [1.0, 0.5, 2.0], mean, variance)
    times = np.arange(0, 40 * k, k)
    losses = loss_after(problem, times, rate, k, alpha)
    target = float(losses.min() + share * (losses.max() - losses.min()))
    # Values that are equal up to rounding may be a cycle apart.
    if np.any((losses != target) & (np.abs(losses - target) < 1e-9)):
        return
    target += 1e-9
    first = times[np.argmax(losses <= target)]
    assert steps_to_reach(problem, target, rate, k, alpha) == first


def test_a_loss_that_dips_below_its_limit_is_found_in_the_dip() -> None:
    # A coordinate that falls fast, and one that slowly takes up noise: down, then up again.
    problem = Problem([1.0, 0.01], noise=[0.0, 50.0], mean=[10.0, 0.0])
    losses = loss_after(problem, np.arange(4000), 0.9)
    low = int(np.argmin(losses))
    assert 0 < low < 100
    assert losses[-1] > losses[low]
    assert steps_to_reach(problem, float(losses[low]) + 1e-12, 0.9) == low
    with pytest.raises(ValueError, match="loss must be reachable"):
        steps_to_reach(problem, float(losses[low]) - 1e-6, 0.9)


def test_very_long_runs_are_counted() -> None:
    problem = Problem([1.0], noise=0.0, mean=1.0)
    # 1/2 (1 - 1e-12)^(2 t) = 1/2 e^-2 at t = 1e12.
    for rate in (1e-12, 1e-18):
        steps = steps_to_reach(problem, 0.5 * np.exp(-2.0), rate)
        assert steps == pytest.approx(1.0 / rate, rel=1e-9)
    with pytest.raises(ValueError, match=r"but not within 2\^62 synchronizations"):
        steps_to_reach(problem, 0.5 * np.exp(-2.0), 1e-20)


def test_a_cycle_that_leaves_almost_nothing_is_counted_too() -> None:
    # 2^-200 is left of the loss after a cycle of 100 steps, 2^-400 after two.
    assert steps_to_reach(Problem([1.0], 0.0, 1.0), 1e-70, 0.5, k=100) == 200


@pytest.mark.parametrize(("steps", "k"), [(5, 1), (40, 1), (40, 5), (400, 10)])
def test_no_point_of_another_grid_is_better_than_the_best(steps: int, k: int) -> None:
    best = best_hyperparameters(PROBLEM, steps, k)
    assert best.loss == loss_after(PROBLEM, steps, best.learning_rate, k, best.alpha)
    rates = np.geomspace(1e-3, 1.99, 150)[:, None]
    alphas = np.linspace(0.05, 1.0, 60) if k > 1 else 1.0
    assert best.loss <= loss_after(PROBLEM, steps, rates, k, alphas).min() * (1.0 + 1e-9)


def test_without_limits_the_search_leaves_its_first_grid() -> None:
    curvature = 1.0 / np.arange(1, 101)
    long = Problem(curvature, noise=1.0 / curvature, mean=10.0)  # its noise alone costs 50
    sgd = best_hyperparameters(long, 10**8)
    assert sgd.learning_rate == pytest.approx(7.748e-6, rel=1e-3)
    assert sgd.loss - 50.0 == pytest.approx(1.0662e-5, rel=1e-4)
    around = best_hyperparameters(long, 10**6, 5, points=16)
    assert around.alpha == pytest.approx(9.46e-4, rel=1e-2)
    assert around.loss - 50.0 == pytest.approx(6.8191e-4, rel=1e-4)
    # Upwards: one step along the flat coordinate alone.
    flat = Problem([1.0, 1e-3], noise=0.0, mean=[0.0, 1.0])
    assert best_hyperparameters(flat, 1).learning_rate == pytest.approx(1000.0, rel=1e-3)
    # A limit is kept; and where nothing is to be gained, nothing moves.
    bounded = best_hyperparameters(long, 10**6, 5, alphas=(0.01, 1.0), points=12)
    assert bounded.alpha == pytest.approx(0.01, rel=1e-12)
    still = best_hyperparameters(Problem([1.0], noise=1.0, mean=0.0), 1000)
    assert still.learning_rate < 1e-6
    assert still.loss == pytest.approx(0.5, rel=1e-12)


def test_one_step_without_noise_is_newtons() -> None:
    best = best_hyperparameters(Problem([4.0], 0.0, 1.0), 1)
    assert best.learning_rate == pytest.approx(0.25, rel=1e-4)
    assert best.loss == pytest.approx(0.0, abs=1e-7)


def test_a_short_run_may_use_a_rate_that_diverges_in_the_long_run() -> None:
    # All the error is where it is flat: a large step serves it, two steps do no harm
    # elsewhere.
    problem = Problem([1.0, 0.2], noise=0.0, mean=[1e-3, 1.0])
    assert best_hyperparameters(problem, 2).learning_rate > 2.0


def test_a_start_far_away_leaves_the_search_its_stable_rates() -> None:
    # A diverging run of 100 steps would overflow from here, one from 1 would not.
    best = best_hyperparameters(Problem([1.0], noise=1.0, mean=1e120), 100)
    assert best.learning_rate == pytest.approx(1.0, abs=0.1)
