"""Workers: each with its own fast weights and inner state, all with one outer step."""

from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref.optimizers.workers import mean
from support import INNER_STATES, assert_same_bits, normal, one, run, saved

OUTER = {
    "alpha": {"alpha": 0.3},
    "sgd": {"outer": la.SGD(1.7, weight_decay=0.01)},
    "nesterov": {"outer": la.Nesterov(0.7, 0.9)},
    "adam": {"outer": la.Adam(0.02)},
}
ADAPTIVE = la.Lookahead(la.Adam(), alpha=la.AdaptiveAlpha())


def ran(workers: la.Workers, start: Any, steps: Any) -> tuple[Any, Any]:
    params, states = [start] * workers.count, workers.init(start)
    for grads in steps:
        params, states = workers.step(params, grads, states)
    return params, states


def test_workers_are_refused_as_a_single_optimizer() -> None:
    workers: Any = la.Workers(la.Lookahead(la.SGD(0.1)), 2)
    message = "must be the optimizer of one worker, got Workers: .*train makes a stepper"
    for made in (
        lambda: la.Stepper(workers, one(1.0)),
        lambda: la.Lookahead(workers),
        lambda: la.Lookahead(la.SGD(0.1), outer=workers),
        lambda: la.PolyakAveraging(workers),
    ):
        with pytest.raises(TypeError, match=message):
            made()


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("kind", INNER_STATES)
def test_one_worker_is_lookahead_to_the_bit(outer: str, kind: Any) -> None:
    optimizer = la.Lookahead(
        la.Lookahead(la.HeavyBall(0.1), 2), 3, inner_state=kind, **OUTER[outer]
    )
    start, *grads = normal(15, 5)
    (params,), (state,) = ran(la.Workers(optimizer, 1), start, [(g,) for g in grads])
    assert_same_bits(saved(params, state), saved(*run(optimizer, start, grads)))


def test_the_mean_sums_in_the_order_of_the_workers() -> None:
    large, small = one(1.0, dtype=np.float32), one(2.0**-24, dtype=np.float32)
    assert mean([large, small, small])["x"] * 3 == 1.0
    assert mean([small, small, large])["x"] * 3 > 1.0
    assert np.signbit(mean([one(-0.0)] * 2)["x"])


@pytest.mark.parametrize(
    ("each", "count", "error", "message"),
    [
        (la.Lookahead(la.SGD(0.1)), 0, ValueError, "count must be"),
        (la.SGD(0.1), 2, TypeError, "workers must each have a Lookahead"),
        (ADAPTIVE, 2, TypeError, "alpha must be a number or a schedule"),
    ],
)
def test_invalid_workers_are_refused(
    each: Any, count: int, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        la.Workers(each, count)


def test_each_worker_must_have_its_own() -> None:
    workers = la.Workers(la.Lookahead(la.SGD(0.1)), 2)
    with pytest.raises(ValueError, match="grads must have an entry for each of 2 workers"):
        workers.step([one(1.0)] * 2, [one(1.0)], workers.init(one(1.0)))
    with pytest.raises(TypeError, match="state must be the LookaheadState that init or"):
        workers.step([one(1.0)] * 2, [one(1.0)] * 2, [None, None])  # type: ignore[list-item]
