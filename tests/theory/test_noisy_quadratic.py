"""Lemma 1 and Proposition 2, against rational arithmetic and the library's optimizers."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lookahead_ref as la
from lookahead_ref.theory import noisy_quadratic as nq
from lookahead_ref.theory.cycles import cycle
from moments import assert_agree, exact_moments, simulate

CURVATURE = np.array([0.01, 0.3, 1.0, 1.9])
NOISE = np.array([2.0, 1.0, 0.5, 3.0])
START = np.array([5.0, -2.0, 1.0, 0.0])

X = st.fractions(Fraction(1, 100), Fraction(5, 2), max_denominator=100)
ALPHA = st.fractions(Fraction(1, 20), 1, max_denominator=20)


def agree(found: Any, exact: Any, rel: float = 1e-9) -> bool:
    return bool(float(found) == pytest.approx(float(exact), rel=rel, abs=1e-12))


@settings(max_examples=25)
@given(X, ALPHA, st.integers(1, 6), st.integers(0, 4), st.integers(0, 5))
def test_the_recursions_are_those_of_rational_arithmetic(
    x: Fraction, alpha: Fraction, k: int, cycles: int, start: int
) -> None:
    def exact(k: int, alpha: Fraction, cycles: int) -> tuple[Fraction, Fraction]:
        given = x, Fraction(0), Fraction(3), k, alpha, "maintain", cycles
        mean, spread = exact_moments("sgd", *given, Fraction(start), Fraction(start))
        return mean[0], spread[0][0]

    a, step, steps = float(x), float(alpha), k * cycles
    mean, variance = exact(k, alpha, cycles)
    assert agree(nq.lookahead_mean(start, 1.0, a, k, step, cycles), mean)
    assert agree(nq.lookahead_variance(start, 1.0, a, 3.0, k, step, cycles), variance)
    mean, variance = exact(1, Fraction(1), steps)
    assert agree(nq.sgd_mean(start, 1.0, a, steps), mean)
    assert agree(nq.sgd_variance(start, 1.0, a, 3.0, steps), variance)


def exact_limit(x: Fraction, alpha: Fraction, k: int) -> Fraction:
    """Return the fixed point (0.9) for noise of variance 1; (0.8) with alpha = k = 1."""
    factor = 1 - alpha + alpha * (1 - x) ** k
    added = alpha**2 * x**2 * sum((1 - x) ** (2 * i) for i in range(k))
    return added / (1 - factor**2)


@settings(max_examples=40)
@given(X, ALPHA, st.integers(1, 9))
def test_the_limits_are_fixed_points(x: Fraction, alpha: Fraction, k: int) -> None:
    a, step = float(x), float(alpha)
    if abs(1 - alpha + alpha * (1 - x) ** k) >= 1:
        with pytest.raises(ValueError, match="learning_rate must be in the stable region"):
            nq.lookahead_variance_limit(a, 1.0, 1.0, k, step)
        return
    around = exact_limit(x, alpha, k)
    assert agree(nq.lookahead_variance_limit(a, 1.0, 1.0, k, step), around)
    if x < 2:
        of_sgd = exact_limit(x, Fraction(1), 1)
        assert agree(nq.sgd_variance_limit(a, 1.0, 1.0), of_sgd, rel=1e-12)
        assert agree(nq.variance_ratio(a, 1.0, k, step), around / of_sgd)


@settings(max_examples=50)
@given(st.floats(1e-12, 1.999), st.floats(0.01, 1.0, exclude_max=True), st.integers(1, 50))
def test_lookahead_has_less_variance_than_sgd_and_with_alpha_1_the_same(
    x: float, alpha: float, k: int
) -> None:
    of_sgd = float(nq.sgd_variance_limit(x, 1.0, 2.0))
    # In floats both agree if q rounds to -1 near x = 2, or alpha to 1.
    ratio = float(nq.variance_ratio(x, 1.0, k, alpha))
    assert 0.0 < ratio <= 1.0
    if alpha < 0.999:
        assert ratio < 1.0
        assert nq.lookahead_variance_limit(x, 1.0, 2.0, k, alpha) < of_sgd
    assert nq.variance_ratio(x, 1.0, k, 1.0) == pytest.approx(1.0, rel=1e-12)
    same = nq.lookahead_variance_limit(x, 1.0, 2.0, k, 1.0)
    assert same == pytest.approx(of_sgd, rel=1e-12)


def test_tiny_gamma_a_loses_no_accuracy() -> None:
    tiny = Fraction(1, 2**70)
    contraction = (1 - (1 - tiny) ** 5) / 2
    assert nq.cycle_contraction(float(tiny), 1.0, 5, 0.5) == float(contraction)
    exact = exact_limit(tiny, Fraction(1, 2), 5)
    found = nq.lookahead_variance_limit(float(tiny), 1.0, 1.0, 5, 0.5)
    assert found == pytest.approx(float(exact), rel=1e-15)
    assert nq.is_stable(float(tiny), 1.0, 5, 0.5)
    # If the square of gamma a is beyond the range of numbers: alpha times SGD's.
    found = nq.lookahead_variance_limit(1e-200, 1.0, 1.0, 5, 0.5)
    assert found == pytest.approx(0.5 * 0.5e-200, rel=1e-14)
    assert nq.is_stable(1e-200, 1.0, 5, 1e-200)
    # 2^60 steps of 2^-60 each: e^-1, where (1 - gamma a)^steps in floats is 1.
    assert nq.sgd_mean(1.0, 2.0**-60, 1.0, 2**60) == pytest.approx(np.exp(-1.0), rel=1e-15)


def test_counts_near_the_end_of_the_integers_are_counted_right() -> None:
    # Twice 2^62 is beyond int64. Each step adds 1e-40 while nothing is forgotten yet.
    steps = 2**62
    kept = -np.expm1(-2e-20 * steps) / 2e-20
    assert nq.sgd_variance(0.0, 1e-20, 1.0, 1.0, steps) == pytest.approx(1e-40 * kept)
    assert nq.lookahead_variance_limit(1e-20, 1.0, 1.0, 2**63 - 1, 0.5) > 0.0
    # For long inner loops only alpha matters: alpha / (2 - alpha) times SGD's.
    found = nq.lookahead_variance_limit(1e-3, 1.0, 1.0, 2**62, 0.5)
    of_sgd = float(nq.sgd_variance_limit(1e-3, 1.0, 1.0))
    assert found == pytest.approx(of_sgd / 3.0, rel=1e-12)


def test_near_the_border_of_sgd_no_accuracy_is_lost() -> None:
    x = Fraction(2) - Fraction(1, 2**50)
    exact, of_sgd = exact_limit(x, Fraction(1, 2), 5), exact_limit(x, Fraction(1), 1)
    found = nq.lookahead_variance_limit(float(x), 1.0, 1.0, 5, 0.5)
    assert agree(found, exact, rel=1e-14)
    assert agree(nq.variance_ratio(float(x), 1.0, 5, 0.5), exact / of_sgd, rel=1e-14)
    # There, too, where Lookahead with alpha = 1 has the border of SGD.
    for k in (1, 5):
        for near in (2.0 - 2.0**-50, 2.0 - 2.0**-30):
            around = nq.lookahead_variance_limit(near, 1.0, 1.0, k, 1.0)
            assert agree(around, nq.sgd_variance_limit(near, 1.0, 1.0), rel=1e-14)


@pytest.mark.parametrize("k", [2, 5])
def test_sgd_and_lookahead_of_this_library_follow_lemma_1(k: int) -> None:
    rate = 0.8

    def lemma_1(alpha: float) -> tuple[Any, Any]:
        around = k, alpha, 4  # cycles
        return nq.lookahead_mean(START, rate, CURVATURE, *around), nq.lookahead_variance(
            0.0, rate, CURVATURE, NOISE, *around
        )

    found = simulate(la.SGD(rate), CURVATURE, NOISE, START, 7, seed=1)
    mean = nq.sgd_mean(START, rate, CURVATURE, 7)
    assert_agree(found, mean, nq.sgd_variance(0.0, rate, CURVATURE, NOISE, 7))
    # One step more than the last synchronization, which phi does not see.
    optimizer = la.Lookahead(la.SGD(rate), k=k, alpha=0.4)
    found = simulate(optimizer, CURVATURE, NOISE, START, 4 * k + 1, seed=2)
    assert_agree(found, *lemma_1(0.4))
    with pytest.raises(AssertionError):  # a wrong alpha shows
        assert_agree(found, *lemma_1(0.42))


def test_lookahead_converges_where_sgd_diverges() -> None:
    rate, a, noise = 2.2, np.array([1.0]), np.array([1.0])
    assert not nq.is_stable(rate, a).any()
    assert nq.is_stable(rate, a, 5, 0.5).all()
    with pytest.raises(ValueError, match="learning_rate must be in the stable region, 0 <"):
        nq.sgd_variance_limit(rate, a, noise)
    assert nq.sgd_variance(1.0, rate, a, noise, 500).item() > 1e70

    around = la.Lookahead(la.SGD(rate), k=5, alpha=0.5)
    found = simulate(around, a, noise, np.array([1.0]), 5 * 80, seed=5, replicas=5000)
    limit = nq.lookahead_variance_limit(rate, a, noise, 5, 0.5)
    assert_agree(found, np.zeros(1), limit)
    # (0.9) as printed gives the same, though (0.8), a factor of it, is negative here.
    x, q = rate * a, (1.0 - rate * a) ** 5
    sgd = x**2 * noise / (1.0 - (1.0 - x) ** 2)
    assert sgd < 0.0
    top = 0.25 * (1.0 - q**2)
    np.testing.assert_allclose(limit, top / (top + 0.5 * (1.0 - q)) * sgd, rtol=1e-12)


def test_the_expected_loss_is_the_mean_of_sampled_losses() -> None:
    generator = np.random.default_rng(7)
    spread = np.array([0.5, 1.0, 0.0, 2.0])
    x = START + generator.standard_normal((40_000, 4)) * np.sqrt(spread)
    centre = nq.sample_centre(generator, NOISE, (40_000,))
    losses = nq.sampled_loss(x, centre, CURVATURE)
    expected = float(nq.expected_loss(START, spread, CURVATURE, NOISE))
    error = losses.std(ddof=1) / np.sqrt(len(losses))
    assert abs(losses.mean() - expected) < 5.0 * error


def test_a_point_and_a_centre_have_the_loss_and_gradient_of_0_6() -> None:
    given_point = [3.0, 0.0], [1.0, 1.0], [2.0, 4.0]
    assert nq.sampled_loss(*given_point) == 6.0
    assert nq.sampled_gradient(*given_point).tolist() == [4, -4]


def test_everything_broadcasts_over_grids() -> None:
    alpha = np.linspace(0.1, 1.0, 4)[:, None, None]
    k = np.array([1, 5])[:, None]
    grid = nq.lookahead_variance_limit(0.5, CURVATURE, NOISE, k, alpha)
    assert grid.shape == (4, 2, 4)
    one = nq.lookahead_variance_limit(0.5, CURVATURE[2], NOISE[2], 5, float(alpha[1, 0, 0]))
    assert grid[1, 1, 2] == one


def test_zero_stays_zero_if_the_factor_exceeds_the_range_of_numbers() -> None:
    assert nq.sgd_mean([0.0, 1.0], 3.0, [1.0, 0.1], 2000).tolist() == [0.0, 0.7**2000]
    assert nq.sgd_variance(0.0, 3.0, 1.0, 0.0, 2000) == 0.0
    found = nq.sgd_variance([0.0, 1.0], 3.0, [1.0, 0.5], [0.0, 1.0], 2000)
    assert found == pytest.approx([0.0, 3.0])
    assert nq.cycle_noise([3.0, 1.0], 1.0, [0.0, 2.0], 5000).tolist() == [0, 2]
    assert nq.lookahead_variance(2.0, 1e200, 1.0, 1.0, 3, 0.5, cycles=0) == 2.0
    assert nq.expected_loss([1e200, 2.0], 0.0, [0.0, 1.0], 0.0) == 2.0
    assert nq.sampled_loss([1e200, 2.0], 0.0, [0.0, 1.0]) == 2.0
    one = cycle("heavy-ball", [3.9, 0.5], 0.9, noise=[0.0, 1.0])
    mean = one.mean([[0.0, 0.0], [1.0, 0.0]], 100_000)
    np.testing.assert_allclose(mean, 0.0, atol=1e-300)
    spread = one.covariance(np.zeros((2, 2, 2)), 100_000)
    assert cycle("sgd", 1.0).mean([2.0, 1.0], 0).tolist() == [2.0, 1.0]  # of radius 0
    assert np.array_equal(spread[0], np.zeros((2, 2)))
    limit = cycle("heavy-ball", 0.5, 0.9).covariance_limit()
    np.testing.assert_allclose(spread[1], limit, rtol=1e-9)


def test_a_tiny_factor_keeps_its_digits() -> None:
    found = (
        nq.cycle_factor(0.5, 1.0, k=100),
        nq.lookahead_mean(1.0, 1.5, 1.0, 101, 1.0, cycles=3),
        nq.lookahead_variance(1.0, 0.5, 1.0, 0.0, 100, 1.0),
    )
    assert found == pytest.approx((2.0**-100, -(2.0**-303), 2.0**-200), rel=1e-12, abs=0.0)


def test_a_diverging_recursion_is_accurate_until_it_overflows() -> None:
    assert nq.sgd_mean(1.0, 3.0, 1.0, 3) == pytest.approx(-8.0, rel=1e-14)
    # At the border the variance grows by the noise of each step.
    assert nq.sgd_variance(0.0, 2.0, 1.0, 1.0, 10) == 40.0
