"""The profile ``keras``: a Lookahead around Keras' optimizers as its users run it.

Checks of the inner optimizer's options compare with that optimizer alone, and Algorithm 1
by hand after every k updates.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lookahead_ref.conformance.adapters.profiles import (
    ALPHA,
    STEPS,
    Checks,
    Found,
    K,
    Make,
    Wrong,
    lookahead_of,
)

CHECKS = Checks()
NAMES = ("kernel", "bias")
sgd = partial(keras.optimizers.SGD, learning_rate=0.1)


def same(got: Sequence[Any], expected: Sequence[Any], says: str) -> None:
    apart = [np.abs(np.subtract(a, b)).max() for a, b in zip(got, expected, strict=True)]
    if not (largest := max(apart)) < 1e-5:
        raise Wrong(f"{says}: the weights are {largest:.2g} apart")


def network(make: Make, **compiled: Any) -> Any:
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    net.build((None, 4))
    optimizer = make(keras.optimizers.Adam(0.03))
    net.compile(optimizer=optimizer, loss="mse", **compiled)
    return net


def fitted(net: Any, times: int = 1) -> Any:
    """Do four updates at a time, so that every second time ends within a cycle."""
    x = np.linspace(-1, 1, 64, dtype="float32").reshape(16, 4)
    for _ in range(times):
        net.fit(x, np.sin(x.sum(1)), batch_size=4, shuffle=False, verbose=0)
    return net


@CHECKS.enter("choose by ops.where, count in a variable, and copy what is assigned")
def compiled_and_donated(make: Make) -> None:
    # On JAX, `fit` donates the buffers, and fails if two variables share one.
    net, plain = (network(make, **how) for how in ({}, {"run_eagerly": True}))
    says = "a compiled fit gives other weights than an eager one"
    same(fitted(net, 3).get_weights(), fitted(plain, 3).get_weights(), says)


@CHECKS.enter(
    "register the class, give it get_config and from_config, and have phi, the count and "
    "the inner optimizer's variables among its variables"
)
def saved(make: Make) -> None:
    net = fitted(network(make))
    with tempfile.TemporaryDirectory() as folder:
        net.save(path := Path(folder, "net.keras"))
        again = keras.models.load_model(path)
    says = "a loaded model does not continue like the saved one"
    same(fitted(again, 2).get_weights(), fitted(net, 2).get_weights(), says)


# In addition to the optimizer itself.


def went(optimizer: Any, period: int = 0, batches: int = STEPS) -> list[list[Any]]:
    """Return the weights after each batch and at the end of training."""
    start = [np.linspace(-2, 2, 6, dtype="float32").reshape(2, 3), np.ones(3, "float32")]
    weights = [keras.Variable(x, name=n) for n, x in zip(NAMES, start, strict=True)]
    phi, seen = start, []
    for batch in range(batches):
        gradients = [0.5 * w.value - float(np.sin(batch)) for w in weights]
        optimizer.apply(gradients, weights)
        if period and (batch + 1) % period == 0:  # Algorithm 1 by hand
            phi = [p + ALPHA * (w.numpy() - p) for p, w in zip(phi, weights, strict=True)]
            for weight, value in zip(weights, phi, strict=True):
                weight.assign(value)
        seen.append([w.numpy().copy() for w in weights])
    optimizer.finalize_variable_values(weights)
    return [*seen, [w.numpy() for w in weights]]


def as_by_hand(make: Make, says: str, build: Any, each: int = 1) -> None:
    """Compare with the optimizer alone, which takes `each` batches per update."""
    expected = went(build(lambda inner: inner), each * K, each * STEPS)
    same(went(build(make), batches=each * STEPS)[-1], expected[-1], says)


@CHECKS.enter(
    "rebuild the inner optimizer in from_config, by keras.saving.deserialize_keras_object"
)
def config(make: Make) -> None:
    def again(wrap: Any) -> Any:
        optimizer = wrap(keras.optimizers.Adam(0.1, beta_1=0.5))
        return type(optimizer).from_config(optimizer.get_config())

    as_by_hand(make, "rebuilt from its config, it gives other weights", again)


@CHECKS.enter("let the inner optimizer use its schedule, at its own count of updates")
def schedule(make: Make) -> None:
    rate = keras.optimizers.schedules.ExponentialDecay(0.2, 2, 0.5)
    says = "with a LearningRateSchedule of the inner optimizer, the weights are wrong"
    as_by_hand(make, says, lambda wrap: wrap(sgd(learning_rate=rate)))


@CHECKS.enter(
    "keep the rate in one place, so that setting it at the wrapper changes the inner step's"
)
def learning_rate(make: Make) -> None:
    def slower(wrap: Any) -> Any:
        optimizer = wrap(sgd())
        optimizer.learning_rate = 0.01  # as callbacks do
        return optimizer

    as_by_hand(
        make, "a learning rate set at the wrapper does not reach the inner step", slower
    )


@CHECKS.enter("update by the inner optimizer's own apply, which clips")
def clipnorm(make: Make) -> None:
    says = "clipnorm of the inner optimizer is lost"
    as_by_hand(make, says, lambda wrap: wrap(sgd(clipnorm=0.5)))


@CHECKS.enter("pass exclude_from_weight_decay on, and decay in the inner optimizer alone")
def weight_decay(make: Make) -> None:
    def excluding(wrap: Any) -> Any:
        optimizer = wrap(sgd(weight_decay=0.5))
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        return optimizer

    as_by_hand(make, "weight decay or its exclusions are not as set", excluding)


@CHECKS.enter("count the updates of the inner optimizer, not batches that it accumulates")
def accumulation(make: Make) -> None:
    says = "with gradient_accumulation_steps it does not synchronize every k updates"
    twice = {"gradient_accumulation_steps": 2}
    as_by_hand(make, says, lambda wrap: wrap(sgd(**twice)), 2)


@CHECKS.enter("average in the wrapper, after a synchronization, and not in the inner step")
def average(make: Make) -> None:
    *_, seen = went(make(sgd(use_ema=True, ema_momentum=0.5)))
    expected, *rest, _ = went(sgd(), K)
    for weights in rest:
        expected = [(a + w) / 2 for a, w in zip(expected, weights, strict=True)]
    same(seen, expected, "use_ema does not end with the average of the fast weights")


def checked(target: str) -> list[Found]:
    """Run all checks on a target."""
    return CHECKS.taken(lookahead_of(target))
