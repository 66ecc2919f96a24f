"""Parameter groups: which optimizer updates which parameters."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lookahead_ref as la
from lookahead_ref import trees
from support import assert_same_bits, gradients, mixed_params, named, one, run

OWN = {
    "*scale": la.Lookahead(la.Adam(0.1), 3, 0.3),
    "single/*": la.Nesterov(0.05, weight_decay=0.1),
    "*": la.PolyakAveraging(la.SGD(0.2)),
}


def part(tree: Any, *paths: str) -> dict[str, Any]:
    leaves = trees.flatten(tree)
    return {path: leaves[path] for path in paths}


def test_each_group_is_optimized_as_if_it_were_alone() -> None:
    params = mixed_params()
    grads = list(gradients(params, 8))
    optimizer = la.Grouped(OWN)
    after, state = run(optimizer, params, grads)
    evaluated = optimizer.evaluation_params(after, state)
    members = {
        "*scale": ("single/scale", "double/scale"),
        "single/*": ("single/weight",),
        "*": ("double/weight", "double/empty"),
    }
    for pattern, paths in members.items():
        own = OWN[pattern]
        alone, its_state = run(
            own, part(params, *paths), (part(each, *paths) for each in grads)
        )
        assert_same_bits(part(after, *paths), alone)
        assert_same_bits(named(state.groups[pattern]), named(its_state))
        expected = own.evaluation_params(alone, its_state)
        assert_same_bits(part(evaluated, *paths), expected)


@given(st.permutations(["a/weight", "a/bias", "b/weight", "b/bias"]))
def test_the_first_pattern_that_matches_decides_whatever_the_order_of_parameters(
    paths: list[str],
) -> None:
    optimizer = la.Grouped({"a/*": la.SGD(1.0), "*bias": la.SGD(2.0), "*": la.SGD(4.0)})
    params = {path: np.zeros(1) for path in paths}
    ones = {path: np.ones(1) for path in paths}
    after, _ = run(optimizer, params, [ones])
    assert list(after) == paths
    expected = {"a/weight": -1.0, "a/bias": -1.0, "b/weight": -4.0, "b/bias": -2.0}
    assert {path: leaf.item() for path, leaf in after.items()} == expected


def test_the_group_of_all_that_is_left_may_be_empty() -> None:
    optimizer = la.Grouped({"x": la.SGD(1.0), "*": la.Adam(1.0)})
    after, state = run(optimizer, one(1.0), [one(1.0)])
    assert after["x"].tolist() == [0.0]
    assert list(state.groups) == ["x"]


def test_a_schedule_keeps_the_ratios_of_the_learning_rates() -> None:
    groups = {"*bias": la.Lookahead(la.SGD(0.2)), "*": la.SGD(0.4)}
    given = la.with_learning_rate(la.Grouped(groups), la.schedules.Cosine(1.0, steps=2))
    bias, rest = given.groups["*bias"].inner.learning_rate, given.groups["*"].learning_rate
    assert [(bias(step), rest(step)) for step in range(3)] == [
        (0.5, 1.0),
        (0.25, 0.5),
        (0.0, 0.0),
    ]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "groups must be a dict from patterns of paths to optimizers, got {}"),
        ([la.SGD(1.0)], "groups must be a dict from patterns of paths to optimizers"),
        ({1: la.SGD(1.0)}, "the patterns of groups must be strings, got 1"),
        ({"*": la.SGD}, "groups['*'] must be an optimizer"),
        ({"*": la.Grouped(OWN)}, "groups['*'] must not be Grouped itself"),
    ],
)
def test_invalid_groups_are_refused(groups: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        la.Grouped(groups)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["y", "*"], "groups['y'] must be the first match of a parameter, got none of x"),
        (["*", "x"], "groups['x'] must be the first match of a parameter, got none of x"),
        (["y"], "groups must have a pattern for each parameter, got none for 'x'"),
    ],
)
@pytest.mark.parametrize("make", [la.Grouped.init, la.Stepper])
def test_patterns_that_do_not_fit_the_parameters_are_refused(
    make: Any, patterns: list[str], message: str
) -> None:
    optimizer = la.Grouped({pattern: la.SGD(1.0) for pattern in patterns})
    with pytest.raises(ValueError, match=re.escape(message)):
        make(optimizer, one(1.0))


@pytest.mark.parametrize(
    "around", [la.Lookahead, la.PolyakAveraging, lambda it: la.slowmo(it, 5, momentum=0.5)]
)
@pytest.mark.parametrize("outermost", [la.Grouped(OWN), la.PolyakAveraging(la.SGD(0.1))])
def test_groups_and_an_average_are_around_everything_else(
    around: Any, outermost: Any
) -> None:
    given = f"got {type(outermost).__name__}: put it around everything else instead"
    with pytest.raises(TypeError, match=f"inner must be .* that can be wrapped, {given}"):
        around(outermost)


def test_the_state_of_other_groups_is_refused() -> None:
    state = la.Grouped({"x": la.SGD(1.0)}).init(one(1.0))
    with pytest.raises(ValueError, match=r"state must be of the groups \*, got x"):
        la.Grouped({"*": la.SGD(1.0)}).step(one(1.0), one(1.0), state)


def test_a_step_that_one_group_refuses_leaves_all_as_they_were() -> None:
    bad = la.SGD(lambda step: -1.0 if step == 1 else 1.0)
    stepper = la.Stepper(la.Grouped({"a": la.Adam(0.1), "b": bad}), two())
    stepper.step(two())
    before = stepper.state_dict()
    with pytest.raises(ValueError, match="learning_rate"):
        stepper.step(two())
    assert_same_bits(stepper.state_dict(), before)


def two() -> dict[str, Any]:
    return {"a": np.ones(2), "b": np.ones(2)}
