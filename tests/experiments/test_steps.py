"""Races of training steps: both sides learn, and what fails is told."""

import math
from functools import partial
from typing import Any

import pytest

from lookahead_ref.experiments.steps import PYTORCH, Race, race, race_work
from lookahead_ref.experiments.works import LSTMWork, MLPWork, ResNetWork

SMALL = {
    "mlp": MLPWork(sizes=(5, 4, 3), batch=6, steps=2),
    "lstm": LSTMWork(vocabulary=7, hidden=3, length=4, batch=2, steps=2),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_our_step_learns_its_batch(name: str, backend: str) -> None:
    work: Any = SMALL[name]
    step = work.ours(backend)
    losses = [step() for _ in range(50)]
    assert losses[-1] < losses[0]
    assert losses[0] == pytest.approx(math.log(3 if name == "mlp" else 7), abs=1.5)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("update", PYTORCH.values())
def test_pytorch_s_step_learns_its_batch(name: str, update: str) -> None:
    pytest.importorskip("torch")
    work: Any = SMALL[name]
    step = work.pytorch(update)
    losses = [step() for _ in range(50)]
    assert losses[-1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("channels_last", [False, True])
def test_both_residual_networks_learn_their_batch(channels_last: bool) -> None:
    pytest.importorskip("torch")
    work = ResNetWork(batch=2, channels_last=channels_last)
    for step in (work.ours("numba"), work.pytorch("fused")):
        first, *_, last = [step() for _ in range(4)]
        assert last < first


@pytest.mark.slow
def test_contenders_take_turns_in_processes_of_their_own() -> None:
    pytest.importorskip("torch")
    found = race_work(SMALL["mlp"], ["numpy"], rounds=2)
    assert list(found.seconds) == ["numpy", *PYTORCH]
    median, lower, upper = found.ratio("numpy", list(PYTORCH))
    assert 0 < lower <= median <= upper


def test_a_contender_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="wrong: ValueError: backend must be one of"):
        race({"wrong": partial(SMALL["mlp"].ours, "fortran")}, steps=1, rounds=1)


def test_a_ratio_is_to_the_fastest_of_the_same_round() -> None:
    measured = Race({"us": [1.0, 1.0], "slow": [4.0, 0.5], "fast": [2.0, 2.0]})
    assert measured.ratio("us", ["slow", "fast"]) == (1.25, 0.5, 2.0)
