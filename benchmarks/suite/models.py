"""Training steps of models, beside PyTorch's: forward, backward and update.

Both sides have the same shapes, float32, the loss of PyTorch's ``cross_entropy`` and plain
gradient descent.
"""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np

import lookahead_ref as la
from lookahead_ref import trees

from . import settings
from .turns import Contestant, fastest, ratios, samples, take_turns
from .works import DEVICE, WORKS

LEARNING_RATE = 0.01

# On a host, whole runs are measured instead.
MEASURED = ["lstm of 1500 units"] if settings.ON_DEVICE else []
BACKENDS = [settings.EXECUTOR.name]


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


def loss_of(found: Any, labels: Any) -> Any:
    """Add the penalties to the cross entropy, where a model has such."""
    from torch.nn.functional import cross_entropy

    logits, penalty = found if isinstance(found, tuple) else (found, 0.0)
    return cross_entropy(logits, labels) + penalty


def timed(made: list[Contestant], turns: int) -> list[list[float]]:
    return take_turns(
        made,
        turns,
        seconds=0.001 if settings.QUICK else 0.3,
        clock=settings.CLOCK,
        pause=0.05,  # as long as threads of PyTorch's look for work
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
