"""How long Lookahead around SGD takes on a noisy quadratic, and what to run it with.

Time is counted in gradient evaluations, so that Lookahead's k inner steps count as k.
Parameters and errors are those of `lookahead_ref.theory`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lookahead_ref.hyperparameters import NON_NEGATIVE, POSITIVE, STEP_SIZE
from lookahead_ref.theory.checks import (
    DivergenceError,
    Reals,
    check_broadcast,
    counts,
    reals,
)
from lookahead_ref.theory.noisy_quadratic import (
    check_stable,
    expected_loss,
    factor_power,
    is_stable,
    lookahead_mean,
    lookahead_variance,
    lookahead_variance_limit,
)


@dataclass(frozen=True, eq=False)
class Problem:
    """A noisy quadratic and where the optimizer starts on it.

    Curvature has shape (n,) and is > 0; the others have this shape too, or are numbers.
    """

    curvature: ArrayLike
    noise: ArrayLike
    mean: ArrayLike
    variance: ArrayLike = 0.0

    def __post_init__(self) -> None:
        curvature = reals("curvature", self.curvature, POSITIVE)
        reals("curvature", curvature, ndim=1)
        checked = {
            "curvature": curvature,
            "noise": reals("noise", self.noise, NON_NEGATIVE),
            "mean": reals("mean", self.mean),
            "variance": reals("variance", self.variance, NON_NEGATIVE),
        }
        for name, value in checked.items():
            if value.shape not in ((), curvature.shape):
                raise ValueError(
                    f"{name} must have the shape {curvature.shape} of curvature, or none, "
                    f"got {value.shape}"
                )
            object.__setattr__(self, name, np.broadcast_to(value, curvature.shape))


@dataclass(frozen=True)
class Best:
    """The best hyperparameters that a search has found."""

    loss: float
    """The expected loss at the horizon."""
    learning_rate: float
    alpha: float


def loss_after(
    problem: Problem,
    steps: ArrayLike,
    learning_rate: ArrayLike,
    k: ArrayLike = 1,
    alpha: ArrayLike = 1.0,
) -> Reals:
    """Return the expected loss of the slow weights after some gradient evaluations, (0.7).

    Between synchronizations the slow weights rest. All arguments but the problem are
    broadcast against each other.

    Examples
    --------
    >>> problem = Problem([1.0], noise=1.0, mean=2.0)
    >>> loss_after(problem, [0, 4, 5], 0.5, k=5, alpha=1.0).round(3)
    array([2.5  , 2.5  , 0.668])
    """
    check_broadcast(steps=steps, learning_rate=learning_rate, k=k, alpha=alpha)
    k = counts("k", k)
    cycles = counts("steps", steps, 0) // k
    given = [np.asarray(each)[..., None] for each in (learning_rate, k, alpha, cycles)]
    rate, k, alpha, cycles = given
    mean = lookahead_mean(problem.mean, rate, problem.curvature, k, alpha, cycles)
    variance = lookahead_variance(
        problem.variance, rate, problem.curvature, problem.noise, k, alpha, cycles
    )
    return expected_loss(mean, variance, problem.curvature, problem.noise)


def steps_to_reach(
    problem: Problem, loss: float, learning_rate: float, k: int = 1, alpha: float = 1.0
) -> int:
    """Return how many gradient evaluations it takes to reach an expected loss.

    The number, a multiple of k, is exact, however large: a synchronization multiplies each
    coordinate's distance from its own limit by a constant, and whole ranges of
    synchronizations in which the loss must be higher are passed over. The loss, (0.7),
    includes the noise's own part 1/2 sum a sigma^2. A `ValueError` says that the cycle does
    not contract, or that the loss is never reached, and what it is in the limit.

    Examples
    --------
    >>> problem = Problem([1.0, 0.01], noise=1.0, mean=10.0)
    >>> steps_to_reach(problem, 1.05, learning_rate=1.0)
    120
    >>> steps_to_reach(problem, 1.05, learning_rate=1.0, k=5, alpha=0.5)
    35
    """
    target = float(reals("loss", loss, POSITIVE))
    a, start = np.asarray(problem.curvature), np.asarray(problem.mean) ** 2
    check_stable(learning_rate, a, k, alpha)
    limit = lookahead_variance_limit(learning_rate, a, problem.noise, k, alpha)
    settled = float(expected_loss(0.0 * a, limit, a, problem.noise))
    # The loss after t cycles is settled + sum of distance * factor^(2 t), each term
    # monotone.
    distance = 0.5 * a * (start + np.asarray(problem.variance) - limit)
    rising, falling = np.minimum(distance, 0.0), np.maximum(distance, 0.0)

    def left(cycles: int) -> Reals:
        return factor_power(learning_rate, a, k, alpha, cycles) ** 2

    def lowest(first: int, last: int) -> float:
        """Bound the loss from below, from cycle `first` to cycle `last`."""
        return settled + float(falling @ left(last) + rising @ left(first))

    def search(first: int, last: int) -> int | None:
        if lowest(first, last) > target:
            return None
        if first == last:
            return first
        middle = (first + last) // 2
        found = search(first, middle)
        return search(middle + 1, last) if found is None else found

    first, last = 0, 0
    while settled + float(rising @ left(first)) <= target and last < 2**62:
        found = search(first, last)
        if found is not None:
            return found * int(k)
        first, last = last + 1, 2 * last + 1
    raise ValueError(
        f"loss must be one that is reached, got {target:g}: in the limit it is {settled:g}"
        + (", but not within 2^62 synchronizations" if last >= 2**62 else "")
    )


def best_hyperparameters(
    problem: Problem,
    steps: int,
    k: int = 1,
    *,
    learning_rates: tuple[float, float] | None = None,
    alphas: tuple[float, float] | None = None,
    points: int = 48,
    rounds: int = 6,
) -> Best:
    """Find the learning rate and alpha with the least expected loss after some steps.

    A grid; while its best point is on an edge that is no limit, the same grid around that
    point; then finer grids around the best one. The result is never worse than the best
    point of the first grid, but a dip narrower than that grid's cells, or one beyond its
    edges though the loss rises towards them, can be missed. With k = 1 Lookahead is SGD of
    the learning rate alpha gamma, so alpha is then held at 1.

    Parameters
    ----------
    problem, k
        The problem and the synchronization period.
    steps : int
        The horizon, in gradient evaluations, at least k.
    learning_rates, alphas : tuple of float, optional
        The lowest and highest that may be returned. By default there is no limit but alpha
        <= 1, and one below which no weight would be seen to move: that is what is found
        where it is best not to move at all.
    points : int, default: 48
        Points of a grid along each axis.
    rounds : int, default: 6
        The number of ever finer grids.

    Returns
    -------
    Best
        The best point.

    Raises
    ------
    DivergenceError
        If all of the learning rates diverge beyond the range of numbers.

    Examples
    --------
    >>> problem = Problem([1.0], noise=0.0, mean=1.0)
    >>> round(best_hyperparameters(problem, steps=10).learning_rate, 3)
    1.0
    """
    period = int(counts("k", k))
    horizon = int(counts("steps", steps, period))
    points = int(counts("points", points, 3))
    rounds = int(counts("rounds", rounds))
    a = np.asarray(problem.curvature)
    least = float(np.finfo(np.float64).eps) / horizon  # times `horizon` it is a rounding

    def box(
        default_rates: tuple[float, float], default_alphas: tuple[float, float]
    ) -> Reals:
        """Return the lowest, and the highest, log(alpha gamma) and log(alpha)."""
        # A small alpha wants a large learning rate: the valley lies along a constant
        # product of the two, so that is what one axis of the grid is.
        rates = reals("learning_rates", learning_rates or default_rates, POSITIVE)
        steps = reals("alphas", alphas or default_alphas, STEP_SIZE)
        rates, steps = _range("learning_rates", rates), _range("alphas", steps)
        steps = steps if period > 1 else np.ones(2)
        return np.log([rates * steps, steps]).T

    limits = box((least / a.max(), 1.0 / (least * a.min())), (least, 1.0))
    lows, highs = box((1e-4 / a.max(), 4.0 / a.max()), (0.05, 1.0))
    low, high = limits[:, 0] - limits[:, 1]
    best, centre, left = Best(np.inf, np.nan, np.nan), lows, rounds
    for _ in range(10 * rounds):  # each a finer grid, or one further on
        product = np.linspace(lows[0], highs[0], points)[:, None]
        step = np.unique(np.linspace(lows[1], highs[1], points))[None, :]
        rate = np.exp(np.clip(product - step, low, high))
        rate, alpha = np.broadcast_arrays(rate, np.minimum(np.exp(step), 1.0))
        losses = _losses(problem, horizon, rate, period, alpha)
        place = np.unravel_index(np.argmin(losses), losses.shape)
        better = losses[place] < best.loss
        if better:
            best = Best(float(losses[place]), float(rate[place]), float(alpha[place]))
            centre = np.log([best.learning_rate * best.alpha, best.alpha])
        cell = (highs - lows) / (points - 1)
        at_low = (centre < lows + cell / 2.0) & (lows > limits[0])
        at_high = (centre > highs - cell / 2.0) & (highs < limits[1])
        if better and np.any(at_low | at_high):
            reach = (highs - lows) / 2.0
        else:
            reach, left = 2.0 * cell, left - 1
        if left == 0:
            break
        lows = np.maximum(centre - reach, limits[0])
        highs = np.minimum(centre + reach, limits[1])
    if not np.isfinite(best.loss):
        raise DivergenceError(
            f"a run of {horizon} steps exceeds the range of numbers at all learning_rates "
            f"from {np.exp(low):g} to {np.exp(high):g} that were tried: the iteration "
            "diverges"
        )
    return best


def _losses(
    problem: Problem, steps: int, learning_rate: Reals, k: int, alpha: Reals
) -> Reals:
    """Return the loss on a grid; inf where a diverging run might overflow."""
    rate, alpha = np.broadcast_arrays(learning_rate, alpha)
    stable = is_stable(rate[..., None], problem.curvature, k, alpha[..., None])
    # A short run may well use a rate that diverges in the end, but not one that overflows:
    # each square grows by (1 + x)^2 in a step at most, to which the noise is added.
    x = rate * np.max(problem.curvature)
    a, mean = np.asarray(problem.curvature), np.asarray(problem.mean)
    with np.errstate(over="ignore"):
        start = a @ (mean**2 + np.asarray(problem.variance) + np.asarray(problem.noise))
    size = float(np.log1p(start))
    growth = 2.0 * (steps + 1) * np.log1p(x) + np.log(steps)
    usable = np.all(stable, axis=-1) | (size + growth < 700.0)
    losses = np.full(rate.shape, np.inf)
    losses[usable] = loss_after(problem, steps, rate[usable], k, alpha[usable])
    return losses


def _range(name: str, values: Reals) -> Reals:
    if values.shape != (2,) or not values[0] <= values[1]:
        came = values.tolist()
        raise ValueError(f"{name} must be a lowest and a highest value, got {came}")
    return values
