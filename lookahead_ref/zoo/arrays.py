"""Which library an array is of, and the few things that libraries do each in their way."""

import sys
from typing import Any

import numpy as np
from autograd.tracer import getval, isbox

__all__ = ["check", "check_indices", "check_inputs", "like", "namespace"]


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
        In host memory, or of that library already. A box of autograd is left as it is:
        what is differentiated has the dtype that its gradient shall have.

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
    if isbox(values):
        return values
    return namespace(array).asarray(values, dtype=getval(array).dtype)


def check(name: str, array: Any, shape: tuple[int, ...], dtype: Any = None) -> None:
    """Refuse an array of another shape or dtype.

    Kernels that are compiled believe what they are told: they would read past the end of
    an array that is too short, where NumPy stretches it.

    Parameters
    ----------
    name : str
        The argument, for the error.
    array : array
        What came.
    shape : tuple of int
        What is wanted.
    dtype : dtype, optional
        What is wanted, if it matters.

    Raises
    ------
    ValueError
        If the shape is another.
    TypeError
        If the dtype is.

    Examples
    --------
    >>> check("bias", np.zeros(1), (3,))
    Traceback (most recent call last):
        ...
    ValueError: bias must have shape (3,), got (1,)
    """
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if dtype is not None and array.dtype != dtype:
        raise TypeError(
            f"{name} must be of dtype {dtype}, as the weights are, got {array.dtype}"
        )


def check_inputs(inputs: Any, *shapes: tuple[int, ...]) -> None:
    """Refuse a batch whose examples have another shape than a model takes.

    Parameters
    ----------
    inputs : array, shape (n, ...)
        The batch.
    *shapes : tuple of int
        Of an example: any of these.

    Raises
    ------
    ValueError
        If it has none of them.

    Examples
    --------
    >>> check_inputs(np.zeros((5, 8, 8, 3)), (3, 8, 8), (192,))
    Traceback (most recent call last):
        ...
    ValueError: inputs must have shape (n, 3, 8, 8) or (n, 192), got (5, 8, 8, 3)
    """
    if tuple(inputs.shape[1:]) not in shapes:
        known = " or ".join(f"(n, {', '.join(map(str, shape))})" for shape in shapes)
        raise ValueError(f"inputs must have shape {known}, got {tuple(inputs.shape)}")


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
