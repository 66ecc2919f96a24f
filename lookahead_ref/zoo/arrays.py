"""Which library an array is of, and the few things that libraries do each in their way."""

import sys
from typing import Any

import numpy as np
from autograd.tracer import getval

__all__ = ["check_indices", "like", "namespace"]


def namespace(array: Any) -> Any:
    """Return the module whose functions take an array.

    Parameters
    ----------
    array : array
        Of NumPy, CuPy or another library that follows NumPy; or autograd's box around one.

    Returns
    -------
    module
        What the array's own ``__array_namespace__`` says or, for an array of a library that
        has none, the package that defines its type.

    Examples
    --------
    >>> import numpy as np
    >>> namespace(np.ones(2)).__name__
    'numpy'
    """
    value = getval(array)
    if type(value) is np.ndarray:
        return np  # what is below says so too, in ten times the time
    own = getattr(value, "__array_namespace__", None)
    if own is not None:
        return own()
    return sys.modules[type(value).__module__.partition(".")[0]]


def like(array: Any, values: Any) -> Any:
    """Return values from host memory as an array of another array's library and dtype.

    Parameters
    ----------
    array : array
        Of the library and dtype that are wanted; or autograd's box around one.
    values : numpy.ndarray or array
        In host memory, or of that library already.

    Returns
    -------
    array
        `values` itself where it is such an array.

    Examples
    --------
    >>> import numpy as np
    >>> like(np.ones(2, np.float32), np.arange(3)).dtype
    dtype('float32')
    """
    return namespace(array).asarray(values, dtype=getval(array).dtype)


def check_indices(name: str, indices: Any, size: int) -> None:
    """Refuse indices that are out of range, where it costs nothing to look at them.

    That is in host memory. A device would have to be waited for: there, what an index out
    of range gives is left open.

    Parameters
    ----------
    name : str
        The argument, for the error.
    indices : array of int
        From 0 to ``size - 1``.
    size : int
        The number of things that are counted.

    Raises
    ------
    TypeError
        If they are not integers.
    ValueError
        If one is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> check_indices("labels", np.array([0, 3]), 3)
    Traceback (most recent call last):
        ...
    ValueError: labels must be from 0 to 2, got 3
    """
    kind = getattr(getattr(indices, "dtype", None), "kind", None)
    if kind not in ("i", "u"):
        raise TypeError(f"{name} must be an array of integers, got {indices!r}")
    if namespace(indices).__name__ != "numpy" or not indices.size:
        return
    for extreme in (int(indices.min()), int(indices.max())):
        if not 0 <= extreme < size:
            raise ValueError(f"{name} must be from 0 to {size - 1}, got {extreme}")
