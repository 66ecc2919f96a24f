"""MLP and LSTM against PyTorch's own, from the same weights."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lookahead_ref import trees
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo import LSTM, MLP

torch = pytest.importorskip("torch")

PRECISION = {np.float64: 1e-12, np.float32: 1e-4}
cases = pytest.mark.parametrize(
    ("dtype", "backend"),
    [(np.float64, "numpy"), (np.float32, "numpy"), (np.float32, "numba")],
)


def leaf(array: Any) -> Any:
    return torch.from_numpy(np.array(array)).requires_grad_()


def assert_same(ours: Any, theirs: Any, dtype: Any) -> None:
    for path, grad in trees.flatten(ours).items():
        wanted = trees.flatten(theirs)[path].grad.numpy()
        error = np.abs(grad - wanted).max() / np.abs(wanted).max()
        assert error < PRECISION[dtype], path


@cases
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_an_mlp_has_the_loss_and_gradients_of_pytorch(
    dtype: Any, backend: str, activation: Any
) -> None:
    model = MLP((20, 30, 30, 7), activation, backend=backend)
    params = model.init(0, dtype)
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((9, 20)).astype(dtype), rng.integers(0, 7, 9)
    loss, grads = value_and_grad(model.loss)(
        params, SimpleNamespace(inputs=x, labels=labels)
    )

    theirs = trees.map(leaf, params)
    y = torch.from_numpy(x)
    for name, layer in theirs.items():
        y = y @ layer["weight"] + layer["bias"]
        y = y if name == "layer3" else getattr(torch, activation)(y)
    expected = torch.nn.functional.cross_entropy(y, torch.from_numpy(labels))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=PRECISION[dtype])
    assert_same(grads, theirs, dtype)


@cases
@pytest.mark.parametrize("tied", [False, True])
def test_an_lstm_has_the_loss_gradients_and_state_of_pytorch(
    dtype: Any, backend: str, tied: bool
) -> None:
    model = LSTM(30, hidden=12, layers=2, tied=tied, scale=0.3, backend=backend)
    params = model.init(0, dtype)
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 30, (8, 4))
    start = trees.map(lambda state: rng.standard_normal(state.shape), model.start(4))
    start = trees.map(lambda state: state.astype(dtype), start)
    batch = SimpleNamespace(inputs=tokens[:-1], labels=tokens[1:])
    (loss, carried), grads = value_and_grad(model.loss, has_aux=True)(params, batch, start)

    theirs = trees.map(leaf, params)
    states = {
        name: torch.stack([torch.from_numpy(start[f"layer{n}"][name]) for n in (1, 2)])
        for name in ("hidden", "cell")
    }
    # As PyTorch holds them: transposed, with a second bias, which is zero.
    zero = torch.zeros(48, dtype=states["cell"].dtype)
    flat = []
    for n in (1, 2):
        layer = theirs[f"layer{n}"]
        flat += [layer["input_weight"].T, layer["recurrent_weight"].T, layer["bias"], zero]
    x = theirs["embedding"]["weight"][torch.from_numpy(batch.inputs)]
    x, hidden, cell = torch.lstm(
        x, (states["hidden"], states["cell"]), flat, True, 2, 0.0, False, False, False
    )
    weight = theirs["embedding"]["weight"].T if tied else theirs["output"]["weight"]
    logits = (x @ weight + theirs["output"]["bias"]).reshape(-1, 30)
    expected = torch.nn.functional.cross_entropy(
        logits, torch.from_numpy(batch.labels.reshape(-1))
    )
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=PRECISION[dtype])
    assert_same(grads, theirs, dtype)
    for n in (1, 2):
        for name, state in (("hidden", hidden), ("cell", cell)):
            np.testing.assert_allclose(
                carried[f"layer{n}"][name], state[n - 1].detach(), rtol=PRECISION[dtype]
            )
