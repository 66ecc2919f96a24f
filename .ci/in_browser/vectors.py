"""A stand-in for NumPy in the browser: vectors of float64.

It is what the array API standard asks of a library, as far as README's example needs it.
"""

import operator
import sys
from collections.abc import Callable
from typing import Any

float32, float64 = "float32", "float64"
sqrt = abs = maximum = minimum = sign = None  # noqa: A001


class ndarray:  # noqa: N801
    """Nothing is one, so that what follows is taken for another library's."""


class Vector:
    dtype, device, ndim = float64, "cpu", 1

    def __init__(self, values: Any) -> None:
        self.values = [float(value) for value in values]
        self.shape = (len(self.values),)

    def __array_namespace__(self, *, api_version: Any = None) -> Any:
        return sys.modules[__name__]

    def combined(self, other: Any, of: Callable[[float, float], float]) -> "Vector":
        values = getattr(other, "values", [other] * len(self.values))
        return Vector(map(of, self.values, values))

    def round(self, digits: int) -> "Vector":
        return Vector(round(value, digits) for value in self.values)

    def __str__(self) -> str:
        return f"[{' '.join(f'{value:g}.' for value in self.values)}]"


def reflected(of: Callable[[float, float], float]) -> Callable[[Any, Any], Any]:
    return lambda self, other: self.combined(other, lambda a, b: of(b, a))


for _name in ("add", "sub", "mul", "truediv"):
    _of = getattr(operator, _name)
    setattr(Vector, f"__{_name}__", lambda self, other, of=_of: self.combined(other, of))
    setattr(Vector, f"__r{_name}__", reflected(_of))


def asarray(x: Any, dtype: Any = None, copy: Any = None) -> Vector:
    return Vector(getattr(x, "values", x))


def zeros_like(x: Vector) -> Vector:
    return Vector([0.0] * len(x.values))


def isdtype(dtype: Any, kind: Any) -> bool:
    return True


array, generic = asarray, ndarray
