"""What docs/errata.md says of the source, decided in rational arithmetic where that can."""

import re
from fractions import Fraction
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref.stepping.recording import Tape
from lookahead_ref.theory import noisy_quadratic, quadratic
from moments import descend

HALF = Fraction(1, 2)
SIGMA2, VARIANCE = Fraction(1, 3), Fraction(3)
GRID = (
    [Fraction(1, 10), Fraction(1), Fraction(19, 10)],
    [Fraction(1, 5), HALF, Fraction(1)],
)
EVERYWHERE = pytest.mark.parametrize(("x", "alpha", "k"), [*product(*GRID, [1, 5])])
"""Where x is gamma a."""


def test_0_1_the_weights_of_the_average() -> None:
    alpha, phi_0 = Fraction(2, 5), Fraction(11)
    # theta_{0,k}, theta_{1,k}, ...
    theta = [Fraction(3 * n * n - 7, n + 2) for n in range(6)]
    phi = phi_0
    for t in range(6):
        phi = phi + alpha * (theta[t] - phi)  # the first line of (0.1): phi is phi_{t+1}
        rest = 1 - alpha
        corrected = [alpha * rest**j for j in range(t + 1)]  # of theta_t, theta_{t-1}, ...
        assert phi == rest ** (t + 1) * phi_0 + sum(
            w * theta[t - j] for j, w in enumerate(corrected)
        )
        assert sum(corrected) + rest ** (t + 1) == 1
        if t > 0:
            printed = [*corrected[:-1], alpha * rest ** (t - 1)]
            assert sum(printed) + rest**t > 1
            assert phi != rest**t * phi_0 + sum(
                w * theta[t - j] for j, w in enumerate(printed)
            )


def test_algorithm_1_and_lemma_1_number_the_same_sequence() -> None:
    # Exact in floats: SGD on a loss with gradient 1, by one, and alpha = 1/2.
    optimizer = la.Lookahead(la.SGD(1.0), k=2, alpha=0.5)
    points = [float(x) for x in descend(optimizer, 16.0, np.ones_like, 8)]
    phi = [16.0, *points[1::2]]
    algorithm_1 = {t: phi[t - 1] - 2.0 for t in range(1, 5)}  # theta_{t,k} of phi_{t-1}
    lemma_1 = {t: phi[t] - 2.0 for t in range(4)}  # theta_{t,k} of phi_t
    for t in range(1, 5):
        assert phi[t] == phi[t - 1] + 0.5 * (algorithm_1[t] - phi[t - 1])
        assert algorithm_1[t] == lemma_1[t - 1]


@pytest.mark.parametrize("k", [1, 5, 10])
def test_a_cycle_is_k_inner_steps_and_one_interpolation(k: int) -> None:
    def rules(optimizer: Any, steps: int) -> int:
        """Count the rules that some steps apply."""
        tape = Tape(2)
        params, grads = (symbol.tree for symbol in tape.symbols)
        state: Any = optimizer.init({"x": np.zeros(1)})
        if isinstance(optimizer, la.Lookahead):
            state = state._replace(phi=params)
        for _ in range(steps):
            params, state = optimizer.step(params, grads, state)
        return len(tape.calls)

    inner = la.SGD(0.1)
    alone, around = rules(inner, k), rules(la.Lookahead(inner, k=k), k)
    assert around == alone + 2  # the pseudo-gradient, and the step back along it
    if k > 1:
        assert Fraction(around, alone) <= Fraction(k + 1, k) < k + Fraction(1, k)


def test_an_inner_optimizer_with_a_state_is_no_function_of_theta() -> None:
    params, gradient = {"x": np.array([1.0])}, {"x": np.array([0.5])}
    for inner in (la.SGD(0.1), la.HeavyBall(0.1), la.Adam()):
        state = inner.init(params)
        first, _ = inner.step(params, gradient, state)
        _, state = inner.step(params, {"x": np.array([-2.0])}, state)
        again, _ = inner.step(params, gradient, state)
        assert (first["x"][0] != again["x"][0]) == bool(inner.slots)


def test_proposition_1_needs_a_line_that_is_curved_upwards() -> None:
    A, b, theta_0, theta_k = [1.0, -2.0], [1.0, 1.0], np.zeros(2), np.array([0.5, 1.0])
    # (0.3) as printed, for an A that curves the loss downwards along the line.
    star = quadratic.optimum(A, b)
    d = theta_0 - theta_k
    printed = float((theta_0 - star) @ (A * d) / (d @ (A * d)))
    there = quadratic.loss(theta_0 - printed * d, A, b)
    for alpha in np.linspace(printed - 1.0, printed + 1.0, 8):
        assert quadratic.loss(theta_0 - alpha * d, A, b) < there
    with pytest.raises(ValueError, match="A must curve the loss upwards"):
        quadratic.optimal_alpha(theta_0, theta_k, A, b)
    # Nor does theta* minimise the loss, though it exists.
    assert quadratic.loss(star + np.array([0.0, 1.0]), A, b) < quadratic.loss(star, A, b)


def test_proposition_1_needs_a_symmetric_matrix() -> None:
    skewed, b = exactly([[2, 0], [4, 2]]), exactly([1, 1])
    theta_0, d, theta_star = exactly([0, 1]), exactly([1, 0]), exactly([HALF, -HALF])
    assert (skewed @ theta_star == b).all()

    loss = partial(loss_along, skewed, b, theta_0, d)
    printed = ((theta_0 - theta_star) @ skewed @ -d) / (d @ skewed @ d)
    least = min((Fraction(n, 2) for n in range(-8, 9)), key=loss)
    assert loss(least) < loss(least - HALF) == loss(least + HALF)  # a parabola's vertex
    assert printed != least
    with pytest.raises(ValueError, match="A must be symmetric"):
        quadratic.optimal_alpha([0, 1], [1, 1], [[2, 0], [4, 2]], [1, 1])


def exactly(values: Any) -> Any:
    return np.array(values, dtype=object)


def loss_along(A: Any, b: Any, theta_0: Any, d: Any, alpha: Fraction) -> Any:
    x = theta_0 + alpha * d
    return x @ A @ x / Fraction(2) - b @ x


A, B = exactly([[3, 1], [1, 2]]), exactly([4, -1])
THETA_0, D = exactly([2, 5]), exactly([-3, 1])


def test_0_4_is_the_derivative_in_alpha() -> None:
    loss = partial(loss_along, A, B, THETA_0, D)
    for alpha in (Fraction(0), HALF, Fraction(7, 3)):
        right = D @ A @ (THETA_0 + alpha * D) - D @ B
        # The central difference of a parabola is its derivative.
        assert right == (loss(alpha + 1) - loss(alpha - 1)) / 2
        gradient = A @ (THETA_0 + alpha * D) - B
        assert gradient.shape == (2,)
        assert right == D @ gradient


def test_0_5_with_its_parenthesis() -> None:
    determinant = A[0, 0] * A[1, 1] - A[0, 1] ** 2
    adjugate = exactly([[A[1, 1], -A[0, 1]], [-A[0, 1], A[0, 0]]])
    theta_star = adjugate * Fraction(1, determinant) @ B
    alpha = (D @ A @ (theta_star - THETA_0)) / (D @ A @ D)
    assert D @ A @ (THETA_0 + alpha * D) - D @ B == 0  # (0.4) vanishes
    assert alpha == ((THETA_0 - theta_star) @ A @ -D) / (-D @ A @ -D)  # (0.3)
    printed = r"\theta_{t,k} - \theta_{t,0})^T A(\theta^* - \theta_{t,0})"
    assert printed.count(")") == printed.count("(") + 1


def test_0_7_is_also_an_expectation_over_the_iterate() -> None:
    # Iterate and centre take two values each, with equal probability, independently.
    iterates, centres = (Fraction(1), Fraction(5)), (Fraction(-2), Fraction(2))
    a, mean, spread, noise = Fraction(3), Fraction(3), Fraction(4), Fraction(4)
    over_both = sum(a * (x - c) ** 2 / 2 for x in iterates for c in centres) / 4
    assert over_both == a * (mean**2 + spread + noise) / 2
    assert noisy_quadratic.expected_loss([3.0], [4.0], [3.0], [4.0]) == float(over_both)
    over_c = {x: sum(a * (x - c) ** 2 / 2 for c in centres) / 2 for x in iterates}
    assert len(set(over_c.values())) == 2
    assert all(over_c[x] == a * (x**2 + noise) / 2 for x in iterates)


def test_the_condition_of_proposition_2_is_enough_and_not_needed() -> None:
    def factor(x: Fraction, k: int, alpha: Fraction) -> Fraction:
        return 1 - alpha + alpha * (1 - x) ** k

    grid = [Fraction(n, 20) for n in range(81)]
    for k, alpha in product(range(1, 7), [Fraction(1, 10), HALF, Fraction(1)]):
        contracts = [x for x in grid if abs(factor(x, k, alpha)) < 1]
        assert {x for x in grid if 0 < x < 2} <= set(contracts)
        assert (max(contracts) >= 2) == (k % 2 == 1 and alpha < 1)
        for x in grid:
            # The border itself is a matter of rounding.
            if abs(factor(x, k, alpha)) != 1:
                stable = noisy_quadratic.is_stable(float(x), 1.0, k, float(alpha))
                assert stable == (x in contracts)
    assert abs(factor(Fraction(22, 10), 5, HALF)) < 1
    assert abs(factor(Fraction(1), 5, Fraction(2))) == 1
    assert factor(Fraction(0), 5, HALF) == 1


@EVERYWHERE
def test_0_8_and_0_19_hold_with_other_squares(x: Fraction, alpha: Fraction, k: int) -> None:
    gamma, a = Fraction(1, 7), 7 * x
    fixed = gamma**2 * a**2 * SIGMA2 / (1 - (1 - gamma * a) ** 2)
    assert fixed == (1 - x) ** 2 * fixed + gamma**2 * a**2 * SIGMA2  # (0.11)
    assert fixed == x * SIGMA2 / (2 - x)
    printed = x**2 * SIGMA2**2 / (1 - (1 - x) ** 2)  # (0.8)
    assert printed != (1 - x) ** 2 * printed + x**2 * SIGMA2
    assert fixed != (1 - x) ** 2 * fixed + gamma * a**2 * SIGMA2  # (0.19)
    found = noisy_quadratic.sgd_variance_limit(float(x), 1.0, float(SIGMA2))
    assert found == pytest.approx(float(fixed), rel=1e-14)


def fast_moments(x: Fraction, k: int) -> list[tuple[Fraction, Fraction, Fraction]]:
    """Return V[theta_i], cov(phi, theta_i), cov(theta_{i-1}, theta_i) for i = 0, ..., k.

    Each step is theta <- (1 - x) theta + x c, with a c that is independent of all before
    it.
    """
    moments = [(VARIANCE, VARIANCE, VARIANCE)]
    for _ in range(k):
        spread, with_phi, _ = moments[-1]
        r = 1 - x
        moments.append((r**2 * spread + x**2 * SIGMA2, r * with_phi, r * spread))
    return moments


@EVERYWHERE
def test_0_17_needs_an_induction_of_its_own(x: Fraction, alpha: Fraction, k: int) -> None:
    moments, r = fast_moments(x, k), 1 - x
    chained = r * moments[k - 1][0]
    assert moments[k][2] == chained  # (0.16)
    assert moments[k][1] == r**k * VARIANCE  # (0.17)
    if k > 1 and r != 0:
        # Neighbour after neighbour leads to what holds noise.
        assert chained != moments[k][1]
    line = r"E[((\theta - E[\theta])(\theta - (1 - a)E[\theta])))"  # of (0.16), shortened
    assert line.count(")") - line.count("(") == line.count("[") - line.count("]") == 1


@EVERYWHERE
def test_0_11_and_0_13_hold_with_the_covariance_and_0_18_leads_to_it(
    x: Fraction, alpha: Fraction, k: int
) -> None:
    spread, with_phi, _ = fast_moments(x, k)[k]
    q, rest = (1 - x) ** k, 1 - alpha
    slow = rest**2 * VARIANCE + alpha**2 * spread + 2 * alpha * rest * with_phi  # (0.15)
    noise = sum((1 - x) ** (2 * i) for i in range(k)) * x**2 * SIGMA2
    assert spread == q**2 * VARIANCE + noise  # (0.11), k times
    assert slow == (rest + alpha * q) ** 2 * VARIANCE + alpha**2 * noise  # (0.13)
    bracket = rest**2 + 2 * alpha * rest * q + alpha**2 * q**2  # (0.18)
    assert bracket == (rest + alpha * q) ** 2


def test_0_12_needs_the_identity() -> None:
    mean, x, alpha = np.array([3.0, -1.0]), np.array([0.5, 0.25]), 0.5
    inner = np.diag((1.0 - x) ** 2)
    corrected = (1.0 - alpha) * np.eye(2) + alpha * inner
    expected = noisy_quadratic.lookahead_mean(mean, 1.0, x, 2, alpha)
    assert np.array_equal(corrected @ mean, expected)
    assert not np.array_equal((1.0 - alpha + alpha * inner) @ mean, expected)


def test_lemma_1_needs_independent_noise_and_the_diagonal() -> None:
    x, r = Fraction(1, 2), HALF
    # theta_2 = r^2 theta_0 + r x c_1 + x c_2
    independent = (r * x) ** 2 * SIGMA2 + x**2 * SIGMA2
    assert independent == x**2 * SIGMA2 * (1 + r**2)
    found = noisy_quadratic.sgd_variance(0.0, float(x), 1.0, float(SIGMA2), 2)
    assert found == pytest.approx(float(independent))
    one_centre = (r * x + x) ** 2 * SIGMA2
    assert one_centre == x**2 * SIGMA2 * (1 + r) ** 2 > independent
    # Correlated elements: only the diagonal of the covariance goes as (0.11) says.
    step, spread = np.diag([0.5, 0.25]), np.array([[2.0, 1.0], [1.0, 2.0]])
    exact, printed = step @ spread @ step, step @ step @ spread
    assert np.array_equal(np.diag(exact), np.diag(printed))
    assert exact[0, 1] != printed[0, 1]


@EVERYWHERE
def test_0_9_and_every_step_of_0_20(x: Fraction, alpha: Fraction, k: int) -> None:
    r, q = 1 - x, (1 - x) ** k
    added = alpha**2 * sum(r ** (2 * i) for i in range(k)) * x**2 * SIGMA2
    factor = 1 - alpha + alpha * q
    fixed = added / (1 - factor**2)
    assert fixed == factor**2 * fixed + added
    of_sgd = x**2 * SIGMA2 / (1 - r**2)
    assert fixed == alpha**2 * (1 - q**2) / (1 - factor**2) * of_sgd
    below = alpha**2 * (1 - q**2) + 2 * alpha * (1 - alpha) * (1 - q)
    assert below == 1 - factor**2
    assert fixed == alpha**2 * (1 - q**2) / below * of_sgd  # (0.9)
    assert fixed == alpha * (1 + q) / (2 - alpha * (1 - q)) * of_sgd
    assert (fixed < of_sgd) == (alpha < 1)


def test_a_single_copy_of_the_parameters_is_added() -> None:
    def arrays(optimizer: Any) -> int:
        saved = la.Stepper(optimizer, {"x": np.zeros(3)}).state_dict()
        return sum(1 for value in saved.values() if isinstance(value, np.ndarray))

    for inner in (la.SGD(0.1), la.Adam(0.1)):
        alone = arrays(inner)
        assert arrays(la.Lookahead(inner)) == alone + 1
        assert arrays(la.Lookahead(inner, inner_state="reset")) == alone + 1
        kept = arrays(la.Lookahead(inner, inner_state="interpolate"))
        assert kept == alone + 1 + len(inner.slots)


TABLE_1_SGD, TABLE_1_LOOKAHEAD = Fraction("78.24"), Fraction("78.34")
TABLE_5 = {
    (5, Fraction("0.5")): Fraction("78.24"),
    (5, Fraction("0.8")): Fraction("78.27"),
    (10, Fraction("0.5")): Fraction("78.19"),
    (10, Fraction("0.8")): Fraction("77.94"),
}


def test_table_5_has_k_in_its_rows() -> None:
    for row, column in TABLE_5:
        la.Lookahead(la.SGD(0.1), k=row, alpha=float(column))
        with pytest.raises(ValueError, match="alpha must be"):
            la.Lookahead(la.SGD(0.1), k=1, alpha=row)
        with pytest.raises(TypeError, match="k must be"):
            la.Lookahead(la.SGD(0.1), k=float(column))  # type: ignore[arg-type]


def test_table_5_against_table_1() -> None:
    assert all(accuracy > Fraction("77.72") for accuracy in TABLE_5.values())
    signs = sorted((a > TABLE_1_SGD) - (a < TABLE_1_SGD) for a in TABLE_5.values())
    assert signs == [-1, -1, 0, 1]
    assert TABLE_1_LOOKAHEAD not in TABLE_5.values()


def test_every_test_that_the_page_names_exists_and_it_names_all_of_this_file() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "errata.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))

    def tests(file: Path) -> set[str]:
        return set(re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE))

    assert named <= set().union(*map(tests, (root / "tests").rglob("test_*.py")))
    assert {name for name in tests(Path(__file__)) if "page" not in name} <= named
