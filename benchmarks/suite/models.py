"""Training steps of models, beside PyTorch's: forward, backward and update.

Both sides have the same shapes, float32, the loss of PyTorch's ``cross_entropy`` and plain
gradient descent. PyTorch's models are written as in its documentation.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

import lookahead_ref as la
from lookahead_ref import trees
from lookahead_ref.data import Corpus, Dataset, Examples
from lookahead_ref.training import train
from lookahead_ref.zoo import AWDLSTM, LSTM, MLP, resnet18

from . import settings
from .turns import Contestant, fastest, ratios, samples, take_turns

LEARNING_RATE = 0.01
CLIP = 0.25
DEVICE = "cuda" if settings.ON_DEVICE else "cpu"


@dataclass(frozen=True)
class MLPWork:
    """A classifier of dense layers with rectified units between them."""

    sizes: tuple[int, ...] = (784, 512, 512, 10)
    batch: int = 128

    def model(self, backend: str) -> Any:
        return MLP(self.sizes, backend=backend)

    def data(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        inputs = rng.standard_normal((self.batch, self.sizes[0]), np.float32)
        return inputs, rng.integers(0, self.sizes[-1], self.batch, np.int32)

    def pytorch(self) -> tuple[Any, Any]:
        from torch import nn

        layers: list[Any] = []
        for inputs, units in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            layers += [nn.Linear(inputs, units), nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
        return model, model


@dataclass(frozen=True)
class LSTMWork:
    """A language model, by default the small one for the Penn Treebank."""

    hidden: int = 200
    vocabulary: int = 10_000
    layers: int = 2
    length: int = 35
    batch: int = 20

    def model(self, backend: str) -> Any:
        return LSTM(self.vocabulary, self.hidden, self.layers, backend=backend)

    def data(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        shape = (self.length + 1, self.batch)
        tokens = rng.integers(0, self.vocabulary, shape, np.int32)
        return tokens[:-1], tokens[1:]

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


@dataclass(frozen=True)
class AWDLSTMWork:
    """The model of Table 3, at its most common window length."""

    hidden: int = 1150
    width: int = 400
    vocabulary: int = 10_000
    length: int = 70
    batch: int = 20

    def model(self, backend: str) -> Any:
        return AWDLSTM(self.vocabulary, self.hidden, embedding=self.width, backend=backend)

    def data(self) -> tuple[Any, Any]:
        return LSTMWork.data(self)  # type: ignore[arg-type]

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


@dataclass(frozen=True)
class ResNetWork:
    """The ResNet-18 for CIFAR."""

    batch: int = 32
    channels_last: bool = False
    """Whether PyTorch's pictures have its faster memory order instead of the default."""

    def model(self, backend: str) -> Any:
        return resnet18((3, 32, 32), 10, backend=backend)

    def data(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        inputs = rng.standard_normal((self.batch, 3, 32, 32), np.float32)
        return inputs, rng.integers(0, 10, self.batch, np.int32)

    def pytorch(self) -> tuple[Any, Any]:
        import torch
        from torch import nn

        def layer(inputs: int, outputs: int, size: int, stride: int) -> list[Any]:
            convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
            return [convolution, nn.BatchNorm2d(outputs)]

        stem = nn.Sequential(*layer(3, 64, 3, 1), nn.ReLU())
        blocks = nn.ModuleList()
        inputs = 64
        for width in (64, 128, 256, 512):
            for stride in (1 if width == 64 else 2, 1):
                first, second = layer(inputs, width, 3, stride), layer(width, width, 3, 1)
                around = layer(inputs, width, 1, stride) if inputs != width else []
                main = nn.Sequential(*first, nn.ReLU(), *second)
                blocks.append(nn.ModuleList([main, nn.Sequential(*around)]))
                inputs = width
        output = nn.Linear(512, 10)
        order = torch.channels_last if self.channels_last else torch.contiguous_format

        def forward(x: Any) -> Any:
            y = stem(x.to(memory_format=order))
            for main, around in blocks:
                y = nn.functional.relu(main(y) + around(y))
            return output(y.mean((2, 3)))

        return nn.ModuleList([stem, blocks, output]).to(memory_format=order), forward


WORKS: dict[str, Any] = {
    "mlp": MLPWork(),
    "lstm": LSTMWork(),
    "resnet18": ResNetWork(),
    "resnet18, channels last": ResNetWork(channels_last=True),
    "lstm of 1500 units": LSTMWork(hidden=1500),
    "awd-lstm": AWDLSTMWork(),
}
if settings.ON_DEVICE:
    MEASURED, BACKENDS = ["lstm of 1500 units"], [settings.EXECUTOR.name]
else:
    MEASURED, BACKENDS = ["mlp", "lstm", "awd-lstm", "resnet18"], ["numpy", "numba"]
if settings.QUICK:
    MEASURED = ["mlp"]


def our_step(work: Any, backend: str) -> Contestant:
    """Make a training step of this library."""
    executor: Any = la.backend.load(backend)
    model = work.model(backend)
    inputs, labels = map(executor.from_host, work.data())
    batch = SimpleNamespace(inputs=inputs, labels=labels)
    params = trees.map(executor.from_host, model.init(0))
    stepper = la.Stepper(la.SGD(LEARNING_RATE), params, backend=executor)
    if not hasattr(model, "start"):
        gradient = la.value_and_grad(model.loss)

        def step() -> float:
            loss, grads = gradient(stepper.params, batch)
            stepper.step(grads)
            return float(loss)

        return Contestant(step)
    gradient = la.value_and_grad(model.loss, has_aux=True)
    carried, rng = model.start(work.batch), np.random.default_rng(0)

    def carrying_step() -> float:
        nonlocal carried
        (loss, carried), grads = gradient(stepper.params, batch, carried, rng)
        stepper.step(grads)
        return float(loss)

    return Contestant(carrying_step)


def pytorch_step(work: Any, update: str) -> Contestant:
    """Make a training step of eager PyTorch, on a GPU without cuDNN."""
    import torch

    module, forward = work.pytorch()
    module.to(DEVICE)
    optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE, **{update: True})
    x, labels = (torch.from_numpy(each).to(DEVICE) for each in work.data())
    targets = labels.reshape(-1).long()

    def step() -> float:
        with (
            torch.backends.cudnn.flags(enabled=False) if DEVICE == "cuda" else nullcontext()
        ):
            optimizer.zero_grad()
            loss = loss_of(forward(x), targets)
            loss.backward()
            optimizer.step()
            return float(loss.item())

    return Contestant(step)


def data_of(work: Any, batches: int) -> Corpus | Dataset:
    """Make data of a number of batches, with very little to evaluate."""
    return (text if hasattr(work, "vocabulary") else examples)(work, batches)


def examples(work: Any, batches: int) -> Dataset:
    inputs, labels = (np.concatenate([each] * batches) for each in work.data())
    few = Examples(inputs[:2], labels[:2])
    shape = inputs.shape[1:] if inputs.ndim == 4 else None
    return Dataset("random", Examples(inputs, labels), few, 10, image_shape=shape)


def text(work: Any, windows: int) -> Corpus:
    count = work.batch * work.length * windows + 1
    tokens = np.random.default_rng(0).integers(0, work.vocabulary, count, np.int32)
    few = tokens[: work.batch + 2]
    words = tuple(map(str, range(work.vocabulary)))
    return Corpus("text", tokens, few, few, words, work.length)


def our_run(work: Any, backend: str, windows: int) -> Contestant:
    """Make a whole run of the training loop, with batches and clipping."""
    how: Any = {"seed": 0, "epochs": 1, "batch_size": work.batch, "backend": backend}
    model = work.model(backend)
    if hasattr(model, "statistics_examples"):
        model = replace(model, statistics_examples=work.batch)
    job = model, data_of(work, windows), la.SGD(LEARNING_RATE)
    return Contestant(lambda: train(*job, **how, clip=CLIP, evaluate_train=False))


def pytorch_run(work: Any, update: str, windows: int) -> Contestant:
    """Make the same with PyTorch, as in its documentation."""
    import torch

    module, forward = work.pytorch()
    optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE, **{update: True})
    stream = data_of(work, windows).stream(work.batch, 0)

    def run() -> None:
        for batch in stream.epoch():
            optimizer.zero_grad()
            labels = torch.from_numpy(batch.labels).reshape(-1).long()
            loss = loss_of(forward(torch.from_numpy(batch.inputs)), labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), CLIP)
            optimizer.step()
            loss.item()

    return Contestant(run)


def loss_of(found: Any, labels: Any) -> Any:
    """Add a model's penalties, if any, to the cross entropy."""
    from torch.nn.functional import cross_entropy

    logits, penalty = found if isinstance(found, tuple) else (found, 0.0)
    return cross_entropy(logits, labels) + penalty


def timed(made: list[Contestant], turns: int) -> list[list[float]]:
    return take_turns(
        made,
        turns,
        seconds=0.001 if settings.QUICK else 0.3,
        clock=settings.CLOCK,
        pause=0.05,  # as long as PyTorch's threads spin
    )


class Training:
    """A training step."""

    params = (MEASURED, BACKENDS)
    param_names = ("model", "backend")
    unit = "seconds"
    timeout = 600

    def track_seconds(self, name, backend):
        return samples(*timed([our_step(WORKS[name], backend)], 3))


class BesidePyTorch:
    """A training step, beside PyTorch's with the faster of its fast updates."""

    params = (MEASURED, BACKENDS)
    param_names = ("model", "backend")
    unit = "of PyTorch's time"
    timeout = 600

    def setup(self, name, backend):
        try:
            theirs = [pytorch_step(WORKS[name], how) for how in ("fused", "foreach")]
        except ImportError as error:
            raise NotImplementedError("PyTorch is not installed") from error
        self.entries = [our_step(WORKS[name], backend), *theirs]

    def track_ratio(self, name, backend):
        times, *others = timed(self.entries, settings.TURNS)
        return ratios(times, fastest(others))


class RunBesidePyTorch(BesidePyTorch):
    """A whole run of training, beside PyTorch's loop."""

    params = ([] if settings.ON_DEVICE else MEASURED, ["numpy", "numba"])
    windows = 30

    def setup(self, name, backend):
        try:
            theirs = [
                pytorch_run(WORKS[name], how, self.windows) for how in ("fused", "foreach")
            ]
        except ImportError as error:
            raise NotImplementedError("PyTorch is not installed") from error
        self.entries = [our_run(WORKS[name], backend, self.windows), *theirs]
