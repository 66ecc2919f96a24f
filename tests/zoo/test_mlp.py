"""The multilayer perceptron, its activations and its initial weights."""

import copy
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest
from autograd.test_util import check_grads
from hypothesis import given, settings
from hypothesis import strategies as st

from lookahead_ref.data import Examples
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo import MLP
from lookahead_ref.zoo.activations import ACTIVATIONS, relu, tanh
from lookahead_ref.zoo.initializers import INITIALIZERS

sizes = st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple)
names = st.sampled_from(["relu", "tanh"])


def batch(model: MLP, n: int, dtype: Any = np.float64) -> Examples:
    rng = np.random.default_rng(1)
    return Examples(
        rng.standard_normal((n, model.sizes[0])).astype(dtype),
        rng.integers(0, model.sizes[-1], n),
    )


@given(sizes, names, st.sampled_from([np.float32, np.float64]))
@settings(deadline=None)
def test_parameters_logits_loss_and_gradients_have_one_dtype(
    layer_sizes: tuple[int, ...], activation: Any, dtype: Any
) -> None:
    model = MLP(layer_sizes, activation)
    params = model.init(seed=0, dtype=dtype)
    some = batch(model, 3, dtype)
    assert list(params) == [f"layer{i}" for i in range(1, len(layer_sizes))]
    assert model.apply(params, some.inputs).shape == (3, layer_sizes[-1])
    assert model.apply(params, some.inputs).dtype == dtype
    value, grads = value_and_grad(model.loss)(params, some)
    assert value.dtype == dtype
    for name, layer in params.items():
        for part, leaf in layer.items():
            assert leaf.dtype == dtype
            assert grads[name][part].dtype == dtype
            assert grads[name][part].shape == leaf.shape


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_gradient_agrees_with_central_differences(activation: Any) -> None:
    model = MLP((4, 5, 3), activation)
    params = model.init(seed=3, dtype=np.float64)
    some = batch(model, 7)
    _, grads = value_and_grad(model.loss)(params, some)
    step = 1e-6
    for name, layer in params.items():
        for part, leaf in layer.items():
            for index in np.ndindex(leaf.shape):
                above, below = copy.deepcopy(params), copy.deepcopy(params)
                above[name][part][index] += step
                below[name][part][index] -= step
                slope = (model.loss(above, some) - model.loss(below, some)) / (2 * step)
                assert grads[name][part][index] == pytest.approx(slope, abs=1e-8)


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


def test_the_same_seed_gives_the_same_parameters_and_another_seed_others() -> None:
    model = MLP((3, 4, 2))
    first, same, other = (model.init(seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first["layer1"]["weight"], same["layer1"]["weight"])
    assert (first["layer1"]["weight"] != other["layer1"]["weight"]).any()


def test_float32_and_float64_models_start_at_the_same_point() -> None:
    model = MLP((3, 4, 2))
    single, double = model.init(0, np.float32), model.init(0, np.float64)
    for name, layer in double.items():
        np.testing.assert_array_equal(
            single[name]["weight"], layer["weight"].astype(np.float32)
        )


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("he_normal", 2 / 300),
        ("he_uniform", 2 / 300),
        ("glorot_normal", 2 / 500),
        ("glorot_uniform", 2 / 500),
    ],
)
def test_initial_weights_have_the_variance_that_their_name_promises(
    name: str, variance: float
) -> None:
    weight = INITIALIZERS[name](np.random.default_rng(0), (300, 200), np.float64)
    # The sample variance of 60,000 numbers is within 2 percent with near certainty.
    assert weight.var() == pytest.approx(variance, rel=0.02)
    assert weight.mean() == pytest.approx(0.0, abs=4 * (variance / 60_000) ** 0.5)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations_have_right_derivatives_to_the_second_order(activation: str) -> None:
    x = np.array([-2.0, -0.5, 0.25, 3.0])
    check_grads(ACTIVATIONS[activation], modes=["rev"], order=2)(x)


def test_activations_stay_float32_and_do_not_overflow() -> None:
    params = {"x": np.array([-1e30, -100.0, 0.0, 100.0, 1e30], np.float32)}
    for activation in (relu, tanh):
        _, grads = value_and_grad(lambda p, f=activation: anp.sum(f(p["x"]) * 0.5))(params)
        assert grads["x"].dtype == np.float32
        assert np.isfinite(grads["x"]).all()


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ({"sizes": (3,)}, ValueError, "sizes must give at least"),
        ({"sizes": (3, 0)}, ValueError, "sizes must be a positive integer, got 0"),
        ({"sizes": (3, 2.0)}, TypeError, "sizes must be a positive integer, got 2.0"),
        ({"sizes": (3, True)}, TypeError, "sizes must be a positive integer, got True"),
        ({"activation": "gelu"}, ValueError, "activation must be one of 'relu', 'tanh'"),
        ({"initialization": "zeros"}, ValueError, "initialization must be one of"),
    ],
)
def test_a_model_that_cannot_be_made_is_refused_by_name(
    wrong: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        MLP(**{"sizes": (3, 2), **wrong})
