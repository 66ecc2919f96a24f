"""Clipping of gradients, which comes before the optimizer."""

from typing import Any

from array_api_compat import array_namespace

from lookahead_ref import hyperparameters, trees
from lookahead_ref.elementwise import round_to
from lookahead_ref.trees import Array, Tree


def clip_by_global_norm(grads: Tree, max_norm: float) -> tuple[dict[str, Any], Array]:
    """Scale gradients down so that their joint norm is at most `max_norm`.

    Parameters
    ----------
    grads : dict
        The gradients: names to float32 or float64 arrays, possibly nested.
    max_norm : float
        The largest norm that is left as it is.

    Returns
    -------
    grads : dict
        The gradients, each multiplied by ``min(1, max_norm / norm)``: unchanged, to the
        bit, where the norm is not larger than `max_norm`.
    norm : array
        The norm before clipping, an array of no dimensions that stays on its device. It is
        not a number, or infinite, where a gradient is; the gradients then are not to be
        used. It is infinite, too, where it is too large for the dtype; the gradients then
        are clipped.

    Raises
    ------
    TypeError, ValueError
        If `max_norm` is not a finite number > 0 in the widest dtype of `grads`, or `grads`
        is not a tree of such arrays.

    Notes
    -----
    The norm is computed relative to the largest element, so that squares neither overflow
    nor vanish. The sum depends on its order: across libraries it agrees to rounding, not to
    the bit.

    References
    ----------
    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural
    networks", ICML 2013, Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> grads, norm = clip_by_global_norm({"x": np.array([3.0]), "y": np.array([4.0])}, 1.0)
    >>> float(norm), grads["x"].round(3), grads["y"].round(3)
    (5.0, array([0.6]), array([0.8]))
    """
    limit = hyperparameters.positive("max_norm", max_norm)
    trees.check_params(grads, "grads")
    leaves = [
        leaf for leaf in trees.flatten(grads, "grads").values() if 0 not in leaf.shape
    ]
    if not leaves:
        raise ValueError("grads must hold at least one element, got none")
    xp = array_namespace(*leaves)
    widest = xp.result_type(*[leaf.dtype for leaf in leaves])
    limit = round_to(str(widest), "max_norm", limit)
    # Reductions of NumPy return scalars, which are not arrays.
    largest = xp.max(
        xp.stack([xp.asarray(xp.astype(xp.max(xp.abs(leaf)), widest)) for leaf in leaves])
    )
    scale = xp.where(largest > 0, largest, xp.ones_like(largest))

    def relative(leaf: Array) -> Array:
        return xp.astype(leaf, widest) / scale

    squares = [xp.asarray(xp.sum(relative(leaf) ** 2)) for leaf in leaves]
    root = xp.sqrt(xp.sum(xp.stack(squares)))
    norm = xp.where(largest > 0, scale * root, largest)
    clipped = limit / xp.where(largest > 0, root, xp.ones_like(root))
    return trees.map(
        lambda leaf: xp.where(
            norm > limit, xp.astype(relative(leaf) * clipped, leaf.dtype), leaf
        ),
        grads,
    ), norm
