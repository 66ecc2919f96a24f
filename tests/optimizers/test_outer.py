"""The outer step: any optimizer on the pseudo-gradient phi - theta."""

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lookahead_ref as la
from lookahead_ref.optimizers import SlowMo
from support import INNER, INNER_STATES, assert_same_bits, normal, one, run, saved

ALL = {
    **INNER,
    "rmsprop": lambda: la.RMSProp(0.02),
    "amsgrad": lambda: la.AMSGrad(0.02),
    "radam": lambda: la.RAdam(0.02),
    "lion": lambda: la.Lion(0.02),
}
numbers = st.floats(-1e3, 1e3, width=32)
steps = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=9)


def by_hand(inner: Any, outer: Any, k: int, start: Any, gradients: list[Any]) -> Any:
    """Params and phi of the algorithm written out: an outer step after k inner ones."""
    theta, phi = start, start
    state, outer_state = inner.init(theta), outer.init(phi)
    for step, gradient in enumerate(gradients, start=1):
        theta, state = inner.step(theta, gradient, state)
        if step % k == 0:
            difference = {"x": phi["x"] - theta["x"]}
            phi, outer_state = outer.step(phi, difference, outer_state)
            theta = phi
    return theta, phi, outer_state


@pytest.mark.parametrize("inner", ["sgd", "adam"])
@given(
    alpha=st.sampled_from([0.3, 0.5, 0.8, 1.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
    kind=st.sampled_from(INNER_STATES),
    start=st.tuples(numbers, numbers),
    gradients=steps,
)
def test_alpha_has_the_bits_of_an_outer_step_of_sgd(
    inner: str, alpha: float, dtype: Any, kind: Any, start: Any, gradients: Any
) -> None:
    given_gradients = [one(*each, dtype=dtype) for each in gradients]
    start = one(*start, dtype=dtype)
    short = la.Lookahead(INNER[inner](), 2, alpha, kind)
    full = la.Lookahead(INNER[inner](), 2, inner_state=kind, outer=la.SGD(alpha))
    params, state = run(short, start, given_gradients)
    others, other = run(full, start, given_gradients)
    assert other.outer.step == other.syncs == len(gradients) // 2
    assert_same_bits(others, params)
    assert_same_bits(saved({}, other._replace(outer=None)), saved({}, state))


@pytest.mark.parametrize("outer", ALL)
@pytest.mark.parametrize("k", [1, 3])
def test_the_outer_optimizer_steps_on_phi_minus_theta(outer: str, k: int) -> None:
    start, *gradients = normal(13, 5)
    optimizer = la.Lookahead(la.HeavyBall(0.1), k, outer=ALL[outer]())
    params, state = run(optimizer, start, gradients)
    theta, phi, of_outer = by_hand(la.HeavyBall(0.1), ALL[outer](), k, start, gradients)
    assert_same_bits(params, theta)
    assert_same_bits(optimizer.evaluation_params(params, state), phi)
    assert_same_bits(saved({}, state.outer), saved({}, of_outer))


# Methods by name.


def test_named_methods_are_lookahead_with_the_papers_outer_optimizers() -> None:
    adamw = la.Adam(weight_decay=0.1, weight_decay_kind="decoupled")
    assert la.diloco(adamw) == la.Lookahead(adamw, 500, outer=la.Nesterov(0.7, 0.9))
    snoo = la.snoo(adamw, 20, learning_rate=0.8, momentum=0.5)
    assert snoo == la.Lookahead(adamw, 20, outer=la.Nesterov(0.8, 0.5))


@pytest.mark.parametrize("scheduled", [False, True])
def test_slowmo_is_its_papers_algorithm(scheduled: bool) -> None:
    rates = np.repeat([0.1, 0.04, 0.02] if scheduled else [0.1] * 3, 3).tolist()
    start, *gradients = normal(10, 4)
    x = anchor = start["x"]
    u = np.zeros(4)
    for step, gradient in enumerate(gradients):
        x = x - rates[step] * gradient["x"]
        if step % 3 == 2:
            u = 0.7 * u + (anchor - x) / rates[step]
            x = anchor = anchor - 0.9 * rates[step] * u
    inner = la.SGD(rates.__getitem__ if scheduled else 0.1)
    optimizer = la.slowmo(inner, 3, momentum=0.7, learning_rate=0.9)
    params, _ = run(optimizer, start, gradients)
    np.testing.assert_allclose(params["x"], x, rtol=1e-13)
    plain = la.Lookahead(inner, 3, outer=la.HeavyBall(0.9, 0.7))
    others, _ = run(plain, start, gradients)
    assert np.allclose(others["x"], x, rtol=1e-6) != scheduled
    # The learning rate of training takes the place of the one that it was made with.
    for before in (0.3, lambda step: 0.3):
        made = la.slowmo(la.SGD(before), 3, momentum=0.7, learning_rate=0.9)
        changed = la.with_learning_rate(made, inner.learning_rate)
        assert_same_bits(run(changed, start, gradients)[0], params)


# Refused arguments.

NO_RATE = "outer must be an optimizer with a learning rate"


@pytest.mark.parametrize(
    ("outer", "error", "message"),
    [
        (la.SGD(0.0), ValueError, "the learning rate of outer must be a finite number > 0"),
        (la.Lookahead(la.SGD(0.1)), TypeError, NO_RATE),
        (la.PolyakAveraging(la.SGD(0.1)), TypeError, NO_RATE),
        (la.SGD, TypeError, "outer must be an optimizer, such as .* got <class"),
        (0.7, TypeError, "outer must be an optimizer, such as .* got 0.7"),
    ],
)
def test_invalid_outer_optimizers_are_refused(outer: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        la.Lookahead(la.SGD(0.1), outer=outer)


@pytest.mark.parametrize("inner_state", ["maintain", "interpolate"])
def test_an_error_of_the_outer_optimizer_names_it(inner_state: Any) -> None:
    falling = la.Nesterov(lambda syncs: 0.7 if syncs < 2 else -1.0)
    optimizer = la.Lookahead(la.Adam(0.1), 1, inner_state=inner_state, outer=falling)
    start, *gradients = normal(4, 4)
    message = (
        r"outer: learning_rate \(its schedule at 2\) must be a finite number >= 0, got -1"
    )
    with pytest.raises(ValueError, match=message):
        run(optimizer, start, gradients)
    stepper = la.Stepper(optimizer, start)
    for gradient in gradients[:2]:
        stepper.step(gradient)
    with pytest.raises(ValueError, match=message):
        stepper.step(gradients[2])
    small, ones = la.SGD(1e-60), {"x": np.ones(2, np.float32)}
    with pytest.raises(ValueError, match=r"outer: learning_rate .* rounds to 0 in float32"):
        la.Lookahead(la.SGD(0.1), outer=small).init(ones)


def test_slowmo_refuses_a_rate_of_zero() -> None:
    falling = la.slowmo(la.SGD(lambda step: 0.1 if step < 3 else 0.0), 3, momentum=0.7)
    start, *gradients = normal(7, 4)
    with pytest.raises(ValueError, match=r"gamma .*must be a finite number > 0, got 0\.0"):
        run(falling, start, gradients)
    with pytest.raises(TypeError, match=r"gamma must be a function of a count, got 0\.1"):
        SlowMo(1.0, 0.9, 0.1)  # type: ignore[arg-type]
    made = la.slowmo(la.SGD(0.1), 3, momentum=0.9)
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_state_of_a_lookahead_with_another_outer_step_is_refused() -> None:
    plain, snoo = la.Lookahead(la.SGD(0.1)), la.diloco(la.SGD(0.1))
    for optimizer, other in ((plain, snoo), (snoo, plain)):
        with pytest.raises(ValueError, match=r"state\.outer must be that of outer ="):
            optimizer.step(one(1.0), one(1.0), other.init(one(1.0)))


def test_alpha_and_outer_together_are_refused() -> None:
    for alpha in (0.5, la.AdaptiveAlpha()):
        with pytest.raises(ValueError, match="alpha and outer cannot both be given"):
            la.Lookahead(la.Adam(), alpha=alpha, outer=la.SGD(0.5))
