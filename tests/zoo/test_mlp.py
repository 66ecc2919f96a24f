"""The multilayer perceptron, the activations and the initial weights."""

from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd.test_util import check_grads

from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo import MLP
from lookahead_ref.zoo.initializers import initializer
from lookahead_ref.zoo.layers import ACTIVATIONS


def test_a_layer_is_affine_with_the_activation_between_layers_only() -> None:
    model = MLP((2, 2, 1))
    params = {
        "layer1": {"weight": np.array([[1.0, -1.0], [0.0, 0.0]]), "bias": np.zeros(2)},
        "layer2": {"weight": np.array([[1.0], [1.0]]), "bias": np.array([-5.0])},
    }
    # |x| - 5, negative: nothing rectifies it.
    np.testing.assert_array_equal(
        model.apply(params, np.array([[-3.0, 9.0], [2.0, 9.0]])), [[-2.0], [-3.0]]
    )


def test_layers_are_found_by_name_in_whatever_order_they_stand() -> None:
    model = MLP((3, 4, 2))
    params = model.init(seed=0)
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(
        model.apply(dict(reversed(params.items())), x), model.apply(params, x)
    )


@pytest.mark.parametrize(("kind", "variance"), [("he", 2 / 300), ("glorot", 2 / 500)])
@pytest.mark.parametrize("shape", ["normal", "uniform"])
def test_initial_weights_have_their_names_variance(
    kind: str, shape: str, variance: float
) -> None:
    draw = initializer(f"{kind}_{shape}")
    weight = draw(np.random.default_rng(0), (300, 200), np.float64)
    # The sample variance of 60,000 numbers is within 2 percent with near certainty.
    assert weight.var() == pytest.approx(variance, rel=0.02)
    assert weight.mean() == pytest.approx(0.0, abs=4 * (variance / 60_000) ** 0.5)


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_activations_differentiate_in_float32_and_do_not_overflow(activation: Any) -> None:
    x = np.array([-2.0, -0.5, 0.25, 3.0])
    check_grads(activation, modes=["rev"], order=2)(x)
    params = {"x": np.array([-1e30, -100.0, 0.0, 100.0, 1e30], np.float32)}
    _, grads = value_and_grad(lambda p: anp.sum(activation(p["x"]) * 0.5))(params)
    assert grads["x"].dtype == np.float32
    assert np.isfinite(grads["x"]).all()
