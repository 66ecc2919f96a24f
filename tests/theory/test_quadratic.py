"""Proposition 1, against a line minimiser that knows nothing of it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import aslinearoperator

from lookahead_ref.theory import quadratic


def positive_definite(rng: np.random.Generator, n: int) -> Any:
    factor = rng.normal(size=(n, n))
    return factor @ factor.T + 0.1 * np.eye(n)


@pytest.mark.parametrize("seed", range(20))
def test_alpha_star_is_where_a_line_minimiser_ends(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    A, b = positive_definite(rng, n), rng.normal(size=n)
    theta_0, theta_k = rng.normal(size=(2, n))

    def along(alpha: float) -> Any:
        return quadratic.loss(theta_0 + alpha * (theta_k - theta_0), A, b)

    found = minimize_scalar(along, method="brent", tol=1e-10)
    # A minimum is found to the square root of the accuracy of the loss.
    star = quadratic.optimal_alpha(theta_0, theta_k, A, b)
    assert star == pytest.approx(found.x, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_every_way_to_say_the_problem_gives_the_printed_form_of_0_3(seed: int) -> None:
    rng = np.random.default_rng(seed)
    diagonal, b, theta_0, theta_k = rng.uniform(0.1, 3.0, 6), *rng.normal(size=(3, 6))
    d = theta_0 - theta_k
    for full in (np.diag(diagonal), positive_definite(rng, 6)):
        star = quadratic.optimum(full, b)
        printed = ((theta_0 - star) @ full @ d) / (d @ full @ d)
        ways: list[Any] = [full, full.dot, aslinearoperator(full)]
        if not full[0, 1]:
            ways.append(diagonal)
        for A in ways:
            for known in ({"b": b}, {"theta_star": star}):
                found = quadratic.optimal_alpha(theta_0, theta_k, A, **known)
                assert found == pytest.approx(printed)


def test_a_singular_a_is_fine_where_the_line_is_curved() -> None:
    # Flat along the second axis, where b has no part: a valley of minima.
    assert quadratic.optimal_alpha([2.0, 5.0], [1.0, 7.0], [1.0, 0.0], [0.0, 0.0]) == 2.0


def test_an_indefinite_a_is_fine_along_a_line_that_is_curved_upwards() -> None:
    found = quadratic.optimal_alpha([2.0, 0.0], [1.0, 0.5], [1.0, -1.0], [0.0, 0.0])
    assert found == pytest.approx(2.0 / 0.75)


def test_curvature_that_is_zero_up_to_rounding_is_refused() -> None:
    rng = np.random.default_rng(0)
    # d lies in the null space of A, but d'Ad is some 1e-17, of either sign.
    null = rng.normal(size=5)
    factor = rng.normal(size=(5, 5))
    factor -= np.outer(factor @ null, null) / (null @ null)
    A = factor.T @ factor
    with pytest.raises(ValueError, match="not above its rounding error"):
        quadratic.optimal_alpha(np.zeros(5), null, A, np.ones(5))


def test_tiny_steps_do_not_underflow() -> None:
    d = 1e-200
    assert quadratic.optimal_alpha([d], [0.5 * d], [1.0], [0.0]) == 2.0
    assert quadratic.curvature_alpha([d], [0.5 * d], [0.25 * d], [1.0]) == 1.0
    assert quadratic.curvature_alpha([d], [-d], [-d], [1.0]) == 0.5


row = st.tuples(*[st.floats(-10, 10)] * 3, st.floats(0.01, 10))


@given(st.lists(row, min_size=1, max_size=5), st.floats(0.1, 10))
def test_the_estimate_is_0_3_clipped_for_the_true_curvature(
    rows: list[tuple[float, ...]], scale: float
) -> None:
    theta_0, theta_k, b, diagonal = np.array(rows).T
    if not np.abs(theta_k - theta_0).max() > 1e-3:
        return
    gradient = quadratic.gradient(theta_k, diagonal, b)
    exact = quadratic.optimal_alpha(theta_0, theta_k, diagonal, b)
    estimated = quadratic.curvature_alpha(
        theta_0, theta_k, gradient, diagonal / scale, scale=scale, alpha_low=0.1
    )
    assert estimated == pytest.approx(min(max(exact, 0.1), 1.0), rel=1e-6, abs=1e-6)
    star = quadratic.newton_optimum(theta_k, gradient, diagonal / scale, scale=scale)
    np.testing.assert_allclose(star, quadratic.optimum(diagonal, b), rtol=1e-6, atol=1e-6)


def test_the_estimate_is_one_where_nothing_is_curved() -> None:
    assert quadratic.curvature_alpha([0.0], [1.0], [3.0], [0.0]) == 1.0
    assert quadratic.curvature_alpha([0.0], [1.0], [3.0], [-1.0]) == 1.0
    assert quadratic.curvature_alpha([1.0], [1.0], [3.0], [1.0]) == 1.0
