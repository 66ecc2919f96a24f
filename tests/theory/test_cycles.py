"""Momentum inside Lookahead: exact moments, stability, and what was proved of it."""

from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lookahead_ref as la
from lookahead_ref.theory import noisy_quadratic
from lookahead_ref.theory.cycles import Cycle, InnerStateKind, Kind, cycle, step_matrix
from moments import KINDS, STATES, assert_agree, exact_moments, growth, simulate

kinds, states = st.sampled_from(KINDS), st.sampled_from(STATES)
X = st.fractions(Fraction(1, 50), 3, max_denominator=50)
MU = st.fractions(0, Fraction(19, 20), max_denominator=20)
ALPHA = st.fractions(Fraction(1, 10), 1, max_denominator=10)


def some(largest: float, momentum: float) -> st.SearchStrategy[Cycle]:
    """Cycles of both kinds and all inner states, up to this gamma a and momentum."""
    options: Any = {"alpha": st.floats(0.05, 1.0), "inner_state": states}
    x, mu = st.floats(1e-3, largest), st.floats(0.0, momentum)
    return st.builds(cycle, kinds, x, mu, k=st.integers(1, 12), **options)


close = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)


@settings(max_examples=30)
@given(kinds, states, X, MU, ALPHA, st.integers(1, 4), st.integers(0, 3))
def test_mean_and_covariance_are_those_of_rational_arithmetic(
    kind: Kind, state: Any, x: Fraction, mu: Fraction, alpha: Fraction, k: int, cycles: int
) -> None:
    mean, spread = exact_moments(
        kind, x, mu, Fraction(2), k, alpha, state, cycles, Fraction(3), Fraction(1)
    )
    options: Any = {"k": k, "alpha": float(alpha), "inner_state": state}
    found = cycle(kind, float(x), float(mu), noise=2.0, **options)
    start = np.array([[1.0, 0.0], [0.0, 0.0]])
    # phi and the velocity after the synchronization, elements 0 and 1 of the exact state
    for got, exact in (
        (found.mean([3.0, 0.0], cycles), mean[:2]),
        (found.covariance(start, cycles), [row[:2] for row in spread[:2]]),
    ):
        np.testing.assert_allclose(got, np.array(exact, float), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inner_state", STATES)
def test_the_optimizers_of_this_library_follow_the_theory(
    kind: Kind, inner_state: InnerStateKind
) -> None:
    a, noise = np.array([0.05, 0.5, 1.0]), np.array([1.0, 0.2, 2.0])
    start, rate, mu, cycles = np.array([3.0, -1.0, 0.5]), 0.3, 0.7, 4
    options: Any = {"k": 3, "alpha": 0.6, "inner_state": inner_state}
    inner = la.HeavyBall(rate, mu) if kind == "heavy-ball" else la.Nesterov(rate, mu)
    optimizer = la.Lookahead(inner, **options)
    found = simulate(optimizer, a, noise, start, 3 * cycles, seed=11)
    one = cycle(kind, rate * a, mu, noise=noise, **options)
    mean = one.mean(np.stack([start, np.zeros(3)], axis=-1), cycles)
    spread = one.covariance(np.zeros((3, 2, 2)), cycles)
    assert_agree(found, mean[:, 0], spread[:, 0, 0])


@settings(max_examples=50)
@given(some(1.3, 0.95))
def test_a_cycle_does_not_change_the_limit(one: Cycle) -> None:
    if one.spectral_radius > 0.999:
        return
    limit = one.covariance_limit()
    close(one.covariance(limit), limit)


def test_without_momentum_it_is_lemma_1() -> None:
    x, k, alpha = np.array([1e-9, 0.1, 1.0, 1.9]), 5, 0.5
    known = noisy_quadratic.lookahead_variance_limit(x, 1.0, 2.0, k, alpha)
    for kind, inner_state in product(("sgd", *KINDS), STATES):
        one = cycle(kind, x, k=k, alpha=alpha, inner_state=inner_state, noise=2.0)
        np.testing.assert_allclose(one.covariance_limit()[:, 0, 0], known, rtol=1e-9)


def test_the_known_variance_of_heavy_ball_is_met() -> None:
    # Without Lookahead: x sigma^2 (1 + mu) / ((1 - mu) (2 (1 + mu) - x)).
    x, mu = np.array([1e-14, 0.01, 1.0, 3.0]), 0.9
    known = x * (1.0 + mu) / ((1.0 - mu) * (2.0 * (1.0 + mu) - x))
    limit = cycle("heavy-ball", x, mu).covariance_limit()[:, 0, 0]
    np.testing.assert_allclose(limit, known, rtol=1e-10)


def test_tiny_gamma_a_is_stable_though_its_spectral_radius_rounds_to_1() -> None:
    for inner_state in STATES:
        one = cycle("heavy-ball", 1e-19, 0.9, k=5, alpha=0.5, inner_state=inner_state)
        assert one.spectral_radius == 1.0
        assert one.stable
        assert one.covariance_limit()[0, 0] > 0.0
    assert not cycle("heavy-ball", 0.0, 0.9, k=5).stable
    assert cycle("heavy-ball", 1e-300, 0.0, k=1, alpha=1.0).stable


def test_a_million_million_cycles_end_at_the_limit_and_take_no_longer() -> None:
    one = cycle("nesterov", [0.5, 1e-9], 0.5, k=[5, 3], alpha=0.8)
    np.testing.assert_allclose(one.mean([1.0, 0.0], 10**12), 0.0, atol=1e-300)
    reached = one.covariance(np.zeros((2, 2)), 10**12)
    np.testing.assert_allclose(reached, one.covariance_limit(), rtol=1e-9)


@settings(max_examples=30)
@given(some(1.0, 0.9), st.integers(0, 30), st.integers(0, 30))
def test_some_cycles_and_then_more_are_all(one: Cycle, first: int, then: int) -> None:
    start = np.array([1.0, -0.5])
    spread = np.outer(start, start)
    close(one.mean(one.mean(start, first), then), one.mean(start, first + then))
    close(
        one.covariance(one.covariance(spread, first), then),
        one.covariance(spread, first + then),
    )


@settings(max_examples=60)
@given(some(4.0, 0.99))
def test_radius_and_stability_are_those_of_the_eigenvalues(one: Cycle) -> None:
    radius = np.abs(np.linalg.eigvals(one.matrix)).max()
    # Next to a double eigenvalue only half of the digits are known.
    assert one.spectral_radius == pytest.approx(radius, rel=1e-6, abs=1e-6)
    if abs(radius - 1.0) > 1e-6:
        assert one.stable == (radius < 1.0)
    assert one.rate == pytest.approx(float(one.spectral_radius) ** (1.0 / one.k))


@settings(max_examples=100)
@given(
    kinds, st.floats(1e-6, 4), st.floats(0, 0.999), st.integers(1, 30), st.floats(0.01, 1)
)
def test_interpolating_never_makes_a_stable_optimizer_unstable(
    kind: Kind, x: float, mu: float, k: int, alpha: float
) -> None:
    inner = float(cycle(kind, x, mu).spectral_radius)
    around = cycle(kind, x, mu, k=k, alpha=alpha, inner_state="interpolate")
    if inner < 1.0 - 1e-9:
        assert around.stable
        # The bound of the proof.
        assert around.spectral_radius <= 1.0 - alpha + alpha * inner**k + 1e-9


def test_the_eigenvalues_of_interpolation_are_those_of_the_proof() -> None:
    for kind in KINDS:
        inner = np.linalg.eigvals(step_matrix(kind, 1.3, 0.8))
        around = cycle(kind, 1.3, 0.8, k=4, alpha=0.3, inner_state="interpolate")
        found, proved = np.linalg.eigvals(around.matrix), 0.7 + 0.3 * inner**4
        np.testing.assert_allclose(*map(np.sort_complex, (found, proved)), rtol=1e-12)


@pytest.mark.parametrize(
    ("inner_state", "x", "radius"), [("maintain", 2.62, 1.031), ("reset", 3.2, 1.422)]
)
def test_a_stable_heavy_ball_becomes_unstable(
    inner_state: InnerStateKind, x: float, radius: float
) -> None:
    assert cycle("heavy-ball", x, 0.9).spectral_radius < 0.95
    around = cycle("heavy-ball", x, 0.9, k=5, alpha=0.5, inner_state=inner_state)
    assert around.spectral_radius == pytest.approx(radius, abs=5e-4)
    # And so it is with the optimizer itself, without noise.
    optimizer = la.Lookahead(la.HeavyBall(x, 0.9), k=5, alpha=0.5, inner_state=inner_state)
    assert growth(optimizer, np.ones(1)) == pytest.approx(radius, abs=0.002)
    with pytest.raises(ValueError, match="learning_rate must be in the stable region"):
        around.covariance_limit()
