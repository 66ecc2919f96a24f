"""Where a rule meets the leaves of trees."""

from typing import Any

import array_api_strict as strict
import numpy as np
import pytest

from lookahead_ref.trees import (
    apply,
    interpolate,
    round_scalars,
    round_to,
    zeros_like,
)
from support import one


def scale(xp: Any) -> Any:
    return lambda x, y, factor: (factor * x, x + y)


def test_a_rule_is_applied_to_corresponding_leaves() -> None:
    first = {"a": {"b": np.array([1.0, 2.0])}, "c": np.array([3.0])}
    second = {"c": np.array([30.0]), "a": {"b": np.array([10.0, 20.0])}}
    scaled, added = apply(scale, {"factor": 2.0}, first, second)
    assert scaled["a"]["b"].tolist() == [2.0, 4.0]
    assert added["a"]["b"].tolist() == [11.0, 22.0]
    assert (scaled["c"].tolist(), added["c"].tolist()) == ([6.0], [33.0])
    assert list(added) == ["a", "c"]


def test_scalars_are_rounded_once_to_the_dtype_of_each_leaf() -> None:
    trees = {"s": np.ones(1, np.float32), "d": np.ones(1)}
    seen = {}

    def rule(xp: Any) -> Any:
        def note(x: Any, factor: float) -> Any:
            seen[str(x.dtype)] = factor
            return factor * x

        return note

    (scaled,) = apply(rule, {"factor": 0.1}, trees)
    assert seen == {"float32": float(np.float32(0.1)), "float64": 0.1}
    assert (scaled["s"].dtype, scaled["d"].dtype) == (np.float32, np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("convert", [np.asarray, strict.asarray])
def test_results_without_dimensions_stay_arrays(convert: Any, dtype: Any) -> None:
    x = convert(np.array(2.0, dtype))
    (moved,) = apply(interpolate, {"alpha": 0.5}, {"x": x}, {"x": x})
    assert type(moved["x"]) is type(x)
    assert (moved["x"].shape, moved["x"].dtype) == ((), x.dtype)


def test_interpolation_goes_a_fraction_of_the_way() -> None:
    (moved,) = apply(interpolate, {"alpha": 0.25}, one(8.0, 0.0), one(0.0, 16.0))
    assert moved["x"].tolist() == [6.0, 4.0]


@pytest.mark.parametrize("other", [{"y": np.ones(1)}, {}, {"x": {"z": np.ones(1)}}])
def test_trees_of_other_names_are_refused(other: Any) -> None:
    with pytest.raises(ValueError, match="params and the optimizer's state differ in the"):
        apply(scale, {"factor": 2.0}, one(1.0), other)


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (np.ones(2), ValueError, r"'x' must have the shape \(1,\) of the parameter"),
        (np.ones(1, np.float32), TypeError, "'x' must be float64 as the parameter is"),
        ([1.0], TypeError, "'x' must be an array, got list"),
    ],
)
def test_leaves_that_differ_are_refused(other: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=f"the optimizer's state for {message}"):
        apply(scale, {"factor": 2.0}, one(1.0), {"x": other})


def test_scalars_that_do_not_fit_are_named_with_the_leaf() -> None:
    leaf = np.ones(1, np.float32)
    with pytest.raises(
        ValueError, match=r"rate \(for params\['a/w'\]\) = 1e-50 rounds to 0 in float32"
    ):
        round_scalars({"rate": 1e-50}, "a/w", leaf)
    assert round_scalars({"rate": 0.0}, "a/w", leaf) == {"rate": 0.0}
    assert round_scalars({"rate": 1e-50}, "a/w", np.ones(1)) == {"rate": 1e-50}
    with pytest.raises(ValueError, match="x = -1e-50 rounds to 0 in float32"):
        round_to("torch.float32", "x", -1e-50)


def test_zeros_are_like_their_tree() -> None:
    zeros = zeros_like(
        {"a": {"b": np.full((2, 3), 7.0, np.float32)}, "c": strict.asarray(5.0)}
    )
    assert zeros["a"]["b"].dtype == np.float32
    assert zeros["a"]["b"].tolist() == [[0.0] * 3] * 2
    assert type(zeros["c"]) is type(strict.asarray(5.0))
    assert float(zeros["c"]) == 0.0
