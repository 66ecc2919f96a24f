"""The stand-in refuses what CuPy refuses, and records all transfers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cupy")

import cupy

import standin


def x() -> Any:
    return standin.asarray(np.arange(6.0, dtype=np.float32).reshape(2, 3))


HOST = np.ones((2, 3), np.float32)


REFUSED: dict[str, Callable[[], Any]] = {
    "become a NumPy array": lambda: np.asarray(x()),
    "be added to one": lambda: x() + HOST,
    "be added to one, the other way round": lambda: HOST + x(),
    "be written to from one": lambda: x().__setitem__(0, HOST[0]),
    "be joined to one": lambda: np.concatenate([x(), HOST]),
    "be added in place": lambda: x().__iadd__(HOST),
    "meet a list": lambda: standin.add(x(), [1.0, 2.0, 3.0]),
    "take a number's place": lambda: standin.sum(3.0),
    "choose by a bool": lambda: standin.where(True, x(), x()),
    "count": lambda: range(x()[0, 0]),
    "be iterated over without dimensions": lambda: list(x()[0, 0]),
    "sum from a number": lambda: x().sum(initial=1.0),
    "sum where": lambda: np.sum(x(), where=x() > 1),
    "multiply in place": lambda: x().__imatmul__(x()),
    "an order that is None": lambda: x().reshape(6, order=None),
    "a method that CuPy has not": lambda: x().byteswap_no(),
    "a property that CuPy has not": lambda: x().ctypes,
    "a function that CuPy has not": lambda: standin.no_such(x()),
    "a keyword that CuPy has not": lambda: standin.zeros(3, like=x()),
}


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED)
def test_what_cupy_refuses_is_refused(attempt: Callable[[], Any]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        attempt()


def test_its_arrays_have_only_attributes_of_cupys() -> None:
    class OfPython:
        """What classes written in Python have, which differs between its versions."""

        def __getattr__(self, name: str) -> Any: ...

    # How array-api-compat gets to know it; CuPy's arrays it knows by their type.
    beyond = set(dir(standin.ndarray)) - set(dir(cupy.ndarray))
    assert beyond - set(dir(OfPython)) == {"__array_namespace__"}


LOOKS = (float, int, bool, repr, "{:.1f}".format, standin.asnumpy)


@pytest.mark.parametrize(
    ("use", "moved"),
    [
        *((lambda array, look=look: look(array[1, 1]), (1, 0)) for look in LOOKS),
        (lambda array: array[1, 1].item(), (1, 0)),
        (lambda array: array[1, 1].tolist(), (1, 0)),
        (lambda array: array[array > 2], (1, 0)),
        (lambda array: standin.where(array > 2), (1, 0)),
        (lambda array: array[[0, 1]], (0, 1)),
        (lambda array: array[np.array([0, 1])], (0, 1)),
        (lambda array: standin.asarray([1.0]), (0, 1)),
        (lambda array: standin.asarray(array), (0, 0)),
        (lambda array: array[1:, 0] + np.float32(1) * 2, (0, 0)),
    ],
)
def test_moved_bytes_are_counted(use: Callable[[Any], Any], moved: tuple[int, int]) -> None:
    array = x()
    with standin.moves(*moved):
        use(array)
