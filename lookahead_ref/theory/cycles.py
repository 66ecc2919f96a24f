"""Momentum inside Lookahead on the noisy quadratic model, which the paper omits.

A coordinate's state is z = (theta, u) with the velocity scaled by the learning rate, u =
gamma v, so that everything depends on x = gamma a alone. With n = -x c, the noise of a
step,

- heavy ball: u <- momentum u + x theta + n; theta <- theta - u;
- Nesterov: u <- momentum u + x theta + n; theta <- theta - (x theta + n) - momentum u;
- SGD: either of them without momentum.

So a step is z <- M z + n d, and a cycle of Lookahead, from one synchronization to the next,
is z <- C z + (noise) with C = E + D M^k, where D and E describe the synchronization:

============  ===============  =======================
inner state   D                E
============  ===============  =======================
maintain      diag(alpha, 1)   diag(1 - alpha, 0)
reset         diag(alpha, 0)   diag(1 - alpha, 0)
interpolate   alpha I          (1 - alpha) I
============  ===============  =======================

Then the mean follows m <- C m and the covariance S <- C S C' + D (sum_{i<k} M^i Q M'^i)
D' with Q = x^2 sigma^2 d d'. The cycle is stable if and only if the spectral radius of C is
below 1.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookahead_ref.hyperparameters import (
    BELOW_ONE,
    NON_NEGATIVE,
    STEP_SIZE,
    InnerStateKind,
    option,
)
from lookahead_ref.theory.checks import (
    Counts,
    Numbers,
    Reals,
    check_broadcast,
    counts,
    finite,
    numbers,
    product,
    quiet,
    reals,
)

Kind: TypeAlias = Literal["sgd", "heavy-ball", "nesterov"]

_IDENTITY = np.eye(2)


@dataclass(frozen=True, eq=False)
class Cycle:
    """The effect of one cycle of Lookahead on mean and covariance of (theta, gamma v).

    Made by `cycle` or `outer_cycle`. The leading dimensions of all arrays are those of the
    grid; a mean has shape (..., 2), a covariance (..., 2, 2).
    """

    change: Reals
    """C - I, shape (..., 2, 2); in C itself rounding would hide a slow decay."""
    noise: Reals
    """The covariance that the cycle adds, shape (..., 2, 2)."""
    k: Counts
    """The number of gradient evaluations."""
    log_radius: Reals
    """The logarithm of the spectral radius of C, accurate even near C = 0."""

    @property
    def matrix(self) -> Reals:
        """C, shape (..., 2, 2)."""
        return self.change + _IDENTITY

    @property
    @quiet
    def spectral_radius(self) -> Reals:
        """The largest modulus of an eigenvalue of C, shape (...)."""
        return np.exp(self.log_radius)

    @property
    def stable(self) -> NDArray[np.bool_]:
        """Whether the spectral radius is below 1, even if rounding hides it.

        The roots of a quadratic lie in the unit circle if and only if it is positive at 1
        and -1 and its last coefficient is below 1. With E = C - I this is det E > 0, 4 + 2
        tr E + det E > 0, and tr E + det E < 0.
        """
        size = np.abs(self.change).max(axis=(-2, -1))
        # Scaled, so that the determinant does not underflow, unless E is 0.
        e = self.change / np.where(size > 0.0, size, 1.0)[..., None, None]
        half, _, _, determinant = _roots(e)
        return np.asarray(
            (determinant > 0.0)
            & (4.0 + size * (4.0 * half + size * determinant) > 0.0)
            & (2.0 * half + size * determinant < 0.0)
        )

    @property
    @quiet
    def rate(self) -> Reals:
        """The spectral radius per gradient evaluation: its k-th root."""
        return np.exp(self.log_radius / self.k)

    @quiet
    def mean(self, mean: ArrayLike, cycles: int = 1) -> Reals:
        """Return the mean of the state after cycles, given that at a synchronization."""
        state = _states("mean", mean, self.change.shape[:-2], (2,))
        moved = product(state[..., None, :], self.repeated(cycles).change).sum(-1)
        return finite("mean", state + moved)

    @quiet
    def covariance(self, covariance: ArrayLike, cycles: int = 1) -> Reals:
        """Return the covariance of the state after cycles, given that at the start."""
        state = _states("covariance", covariance, self.change.shape[:-2], (2, 2))
        whole = self.repeated(cycles)
        return finite("covariance", _moved(whole.change, state) + whole.noise)

    @quiet
    def repeated(self, cycles: int) -> "Cycle":
        """Return several cycles as one, which may exceed the range of numbers."""
        n = counts("cycles", cycles, 0, 0)
        times = np.broadcast_to(n, self.change.shape[:-2])
        change, noise = _repeat(self.change, self.noise, times)
        return Cycle(change, noise, self.k * n, product(n, self.log_radius))

    @quiet
    def covariance_limit(self) -> Reals:
        """Return the fixed point of the covariance, S = C S C' + noise.

        Its element [..., 0, 0] is the variance of the slow weights.
        """
        if not np.all(self.stable):
            worst = float(np.max(self.spectral_radius))
            raise ValueError(
                "learning_rate must be in the stable region of the cycle, got one where "
                f"its spectral radius is {worst:g}: the covariance diverges"
            )
        e = self.change
        # S - C S C' is -(E S C' + S E') for C = I + E.
        left = np.einsum("...ij,...kl->...ikjl", e, self.matrix)
        right = np.einsum("ij,...kl->...ikjl", _IDENTITY, e)
        system = -(left + right).reshape(*e.shape[:-2], 4, 4)
        solved = np.linalg.solve(system, self.noise.reshape(*e.shape[:-2], 4, 1))
        limit = solved.reshape(e.shape)
        return finite("covariance", (limit + _transpose(limit)) / 2.0)


def step_matrix(kind: Kind, x: ArrayLike, momentum: ArrayLike = 0.0) -> Numbers:
    """Return M, the matrix of a step on (theta, gamma v), shape (..., 2, 2).

    x is gamma a: negative for a concave loss, complex in a game.

    Examples
    --------
    >>> step_matrix("heavy-ball", 0.5, momentum=0.75)
    array([[ 0.5 , -0.75],
           [ 0.5 ,  0.75]])
    """
    return np.asarray(_step_change(kind, numbers("x", x), momentum) + _IDENTITY)


def step_noise(kind: Kind, momentum: ArrayLike = 0.0) -> Reals:
    """Return d, the effect of a gradient's noise on (theta, gamma v), shape (..., 2)."""
    mu = _momentum(kind, momentum)
    ones = np.ones_like(mu)
    return np.stack([-(1.0 + mu) if kind == "nesterov" else -ones, ones], axis=-1)


def cycle(
    kind: Kind,
    x: ArrayLike,
    momentum: ArrayLike = 0.0,
    *,
    k: ArrayLike = 1,
    alpha: ArrayLike = 1.0,
    inner_state: InnerStateKind = "maintain",
    noise: ArrayLike = 1.0,
) -> Cycle:
    """Return the exact cycle of Lookahead around an optimizer.

    x is gamma a, not negative, and `noise` is sigma^2, the variance of the centres.

    Examples
    --------
    A stable heavy ball that Lookahead makes unstable:

    >>> heavy_ball = cycle("heavy-ball", 2.62, 0.9)
    >>> around = cycle("heavy-ball", 2.62, 0.9, k=5, alpha=0.5)
    >>> round(float(heavy_ball.spectral_radius), 3), round(float(around.spectral_radius), 3)
    (0.949, 1.031)
    """
    whole = _cycle(kind, x, momentum, k, alpha, inner_state, noise)
    finite("cycle", whole.change)
    finite("noise of a cycle", whole.noise)
    return whole


def outer_cycle(
    kind: Kind,
    contraction: ArrayLike,
    momentum: ArrayLike = 0.0,
    *,
    noise: ArrayLike = 0.0,
    k: ArrayLike = 1,
) -> Cycle:
    """Return the step of an outer optimizer on (phi, outer rate * velocity).

    `contraction` is the outer learning rate times c, the curvature of the pseudo-gradient,
    of either sign; `noise` is the variance of the outer learning rate times the
    pseudo-gradient; `k` is the number of gradient evaluations for one.

    Examples
    --------
    >>> float(outer_cycle("nesterov", 0.5, 0.5).spectral_radius)
    0.5
    """
    check_broadcast(contraction=contraction, momentum=momentum, noise=noise, k=k)
    change = _step_change(kind, reals("contraction", contraction), momentum)
    added, k = reals("noise", noise, NON_NEGATIVE), counts("k", k)
    shape = np.broadcast_shapes(change.shape[:-2], added.shape, k.shape)
    change, k = np.broadcast_to(change, (*shape, 2, 2)), np.broadcast_to(k, shape)
    added = _spread(kind, momentum, added, shape)
    all_of_it = np.ones((*shape, 2))
    radius = _log_radius(change, change, np.ones_like(k), all_of_it, 0.0 * all_of_it)
    return Cycle(change, added, k, radius)


def log_rate(
    kind: Kind,
    x: ArrayLike,
    momentum: ArrayLike = 0.0,
    *,
    k: ArrayLike = 1,
    alpha: ArrayLike = 1.0,
    inner_state: InnerStateKind = "maintain",
) -> Reals:
    """Return the logarithm of `Cycle.rate`, even if C exceeds the range of numbers."""
    whole = _cycle(kind, x, momentum, k, alpha, inner_state, 0.0)
    return np.asarray(whole.log_radius / whole.k)


@quiet
def _cycle(
    kind: Kind,
    x: ArrayLike,
    momentum: ArrayLike,
    k: ArrayLike,
    alpha: ArrayLike,
    inner_state: InnerStateKind,
    noise: ArrayLike,
) -> Cycle:
    """Return a cycle, in which only `log_radius` is surely finite."""
    check_broadcast(x=x, momentum=momentum, k=k, alpha=alpha, noise=noise)
    option("inner_state", inner_state, get_args(InnerStateKind))
    step = finite("step", _step_change(kind, reals("x", x, NON_NEGATIVE), momentum))
    sigma2 = reals("noise", noise, NON_NEGATIVE)
    k = counts("k", k)
    alpha = reals("alpha", alpha, STEP_SIZE)
    shape = np.broadcast_shapes(step.shape[:-2], sigma2.shape, k.shape, alpha.shape)
    step, k = np.broadcast_to(step, (*shape, 2, 2)), np.broadcast_to(k, shape)

    per_step = _spread(kind, momentum, sigma2 * np.square(x), shape)
    change, gathered = _repeat(step, per_step, k)

    one, zero = np.ones(shape), np.zeros(shape)
    alpha = np.broadcast_to(alpha, shape)
    velocity, anchor = {
        "maintain": (one, zero),
        "reset": (zero, zero),
        "interpolate": (alpha, 1.0 - alpha),
    }[inner_state]
    scaling = np.stack([alpha, velocity], axis=-1)  # the diagonal of D
    kept = np.stack([1.0 - alpha, anchor], axis=-1)  # the diagonal of E
    whole = scaling[..., :, None] * change
    added = scaling[..., :, None] * gathered * scaling[..., None, :]
    if inner_state == "reset":
        whole[..., 1, 1] -= 1.0  # E + D is I, unless the velocity is reset
    return Cycle(whole, added, k, _log_radius(whole, step, k, scaling, kept))


@quiet
def _spread(
    kind: Kind, momentum: ArrayLike, variance: Reals, shape: tuple[int, ...]
) -> Reals:
    """Return the covariance that a step adds by its gradient's noise."""
    d = np.broadcast_to(step_noise(kind, momentum), (*shape, 2))
    return np.asarray(variance[..., None, None] * d[..., :, None] * d[..., None, :])


@quiet
def _step_change(kind: Kind, x: Numbers, momentum: ArrayLike) -> Numbers:
    x, mu = np.broadcast_arrays(x, _momentum(kind, momentum))
    first = [-x * (1.0 + mu), -mu * mu] if kind == "nesterov" else [-x, -mu]
    rows = [first, [x, mu - 1.0]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _momentum(kind: Kind, momentum: ArrayLike) -> Reals:
    option("kind", kind, get_args(Kind))
    mu = reals("momentum", momentum, BELOW_ONE)
    if kind == "sgd" and np.any(mu):
        raise ValueError(f"momentum must be 0 for SGD, got {momentum!r}")
    return mu


@quiet
def _log_radius(whole: Reals, step: Reals, k: Counts, scaling: Reals, kept: Reals) -> Reals:
    """Return the logarithm of the spectral radius of C = I + whole = E + D M^k."""
    # Far from 1, use C over e^scale, in which the scaled M^k is not lost beside I.
    power, log = _scaled_power(step + _IDENTITY, k)
    scale = np.where(np.any(kept != 0.0, axis=-1), np.maximum(log, 0.0), log)
    inner = np.exp(log - scale)[..., None, None] * power
    around = product(kept, np.exp(-scale)[..., None])
    c = scaling[..., :, None] * inner + around[..., :, None] * _IDENTITY
    half, root, real, _ = _roots(c)
    radius = np.where(real, np.abs(half) + root, np.hypot(half, root))
    far = np.log(radius) + scale

    # Near 1 the roots are 1 + e, with e as accurate as the change.
    half, root, real, determinant = _roots(whole)
    e = np.where(half < 0.0, determinant / (half - root), half + root)
    positive, negative = np.log1p(e), np.log(root - half - 1.0)
    of_real = np.where(half >= -1.0, positive, negative)
    near = np.where(real, of_real, np.log1p(2.0 * half + determinant) / 2.0)
    return np.where(np.abs(far) < 1.0, near, far)


def _roots(matrix: Reals) -> tuple[Reals, Reals, NDArray[np.bool_], Reals]:
    """Return half the trace, the roots' distance from it, if it is real; their product."""
    (a, b), (c, d) = np.moveaxis(matrix, (-2, -1), (0, 1))
    spread = ((a - d) / 2.0) ** 2 + b * c
    return (a + d) / 2.0, np.sqrt(np.abs(spread)), spread >= 0.0, a * d - b * c


def _scaled_power(matrix: Reals, times: Counts) -> tuple[Reals, Reals]:
    """Return P and s with M^n = P e^s, where the largest element of P has size 1."""
    power, log = _scaled(np.broadcast_to(_IDENTITY, matrix.shape), np.zeros(times.shape))
    factor, grown = _scaled(matrix, np.zeros(times.shape))
    left = np.array(times)
    while np.any(left):
        odd = left % 2 == 1
        longer, longer_log = _scaled(factor @ power, grown + log)
        power = np.where(odd[..., None, None], longer, power)
        log = np.where(odd, longer_log, log)
        factor, grown = _scaled(factor @ factor, 2.0 * grown)
        left = left // 2
    return power, log


def _scaled(matrix: Reals, log: Reals) -> tuple[Reals, Reals]:
    size = np.abs(matrix).max(axis=(-2, -1))
    size = np.where(size > 0.0, size, 1.0)
    return matrix / size[..., None, None], log + np.log(size)


@quiet
def _repeat(change: Reals, noise: Reals, times: Counts) -> tuple[Reals, Reals]:
    """Return C^n - I and the noise of n cycles, sum_{i<n} C^i noise C'^i."""
    # By squaring, which takes log(n) steps. Results beyond the range of numbers stay so.
    total, gathered = np.zeros_like(change), np.zeros_like(noise)
    left = np.array(times)
    while np.any(left):
        odd = (left % 2 == 1)[..., None, None]
        gathered = np.where(odd, _moved(change, gathered) + noise, gathered)
        total = np.where(odd, total + change + change @ total, total)
        noise = _moved(change, noise) + noise
        change = 2.0 * change + change @ change
        left = left // 2
    return total, gathered


def _moved(change: Reals, covariance: Reals) -> Reals:
    """Return C S C', where `change` is C - I; 0 if S is 0, for any C."""
    moves = np.any(covariance, axis=(-2, -1), keepdims=True)
    if not np.any(moves):
        return np.zeros(np.broadcast_shapes(change.shape, covariance.shape))
    matrix = change + _IDENTITY
    return np.where(moves, matrix @ covariance @ _transpose(matrix), 0.0)


def _states(
    name: str, value: ArrayLike, grid: tuple[int, ...], shape: tuple[int, ...]
) -> Reals:
    """Check the moments of states, for each point of the grid or for all."""
    states, wanted = reals(name, value), (*grid, *shape)
    try:
        np.broadcast_shapes(states.shape, wanted)
        fits = states.shape[-len(shape) :] == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} must have the shape {wanted} or one that broadcasts to it, got "
            f"{states.shape}"
        )
    return states


def _transpose(matrix: Reals) -> Reals:
    return np.swapaxes(matrix, -1, -2)
