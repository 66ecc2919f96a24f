"""Stochastic gradient descent, against a loop in plain Python."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lookahead_ref as la
from support import one, run

# Multiples of 1/8 with few bits: a few updates by them are exact in float64.
dyadic = st.integers(-64, 64).map(lambda number: number / 8)


@given(dyadic, st.lists(dyadic, min_size=1, max_size=6), st.sampled_from([1.0, 0.5, 0.25]))
def test_sgd_subtracts_the_learning_rate_times_the_gradient(
    start: float, gradients: list[float], rate: float
) -> None:
    params, state = run(la.SGD(rate), one(start), [one(g) for g in gradients])
    expected = Fraction(start) - sum(Fraction(rate) * Fraction(g) for g in gradients)
    assert Fraction(params["x"].item()) == expected
    assert state == (len(gradients), len(gradients), {})


@given(
    dyadic,
    st.lists(dyadic, min_size=1, max_size=4),
    st.sampled_from(["l2", "decoupled"]),
)
def test_sgd_with_weight_decay_of_either_kind_is_the_same(
    start: float, gradients: list[float], kind: Any
) -> None:
    optimizer = la.SGD(0.5, weight_decay=0.25, weight_decay_kind=kind)
    params, _ = run(optimizer, one(start), [one(g) for g in gradients])
    theta = Fraction(start)
    for g in gradients:
        theta -= Fraction(1, 2) * (Fraction(g) + Fraction(1, 4) * theta)
    assert Fraction(params["x"].item()) == theta


def test_the_learning_rate_s_schedule_sees_the_updates_done() -> None:
    seen = []

    def schedule(step: int) -> float:
        seen.append(step)
        return 2.0**-step

    optimizer = la.SGD(schedule)
    params, state = one(8.0), optimizer.init(one(8.0))
    seen.clear()
    steps = []
    for _ in range(4):
        params, state = optimizer.step(params, one(1.0), state)
        steps.append(params["x"].item())
    assert seen == [0, 1, 2, 3]
    assert steps == [7.0, 6.5, 6.25, 6.125]


@pytest.mark.parametrize("rate", [0, 0.0])
def test_a_learning_rate_of_zero_leaves_the_parameters(rate: float) -> None:
    params, _ = run(la.SGD(rate), one(1.5, -2.0), [one(1.0, 3.0)])
    np.testing.assert_array_equal(params["x"], [1.5, -2.0])


def test_parameters_are_updated_each_by_its_own_gradient() -> None:
    params = {"a": {"b": np.array([1.0]), "c": np.array([2.0, 3.0])}, "d": np.array(4.0)}
    grads = {"d": np.array(40.0), "a": {"c": np.array([20.0, 30.0]), "b": np.array([10.0])}}
    after, _ = run(la.SGD(0.5), params, [grads])
    assert list(after) == ["a", "d"]
    assert list(after["a"]) == ["b", "c"]
    assert after["a"]["b"].tolist() == [-4.0]
    assert after["a"]["c"].tolist() == [-8.0, -12.0]
    assert after["d"].tolist() == -16.0


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "params must hold at least one array, got none"),
        ({"x": np.arange(2)}, r"params\['x'\] must be float32 or float64, got int64"),
        ({"x": np.ones(2, complex)}, r"params\['x'\] must be .*, got complex128"),
        ({"x": np.ones(2, np.float16)}, r"params\['x'\] must be .*, got float16"),
        ({"x": [1.0, 2.0]}, r"params\['x'\] must be an array, got list"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda inner: inner, la.Lookahead, la.PolyakAveraging])
def test_step_refuses_params_that_init_would_refuse(
    wrap: Any, params: Any, message: str
) -> None:
    # SGD has no slots whose dtypes and names would give such params away.
    optimizer = wrap(la.SGD(0.5))
    state = optimizer.init(one(1.0, 2.0))
    with pytest.raises((TypeError, ValueError), match=message):
        optimizer.step(params, params, state)
