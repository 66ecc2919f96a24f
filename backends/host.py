"""Shared by the backends in host memory: NumPy arrays and their ownership."""

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

HostArray = NDArray[Any]


def devices() -> tuple[str, ...]:
    """Describe the processor."""
    return (f"{platform.machine()}, {os.cpu_count()} cores",)


def itself(array: HostArray) -> HostArray:
    """Return an array unchanged, as it is already in host memory."""
    return array


def own(name: str, array: Any, taken: Sequence[HostArray]) -> HostArray:
    if not isinstance(array, np.ndarray | np.generic):
        library = type(array).__module__.partition(".")[0]
        raise TypeError(
            f"{name} must be a NumPy array for this backend, got one of {library}"
        )
    owned = np.ascontiguousarray(array).reshape(array.shape)
    # An empty array shares no memory, but may be read-only.
    if not owned.flags.writeable or any(np.may_share_memory(owned, each) for each in taken):
        return owned.copy()
    return owned


def copy(array: HostArray) -> HostArray:
    return np.array(array, order="C")


def assign(target: HostArray, values: Any) -> None:
    target[...] = values


def readonly(array: HostArray) -> HostArray:
    view = array.view()
    view.flags.writeable = False
    return view


def flatten(array: HostArray) -> HostArray:
    return array.reshape(-1)


def gradient(array: Any, owned: Mapping[int, HostArray]) -> HostArray:
    # Compiled loops need aligned memory. An array that owns its memory shares it with none
    # of ours, unless it is one of ours.
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
