"""Which library an array is of, and the few things that libraries do each in their way."""

import sys
from typing import Any

from autograd.tracer import getval

__all__ = ["like", "namespace"]


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
