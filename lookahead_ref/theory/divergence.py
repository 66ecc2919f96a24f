"""What is said where a recursion leaves the range of numbers."""

import numpy as np

from lookahead_ref.theory.arguments import Reals

__all__ = ["DivergenceError", "finite"]


class DivergenceError(ArithmeticError):
    """What was asked for is beyond the range of numbers: the iteration diverges."""


def finite(name: str, values: Reals) -> Reals:
    """Check that computed values are numbers.

    Parameters
    ----------
    name : str
        What they are, for the error.
    values : ndarray
        The values.

    Returns
    -------
    ndarray
        The values.

    Raises
    ------
    DivergenceError
        If one of them is not finite.
    """
    values = np.asarray(values)
    if not np.all(np.isfinite(values)):
        raise DivergenceError(
            f"the {name} exceeds the range of numbers: the iteration diverges, because "
            "learning_rate lies outside of the stable region"
        )
    return values
