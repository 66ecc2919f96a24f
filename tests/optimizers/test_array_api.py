"""The pure interface in another namespace: array_api_strict has NumPy's bits."""

from typing import Any

import array_api_strict as strict
import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref import trees
from support import DECOUPLED, INNER, INNER_STATES, L2, assert_same_bits, saved

WRAPS: dict[str, Any] = {
    "plain": lambda inner: inner,
    **{
        kind: lambda inner, kind=kind: la.Lookahead(inner, k=3, alpha=0.3, inner_state=kind)
        for kind in INNER_STATES
    },
    "nested": lambda inner: la.Lookahead(
        la.Lookahead(inner, k=2, alpha=0.3, inner_state="interpolate"),
        k=3,
        alpha=0.6,
        inner_state="reset",
    ),
    "mean": la.PolyakAveraging,
    "exponential, of a Lookahead": lambda inner: la.PolyakAveraging(
        la.Lookahead(inner, k=3, alpha=0.3), decay=0.9
    ),
}


def to_strict(values: Any) -> Any:
    return trees.map(lambda leaf: strict.asarray(np.array(leaf)), values)


def to_numpy(values: dict[str, Any]) -> dict[str, Any]:
    """Every array of a flat dict as NumPy's, after it is seen to be a strict one."""
    found = {}
    for path, value in values.items():
        if isinstance(value, int):
            found[path] = value
        else:
            assert type(value) is type(strict.asarray(0.0)), path
            found[path] = np.asarray(value)
    return found


@pytest.mark.parametrize("wrap", list(WRAPS))
@pytest.mark.parametrize("inner", list(INNER))
@pytest.mark.parametrize(
    "decay", [{}, L2, DECOUPLED], ids=["without decay", "L2", "decoupled"]
)
def test_strict_arrays_have_the_bits_of_numpy_and_stay_strict(
    inner: str, wrap: str, decay: Any
) -> None:
    rng = np.random.default_rng(0)
    optimizer = WRAPS[wrap](INNER[inner](**decay))

    def draw() -> Any:
        return {
            "single": {"x": rng.standard_normal((2, 3)).astype(np.float32)},
            "double": {
                "x": rng.standard_normal(3),
                "scale": np.array(rng.standard_normal()),
            },
            "scale": np.array(rng.standard_normal(), np.float32),
        }

    params = draw()
    strict_params = to_strict(params)
    state, strict_state = optimizer.init(params), optimizer.init(strict_params)
    for _ in range(14):
        grads = draw()
        params, state = optimizer.step(params, grads, state)
        strict_params, strict_state = optimizer.step(
            strict_params, to_strict(grads), strict_state
        )
        assert_same_bits(
            to_numpy(saved(strict_params, strict_state)),
            trees.flatten(saved(params, state)),
        )
        evaluated = optimizer.evaluation_params(strict_params, strict_state)
        assert_same_bits(
            to_numpy(trees.flatten(evaluated)),
            trees.flatten(optimizer.evaluation_params(params, state)),
        )


def test_gradients_of_another_library_are_an_error() -> None:
    optimizer = la.Lookahead(la.Adam(0.1))
    params = {"layer": {"w": strict.asarray([1.0, 2.0])}}
    state = optimizer.init(params)
    with pytest.raises(
        TypeError,
        match=r"grads\['layer/w'\] must be an array of array_api_strict as the parameter "
        "is, got one of numpy",
    ):
        optimizer.step(params, {"layer": {"w": np.array([1.0, 2.0])}}, state)


def test_a_state_of_another_library_is_an_error() -> None:
    optimizer = la.HeavyBall(0.1)
    state = optimizer.init({"w": np.array([1.0])})
    w = strict.asarray([1.0])
    with pytest.raises(
        TypeError, match="the optimizer's state for 'w' must be an array of"
    ):
        optimizer.step({"w": w}, {"w": w}, state)


def test_hyperparameters_may_be_numbers_of_another_kind() -> None:
    # float32's 0.1 is not a Python float, which is all that a strict array takes.
    x = strict.asarray([1.0, 2.0])
    for rate in (np.float32(0.125), np.float64(0.125), np.array(0.125), 1):
        optimizer = la.Lookahead(la.SGD(rate), k=1, alpha=rate)
        params, _ = optimizer.step({"x": x}, {"x": x}, optimizer.init({"x": x}))
        factor = 1.0 - float(rate) * float(rate)
        assert np.asarray(params["x"]).tolist() == [factor, 2.0 * factor]
