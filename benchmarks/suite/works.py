"""Models and their data, also as the documentation of PyTorch and JAX would have them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lookahead_ref.data import Corpus, Dataset, Examples, load_cifar10, load_mnist, load_ptb
from lookahead_ref.zoo import AWDLSTM, LSTM, MLP, resnet18, resnet32

from . import settings

DEVICE = "cuda" if settings.ON_DEVICE else "cpu"
FEW = 2
"""Examples that a run evaluates, since evaluation is not what is timed."""


def found_in(name: str) -> Path | None:
    """Return the folder of a data set, if there is one."""
    folder = None if settings.DATA is None else settings.DATA / name
    return folder if folder is not None and folder.is_dir() else None


def classifier_data(
    name: str,
    load: Callable[..., Dataset],
    shape: tuple[int, ...],
    count: int,
    classes: int = 10,
) -> Dataset:
    """Take real examples where there is a folder of them, otherwise draw some."""
    folder = found_in(name)
    if folder is None:
        rng = np.random.default_rng(0)
        inputs = rng.standard_normal((count, *shape), np.float32)
        source = Examples(inputs, rng.integers(0, classes, count))
        found = Dataset(name, source, source, classes)
    else:
        found = load(folder)
        source = found.train.take(np.arange(count))
    few = source.take(np.arange(FEW))
    return found._replace(train=source, validation=few, test=None)


@dataclass(frozen=True)
class MLPWork:
    """A classifier of dense layers with rectified units between them."""

    sizes: tuple[int, ...] = (784, 512, 512, 10)
    batch: int = 128
    steps: int = 60  # of MNIST's 10,000 test pictures, 8,000 are for training
    """In a whole run."""

    def model(self, backend: str) -> Any:
        return MLP(self.sizes, backend=backend)

    def data(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        inputs = rng.standard_normal((self.batch, self.sizes[0]), np.float32)
        return inputs, rng.integers(0, self.sizes[-1], self.batch, np.int32)

    def run_data(self) -> Dataset:
        count, (features, *_, classes) = self.batch * self.steps, self.sizes
        return classifier_data("mnist", load_mnist, (features,), count, classes)

    def pytorch(self) -> tuple[Any, Any]:
        from torch import nn

        layers: list[Any] = []
        for inputs, units in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            layers += [nn.Linear(inputs, units), nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
        return model, model

    def jax(self) -> tuple[Any, Any, Any]:
        import jax

        rng = np.random.default_rng(0)
        params = [
            (normal(rng, 1 / np.sqrt(a), a, b), np.zeros(b, np.float32))
            for a, b in zip(self.sizes[:-1], self.sizes[1:], strict=True)
        ]

        def forward(params: Any, carried: Any, x: Any) -> tuple[Any, Any, Any]:
            for weight, bias in params[:-1]:
                x = jax.nn.relu(x @ weight + bias)
            weight, bias = params[-1]
            return x @ weight + bias, carried, 0

        return params, (), forward


def normal(rng: np.random.Generator, scale: float, *shape: int) -> Any:
    return np.float32(scale) * rng.standard_normal(shape, np.float32)


def scanned(fed: Any, recurrent: Any, state: Any) -> tuple[Any, Any]:
    """Run an LSTM in JAX over what the inputs feed its gates."""
    import jax
    import jax.numpy as jnp

    def step(state: Any, fed: Any) -> tuple[Any, Any]:
        h, c = state
        gates = jnp.split(fed + h @ recurrent, 4, axis=-1)
        i, f, o = (jax.nn.sigmoid(each) for each in gates[:3])
        c = f * c + i * jnp.tanh(gates[3])
        h = o * jnp.tanh(c)
        return (h, c), h

    last, outputs = jax.lax.scan(step, state, fed)
    return outputs, jax.lax.stop_gradient(last)


@dataclass(frozen=True)
class LSTMWork:
    """A language model, by default the small one for the Penn Treebank."""

    hidden: int = 200
    vocabulary: int = 10_000
    layers: int = 2
    length: int = 35
    batch: int = 20
    steps: int = 30

    def model(self, backend: str) -> Any:
        return LSTM(self.vocabulary, self.hidden, self.layers, backend=backend)

    def data(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        shape = (self.length + 1, self.batch)
        tokens = rng.integers(0, self.vocabulary, shape, np.int32)
        return tokens[:-1], tokens[1:]

    def run_data(self) -> Corpus:
        return text(self)

    def pytorch(self) -> tuple[Any, Any]:
        import torch
        from torch import nn

        embedding = nn.Embedding(self.vocabulary, self.hidden)
        lstm = nn.LSTM(self.hidden, self.hidden, self.layers)
        output = nn.Linear(self.hidden, self.vocabulary)
        state = tuple(torch.zeros(2, self.layers, self.batch, self.hidden, device=DEVICE))

        def forward(tokens: Any) -> Any:
            nonlocal state
            hidden, state = lstm(embedding(tokens), state)
            state = tuple(each.detach() for each in state)
            return output(hidden.reshape(-1, self.hidden))

        return nn.ModuleList([embedding, lstm, output]), forward

    def jax(self) -> tuple[Any, Any, Any]:
        rng, width = np.random.default_rng(0), self.hidden
        scale = 1 / np.sqrt(width)
        layers = [
            (normal(rng, scale, 2 * width, 4 * width), np.zeros(4 * width, np.float32))
            for _ in range(self.layers)
        ]
        ends = [normal(rng, scale, *each) for each in ((self.vocabulary, width),) * 2]

        def forward(params: Any, carried: Any, tokens: Any) -> tuple[Any, Any, Any]:
            layers, (embedding, output) = params
            x, found = embedding[tokens], []
            for (weight, bias), state in zip(layers, carried, strict=True):
                x, last = scanned(x @ weight[:width] + bias, weight[width:], state)
                found.append(last)
            return x.reshape(-1, width) @ output.T, found, 0

        zeros = np.zeros((self.batch, width), np.float32)
        return (layers, ends), [(zeros, zeros)] * self.layers, forward


@dataclass(frozen=True)
class AWDLSTMWork:
    """The model of Table 3, at its most common window length."""

    hidden: int = 1150
    width: int = 400
    vocabulary: int = 10_000
    length: int = 70
    batch: int = 20
    steps: int = 4

    def model(self, backend: str) -> Any:
        return AWDLSTM(self.vocabulary, self.hidden, embedding=self.width, backend=backend)

    def data(self) -> tuple[Any, Any]:
        return LSTMWork.data(self)  # type: ignore[arg-type]

    def run_data(self) -> Corpus:
        return text(self)

    def pytorch(self) -> tuple[Any, Any]:
        import torch
        from torch import nn
        from torch.nn.functional import dropout

        widths = [self.hidden, self.hidden, self.width]
        embedding = nn.Embedding(self.vocabulary, self.width)
        bias = nn.Parameter(torch.zeros(self.vocabulary))
        lstms = [nn.LSTM(a, b) for a, b in zip([self.width, *widths], widths, strict=False)]
        # As in the authors' program: the multiplied weight is not a parameter.
        recurrent = [nn.Parameter(lstm.weight_hh_l0.detach()) for lstm in lstms]
        for lstm in lstms:
            del lstm.weight_hh_l0
        states: list[Any] = [
            tuple(torch.zeros(2, 1, self.batch, width, device=DEVICE)) for width in widths
        ]

        def locked(x: Any, rate: float) -> Any:
            return x * dropout(torch.ones_like(x[:1]), rate)

        def forward(tokens: Any) -> tuple[Any, Any]:
            words = dropout(torch.ones(self.vocabulary, 1, device=DEVICE), 0.1)
            rows = nn.functional.embedding(tokens, embedding.weight * words)
            x = locked(rows, 0.4)
            for number, (lstm, weight) in enumerate(zip(lstms, recurrent, strict=True)):
                lstm.weight_hh_l0 = dropout(weight, 0.5)
                hidden, state = lstm(x, states[number])
                states[number] = tuple(each.detach() for each in state)
                x = locked(hidden, 0.4 if lstm is lstms[-1] else 0.25)
            penalty = 2 * x.pow(2).mean() + (hidden[1:] - hidden[:-1]).pow(2).mean()
            x = x.reshape(-1, self.width)
            return nn.functional.linear(x, embedding.weight, bias), penalty

        parameters = nn.ParameterList([bias, *recurrent])
        return nn.ModuleList([embedding, *lstms, parameters]), forward

    def jax(self) -> tuple[Any, Any, Any]:
        import jax
        import jax.numpy as jnp

        rng, widths = np.random.default_rng(0), [self.hidden, self.hidden, self.width]
        ends = [np.zeros(self.vocabulary, np.float32)]
        ends += [normal(rng, 0.1, self.vocabulary, self.width)]
        layers = [
            (*(normal(rng, b**-0.5, c, 4 * b) for c in (a, b)), np.zeros(4 * b, np.float32))
            for a, b in zip([self.width, *widths], widths, strict=False)
        ]

        def forward(params: Any, carried: Any, tokens: Any) -> tuple[Any, Any, Any]:
            (bias, embedding), layers = params
            key, states = carried
            keys = iter(jax.random.split(key, 9))

            def dropped(x: Any, rate: float, *shape: int) -> Any:
                kept = jax.random.bernoulli(next(keys), 1 - rate, shape or x.shape)
                return jnp.where(kept, x / (1 - rate), 0)

            x = dropped(embedding, 0.1, self.vocabulary, 1)[tokens]
            x, found = dropped(x, 0.4, 1, *x.shape[1:]), []
            for number, (input_weight, recurrent, gate_bias) in enumerate(layers):
                x, state = scanned(
                    x @ input_weight + gate_bias, dropped(recurrent, 0.5), states[number]
                )
                found.append(state)
                hidden, rate = x, 0.4 if number == 2 else 0.25
                x = dropped(hidden, rate, 1, *hidden.shape[1:])
            change = hidden[1:] - hidden[:-1]
            penalty = 2 * (x**2).mean() + (change**2).mean()
            logits = x.reshape(-1, self.width) @ embedding.T + bias
            return logits, (next(keys), found), penalty

        zeros = [np.zeros((self.batch, width), np.float32) for width in widths]
        carried = jax.random.key(0), [(zero, zero) for zero in zeros]
        return (ends, layers), carried, forward


@dataclass(frozen=True)
class ResNetWork:
    """A ResNet for CIFAR, by default ResNet-18."""

    batch: int = 32
    widths: tuple[int, ...] = (64, 128, 256, 512)
    blocks: int = 2
    """In each stage."""
    steps: int = 10
    channels_last: bool = False
    """Whether PyTorch's pictures have its faster memory order instead of the default."""

    @property
    def projects(self) -> bool:
        """Whether a layer leads around a block that changes the shape, as in ResNet-18."""
        return len(self.widths) == 4

    def model(self, backend: str) -> Any:
        make = resnet18 if self.projects else resnet32
        return replace(make((3, 32, 32), 10, backend=backend), statistics_examples=FEW)

    def data(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        inputs = rng.standard_normal((self.batch, 3, 32, 32), np.float32)
        return inputs, rng.integers(0, 10, self.batch, np.int32)

    def run_data(self) -> Dataset:
        count = self.batch * self.steps
        return classifier_data("cifar10", load_cifar10, (3, 32, 32), count)

    def shapes(self) -> Iterator[tuple[int, int, int]]:
        """Yield the inputs, outputs and stride of each block."""
        inputs = self.widths[0]
        for width in self.widths:
            for number in range(self.blocks):
                yield inputs, width, 2 if number == 0 and width != self.widths[0] else 1
                inputs = width

    def pytorch(self) -> tuple[Any, Any]:
        import torch
        from torch import nn

        def layer(inputs: int, outputs: int, size: int, stride: int) -> list[Any]:
            convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
            return [convolution, nn.BatchNorm2d(outputs)]

        stem = nn.Sequential(*layer(3, self.widths[0], 3, 1), nn.ReLU())
        blocks = nn.ModuleList()
        for inputs, width, stride in self.shapes():
            first, second = layer(inputs, width, 3, stride), layer(width, width, 3, 1)
            changes = self.projects and inputs != width
            around = layer(inputs, width, 1, stride) if changes else []
            main = nn.Sequential(*first, nn.ReLU(), *second)
            blocks.append(nn.ModuleList([main, nn.Sequential(*around)]))
        output = nn.Linear(self.widths[-1], 10)
        order = torch.channels_last if self.channels_last else torch.contiguous_format

        def forward(x: Any) -> Any:
            y = stem(x.to(memory_format=order))
            for main, around in blocks:
                z, beside = main(y), around(y)
                if z.shape != beside.shape:  # every second pixel, zeros for new channels
                    more = z.shape[1] - beside.shape[1]
                    beside = nn.functional.pad(
                        beside[:, :, ::2, ::2], (0, 0, 0, 0, 0, more)
                    )
                y = nn.functional.relu(z + beside)
            return output(y.mean((2, 3)))

        return nn.ModuleList([stem, blocks, output]).to(memory_format=order), forward

    def jax(self) -> tuple[Any, Any, Any]:
        import jax
        import jax.numpy as jnp

        rng = np.random.default_rng(0)

        def layer(inputs: int, outputs: int, size: int) -> Any:
            scale = np.sqrt(2 / (size**2 * inputs))
            kernel = normal(rng, scale, size, size, inputs, outputs)
            return kernel, np.ones(outputs, np.float32), np.zeros(outputs, np.float32)

        shapes = list(self.shapes())
        strides = [stride for *_, stride in shapes]
        params = {
            "stem": layer(3, self.widths[0], 3),
            "blocks": [
                [
                    *(layer(inputs, width, 3), layer(width, width, 3)),
                    *([layer(inputs, width, 1)] if self.projects and stride > 1 else []),
                ]
                for inputs, width, stride in shapes
            ],
            "output": normal(rng, 0.1, self.widths[-1], 10),
        }

        def run(x: Any, layer: Any, stride: int = 1) -> Any:
            kernel, scale, shift = layer
            pad = [(kernel.shape[0] // 2,) * 2] * 2
            order = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(
                x, kernel, (stride, stride), pad, dimension_numbers=order
            )
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            return (x - mean) * (scale * jax.lax.rsqrt(variance + 1e-5)) + shift

        def forward(params: Any, carried: Any, x: Any) -> tuple[Any, Any, Any]:
            y = jax.nn.relu(
                run(x.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), params["stem"])
            )
            each = zip(params["blocks"], strides, strict=True)
            for (first, second, *around), stride in each:
                z = run(jax.nn.relu(run(y, first, stride)), second)
                if around:
                    y = run(y, around[0], stride)
                elif stride > 1:
                    more = z.shape[-1] - y.shape[-1]
                    y = jnp.pad(y[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (0, more)))
                y = jax.nn.relu(z + y)
            return y.mean((1, 2)) @ params["output"], carried, 0

        return params, (), forward


def text(work: Any) -> Corpus:
    """Take the windows of a run from a real text, or draw them."""
    count = work.batch * work.length * work.steps + 1
    folder = found_in("ptb")
    if folder is None:
        tokens = np.random.default_rng(0).integers(0, work.vocabulary, count, np.int32)
        words = tuple(map(str, range(work.vocabulary)))
    else:
        found = load_ptb(folder)
        tokens, words = found.train[:count], found.vocabulary
    few = tokens[: work.batch + 2]
    return Corpus("text", tokens, few, few, words, work.length)


WORKS: dict[str, Any] = {
    "mlp": MLPWork(),
    "lstm": LSTMWork(),
    "resnet18": ResNetWork(),
    "resnet18, channels last": ResNetWork(channels_last=True),
    "resnet32": ResNetWork(128, (16, 32, 64), blocks=5),
    "lstm of 1500 units": LSTMWork(hidden=1500),
    "awd-lstm": AWDLSTMWork(),
}
