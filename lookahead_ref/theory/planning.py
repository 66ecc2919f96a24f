"""The duration and best hyperparameters of Lookahead around SGD on a noisy quadratic.

Time is counted in gradient evaluations, so that Lookahead's k inner steps count as k.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from lookahead_ref.hyperparameters import FINITE, NON_NEGATIVE, POSITIVE, STEP_SIZE, Range
from lookahead_ref.theory.checks import (
    EPSILON,
    Reals,
    check_broadcast,
    counts,
    finite,
    product,
    quiet,
    reals,
)
from lookahead_ref.theory.cycles import Cycle, Kind
from lookahead_ref.theory.noisy_quadratic import (
    added_variance,
    check_stable,
    expected_loss,
    factor_power,
    lookahead_variance_limit,
)
from lookahead_ref.theory.outer import PseudoGradient

_LossAt: TypeAlias = Callable[[Reals, Reals], Reals]


@dataclass(frozen=True, eq=False)
class Problem:
    """A noisy quadratic and the optimizer's start.

    Curvature has shape (n,) and is > 0; the others have this shape or are numbers.
    """

    curvature: ArrayLike
    noise: ArrayLike
    mean: ArrayLike
    variance: ArrayLike = 0.0

    def __post_init__(self) -> None:
        shape = reals("curvature", self.curvature, ndim=1).shape
        allowed = {"curvature": POSITIVE, "noise": NON_NEGATIVE, "mean": FINITE}
        for name, numbers in {**allowed, "variance": NON_NEGATIVE}.items():
            value = reals(name, getattr(self, name), numbers)
            if value.shape not in ((), shape):
                raise ValueError(
                    f"{name} must have the shape {shape} of curvature, or none, got "
                    f"{value.shape}"
                )
            object.__setattr__(self, name, np.broadcast_to(value, shape))


@dataclass(frozen=True)
class Best:
    """The best hyperparameters found by a search."""

    loss: float
    """The expected loss at the horizon."""
    learning_rate: float
    alpha: float = 1.0
    momentum: float = 0.0


def loss_after(
    problem: Problem,
    steps: ArrayLike,
    learning_rate: ArrayLike,
    k: ArrayLike = 1,
    alpha: ArrayLike = 1.0,
) -> Reals:
    """Return the expected loss of the slow weights after some gradient evaluations, (0.7).

    Between synchronizations the slow weights do not change. All arguments but the problem
    are broadcast against each other.

    Examples
    --------
    >>> problem = Problem([1.0], noise=1.0, mean=2.0)
    >>> loss_after(problem, [0, 4, 5], 0.5, k=5, alpha=1.0).round(3)
    array([2.5  , 2.5  , 0.668])
    """
    check_broadcast(steps=steps, learning_rate=learning_rate, k=k, alpha=alpha)
    k = counts("k", k)
    cycles = counts("steps", steps, 0) // k
    given = (np.asarray(each)[..., None] for each in (learning_rate, k, alpha, cycles))
    return finite("expected loss", _lookahead_loss(problem, *given))


@quiet
def steps_to_reach(
    problem: Problem, loss: float, learning_rate: float, k: int = 1, alpha: float = 1.0
) -> int:
    """Return how many gradient evaluations it takes to reach an expected loss.

    The number, a multiple of k, is exact, however large: a synchronization multiplies each
    coordinate's distance from its limit by a constant, and the search skips ranges in which
    the loss must be higher. The loss, (0.7), includes the noise's own part 1/2 sum a
    sigma^2. If the cycle does not contract, or the loss is never reached, that is a
    `ValueError` with the loss in the limit.

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
    finite("expected loss", distance, "")
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
        f"loss must be reachable, got {target:g}: in the limit it is {settled:g}"
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

    The search uses a grid of `points` along each axis. While the best point lies on an edge
    that is not a limit, the grid moves there; then `rounds` finer grids follow around the
    best point. The result is never worse than the best point of the first grid, but the
    search can miss a dip narrower than that grid's cells, or one beyond edges towards which
    the loss rises. With k = 1 Lookahead is SGD with the learning rate alpha gamma, so alpha
    is 1.

    `learning_rates` and `alphas` are the lowest and highest that may be returned. The
    default limits are alpha <= 1 and a learning rate below which no weight visibly moves;
    the latter is the result if it is best not to move at all.

    Examples
    --------
    >>> problem = Problem([1.0], noise=0.0, mean=1.0)
    >>> round(best_hyperparameters(problem, steps=10).learning_rate, 3)
    1.0
    """
    period = int(counts("k", k))
    horizon = int(counts("steps", steps, period))
    a = np.asarray(problem.curvature)
    least = EPSILON / horizon

    def box(rates: tuple[float, float], steps: tuple[float, float]) -> Reals:
        """Return the lowest, and the highest, log(alpha gamma) and log(alpha)."""
        # A small alpha needs a large learning rate: the valley lies along a constant
        # product of the two, which is one axis of the grid.
        rate = _range("learning_rates", learning_rates or rates, POSITIVE)
        step = _range("alphas", alphas or steps, STEP_SIZE)
        step = step if period > 1 else np.ones(2)
        return np.log([rate * step, step]).T

    limits = box((least / a.max(), 1.0 / (least * a.min())), (least, 1.0))
    low, high = limits[:, 0] - limits[:, 1]

    def settings(product: Reals, step: Reals) -> tuple[Reals, Reals]:
        return np.exp(np.clip(product - step, low, high)), np.minimum(np.exp(step), 1.0)

    def losses(product: Reals, step: Reals) -> Reals:
        rate, alpha = (each[..., None] for each in settings(product, step))
        return _lookahead_loss(problem, rate, period, alpha, horizon // period)

    start = box((1e-4 / a.max(), 4.0 / a.max()), (0.05, 1.0))
    loss, found = _search(losses, start, limits, points, rounds)
    tried = f"from {np.exp(low):g} to {np.exp(high):g} that were tried"
    why = f" at all learning_rates {tried}: the iteration diverges"
    finite(f"loss after {horizon} steps", loss, why)
    rate, alpha = settings(*found)
    return Best(loss, float(rate), float(alpha))


def cycle_loss(problem: Problem, cycle: Cycle, cycles: int) -> Reals:
    """Return the expected loss of the slow weights after some cycles of any kind.

    The last dimension of the cycle's grid is the problem's; the velocity starts at 0. The
    result has the shape of the other dimensions, and is inf beyond the range of numbers.

    Examples
    --------
    >>> from lookahead_ref.theory.outer import noisy_gradient
    >>> problem = Problem([1.0], noise=1.0, mean=2.0)
    >>> outer = noisy_gradient([1.0], noise=1.0).after(0.5, k=5).outer("nesterov", 0.7, 0.3)
    >>> float(cycle_loss(problem, outer, cycles=3).round(3))
    0.645
    """
    check_broadcast(problem=problem.curvature, cycle=cycle.k)
    many = cycle.repeated(cycles)
    return _loss(problem, 1.0 + many.change[..., 0, 0], many.noise[..., 0, 0])


def best_outer(
    problem: Problem,
    gradient: PseudoGradient,
    kind: Kind,
    cycles: int,
    *,
    points: int = 24,
    rounds: int = 6,
) -> Best:
    """Find an outer optimizer's learning rate and momentum with the least expected loss.

    It searches like `best_hyperparameters`, but the learning rate may exceed 1.
    `least_outer_loss` is a lower bound.

    Examples
    --------
    >>> from lookahead_ref.theory.outer import noisy_gradient
    >>> problem = Problem([1.0, 0.1], noise=0.0, mean=1.0)
    >>> gradient = noisy_gradient(problem.curvature).after(0.1, k=5)
    >>> best = best_outer(problem, gradient, "heavy-ball", cycles=10)
    >>> round(best.learning_rate, 3), round(best.momentum, 3)
    (4.882, 0.302)
    """
    least = EPSILON / int(counts("cycles", cycles, ndim=0))
    steepest = float(reals("curvature", np.abs(gradient.curvature).max(), POSITIVE))
    # Momentum makes a step 1 / (1 - momentum) times as long: the valley lies along a
    # constant length, which is one axis of the grid; the other is 1 - momentum.
    limits = np.log([[least / steepest, least], [1.0 / least / steepest, 1.0]])
    start = np.log([[1e-2 / steepest, 1e-2], [1e2 / steepest, 1.0]])
    if kind == "sgd":
        limits[:, 1] = start[:, 1] = 0.0

    def settings(length: Reals, rest: Reals) -> tuple[Reals, Reals]:
        return np.exp(length + rest), 0.0 - np.expm1(rest)

    def losses(length: Reals, rest: Reals) -> Reals:
        rate, momentum = (each[..., None] for each in settings(length, rest))
        return cycle_loss(problem, gradient.outer(kind, rate, momentum), cycles)

    loss, found = _search(losses, start, limits, points, rounds)
    finite("best expected loss", loss)
    rate, momentum = settings(*found)
    return Best(loss, float(rate), momentum=float(momentum))


def least_outer_loss(problem: Problem, gradient: PseudoGradient, cycles: int) -> float:
    """Return a lower bound of the expected loss for all outer optimizers.

    It holds if their coefficients do not depend on the gradients: for SGD, heavy ball and
    Nesterov with any schedules. With c and nu, the curvature and the noise of the
    pseudo-gradient, the mean square of an error e is at least 1 / (1 / e^2 + cycles c^2 /
    nu). In one dimension SGD with a schedule reaches it: see `docs/theory.md`.

    Examples
    --------
    >>> from lookahead_ref.theory.outer import noisy_gradient
    >>> problem = Problem([1.0], noise=1.0, mean=2.0)
    >>> gradient = noisy_gradient([1.0], noise=1.0).after(0.5, k=5)
    >>> round(least_outer_loss(problem, gradient, cycles=3), 3)
    0.557
    """
    start = np.asarray(problem.mean) ** 2 + np.asarray(problem.variance)
    check_broadcast(problem=problem.curvature, gradient=gradient.curvature)
    total = gradient.noise + counts("cycles", cycles, 0, 0) * gradient.curvature**2 * start
    left = np.divide(gradient.noise, total, out=np.ones_like(total), where=total > 0.0)
    return float(expected_loss(0.0, left * start, problem.curvature, problem.noise))


def _search(
    losses: _LossAt, start: Reals, limits: Reals, points: int, rounds: int
) -> tuple[float, Reals]:
    """Search the least loss in a plane, from a first grid; return it and its place."""
    points, rounds = int(counts("points", points, 3)), int(counts("rounds", rounds))
    lows, highs = start
    least, centre, left = np.inf, lows, rounds
    for _ in range(10 * rounds):  # a finer or moved grid each time
        first = np.linspace(lows[0], highs[0], points)
        second = np.unique(np.linspace(lows[1], highs[1], points))
        found = losses(first[:, None], second)
        i, j = np.unravel_index(np.argmin(found), found.shape)
        better = found[i, j] < least
        if better:
            least, centre = float(found[i, j]), np.array([first[i], second[j]])
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
    return least, centre


def _lookahead_loss(
    problem: Problem, learning_rate: ArrayLike, *others: ArrayLike
) -> Reals:
    """Return the loss for k, alpha and cycles; the last dimension is the problem's."""
    a = problem.curvature
    added = added_variance(learning_rate, a, problem.noise, *others)
    return _loss(problem, factor_power(learning_rate, a, *others), added)


@quiet
def _loss(problem: Problem, factor: Reals, added: Reals) -> Reals:
    """Return the loss after multiplying the mean and adding variance, or inf."""
    square = np.asarray(problem.mean) ** 2 + np.asarray(problem.variance)
    left = product(square, factor**2) + added + np.asarray(problem.noise)
    losses = 0.5 * (left @ np.asarray(problem.curvature))
    return np.where(np.isnan(losses), np.inf, losses)


def _range(name: str, given: tuple[float, float], allowed: Range) -> Reals:
    values = reals(name, given, allowed)
    if values.shape != (2,) or not values[0] <= values[1]:
        came = values.tolist()
        raise ValueError(f"{name} must be a lowest and a highest value, got {came}")
    return values
