"""What holds for every model: gradients, dtypes, seeds, and what is refused."""

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lookahead_ref import trees
from lookahead_ref.data import Examples
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo import LSTM, MLP, ResNet
from models import MODELS, begin, differentiate, drawn, loss_of
from support import on_every_backend

every_model = pytest.mark.parametrize("name", MODELS)
FLOATS = (np.float32, np.float64)


@on_every_backend
@every_model
def test_the_gradient_agrees_with_central_differences(name: str, backend: str) -> None:
    make, batch = MODELS[name]
    model = make(backend)
    params, carried = {"model": drawn(model)}, begin(model, batch)
    rng, step = np.random.default_rng(0), 1e-6

    def loss(p: Any) -> Any:
        some = Examples(p["inputs"], batch.labels) if "inputs" in p else batch
        return loss_of(model, p["model"], some, carried)[0]

    # Inputs can be differentiated too, where they are no tokens.
    inputs = {"inputs": rng.standard_normal(batch.inputs.shape)}
    for given in [params] if "LSTM" in name else [params, params | inputs]:
        _, grads = value_and_grad(loss)(given)
        for path, grad in trees.flatten(grads).items():
            for _ in range(2):
                direction = rng.standard_normal(grad.shape)
                above, below = copy.deepcopy(given), copy.deepcopy(given)
                trees.flatten(above)[path][...] += step * direction
                trees.flatten(below)[path][...] -= step * direction
                slope = (loss(above) - loss(below)) / (2 * step)
                assert np.sum(grad * direction) == pytest.approx(slope, abs=1e-8), path


@on_every_backend
@every_model
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_model_computes_in_its_parameters_dtype_whatever_it_is_given(
    name: str, backend: str, dtype: Any
) -> None:
    make, batch = MODELS[name]
    model = make(backend)
    params, carried = model.init(0, dtype), begin(model, batch)
    leaves = trees.flatten(params)
    integers = np.random.default_rng(0).integers(0, 9, batch.inputs.shape)
    found = []
    for given_dtype in (dtype, *FLOATS, np.uint8):
        inputs = integers.astype(np.int32 if "LSTM" in name else given_dtype)
        some = Examples(inputs, batch.labels)
        loss, grads, after = differentiate(model, params, some, carried)
        assert loss.dtype == dtype
        for path, grad in trees.flatten(grads).items():
            assert (grad.dtype, grad.shape) == (dtype, leaves[path].shape)
        before = trees.flatten(carried)
        for path, state in trees.flatten(after).items():
            assert type(state) is np.ndarray
            assert (state.dtype, state.shape) == (dtype, before[path].shape)
        found.append((loss, grads))
    for loss, grads in found[1:]:
        assert loss == found[0][0]
        for path, grad in trees.flatten(grads).items():
            np.testing.assert_array_equal(grad, trees.flatten(found[0][1])[path])


@every_model
def test_the_same_seed_gives_the_same_parameters_in_both_precisions(name: str) -> None:
    model = MODELS[name][0]("numpy")
    single, same, other = (trees.flatten(model.init(seed)) for seed in (0, 0, 1))
    for path, leaf in trees.flatten(model.init(0, np.float64)).items():
        np.testing.assert_array_equal(single[path], leaf.astype(np.float32))
        np.testing.assert_array_equal(single[path], same[path])
    assert any((single[path] != other[path]).any() for path in single)


WORDS = {"vocabulary": 7, "hidden": 4}
LAYERS = {"sizes": (3, 2)}
BLOCKS = {"shape": (3, 9, 8), "classes": 4, "blocks": (1, 1), "widths": (4, 4)}


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (MLP, {"sizes": (3,)}, "sizes must have at least"),
        (MLP, {"sizes": (3, 0)}, "sizes must be a positive integer, got 0"),
        (MLP, {"activation": "gelu"}, "activation must be one of 'relu', 'ta"),
        (MLP, {"initialization": "zeros"}, "initialization must be one of"),
        (LSTM, {"vocabulary": 0}, "vocabulary must be a positive integer"),
        (LSTM, {"dropout": 1.0}, "dropout must be"),
        (LSTM, {"scale": 0.0}, "scale must be"),
        (LSTM, {"tied": True, "embedding": 3}, "embedding must equal hidden"),
        (LSTM, {"initialization": "zeros"}, "initialization must be one of"),
        (ResNet, {"shape": (3, 8)}, "shape must be"),
        (ResNet, {"widths": (4,)}, "one number for each stage"),
        (ResNet, {"blocks": (), "widths": ()}, "one number for each stage"),
        (ResNet, {"classes": 0}, "classes must be"),
        (ResNet, {"block": "wide"}, "must be one of 'basic', 'bottleneck', got"),
        (ResNet, {"stem": "tiny"}, "stem must be one of"),
        (ResNet, {"shortcut": "none"}, "shortcut must be one of"),
        (ResNet, {"epsilon": 0.0}, "epsilon must be"),
        (ResNet, {"momentum": 1.5}, "momentum must be"),
        (ResNet, {"statistics_examples": 0}, "statistics_examples must be"),
    ],
)
def test_invalid_models_are_refused(model: Any, options: Any, message: str) -> None:
    valid = {MLP: LAYERS, LSTM: WORDS, ResNet: BLOCKS}[model]
    with pytest.raises(ValueError, match=message):
        model(**(valid | options))


@on_every_backend
@pytest.mark.parametrize(
    ("name", "inputs", "labels", "columns", "message"),
    [
        ("residual", (6, 8, 8, 2), (6,), 6, r"shape \(n, 2, 8, 8\) or \(n, 128\), got"),
        ("perceptron, relu", (4, 5), (4,), 4, r"inputs must .* \(n, 6\), got \(4, 5\)"),
        ("LSTM", (3, 2), (2, 3), 2, r"labels must have shape \(3, 2\), got \(2, 3\)"),
        ("LSTM", (3,), (3,), 2, r"inputs must have shape \(steps, batch\), got"),
        ("LSTM", (3, 2), (3, 2), 1, r"hidden must have shape \(2, 5\), got \(1, 5\)"),
    ],
)
def test_inputs_labels_and_state_must_fit(
    name: str, backend: str, inputs: Any, labels: Any, columns: int, message: str
) -> None:
    model = MODELS[name][0](backend)
    arrays = {"inputs": np.zeros(inputs, np.int32), "labels": np.zeros(labels, int)}
    batch = SimpleNamespace(**arrays)
    carried = model.start(columns) if hasattr(model, "start") else {}
    with pytest.raises(ValueError, match=message):
        loss_of(model, model.init(0), batch, carried)


def test_layers_are_found_by_name_in_whatever_order_they_stand() -> None:
    model = MLP((3, 4, 2))
    params = model.init(seed=0)
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(
        model.apply(dict(reversed(params.items())), x), model.apply(params, x)
    )
