"""Functions to differentiate on the host, on the stand-in and on a GPU, with arguments."""

from collections.abc import Callable
from typing import Any

import autograd.numpy as np
import numpy as onp  # noqa: ICN001 - as autograd has it

from lookahead_ref.kernels import namespace


def draw(*shape: int, seed: int = 0) -> Any:
    return onp.asarray(onp.random.default_rng(seed).uniform(0.5, 1.5, shape))


M, N, V = draw(3, 4), draw(4, 5, seed=1), draw(4, seed=2)
B = draw(2, 3, 4, seed=3)
S, T = draw(3, 3, seed=4), draw(4, 3, seed=7)
E = draw(2, 4, 5, seed=6)
ROWS = onp.array([2, 0, 2])


def rows(array: Any) -> Any:
    """Indices of the array's library."""
    return namespace(array).asarray(ROWS)


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "sum": (lambda x: np.sum(x), (B,)),
    "sum over an axis": (lambda x: np.sum(x, axis=-2), (B,)),
    "sum over axes, kept": (lambda x: np.sum(x, axis=(0, 2), keepdims=True), (B,)),
    "sum, the method": (lambda x: x.sum(1), (B,)),
    "mean": (lambda x: np.mean(x), (B,)),
    "mean over axes": (lambda x: np.mean(x, axis=(0, -1)), (B,)),
    "prod": (lambda x: np.prod(x, axis=1), (B,)),
    "var": (lambda x: np.var(x, axis=1, ddof=1), (B,)),
    "std": (lambda x: np.std(x, axis=(0, 1)), (B,)),
    "max": (lambda x: np.max(x), (B,)),
    "max over an axis": (lambda x: np.max(x, axis=1, keepdims=True), (B,)),
    "min over axes": (lambda x: np.min(x, axis=(0, 2)), (B,)),
    "cumsum": (lambda x: np.cumsum(x, axis=1), (M,)),
    "add, broadcast": (lambda x, y: x + y, (B, V)),
    "subtract, from a number": (lambda x: 3.0 - x, (M,)),
    "multiply, broadcast": (lambda x, y: x * y, (V, B)),
    "divide": (lambda x, y: x / y, (M, V)),
    "divide a number": (lambda x: 2.0 / x, (M,)),
    "power of a number": (lambda x: x**3, (M,)),
    "power one": (lambda x: x**1.0, (M,)),
    "power of an array": (lambda x, y: x**y, (M, V)),
    "a number to the power": (lambda x: 2.0**x, (M,)),
    "maximum": (lambda x, y: np.maximum(x, y), (M, V)),
    "maximum with a number": (lambda x: np.maximum(x, 1.0), (M,)),
    "minimum": (lambda x, y: np.minimum(x, y), (M, V)),
    "exp, log, sqrt, tanh": (lambda x: np.exp(np.sqrt(x)) + np.tanh(np.log(x)), (M,)),
    "exp2, log2": (lambda x: np.exp2(x) + np.log2(x), (M,)),
    "log10, log1p": (lambda x: np.log10(x + 1.0) - np.log1p(x), (M,)),
    "sin, cos, arctan": (lambda x: np.sin(x) * np.cos(x) + np.arctan(x), (M,)),
    "sinh, cosh": (lambda x: np.sinh(x) * np.cosh(x), (M,)),
    "tan, sinc": (lambda x: np.tan(x) * np.sinc(x), (M,)),
    "arcsin, arccos": (lambda x: np.arcsin(x / 2) * np.arccos(x / 2), (M,)),
    "arctanh": (lambda x: np.arctanh(x / 2), (M,)),
    "arcsinh, arccosh": (lambda x: np.arcsinh(x) * np.arccosh(x + 1.0), (M,)),
    "arctan2, hypot": (lambda x, y: np.arctan2(x, y) * np.hypot(x, y), (M, V)),
    "degrees, rad2deg": (lambda x: np.degrees(x) * np.rad2deg(x), (M,)),
    "radians, deg2rad": (lambda x: np.radians(x) * np.deg2rad(x), (M,)),
    "expm1, reciprocal": (lambda x: np.expm1(x) * np.reciprocal(x), (M,)),
    "mod, remainder": (lambda x, y: np.mod(x, y) * np.remainder(x, y), (M, V)),
    "fabs, nan_to_num": (lambda x: np.fabs(x) * np.nan_to_num(x), (M,)),
    "real, conj": (lambda x: np.real(x) * np.conj(x), (M,)),
    "imag, angle": (lambda x: x + np.imag(x) * np.angle(x), (M,)),
    "real_if_close, conjugate": (lambda x: np.real_if_close(np.conjugate(x)) * x, (M,)),
    "abs, negative, square": (lambda x: np.abs(-x) + np.square(x), (M,)),
    "clip": (lambda x: np.clip(x, 0.7, 1.2), (M,)),
    "clip from below": (lambda x: np.clip(x, 0.7, None), (M,)),
    "clip from above": (lambda x: np.clip(x, None, 1.2), (M,)),
    "fmax, fmin": (lambda x, y: np.fmax(x, y) * np.fmin(x, y), (M, V)),
    "amax, amin": (lambda x: np.amax(x, axis=1) * np.amin(x, axis=1), (M,)),
    "where": (lambda x, y: np.where(x > 1.0, x, y), (M, draw(3, 4, seed=7))),
    "where, broadcast": (lambda x, y: np.where(y > 1.0, x, y), (V, M)),
    "where, with a number": (lambda x: np.where(x > 1.0, x, 0.0), (M,)),
    "logaddexp": (lambda x, y: np.logaddexp(x, y), (M, V)),
    "logaddexp2": (lambda x, y: np.logaddexp2(x, y), (M, V)),
    "cross": (lambda x, y: np.cross(x, y), (draw(4, 3), T)),
    "matmul": (lambda x, y: x @ y, (M, N)),
    "matmul, batched": (lambda x, y: np.matmul(x, y), (B, N)),
    "matmul with a vector": (lambda x, y: x @ y, (B, V)),
    "matmul of a vector": (lambda x, y: x @ y, (V, N)),
    "matmul of vectors": (lambda x, y: x @ y, (V, draw(4, seed=8))),
    "dot": (lambda x, y: np.dot(x, y), (M, N)),
    "dot of vectors": (lambda x, y: np.dot(x, y), (V, draw(4, seed=8))),
    "dot with a vector": (lambda x, y: np.dot(x, y), (B, V)),
    "dot of a vector": (lambda x, y: np.dot(x, y), (V, N)),
    "dot of many dimensions": (lambda x, y: np.dot(x, y), (B, draw(2, 4, 3, seed=9))),
    "dot with a scalar": (lambda x, y: np.dot(x, y), (M, draw())),
    "inner": (lambda x, y: np.inner(x, y), (B, M)),
    "outer": (lambda x, y: np.outer(x, y), (V, draw(3, seed=5))),
    "tensordot": (lambda x, y: np.tensordot(x, y, axes=1), (B, N)),
    "tensordot over pairs": (lambda x, y: np.tensordot(x, y, ([2, 0], [1, 0])), (B, E)),
    "tensordot over all": (lambda x, y: np.tensordot(x, y, ([0, 1], [1, 0])), (M, T)),
    "einsum": (lambda x, y: np.einsum("bij,jk->bik", x, y), (B, N)),
    "einsum with an ellipsis": (lambda x, y: np.einsum("...j,jk->...k", x, y), (B, N)),
    "einsum that sums": (lambda x, y: np.einsum("bij,jk->k", x, y), (B, N)),
    "einsum, repeated": (lambda x, y: np.einsum("...ij,...jk->...k", x, y), (B[:1], E)),
    "einsum of one": (lambda x: np.einsum("bij->jb", x), (B,)),
    "einsum, implicit": (lambda x, y: np.einsum("ij,jk", x, y), (M, N)),
    "reshape": (lambda x: np.reshape(x, (4, 6)), (B,)),
    "reshape, the method": (lambda x: x.reshape(6, 4) * x.reshape((6, 4)), (B,)),
    "ravel, flatten": (lambda x: np.ravel(x) * x.flatten(), (B,)),
    "transpose": (lambda x: np.transpose(x, (1, 2, 0)), (B,)),
    "transpose, reversed": (lambda x: x.T, (B,)),
    "swapaxes, moveaxis": (lambda x: np.moveaxis(np.swapaxes(x, 0, 1), 2, 0), (B,)),
    "expand_dims, squeeze": (lambda x: np.squeeze(np.expand_dims(x, 1)), (M,)),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 3, 4)), (V,)),
    "broadcast_to of ones": (lambda x: np.broadcast_to(x, (2, 3, 4)), (draw(3, 1),)),
    "concatenate": (lambda x, y: np.concatenate([x, y], axis=0), (M, draw(2, 4))),
    "stack": (lambda x, y: np.stack([x, y, x]), (M, draw(3, 4, seed=7))),
    "vstack, hstack": (lambda x: np.vstack([x, x]) * np.hstack([x[0], x[1, :0]]), (M,)),
    "column_stack": (lambda x, y: np.column_stack([x, y, x]), (V, draw(4, 2, seed=7))),
    "array of scalars": (lambda x: np.array([x[0], 2.0, x[1] * x[2]]), (V,)),
    "array of an array": (lambda x: np.array(x), (V,)),
    "append": (lambda x: np.append(x, x), (V,)),
    "split": (lambda x: np.split(x, 2, axis=1)[1], (M,)),
    "array_split": (lambda x: np.array_split(x, 3, axis=1)[1], (M,)),
    "hsplit": (lambda x: np.hsplit(x, 2)[0], (M,)),
    "vsplit": (lambda x: np.vsplit(x, 2)[0], (B,)),
    "dsplit": (lambda x: np.dsplit(x, 2)[1], (B,)),
    "atleast_1d, 2d": (lambda x: np.atleast_2d(np.atleast_1d(x)).T, (V,)),
    "atleast_3d": (lambda x: np.atleast_3d(x), (V,)),
    "rollaxis, rot90": (lambda x: np.rollaxis(np.rot90(x), 1, 0), (M,)),
    "repeat, tile": (lambda x: np.repeat(x, 2, axis=1) * np.tile(x, (1, 2)), (M,)),
    "roll, flip": (lambda x: np.roll(x, 1, axis=0) * np.flipud(np.fliplr(x)), (M,)),
    "pad": (lambda x: np.pad(x, ((1, 0), (0, 2)), mode="constant"), (M,)),
    "an element": (lambda x: x[1, 2], (M,)),
    "slices": (lambda x: x[..., ::2, 1:] * x[..., ::2, :-1], (B,)),
    "a new axis": (lambda x: x[:, None] * x, (V,)),
    "rows, twice": (lambda x: x[rows(x)], (M,)),
    "rows and columns": (lambda x: x[rows(x), rows(x)], (M,)),
    "a list of rows": (lambda x: x[[0, 0, 2]], (M,)),
    "diag": (lambda x: np.diag(x), (S,)),
    "diagonal": (lambda x: np.diagonal(x, axis1=-1, axis2=-2), (draw(2, 3, 3),)),
    "trace": (lambda x: np.trace(x), (S,)),
    "triu, tril": (lambda x: np.triu(x) + 2 * np.tril(x), (S,)),
    "sort": (lambda x: np.sort(x), (V,)),
    "partition": (lambda x: np.partition(x, 2), (draw(9),)),
    "linspace": (lambda x, y: np.linspace(x, y, 5), (draw(), draw(seed=1))),
    "linspace, no end": (lambda x: np.linspace(x, 2.0, 5, endpoint=False), (draw(),)),
    "diff": (lambda x: np.diff(x, axis=0), (M,)),
    "kron": (lambda x, y: np.kron(x, y), (M, S)),
    "astype": (lambda x: x.astype(onp.float64), (M,)),
}

# autograd's own rule fails here, or returns a wrong shape.
BEYOND = {"where, broadcast", "broadcast_to", "broadcast_to of ones", "linspace, no end"}

# An index on the host must be moved to the device.
MOVE = {"a list of rows", "rows, twice", "rows and columns"}

# Not differentiated on a device, although autograd has a derivative.
MISSING: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "full": (lambda x: np.full((2, 3), x), (draw(),)),
    "gradient": (lambda x: np.gradient(x), (V,)),
    "make_diagonal": (lambda x: np.make_diagonal(x, axis1=-1, axis2=-2), (M,)),
    "select": (lambda x: np.select([x > 1.0, x > 0.7], [x, 2.0 * x]), (M,)),
    "einsum with lists of subscripts": (lambda x: np.einsum(x, [0, 1], [1, 0]), (M,)),
    "linalg": (lambda x: np.linalg.inv(x), (S,)),
    "fft": (lambda x: np.real(np.fft.fft(x)), (V,)),
}
