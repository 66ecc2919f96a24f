"""Errors of the theory name bad arguments, and results beyond the range of numbers."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lookahead_ref.theory import noisy_quadratic as nq
from lookahead_ref.theory import planning, quadratic, rates
from lookahead_ref.theory.checks import DivergenceError
from lookahead_ref.theory.cycles import cycle, outer_cycle
from lookahead_ref.theory.outer import noisy_gradient
from lookahead_ref.theory.planning import Problem, best_hyperparameters, best_outer

NAN = float("nan")
ONE, TWO, EYE = [1.0], [1.0, 2.0], np.eye(3)
SKEW = [[1.0, 0.5], [0.0, 1.0]]
PROBLEM = Problem([1.0, 0.3, 0.01], noise=[1.0, 0.5, 2.0], mean=[3.0, -5.0, 10.0])
GRADIENT, GAME, ZERO = (noisy_gradient(each) for each in (TWO, 1j, 0.0))
LIMIT, SGD = nq.lookahead_variance_limit, cycle("sgd", 1.0)
UNSTABLE = cycle("heavy-ball", 3.9, 0.9)
ALPHA, ESTIMATE = quadratic.optimal_alpha, quadratic.curvature_alpha
ALONE, TOO_HIGH = Problem(ONE, 1.0, 1.0), {"learning_rates": (3.0, 4.0)}
ERRORS = {"": ValueError, "Type": TypeError, "Divergence": DivergenceError}
DIVERGES = "DivergenceError: the iteration diverges"
TOO_LARGE = "DivergenceError: exceeds the range of numbers"
NO_RATE = f"{TOO_LARGE} at all learning_rates from 3 to 4"


@pytest.mark.parametrize(
    ("call", "arguments", "says"),
    [
        # Lemma 1 and Proposition 2
        (LIMIT, (0.0, 1.0, 1.0, 5, 0.5), "learning_rate must be > 0, got 0.0"),
        (LIMIT, (3.0, 1.0, 1.0, 4, 0.5), "learning_rate must be in the stable"),
        (LIMIT, (0.1, 0.0, 1.0, 5, 0.5), "curvature must be > 0, got 0.0"),
        (LIMIT, (0.1, 1.0, -1.0, 5, 0.5), "noise must be >= 0, got -1.0"),
        (LIMIT, (0.1, 1.0, 1.0, 0, 0.5), "k must be >= 1, got 0"),
        (LIMIT, (0.1, 1.0, 1.0, 2.5, 0.5), "TypeError: k must hold integers, got 2.5"),
        (LIMIT, (0.1, 1.0, 1.0, 5, 1.5), "alpha must be in (0, 1], got 1.5"),
        (LIMIT, (0.1, 1.0, 1.0, 5, 0.0), "alpha must be in (0, 1], got 0.0"),
        (LIMIT, (0.1, ONE * 2, ONE * 3, 5, 0.5), "got noise (3,), curvature (2,)"),
        (nq.sgd_mean, (NAN, 1.0, 1.0), "mean must be finite, got nan"),
        (nq.sgd_mean, ([1.0, [2.0]], 1.0, 1.0), "mean must be a number or an array whose"),
        (nq.sgd_mean, (1.0, -1.0, 1.0), "learning_rate must be >= 0, got -1.0"),
        (nq.sgd_mean, (1.0, 1.0, 1.0, -1), "steps must be >= 0, got -1"),
        (nq.sgd_variance, (-1.0, 1.0, 1.0, 1.0), "variance must be >= 0"),
        (nq.variance_ratio, (2.0, 1.0, 5, 0.5), "learning_rate must be in the"),
        (nq.sampled_loss, (TWO, ONE * 3, ONE), "x, centre, curvature must have shapes"),
        (nq.expected_loss, (ONE, [-1.0], ONE, ONE), "variance must be >= 0"),
        (nq.cycle_factor, (0.1, 1.0, np.uint64(2**63)), "k must be below 2^63"),
        (nq.sgd_variance, (1.0, 3.0, 1.0, 1.0, 10_000), DIVERGES),
        (nq.sgd_mean, (1.0, 3.0, 1.0, 10_000), DIVERGES),
        (nq.lookahead_mean, (1.0, 5.0, 1.0, 5, 0.5, 10_000), DIVERGES),
        (nq.lookahead_variance, (1.0, 5.0, 1.0, 1.0, 5, 0.5, 10_000), DIVERGES),
        (nq.cycle_factor, (1e200, 1.0, 3, 0.5), DIVERGES),
        (nq.cycle_noise, (1e200, 1.0, 1.0, 3, 0.5), DIVERGES),
        # The mean is a number, its square is not.
        (nq.expected_loss, ([1e176], [0.0], ONE, [0.0]), "DivergenceError: the expected"),
        # Proposition 1
        (quadratic.loss, (ONE, [[1.0, 0.0]], ONE), "A must have the shape"),
        (quadratic.loss, (ONE, ONE, TWO), "b must have 1 elements like x"),
        (quadratic.loss, ([NAN], ONE, ONE), "x must be finite, got nan"),
        (quadratic.loss, (ONE, [NAN], ONE), "A must be finite, got nan"),
        (quadratic.loss, ([ONE], ONE, ONE), "x must have 1 dimension, got"),
        (quadratic.loss, (["a"], ONE, ONE), "TypeError: x must hold real numbers, got"),
        (quadratic.loss, ([1j], ONE, ONE), "TypeError: x must hold real numbers, got"),
        (quadratic.gradient, (TWO, SKEW, TWO), "A must be symmetric, got one"),
        (quadratic.gradient, (ONE, lambda v: TWO, ONE), "A(v) must have the"),
        (quadratic.optimum, (lambda v: v, ONE), "TypeError: A must be an array to be"),
        (ALPHA, (ONE, ONE, ONE, ONE), "theta_k must differ from theta_0"),
        (ALPHA, (ONE, TWO, ONE, ONE), "theta_k must have 1 elements"),
        (ALPHA, (ONE, [2.0], ONE), "TypeError: optimal_alpha needs either b or theta_star"),
        (ALPHA, (ONE, [2.0], ONE, ONE, {"theta_star": ONE}), "TypeError: optimal_alpha"),
        (ESTIMATE, (ONE, [2.0], ONE, ONE, {"scale": 0.0}), "scale must be > 0"),
        (ESTIMATE, (ONE, [2.0], ONE, ONE, {"alpha_low": 0.0}), "alpha_low must be in (0,"),
        (quadratic.newton_optimum, (ONE, ONE, [0.0]), "curvature must not be 0"),
        (quadratic.optimum, ([1.0, 0.0], [0.0, 0.0]), "A must be nonsingular"),
        (quadratic.optimum, (np.ones((2, 2)), [0.0, 0.0]), "A must be nonsingular"),
        (ALPHA, ([2.0, 0.0], [2.0, 1.0], [1.0, -1.0], [0.0, 0.0]), "A must curve the loss"),
        (quadratic.loss, ([1e200], ONE, [0.0]), TOO_LARGE),
        (quadratic.gradient, ([1e200], [1e200], [0.0]), TOO_LARGE),
        (quadratic.optimum, ([1e-200], [1e200]), TOO_LARGE),
        (quadratic.newton_optimum, ([0.0], [1e200], [1e-200]), TOO_LARGE),
        (ALPHA, ([0.0], [1e-200], ONE, [1e200]), TOO_LARGE),
        # Momentum inside Lookahead
        (cycle, ("adam", 1.0), "kind must be one of 'sgd', 'heavy-ball', 'nest"),
        (cycle, ("sgd", 1.0, 0.9), "momentum must be 0 for SGD, got 0.9"),
        (cycle, ("heavy-ball", 1.0, 1.0), "momentum must be in [0, 1), got 1.0"),
        (cycle, ("heavy-ball", -1.0, 0.9), "x must be >= 0, got -1.0"),
        (cycle, ("heavy-ball", 1.0, {"k": 0}), "k must be >= 1, got 0"),
        (cycle, ("heavy-ball", 1.0, {"alpha": 2.0}), "alpha must be in (0, 1]"),
        (cycle, ("heavy-ball", 1.0, {"noise": NAN}), "noise must be finite"),
        (cycle, ("sgd", 1.0, {"inner_state": "keep"}), "inner_state must be one of 'maint"),
        (cycle, ("sgd", TWO, {"k": [1, 2, 3]}), "broadcast, got x (2,), k (3,)"),
        (SGD.mean, ([1.0, 0.0], -1), "cycles must be >= 0, got -1"),
        (SGD.mean, ([1.0, 0.0], [1, 2]), "cycles must have 0 dimensions"),
        (SGD.mean, (ONE,), "mean must have the shape (2,) or one that"),
        (cycle("sgd", TWO).covariance, (EYE,), "covariance must have the shape (2, 2, 2)"),
        (cycle("sgd", TWO).mean, (EYE[:, :2],), "mean must have the shape (2, 2) or one"),
        (UNSTABLE.mean, ([1.0, 0.0], 100_000), DIVERGES),
        (UNSTABLE.covariance, (np.zeros((2, 2)), 100_000), DIVERGES),
        (cycle, ("heavy-ball", 1e200, 0.9, {"k": 5}), DIVERGES),
        # Outer optimizers
        (noisy_gradient, (["a"],), "TypeError: curvature must hold numbers"),
        (noisy_gradient, (1.0, -1.0), "noise must be >= 0, got -1.0"),
        (noisy_gradient, (TWO, ONE * 3), "curvature, noise must have shapes that"),
        (GRADIENT.after, (-0.1, 5), "learning_rate must be >= 0, got -0.1"),
        (GRADIENT.after, (0.1, 0), "k must be >= 1, got 0"),
        (GRADIENT.after, (ONE * 3, 5), "got learning_rate (3,), curvature (2,)"),
        (GRADIENT.averaged, (0,), "workers must be >= 1, got 0"),
        (GRADIENT.outer, ("adam", 0.7), "kind must be one of 'sgd', 'heavy-ball', 'nest"),
        (GRADIENT.outer, ("sgd", NAN), "learning_rate must be finite, got nan"),
        (GRADIENT.outer, ("nesterov", 0.7, 1.0), "momentum must be in [0, 1), got 1.0"),
        (GAME.outer, ("sgd", 0.5), "TypeError: curvature must hold real numbers"),
        (GAME.spectral_radius, ("sgd", -0.5), "learning_rate must be >= 0, got -0.5"),
        (outer_cycle, ("sgd", 0.5, {"noise": -1.0}), "noise must be >= 0, got -1.0"),
        (SGD.repeated, (-1,), "cycles must be >= 0, got -1"),
        (best_outer, (PROBLEM, ZERO, "sgd", 3), "curvature must be > 0, got 0.0"),
        (best_outer, (PROBLEM, ZERO, "sgd", 0), "cycles must be >= 1, got 0"),
        (best_outer, (PROBLEM, GAME, "sgd", 3), "TypeError: curvature must hold real"),
        (best_outer, (PROBLEM, GRADIENT, "sgd", 3), "got problem (3,), cycle"),
        (planning.least_outer_loss, (PROBLEM, GRADIENT, 3), "got problem (3,), gradient"),
        (planning.least_outer_loss, (PROBLEM, ZERO, -1), "cycles must be >= 0, got -1"),
        # Rates and plans
        (rates.tuned_rate, ("sgd", 0.5), "condition_number must be >= 1, got"),
        (rates.convergence_rate, ("sgd", 1.0, 1.0), "curvature must have 1 dimension, got"),
        (rates.convergence_rate, ("sgd", -1.0, ONE), "learning_rate must be >= 0"),
        (Problem, ([0.0], 1.0, 1.0), "curvature must be > 0, got 0.0"),
        (Problem, (1.0, 1.0, 1.0), "curvature must have 1 dimension, got"),
        (Problem, (ONE, -1.0, 1.0), "noise must be >= 0, got -1.0"),
        (Problem, (ONE, TWO, 1.0), "noise must have the shape (1,) of curvature"),
        (Problem, (ONE, 1.0, "a"), "TypeError: mean must hold real numbers, got 'a'"),
        (planning.loss_after, (PROBLEM, -1, 0.1), "steps must be >= 0, got -1"),
        (best_hyperparameters, (PROBLEM, 4, 5), "steps must be >= 5, got 4"),
        (best_hyperparameters, (PROBLEM, 5, {"alphas": (0.5, 0.1)}), "a lowest and a high"),
        (best_hyperparameters, (PROBLEM, 5, {"learning_rates": (0.0, 1.0)}), "must be > 0"),
        (best_hyperparameters, (ALONE, 10_000, TOO_HIGH), NO_RATE),
        (planning.steps_to_reach, (ALONE, 0.5, 1.0), "loss must be reachable"),
        (planning.steps_to_reach, (PROBLEM, 5.0, 2.5), "learning_rate must be in the"),
    ],
)
def test_errors_name_bad_input(
    call: Callable[..., object], arguments: tuple[Any, ...], says: str
) -> None:
    options = arguments[-1] if isinstance(arguments[-1], dict) else {}
    given = arguments[: len(arguments) - bool(options)]
    kind, _, message = says.rpartition("Error: ")
    with pytest.raises(ERRORS[kind], match=re.escape(message)):
        call(*given, **options)
