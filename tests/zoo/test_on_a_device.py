"""Every model on the strict stand-in: the same numbers, and nothing moves in a step."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref import trees

pytest.importorskip("cupy")

import host_cuda
import standin
from lookahead_ref.backends import cupy_autograd
from models import MODELS, begin, differentiate, moved

cupy_autograd.register(standin.ndarray)


def assert_close(found: Any, wanted: Any) -> None:
    on_host = host_cuda.on_host(found)
    flat = trees.flatten(wanted)
    assert on_host.keys() == flat.keys()
    for path, array in flat.items():
        assert on_host[path].dtype == array.dtype
        np.testing.assert_allclose(on_host[path], array, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", MODELS)
def test_loss_gradients_and_what_is_carried_are_numpys(name: str, device: str) -> None:
    make, batch = MODELS[name]
    host, other = make("numpy"), make(device)
    params = host.init(seed=1)
    carried, other_carried = begin(host, batch), begin(other, batch)
    on_device, other_batch = host_cuda.on_device(params), moved(batch, standin.asarray)
    for _ in range(2):
        loss, grads, carried = differentiate(host, params, batch, carried)
        before = standin.counted()
        found, other_grads, other_carried = differentiate(
            other, on_device, other_batch, other_carried
        )
        assert standin.counted() - before == standin.Transfers()
        assert float(found) == pytest.approx(float(loss), rel=1e-6)
        assert_close(other_grads, grads)
        if carried:
            assert_close(other_carried, carried)


@pytest.mark.parametrize("name", MODELS)
def test_nothing_moves_in_a_step_of_training(name: str, device: str) -> None:
    make, batch = MODELS[name]
    model = make(device)
    optimizer = la.Lookahead(la.Adam(0.01), k=2)
    stepper = la.Stepper(optimizer, host_cuda.on_device(model.init(seed=1)), backend=device)
    carried, batch = begin(model, batch), moved(batch, standin.asarray)
    losses = []
    before = standin.counted()
    for _ in range(4):
        loss, grads, carried = differentiate(model, stepper.params, batch, carried)
        stepper.step(grads)
        losses.append(loss)
    assert standin.counted() - before == standin.Transfers()
    assert float(losses[-1]) < float(losses[0])


@pytest.mark.parametrize("name", MODELS)
def test_evaluation_agrees_with_numpy(name: str, device: str) -> None:
    make, batch = MODELS[name]
    host, other = make("numpy"), make(device)
    params = host.init(seed=1)
    on_device = host_cuda.on_device(params)
    if name.startswith("LSTM"):
        tokens = np.random.default_rng(2).integers(0, 11, 130).astype(np.int32)
        sources = [tokens, tokens]
    else:
        take = lambda indices: moved(batch.take(indices), standin.asarray)  # noqa: E731
        sources = [batch, SimpleNamespace(size=batch.size, take=take)]
    measured = []
    runs = zip((host, other), (params, on_device), sources, strict=True)
    for model, given, source in runs:
        if hasattr(model, "evaluator"):
            measured.append(model.evaluator(given, source)(source))
        else:
            measured.append(model.evaluate(given, source))
    assert measured[1].loss == pytest.approx(measured[0].loss, rel=1e-5)
    assert measured[1].accuracy == measured[0].accuracy
