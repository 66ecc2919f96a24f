"""A strict stand-in for CuPy: a duck array over NumPy, for tests on machines without a GPU.

It behaves as CuPy does where CuPy is stricter than NumPy:

- It does not become a NumPy array by itself: ``__array__`` raises. `asnumpy` and ``get`` do
  it, and are counted in `transfers`, as are ``float``, ``bool``, ``item`` and whatever else
  waits for the device; so are arrays that go the other way.
- It does not mix with NumPy arrays; Python's and NumPy's scalars it takes.
- It has no function, method or keyword that CuPy has not: all are looked up in CuPy, which
  imports without a GPU, and calls are checked against CuPy's own signatures. Lists are not
  arrays, nor are numbers where CuPy asks an array for a method.
- A reduction gives an array of no dimensions, never a scalar.

What passes here calls nothing that CuPy lacks and leaves no array in the wrong place. It
does not show that CuPy's functions return the right numbers, that anything is fast, nor
that streams are in order; only a GPU can, and ``pytest -m gpu`` asks it.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, Self

import cupy
import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


@dataclass
class Transfers:
    """How often something was moved between host and device."""

    to_host: int = 0
    to_device: int = 0


transfers = Transfers()


@contextmanager
def moves(to_host: int = 0, to_device: int = 0) -> Iterator[None]:
    """So many transfers happen in the block; by default, none."""
    before = replace(transfers)
    yield
    wanted = Transfers(before.to_host + to_host, before.to_device + to_device)
    assert transfers == wanted


class ndarray:  # noqa: N801 - CuPy's name
    """An array that lives where NumPy must not look."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: Any, owner: "ndarray | None" = None) -> None:
        self._host = host
        self._owner = owner

    # Properties of an array besides its elements.

    @property
    def flags(self) -> Any:
        names = ("c_contiguous", "f_contiguous", "owndata")
        return SimpleNamespace(**{name: getattr(self._host.flags, name) for name in names})

    @property
    def base(self) -> "ndarray | None":
        return self._owner

    @property
    def data(self) -> Any:
        pointer = self._host.ctypes.data
        return SimpleNamespace(ptr=pointer, mem=None, device_id=self.device.id)

    @property
    def device(self) -> Any:
        return _Device()

    @property
    def T(self) -> "ndarray":  # noqa: N802
        return _wrap(self._host.T, (self,))

    def __len__(self) -> int:
        return len(self._host)

    # From device to host.

    def get(self) -> Any:
        transfers.to_host += 1
        return self._host.copy()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("implicit conversion of a device array to a NumPy array")

    # NumPy's functions called on it.

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        if out is not None:
            (kwargs["out"],) = out
        if method != "__call__" or not hasattr(cupy, ufunc.__name__):
            return NotImplemented
        for each in (*inputs, *(out or ())):
            if not isinstance(each, ndarray | np.ndarray | np.generic | float | int):
                return NotImplemented
        return _function(ufunc.__name__)(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if not hasattr(cupy, function.__name__) or function.__module__ != "numpy":
            return NotImplemented
        if not all(issubclass(each, ndarray | np.ndarray) for each in types):
            return NotImplemented
        return _function(function.__name__)(*args, **kwargs)

    # CuPy's arrays have none: array-api-compat knows them by their type.
    def __array_namespace__(self, api_version: str | None = None) -> Any:
        import standin

        return standin

    # Elements.

    def __getitem__(self, index: Any) -> "ndarray":
        _count_masks(index)
        return _wrap(np.asarray(self._host[_index(index)]), (self,))

    def __setitem__(self, index: Any, value: Any) -> None:
        _count_masks(index)
        self._host[_index(index)] = _unwrap(value)

    def __iter__(self) -> Iterator["ndarray"]:
        return (self[number] for number in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(cupy.ndarray, name):
            raise AttributeError(f"a CuPy array has no attribute {name!r}")
        host = getattr(self._host, name)
        signature = _signature(name)

        def method(*args: Any, **kwargs: Any) -> Any:
            signature.bind(*args, **kwargs)
            _check_order(name, args, kwargs)
            result = host(*map(_unwrap, args), **{k: _unwrap(v) for k, v in kwargs.items()})
            out = kwargs.get("out")
            return out if out is not None else _wrap(result, (self,))

        return method

    def copy(self, order: str = "C") -> "ndarray":
        return ndarray(self._host.copy(order))

    def view(self, dtype: Any = None) -> "ndarray":
        host = self._host.view() if dtype is None else self._host.view(dtype)
        return _wrap(host, (self,))


for _name in ("shape", "dtype", "ndim", "size", "nbytes", "itemsize", "strides"):
    setattr(ndarray, _name, property(lambda self, name=_name: getattr(self._host, name)))


def _of_host(name: str) -> Any:
    return lambda self, *args: getattr(self.get(), name)(*args)


for _name in ("item", "tolist"):
    setattr(ndarray, _name, _of_host(_name))
for _name in ("float", "int", "bool", "repr", "format"):
    setattr(ndarray, f"__{_name}__", _of_host(f"__{_name}__"))


class _Device:
    """The one device there is."""

    id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


# Operators are NumPy's functions, as many of them as CuPy's arrays have.
for _name, _operator in vars(NDArrayOperatorsMixin).items():
    if inspect.isfunction(_operator) and hasattr(cupy.ndarray, _name):
        setattr(ndarray, _name, _operator)


def _unwrap(value: Any) -> Any:
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError("a device array does not mix with a NumPy array")
    if isinstance(value, list | tuple):
        return type(value)(_unwrap(item) for item in value)
    if hasattr(value, "_trace"):
        raise TypeError("a box of autograd's where an array must be")
    return value


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_index(each) for each in index)
    if isinstance(index, np.ndarray | list):
        transfers.to_device += 1  # CuPy moves such an index to the device
        return index
    return _unwrap(index)


def _count_masks(index: Any) -> None:
    """How many elements a mask selects, the host must wait to hear."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(getattr(part, "dtype", None) == np.bool_ for part in parts):
        transfers.to_host += 1


def _root(host: Any) -> Any:
    while isinstance(host.base, np.ndarray):
        host = host.base
    return host


def _wrap(result: Any, sources: tuple[Any, ...]) -> Any:
    if isinstance(result, np.generic):
        return ndarray(np.asarray(result))
    if isinstance(result, list | tuple) and any(isinstance(r, np.ndarray) for r in result):
        return type(result)(_wrap(each, sources) for each in result)
    if not isinstance(result, np.ndarray):
        return result
    root = _root(result)
    for source in sources:
        if result is source._host:
            return source
        if root is _root(source._host):
            return ndarray(result, source if source._owner is None else source._owner)
    return ndarray(result, None if root is result else ndarray(root))


@cache
def _signature(name: str) -> inspect.Signature:
    """What a method of CuPy's arrays takes, as the first line of its docstring says."""
    line = (getattr(cupy.ndarray, name).__doc__ or "").partition("\n")[0]
    found = re.search(r"\(self(?:, )?(.*)\)", line)
    if found is None:
        raise AttributeError(f"the stand-in does not know what {name!r} takes")
    # Some parameters have a type before them.
    words = [re.sub(r"^\w+ (?=\w)", "", each) for each in found[1].split(", ") if each]
    namespace: dict[str, Any] = {}
    exec(f"def method({', '.join(words)}): ...", namespace)
    return inspect.signature(namespace["method"])


def _check_order(name: str, args: Any, kwargs: Any) -> None:
    if name in ("reshape", "ravel", "flatten") and kwargs.get("order", "C") is None:
        raise TypeError("CuPy takes no order that is None")


def _arrays(values: Any) -> Iterator[ndarray]:
    for value in values:
        if isinstance(value, ndarray):
            yield value
        elif isinstance(value, list | tuple):
            yield from _arrays(value)


# CuPy's functions that call a method of their first argument.
_OF_ARRAYS = {
    name
    for name, function in vars(cupy).items()
    if inspect.isfunction(function)
    and re.search(rf"\ba\.{name}\(", inspect.getsource(function))
}


@cache
def _function(name: str) -> Callable[..., Any]:
    """A function of CuPy's, computed by NumPy."""
    real, host = (attrgetter(name)(module) for module in (cupy, np))
    try:
        signature: Any = inspect.signature(real)
    except (TypeError, ValueError):  # a ufunc
        signature = None

    def function(*args: Any, **kwargs: Any) -> Any:
        if signature is not None:
            signature.bind(*args, **kwargs)
        elif not kwargs.keys() <= {"out", "dtype", "casting", "where"}:
            raise TypeError(f"cupy.{name} does not take {sorted(kwargs)}")
        elif any(isinstance(arg, list | tuple) for arg in args):
            raise TypeError(f"cupy.{name} takes no lists")
        if args and name in _OF_ARRAYS and not isinstance(args[0], ndarray):
            raise TypeError(f"cupy.{name} takes a device array, got {type(args[0])}")
        _check_order(name, args, kwargs)
        # CuPy's reductions and creation take what NumPy's take, by other names.
        if "newshape" in kwargs:
            args = (*args, kwargs.pop("newshape"))
        kwargs.pop("blocking", None)
        out = kwargs.get("out")
        unwrapped = [_unwrap(arg) for arg in args]
        named = {key: _unwrap(value) for key, value in kwargs.items()}
        result = host(*unwrapped, **named)
        if out is not None:
            return out
        return _wrap(result, tuple(_arrays([*args, *kwargs.values()])))

    if isinstance(host, np.ufunc):
        if name == "add":
            function.at = _add_at  # type: ignore[attr-defined]
        function.outer = lambda a, b: _wrap(  # type: ignore[attr-defined]
            host.outer(_unwrap(a), _unwrap(b)), (a, b)
        )
    return function


_windows = _function("lib.stride_tricks.sliding_window_view")
lib = SimpleNamespace(stride_tricks=SimpleNamespace(sliding_window_view=_windows))


def _add_at(array: ndarray, index: Any, values: Any) -> None:
    np.add.at(array._host, _index(index), _unwrap(values))


def asarray(
    a: Any,
    dtype: Any = None,
    order: Any = None,
    *,
    copy: Any = None,
    blocking: bool = False,
) -> ndarray:
    if isinstance(a, ndarray):
        return _wrap(np.array(a._host, dtype=dtype, order=order, copy=copy), (a,))
    transfers.to_device += 1
    return ndarray(np.array(a, dtype=dtype, order=order or "C"))


def array(
    a: Any, dtype: Any = None, copy: Any = True, order: str = "K", *, ndmin: int = 0
) -> ndarray:
    if isinstance(a, ndarray):
        made = np.array(a._host, dtype, copy=copy or None, order=order, ndmin=ndmin)
        return _wrap(made, (a,))
    transfers.to_device += 1
    return ndarray(np.array(a, dtype=dtype, ndmin=ndmin))


def asnumpy(a: Any) -> Any:
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def astype(x: ndarray, dtype: Any, /, *, copy: bool = True) -> ndarray:
    return _wrap(x._host.astype(dtype, copy=copy), (x,))


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if not isinstance(condition, ndarray):
        raise TypeError(f"cupy.where takes a device array, got {type(condition)}")
    if x is None:
        transfers.to_host += 1  # its length
        return _function("nonzero")(condition)
    return _wrap(np.where(_unwrap(condition), _unwrap(x), _unwrap(y)), ())


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if not hasattr(cupy, name):
        raise AttributeError(f"CuPy has no {name!r}")
    real = getattr(cupy, name)
    if not callable(real) or isinstance(real, type):
        return real  # a constant, or a dtype
    return _function(name)
