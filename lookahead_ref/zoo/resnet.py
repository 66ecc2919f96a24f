"""Residual networks for pictures, with batch normalisation (He, Zhang, Ren and Sun [1]_).

They take pictures of any size and number of channels. Those that have a name are made in
`lookahead_ref.zoo.resnets`.

Batch normalisation makes what a network computes depend on the batch it is given, so to
evaluate it, fixed means and variances must take the place of the batch's: the *statistics*.
They belong to the weights that they were computed with. Those that a run carries along are
the fast weights', of the last few dozen batches; with the slow weights phi of Lookahead, or
any average of weights, they are the wrong ones. `ResNet.evaluator` computes the right ones.

References
----------
.. [1] K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image Recognition",
   CVPR 2016.
.. [2] S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by
   Reducing Internal Covariate Shift", ICML 2015.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from autograd.tracer import isbox
from numpy.typing import DTypeLike

from lookahead_ref import hyperparameters
from lookahead_ref.kernels import find, namespace
from lookahead_ref.stepping.backend import load
from lookahead_ref.zoo.arrays import check_inputs, like
from lookahead_ref.zoo.convolution import convolution
from lookahead_ref.zoo.dense import dense
from lookahead_ref.zoo.evaluation import (
    Evaluation,
    ExampleSource,
    LabelledInputs,
    evaluate_classifier,
)
from lookahead_ref.zoo.initializers import he_normal
from lookahead_ref.zoo.losses import dense_cross_entropy
from lookahead_ref.zoo.normalization import Moments, batch_norm, fixed_norm
from lookahead_ref.zoo.pooling import max_pool, mean_pool, padded_identity

__all__ = ["ResNet"]

Params = dict[str, Any]
Statistics = dict[str, dict[str, Any]]

_EXPANSION = 4  # a bottleneck's outputs for each channel of its 3 by 3 convolution


class _Layer(NamedTuple):
    """A convolution and the normalisation after it."""

    name: str
    size: int
    stride: int
    inputs: int
    outputs: int


class _Block(NamedTuple):
    """Layers in a row, and what leads around them if it is a layer too."""

    name: str
    layers: tuple[_Layer, ...]
    shortcut: _Layer | None
    stride: int


class _Normalize(Protocol):
    """Normalises what a layer's convolution made."""

    def __call__(
        self, path: str, x: Any, layer: Params, residual: Any, *, rectify: bool
    ) -> Any: ...


@dataclass(frozen=True)
class ResNet:
    """A residual network that classifies pictures.

    A *layer* is a convolution without bias, batch normalisation and, but for the last one
    of a block, the rectifier. A *block* is a few layers whose result is added to the
    block's input before it is rectified; *stages* are blocks of one width. The first block
    of each stage but the first halves height and width. After the last stage come the mean
    over all places and a dense layer.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width of a picture.
    classes : int
        Number of classes.
    blocks : tuple of int
        Number of blocks of each stage.
    widths : tuple of int
        Channels of each stage's 3 by 3 convolutions.
    block : {"basic", "bottleneck"}
        Two convolutions of 3 by 3, or one between two of 1 by 1 of which the last makes
        four times the channels. The 3 by 3 convolution has the stride.
    stem : {"small", "large"}
        What comes first: a layer of 3 by 3, or one of 7 by 7 with stride 2 and a maximum
        over 3 by 3 with stride 2.
    shortcut : {"projection", "identity"}
        What leads around a block that changes the shape: a layer of 1 by 1, or every second
        pixel with zeros for the channels that are more (options B and A of [1]_).
    momentum : float, default 0.1
        The weight of a batch in the running statistics.
    epsilon : float, default 1e-5
        Added to variances.
    statistics_examples : int, optional
        How many training examples `evaluator` looks at, at most; by default all.
    evaluation_batch : int, default 128
        How many examples it looks at together.
    backend : str, default "numpy"
        Where the kernels of the layers come from: ``"numba"`` has compiled ones. It changes
        how fast things are computed, and results by rounding only.

    Raises
    ------
    ValueError
        If a number is out of range, or a name is not known.
    TypeError
        If a number is of the wrong type.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image
       Recognition", CVPR 2016.

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
    classes: int
    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    block: Literal["basic", "bottleneck"] = "basic"
    stem: Literal["small", "large"] = "small"
    shortcut: Literal["projection", "identity"] = "projection"
    momentum: float = 0.1
    epsilon: float = 1e-5
    statistics_examples: int | None = None
    evaluation_batch: int = 128
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
            if getattr(self, name) not in known:
                names = ", ".join(repr(each) for each in known)
                raise ValueError(
                    f"{name} must be one of {names}, got {getattr(self, name)!r}"
                )

    def init(
        self, seed: int | np.random.SeedSequence, dtype: DTypeLike = np.float32
    ) -> Params:
        """Draw initial parameters.

        Kernels and the dense layer's weight are normal with variance 2 over the number of
        inputs of a sum (``he_normal``); scales are 1, shifts and the bias 0.

        Parameters
        ----------
        seed : int or numpy.random.SeedSequence
            The same seed gives the same parameters.
        dtype : dtype, default float32
            Of every parameter.

        Returns
        -------
        dict
            NumPy arrays, nested: ``stem``, ``stage1/block1/layer1`` and so on, and
            ``shortcut`` in a block that has one as a layer, each with ``kernel`` of shape
            (rows, columns, inputs, outputs), ``scale`` and ``shift``; ``output`` with
            ``weight`` and ``bias``.
        """
        rng = np.random.default_rng(seed)

        def draw(layer: _Layer) -> Params:
            fan_in = layer.size**2 * layer.inputs
            weight = he_normal(rng, (fan_in, layer.outputs), dtype)
            return {
                "kernel": weight.reshape(
                    layer.size, layer.size, layer.inputs, layer.outputs
                ),
                "scale": np.ones(layer.outputs, dtype),
                "shift": np.zeros(layer.outputs, dtype),
            }

        params: Params = {"stem": draw(self._stem)}
        for stage, block in self._blocks():
            layers = [*block.layers, *([block.shortcut] if block.shortcut else [])]
            drawn = {layer.name: draw(layer) for layer in layers}
            params.setdefault(stage, {})[block.name] = drawn
        params["output"] = {
            "weight": he_normal(rng, (self._features, self.classes), dtype),
            "bias": np.zeros(self.classes, dtype),
        }
        return params

    def start(self, batch_size: int) -> Statistics:  # noqa: ARG002 - part of the protocol
        """Make the running statistics with which a run begins: means 0, variances 1.

        Parameters
        ----------
        batch_size : int
            Not used: statistics do not depend on it.

        Returns
        -------
        dict
            For each layer, by the path of its parameters, ``mean`` and ``variance`` of
            shape (outputs,), float32, in the backend's memory.
        """
        from_host = load(self.backend).from_host
        return {
            path: {
                "mean": from_host(np.zeros(layer.outputs, np.float32)),
                "variance": from_host(np.ones(layer.outputs, np.float32)),
            }
            for path, layer in self._layers()
        }

    def loss(
        self,
        params: Params,
        batch: LabelledInputs,
        carried: Statistics,
        rng: np.random.Generator | None = None,  # noqa: ARG002 - part of the protocol
    ) -> tuple[Any, Statistics]:
        """Mean cross entropy of a batch, in nats, normalised by the batch's own moments.

        Parameters
        ----------
        params : dict
            As `init` makes them.
        batch : object with attributes ``inputs`` and ``labels``
            Shapes (n, channels, height, width) or (n, channels * height * width), and (n,).
        carried : dict
            The running statistics that the last batch left, or `start`'s.
        rng : numpy.random.Generator, optional
            Not used: nothing is random.

        Returns
        -------
        loss : scalar
            Of the parameters' dtype; differentiable by ``value_and_grad(...,
            has_aux=True)``.
        carried : dict
            The running statistics: the last ones, and the batch's moments with the weight
            `momentum`. The variance is that of a sample, with n - 1, as in [2]_.

        References
        ----------
        .. [2] S. Ioffe and C. Szegedy, "Batch Normalization", ICML 2015, algorithm 2.
        """
        seen: dict[str, Moments] = {}
        features = self._features_of(params, batch.inputs, self._by_batch(seen))
        output = params["output"]
        loss = dense_cross_entropy(
            features,
            output["weight"],
            output["bias"],
            batch.labels,
            kernels=find(self.backend),
        )
        return loss, {path: self._moved(carried[path], seen[path]) for path in carried}

    def statistics(self, params: Params, source: ExampleSource) -> Statistics:
        """Compute the statistics of some weights over training examples.

        Batches of `evaluation_batch` examples go through the network, each normalised by
        its own moments, as in training. A layer's statistics are the mean and the variance
        of all that its normalisation was given in this one pass: the moments of the batches
        combined exactly (`lookahead_ref.zoo.normalization.Moments.combine`), not a running
        mean, and the variance with what the batches' means differ by. Examples are taken in
        an order that is drawn once for all, since a source may be sorted by class; those
        that do not fill a last batch are left out.

        Parameters
        ----------
        params : dict
            The weights: for Lookahead, the slow ones.
        source : ExampleSource
            Training examples, not augmented.

        Returns
        -------
        dict
            As `start` returns it.

        Raises
        ------
        ValueError
            If there are no examples.
        """
        if source.size == 0:
            raise ValueError("source must hold at least one training example, got none")
        order = np.random.default_rng(0).permutation(source.size)
        count = min(source.size, self.statistics_examples or source.size)
        batch = min(self.evaluation_batch, count)
        whole: dict[str, Moments] = {}
        for start in range(0, count - batch + 1, batch):
            seen: dict[str, Moments] = {}
            some = source.take(order[start : start + batch])
            self._features_of(params, some.inputs, self._by_batch(seen))
            for path, moments in seen.items():
                whole[path] = whole[path].combine(moments) if path in whole else moments
        return {
            path: {"mean": moments.mean, "variance": moments.variance}
            for path, moments in whole.items()
        }

    def apply(self, params: Params, inputs: Any, statistics: Statistics) -> Any:
        """Compute the logits, normalised by given statistics.

        Parameters
        ----------
        params : dict
            As `init` makes them.
        inputs : array
            Shape (n, channels, height, width), or (n, channels * height * width).
        statistics : dict
            From `statistics`, or a run's running ones.

        Returns
        -------
        array, shape (n, classes)
            Unnormalised log-probabilities. Not differentiable.
        """
        features = self._features_of(params, inputs, self._by_statistics(statistics))
        output = params["output"]
        found = find(self.backend)
        return dense(features, output["weight"], output["bias"], kernels=found)

    def evaluator(
        self, params: Params, train_source: ExampleSource
    ) -> Callable[[ExampleSource], Evaluation]:
        """Compute the statistics of these weights, and return a function that evaluates.

        Parameters
        ----------
        params : dict
            The weights to evaluate: for Lookahead, the slow ones.
        train_source : ExampleSource
            What `statistics` are computed from.

        Returns
        -------
        callable
            From a source to an `Evaluation`.
        """
        return self.evaluator_with(params, self.statistics(params, train_source))

    def evaluator_with(
        self, params: Params, statistics: Statistics
    ) -> Callable[[ExampleSource], Evaluation]:
        """Return a function that evaluates these weights with given statistics.

        Running statistics suit the weights that a plain optimizer has just moved, after a
        few dozen small steps, and no others.

        Parameters
        ----------
        params : dict
            The weights to evaluate.
        statistics : dict
            As `start`, `loss` and `statistics` return them.

        Returns
        -------
        callable
            From a source to an `Evaluation`.
        """

        def evaluate(source: ExampleSource) -> Evaluation:
            return evaluate_classifier(
                lambda inputs: self.apply(params, inputs, statistics),
                source,
                batch_size=self.evaluation_batch,
            )

        return evaluate

    @property
    def _stem(self) -> _Layer:
        size, stride = (7, 2) if self.stem == "large" else (3, 1)
        return _Layer("stem", size, stride, self.shape[0], self.widths[0])

    @property
    def _features(self) -> int:
        return self.widths[-1] * (_EXPANSION if self.block == "bottleneck" else 1)

    def _blocks(self) -> Iterator[tuple[str, _Block]]:
        """Yield the blocks in order, each with the name of its stage."""
        inputs = self.widths[0]
        for number, (count, width) in enumerate(zip(self.blocks, self.widths, strict=True)):
            for position in range(count):
                stride = 2 if number > 0 and position == 0 else 1
                if self.block == "basic":
                    shapes = [(3, stride, width), (3, 1, width)]
                else:
                    shapes = [(1, 1, width), (3, stride, width), (1, 1, _EXPANSION * width)]
                layers = []
                before = inputs
                for place, (size, step, outputs) in enumerate(shapes, start=1):
                    layers.append(_Layer(f"layer{place}", size, step, before, outputs))
                    before = outputs
                projection = None
                if self.shortcut == "projection" and (stride > 1 or inputs != before):
                    projection = _Layer("shortcut", 1, stride, inputs, before)
                name = f"block{position + 1}"
                yield f"stage{number + 1}", _Block(name, tuple(layers), projection, stride)
                inputs = before

    def _layers(self) -> Iterator[tuple[str, _Layer]]:
        """Yield the layers, each with the path of its parameters."""
        yield "stem", self._stem
        for stage, block in self._blocks():
            for layer in (*block.layers, *([block.shortcut] if block.shortcut else [])):
                yield f"{stage}/{block.name}/{layer.name}", layer

    def _features_of(self, params: Params, inputs: Any, normalize: _Normalize) -> Any:
        """Compute what the dense layer is given, shape (n, features)."""
        first = params["stem"]["kernel"]
        found = find(self.backend)
        check_inputs(inputs, self.shape, (math.prod(self.shape),))
        x = like(first, inputs)
        x = x.reshape((x.shape[0], *self.shape)).transpose((0, 2, 3, 1))
        if not isbox(x):
            x = namespace(x).ascontiguousarray(x)

        def run(
            layer: _Layer, path: str, some: Params, x: Any, residual: Any, *, rectify: bool
        ) -> Any:
            x = convolution(
                x,
                some["kernel"],
                stride=layer.stride,
                padding=layer.size // 2,
                kernels=found,
            )
            return normalize(path, x, some, residual, rectify=rectify)

        x = run(self._stem, "stem", params["stem"], x, None, rectify=True)
        if self.stem == "large":
            x = max_pool(x, size=3, stride=2, padding=1)
        for stage, block in self._blocks():
            some, path = params[stage][block.name], f"{stage}/{block.name}"
            around = x
            if block.shortcut is not None:
                shortcut = block.shortcut
                where = f"{path}/{shortcut.name}"
                around = run(shortcut, where, some["shortcut"], x, None, rectify=False)
            elif block.layers[0].inputs != block.layers[-1].outputs or block.stride > 1:
                around = padded_identity(
                    x, stride=block.stride, channels=block.layers[-1].outputs
                )
            for layer in block.layers:
                residual = around if layer is block.layers[-1] else None
                where = f"{path}/{layer.name}"
                x = run(layer, where, some[layer.name], x, residual, rectify=True)
        return mean_pool(x)

    def _by_batch(self, seen: dict[str, Moments]) -> _Normalize:
        """Normalise by the batch's moments, which go to `seen`."""

        def normalize(
            path: str, x: Any, layer: Params, residual: Any, *, rectify: bool
        ) -> Any:
            found = find(self.backend)
            y, seen[path] = batch_norm(
                x,
                layer["scale"],
                layer["shift"],
                residual,
                epsilon=self.epsilon,
                rectify=rectify,
                kernels=found,
            )
            return y

        return normalize

    def _by_statistics(self, statistics: Statistics) -> _Normalize:
        def normalize(
            path: str, x: Any, layer: Params, residual: Any, *, rectify: bool
        ) -> Any:
            return fixed_norm(
                x,
                layer["scale"],
                layer["shift"],
                residual,
                **statistics[path],
                epsilon=self.epsilon,
                rectify=rectify,
                kernels=find(self.backend),
            )

        return normalize

    def _moved(self, running: dict[str, Any], seen: Moments) -> dict[str, Any]:
        """Move running statistics towards a batch's moments."""
        keep = 1 - self.momentum
        sample = seen.variance * (seen.size / max(seen.size - 1, 1))
        return {
            "mean": keep * running["mean"] + self.momentum * seen.mean,
            "variance": keep * running["variance"] + self.momentum * sample,
        }
