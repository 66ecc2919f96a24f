"""Polyak averaging: of what, from when, and around what."""

from fractions import Fraction
from itertools import accumulate
from operator import sub
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from support import INNER, assert_same_bits, normal, one, run, saved


def averages(optimizer: Any, gradients: list[float], start: float) -> list[float]:
    """What is evaluated before the first step and after each."""
    params, state = one(start), optimizer.init(one(start))
    found = [optimizer.evaluation_params(params, state)["x"].item()]
    for g in gradients:
        params, state = optimizer.step(params, one(g), state)
        found.append(optimizer.evaluation_params(params, state)["x"].item())
    return found


def test_the_mean_counts_the_params_from_step_1_on() -> None:
    # Params 0, -3, -5, -9; the start does not count, but is what there is before any step.
    optimizer = la.PolyakAveraging(la.SGD(1.0))
    found = averages(optimizer, [103.0, 2.0, 4.0], start=100.0)
    assert found[:3] == [100.0, -3.0, -4.0]
    assert found[3] == pytest.approx(-17 / 3, rel=4e-16)


def test_the_mean_of_many_is_the_mean() -> None:
    gradients = np.random.default_rng(0).standard_normal(200).tolist()
    found = averages(la.PolyakAveraging(la.SGD(1.0)), gradients, start=0.0)
    thetas = [Fraction(theta) for theta in accumulate(gradients, sub, initial=0.0)][1:]
    # Each step rounds three times, by 2**-53 of what is at most twice the largest.
    bound = 200 * 6 * 2.0**-53 * float(max(abs(theta) for theta in thetas))
    assert abs(found[-1] - float(sum(thetas) / 200)) <= bound


def test_the_exponential_form_starts_at_the_params_after_step_1() -> None:
    optimizer = la.PolyakAveraging(la.SGD(1.0), decay=0.75)
    # Params -8, -16, -24.
    found = averages(optimizer, [108.0, 8.0, 8.0], start=100.0)
    assert found == [100.0, -8.0, -10.0, -13.5]


def test_a_decay_of_zero_is_the_last_params_up_to_rounding() -> None:
    found = averages(la.PolyakAveraging(la.SGD(1.0), decay=0.0), [1.0, 2.0, 4.0], 0.0)
    assert found == [0.0, -1.0, -3.0, -7.0]


@pytest.mark.parametrize("decay", [None, 0.9])
@pytest.mark.parametrize("inner", list(INNER))
def test_what_is_trained_is_what_the_inner_optimizer_makes(inner: str, decay: Any) -> None:
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


def test_lookahead_around_it_is_an_error() -> None:
    averaged = la.PolyakAveraging(la.SGD(0.1))
    for around in (la.Lookahead, la.PolyakAveraging):
        with pytest.raises(
            TypeError,
            match="inner must not average its parameters, got PolyakAveraging: put it",
        ):
            around(averaged)
