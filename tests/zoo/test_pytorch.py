"""Residual networks against PyTorch; of other models there are golden vectors."""

from typing import Any

import numpy as np
import pytest

from lookahead_ref import trees
from lookahead_ref.gradients import value_and_grad
from models import MODELS, drawn

torch = pytest.importorskip("torch")


def leaf(array: Any) -> Any:
    return torch.from_numpy(np.array(array)).requires_grad_()


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
