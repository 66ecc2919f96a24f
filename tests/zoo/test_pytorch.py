"""Every model against PyTorch, from the same weights."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lookahead_ref import trees
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo import LSTM, MLP
from models import MODELS, drawn

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


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("name", [name for name in MODELS if "residual" in name])
def test_a_resnet_has_the_loss_gradients_and_statistics_of_pytorch(
    name: str, backend: str
) -> None:
    functional = torch.nn.functional
    make, some = MODELS[name]
    model = make(backend)
    params, start = drawn(model), model.start(6)
    given, grads = value_and_grad(model.loss, has_aux=True)(params, some, start)
    theirs = trees.map(leaf, params)
    leaves = trees.flatten(theirs)
    running = trees.map(lambda array: torch.tensor(array, dtype=torch.float64), start)

    def layer(path: str, x: Any, stride: int = 1) -> Any:
        kernel = leaves[f"{path}/kernel"].permute(3, 2, 0, 1)
        x = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[2] // 2)
        return functional.batch_norm(
            x,
            running[path]["mean"],
            running[path]["variance"],
            leaves[f"{path}/scale"],
            leaves[f"{path}/shift"],
            training=True,
        )

    large, bottleneck = model.stem == "large", model.block == "bottleneck"
    x = functional.relu(
        layer("stem", torch.tensor(some.inputs, dtype=torch.float64), 2 if large else 1)
    )
    if large:
        x = functional.max_pool2d(x, 3, 2, 1)
    for stage, count in enumerate(model.blocks, start=1):
        for place in range(1, count + 1):
            path = f"stage{stage}/block{place}"
            stride = 2 if stage > 1 and place == 1 else 1
            strides = (1, stride, 1) if bottleneck else (stride, 1)
            around, y = x, x
            for number, step in enumerate(strides, start=1):
                y = layer(f"{path}/layer{number}", y, step)
                y = functional.relu(y) if number < len(strides) else y
            if f"{path}/shortcut/kernel" in leaves:
                around = layer(f"{path}/shortcut", x, stride)
            elif stride > 1:
                more = y.shape[1] - x.shape[1]
                around = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, more))
            x = functional.relu(y + around)
    logits = x.mean((2, 3)) @ leaves["output/weight"] + leaves["output/bias"]
    loss = functional.cross_entropy(logits, torch.tensor(some.labels))
    loss.backward()

    assert given[0] == pytest.approx(loss.item(), abs=1e-12)
    for path, grad in trees.flatten(grads).items():
        wanted = leaves[path].grad.numpy()
        np.testing.assert_allclose(grad, wanted, rtol=0, atol=1e-10, err_msg=path)
    for path, array in trees.flatten(given[1]).items():
        np.testing.assert_allclose(array, trees.flatten(running)[path].numpy(), atol=1e-12)
