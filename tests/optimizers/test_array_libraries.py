"""The pure interface with arrays of other libraries.

array_api_strict has NumPy's bits. Eager JAX and PyTorch, where they are installed, may
round a square root and a division by a scalar differently, and JAX flushes subnormal
numbers to zero, so that a tolerance is compared with. Each operation is right to an ulp or
two; over 60 steps of at most 20 operations that is some 2000 ulp of the largest weight in
the worst case, and far less in practice. Adam's and AdaGrad's quotients pass a relative
error on as it is.
"""

from collections.abc import Iterator
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest

import lookahead_ref as la
from executors import DECAYS, MORE, SINGLE, made, with_each
from lookahead_ref import trees
from support import INNER, INNER_STATES, assert_same_bits, saved, trajectory


def pairs(optimizer: Any, convert: Any, steps: int, *dtypes: Any) -> Iterator[Any]:
    """NumPy's arrays and counts, and the other library's, after each step."""
    rng = np.random.default_rng(0)

    def draw() -> Any:
        return {
            np.dtype(dtype).name: {
                "w": rng.standard_normal((3, 4)).astype(dtype),
                "scale": np.array(rng.standard_normal(), dtype),
            }
            for dtype in dtypes
        }

    params, *grads = (draw() for _ in range(steps + 1))
    theirs = (trees.map(convert, each) for each in grads)
    here = trajectory(optimizer, params, grads)
    there = trajectory(optimizer, trees.map(convert, params), theirs)
    for points in zip(here, there, strict=True):
        yield [saved(*point) for point in points]
        yield [trees.flatten(optimizer.evaluation_params(*point)) for point in points]


def to_numpy(values: dict[str, Any], kind: type) -> dict[str, Any]:
    """The counts, and the arrays as NumPy's, after they are seen to be of the library."""
    arrays = {path: each for path, each in values.items() if not isinstance(each, int)}
    assert {
        path: type(each) for path, each in arrays.items() if type(each) is not kind
    } == {}
    return values | {path: np.asarray(array) for path, array in arrays.items()}


@with_each(made(SINGLE, *DECAYS) | made(MORE, ""))
def test_strict_arrays_have_the_bits_of_numpy_and_stay_strict(optimizer: Any) -> None:
    for here, there in pairs(optimizer, strict.asarray, 14, np.float32, np.float64):
        assert_same_bits(to_numpy(there, type(strict.asarray(0.0))), here)


@pytest.mark.parametrize("inner_state", INNER_STATES)
@pytest.mark.parametrize("inner", list(INNER))
@pytest.mark.parametrize(
    ("library", "asarray", "dtype"),
    [
        ("jax.numpy", "asarray", np.float32),
        ("torch", "tensor", np.float32),
        ("torch", "tensor", np.float64),
    ],
)
def test_eager_arrays_agree_within_the_tolerance(
    library: str, asarray: str, dtype: Any, inner: str, inner_state: Any
) -> None:
    convert = getattr(pytest.importorskip(library), asarray)
    made = INNER[inner](weight_decay=0.01)
    optimizer = la.Lookahead(made, k=5, alpha=0.3, inner_state=inner_state)
    for here, there in pairs(optimizer, convert, 60, dtype):
        found = to_numpy(there, type(convert(0.0)))
        assert here.keys() == found.keys()
        for path, wanted in here.items():
            if isinstance(wanted, int):
                assert found[path] == wanted
                continue
            assert found[path].dtype == dtype
            largest = max(1.0, float(np.max(np.abs(wanted))))
            bound = 2000 * float(np.finfo(dtype).eps) * largest
            np.testing.assert_allclose(found[path], wanted, rtol=0, atol=bound)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("array_api_strict", "numpy"), ("numpy", "array_api_strict"), ("numpy", "torch")],
)
def test_gradients_and_states_of_another_library_are_errors(ours: str, theirs: str) -> None:
    optimizer = la.HeavyBall(0.1)
    here, there = (
        {"layer": {"w": pytest.importorskip(library).asarray([1.0, 2.0])}}
        for library in (ours, theirs)
    )
    wanted = f"must be an array of {ours} like the parameter, got one of {theirs}"
    with pytest.raises(TypeError, match=rf"grads\['layer/w'\] {wanted}"):
        optimizer.step(here, there, optimizer.init(here))
    with pytest.raises(TypeError, match=f"the optimizer's state for 'layer/w' {wanted}"):
        optimizer.step(here, here, optimizer.init(there))


def test_an_adaptive_alpha_agrees_between_libraries() -> None:
    optimizer = la.Lookahead(la.Adam(0.05), k=2, alpha=la.AdaptiveAlpha(3.0))
    for here, there in pairs(optimizer, strict.asarray, 6, np.float64):
        for path, value in to_numpy(there, type(strict.asarray(0.0))).items():
            np.testing.assert_allclose(value, here[path], rtol=1e-13)
