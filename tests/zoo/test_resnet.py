"""Residual networks: by name, their statistics, what is evaluated, against PyTorch."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref import trees, zoo
from lookahead_ref.data import Examples, load_digits
from lookahead_ref.zoo.losses import softmax_cross_entropy
from models import MODELS, drawn, pictures

BASIC = MODELS["residual"][0]("numpy")


def batch(n: int) -> Examples:
    return pictures(n, BASIC.shape)


@pytest.mark.parametrize(
    ("network", "shape", "classes", "arrays", "parameters"),
    [
        (zoo.resnet18, (3, 32, 32), 10, 62, 11_173_962),
        (zoo.resnet18, (3, 32, 32), 100, 62, 11_220_132),
        (zoo.resnet8, (3, 32, 32), 10, 23, 75_290),
        (zoo.resnet32, (3, 32, 32), 10, 95, 464_154),
        (zoo.resnet50, (3, 224, 224), 1000, 161, 25_557_032),
        (zoo.resnet152, (3, 224, 224), 1000, 467, 60_192_808),
    ],
)
def test_the_named_networks_have_the_known_numbers_of_parameters(
    network: Any, shape: Any, classes: int, arrays: int, parameters: int, monkeypatch: Any
) -> None:
    # Their number, not their values: to draw 25 million takes time.
    empty = lambda rng, shape, dtype: np.empty(shape)  # noqa: E731
    monkeypatch.setattr(zoo.resnet, "initializer", lambda name, **options: empty)
    leaves = trees.flatten(network(shape, classes).init(0))
    assert (len(leaves), sum(leaf.size for leaf in leaves.values())) == (arrays, parameters)


def resnet110(*args: Any, **options: Any) -> zoo.ResNet:
    return replace(zoo.resnet32(*args, **options), blocks=(18, 18, 18))


@pytest.mark.parametrize("network", [zoo.resnet18, zoo.resnet32, zoo.resnet50, resnet110])
def test_at_first_all_classes_are_about_equally_likely(network: Any) -> None:
    model = network((3, 16, 16), 10, backend="numba")
    for seed in range(3):
        some = pictures(8, model.shape, seed)
        loss, _ = model.loss(model.init(seed), some, model.start(8))
        assert loss == pytest.approx(np.log(10), abs=1)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "side"), [(zoo.resnet50, 64), (zoo.resnet152, 224)])
def test_the_deepest_networks_learn_a_batch_of_pictures(network: Any, side: int) -> None:
    model = network((3, side, side), 1000, backend="numba")
    params, some = model.init(0), pictures(2, model.shape)

    def loss_of(params: Any) -> Any:
        return model.loss(params, some, model.start(2))[0]

    loss, gradients = la.value_and_grad(loss_of)(params)
    (stepper := la.Stepper(la.SGD(0.001), params)).step(gradients)
    assert loss_of(stepper.params) < loss


@pytest.mark.parametrize("network", [zoo.resnet18, zoo.resnet32, zoo.resnet50])
def test_the_named_networks_take_pictures_of_any_shape(network: Any) -> None:
    narrow = network((1, 8, 8), 7, backend="numba")
    params = narrow.init(0)
    for shape in ((1, 8, 8), (1, 28, 28), (3, 33, 47)):
        model = replace(narrow, shape=shape)
        # Drawing all for each takes longer; only the first kernel differs.
        stem = {**params["stem"]}
        stem["kernel"] = np.repeat(stem["kernel"], shape[0], axis=2)
        x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
        logits = model.apply({**params, "stem": stem}, x, model.start(2))
        assert logits.shape == (2, 7)
        assert np.isfinite(logits).all()


def test_flat_pictures_are_taken_as_well() -> None:
    params, some, carried = drawn(BASIC), batch(5), BASIC.start(5)
    flat = Examples(some.inputs.reshape(5, -1), some.labels)
    assert BASIC.loss(params, flat, carried)[0] == BASIC.loss(params, some, carried)[0]


def test_running_statistics_move_by_the_momentum_towards_the_batchs() -> None:
    model = replace(BASIC, momentum=0.25)
    params, some = drawn(model), batch(5)
    seen = model.statistics(params, some)["stem"]
    stem = model.loss(params, some, model.start(5))[1]["stem"]
    count = 5 * BASIC.shape[1] * BASIC.shape[2]
    np.testing.assert_allclose(stem["mean"], 0.25 * seen["mean"], rtol=1e-12)
    sample = seen["variance"] * count / (count - 1)
    np.testing.assert_allclose(stem["variance"], 0.75 + 0.25 * sample, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in MODELS if "residual" in name])
def test_with_a_batchs_statistics_it_computes_as_in_training(name: str) -> None:
    make, some = MODELS[name]
    model = make("numpy")
    params = drawn(model)
    loss, _ = model.loss(params, some, model.start(6))
    logits = model.apply(params, some.inputs, model.statistics(params, some))
    assert softmax_cross_entropy(logits, some.labels) == pytest.approx(loss, abs=1e-12)


def test_statistics_are_those_of_all_examples_together_not_a_mean_over_batches() -> None:
    params, some = drawn(BASIC), batch(12)
    # Two kinds of pictures: the batches' means differ.
    some.inputs[:6] += 5
    parts = replace(BASIC, evaluation_batch=4).statistics(params, some)["stem"]
    whole = replace(BASIC, evaluation_batch=12).statistics(params, some)["stem"]
    np.testing.assert_allclose(parts["mean"], whole["mean"], rtol=1e-10)
    np.testing.assert_allclose(parts["variance"], whole["variance"], rtol=1e-10)


def test_statistics_look_at_whole_batches_of_as_many_examples_as_are_wanted() -> None:
    source = SimpleNamespace(size=23, take=mock.Mock(wraps=batch(23).take))
    model = replace(BASIC, evaluation_batch=4, statistics_examples=9)
    model.statistics(drawn(model), source)
    taken = [index for call in source.take.mock_calls for index in call.args[0]]
    assert len(taken) == len(set(taken)) == 8
    assert sorted(taken) != list(range(8))  # the source may be sorted by class


def test_an_evaluation_does_not_depend_on_how_it_is_cut_into_batches() -> None:
    params, statistics = drawn(BASIC), BASIC.start(1)
    whole, parts = (
        replace(BASIC, evaluation_batch=size).evaluator_with(params, statistics)(batch(11))
        for size in (11, 3)
    )
    assert parts.loss == pytest.approx(whole.loss, abs=1e-12)
    assert parts.accuracy == pytest.approx(whole.accuracy)


def test_phi_does_better_with_its_own_statistics_than_with_the_fast_weights() -> None:
    digits = load_digits()
    model = zoo.ResNet((1, 8, 8), 10, (1, 1), (8, 16), backend="numba")
    params = model.init(0)
    stepper = la.Stepper(la.Lookahead(la.Adam(0.01), k=20, alpha=0.5), params)
    carried = model.start(32)
    gradient = la.value_and_grad(model.loss, has_aux=True)
    stream = la.data.BatchStream(digits.train, 32, seed=0)
    for some in [*stream.epoch()][:39]:
        (_, carried), grads = gradient(stepper.params, some, carried)
        stepper.step(grads)
    phi = stepper.evaluation_params()
    own = model.evaluator(phi, digits.train)(digits.validation)
    others = model.evaluator_with(phi, carried)(digits.validation)
    assert own.loss < 0.95 * others.loss
    assert own.accuracy > others.accuracy + 0.05


def test_no_training_examples_are_an_error() -> None:
    with pytest.raises(ValueError, match="at least one training example"):
        BASIC.evaluator(BASIC.init(0), batch(0))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("name", [name for name in MODELS if "residual" in name])
def test_loss_gradients_and_statistics_are_pytorchs(name: str, backend: str) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    leaf = lambda array: torch.from_numpy(np.array(array)).requires_grad_()  # noqa: E731
    make, some = MODELS[name]
    model = make(backend)
    params, start = drawn(model), model.start(6)
    given, grads = la.value_and_grad(model.loss, has_aux=True)(params, some, start)
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
