"""Where it is measured: a backend, its arrays, its clock and its memory."""

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from lookahead_ref.bench.caches import caches
from lookahead_ref.bench.cases import Arrays, arrays
from lookahead_ref.bench.results import Results, Turns
from lookahead_ref.bench.turns import Clock, wall
from lookahead_ref.stepping import backend

__all__ = ["Peak", "Place", "find", "traced"]

Peak: TypeAlias = Callable[[Callable[[], object]], int]
"""Runs something and says how many bytes it held at most."""


def traced(run: Callable[[], object]) -> int:
    """Measure how many bytes of the host's memory something holds at most.

    Parameters
    ----------
    run : callable
        Called without arguments.

    Returns
    -------
    int
        Bytes, of what Python and NumPy allocate.
    """
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@dataclass(frozen=True)
class Place:
    """Where contestants run.

    Parameters
    ----------
    backend : BindingBackend
        What makes the updates.
    clock : callable, default: `wall`
        What measures time there.
    peak : callable, default: `traced`
        What measures memory there.
    on_device : bool, default: False
        Whether its arrays are on a device.
    core_latency : callable, optional
        What measures how far apart the cores are that share the work.
    cache : int, default: 0
        The bytes of the largest cache that a core has; 0 where that is not known.
    """

    backend: Any
    clock: Clock = wall
    peak: Peak = traced
    on_device: bool = False
    core_latency: Callable[[], float | None] | None = None
    cache: int = 0

    def arrays(self, parameters: str, seed: int) -> Arrays:
        """Draw float32 arrays, and move them there.

        Parameters
        ----------
        parameters : str
            As for `lookahead_ref.bench.cases.shapes`.
        seed : int
            The seed.

        Returns
        -------
        dict
            Name to array.
        """
        drawn = arrays(parameters, seed)
        return {name: self.backend.from_host(array) for name, array in drawn.items()}

    def turns(
        self, results: Results, section: str, parameters: str, optimizer: str
    ) -> Turns:
        """Prepare a comparison of what all cores share, timed there.

        Parameters
        ----------
        results : Results
            Where what is found is added.
        section, parameters, optimizer : str
            What is compared.

        Returns
        -------
        Turns
            The comparison.
        """
        return Turns(results, section, parameters, optimizer, self.clock, self.core_latency)


def find(name: str) -> Place:
    """Find out whether and how a backend can be measured.

    One with the methods ``seconds`` and ``peak`` measures on a device.

    Parameters
    ----------
    name : str
        The backend's name.

    Returns
    -------
    Place
        The place.

    Raises
    ------
    BackendUnavailableError
        If it cannot run here.
    ValueError
        If there is none of this name, or it runs no step over all parameters at once.

    Examples
    --------
    >>> find("numpy")
    Traceback (most recent call last):
    ...
    ValueError: backend must be one that runs a step over all parameters at once, such as \
'numba' or 'cupy', got 'numpy'; the section 'numpy' measures NumPy beside itself
    """
    found: Any = backend.load(name)
    if not isinstance(found, backend.BindingBackend):
        raise ValueError(
            "backend must be one that runs a step over all parameters at once, such as "
            f"'numba' or 'cupy', got {name!r}; the section 'numpy' measures NumPy beside "
            "itself"
        )
    if hasattr(found, "seconds") and hasattr(found, "peak"):
        return Place(found, found.seconds, found.peak, on_device=True)
    from lookahead_ref.bench.cores import latency  # where there is Numba

    return Place(found, core_latency=latency, cache=max(caches().values(), default=0))
