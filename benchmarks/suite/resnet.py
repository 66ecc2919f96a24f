"""A step of ResNet-18 for CIFAR in float32, and the same by PyTorch, on the same cores.

``python -m suite.resnet``, in the folder ``benchmarks``, prints the ratios of our time to
PyTorch's: median and quartiles over turns.
"""

import os
import statistics

import numpy as np

import lookahead_ref as la
from lookahead_ref.data import Examples
from lookahead_ref.zoo import resnet18

from .cases import BACKENDS
from .side_by_side import ratios, summary

SHAPE = (3, 32, 32)
CLASSES = 10
FORMATS = ["contiguous", "channels last"]
"""How PyTorch's pictures lie in memory: as it does by default, and as it is faster."""


def ours(backend, batch, network=resnet18):
    """Make a function that does a step: forward, backward and update."""
    model = network(SHAPE, CLASSES, backend=backend)
    optimizer = la.HeavyBall(0.05, momentum=0.9)
    stepper = la.Stepper(optimizer, model.init(0), backend=backend)
    gradient = la.value_and_grad(model.loss, has_aux=True)
    some = Examples(*_pictures(batch))
    carried = model.start(batch)

    def step():
        nonlocal carried
        (loss, carried), grads = gradient(stepper.params, some, carried)
        stepper.step(grads)
        return float(loss)

    return step


def theirs(layout, batch):
    """Make a function that does a step by PyTorch, with its layers and its optimizer."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.first_norm = nn.BatchNorm2d(outputs)
            self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.second_norm = nn.BatchNorm2d(outputs)
            self.shortcut = nn.Identity()
            if stride > 1 or inputs != outputs:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                    nn.BatchNorm2d(outputs),
                )

        def forward(self, x):
            y = functional.relu(self.first_norm(self.first(x)))
            return functional.relu(self.second_norm(self.second(y)) + self.shortcut(x))

    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    inputs = 64
    for width in (64, 128, 256, 512):
        for stride in (1 if width == 64 else 2, 1):
            layers.append(Block(inputs, width, stride))
            inputs = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES)]
    model = nn.Sequential(*layers)
    inputs, labels = map(torch.from_numpy, _pictures(batch))
    if layout == "channels last":
        model = model.to(memory_format=torch.channels_last)
        inputs = inputs.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def step():
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _pictures(batch):
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((batch, *SHAPE), dtype=np.float32),
        rng.integers(0, CLASSES, batch),
    )


def measure(backend, layout, batch=32, repetitions=15):
    """Compare a step with PyTorch's: the ratio of each turn, after two to warm up."""
    pair = ours(backend, batch), theirs(layout, batch)
    ratios(*pair, 2)
    return ratios(*pair, repetitions)


class ResNet18:
    """A step on 32 pictures of CIFAR's size, as a multiple of PyTorch's time."""

    params = (BACKENDS, FORMATS)
    param_names = ("backend", "PyTorch's layout")
    timeout = 300
    batch = 32
    repetitions = 7

    def setup(self, backend, layout):
        try:
            import torch  # noqa: F401
        except ImportError as error:
            # How asv is told to leave a benchmark out.
            raise NotImplementedError("PyTorch is not installed") from error

    def track_of_pytorchs_time(self, backend, layout):
        found = measure(backend, layout, self.batch, self.repetitions)
        return statistics.median(found)

    track_of_pytorchs_time.unit = "of PyTorch's time"


def main():
    for backend in BACKENDS:
        for layout in FORMATS:
            print(f"{backend} to PyTorch, {layout}: {summary(measure(backend, layout))}")


if __name__ == "__main__":
    main()
