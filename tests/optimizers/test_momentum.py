"""Heavy ball and Nesterov, against exact loops over fractions."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lookahead_ref as la
from support import one, run

dyadic = st.integers(-64, 64).map(lambda number: number / 8)
DECAY = {"none": 0.0, "l2": 0.5, "decoupled": 0.5}


def by_hand(
    start: float, gradients: list[float], direction: Callable[[Any, Any], Any], kind: str
) -> tuple[Fraction, Fraction]:
    """Momentum 1/2, learning rate 1/4, weight decay 1/2 or none."""
    theta, v = Fraction(start), Fraction(0)
    for given_gradient in gradients:
        g = Fraction(given_gradient)
        if kind == "l2":
            g += theta / 2
        v = v / 2 + g
        update = direction(g, v)
        if kind == "decoupled":
            update += theta / 2
        theta -= update / 4
    return theta, v


@pytest.mark.parametrize("kind", ["none", "l2", "decoupled"])
@pytest.mark.parametrize(
    ("make", "direction"),
    [(la.HeavyBall, lambda g, v: v), (la.Nesterov, lambda g, v: g + v / 2)],
)
@given(start=dyadic, gradients=st.lists(dyadic, min_size=1, max_size=5))
def test_momentum_is_the_loop_written_by_hand(
    make: Any, direction: Any, kind: str, start: float, gradients: list[float]
) -> None:
    optimizer = make(
        0.25,
        momentum=0.5,
        weight_decay=DECAY[kind],
        weight_decay_kind="decoupled" if kind == "decoupled" else "l2",
    )
    params, state = run(optimizer, one(start), [one(g) for g in gradients])
    theta, v = by_hand(start, gradients, direction, kind)
    assert Fraction(params["x"].item()) == theta
    assert Fraction(state.slots["velocity"]["x"].item()) == v
    assert (state.step, state.updates) == (len(gradients), len(gradients))


@pytest.mark.parametrize(("make", "after"), [(la.HeavyBall, 3.5), (la.Nesterov, 3.25)])
def test_the_learning_rate_stands_outside_of_the_velocity(make: Any, after: float) -> None:
    # A rate that falls to zero stops at once; were it inside, the velocity would go on.
    optimizer = make(lambda step: 0.5 if step == 0 else 0.0, momentum=0.5)
    params, state = run(optimizer, one(4.0), [one(1.0)])
    assert params["x"].item() == after
    params, state = optimizer.step(params, one(1.0), state)
    assert params["x"].item() == after
    assert state.slots["velocity"]["x"].item() == 1.5


@pytest.mark.parametrize("make", [la.HeavyBall, la.Nesterov])
def test_without_momentum_it_is_sgd(make: Any) -> None:
    grads = [one(0.3, -1.7), one(2.1, 0.9), one(-0.4, 0.2)]
    with_none, _ = run(make(0.1, momentum=0.0), one(1.0, 2.0), grads)
    plain, _ = run(la.SGD(0.1), one(1.0, 2.0), grads)
    assert with_none["x"].tolist() == plain["x"].tolist()


@pytest.mark.parametrize("make", [la.HeavyBall, la.Nesterov])
def test_the_default_momentum_is_nine_tenths(make: Any) -> None:
    assert make(0.1).momentum == 0.9
