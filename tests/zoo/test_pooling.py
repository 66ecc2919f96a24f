"""Pooling and the padded identity."""

from typing import Any

import numpy as np
import pytest
from autograd.test_util import check_grads

from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo.pooling import (
    _max_pool,
    _mean_pool,
    _padded_identity,
    max_pool,
    mean_pool,
    padded_identity,
)

LAYERS = {
    "mean": (mean_pool, _mean_pool, {}),
    "max": (max_pool, _max_pool, {"size": 3, "stride": 2, "padding": 1}),
    "max apart": (max_pool, _max_pool, {"size": 2, "stride": 2, "padding": 0}),
    "identity": (padded_identity, _padded_identity, {"stride": 2, "channels": 5}),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [(4, 4), (7, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_gradients_are_those_of_the_twin(
    name: str, size: tuple[int, int], dtype: Any
) -> None:
    layer, twin, options = LAYERS[name]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, *size, 3)).astype(dtype)
    y = layer(x, **options)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, twin(x, **options), rtol=1e-6)
    weights = rng.standard_normal(y.shape).astype(dtype)
    found, expected = (
        value_and_grad(lambda p: (each(p["x"], **options) * weights).sum())({"x": x})  # noqa: B023
        for each in (layer, twin)
    )
    assert found[1]["x"].dtype == dtype
    np.testing.assert_allclose(found[1]["x"], expected[1]["x"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_they_are_differentiable_twice(name: str) -> None:
    layer, _, options = LAYERS[name]
    x = np.random.default_rng(0).standard_normal((1, 4, 4, 2))
    check_grads(lambda x: layer(x, **options), modes=["rev"])(x)


def test_of_equal_largest_ones_the_first_gets_the_gradient() -> None:
    _, grads = value_and_grad(lambda p: max_pool(p["x"], size=2, stride=2).sum())(
        {"x": np.zeros((1, 2, 2, 1))}
    )
    np.testing.assert_array_equal(grads["x"].ravel(), [1, 0, 0, 0])
