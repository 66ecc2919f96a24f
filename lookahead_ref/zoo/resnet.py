"""Residual networks for pictures, with batch normalisation.

They follow K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image
Recognition", CVPR 2016.

Evaluation uses fixed means and variances, the *statistics*, instead of a batch's. They
belong to certain weights: a run's running statistics are those of the fast weights, and are
wrong for the slow weights phi of Lookahead or any average of weights. `ResNet.evaluator`
computes the right ones.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from autograd.tracer import isbox
from numpy.typing import DTypeLike

from lookahead_ref import hyperparameters, trees
from lookahead_ref.kernels import find, namespace
from lookahead_ref.stepping.backend import load
from lookahead_ref.zoo.fused import check_inputs, like
from lookahead_ref.zoo.initializers import initializer
from lookahead_ref.zoo.layers import dense
from lookahead_ref.zoo.losses import Evaluation, dense_cross_entropy, evaluate_classifier
from lookahead_ref.zoo.picture_layers import (
    Moments,
    batch_norm,
    convolution,
    fixed_norm,
    max_pool,
    mean_pool,
    padded_identity,
)

Params = dict[str, Any]
Statistics = dict[str, dict[str, Any]]

_EXPANSION = 4  # a bottleneck's outputs per channel of its 3 by 3 convolution


class _Layer(NamedTuple):
    """A convolution and the normalisation after it."""

    path: str
    size: int
    stride: int
    inputs: int
    outputs: int


@dataclass(frozen=True)
class ResNet:
    """A residual network that classifies pictures.

    A *layer* is a convolution without bias, batch normalisation and, except for the last
    one of a block, the rectifier. A *block* is a few layers whose result is added to the
    block's input before it is rectified; *stages* are blocks of one width. The first block
    of each later stage halves height and width. The last stage is followed by the mean over
    all positions and a dense layer.

    Parameters of the network are nested: ``stem``, ``stage1/block1/layer1`` and so on, and
    ``shortcut`` in a block whose shortcut is a layer, each with ``kernel`` of shape (rows,
    columns, inputs, outputs), ``scale`` and ``shift``; ``output`` with ``weight`` and
    ``bias``. *Statistics* are ``mean`` and ``variance`` for each layer, by its path.

    Examples
    --------
    >>> model = ResNet((3, 8, 8), 10, blocks=(1, 1), widths=(4, 8))
    >>> params = model.init(seed=0)
    >>> {name: array.shape for name, array in params["stage2"]["block1"]["layer1"].items()}
    {'kernel': (3, 3, 4, 8), 'scale': (8,), 'shift': (8,)}
    >>> model.apply(params, np.zeros((2, 3, 8, 8), np.float32), model.start(2)).shape
    (2, 10)
    """

    shape: tuple[int, int, int]
    """Channels, height and width of a picture."""
    classes: int
    blocks: tuple[int, ...]
    """Number of blocks of each stage."""
    widths: tuple[int, ...]
    """Channels of each stage's 3 by 3 convolutions."""
    block: Literal["basic", "bottleneck"] = "basic"
    """Two convolutions of 3 by 3, or one, with the stride, between two of 1 by 1, the last
    with four times the channels."""
    stem: Literal["small", "large"] = "small"
    """The first layer: 3 by 3, or 7 by 7 with stride 2 and a maximum over 3 by 3 with
    stride 2."""
    shortcut: Literal["projection", "identity"] = "projection"
    """The shortcut of blocks that change the shape: a layer of 1 by 1, or every second
    pixel with zeros in additional channels (options B and A of He et al.)."""
    momentum: float = 0.1
    """The weight of a batch in the running statistics."""
    epsilon: float = 1e-5
    """Added to variances."""
    statistics_examples: int | None = None
    """The most training examples for `evaluator`; by default all."""
    evaluation_batch: int = 128
    """Examples in a batch of an evaluation."""
    backend: str = "numpy"

    def __post_init__(self) -> None:
        for name in ("shape", "blocks", "widths"):
            counts = tuple(
                hyperparameters.count(name, each) for each in getattr(self, name)
            )
            object.__setattr__(self, name, counts)
        if len(self.shape) != 3:
            raise ValueError(f"shape must be (channels, height, width), got {self.shape}")
        if not self.blocks or len(self.blocks) != len(self.widths):
            raise ValueError(
                "blocks and widths must have one number for each stage, got "
                f"{self.blocks} and {self.widths}"
            )
        for name in ("classes", "evaluation_batch"):
            object.__setattr__(self, name, hyperparameters.count(name, getattr(self, name)))
        if self.statistics_examples is not None:
            hyperparameters.count("statistics_examples", self.statistics_examples)
        hyperparameters.positive("epsilon", self.epsilon)
        hyperparameters.below_one("momentum", self.momentum)
        for name in ("block", "stem", "shortcut"):
            known = get_args(type(self).__annotations__[name])
            hyperparameters.option(name, getattr(self, name), known)

    def init(
        self, seed: int | np.random.SeedSequence, dtype: DTypeLike = np.float32
    ) -> Params:
        """Draw initial parameters.

        Kernels are normal with variance 2 / inputs (``he_normal``), for a rectifier. The
        dense layer has no rectifier, and the variance of its inputs grows with the number
        of blocks (S. De and S. Smith, NeurIPS 2020, arXiv:2002.10444): its weight is normal
        with variance 1 / (inputs * blocks), so that at any depth the initial classes are
        about equally likely. Scales are 1, shifts and the bias 0.
        """
        rng = np.random.default_rng(seed)
        draw = initializer("he_normal")
        params: Params = {}
        for path, size, _, inputs, outputs in self._layers():
            layer = params
            for name in path.split("/"):
                layer = layer.setdefault(name, {})
            kernel = draw(rng, (size**2 * inputs, outputs), dtype)
            layer["kernel"] = kernel.reshape(size, size, inputs, outputs)
            layer["scale"] = np.ones(outputs, dtype)
            layer["shift"] = np.zeros(outputs, dtype)
        features = self.widths[-1] * (_EXPANSION if self.block == "bottleneck" else 1)
        last = initializer("normal", scale=1 / math.sqrt(features * sum(self.blocks)))
        params["output"] = {
            "weight": last(rng, (features, self.classes), dtype),
            "bias": np.zeros(self.classes, dtype),
        }
        return params

    def start(self, batch_size: int) -> Statistics:  # noqa: ARG002 - part of the protocol
        """Make initial running statistics: means 0, variances 1.

        They are float32, in the backend's memory.
        """
        from_host = load(self.backend).from_host
        return {
            layer.path: {
                "mean": from_host(np.zeros(layer.outputs, np.float32)),
                "variance": from_host(np.ones(layer.outputs, np.float32)),
            }
            for layer in self._layers()
        }

    def loss(
        self,
        params: Params,
        batch: Any,
        carried: Statistics,
        rng: np.random.Generator | None = None,  # noqa: ARG002 - part of the protocol
    ) -> tuple[Any, Statistics]:
        """Mean cross entropy of a batch, in nats, normalised by the batch's own moments.

        Inputs have shape (n, channels, height, width) or (n, channels * height * width).
        The running statistics are carried on: they move to the batch's moments with the
        weight `momentum`; the variance is that of a sample, with n - 1, as in algorithm 2
        of Ioffe and Szegedy.
        """
        features, seen = self._features_of(params, batch.inputs)
        loss = dense_cross_entropy(
            features, **params["output"], labels=batch.labels, kernels=find(self.backend)
        )
        return loss, {path: self._moved(carried[path], seen[path]) for path in carried}

    def statistics(self, params: Params, source: Any) -> Statistics:
        """Compute the statistics of weights (for Lookahead the slow ones) over examples.

        Batches of `evaluation_batch` examples go through the network, each normalised by
        its own moments, as in training. A layer's statistics are the exact mean and
        variance of all inputs of its normalisation. Examples have a fixed random order,
        since a source may be sorted by class; an incomplete last batch is left out.
        """
        if source.size == 0:
            raise ValueError("source must hold at least one training example, got none")
        order = np.random.default_rng(0).permutation(source.size)
        count = min(source.size, self.statistics_examples or source.size)
        batch = min(self.evaluation_batch, count)
        whole: dict[str, Moments] = {}
        for start in range(0, count - batch + 1, batch):
            some = source.take(order[start : start + batch])
            _, seen = self._features_of(params, some.inputs)
            for path, moments in seen.items():
                whole[path] = whole[path].combine(moments) if path in whole else moments
        return {
            path: {"mean": moments.mean, "variance": moments.variance}
            for path, moments in whole.items()
        }

    def apply(self, params: Params, inputs: Any, statistics: Statistics) -> Any:
        """Compute the logits, shape (n, classes), normalised by given statistics.

        They are not differentiable. Inputs are as for `loss`.
        """
        features, _ = self._features_of(params, inputs, statistics)
        return dense(features, **params["output"], kernels=find(self.backend))

    @property
    def evaluation_piece(self) -> int:
        """Examples that are evaluated in some seconds."""
        return self.evaluation_batch * max(1, 2**15 // math.prod(self.shape[1:]))

    def evaluator(self, params: Params, train_source: Any) -> Callable[[Any], Evaluation]:
        """Compute the statistics of these weights over training examples.

        Return a function from examples to an `Evaluation`.
        """
        return self.evaluator_with(params, self.statistics(params, train_source))

    def evaluator_with(
        self, params: Params, statistics: Statistics
    ) -> Callable[[Any], Evaluation]:
        """Return a function that evaluates these weights with given statistics.

        Running statistics are right only for the weights of a plain optimizer, after a few
        dozen small steps.
        """
        logits = partial(self.apply, params, statistics=statistics)
        return partial(evaluate_classifier, logits, batch_size=self.evaluation_batch)

    def _stem(self) -> _Layer:
        size, stride = (7, 2) if self.stem == "large" else (3, 1)
        return _Layer("stem", size, stride, self.shape[0], self.widths[0])

    def _blocks(self) -> Iterator[tuple[list[_Layer], _Layer | None]]:
        """Yield the layers of each block, and its shortcut if that is a layer."""
        inputs = self.widths[0]
        for number, (count, width) in enumerate(zip(self.blocks, self.widths, strict=True)):
            for position in range(count):
                stride = 2 if number > 0 and position == 0 else 1
                if self.block == "basic":
                    shapes, widths = [(3, stride), (3, 1)], [width, width]
                else:
                    shapes = [(1, 1), (3, stride), (1, 1)]
                    widths = [width, width, _EXPANSION * width]
                path = f"stage{number + 1}/block{position + 1}"
                ends = zip(shapes, pairwise([inputs, *widths]), strict=True)
                layers = [
                    _Layer(f"{path}/layer{place}", *shape, *channels)
                    for place, (shape, channels) in enumerate(ends, start=1)
                ]
                around, outputs = None, widths[-1]
                if self.shortcut == "projection" and (stride > 1 or inputs != outputs):
                    around = _Layer(f"{path}/shortcut", 1, stride, inputs, outputs)
                yield layers, around
                inputs = outputs

    def _layers(self) -> Iterator[_Layer]:
        yield self._stem()
        for layers, around in self._blocks():
            yield from layers if around is None else [*layers, around]

    def _features_of(
        self, params: Params, inputs: Any, statistics: Statistics | None = None
    ) -> tuple[Any, dict[str, Moments]]:
        """Compute the dense layer's input by given statistics or the moments returned."""
        kernels = find(self.backend)
        seen: dict[str, Moments] = {}
        leaves = trees.flatten(params)
        first = leaves["stem/kernel"]
        check_inputs(inputs, self.shape, (math.prod(self.shape),))
        x = like(first, inputs)
        x = x.reshape((x.shape[0], *self.shape)).transpose((0, 2, 3, 1))
        if not isbox(x):
            x = namespace(x).ascontiguousarray(x)

        def run(layer: _Layer, x: Any, residual: Any, *, rectify: bool) -> Any:
            path, size, stride, _, _ = layer
            kernel, scale, shift = (
                leaves[f"{path}/{name}"] for name in ("kernel", "scale", "shift")
            )
            x = convolution(x, kernel, stride=stride, padding=size // 2, kernels=kernels)
            options: dict[str, Any]
            options = {"epsilon": self.epsilon, "rectify": rectify, "kernels": kernels}
            if statistics is not None:
                return fixed_norm(x, scale, shift, residual, **statistics[path], **options)
            y, seen[path] = batch_norm(x, scale, shift, residual, **options)
            return y

        x = run(self._stem(), x, None, rectify=True)
        if self.stem == "large":
            x = max_pool(x, size=3, stride=2, padding=1)
        for layers, shortcut in self._blocks():
            first, last = layers[0], layers[-1]
            stride = max(layer.stride for layer in layers)
            around = x
            if shortcut is not None:
                around = run(shortcut, x, None, rectify=False)
            elif first.inputs != last.outputs or stride > 1:
                around = padded_identity(x, stride=stride, channels=last.outputs)
            for layer in layers:
                residual = around if layer is last else None
                x = run(layer, x, residual, rectify=True)
        return mean_pool(x), seen

    def _moved(self, running: dict[str, Any], seen: Moments) -> dict[str, Any]:
        """Move running statistics towards a batch's moments."""
        keep = 1 - self.momentum
        sample = seen.variance * (seen.size / max(seen.size - 1, 1))
        return {
            "mean": keep * running["mean"] + self.momentum * seen.mean,
            "variance": keep * running["variance"] + self.momentum * sample,
        }


def resnet18(
    shape: tuple[int, int, int], classes: int, *, backend: str = "numpy"
) -> ResNet:
    """Make the ResNet-18 usual for CIFAR, as in the paper's experiments.

    It has the stages of table 1 of He et al. (two basic blocks each of 64, 128, 256 and 512
    channels) and a stem of 3 by 3 without stride or pooling, for small pictures: 11,173,962
    parameters for CIFAR-10, of shape (3, 32, 32).

    Examples
    --------
    >>> resnet18((3, 32, 32), 10).widths
    (64, 128, 256, 512)
    """
    return ResNet(shape, classes, (2, 2, 2, 2), (64, 128, 256, 512), backend=backend)


def resnet8(shape: tuple[int, int, int], classes: int, *, backend: str = "numpy") -> ResNet:
    """Make a ResNet as in section 4.2 of He et al., but with one block per stage.

    Theirs have at least three (ResNet-20). For CIFAR-10 it has 75,290 parameters.
    """
    # As in all of these for CIFAR, shortcuts have no parameters.
    return ResNet(
        shape, classes, (1, 1, 1), (16, 32, 64), shortcut="identity", backend=backend
    )


def resnet32(
    shape: tuple[int, int, int], classes: int, *, backend: str = "numpy"
) -> ResNet:
    """Make the ResNet-32 of section 4.2 of He et al., with five blocks per stage.

    For CIFAR-10 it has 464,154 parameters.
    """
    return replace(resnet8(shape, classes, backend=backend), blocks=(5, 5, 5))


def resnet50(
    shape: tuple[int, int, int], classes: int, *, backend: str = "numpy"
) -> ResNet:
    """Make the ResNet-50 of table 1 of He et al.

    Its bottlenecks have the stride in the convolution of 3 by 3. For ImageNet, pictures of
    ``(3, 224, 224)`` in 1000 classes, it has 25,557,032 parameters.
    """
    return ResNet(
        shape, classes, (3, 4, 6, 3), (64, 128, 256, 512), "bottleneck", "large",
        backend=backend,
    )  # fmt: skip


def resnet152(
    shape: tuple[int, int, int], classes: int, *, backend: str = "numpy"
) -> ResNet:
    """Make the ResNet-152 of table 1 of He et al., a deeper `resnet50`.

    For pictures of ``(3, 224, 224)`` in 1000 classes it has 60,192,808 parameters.
    """
    return replace(resnet50(shape, classes, backend=backend), blocks=(3, 8, 36, 3))
