"""Schedules: values written out, and what they refuse."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookahead_ref.optimizers import schedules
from lookahead_ref.optimizers.schedules import Constant, Cosine, StepDecay, WarmUp


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Constant(0.3), [0.3] * 9),
        # It multiplies from each boundary on.
        (StepDecay(8.0, [2, 3, 10], factor=0.5), [8, 8, 4, 2, 2, 2, 2, 2, 2, 2, 1, 1]),
        (StepDecay(8.0, [], 0.5), [8] * 9),
        (StepDecay(8.0, [0], 0.5), [4] * 9),
        # It rises linearly, and its last step is full.
        (WarmUp(4, after=8.0), [2, 4, 6, 8, 8, 8]),
        (WarmUp(1, after=8.0), [8] * 9),
        # It multiplies a schedule that runs from step 0.
        (WarmUp(4, after=StepDecay(8.0, [2, 5], 0.5)), [2, 4, 3, 4, 4, 2]),
    ],
)
def test_the_values_from_step_0_on_are(schedule: Any, values: list[float]) -> None:
    assert [schedule(step) for step in range(len(values))] == values


def test_the_cifar_schedule_divides_by_5_after_epochs_60_120_and_160() -> None:
    schedule = schedules.cifar_step_decay(0.1, steps_per_epoch=7)
    last_and_first = [
        [round(schedule(epoch * 7 - 1), 12), round(schedule(epoch * 7), 12)]
        for epoch in (60, 120, 160, 200)
    ]
    assert last_and_first == [[0.1, 0.02], [0.02, 0.004], [0.004, 0.0008], [0.0008, 0.0008]]


@given(st.integers(1, 1000), st.floats(0.0, 10.0), st.floats(0.0, 10.0))
def test_cosine_falls_from_one_value_to_the_other_and_stays(
    steps: int, initial: float, final: float
) -> None:
    schedule = Cosine(initial, steps, final)
    assert schedule(0) == pytest.approx(initial, rel=1e-12, abs=1e-12)
    assert schedule(steps) == final
    assert schedule(10 * steps) == final
    for step in range(0, steps, 1 + steps // 10):
        # Half a turn is symmetric about its middle.
        both = schedule(step) + schedule(steps - step)
        assert both == pytest.approx(initial + final, rel=1e-12, abs=1e-12)


def test_cosine_is_a_quarter_down_at_a_third_of_the_way() -> None:
    schedule = Cosine(4.0, steps=300, final=2.0)
    assert schedule(100) == pytest.approx(2.0 + 2.0 * 0.75, rel=1e-15)
    assert schedule(75) == pytest.approx(3.0 + math.sqrt(0.5), rel=1e-15)


@pytest.mark.parametrize(
    ("boundaries", "message"),
    [
        ([2, 2], r"boundaries must increase, got \[2, 2\]"),
        ([3, 1], r"boundaries must increase, got \[3, 1\]"),
        ([-1], "boundaries must be an integer >= 0, got -1"),
        ([1.5], "boundaries must be an integer >= 0, got 1.5"),
        (7, "boundaries must be a list of integers, got 7"),
    ],
)
def test_boundaries_must_be_increasing_integers(boundaries: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        StepDecay(0.1, boundaries, 0.5)


def test_schedules_are_values() -> None:
    assert StepDecay(0.1, [1, 2], 0.5) == StepDecay(0.1, (1, 2), 0.5)
    assert hash(StepDecay(0.1, [1, 2], 0.5)) == hash(StepDecay(0.1, (1, 2), 0.5))
