"""What the backends that work in host memory share: NumPy arrays and who owns them."""

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

HostArray = NDArray[Any]


def devices() -> tuple[str, ...]:
    """Describe the processor.

    Returns
    -------
    tuple of str
        One line.
    """
    return (f"{platform.machine()}, {os.cpu_count()} cores",)


def itself(array: HostArray) -> HostArray:
    """Return an array as it is: what is in host memory need not be moved there.

    Parameters
    ----------
    array : ndarray
        The array.

    Returns
    -------
    ndarray
        The same.
    """
    return array


def own(name: str, array: Any, taken: Sequence[HostArray]) -> HostArray:
    """Return an array as one contiguous array that shares no memory with others.

    Parameters
    ----------
    name : str
        The parameter, for the error.
    array : ndarray
        The array. It may become the result itself.
    taken : sequence of ndarray
        Arrays with which the result must share no memory.

    Returns
    -------
    ndarray
        The array or a copy.

    Raises
    ------
    TypeError
        If it is not a NumPy array.
    """
    if not isinstance(array, np.ndarray | np.generic):
        library = type(array).__module__.partition(".")[0]
        raise TypeError(
            f"{name} must be a NumPy array for this backend, got one of {library}"
        )
    owned = np.ascontiguousarray(array).reshape(array.shape)
    # One without elements shares no memory, but may be read-only.
    if not owned.flags.writeable or any(np.may_share_memory(owned, each) for each in taken):
        return owned.copy()
    return owned


def copy(array: HostArray) -> HostArray:
    """Return a copy in new memory.

    Parameters
    ----------
    array : ndarray
        The array.

    Returns
    -------
    ndarray
        The copy.
    """
    return np.array(array, order="C")


def assign(target: HostArray, values: Any) -> None:
    """Write values into an array.

    Parameters
    ----------
    target : ndarray
        The array.
    values : ndarray
        The values, of the same shape and dtype.
    """
    target[...] = values


def readonly(array: HostArray) -> HostArray:
    """Return a view that cannot be written to.

    Parameters
    ----------
    array : ndarray
        The array.

    Returns
    -------
    ndarray
        The view.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def flatten(array: HostArray) -> HostArray:
    """Return a contiguous array as one of one dimension, sharing its memory.

    Parameters
    ----------
    array : ndarray
        The array.

    Returns
    -------
    ndarray
        The view.
    """
    return array.reshape(-1)


def gradient(array: Any, owned: Mapping[int, HostArray]) -> HostArray:
    """Return a gradient as a contiguous array of one dimension.

    A gradient that shares memory with what is updated, as that of half the squared norm
    may, is copied: elements updated early would be read again as gradients of later ones.

    Parameters
    ----------
    array : ndarray
        The gradient.
    owned : dict
        The arrays that are updated, by their `id`.

    Returns
    -------
    ndarray
        The gradient, copied only where it must be.
    """
    # Compiled loops take aligned memory only. An array that owns its memory shares it with
    # none of ours unless it is one of ours.
    if (
        type(array) is np.ndarray
        and array.flags.carray
        and array.base is None
        and id(array) not in owned
    ):
        return array if array.ndim == 1 else array.ravel()
    array = np.require(array, requirements=["C", "A"])
    flat: HostArray = array.reshape(-1)
    root: Any = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    foreign = root.base is None and id(root) not in owned
    if not foreign and any(np.may_share_memory(flat, each) for each in owned.values()):
        return flat.copy()
    return flat
