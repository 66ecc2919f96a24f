"""The comparison with PyTorch runs, on few pictures, and is one of like with like."""

import importlib.util

import pytest

from suite import resnet, side_by_side


@pytest.mark.skipif(
    not importlib.util.find_spec("torch"), reason="PyTorch is not installed"
)
@pytest.mark.parametrize("layout", resnet.FORMATS)
def test_a_step_is_compared_with_pytorchs(layout: str) -> None:
    benchmark = resnet.ResNet18()
    benchmark.batch, benchmark.repetitions = 2, 2
    benchmark.setup("numba", layout)
    assert benchmark.track_of_pytorchs_time("numba", layout) > 0


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_the_steps_that_are_timed_learn(backend: str) -> None:
    step = resnet.ours(backend, batch=2)
    losses = [step() for _ in range(4)]
    assert losses[-1] < losses[0]


def test_turns_are_summed_up_by_median_and_quartiles() -> None:
    assert side_by_side.summary([1.0, 2.0, 3.0]) == "2.00 (1.00 to 3.00)"
    assert all(ratio > 0 for ratio in side_by_side.ratios(lambda: None, lambda: None, 3))
