"""Lookahead step by step, with what a stepper does not show: theta before it is drawn back.

In a stepper the last inner step of a cycle and the interpolation are one pass over memory,
so that theta_{t,k} is never there to be looked at. Here the pure interface is used, and the
inner step of a synchronization is done once more by itself. All else is as in `train`: the
same initial weights, batches and noise for the same seed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

import lookahead_ref as la
from lookahead_ref.experiments.train import Prepared
from lookahead_ref.training.models import carries

if TYPE_CHECKING:
    from lookahead_ref.training.models import PlainModel


# How pictures show the fast weights, the slow ones, and the way from the first to these.
FAST = {"marker": "o", "markersize": 3.5, "linewidth": 1.2}
SLOW = {"marker": "D", "markersize": 6}
BACK = {"linestyle": (0, (2, 1.5))}


@dataclass(frozen=True)
class Visit:
    """Where Lookahead is after a step of its inner optimizer."""

    step: int
    """Updates made."""
    theta: Any
    """The fast weights after the inner step, before an interpolation."""
    phi: Any
    """The slow weights, after the interpolation if there was one."""
    synchronized: bool
    """Whether there was one."""
    loss: float
    """Of the batch, in nats, before the step."""


def walk(prepared: Prepared, steps: int) -> Iterator[Visit]:
    """Take some steps of training, over as many epochs as that takes."""
    model, optimizer = prepared.model, prepared.optimizer
    if not isinstance(optimizer, la.Lookahead):
        raise TypeError(f"optimizer must be a Lookahead, got {optimizer!r}")
    if prepared.schedule is not None:
        optimizer = la.with_learning_rate(optimizer, prepared.schedule)
    seeds = np.random.SeedSequence(prepared.settings.seed).spawn(3)
    stream = prepared.data.stream(prepared.batch_size, seeds[1])
    rng = np.random.Generator(np.random.PCG64(seeds[2]))
    carrying = carries(model)
    value_and_grad = la.value_and_grad(model.loss, has_aux=carrying)
    carried: Any = None

    params = model.init(seeds[0])
    state = optimizer.init(params)
    step = 0
    while step < steps:
        for batch in stream.epoch():
            if carries(model) and (step == 0 or getattr(batch, "first", False)):
                carried = model.start(prepared.batch_size)
            if carrying:
                (loss, carried), grads = value_and_grad(params, batch, carried, rng)
            else:
                loss, grads = value_and_grad(params, batch)
            step += 1
            after, following = optimizer.step(params, grads, state)
            synchronized = following.syncs > state.syncs
            theta = after
            if synchronized:
                theta, _ = optimizer.inner.step(params, grads, state.inner)
            params, state = after, following
            yield Visit(step, theta, state.phi, synchronized, float(loss))
            if step == steps:
                return


def steps_per_epoch(prepared: Prepared) -> int:
    """Return the number of updates in an epoch."""
    stream = prepared.data.stream(prepared.batch_size, prepared.settings.seed)
    return stream.batches_per_epoch


def validation_accuracy(prepared: Prepared) -> Callable[[Any], float]:
    """Return what measures the accuracy of weights on the validation examples."""
    model, data = prepared.model, prepared.data
    if carries(model):
        # Batch normalisation's statistics are computed for each weights that are measured.
        return lambda params: model.evaluator(params, data.train)(data.validation).accuracy
    plain = cast("PlainModel", model)
    return lambda params: plain.evaluate(params, data.validation).accuracy
