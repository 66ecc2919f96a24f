"""Proposition 1: the slow weights' best step size on a quadratic loss.

The loss is L(x) = 1/2 x'Ax - b'x. An argument A may be

- a matrix, shape (n, n), symmetric;
- its diagonal, shape (n,), if it is diagonal;
- a function that maps a vector v, shape (n,), to A v.

Other arguments are vectors of shape (n,): a point x; b, the linear term; theta_0 and
theta_k, the start and end of the inner loop. Equation numbers are those of the source
document; `docs/errata.md` lists corrections.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from lookahead_ref.hyperparameters import POSITIVE, STEP_SIZE
from lookahead_ref.theory.checks import EPSILON, Reals, finite, quiet, reals

Matrix: TypeAlias = ArrayLike | Callable[[Reals], ArrayLike]
"""A symmetric matrix: in full, as its diagonal, or as a function."""


@quiet
def loss(x: ArrayLike, A: Matrix, b: ArrayLike) -> float:
    """Return the loss, 1/2 x'Ax - b'x.

    Examples
    --------
    >>> loss([1.0, 2.0], [2.0, 1.0], [1.0, 0.0])
    2.0
    """
    x = reals("x", x, ndim=1)
    times = _operator(A, len(x), "x")
    b = _vector("b", b, len(x), "x")
    return float(finite("loss", x @ times(x) / 2.0 - b @ x, ""))


@quiet
def gradient(x: ArrayLike, A: Matrix, b: ArrayLike) -> Reals:
    """Return the gradient of the loss, Ax - b.

    Examples
    --------
    >>> gradient([1.0, 2.0], [2.0, 1.0], [1.0, 0.0])
    array([1., 2.])
    """
    x = reals("x", x, ndim=1)
    times, b = _operator(A, len(x), "x"), _vector("b", b, len(x), "x")
    return finite("gradient", times(x) - b, "")


@quiet
def optimum(A: ArrayLike, b: ArrayLike) -> Reals:
    """Return theta* = A^{-1} b, the point where the gradient vanishes.

    It minimises the loss if A is positive definite; otherwise it is a saddle or a maximum.
    A must not be a function, which cannot be inverted, or singular up to rounding.

    Examples
    --------
    >>> optimum([[2.0, 1.0], [1.0, 2.0]], [3.0, 3.0])
    array([1., 1.])
    """
    if callable(A):
        raise TypeError("A must be an array to be inverted, got a function")
    b = reals("b", b, ndim=1)
    matrix = _matrix(A, len(b), "b")
    if matrix.ndim == 1:
        if not np.all(matrix):
            raise ValueError(
                "A must be nonsingular for theta* to exist, got a zero on its diagonal"
            )
        return finite("optimum", b / matrix, "")
    magnitudes = np.abs(np.linalg.eigvalsh(matrix))
    if magnitudes.min(initial=np.inf) <= len(b) * EPSILON * magnitudes.max(initial=0.0):
        raise ValueError(
            "A must be nonsingular for theta* to exist, got one with an eigenvalue that is "
            "0 up to rounding"
        )
    return finite("optimum", np.linalg.solve(matrix, b), "")


@quiet
def optimal_alpha(
    theta_0: ArrayLike,
    theta_k: ArrayLike,
    A: Matrix,
    b: ArrayLike | None = None,
    *,
    theta_star: ArrayLike | None = None,
) -> float:
    """Return the step size that minimises the loss between two points, equation (0.3).

    With d = theta_k - theta_0 it is alpha* = d'(b - A theta_0) / (d'Ad): above 1 if the
    inner loop did not go far enough, negative if it went uphill. This needs neither an
    inverse nor a definite A, only d'Ad > 0: the loss must curve upwards along this line.
    Instead of b, `theta_star`, the optimum, may be given, as in (0.3): then b - A theta_0
    is A (theta* - theta_0).

    It is a `ValueError` if the two points are equal, or if the loss does not curve upwards
    between them by more than the rounding error of A d. The rounding inside an A that is a
    function is unknown and ignored.

    Examples
    --------
    >>> optimal_alpha([2.0, 0.0], [0.0, 0.0], [1.0, 3.0], [0.5, 0.0])
    0.75
    """
    theta_0 = reals("theta_0", theta_0, ndim=1)
    theta_k = _vector("theta_k", theta_k, len(theta_0), "theta_0")
    times = _operator(A, len(theta_0), "theta_0")
    if b is not None and theta_star is None:
        force = _vector("b", b, len(theta_0), "theta_0") - times(theta_0)
    elif theta_star is not None and b is None:
        force = times(_vector("theta_star", theta_star, len(theta_0), "theta_0") - theta_0)
    else:
        raise TypeError("optimal_alpha needs either b or theta_star, not both")
    d = theta_k - theta_0
    if not np.any(d):
        raise ValueError("theta_k must differ from theta_0, got two equal points")
    # Only the direction matters, and its square must not underflow.
    scale = float(np.abs(d).max())
    d = d / scale
    along = times(d)
    curvature = float(finite("curvature d'Ad", d @ along, ""))
    # The scale of the rounding errors is |d|'|A||d|.
    size = np.abs(d)
    bent = np.abs(along) if callable(A) else _operator(np.abs(A), len(d), "d")(size)
    if not curvature > (len(d) + 2) * EPSILON * float(size @ bent):
        raise ValueError(
            "A must curve the loss upwards between theta_0 and theta_k, got d'Ad = "
            f"{curvature * scale * scale:g} for d = theta_k - theta_0, which is not above "
            "its rounding error"
        )
    return float(finite("optimal alpha", d @ force / curvature / scale, ""))


@quiet
def newton_optimum(
    theta_k: ArrayLike, gradient: ArrayLike, curvature: ArrayLike, *, scale: float = 1.0
) -> Reals:
    """Return theta_k - A^{-1} g, the optimum for a diagonal curvature estimate.

    Gradient and curvature, which must not be 0, are those of `curvature_alpha`.
    """
    theta_k = reals("theta_k", theta_k, ndim=1)
    g = _vector("gradient", gradient, len(theta_k), "theta_k")
    diagonal = _vector("curvature", curvature, len(theta_k), "theta_k")
    scale = float(reals("scale", scale, POSITIVE))
    if not np.all(diagonal):
        raise ValueError("curvature must not be 0 for theta* to exist, got a 0")
    return finite("optimum", theta_k - g / (scale * diagonal), "")


@quiet
def curvature_alpha(
    theta_0: ArrayLike,
    theta_k: ArrayLike,
    gradient: ArrayLike,
    curvature: ArrayLike,
    *,
    scale: float = 1.0,
    alpha_low: float = 0.2,
) -> float:
    """Estimate alpha* on any loss, from its gradient and a diagonal curvature estimate.

    Equation (0.3) with theta* = theta_k - A^{-1} g is alpha* = 1 - g'd / (d'Ad), where d =
    theta_k - theta_0: the inverse cancels. `gradient` is g at theta_k, `curvature` the
    diagonal of A divided by `scale`. The result is clipped to [alpha_low, 1], and is 1 if
    d'Ad is not positive.

    The paper uses the empirical Fisher, the mean square of the gradient, which Adam's
    second moment estimates. The square of a mini-batch's mean gradient is about 1 / (batch
    size) of the mean square of single gradients; near an optimum, the batch size as `scale`
    corrects this.

    Examples
    --------
    >>> curvature_alpha([1.0, 1.0], [0.0, -1.0], [0.0, -1.0], [1.0, 1.0])
    0.6
    """
    theta_0 = reals("theta_0", theta_0, ndim=1)
    theta_k = _vector("theta_k", theta_k, len(theta_0), "theta_0")
    g = _vector("gradient", gradient, len(theta_0), "theta_0")
    diagonal = _vector("curvature", curvature, len(theta_0), "theta_0")
    scale = float(reals("scale", scale, POSITIVE))
    low = float(reals("alpha_low", alpha_low, STEP_SIZE))
    d = theta_k - theta_0
    size = float(np.abs(d).max(initial=0.0))
    if size == 0.0:
        return 1.0
    d = d / size
    bend = float(d @ (diagonal * d)) * size * scale
    if not bend > 0.0:
        return 1.0
    descent = float(finite("decrease g'd", g @ d, ""))
    return min(max(1.0 - descent / bend, low), 1.0)


def _vector(name: str, value: ArrayLike, length: int, like: str) -> Reals:
    array = reals(name, value, ndim=1)
    if len(array) != length:
        raise ValueError(
            f"{name} must have {length} elements like {like}, got {len(array)}"
        )
    return array


def _matrix(A: ArrayLike, length: int, like: str) -> Reals:
    matrix = reals("A", A)
    if matrix.shape not in ((length,), (length, length)):
        raise ValueError(
            f"A must have the shape ({length}, {length}) or ({length},) to fit {like}, "
            f"got {matrix.shape}"
        )
    if matrix.ndim == 2:
        # Rounding errors of matrix products are allowed, and then averaged out.
        off = np.abs(matrix - matrix.T).max(initial=0.0)
        if off > 8 * length * EPSILON * np.abs(matrix).max(initial=0.0):
            raise ValueError(f"A must be symmetric, got one with A - A' up to {off:g}")
        matrix = (matrix + matrix.T) / 2.0
    return matrix


def _operator(A: Matrix, length: int, like: str) -> Callable[[Reals], Reals]:
    if callable(A):
        function = A

        def times(v: Reals) -> Reals:
            product = reals("A(v)", function(v.copy()))
            if product.shape != (length,):
                raise ValueError(
                    f"A(v) must have the shape ({length},), got {product.shape}"
                )
            return product

        return times
    matrix = _matrix(A, length, like)
    return lambda v: matrix * v if matrix.ndim == 1 else matrix @ v
