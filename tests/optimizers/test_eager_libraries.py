"""Eager JAX and PyTorch arrays in the pure interface, where they are installed.

Their square root and their division by a scalar may round differently, and JAX flushes
subnormal numbers to zero, so that a tolerance is compared with and not the bits. Each
operation is right to an ulp or two; over 60 steps of at most 20 operations that is some
2000 ulp of the largest weight in the worst case, and far less in practice. Adam's and
AdaGrad's quotients pass a relative error on as it is.
"""

from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref import trees
from support import INNER, INNER_STATES

STEPS = 60


def draw(rng: np.random.Generator, dtype: Any) -> Any:
    return {
        "layer": {"w": rng.standard_normal((3, 4)).astype(dtype)},
        "scale": np.asarray(rng.standard_normal(), dtype),
    }


def check(optimizer: Any, convert: Any, kind: Any, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    params = draw(rng, dtype)
    other = trees.map(convert, params)
    state, other_state = optimizer.init(params), optimizer.init(other)
    for _ in range(STEPS):
        grads = draw(rng, dtype)
        params, state = optimizer.step(params, grads, state)
        other, other_state = optimizer.step(other, trees.map(convert, grads), other_state)
        for tree_here, tree_there in (
            (params, other),
            (
                optimizer.evaluation_params(params, state),
                optimizer.evaluation_params(other, other_state),
            ),
            (state.slots, other_state.slots),
        ):
            here, there = trees.flatten(tree_here), trees.flatten(tree_there)
            assert here.keys() == there.keys()
            for path, leaf in there.items():
                assert isinstance(leaf, kind), path
                found = np.asarray(leaf)
                assert found.dtype == dtype
                largest = max(1.0, float(np.max(np.abs(here[path]))))
                bound = 2000 * float(np.finfo(dtype).eps) * largest
                np.testing.assert_allclose(found, here[path], rtol=0, atol=bound)


@pytest.mark.parametrize("inner_state", INNER_STATES)
@pytest.mark.parametrize("inner", list(INNER))
def test_eager_jax_arrays_agree_within_the_tolerance(inner: str, inner_state: Any) -> None:
    pytest.importorskip("jax")
    import jax.numpy as jnp

    optimizer = la.Lookahead(
        INNER[inner](weight_decay=0.01), k=5, alpha=0.3, inner_state=inner_state
    )
    check(optimizer, jnp.asarray, type(jnp.zeros(())), np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("inner_state", INNER_STATES)
@pytest.mark.parametrize("inner", list(INNER))
def test_pytorch_tensors_agree_within_the_tolerance(
    inner: str, inner_state: Any, dtype: Any
) -> None:
    torch = pytest.importorskip("torch")
    optimizer = la.Lookahead(
        INNER[inner](weight_decay=0.01), k=5, alpha=0.3, inner_state=inner_state
    )
    check(optimizer, torch.tensor, torch.Tensor, dtype)


def test_pytorch_gradients_for_numpy_parameters_are_an_error() -> None:
    torch = pytest.importorskip("torch")
    params = {"x": np.zeros(2)}
    with pytest.raises(
        TypeError, match=r"grads\['x'\] must be an array of numpy .* got one of torch"
    ):
        la.SGD(0.1).step(params, {"x": torch.zeros(2)}, la.SGD(0.1).init(params))
    stepper = la.Stepper(la.SGD(0.1), params)
    with pytest.raises(TypeError, match=r"grads\['x'\] must be .* got one of torch"):
        stepper.step({"x": torch.zeros(2)})
    with pytest.raises(
        TypeError, match=r"params\['x'\] must be a NumPy array .* got one of torch"
    ):
        la.Stepper(la.SGD(0.1), {"x": torch.zeros(2)})
