"""The protocol of backends, and how to find them.

A backend runs programs over arrays in place. Each is an entry point in the group
``lookahead_ref.backends``, so that another package can add one: the entry point names a
class that follows the `Backend` protocol and is called with the arguments of `load`, if
any. If it cannot run, it raises `BackendUnavailableError` with the reason.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from lookahead_ref.hyperparameters import close_to

_GROUP = "lookahead_ref.backends"


class Instruction(NamedTuple):
    """One operation of a program; its result goes to the next register.

    It is ``add``, ``subtract``, ``multiply``, ``divide``, ``zero`` or one of
    `lookahead_ref.trees.RULE_FUNCTIONS`; its operands are the registers that it reads.
    """

    operation: str
    operands: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A straight line of elementwise operations.

    Registers are numbered: first one for each buffer, then one for each scalar, then one
    for the result of each instruction.
    """

    buffers: int
    """The number of arrays, all of one length and dtype."""
    scalars: int
    """The number of scalars, of the arrays' dtype."""
    instructions: tuple[Instruction, ...]
    writes: tuple[tuple[int, int], ...]
    """Pairs of buffer and register to write to it, after everything that reads it."""


Kernel: TypeAlias = Callable[[Sequence[Any], Sequence[float]], None]
"""A compiled program: called with its buffers, contiguous and of one dimension, and its
scalars, rounded to their dtype; writes to the buffers."""


class BackendUnavailableError(RuntimeError):
    """A backend that is not installed, or cannot run on this machine."""


@runtime_checkable
class Backend(Protocol):
    """A backend's methods; `array` is of its own library, except in `from_host`."""

    @property
    def name(self) -> str:
        """The name of its entry point."""

    @property
    def version(self) -> str:
        """The version of the library that it runs on."""

    @property
    def devices(self) -> Sequence[str]:
        """The devices that it can run on, in words."""

    def from_host(self, array: Any) -> Any:
        """Return a NumPy array as one of this backend's, the same array if possible."""

    def to_host(self, array: Any) -> Any:
        """Return one of this backend's arrays as a NumPy array, the same if possible."""

    def own(self, name: str, array: Any, taken: Sequence[Any]) -> Any:
        """Return an array, or a copy, as contiguous memory shared with none of `taken`.

        An array of another library is a TypeError that names it `name`.
        """

    def copy(self, array: Any) -> Any:
        """Return a copy in new memory."""

    def assign(self, target: Any, values: Any) -> None:
        """Write values into one of this backend's arrays."""

    def readonly(self, array: Any) -> Any:
        """Return a read-only view, if the library has such views."""

    def flatten(self, array: Any) -> Any:
        """Return a one-dimensional view of a contiguous array."""

    def gradient(self, array: Any, owned: Mapping[int, Any]) -> Any:
        """Return a gradient as a contiguous one-dimensional array.

        It is copied only if it is not contiguous or shares memory with one of `owned`,
        which maps the arrays' `id` to them.
        """

    def compile(self, program: Program, dtype: str) -> Kernel:
        """Compile a program for arrays of a dtype, ``float32`` or ``float64``."""


@runtime_checkable
class BindingBackend(Backend, Protocol):
    """A backend that can run a program on all parameters at once.

    A stepper uses `bind` if there is one; otherwise it calls the kernel from `compile` for
    each parameter in turn.
    """

    def bind(self, program: Program, dtype: str, leaves: Sequence[Sequence[Any]]) -> Kernel:
        """Compile a program and bind it to its arrays.

        `leaves` has each parameter's buffers except the last one, the gradient. The result
        is called with the gradients, one for each parameter, instead of buffers.
        """


@contextmanager
def explained(backend: Backend) -> Iterator[None]:
    """Add to a MemoryError how much memory there is, if the backend knows.

    A backend may have a method ``memory`` that maps such an error to a sentence about its
    memory, or to None if the error is not its own.
    """
    try:
        yield
    except MemoryError as error:
        memory = getattr(backend, "memory", lambda _: None)(error)
        if memory is None:
            raise
        raise MemoryError(f"{error} {memory}") from error


@dataclass(frozen=True)
class BackendRecord:
    """Facts about a backend, and the reason if it is not available."""

    name: str
    available: bool
    version: str
    devices: tuple[str, ...]
    reason: str


def names() -> tuple[str, ...]:
    """List the registered backends, whether or not they can run here.

    Examples
    --------
    >>> names()
    ('cupy', 'numba', 'numpy')
    """
    return tuple(sorted({entry.name for entry in entry_points(group=_GROUP)}))


def load(name: str, **options: Any) -> Backend:
    """Load a backend.

    Parameters
    ----------
    name : str
        The name of its entry point.
    **options
        Arguments of its class, such as the number of `threads` of ``numba``.

    Raises
    ------
    ValueError
        If there is no backend of this name.
    BackendUnavailableError
        If it cannot run here; the message says why.

    Examples
    --------
    >>> load("numpy").name
    'numpy'
    """
    entry = _entry(name, tuple(sys.path))
    try:
        backend: Backend = entry.load()(**options)
    except (ImportError, OSError) as error:  # a library or folder may be missing
        raise BackendUnavailableError(
            f"backend {name!r} is not available: {error}"
        ) from error
    return backend


@cache  # all distributions are read, which takes milliseconds
def _entry(name: str, _path: tuple[str, ...]) -> EntryPoint:
    for entry in entry_points(group=_GROUP):
        if entry.name == name:
            return entry
    known = ", ".join(map(repr, names())) or "none: reinstall the package"
    raise ValueError(
        f"backend must be one of {known}, got {name!r}{close_to(name, names())}"
    )


def describe() -> list[BackendRecord]:
    """Find out which of the registered backends can run here, sorted by name."""
    records = []
    for name in names():
        try:
            backend = load(name)
            found = BackendRecord(name, True, backend.version, tuple(backend.devices), "")
        # Another package's backend may fail in any way; report it.
        except Exception as error:
            found = BackendRecord(name, False, "", (), str(error) or type(error).__name__)
        records.append(found)
    return records
