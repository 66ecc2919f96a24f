"""Polyak averaging: its values, and its start."""

from fractions import Fraction
from itertools import accumulate
from operator import sub
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from support import INNER, assert_same_bits, normal, one, run, saved, trajectory


def averages(optimizer: Any, gradients: list[float], start: float) -> list[float]:
    """What is evaluated before the first step and after each."""
    points = trajectory(optimizer, one(start), map(one, gradients))
    return [optimizer.evaluation_params(*point)["x"].item() for point in points]


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        pytest.param(None, [-8.0, -12.0, -18.0], id="the mean of those after steps"),
        pytest.param(0.75, [-8.0, -10.0, -15.0], id="from those after step 1"),
        pytest.param(0.0, [-8.0, -16.0, -30.0], id="the last"),
    ],
)
def test_the_start_counts_only_before_any_step(decay: Any, expected: list[float]) -> None:
    # Params -8, -16, -30.
    optimizer = la.PolyakAveraging(la.SGD(1.0), decay)
    assert averages(optimizer, [108.0, 8.0, 14.0], start=100.0) == [100.0, *expected]


def test_the_mean_of_many_is_the_mean() -> None:
    gradients = np.random.default_rng(0).standard_normal(200).tolist()
    found = averages(la.PolyakAveraging(la.SGD(1.0)), gradients, start=0.0)
    thetas = [Fraction(theta) for theta in accumulate(gradients, sub, initial=0.0)][1:]
    # Each step rounds three times, by 2**-53 of what is at most twice the largest.
    bound = 200 * 6 * 2.0**-53 * float(max(abs(theta) for theta in thetas))
    assert abs(found[-1] - float(sum(thetas) / 200)) <= bound


@pytest.mark.parametrize("decay", [None, 0.9])
@pytest.mark.parametrize("inner", list(INNER))
def test_the_inner_optimizers_weights_are_trained(inner: str, decay: Any) -> None:
    start, *gradients = normal(11, 4)
    params, state = run(la.PolyakAveraging(INNER[inner](), decay), start, gradients)
    expected, alone = run(INNER[inner](), start, gradients)
    assert_same_bits(saved(params, state.inner), saved(expected, alone))


def test_around_lookahead_it_averages_the_params_that_step_returned() -> None:
    # Fast weights -8, then phi = -8 after the synchronization, then -16, then phi = -16.
    optimizer = la.PolyakAveraging(la.Lookahead(la.SGD(8.0), k=2))
    found = averages(optimizer, [1.0] * 4, start=0.0)
    assert found == [0.0, -8.0, -8.0, -32 / 3, -12.0]


def test_it_does_not_keep_the_parameters_of_init_as_an_average() -> None:
    optimizer, params = la.PolyakAveraging(la.SGD(1.0)), one(5.0)
    assert optimizer.evaluation_params(params, optimizer.init(one(1.0))) is params
