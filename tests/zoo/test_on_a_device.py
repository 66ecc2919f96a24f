"""Every model on the strict stand-in: the same numbers, and nothing moves in a step."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("cupy")

import standin
from executors import Place, elsewhere
from models import MODELS, assert_trains_as_on_the_host, moved


@pytest.fixture
def place(device: str) -> Place:
    return elsewhere(device, standin.asarray, standin.asnumpy)


@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_is_numpys_and_nothing_moves_in_it(name: str, place: Place) -> None:
    masks = 8 if name == "AWD-LSTM" else 0  # drawn in host memory
    moves = partial(standin.moves, to_device=masks)
    assert_trains_as_on_the_host(name, place, moves, 2e-5, 2e-6)


@pytest.mark.parametrize("name", MODELS)
def test_evaluation_agrees_with_numpy(name: str, place: Place) -> None:
    make, batch = MODELS[name]
    host, other = make("numpy"), make(place.backend)
    params = host.init(seed=1)
    if "LSTM" in name:
        batch = there = np.random.default_rng(2).integers(0, 11, 130).astype(np.int32)
    else:
        take = lambda indices: moved(batch.take(indices), place)  # noqa: E731
        there = SimpleNamespace(size=batch.size, take=take)
    wanted, found = (
        model.evaluate(given, source)
        if hasattr(model, "evaluate")
        else model.evaluator(given, source)(source)
        for model, given, source in (
            (host, params, batch),
            (other, place.to(params), there),
        )
    )
    assert found.loss == pytest.approx(wanted.loss, rel=1e-5)
    assert found.accuracy == wanted.accuracy
