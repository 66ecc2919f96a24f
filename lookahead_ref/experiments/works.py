"""The works of `lookahead_ref.experiments.steps`: a model, a batch and an update, twice.

Both sides have the same shapes, float32, the loss of PyTorch's ``cross_entropy`` and plain
gradient descent. PyTorch's models are those that its documentation would have one write.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

import lookahead_ref as la
from lookahead_ref.experiments.steps import Step, Work
from lookahead_ref.zoo import LSTM, MLP, resnet18

__all__ = ["WORKS", "LSTMWork", "MLPWork", "ResNetWork"]

_LEARNING_RATE = 0.01


@dataclass(frozen=True)
class MLPWork:
    """A classifier of dense layers with rectified units between them."""

    sizes: tuple[int, ...] = (784, 512, 512, 10)
    batch: int = 128
    steps: int = 100

    def ours(self, backend: str) -> Step:
        """Make a step of this library."""
        model = MLP(self.sizes, backend=backend)
        inputs, labels = self._batch()
        batch = SimpleNamespace(inputs=inputs, labels=labels)
        stepper = _stepper(model.init(0), backend)
        value_and_grad = la.value_and_grad(model.loss)

        def step() -> float:
            loss, grads = value_and_grad(stepper.params, batch)
            stepper.step(grads)
            return float(loss)

        return step

    def pytorch(self, update: str) -> Step:
        """Make a step of PyTorch."""
        import torch

        layers: list[Any] = []
        for inputs, units in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            layers += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1])
        x, labels = (torch.from_numpy(array) for array in self._batch())
        optimizer = torch.optim.SGD(model.parameters(), _LEARNING_RATE, **{update: True})

        def step() -> float:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), labels)
            loss.backward()
            optimizer.step()
            return float(loss.item())

        return step

    def _batch(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        inputs = rng.standard_normal((self.batch, self.sizes[0]), np.float32)
        return inputs, rng.integers(0, self.sizes[-1], self.batch)


@dataclass(frozen=True)
class LSTMWork:
    """A language model, by default the small one for the Penn Treebank."""

    vocabulary: int = 10_000
    hidden: int = 200
    layers: int = 2
    length: int = 35
    batch: int = 20
    steps: int = 6

    def ours(self, backend: str) -> Step:
        """Make a step of this library."""
        model = LSTM(self.vocabulary, self.hidden, self.layers, backend=backend)
        tokens = self._tokens()
        batch = SimpleNamespace(inputs=tokens[:-1], labels=tokens[1:])
        stepper = _stepper(model.init(0), backend)
        value_and_grad = la.value_and_grad(model.loss, has_aux=True)
        carried = model.start(self.batch)

        def step() -> float:
            nonlocal carried
            (loss, carried), grads = value_and_grad(stepper.params, batch, carried)
            stepper.step(grads)
            return float(loss)

        return step

    def pytorch(self, update: str) -> Step:
        """Make a step of PyTorch."""
        import torch

        embedding = torch.nn.Embedding(self.vocabulary, self.hidden)
        lstm = torch.nn.LSTM(self.hidden, self.hidden, self.layers)
        output = torch.nn.Linear(self.hidden, self.vocabulary)
        weights = [w for part in (embedding, lstm, output) for w in part.parameters()]
        optimizer = torch.optim.SGD(weights, _LEARNING_RATE, **{update: True})
        tokens = torch.from_numpy(self._tokens())
        labels = tokens[1:].reshape(-1)
        carried = tuple(torch.zeros(2, self.layers, self.batch, self.hidden))

        def step() -> float:
            nonlocal carried
            optimizer.zero_grad()
            hidden, state = lstm(embedding(tokens[:-1]), carried)
            carried = tuple(each.detach() for each in state)
            logits = output(hidden.reshape(-1, self.hidden))
            loss = torch.nn.functional.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            return float(loss.item())

        return step

    def _tokens(self) -> Any:
        rng = np.random.default_rng(0)
        return rng.integers(0, self.vocabulary, (self.length + 1, self.batch))


@dataclass(frozen=True)
class ResNetWork:
    """The ResNet-18 for CIFAR."""

    batch: int = 32
    steps: int = 2
    channels_last: bool = False
    """Whether PyTorch's pictures lie in memory in its faster order, not the default one."""

    def ours(self, backend: str) -> Step:
        """Make a step of this library."""
        model = resnet18((3, 32, 32), 10, backend=backend)
        inputs, labels = self._batch()
        batch = SimpleNamespace(inputs=inputs, labels=labels)
        stepper = _stepper(model.init(0), backend)
        value_and_grad = la.value_and_grad(model.loss, has_aux=True)
        carried = model.start(self.batch)

        def step() -> float:
            nonlocal carried
            (loss, carried), grads = value_and_grad(stepper.params, batch, carried)
            stepper.step(grads)
            return float(loss)

        return step

    def pytorch(self, update: str) -> Step:
        """Make a step of PyTorch."""
        import torch
        from torch import nn

        def layer(inputs: int, outputs: int, size: int, stride: int) -> list[Any]:
            padding = size // 2
            return [
                nn.Conv2d(inputs, outputs, size, stride, padding, bias=False),
                nn.BatchNorm2d(outputs),
            ]

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
        model = nn.ModuleList([stem, blocks, output])
        x, labels = (torch.from_numpy(array) for array in self._batch())
        if self.channels_last:
            model = model.to(memory_format=torch.channels_last)
            x = x.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), _LEARNING_RATE, **{update: True})

        def step() -> float:
            optimizer.zero_grad()
            y = stem(x)
            for main, around in blocks:
                y = nn.functional.relu(main(y) + around(y))
            loss = nn.functional.cross_entropy(output(y.mean((2, 3))), labels)
            loss.backward()
            optimizer.step()
            return float(loss.item())

        return step

    def _batch(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        inputs = rng.standard_normal((self.batch, 3, 32, 32), np.float32)
        return inputs, rng.integers(0, 10, self.batch)


def _stepper(params: Any, backend: str) -> la.Stepper:
    return la.Stepper(la.SGD(_LEARNING_RATE), params, backend=backend)


WORKS: Mapping[str, Work] = {
    "mlp": MLPWork(),
    "lstm": LSTMWork(),
    "resnet18": ResNetWork(),
    "resnet18, channels last": ResNetWork(channels_last=True),
}
"""Work by name."""
