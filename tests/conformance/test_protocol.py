"""What a case needs, and what a program offers."""

from collections.abc import Callable
from typing import Any

import pytest

from lookahead_ref.conformance import Inner, Level, Setup, UnsupportedError, cases, observe
from lookahead_ref.conformance.protocol import setup

ALL = {"nesting": True, "alpha_schedule": True}

OFFERED: list[tuple[dict[str, Any], Callable[[Setup], bool]]] = [
    (ALL, lambda _: True),
    (ALL | {"nesting": False}, lambda given: len(given.levels) == 1),
    (
        ALL | {"alpha_schedule": False},
        lambda given: all(len(level.alpha) == 1 for level in given.levels),
    ),
    (ALL | {"rules": ["sgd", "adam"]}, lambda given: given.inner.rule in ("sgd", "adam")),
    (ALL | {"weight_decay": ["l2"]}, lambda given: given.inner.weight_decay_kind == "l2"),
    (
        ALL | {"inner_states": ["maintain"]},
        lambda given: {level.inner_state for level in given.levels} == {"maintain"},
    ),
    ({}, lambda given: len(given.levels) == 1 == len(given.levels[0].alpha)),
]


@pytest.mark.parametrize(("offered", "asked"), OFFERED)
def test_a_case_that_needs_more_than_is_offered_is_refused(
    offered: dict[str, Any], asked: Callable[[Setup], bool]
) -> None:
    found = set()
    for case in (case for case in cases() if case.profile not in ("outer", "workers")):
        given = setup(case, "float32")
        expected = asked(given)
        found.add(expected)
        if expected:
            given.only(**offered)
        else:
            with pytest.raises(UnsupportedError):
                given.only(**offered)
    assert True in found
    assert offered == ALL or False in found


def test_the_last_entry_of_a_table_holds() -> None:
    inner = Inner("sgd", {}, "none", (0.3, 0.2, 0.1))
    assert [inner.learning_rate_at(t) for t in range(5)] == [0.3, 0.2, 0.1, 0.1, 0.1]
    level = Level(5, (0.5, 0.8), "maintain")
    assert [level.alpha_at(n) for n in range(3)] == [0.5, 0.8, 0.8]


class Silent:
    """A program from before there were outer optimizers, or workers."""

    def start(self, setup: Setup) -> None:
        raise AssertionError("it was asked")


def test_a_program_is_asked_only_for_the_kinds_of_cases_that_it_offers() -> None:
    for case in (*cases("outer"), *cases("workers")):
        given = setup(case, "float64")
        asked = {"outer": "an outer optimizer", "workers": "several workers"}
        if not any(level.outer and not level.alpha for level in given.levels):
            del asked["outer"]
        if given.workers == 1:
            del asked["workers"]
        assert asked
        for number, expected in enumerate(asked.values()):
            offering = type("Offering", (Silent,), {"offers": [*asked][:number]})
            with pytest.raises(UnsupportedError, match=expected):
                observe(case, "float64", offering())
        offering = type("Offering", (Silent,), {"offers": [*asked]})
        with pytest.raises(AssertionError, match="it was asked"):
            observe(case, "float64", offering())


def test_the_tensors_of_workers_are_split_and_merged() -> None:
    several = setup(cases("workers")[0], "float64")
    of_each = [{"weight": 1, "a/b": 2}, {"weight": 3, "a/b": 4}]
    together = {"1/weight": 1, "1/a/b": 2, "2/weight": 3, "2/a/b": 4}
    assert several.merged(of_each) == together
    assert several.split(together) == of_each
