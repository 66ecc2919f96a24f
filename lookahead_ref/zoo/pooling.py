"""What changes the size of pictures without parameters: pooling, and a shortcut."""

from typing import Any

import autograd.numpy as np

from lookahead_ref.kernels import namespace
from lookahead_ref.zoo.fused import Backward, fused

__all__ = ["max_pool", "mean_pool", "padded_identity"]


def _mean_pool(x: Any) -> Any:
    # Not np.mean, whose derivative is computed in float64.
    return np.sum(x, axis=(1, 2)) / (x.shape[1] * x.shape[2])


def _mean_forward(
    wanted: tuple[bool, ...], _kernels: Any, x: Any
) -> tuple[Any, Backward | None]:
    xp = namespace(x)
    places = x.shape[1] * x.shape[2]

    def backward(g: Any) -> tuple[Any, ...]:
        gradient = xp.empty(x.shape, dtype=x.dtype)
        gradient[...] = (g / places)[:, None, None, :]
        return (gradient,)

    return xp.sum(x, axis=(1, 2)) / places, backward if any(wanted) else None


_mean_pool_fused = fused(_mean_pool, _mean_forward)


def mean_pool(x: Any) -> Any:
    """Average each channel over a picture.

    Parameters
    ----------
    x : array, shape (n, height, width, channels)
        The pictures, channels last.

    Returns
    -------
    array, shape (n, channels)
        Of the dtype of x.

    Examples
    --------
    >>> mean_pool(np.arange(4.0).reshape(1, 2, 2, 1))
    array([[1.5]])
    """
    return _mean_pool_fused(x)


def _max_pool(x: Any, *, size: int, stride: int, padding: int) -> Any:
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    views = _views(np.pad(x, sides, mode="constant", constant_values=-np.inf), size, stride)
    best = views[0]
    for view in views[1:]:
        best = np.where(_better(view, best), view, best)
    return best


def _max_forward(
    wanted: tuple[bool, ...], _kernels: Any, x: Any, *, size: int, stride: int, padding: int
) -> tuple[Any, Backward | None]:
    xp = namespace(x)
    n, height, width, channels = x.shape
    frame = (n, height + 2 * padding, width + 2 * padding, channels)
    inside = (
        slice(None),
        *[slice(padding, padding + length) for length in (height, width)],
    )
    padded = xp.full(frame, -xp.inf, dtype=x.dtype)
    padded[inside] = x
    views = _views(padded, size, stride)
    best = xp.array(views[0], copy=True)
    chosen = xp.zeros(best.shape, dtype=xp.int8 if size * size < 128 else xp.int32)
    for number, view in enumerate(views[1:], start=1):
        better = _better(view, best)
        best = xp.where(better, view, best)
        chosen = xp.where(better, chosen.dtype.type(number), chosen)

    def backward(g: Any) -> tuple[Any, ...]:
        gradient = xp.zeros(frame, dtype=x.dtype)
        for number, view in enumerate(_views(gradient, size, stride)):
            view += g * (chosen == number)
        return (gradient[inside],)

    return best, backward if any(wanted) else None


_max_pool_fused = fused(_max_pool, _max_forward)


def max_pool(x: Any, *, size: int, stride: int, padding: int = 0) -> Any:
    """Take the largest of each neighbourhood.

    Parameters
    ----------
    x : array, shape (n, height, width, channels)
        The pictures, channels last.
    size : int
        Rows and columns of a neighbourhood.
    stride : int
        Steps between neighbourhoods.
    padding : int, default 0
        Places on each side of the pictures, less than `size`, that are never the largest.

    Returns
    -------
    array, shape (n, out_height, out_width, channels)
        Of the dtype of x. The gradient goes to the first of equal largest ones.

    Raises
    ------
    ValueError
        If a neighbourhood does not fit into the padded pictures.

    Examples
    --------
    >>> max_pool(np.arange(16.0).reshape(1, 4, 4, 1), size=2, stride=2).ravel()
    array([ 5.,  7., 13., 15.])
    """
    if min(x.shape[1:3]) + 2 * padding < size:
        raise ValueError(
            f"size {size} must fit into pictures of {x.shape[1]} by {x.shape[2]} with "
            f"{padding} places on each side"
        )
    return _max_pool_fused(x, size=size, stride=stride, padding=padding)


def _better(view: Any, best: Any) -> Any:
    # What is not a number stays so: a maximum that passes it over would hide it.
    return (view > best) | (view != view)


def _padded_identity(x: Any, *, stride: int, channels: int) -> Any:
    some = x[:, ::stride, ::stride]
    more = channels - x.shape[3]
    return np.pad(some, ((0, 0), (0, 0), (0, 0), (0, more)), mode="constant")


def _identity_forward(
    wanted: tuple[bool, ...], _kernels: Any, x: Any, *, stride: int, channels: int
) -> tuple[Any, Backward | None]:
    xp = namespace(x)
    some = x[:, ::stride, ::stride]
    result = xp.zeros((*some.shape[:3], channels), dtype=x.dtype)
    result[..., : x.shape[3]] = some

    def backward(g: Any) -> tuple[Any, ...]:
        gradient = xp.zeros(x.shape, dtype=x.dtype)
        gradient[:, ::stride, ::stride] = g[..., : x.shape[3]]
        return (gradient,)

    return result, backward if any(wanted) else None


_padded_identity_fused = fused(_padded_identity, _identity_forward)


def padded_identity(x: Any, *, stride: int, channels: int) -> Any:
    """Take some pixels, and zeros for the channels that are more.

    The shortcut A of He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.

    Parameters
    ----------
    x : array, shape (n, height, width, fewer channels)
        The pictures, channels last.
    stride : int
        Every pixel whose row and column it divides is taken.
    channels : int
        How many channels there will be.

    Returns
    -------
    array, shape (n, out_height, out_width, channels)
        Of the dtype of x.

    Examples
    --------
    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> padded_identity(x, stride=2, channels=2)[0, :, :, 0]
    array([[0., 2.],
           [6., 8.]])
    """
    return _padded_identity_fused(x, stride=stride, channels=channels)


def _views(x: Any, size: int, stride: int) -> list[Any]:
    """List the pictures as each place of a neighbourhood sees them."""
    height, width = x.shape[1:3]
    last_row, last_column = height - size + 1, width - size + 1
    return [
        x[:, row : row + last_row : stride, column : column + last_column : stride]
        for row in range(size)
        for column in range(size)
    ]
