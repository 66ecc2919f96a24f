"""Lookahead around any of Keras 3's optimizers.

    optimizer = Lookahead(keras.optimizers.Adam(1e-3), k=5, alpha=0.5)
    model.compile(optimizer=optimizer, ...)

Keras calls `update_step` for one variable at a time, and makes state in `build`, at the
first step. What it does around that (weight decay, clipping, accumulation, the schedule) it
does for the optimizer that it was given: this one. The inner optimizer's own are handed on.
"""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from keras import ops

from lookahead_ref.conformance import UnsupportedError

# --- The port. ---

HANDED_ON = (
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)


class Lookahead(keras.optimizers.Optimizer):
    """Lookahead around an optimizer.

    Parameters
    ----------
    inner : keras.optimizers.Optimizer
        The inner optimizer.
    k : int
        The synchronization period.
    alpha : float or callable
        The step size of the slow weights, or a function of the synchronizations done.
    inner_state : {"maintain", "reset", "interpolate"}
        What a synchronization does to the inner optimizer's slots.
    """

    def __init__(
        self, inner: Any, k: int = 5, alpha: Any = 0.5, inner_state: str = "maintain"
    ) -> None:
        options = {name: getattr(inner, name) for name in HANDED_ON}
        rate = inner._learning_rate  # a schedule, or a variable that holds a number
        rate = rate if callable(rate) else float(inner.learning_rate)
        super().__init__(learning_rate=rate, **options)
        self.inner, self.k, self.inner_state = inner, k, inner_state
        self.alpha = alpha if callable(alpha) else lambda _: alpha

    def build(self, variables: list[Any]) -> None:
        """Make phi, the slots and their anchors, before the first step."""
        if self.built:
            return
        super().build(variables)
        self.phi = [self.add_variable_from_reference(v, name="phi") for v in variables]
        for phi, variable in zip(self.phi, variables, strict=True):
            phi.assign(variable)  # not the zeros that it was made with (LA-1)
        self.inner.gradient_accumulation_steps = None  # it needs no room of its own
        self.inner.build(variables)
        # All but the clock and the learning rate, which have no parameter's shape.
        own = [self.inner._iterations, self.inner._learning_rate]
        self.slots = [v for v in self.inner.variables if not any(v is each for each in own)]
        anchors = self.inner_state != "maintain"
        self.anchor = [
            self.add_variable_from_reference(slot, name="anchor")
            for slot in self.slots * anchors
        ]
        for anchor, slot in zip(self.anchor, self.slots, strict=anchors):
            anchor.assign(slot)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Do the inner step of one variable; a variable without a gradient is not asked."""
        self.inner.update_step(gradient, variable, learning_rate)

    def _backend_update_step(self, grads: Any, variables: Any, learning_rate: Any) -> None:
        for gradient, variable in zip(grads, variables, strict=True):
            self.update_step(gradient, variable, learning_rate)
        self.inner._iterations.assign_add(1)  # Adam's count: nobody else counts it
        # Not `_iterations`, which counts micro-batches too (LA-29).
        steps = self.iterations + 1
        due = ops.equal(ops.mod(steps, self.k), 0)
        alpha = self.alpha(ops.floor_divide(steps, self.k) - 1)
        # All variables, those without a gradient too; and no branch, which a graph could
        # not follow.
        for phi, variable in zip(self.phi, self._trainable_variables, strict=True):
            moved = self._moved(phi, variable, alpha)  # LA-5
            phi.assign(ops.where(due, moved, phi))
            variable.assign(ops.where(due, moved, variable))  # LA-7
        for slot, anchor in zip(self.slots, self.anchor, strict=bool(self.anchor)):
            if self.inner_state == "reset":  # LA-12: the anchor is what `build` made
                slot.assign(ops.where(due, anchor, slot))
            else:  # LA-13
                slot.assign(ops.where(due, self._moved(anchor, slot, alpha), slot))
                anchor.assign(ops.where(due, slot, anchor))
        if self.inner_state == "reset":  # LA-15; the schedule's clock is this optimizer's
            count = self.inner._iterations
            count.assign(ops.where(due, ops.zeros_like(count), count))

    def _moved(self, slow: Any, fast: Any, alpha: Any) -> Any:
        return slow + ops.cast(alpha, slow.dtype) * (fast - slow)

    @property
    def variables(self) -> list[Any]:
        """All that a checkpoint holds: the inner optimizer's are part of it (LA-22)."""
        return [*super().variables, *self.inner.variables]

    @contextmanager
    def slow_weights(self) -> Iterator[None]:
        """Have phi in the variables meanwhile; put the fast weights back (LA-9, LA-10)."""
        fast = [ops.copy(variable.value) for variable in self._trainable_variables]
        try:
            for variable, phi in zip(self._trainable_variables, self.phi, strict=True):
                variable.assign(phi)
            yield
        finally:
            for variable, theta in zip(self._trainable_variables, fast, strict=True):
                variable.assign(theta)


# --- What the golden suite asks of it. ---


class Adapter:
    """``lookahead-ref conform rule_keras.py:Adapter``."""

    def start(self, setup: Any) -> None:
        """Make variables and optimizer anew."""
        if len(setup.levels) > 1:
            raise UnsupportedError("nesting is not offered")
        (level,) = setup.levels
        keras.config.set_floatx(setup.dtype)
        self.params = {
            name: keras.Variable(array, dtype=setup.dtype)
            for name, array in setup.params.items()
        }
        self.optimizer = Lookahead(
            make(setup.inner), level.k, Table(level.alpha), level.inner_state
        )
        self.optimizer.build(list(self.params.values()))

    def step(self, gradients: Any) -> None:
        """Do one step."""
        found = [
            None if g is None else ops.convert_to_tensor(g) for g in gradients.values()
        ]
        self.optimizer.apply(found, list(self.params.values()))

    def _named(self, variables: Any) -> Any:
        arrays = [variable.numpy().copy() for variable in variables]
        return dict(zip(self.params, arrays, strict=True))

    def fast(self) -> Any:
        """Return the variables."""
        return self._named(self.params.values())

    def slow(self) -> Any:
        """Return phi."""
        return [self._named(self.optimizer.phi)]

    def slots(self) -> Any:
        """Return nothing: the velocity has the learning rate in it (IN-12)."""
        return {}

    def evaluation(self) -> Any:
        """Return the variables while they are phi."""
        with self.optimizer.slow_weights():
            return self.fast()

    def snapshot(self) -> Any:
        """Take the state of variables and optimizer."""
        held = [*self.params.values(), *self.optimizer.variables]
        return [variable.numpy().copy() for variable in held]

    def dump(self, snapshot: Any) -> bytes:
        """Write it."""
        return pickle.dumps(snapshot)

    def load(self, state: bytes) -> None:
        """Read it."""
        held = [*self.params.values(), *self.optimizer.variables]
        for variable, value in zip(held, pickle.loads(state), strict=True):
            variable.assign(value)


class Table(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule; its last value holds from then on."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __call__(self, step: Any) -> Any:
        """Return the value at a step."""
        step = ops.clip(step, 0, len(self.values) - 1)
        return ops.take(
            ops.array(self.values, keras.config.floatx()), ops.cast(step, "int32")
        )


def make(inner: Any) -> Any:
    """Make Keras' optimizer for a case."""
    h = dict(inner.hyperparameters)
    decay = h.pop("weight_decay", None)
    if inner.weight_decay_kind == "l2":
        raise UnsupportedError("Keras leaves L2 to the layers")
    options = {"learning_rate": Table(inner.learning_rate), "weight_decay": decay}
    if inner.rule == "adam":
        names = {"beta1": "beta_1", "beta2": "beta_2", "epsilon": "epsilon"}
        options |= {names[name]: value for name, value in h.items()}
        return keras.optimizers.Adam(**options)
    if inner.rule == "adagrad":
        return keras.optimizers.Adagrad(**options, **h, initial_accumulator_value=0.0)
    return keras.optimizers.SGD(**options, **h, nesterov=inner.rule == "nesterov")
