"""Every model on the strict stand-in: the same numbers, and nothing moves in a step."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref import backend, tree
from lookahead_ref.data import Examples
from lookahead_ref.zoo.lstm import LSTM
from lookahead_ref.zoo.mlp import MLP
from lookahead_ref.zoo.resnet import ResNet

pytest.importorskip("cupy")

import host_cuda
import standin
from lookahead_ref.backends import cupy_autograd

cupy_autograd.register(standin.ndarray)


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> host_cuda.HostCuda:
    return host_cuda.HostCuda(tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def device(cuda: host_cuda.HostCuda, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a backend that is the CuPy backend on the host."""
    from lookahead_ref.backends.cupy import CupyBackend

    found = backend.entry_points

    def entries(*, group: str) -> Any:
        made = SimpleNamespace(name="standin", load=lambda: lambda: CupyBackend(cuda=cuda))
        return [*found(group=group), made]

    monkeypatch.setattr(backend, "entry_points", entries)
    return "standin"


def pictures(n: int, shape: tuple[int, ...], seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((n, *shape)).astype(np.float32)
    return Examples(inputs, rng.integers(0, 4, n))


def text(steps: int, columns: int) -> Any:
    tokens = np.random.default_rng(0).integers(0, 11, (steps + 1, columns)).astype(np.int32)
    return SimpleNamespace(inputs=tokens[:-1], labels=tokens[1:], first=False)


# The model on a backend, and a batch for it.
MODELS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "perceptron, relu": (lambda on: MLP((6, 5, 4), backend=on), pictures(7, (6,))),
    "perceptron, tanh": (
        lambda on: MLP((6, 5, 5, 4), activation="tanh", backend=on),
        pictures(7, (6,)),
    ),
    "LSTM": (lambda on: LSTM(11, hidden=5, layers=2, backend=on), text(6, 3)),
    "LSTM, tied": (lambda on: LSTM(11, hidden=5, tied=True, backend=on), text(6, 3)),
    "residual": (
        lambda on: ResNet((2, 8, 8), 4, (1, 1), (4, 8), backend=on),
        pictures(6, (2, 8, 8)),
    ),
    "residual, identity": (
        lambda on: ResNet((2, 8, 8), 4, (2, 1), (4, 8), shortcut="identity", backend=on),
        pictures(6, (2, 8, 8)),
    ),
    "residual, bottlenecks and a large stem": (
        lambda on: ResNet(
            (2, 16, 16), 4, (1, 1), (2, 4), block="bottleneck", stem="large", backend=on
        ),
        pictures(6, (2, 16, 16)),
    ),
}


def moved(batch: Any) -> Any:
    return SimpleNamespace(
        inputs=standin.asarray(batch.inputs),
        labels=standin.asarray(batch.labels),
        first=getattr(batch, "first", False),
    )


def differentiate(model: Any, params: Any, batch: Any, carried: Any) -> Any:
    """Loss, gradients, and what is handed on."""
    if not hasattr(model, "start"):
        loss, grads = la.value_and_grad(model.loss)(params, batch)
        return loss, grads, carried
    rng = np.random.default_rng(0)
    pair, grads = la.value_and_grad(model.loss, has_aux=True)(params, batch, carried, rng)
    return pair[0], grads, pair[1]


def begin(model: Any, batch: Any) -> Any:
    return model.start(batch.labels.shape[-1]) if hasattr(model, "start") else {}


def assert_close(found: Any, wanted: Any) -> None:
    on_host = host_cuda.on_host(found)
    flat = tree.flatten(wanted)
    assert on_host.keys() == flat.keys()
    for path, array in flat.items():
        assert on_host[path].dtype == array.dtype
        np.testing.assert_allclose(on_host[path], array, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", MODELS)
def test_loss_gradients_and_what_is_carried_agree_with_numpy(
    name: str, device: str
) -> None:
    make, batch = MODELS[name]
    host, other = make("numpy"), make(device)
    params = host.init(seed=1)
    carried, other_carried = begin(host, batch), begin(other, batch)
    on_device, other_batch = host_cuda.on_device(params), moved(batch)
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


@host_cuda.needs_compiler
@pytest.mark.parametrize("name", MODELS)
def test_nothing_moves_in_a_step_of_training(name: str, device: str) -> None:
    make, batch = MODELS[name]
    model = make(device)
    optimizer = la.Lookahead(la.Adam(0.01), k=2)
    stepper = la.Stepper(optimizer, host_cuda.on_device(model.init(seed=1)), backend=device)
    carried, batch = begin(model, batch), moved(batch)
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
        measured = [
            model.evaluator(given, None)(tokens)
            for model, given in ((host, params), (other, on_device))
        ]
    else:
        sources = [batch, _Moved(batch)]
        measured = []
        for model, given, source in zip(
            (host, other), (params, on_device), sources, strict=True
        ):
            if hasattr(model, "evaluator"):
                measured.append(model.evaluator(given, source)(source))
            else:
                measured.append(model.evaluate(given, source))
    assert measured[1].loss == pytest.approx(measured[0].loss, rel=1e-5)
    assert measured[1].accuracy == measured[0].accuracy


class _Moved:
    """Examples whose arrays come as the stand-in's."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples
        self.size = examples.size

    def take(self, indices: Any) -> Any:
        return moved(self._examples.take(indices))
