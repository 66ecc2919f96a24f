"""One outer step for the family, against the algorithms written out in exact arithmetic."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import lookahead_ref as la
from lookahead_ref.theory import noisy_quadratic as nq
from lookahead_ref.theory.cycles import Kind, outer_cycle, step_matrix, step_noise
from lookahead_ref.theory.outer import noisy_gradient
from lookahead_ref.theory.planning import (
    Problem,
    best_outer,
    cycle_loss,
    least_outer_loss,
    loss_after,
)
from lookahead_ref.theory.rates import best_possible_rate
from moments import KINDS, Moments, assert_agree

PROBLEM = Problem([1.0, 0.3, 0.01], noise=[1.0, 0.5, 2.0], mean=[3.0, -5.0, 10.0])

Form = NDArray[Any]
"""What a weight is made of: the share of the start, and of each centre that was drawn."""


def written_out(
    kind: Kind, x: Fraction, rates: Sequence[Fraction], mu: Fraction, k: int, workers: int
) -> tuple[Form, Form]:
    """Run the algorithm with an outer learning rate for each cycle; return phi and v."""
    forms = iter(np.eye(1 + len(rates) * workers * k, dtype=object))
    phi = next(forms)
    v = 0 * phi
    for outer_rate in rates:
        pseudo_gradient = 0 * phi
        for _ in range(workers):
            theta = phi
            for _ in range(k):
                theta = theta - x * (theta - next(forms))
            pseudo_gradient = pseudo_gradient + (phi - theta) / Fraction(workers)
        v = mu * v + pseudo_gradient
        phi = phi - outer_rate * (pseudo_gradient + mu * v if kind == "nesterov" else v)
    return phi, v


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    x=st.fractions(Fraction(1, 20), Fraction(5, 2), max_denominator=20),
    rate=st.fractions(Fraction(1, 10), 2, max_denominator=10),
    mu=st.fractions(0, Fraction(9, 10), max_denominator=10),
    k=st.integers(1, 4),
    workers=st.integers(1, 3),
    cycles=st.integers(1, 3),
)
def test_mean_and_covariance_are_those_of_the_algorithm_in_rational_numbers(
    kind: Kind, x: Fraction, rate: Fraction, mu: Fraction, k: int, workers: int, cycles: int
) -> None:
    phi, v = written_out(kind, x, [rate] * cycles, mu, k, workers)
    state = np.array([phi, rate * v])
    start, sigma2 = 3, Fraction(2)
    exact = state[:, 0] * start, state[:, 1:] @ state[:, 1:].T * sigma2

    gradient = noisy_gradient(float(x), float(sigma2)).after(1.0, k).averaged(workers)
    outer = gradient.outer(kind, float(rate), float(mu))
    found = outer.mean([start, 0.0], cycles), outer.covariance(np.zeros((2, 2)), cycles)
    for got, wanted in zip(found, exact, strict=True):
        np.testing.assert_allclose(got, wanted.astype(float), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["sgd", *KINDS])
def test_it_is_the_momentum_recursion_with_the_contraction_as_curvature(kind: Kind) -> None:
    x, k, alpha, mu = np.array([0.01, 0.5, 1.9]), 5, 0.7, 0.6 * (kind != "sgd")
    outer = noisy_gradient(x, noise=2.0).after(1.0, k).outer(kind, alpha, mu)
    matrix = step_matrix(kind, nq.cycle_contraction(1.0, x, k, alpha), mu)
    d = step_noise(kind, mu)
    noise = nq.cycle_noise(1.0, x, 2.0, k, alpha)[:, None, None] * np.outer(d, d)
    np.testing.assert_allclose(outer.matrix, matrix, rtol=1e-15, atol=1e-16)
    np.testing.assert_allclose(outer.noise, noise, rtol=1e-14)
    np.testing.assert_allclose(outer.rate, outer.spectral_radius ** (1 / k))
    if kind == "sgd":  # which is Lookahead
        limit = nq.lookahead_variance_limit(1.0, x, 2.0, k, alpha)
        np.testing.assert_allclose(outer.covariance_limit()[:, 0, 0], limit, rtol=1e-10)


def outer(kind: Kind, rate: float, mu: float) -> Any:
    return la.HeavyBall(rate, mu) if kind == "heavy-ball" else la.Nesterov(rate, mu)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [1, 4])
def test_the_optimizers_of_this_library_follow_the_theory(kind: Kind, workers: int) -> None:
    a, noise = np.array([0.05, 0.5, 1.0]), np.array([1.0, 0.2, 2.0])
    start, gamma, k, cycles, replicas = np.array([3.0, -1.0, 0.5]), 0.3, 3, 5, 20_000
    generator = np.random.default_rng(21)
    lookahead = la.Lookahead(la.SGD(gamma), k=k, outer=outer(kind, 1.2, 0.6))
    together = la.Workers(lookahead, count=workers)
    theta: Any = [{"x": np.tile(start, (replicas, 1))}] * workers
    states: Any = together.init(theta[0])
    for _ in range(cycles * k):
        centres = nq.sample_centre(generator, noise, (workers, replicas))
        grads = [
            {"x": nq.sampled_gradient(own["x"], centre, a)}
            for own, centre in zip(theta, centres, strict=True)
        ]
        theta, states = together.step(theta, grads, states)
    x = together.evaluation_params(theta, states)["x"]

    one = noisy_gradient(a, noise).after(gamma, k).averaged(workers).outer(kind, 1.2, 0.6)
    mean = one.mean(np.stack([start, np.zeros(3)], axis=-1), cycles)[:, 0]
    variance = one.covariance(np.zeros((2, 2)), cycles)[:, 0, 0]
    assert_agree(Moments(x.mean(axis=0), x.var(axis=0, ddof=1), replicas), mean, variance)


def test_lookahead_in_lookahead_in_an_outer_momentum_composes() -> None:
    gamma, a, depth = 0.4, 1.7, 3
    nested = la.Lookahead(la.Lookahead(la.SGD(gamma), k=2, alpha=0.5), k=6, alpha=0.3)
    nested = la.Lookahead(nested, k=12, outer=la.Nesterov(0.8, 0.5))
    # The weights as shares of start and of each centre: each goes the same way.
    forms = np.eye(1 + 12 * depth)
    params: Any = {"x": forms[0]}
    state = nested.init(params)
    for centre in forms[1:]:
        params, state = nested.step(params, {"x": a * (params["x"] - centre)}, state)
    gradient = noisy_gradient(a, noise=3.0).after(gamma, 2).after(0.5, 3).after(0.3, 2)
    whole = gradient.outer("nesterov", 0.8, 0.5)
    assert whole.k == 12
    assert whole.mean([1.0, 0.0], depth)[0] == pytest.approx(params["x"][0], rel=1e-13)
    variance = 3.0 * np.sum(params["x"][1:] ** 2)
    found = whole.covariance(np.zeros((2, 2)), depth)[0, 0]
    assert found == pytest.approx(variance, rel=1e-13)
    twice = whole.repeated(2)
    assert (twice.k, twice.rate) == (24, pytest.approx(float(whole.rate)))


# The proofs of docs/theory.md


def border(kind: Kind, mu: Any) -> Any:
    """Return the largest contraction that is stable."""
    return 2.0 * (1.0 + mu) / (1.0 + 2.0 * mu * (kind == "nesterov"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [4, 5])
def test_the_stable_region_is_where_the_algorithm_converges(kind: Kind, k: int) -> None:
    rate, x, mu = 1.6, np.linspace(0.01, 2.5, 200), np.linspace(0.0, 0.9, 10)[:, None]
    gradient = noisy_gradient(x).after(1.0, k)
    outer = gradient.outer(kind, rate, mu)
    inside = (gradient.curvature > 0.0) & (rate * gradient.curvature < border(kind, mu))
    assert np.array_equal(outer.stable, inside)
    radius = gradient.spectral_radius(kind, rate, mu)
    np.testing.assert_allclose(radius, outer.spectral_radius, rtol=1e-6)

    phi, v = np.ones(inside.shape), np.zeros(inside.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(600):
            theta = phi
            for _ in range(k):
                theta = theta - x * theta
            v = mu * v + (phi - theta)
            phi = phi - rate * (phi - theta + mu * v if kind == "nesterov" else v)
    converged = np.abs(phi) + np.abs(v) < 1e-3
    decided = np.abs(radius - 1.0) > 0.03
    assert np.array_equal(converged[decided], inside[decided])
    assert 0.1 < inside.mean() < 0.9
    assert decided.mean() > 0.8


@settings(max_examples=50)
@given(st.sampled_from(KINDS), st.floats(0.0, 0.95), st.floats(1e-6, 0.999))
def test_the_variance_in_the_long_run_is_that_of_the_closed_form(
    kind: Kind, mu: float, share: float
) -> None:
    x = share * border(kind, mu)
    extra = mu * (1.0 + 2.0 * mu) * x if kind == "nesterov" else 0.0
    less = (1.0 + 2.0 * mu if kind == "nesterov" else 1.0) * x
    damped = 1.0 - mu + (mu * x if kind == "nesterov" else 0.0)
    closed = (1.0 + mu + extra) / (damped * x * (2.0 * (1.0 + mu) - less))
    found = outer_cycle(kind, x, mu, noise=1.0).covariance_limit()[0, 0]
    assert found == pytest.approx(closed, rel=1e-9)


@settings(max_examples=100)
@given(st.floats(0.0, 0.99), st.floats(1e-3, 0.999))
def test_the_heavy_ball_with_a_double_root_varies_least_at_its_rate(
    mu: float, share: float
) -> None:
    x = share * border("heavy-ball", mu)
    one = outer_cycle("heavy-ball", x, mu, noise=x * x)

    def bound(rho: Any) -> Any:
        return (1.0 - rho) * (1.0 + rho**2) / (1.0 + rho) ** 3

    rho = float(one.spectral_radius)
    assert one.covariance_limit()[0, 0] >= bound(rho) * (1.0 - 1e-9)
    best = (1.0 - rho) ** 2
    double = outer_cycle("heavy-ball", best, rho**2, noise=best**2)
    assert double.covariance_limit()[0, 0] == pytest.approx(bound(rho), rel=1e-6)
    of_sgd = outer_cycle("sgd", 1.0 - rho, noise=(1.0 - rho) ** 2).covariance_limit()[0, 0]
    assert bound(rho) / of_sgd == pytest.approx((1.0 + rho**2) / (1.0 + rho) ** 2, rel=1e-6)


@settings(max_examples=100)
@given(st.floats(1.01, 1e4), st.floats(0.0, 0.99), st.floats(0.01, 4.0))
def test_no_heavy_ball_is_faster_than_the_bound_and_one_is_as_fast(
    kappa: float, mu: float, top: float
) -> None:
    bound = float(best_possible_rate(kappa))
    ends = np.array([1.0, 1.0 / kappa])
    assert outer_cycle("heavy-ball", top * ends, mu).spectral_radius.max() >= bound - 1e-9
    best = (1.0 + bound) ** 2  # at the one end; (1 - bound)^2 at the other
    found = outer_cycle("heavy-ball", best * ends, bound**2).spectral_radius
    np.testing.assert_allclose(found, bound, rtol=1e-6)


def test_the_bound_of_a_horizon_is_reached_by_a_schedule_in_one_dimension() -> None:
    x, k, sigma2, square, cycles = Fraction(1, 3), 2, Fraction(2), Fraction(9), 4
    c = 1 - (1 - x) ** k
    nu = x**2 * sigma2 * sum((1 - x) ** (2 * i) for i in range(k))
    rates = [square * c / (nu + (t + 1) * c**2 * square) for t in range(cycles)]
    phi, _ = written_out("sgd", x, rates, Fraction(0), k, 1)
    exact = phi[0] ** 2 * square + sigma2 * sum(share**2 for share in phi[1:])
    assert exact == 1 / (1 / square + cycles * c**2 / nu)
    problem = Problem([1.0], float(sigma2), 3.0)
    gradient = noisy_gradient([1.0], float(sigma2)).after(float(x), k)
    bound = least_outer_loss(problem, gradient, cycles)
    assert bound == pytest.approx(float(exact + sigma2) / 2.0, rel=1e-14)


@settings(max_examples=50)
@given(
    st.sampled_from(KINDS),
    st.floats(0.01, 3.0),
    st.floats(0.0, 0.99),
    st.integers(1, 5),
    st.integers(0, 200),
)
def test_no_outer_optimizer_is_better_than_the_bound_of_its_horizon(
    kind: Kind, rate: float, mu: float, workers: int, cycles: int
) -> None:
    gradient = noisy_gradient(PROBLEM.curvature, PROBLEM.noise).after(0.5, 5)
    gradient = gradient.averaged(workers)
    loss = cycle_loss(PROBLEM, gradient.outer(kind, rate, mu), cycles)
    assert loss >= least_outer_loss(PROBLEM, gradient, cycles) * (1.0 - 1e-12)


def test_without_momentum_the_loss_is_that_of_lookahead() -> None:
    gradient = noisy_gradient(PROBLEM.curvature, PROBLEM.noise).after(0.5, 5)
    found = cycle_loss(PROBLEM, gradient.outer("sgd", 0.4), 7)
    assert found == pytest.approx(float(loss_after(PROBLEM, 35, 0.5, 5, 0.4)), rel=1e-13)
    diverges = noisy_gradient(PROBLEM.curvature, PROBLEM.noise).outer("sgd", 3.0)
    assert cycle_loss(PROBLEM, diverges, 10**6) == np.inf


@pytest.mark.parametrize("cycles", [1, 8, 100])
def test_no_point_of_another_grid_is_better_than_the_best(cycles: int) -> None:
    gradient = noisy_gradient(PROBLEM.curvature, PROBLEM.noise).after(0.3, 5).averaged(4)
    rate = np.geomspace(0.01, 30.0, 60)[:, None, None]
    momentum = np.linspace(0.0, 0.98, 50)[:, None]
    losses = {}
    for kind in KINDS:
        best = best_outer(PROBLEM, gradient, kind, cycles)
        again = gradient.outer(kind, best.learning_rate, best.momentum)
        assert best.loss == pytest.approx(float(cycle_loss(PROBLEM, again, cycles)))
        grid = cycle_loss(PROBLEM, gradient.outer(kind, rate, momentum), cycles)
        assert best.loss <= grid.min() * (1.0 + 1e-6)
        losses[kind] = best.loss
    sgd = best_outer(PROBLEM, gradient, "sgd", cycles)
    assert sgd.momentum == 0.0
    assert max(losses.values()) <= sgd.loss * (1.0 + 1e-6)
    if cycles > 1:
        assert max(losses.values()) < 0.99 * sgd.loss
    else:  # the minimum of a parabola
        a, c = np.asarray(PROBLEM.curvature), gradient.curvature
        square = np.asarray(PROBLEM.mean) ** 2
        star = np.sum(a * c * square) / np.sum(a * (c**2 * square + gradient.noise))
        assert sgd.learning_rate == pytest.approx(star, rel=1e-3)


def test_workers_of_other_curvatures_meet_at_a_mean_weighted_by_their_contractions() -> (
    None
):
    gamma, k, a, optimum = 0.4, 6, np.array([1.0, 0.1]), np.array([2.0, -3.0])
    phi: Any = {"x": np.zeros(1)}
    outer = la.Nesterov(0.7, 0.5)
    state = outer.init(phi)
    for _ in range(200):
        theta = optimum + (1.0 - gamma * a) ** k * (phi["x"] - optimum)
        phi, state = outer.step(phi, {"x": np.mean(phi["x"] - theta, keepdims=True)}, state)
    c = nq.cycle_contraction(gamma, a, k)
    assert phi["x"][0] == pytest.approx(np.sum(c * optimum) / np.sum(c), rel=1e-12)
    assert phi["x"][0] != pytest.approx(np.sum(a * optimum) / np.sum(a), rel=0.1)


# Games


def distance(optimizer: Any, steps: int) -> float:
    """Play min over x, max over y of x y; return how far the players are from (0, 0)."""
    params: Any = {"x": np.array([1.0]), "y": np.array([0.0])}
    state = optimizer.init(params)
    for _ in range(steps):
        grads = {"x": params["y"], "y": -params["x"]}
        params, state = optimizer.step(params, grads, state)
    return float(np.hypot(params["x"], params["y"])[0])


def test_lookahead_damps_the_rotation_that_gradient_descent_and_ascent_amplify() -> None:
    game = noisy_gradient(1j)
    alone = float(game.spectral_radius("sgd", 0.1)) ** 500
    around = float(game.after(0.1, k=5).spectral_radius("sgd", 0.5)) ** 100
    assert (round(alone, 2), round(around, 4)) == (12.03, 0.1518)
    assert distance(la.SGD(0.1), 500) == pytest.approx(alone, rel=1e-11)
    lookahead = la.Lookahead(la.SGD(0.1), k=5, alpha=0.5)
    assert distance(lookahead, 500) == pytest.approx(around, rel=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_players_with_an_outer_momentum_go_as_the_complex_recursion(kind: Kind) -> None:
    matrix = step_matrix(kind, 0.3 * noisy_gradient(-1j).after(0.1, 5).curvature, 0.5)
    exact = abs(np.linalg.matrix_power(matrix, 100)[0, 0])
    lookahead = la.Lookahead(la.SGD(0.1), k=5, outer=outer(kind, 0.3, 0.5))
    assert distance(lookahead, 500) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("k", [2, 5, 20])
def test_small_steps_are_damped_if_alpha_is_below_1_minus_1_over_k(k: int) -> None:
    edge = 1.0 - 1.0 / k
    game = noisy_gradient(1j).after(1e-4, k)
    for mu in (0.0, 0.5):
        rate = edge * (1.0 - mu) ** 2 / (1.0 + mu)
        assert game.spectral_radius("heavy-ball", 0.99 * rate, mu) < 1.0
        assert game.spectral_radius("heavy-ball", 1.01 * rate, mu) > 1.0


def test_the_stable_contractions_of_a_heavy_ball_in_a_game_are_an_ellipse() -> None:
    real, imaginary = np.linspace(-1.0, 4.5, 111)[:, None], np.linspace(-2.0, 2.0, 80)
    game = noisy_gradient(real + 1j * imaginary)
    for mu in (0.0, 0.3, 0.9):
        away = ((real - 1.0 - mu) / (1.0 + mu)) ** 2 + (imaginary / (1.0 - mu)) ** 2
        found = game.spectral_radius("heavy-ball", 1.0, mu)
        decided = np.abs(away - 1.0) > 1e-6
        assert np.array_equal((found < 1.0)[decided], (away < 1.0)[decided])


@settings(max_examples=50)
@given(st.floats(-0.5, 2.5), st.floats(-1.5, 1.5), st.integers(1, 8), st.floats(0.1, 1.5))
def test_in_a_game_contraction_and_noise_are_those_of_complex_arithmetic(
    real: float, imaginary: float, k: int, rate: float
) -> None:
    x = complex(real, imaginary)
    gradient = noisy_gradient(x / rate, noise=2.0).after(rate, k)
    assert gradient.curvature == pytest.approx(1.0 - (1.0 - x) ** k, rel=1e-9, abs=1e-9)
    noise = 2.0 * abs(x) ** 2 * sum(abs(1.0 - x) ** (2 * i) for i in range(k))
    assert gradient.noise == pytest.approx(noise, rel=1e-9)
