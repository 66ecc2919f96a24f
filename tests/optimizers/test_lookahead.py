"""Algorithm 1: when it synchronizes, what becomes of phi, the slots and the clocks."""

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import lookahead_ref as la
from support import (
    INNER,
    INNER_STATES,
    assert_same_bits,
    frozen,
    normal,
    one,
    run,
    saved,
    trajectory,
)

integers = st.integers(-8, 8).map(float)


# Synchronization.


@pytest.mark.parametrize("k", [1, 2, np.int64(3), 5])
def test_it_synchronizes_after_steps_k_2k_3k_and_no_other(k: int) -> None:
    points = trajectory(la.Lookahead(la.SGD(1.0), k=k), one(0.0), [one(1.0)] * 12)
    synced = [
        step
        for step, ((_, before), (_, after)) in enumerate(pairwise(points), start=1)
        if after.syncs > before.syncs
    ]
    assert synced == list(range(k, 13, k))
    assert [state.cycle_step for _, state in points] == [step % k for step in range(13)]
    assert [state.syncs for _, state in points] == [step // k for step in range(13)]
    for (_, before), (_, after) in pairwise(points):
        assert (after.phi is before.phi) == (after.syncs == before.syncs)


@pytest.mark.parametrize("inner_state", INNER_STATES)
@pytest.mark.parametrize("inner", list(INNER))
def test_synchronized_params_are_phi_themselves(inner: str, inner_state: Any) -> None:
    optimizer = la.Lookahead(INNER[inner](), k=2, inner_state=inner_state)
    points = trajectory(optimizer, one(1.0, -2.0), [one(0.5, 0.25)] * 6)
    for step, (params, state) in enumerate(points):
        assert (params is state.phi) == (step > 0 and step % 2 == 0)
        assert optimizer.evaluation_params(params, state) is state.phi


def test_phi_starts_as_a_copy_of_the_parameters_of_init() -> None:
    start, optimizer = {"a": {"b": np.array([1.0, 2.0])}}, la.Lookahead(la.SGD(1.0), k=1)
    state = optimizer.init(start)
    assert_same_bits(state.phi, start)
    start["a"]["b"][:] = 50.0
    assert state.phi["a"]["b"].tolist() == [1.0, 2.0]
    assert (state.cycle_step, state.syncs, state.anchor) == (0, 0, None)
    # Not of the first step: halfway from there to here.
    params, _ = optimizer.step(start, {"a": {"b": np.zeros(2)}}, state)
    assert params["a"]["b"].tolist() == [25.5, 26.0]


def test_the_outer_step_is_rounded_as_the_paper_writes_it() -> None:
    # (1 - alpha) phi + alpha theta, the other form, has other bits here.
    phi, theta, alpha = 0.1, 0.7, 0.3
    assert phi + alpha * (theta - phi) != (1 - alpha) * phi + alpha * theta
    optimizer = la.Lookahead(la.SGD(1.0), k=1, alpha=alpha)
    gradient = phi - theta
    assert phi - gradient == theta
    params, _ = run(optimizer, one(phi), [one(gradient)])
    assert params["x"].item() == phi + alpha * (theta - phi)


@pytest.mark.parametrize("inner_state", INNER_STATES)
@pytest.mark.parametrize("inner", ["sgd", "heavy-ball", "adam"])
def test_with_alpha_1_it_is_the_inner_optimizer_unless_a_state_is_reset(
    inner: str, inner_state: Any
) -> None:
    start, *gradients = normal(13, 50)
    around = la.Lookahead(INNER[inner](), k=3, alpha=1.0, inner_state=inner_state)
    whole, _ = run(around, start, gradients)
    alone, _ = run(INNER[inner](), start, gradients)
    restarted = start
    for cycle in range(0, 12, 3):
        restarted, _ = run(INNER[inner](), restarted, gradients[cycle : cycle + 3])
    anew = inner_state == "reset" and inner != "sgd"
    assert np.allclose(alone["x"], restarted["x"]) == (inner == "sgd")
    expected = restarted if anew else alone
    np.testing.assert_allclose(whole["x"], expected["x"], rtol=1e-13, atol=1e-13)
    # This is what the specification says.
    spec = (Path(__file__).parents[2] / "docs" / "spec.md").read_text("utf-8")
    clause = spec.partition("### LA-5")[2].partition("\n### ")[0]
    assert "under [`reset`](#la-12) it is the inner optimizer\nwhose slots start" in clause


@pytest.mark.parametrize("inner_state", INNER_STATES)
@pytest.mark.parametrize("inner", list(INNER))
def test_before_the_first_synchronization_it_is_the_inner_optimizer_exactly(
    inner: str, inner_state: Any
) -> None:
    start, *gradients = normal(21, 5)
    optimizer = la.Lookahead(INNER[inner](), k=21, inner_state=inner_state)
    theta, state = run(optimizer, start, gradients)
    expected, inner_alone = run(INNER[inner](), start, gradients)
    assert_same_bits(saved(theta, state.inner), saved(expected, inner_alone))
    assert_same_bits(state.phi, start)
    assert_same_bits(optimizer.evaluation_params(theta, state), start)


# The inner state, and that of Lookaheads within.


def test_at_an_outer_synchronization_every_phi_is_the_new_params() -> None:
    within = la.Lookahead(la.Lookahead(la.SGD(1.0), k=4), k=3)
    optimizer = la.Lookahead(within, k=5, alpha=0.25)
    params, state = run(optimizer, one(1.0), [one(1.0)] * 5)
    assert params is state.phi is state.inner.phi is state.inner.inner.phi


# Purity and errors.


@pytest.mark.parametrize("inner_state", INNER_STATES)
@pytest.mark.parametrize("inner", list(INNER))
def test_step_changes_nothing_that_was_passed_in(inner: str, inner_state: Any) -> None:
    made = la.Lookahead(INNER[inner](weight_decay=0.1), k=2, inner_state=inner_state)
    optimizer = la.PolyakAveraging(la.Lookahead(made, k=3, inner_state=inner_state))
    params = frozen(one(1.0, -2.0, 0.5))
    state = optimizer.init(params)
    for step in range(7):
        before = copy.deepcopy(saved(params, state))
        after = optimizer.step(params, frozen(one(step, 1.0, -step)), state)
        assert_same_bits(saved(params, state), before)
        params, state = after


def test_an_inner_state_that_cannot_be_synchronized_is_refused_at_the_start() -> None:
    class Foreign(la.SGD):
        def init(self, params: Any) -> Any:
            return {}

    with pytest.raises(TypeError, match=r"inner must have .* got dict without slots"):
        la.Lookahead(Foreign(0.1)).init(one(1.0))


def test_a_cycle_that_is_over_already_is_refused() -> None:
    params, state = run(la.Lookahead(la.SGD(1.0), k=5), one(8.0), [one(1.0)] * 3)
    with pytest.raises(ValueError, match=r"state.cycle_step must be below k = 3, got 3"):
        la.Lookahead(la.SGD(1.0), k=3).step(params, one(1.0), state)
