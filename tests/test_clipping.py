"""Clipping by the global norm."""

import math
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookahead_ref import clip_by_global_norm, trees
from support import assert_same_bits, frozen, one

elements = st.floats(-1e6, 1e6).map(lambda number: round(number, 4))
some_trees = st.fixed_dictionaries(
    {
        "a": st.lists(elements, max_size=4).map(np.array),
        "b": st.fixed_dictionaries(
            {"c": st.lists(elements, min_size=1, max_size=4).map(np.array)}
        ),
        "d": elements.map(np.array),
    }
).map(lambda found: trees.map(lambda leaf: leaf.astype(np.float64), found))


def norm_of(grads: Any) -> float:
    return math.sqrt(
        math.fsum(
            float(x) ** 2 for leaf in trees.flatten(grads).values() for x in leaf.flat
        )
    )


@given(some_trees, st.floats(1e-3, 1e6))
def test_all_gradients_are_scaled_by_one_factor(grads: Any, max_norm: float) -> None:
    clipped, norm = clip_by_global_norm(grads, max_norm)
    expected = norm_of(grads)
    assert norm.shape == ()
    assert float(norm) == pytest.approx(expected, rel=1e-14)
    if norm <= max_norm:
        assert_same_bits(clipped, grads)
    else:
        for path, leaf in trees.flatten(clipped).items():
            np.testing.assert_allclose(
                leaf, trees.flatten(grads)[path] * (max_norm / expected), rtol=1e-14
            )


@given(some_trees, st.floats(1e-3, 1e6))
def test_the_norm_after_clipping_is_at_most_the_limit_up_to_rounding(
    grads: Any, max_norm: float
) -> None:
    clipped, norm = clip_by_global_norm(grads, max_norm)
    assert norm_of(clipped) <= max_norm * (1 + 1e-14)
    if norm > max_norm:
        assert norm_of(clipped) >= max_norm * (1 - 1e-14)


def test_a_norm_of_exactly_the_limit_changes_nothing() -> None:
    grads = {"x": np.array([3.0, -0.0]), "y": np.array([4.0, 5e-324])}
    clipped, norm = clip_by_global_norm(grads, 5.0)
    assert float(norm) == 5.0
    assert_same_bits(clipped, grads)


def test_zero_gradients_stay_zero() -> None:
    grads = one(0.0, -0.0)
    clipped, norm = clip_by_global_norm(grads, 1e-3)
    assert float(norm) == 0.0
    assert_same_bits(clipped, grads)


def test_nothing_that_was_passed_in_changes() -> None:
    grads = frozen({"a": {"b": np.array([3.0, 4.0])}})
    clipped, _ = clip_by_global_norm(grads, 1.0)
    assert grads["a"]["b"].tolist() == [3.0, 4.0]
    assert not np.may_share_memory(clipped["a"]["b"], grads["a"]["b"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squares_neither_overflow_nor_vanish(dtype: Any) -> None:
    info = np.finfo(dtype)
    for size in (float(info.max) / 8, float(info.smallest_normal) * 8):
        grads = one(3 * size / 4, size, dtype=dtype)
        limit = size / 4
        clipped, norm = clip_by_global_norm(grads, limit)
        assert float(norm) == pytest.approx(1.25 * size, rel=4 * float(info.eps))
        assert norm.dtype == dtype
        np.testing.assert_allclose(
            clipped["x"], [0.6 * limit, 0.8 * limit], rtol=4 * float(info.eps)
        )


def test_gradients_whose_norm_is_too_large_for_the_dtype_are_clipped() -> None:
    with np.errstate(over="ignore"):
        clipped, norm = clip_by_global_norm(one(3e38, 3e38, dtype=np.float32), 1.0)
    assert float(norm) == np.inf
    np.testing.assert_allclose(clipped["x"], [0.5**0.5] * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("double", "single", "expected"),
    [(1e-300, 0.0, 1e-300), (1e300, 1.0, 1e300), (3.0, 4.0, 5.0), (0.0, 1e-45, 1.4e-45)],
)
def test_mixed_dtypes_meet_in_the_wider_and_stay_what_they_are(
    double: float, single: float, expected: float
) -> None:
    grads = {"d": np.array([double]), "s": np.array([single], np.float32)}
    clipped, norm = clip_by_global_norm(grads, expected / 2)
    assert norm.dtype == np.float64
    assert float(norm) == pytest.approx(expected, rel=2e-3)
    assert (clipped["d"].dtype, clipped["s"].dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(clipped["d"], [double / 2], rtol=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_norm_tells_of_gradients_that_are_not_finite(bad: float) -> None:
    with np.errstate(invalid="ignore"):
        _, norm = clip_by_global_norm({"x": np.array([1.0]), "y": np.array(bad)}, 1.0)
    assert not np.isfinite(norm)


def test_leaves_without_elements_count_for_nothing() -> None:
    grads = {"x": np.array([3.0, 4.0]), "none": np.zeros((0, 3))}
    clipped, norm = clip_by_global_norm(grads, 1.0)
    assert float(norm) == 5.0
    assert clipped["none"].shape == (0, 3)


def test_strict_arrays_stay_strict_and_agree() -> None:
    grads = {"x": strict.asarray([3.0, 4.0]), "y": strict.asarray(12.0)}
    clipped, norm = clip_by_global_norm(grads, 6.5)
    assert type(norm) is type(clipped["x"]) is type(clipped["y"]) is type(grads["x"])
    assert float(norm) == 13.0
    np.testing.assert_allclose(np.asarray(clipped["x"]), [1.5, 2.0], rtol=1e-15)
    assert float(clipped["y"]) == pytest.approx(6.0, rel=1e-15)


@pytest.mark.parametrize("max_norm", [0.0, -1.0, float("nan"), float("inf")])
def test_max_norm_must_be_finite_and_positive(max_norm: float) -> None:
    with pytest.raises(ValueError, match="max_norm must be a finite number > 0, got"):
        clip_by_global_norm(one(1.0), max_norm)


def test_max_norm_must_be_a_number() -> None:
    with pytest.raises(TypeError, match="max_norm must be a finite number > 0, got '1'"):
        clip_by_global_norm(one(1.0), "1")  # type: ignore[arg-type]


@pytest.mark.parametrize(("max_norm", "what"), [(1e-60, "0"), (1e60, "infinity")])
def test_max_norm_must_fit_the_dtype(max_norm: float, what: str) -> None:
    with pytest.raises(ValueError, match=f"max_norm = .* rounds to {what} in float32"):
        clip_by_global_norm(one(1.0, dtype=np.float32), max_norm)
    clip_by_global_norm(one(1.0), max_norm)


@pytest.mark.parametrize(
    ("grads", "error", "message"),
    [
        ({}, ValueError, "grads must hold at least one array, got none"),
        (
            {"x": np.zeros((0,))},
            ValueError,
            "grads must hold at least one element, got none",
        ),
        ({"x": [1.0]}, TypeError, r"grads\['x'\] must be an array, got list"),
        (
            {"a": {"x": np.array([1])}},
            TypeError,
            r"grads\['a/x'\] must be float32 or float64, got int64",
        ),
        ([np.zeros(1)], TypeError, "grads must be a dict of arrays, got list"),
    ],
)
def test_grads_must_be_a_tree_of_arrays(
    grads: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        clip_by_global_norm(grads, 1.0)
