"""The inner optimizers against loops in 50-digit decimals, and what they share."""

from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lookahead_ref as la
from support import one, run

# Multiples of 1/8 with few bits: a few updates by them are exact in float64.
dyadic = st.integers(-64, 64).map(lambda number: number / 8)
finite = st.floats(-100.0, 100.0).map(lambda number: round(number, 3))
BETA1, BETA2 = 0.8, 0.95


class Case(NamedTuple):
    """An optimizer, its rule by hand from t, g and slots, and how exactly they agree."""

    make: Callable[..., Any]
    rule: Callable[..., tuple[Decimal, ...]]
    rate: float
    decay: float
    tolerance: float = 0.0


def heavy_ball(t: int, g: Decimal, v: Decimal) -> tuple[Decimal, ...]:
    v = v / 2 + g
    return v, v


def nesterov(t: int, g: Decimal, v: Decimal) -> tuple[Decimal, ...]:
    v = v / 2 + g
    return g + v / 2, v


def adagrad(t: int, g: Decimal, s: Decimal) -> tuple[Decimal, ...]:
    s += g * g
    return g / (s.sqrt() + Decimal("1e-3")), s


def adam(t: int, g: Decimal, m: Decimal, v: Decimal) -> tuple[Decimal, ...]:
    beta1, beta2 = Decimal(BETA1), Decimal(BETA2)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return m_hat / (v_hat.sqrt() + Decimal("1e-2")), m, v


def rmsprop(t: int, g: Decimal, v: Decimal) -> tuple[Decimal, ...]:
    v = Decimal(BETA2) * v + (1 - Decimal(BETA2)) * g * g
    return g / (v.sqrt() + Decimal("1e-2")), v


def amsgrad(
    t: int, g: Decimal, m: Decimal, v: Decimal, largest: Decimal
) -> tuple[Decimal, ...]:
    _, m, v = adam(t, g, m, v)
    largest = max(largest, v)
    m_hat, v_hat = m / (1 - Decimal(BETA1) ** t), largest / (1 - Decimal(BETA2) ** t)
    return m_hat / (v_hat.sqrt() + Decimal("1e-2")), m, v, largest


def radam(t: int, g: Decimal, m: Decimal, v: Decimal) -> tuple[Decimal, ...]:
    update, m, v = adam(t, g, m, v)
    beta2 = Decimal(BETA2)
    longest = 2 / (1 - beta2) - 1
    rho = longest - 2 * t * beta2**t / (1 - beta2**t)
    if rho <= 4:
        return m / (1 - Decimal(BETA1) ** t), m, v
    ratio = (rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)
    return ratio.sqrt() * update, m, v


def lion(t: int, g: Decimal, m: Decimal) -> tuple[Decimal, ...]:
    moved = m / 2 + g / 2
    return Decimal((moved > 0) - (moved < 0)), m / 4 + 3 * g / 4


ROUNDINGS = 12 * 20 * 2.0**-53 * 100 * 10
OF_ADAM = {"beta1": BETA1, "beta2": BETA2, "epsilon": 1e-2}

CASES = {
    "sgd": Case(la.SGD, lambda t, g: (g,), 0.5, 0.25),
    "heavy ball": Case(partial(la.HeavyBall, momentum=0.5), heavy_ball, 0.25, 0.5),
    "nesterov": Case(partial(la.Nesterov, momentum=0.5), nesterov, 0.25, 0.5),
    # A step rounds some ten times, each by 2**-53 of values of at most 100; with L2 the
    # rounding of theta enters the gradient, divided by epsilon where all of the gradient is
    # cancelled: thirty times as large.
    "adagrad": Case(
        partial(la.AdaGrad, epsilon=1e-3), adagrad, 0.3, 0.1, 12 * 10 * 2.0**-53 * 100 * 30
    ),
    # Some twenty times; an error in m is divided by no less than epsilon and multiplied by
    # the learning rate: ten times as large.
    "adam": Case(partial(la.Adam, **OF_ADAM), adam, 0.1, 0.1, ROUNDINGS),
    "amsgrad": Case(partial(la.AMSGrad, **OF_ADAM), amsgrad, 0.1, 0.1, ROUNDINGS),
    "radam": Case(partial(la.RAdam, **OF_ADAM), radam, 0.1, 0.1, ROUNDINGS),
    # Divided by the root of a first square: the rounding of theta with L2, as in AdaGrad.
    "rmsprop": Case(
        partial(la.RMSProp, beta2=BETA2, epsilon=1e-2), rmsprop, 0.1, 0.1, 5 * ROUNDINGS
    ),
    "lion": Case(partial(la.Lion, beta1=0.5, beta2=0.25), lion, 0.25, 0.5),
}


@pytest.mark.parametrize("kind", ["none", "l2", "decoupled"])
@pytest.mark.parametrize("name", list(CASES))
@settings(max_examples=30)  # each of up to twelve steps
@given(data=st.data())
def test_each_is_the_loop_written_by_hand(name: str, kind: Any, data: Any) -> None:
    make, rule, rate, decay, tolerance = CASES[name]
    numbers, longest = (finite, 12) if tolerance else (dyadic, 4)
    start = data.draw(numbers)
    gradients = data.draw(st.lists(numbers, min_size=1, max_size=longest))
    given_decay: Any = {"weight_decay": decay, "weight_decay_kind": kind}
    optimizer = make(rate, **({} if kind == "none" else given_decay))
    params, state = run(optimizer, one(start), [one(g) for g in gradients])

    with localcontext(prec=50):
        theta, slots = Decimal(start), [Decimal(0)] * len(optimizer.slots)
        for t, given_gradient in enumerate(gradients, start=1):
            g = Decimal(given_gradient)
            if kind == "l2":
                g += Decimal(decay) * theta
            update, *slots = rule(t, g, *slots)
            if kind == "decoupled":
                update += Decimal(decay) * theta
            theta -= Decimal(rate) * update

    bound = tolerance / 30 if name == "adagrad" and kind != "l2" else tolerance
    assert abs(params["x"].item() - float(theta)) <= bound
    for slot, expected in zip(optimizer.slots, slots, strict=True):
        relative = 1e-12 if tolerance else 0.0
        got = state.slots[slot]["x"].item()
        assert got == pytest.approx(float(expected), rel=relative, abs=tolerance)
    assert (state.step, state.updates) == (len(gradients), len(gradients))


# SGD and what all have from the step that they share.


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "params must hold at least one array, got none"),
        ({"x": np.arange(2)}, r"params\['x'\] must be float32 or float64, got int64"),
        ({"x": [1.0, 2.0]}, r"params\['x'\] must be an array, got list"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda inner: inner, la.Lookahead, la.PolyakAveraging])
def test_step_refuses_what_init_refuses(wrap: Any, params: Any, message: str) -> None:
    # SGD has no slots whose dtypes and names would give such params away.
    optimizer = wrap(la.SGD(0.5))
    state = optimizer.init(one(1.0, 2.0))
    with pytest.raises((TypeError, ValueError), match=message):
        optimizer.step(params, params, state)


def test_the_defaults_are_those_of_the_papers() -> None:
    assert la.Adam() == la.Adam(1e-3, 0.9, 0.999, 1e-8, 0.0, "l2")
    assert la.AdaGrad(0.1) == la.AdaGrad(0.1, 1e-10, 0.0, "l2")
    for make in (la.HeavyBall, la.Nesterov):
        assert make(0.1) == make(0.1, 0.9, 0.0, "l2")
    assert la.Lookahead(la.SGD(0.1)) == la.Lookahead(la.SGD(0.1), 5, 0.5, "maintain")
    assert la.RAdam() == la.RAdam(1e-3, 0.9, 0.999, 1e-8, 4.0)
    assert la.Lion() == la.Lion(1e-4, 0.9, 0.99, 0.0, "decoupled")


# Whose state a step takes.

X, GRADIENT = one(8.0), one(1.0)
SGD, ADAM = la.SGD(1.0), la.Adam(1.0)


@pytest.mark.parametrize(
    ("optimizer", "other", "wanted"),
    [
        (SGD, la.Lookahead(SGD), "InnerState .* got LookaheadState"),
        (la.Lookahead(SGD), SGD, "LookaheadState .* got InnerState"),
        (la.PolyakAveraging(SGD), SGD, "PolyakState .* got InnerState"),
        (la.Lookahead(la.Lookahead(SGD)), la.Lookahead(SGD), "LookaheadState .* got Inner"),
    ],
)
def test_another_kind_of_state_is_refused(optimizer: Any, other: Any, wanted: str) -> None:
    with pytest.raises(TypeError, match=f"state must be the {wanted}"):
        optimizer.step(X, GRADIENT, other.init(X))


@pytest.mark.parametrize("around", [lambda inner: inner, la.Lookahead])
def test_a_state_with_other_slots_is_refused(around: Any) -> None:
    says = r"the slots first_moment, second_moment, got \(none\)"
    with pytest.raises(ValueError, match=says):
        around(ADAM).step(X, GRADIENT, around(SGD).init(X))
    with pytest.raises(ValueError, match=r"the slots \(none\), got first_moment, second"):
        around(SGD).step(X, GRADIENT, around(ADAM).init(X))


def test_the_order_in_which_slots_are_stored_does_not_matter() -> None:
    params, state = ADAM.step(X, GRADIENT, ADAM.init(X))
    turned = state._replace(slots=dict(reversed(state.slots.items())))
    expected, _ = ADAM.step(params, GRADIENT, state)
    assert ADAM.step(params, GRADIENT, turned)[0] == expected
