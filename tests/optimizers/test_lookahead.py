"""Algorithm 1: when it synchronizes, what becomes of phi, the slots and the clocks."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lookahead_ref as la
from lookahead_ref.optimizers import LookaheadState
from support import INNER, INNER_STATES, assert_same_bits, frozen, one, run, saved

integers = st.integers(-8, 8).map(float)


def trajectory(optimizer: Any, start: Any, gradients: list[Any]) -> list[tuple[Any, Any]]:
    """Params and state before the first step and after each."""
    params, state = start, optimizer.init(start)
    points = [(params, state)]
    for grads in gradients:
        params, state = optimizer.step(params, grads, state)
        points.append((params, state))
    return points


# Synchronization.


@pytest.mark.parametrize("k", [1, 2, 3, 5])
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
def test_after_a_synchronization_the_params_are_phi_themselves(
    inner: str, inner_state: Any
) -> None:
    optimizer = la.Lookahead(INNER[inner](), k=2, inner_state=inner_state)
    points = trajectory(optimizer, one(1.0, -2.0), [one(0.5, 0.25)] * 6)
    for step, (params, state) in enumerate(points):
        assert (params is state.phi) == (step > 0 and step % 2 == 0)
        assert optimizer.evaluation_params(params, state) is state.phi


def test_phi_starts_as_a_copy_of_the_parameters() -> None:
    start = {"a": {"b": np.array([1.0, 2.0])}}
    state = la.Lookahead(la.SGD(1.0)).init(start)
    assert_same_bits(state.phi, start)
    start["a"]["b"][0] = 50.0
    assert state.phi["a"]["b"].tolist() == [1.0, 2.0]
    assert (state.cycle_step, state.syncs, state.anchor) == (0, 0, None)


def test_phi_starts_at_the_parameters_of_init_not_of_the_first_step() -> None:
    optimizer = la.Lookahead(la.SGD(1.0), k=1, alpha=0.5)
    state = optimizer.init(one(0.0))
    params, _ = optimizer.step(one(16.0), one(0.0), state)
    assert params["x"].item() == 8.0


def test_the_outer_step_is_rounded_as_the_paper_writes_it() -> None:
    # (1 - alpha) phi + alpha theta, the other form, has other bits here.
    phi, theta, alpha = 0.1, 0.7, 0.3
    assert phi + alpha * (theta - phi) != (1 - alpha) * phi + alpha * theta
    optimizer = la.Lookahead(la.SGD(1.0), k=1, alpha=alpha)
    gradient = phi - theta
    assert phi - gradient == theta
    params, _ = run(optimizer, one(phi), [one(gradient)])
    assert params["x"].item() == phi + alpha * (theta - phi)


def test_the_defaults_are_those_of_the_paper() -> None:
    optimizer = la.Lookahead(la.SGD(1.0))
    assert (optimizer.k, optimizer.alpha, optimizer.inner_state) == (5, 0.5, "maintain")


# Equation (0.1).


@given(
    start=integers,
    gradients=st.lists(integers, min_size=1, max_size=18),
    k=st.integers(1, 4),
)
def test_slow_weights_are_the_moving_average_of_the_last_fast_weights(
    start: float, gradients: list[float], k: int
) -> None:
    # Integers, and alpha a half: every value is a multiple of 2**-18, and exact.
    alpha = Fraction(1, 2)
    points = trajectory(
        la.Lookahead(la.SGD(1.0), k=k, alpha=0.5), one(start), [one(g) for g in gradients]
    )
    # theta_{i,k}: the inner optimizer's last fast weights of cycle i, before they become
    # phi.
    last_fast = [
        Fraction(points[i * k - 1][0]["x"].item()) - Fraction(gradients[i * k - 1])
        for i in range(1, len(gradients) // k + 1)
    ]
    for t in range(len(last_fast) + 1):
        expected = (1 - alpha) ** t * Fraction(start) + alpha * sum(
            (1 - alpha) ** (t - i) * last_fast[i - 1] for i in range(1, t + 1)
        )
        assert Fraction(points[t * k][1].phi["x"].item()) == expected


@pytest.mark.parametrize("inner", list(INNER))
def test_slow_weights_are_the_moving_average_whatever_the_inner_optimizer(
    inner: str,
) -> None:
    k, alpha, rng = 3, 0.3, np.random.default_rng(0)
    optimizer = la.Lookahead(INNER[inner](), k=k, alpha=alpha)
    start = {"x": rng.standard_normal(20)}
    gradients = [{"x": rng.standard_normal(20)} for _ in range(30)]
    points = trajectory(optimizer, start, gradients)
    last_fast = []
    for i in range(k, 31, k):
        params, state = points[i - 1]
        last_fast.append(INNER[inner]().step(params, gradients[i - 1], state.inner)[0]["x"])
    for t in range(11):
        expected = (1 - alpha) ** t * start["x"] + alpha * sum(
            (1 - alpha) ** (t - i) * last_fast[i - 1] for i in range(1, t + 1)
        )
        # Each of t interpolations, and each of the sum's t terms, rounds a few times.
        bound = 8 * (t + 1) * 2.0**-53 * np.max(np.abs([start["x"], *last_fast]))
        np.testing.assert_allclose(points[t * k][1].phi["x"], expected, rtol=0, atol=bound)


# Limits.


@pytest.mark.parametrize("inner", list(INNER))
def test_with_k_1_and_alpha_1_it_is_the_inner_optimizer_up_to_rounding(inner: str) -> None:
    rng = np.random.default_rng(0)
    start = {"x": rng.standard_normal(50)}
    gradients = [{"x": rng.standard_normal(50)} for _ in range(100)]
    wrapped = trajectory(la.Lookahead(INNER[inner](), k=1, alpha=1.0), start, gradients)
    plain = trajectory(INNER[inner](), start, gradients)
    largest = max(np.max(np.abs(params["x"])) for params, _ in plain)
    for step, ((theta, state), (expected, slots)) in enumerate(
        zip(wrapped, plain, strict=True)
    ):
        # phi + (theta - phi) rounds twice, by 2**-53 of what is at most twice the largest.
        bound = step * 4 * 2.0**-53 * largest
        np.testing.assert_allclose(theta["x"], expected["x"], rtol=0, atol=bound)
        # The gradients are given: the slots never see the rounding.
        assert_same_bits(state.inner.slots, slots.slots)


@pytest.mark.parametrize("inner_state", INNER_STATES)
@pytest.mark.parametrize("inner", list(INNER))
def test_before_the_first_synchronization_it_is_the_inner_optimizer_exactly(
    inner: str, inner_state: Any
) -> None:
    rng = np.random.default_rng(0)
    start = {"x": rng.standard_normal(5)}
    gradients = [{"x": rng.standard_normal(5)} for _ in range(20)]
    optimizer = la.Lookahead(INNER[inner](), k=21, inner_state=inner_state)
    theta, state = run(optimizer, start, gradients)
    expected, inner_alone = run(INNER[inner](), start, gradients)
    assert_same_bits(saved(theta, state.inner), saved(expected, inner_alone))
    assert_same_bits(state.phi, start)
    assert_same_bits(optimizer.evaluation_params(theta, state), start)


# The inner state.


def heavy_ball(inner_state: Any, **options: Any) -> Any:
    return la.Lookahead(
        la.HeavyBall(1.0, momentum=0.5), k=2, inner_state=inner_state, **options
    )


def velocities(optimizer: Any, gradients: list[float]) -> list[float]:
    points = trajectory(optimizer, one(0.0), [one(g) for g in gradients])
    return [state.inner.slots["velocity"]["x"].item() for _, state in points]


def test_maintain_leaves_the_slots() -> None:
    assert velocities(heavy_ball("maintain"), [8.0, 0.0, 0.0, 0.0]) == [0, 8, 4, 2, 1]


def test_reset_makes_the_slots_and_the_count_anew_and_lets_the_clock_run_on() -> None:
    assert velocities(heavy_ball("reset"), [8.0, 8.0, 8.0, 8.0]) == [0, 8, 0, 8, 0]
    points = trajectory(heavy_ball("reset"), one(0.0), [one(1.0)] * 5)
    assert [state.inner.updates for _, state in points] == [0, 1, 0, 1, 0, 1]
    assert [state.inner.step for _, state in points] == [0, 1, 2, 3, 4, 5]


def test_interpolate_moves_the_slots_from_where_the_last_synchronization_left_them() -> (
    None
):
    # First from zero towards 12, then from 3 towards 3 / 4 + 12.
    optimizer = heavy_ball("interpolate", alpha=0.25)
    expected = [0, 8, 0.25 * 12, 9.5, 3 + 0.25 * (12.75 - 3)]
    assert velocities(optimizer, [8.0] * 4) == expected
    points = trajectory(optimizer, one(0.0), [one(8.0)] * 4)
    assert [state.inner.updates for _, state in points] == [0, 1, 2, 3, 4]
    for step in (0, 2, 4):
        assert_same_bits(points[step][1].anchor, points[step][1].inner.slots)
    assert_same_bits(points[3][1].anchor, points[2][1].inner.slots)


def test_what_happens_to_the_slots_happens_to_each_of_them() -> None:
    adam = la.Adam(0.1, beta1=0.5, beta2=0.75)
    slots = {}
    for kind in INNER_STATES:
        optimizer = la.Lookahead(adam, k=2, alpha=0.25, inner_state=kind)
        _, state = run(optimizer, one(0.0), [one(4.0)] * 2)
        slots[kind] = [values["x"].item() for values in state.inner.slots.values()]
    # Moments of two gradients of 4: 4 (1 - 1/4) and 16 (1 - 9/16).
    assert slots["maintain"] == [3.0, 7.0]
    assert slots["reset"] == [0.0, 0.0]
    assert slots["interpolate"] == [0.75, 1.75]


def test_after_a_reset_adam_corrects_its_moments_as_at_the_start() -> None:
    # Each first step of a cycle then has the length of the learning rate.
    adam = la.Adam(0.5, epsilon=0.0)
    for kind, length in (("reset", 0.5), ("maintain", 0.5), ("interpolate", None)):
        optimizer = la.Lookahead(adam, k=3, inner_state=kind)
        points = trajectory(optimizer, one(0.0), [one(1.0)] * 4)
        moved = points[3][0]["x"].item() - points[4][0]["x"].item()
        if length is None:
            assert moved < 0.49  # moments halved, the correction not
        else:
            assert moved == pytest.approx(length, rel=1e-12)


@pytest.mark.parametrize("inner_state", INNER_STATES)
def test_a_reset_state_is_that_of_init_but_for_the_clocks(inner_state: Any) -> None:
    optimizer = la.Lookahead(la.Adam(0.1), k=3, inner_state=inner_state)
    _, state = run(optimizer, one(1.0, 2.0), [one(3.0, 4.0)] * 3)
    fresh = la.Adam(0.1).init(one(1.0, 2.0))
    restarted = state.inner._replace(step=0)
    if inner_state == "reset":
        assert_same_bits(saved({}, restarted), saved({}, fresh))
    else:
        with pytest.raises(AssertionError):
            assert_same_bits(saved({}, restarted), saved({}, fresh))


def test_only_interpolation_keeps_an_anchor() -> None:
    for kind in INNER_STATES:
        state = la.Lookahead(la.Adam(0.1), inner_state=kind).init(one(1.0))
        assert isinstance(state, LookaheadState)
        assert (state.anchor is not None) == (kind == "interpolate")


# Clocks.


@pytest.mark.parametrize("inner_state", INNER_STATES)
def test_alpha_sees_the_synchronizations_and_the_learning_rate_the_global_step(
    inner_state: Any,
) -> None:
    seen: dict[str, list[int]] = {"alpha": [], "rate": []}

    def alpha(syncs: int) -> float:
        seen["alpha"].append(syncs)
        return 0.5

    def rate(step: int) -> float:
        seen["rate"].append(step)
        return 0.1

    optimizer = la.Lookahead(la.HeavyBall(rate), k=3, alpha=alpha, inner_state=inner_state)
    params, state = one(1.0), optimizer.init(one(1.0))
    seen["alpha"].clear()
    seen["rate"].clear()
    for _ in range(10):
        params, state = optimizer.step(params, one(1.0), state)
    assert seen == {"alpha": [0, 1, 2], "rate": list(range(10))}


def test_each_synchronization_uses_its_own_alpha() -> None:
    optimizer = la.Lookahead(la.SGD(1.0), k=1, alpha=lambda syncs: 1.0 / 2**syncs)
    points = trajectory(optimizer, one(0.0), [one(-16.0)] * 3)
    assert [state.phi["x"].item() for _, state in points] == [0.0, 16.0, 24.0, 28.0]


# Purity and errors.


@pytest.mark.parametrize("inner_state", INNER_STATES)
@pytest.mark.parametrize("inner", list(INNER))
def test_step_changes_nothing_that_was_passed_in(inner: str, inner_state: Any) -> None:
    optimizer = la.PolyakAveraging(
        la.Lookahead(
            la.Lookahead(INNER[inner](weight_decay=0.1), k=2, inner_state=inner_state),
            k=3,
            inner_state=inner_state,
        )
    )
    # The first arrays are read-only; what was returned is compared with what it was.
    params = frozen(one(1.0, -2.0, 0.5))
    state = optimizer.init(params)
    for step in range(7):
        grads = frozen(one(step, 1.0, -step))
        before = {path: np.copy(value) for path, value in saved(params, state).items()}
        kept = (params, grads, state)
        after, next_state = optimizer.step(params, grads, state)
        for path, value in saved(kept[0], kept[2]).items():
            np.testing.assert_array_equal(value, before[path], err_msg=path)
        assert grads["x"].tolist() == [step, 1.0, -step]
        params, state = after, next_state


def test_k_may_be_any_kind_of_integer() -> None:
    optimizer = la.Lookahead(la.SGD(1.0), k=np.int64(2))
    points = trajectory(optimizer, one(0.0), [one(1.0)] * 4)
    assert [state.syncs for _, state in points] == [0, 0, 1, 1, 2]


def test_an_inner_state_that_cannot_be_synchronized_is_refused_at_the_start() -> None:
    class Foreign:
        def init(self, params: Any) -> dict[str, Any]:
            return {}

        def step(self, params: Any, grads: Any, state: Any) -> Any:
            return params, state

        def evaluation_params(self, params: Any, state: Any) -> Any:
            return params

    with pytest.raises(TypeError, match=r"inner must have .* got dict without slots"):
        la.Lookahead(Foreign()).init(one(1.0))


def test_a_cycle_that_is_over_already_is_refused() -> None:
    params, state = run(la.Lookahead(la.SGD(1.0), k=5), one(8.0), [one(1.0)] * 3)
    with pytest.raises(ValueError, match=r"state.cycle_step must be below k = 3, got 3"):
        la.Lookahead(la.SGD(1.0), k=3).step(params, one(1.0), state)
