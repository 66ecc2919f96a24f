"""Lookahead around Lookahead, against two loops written out by hand."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from support import INNER_STATES, one, run

MOMENTUM, RATE, ALPHA1, ALPHA2 = 0.85, 0.07, 0.3, 0.6


def rate(step: int) -> float:
    return RATE / (1 + step)


@dataclass
class ByHand:
    """Heavy ball in one number; every level's memory is a plain float."""

    k: tuple[int, int]
    kinds: tuple[str, str]
    theta: float
    v: float = 0.0
    steps: int = 0
    updates: int = 0
    since_sync: list[int] = field(default_factory=lambda: [0, 0])
    syncs: list[int] = field(default_factory=lambda: [0, 0])
    anchors: list[float] = field(default_factory=lambda: [0.0, 0.0])
    phi: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.phi = [self.theta, self.theta]

    def step(self, g: float) -> None:
        self.v = MOMENTUM * self.v + g
        self.theta = self.theta - rate(self.steps) * self.v
        self.steps += 1
        self.updates += 1
        self.since_sync = [count + 1 for count in self.since_sync]
        if self.since_sync[0] == self.k[0]:
            self.synchronize(0, ALPHA1)
        if self.since_sync[1] == self.k[1]:
            self.synchronize(1, ALPHA2 / (1 + self.syncs[1]))
            # The level below starts again from the weights and the slots arrived at.
            self.phi[0] = self.phi[1]
            self.anchors[0] = self.v
            if self.kinds[1] == "reset":
                self.since_sync[0] = 0

    def synchronize(self, level: int, alpha: float) -> None:
        self.phi[level] += alpha * (self.theta - self.phi[level])
        self.theta = self.phi[level]
        if self.kinds[level] == "reset":
            self.v, self.updates = 0.0, 0
        if self.kinds[level] == "interpolate":
            self.v = self.anchors[level] + alpha * (self.v - self.anchors[level])
        self.anchors[level] = self.v
        self.since_sync[level] = 0
        self.syncs[level] += 1


@pytest.mark.parametrize("outer_kind", INNER_STATES)
@pytest.mark.parametrize("inner_kind", INNER_STATES)
@pytest.mark.parametrize("k", [(2, 4), (3, 3), (2, 3), (3, 7), (5, 2), (4, 1), (1, 3)])
def test_nesting_is_two_loops(k: tuple[int, int], inner_kind: Any, outer_kind: Any) -> None:
    optimizer = la.Lookahead(
        la.Lookahead(
            la.HeavyBall(rate, momentum=MOMENTUM),
            k=k[0],
            alpha=ALPHA1,
            inner_state=inner_kind,
        ),
        k=k[1],
        alpha=lambda syncs: ALPHA2 / (1 + syncs),
        inner_state=outer_kind,
    )
    by_hand = ByHand(k, (inner_kind, outer_kind), theta=1.25)
    params, state = one(1.25), optimizer.init(one(1.25))
    for g in np.random.default_rng(0).standard_normal(60).tolist():
        params, state = optimizer.step(params, one(g), state)
        by_hand.step(g)
        # The operations are the same ones in the same order: the numbers are the same.
        evaluated = optimizer.evaluation_params(params, state)
        trees = (params, evaluated, state.inner.phi, state.slots["velocity"])
        numbers = [by_hand.theta, *reversed(by_hand.phi), by_hand.v]
        assert [tree["x"].item() for tree in trees] == numbers
        assert [state.inner.cycle_step, state.cycle_step] == by_hand.since_sync
        assert [state.inner.syncs, state.syncs] == by_hand.syncs
        counts = state.inner.inner.step, state.inner.inner.updates
        assert counts == (by_hand.steps, by_hand.updates)
        if inner_kind == "interpolate":
            assert state.inner.anchor["velocity"]["x"].item() == by_hand.anchors[0]
        if outer_kind == "interpolate":
            assert state.anchor["velocity"]["x"].item() == by_hand.anchors[1]


def test_at_an_outer_synchronization_every_phi_is_the_new_params() -> None:
    optimizer = la.Lookahead(
        la.Lookahead(la.Lookahead(la.SGD(1.0), k=4), k=3), k=5, alpha=0.25
    )
    params, state = run(optimizer, one(1.0), [one(1.0)] * 5)
    assert params is state.phi
    assert params is state.inner.phi
    assert params is state.inner.inner.phi


def test_an_outer_reset_restarts_every_count_below_and_no_clock() -> None:
    inner = la.Lookahead(la.Lookahead(la.Adam(0.1), k=3), k=4)
    for kind, counts in (("reset", (0, 0, 0)), ("maintain", (2, 1, 5))):
        optimizer = la.Lookahead(inner, k=5, inner_state=kind)
        _, state = run(optimizer, one(1.0), [one(1.0)] * 5)
        adam = state.inner.inner.inner
        found = state.inner.inner.cycle_step, state.inner.cycle_step, adam.updates
        assert found == counts
        assert (adam.step, state.inner.inner.syncs, state.inner.syncs) == (5, 1, 1)
        moments = [values["x"].item() for values in adam.slots.values()]
        assert (moments == [0.0, 0.0]) == (kind == "reset")
