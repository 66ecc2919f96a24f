"""Where arrays are: what is read and drawn is on the host, a backend may be elsewhere.

On a backend that computes in host memory everything here returns what it is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lookahead_ref import trees
from lookahead_ref.stepping.backend import Backend

__all__ = ["Placement"]


@dataclass(frozen=True)
class Placement:
    """Moves what training handles between the host and a backend.

    Parameters
    ----------
    backend : Backend
        The backend.
    """

    backend: Backend

    @cached_property
    def on_host(self) -> bool:
        """Whether the backend works on the host's arrays themselves."""
        probe = np.zeros(1, np.float32)
        return self.backend.from_host(probe) is probe

    def put(self, value: Any) -> Any:
        """Move every array in a value to the backend.

        Parameters
        ----------
        value : object
            An array, or a dict, tuple or named tuple with arrays in it, such as a batch.
            Whatever else is in it stays as it is.

        Returns
        -------
        object
            The same, with the backend's arrays.
        """
        if self.on_host:
            return value
        if isinstance(value, np.ndarray | np.generic):
            return self.backend.from_host(np.asarray(value))
        if isinstance(value, Mapping):
            return {name: self.put(item) for name, item in value.items()}
        if isinstance(value, tuple):
            items = [self.put(item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        return value

    def source(self, source: Any) -> Any:
        """Make what a model is evaluated on give the backend's arrays.

        Parameters
        ----------
        source : object
            An object with ``size`` and ``take(indices)``; or the tokens of a text, which
            stay on the host, where a model picks what it reads next.

        Returns
        -------
        object
            Of the same use.
        """
        if self.on_host or isinstance(source, np.ndarray):
            return source
        return _PlacedSource(source, self)

    def fetch(self, arrays: trees.Tree) -> dict[str, Any]:
        """Copy a tree of the backend's arrays to the host.

        Parameters
        ----------
        arrays : dict
            Of the backend's arrays, possibly nested.

        Returns
        -------
        dict
            Of NumPy arrays in memory of their own.
        """
        return trees.map(lambda leaf: np.array(self.backend.to_host(leaf)), arrays)


@dataclass(frozen=True)
class _PlacedSource:
    """Takes examples from a source on the host and moves them."""

    source: Any
    placement: Placement

    @property
    def size(self) -> int:
        return int(self.source.size)

    def take(self, indices: Any) -> Any:
        return self.placement.put(self.source.take(indices))

    def __getattr__(self, name: str) -> Any:
        # All inputs or all labels at once, where a model asks for them.
        return self.placement.put(getattr(self.source, name))
