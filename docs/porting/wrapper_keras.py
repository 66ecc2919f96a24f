"""Lookahead around any of Keras 3's optimizers, on JAX, TensorFlow and PyTorch.

    optimizer = Lookahead(keras.optimizers.Adam(1e-3), k=5, alpha=0.5)
    model.compile(optimizer=optimizer, loss=...)
    model.fit(x, y, validation_data=..., callbacks=[EvaluateSlowWeights()])

The inner optimizer steps by its own `apply`, with its rule, weight decay and exclusions,
clipping, accumulation and loss scale. The wrapper takes over two things: the learning rate,
whose clock no reset may set back, and the average of weights, after a synchronization.
"""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from lookahead_ref.conformance import UnsupportedError

# --- The port. ---

AVERAGE = ("use_ema", "ema_momentum", "ema_overwrite_frequency")


@keras.saving.register_keras_serializable("lookahead")
class Lookahead(keras.optimizers.Optimizer):
    """Lookahead around an optimizer, which it takes over.

    Parameters
    ----------
    inner : keras.optimizers.Optimizer
        The inner optimizer. A `LossScaleOptimizer` goes around this one.
    k : int
        The synchronization period, in updates; micro-batches do not count.
    alpha : float or LearningRateSchedule
        The step size of the slow weights, or a function of the synchronizations done.
    inner_state : {"maintain", "reset", "interpolate"}
        What a synchronization does to the inner optimizer's slots.
    """

    def __init__(
        self,
        inner: Any,
        k: int = 5,
        alpha: Any = 0.5,
        inner_state: str = "maintain",
        name: str = "lookahead",
    ) -> None:
        if isinstance(inner, Lookahead | keras.optimizers.LossScaleOptimizer):
            raise TypeError(f"inner must be a plain optimizer, got {type(inner).__name__}")
        if k < 1 or not (callable(alpha) or 0 < alpha <= 1):  # LA-26
            raise ValueError(f"k must be >= 1 and alpha in (0, 1], got {k} and {alpha}")
        rate = inner._learning_rate  # a schedule, or a variable that holds a number
        rate = rate if callable(rate) else float(ops.convert_to_numpy(rate))
        average = {option: getattr(inner, option) for option in AVERAGE}
        super().__init__(rate, name=name, **average)
        inner.use_ema = False
        inner.learning_rate = OutersLearningRate(self)
        self.inner, self.k, self.alpha, self.inner_state = inner, k, alpha, inner_state

    def build(self, variables: list[Any]) -> None:
        """Make phi, the slots and their anchors, before the first step."""
        if self.built:
            return
        super().build(variables)
        self.inner.build(variables)
        # From the values, not zeros (LA-1), and copied, as buffers are donated.
        self.phi = [self._copied(variable, "phi") for variable in variables]
        self.anchors = [self._copied(each, "anchor") for each in self._kept()]

    def _copied(self, variable: Any, name: str) -> Any:
        if getattr(variable, "overwrite_with_gradient", False):
            return None  # scales of 8-bit floats, not weights
        return self.add_variable_from_reference(
            variable, name, initializer=lambda *_, **__: ops.copy(variable.value)
        )

    def _kept(self) -> list[Any]:
        """Return the variables of the inner optimizer that a synchronization changes."""
        if self.inner_state == "maintain":
            return []
        if self.inner_state == "reset":  # LA-15; the schedule's clock is not among them
            return self.inner.variables
        # Counts run on, and so does Nadam's product over its steps.
        counts = [self.inner._iterations, getattr(self.inner, "_u_product", None)]
        return [v for v in self.inner.variables if not any(v is count for count in counts)]

    @property
    def iterations(self) -> Any:
        """The number of updates; micro-batches do not count (LA-29)."""
        return ops.floor_divide(self._iterations, self._micro_batches)

    @property
    def _micro_batches(self) -> int:
        return self.inner.gradient_accumulation_steps or 1

    def _backend_update_step(self, grads: Any, variables: Any, learning_rate: Any) -> None:
        self.inner.apply(grads, variables)
        batches, period = self._iterations + 1, self.k * self._micro_batches
        due = ops.equal(ops.mod(batches, period), 0)  # LA-3
        alpha = self.alpha
        if callable(alpha):
            alpha = alpha(ops.floor_divide(batches, period) - 1)

        def moved(slow: Any, fast: Any) -> Any:
            slow, fast = slow.value, fast.value
            return slow + ops.convert_to_tensor(alpha, slow.dtype) * (fast - slow)

        # A graph could not follow a branch.
        def assign(variable: Any, value: Any) -> None:
            variable.assign(ops.where(due, value, variable.value))

        # All variables, even those without a gradient.
        for phi, variable in zip(self.phi, self._trainable_variables, strict=True):
            if phi is not None:
                assign(phi, moved(phi, variable))  # LA-5
                assign(variable, phi.value)  # LA-7
        for variable, anchor in zip(self._kept(), self.anchors, strict=True):
            if self.inner_state == "reset":  # LA-12: the anchors are as `build` made them
                assign(variable, anchor.value)
            else:  # LA-13
                assign(variable, moved(anchor, variable))
                assign(anchor, variable.value)

    @property
    def variables(self) -> list[Any]:
        """All saved variables, including the inner optimizer's (LA-22)."""
        return [*super().variables, *self.inner.variables]

    @contextmanager
    def slow_weights(self) -> Iterator[None]:
        """Put phi into the variables for a while, then the fast weights (LA-9, LA-10)."""
        pairs = zip(self.phi, self._trainable_variables, strict=True)
        pairs = [(phi, variable) for phi, variable in pairs if phi is not None]
        fast = [ops.copy(variable.value) for _, variable in pairs]
        try:
            for phi, variable in pairs:
                variable.assign(ops.copy(phi.value))
            yield
        finally:
            for (_, variable), theta in zip(pairs, fast, strict=True):
                variable.assign(theta)

    def finalize_variable_values(self, var_list: list[Any]) -> None:
        """Put the average in after `fit`: a copy, or the next fit fails on JAX."""
        super().finalize_variable_values(var_list)
        for variable in var_list:
            variable.assign(ops.copy(variable.value))

    def scale_loss(self, loss: Any) -> Any:
        """Scale the loss, as the inner optimizer unscales its gradients."""
        return self.inner.scale_loss(loss)

    def exclude_from_weight_decay(self, *args: Any, **kwargs: Any) -> None:
        """Tell the inner optimizer, which decays the weights."""
        self.inner.exclude_from_weight_decay(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Describe both optimizers, for saved models."""
        config = super().get_config()
        inner = keras.saving.serialize_keras_object(self.inner)
        inner["config"] |= {name: config[name] for name in ("learning_rate", *AVERAGE)}
        alpha = self.alpha
        if callable(alpha):
            alpha = keras.saving.serialize_keras_object(alpha)
        own = {"k": self.k, "alpha": alpha, "inner_state": self.inner_state}
        return {"inner": inner, **own, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Rebuild both optimizers."""
        made = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("inner", "alpha")
            if isinstance(config[name], dict)
        }
        return cls(**{**config, **made})


@keras.saving.register_keras_serializable("lookahead")
class OutersLearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """The inner optimizer's learning rate: the wrapper's, by the wrapper's clock."""

    def __init__(self, outer: Any = None) -> None:
        self.outer = outer

    def __call__(self, step: Any) -> Any:
        """Ignore the inner optimizer's count (LA-14)."""
        return self.outer.learning_rate

    def get_config(self) -> dict[str, Any]:
        """Return nothing, as the wrapper's config has the rate."""
        return {}


class EvaluateSlowWeights(keras.callbacks.Callback):
    """Evaluate phi, in `evaluate` and in the validation of `fit`."""

    def on_test_begin(self, logs: Any = None) -> None:
        """Put phi in."""
        self.context = self.model.optimizer.slow_weights()
        self.context.__enter__()

    def on_test_end(self, logs: Any = None) -> None:
        """Put the fast weights back."""
        self.context.__exit__(None, None, None)


# --- The adapter for the golden suite. ---

SLOTS = {
    "adam": {"_momentums": "first_moment", "_velocities": "second_moment"},
    "adagrad": {"_accumulators": "sum_of_squares"},
}


class Adapter:
    """``lookahead-ref conform wrapper_keras.py:Adapter``."""

    def start(self, setup: Any) -> None:
        """Make new variables and a new optimizer."""
        if len(setup.levels) > 1:
            raise UnsupportedError("nesting is not offered")
        if keras.backend.backend() == "jax":
            import jax

            jax.config.update("jax_enable_x64", True)  # without it there is no float64
        (level,) = setup.levels
        keras.config.set_floatx(setup.dtype)
        self.rule = setup.inner.rule
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
        """Return them, except velocities, which contain the learning rate (IN-12)."""
        return {
            ours: self._named(getattr(self.optimizer.inner, theirs))
            for theirs, ours in SLOTS.get(self.rule, {}).items()
        }

    def evaluation(self) -> Any:
        """Return the variables while they are phi."""
        with self.optimizer.slow_weights():
            return self.fast()

    def snapshot(self) -> Any:
        """Copy the state of variables and optimizer."""
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
    """A schedule that repeats its last value."""

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
    narrow = keras.backend.backend() == "tensorflow" and keras.config.floatx() == "float64"
    if narrow and (h or decay):
        raise UnsupportedError("on TensorFlow Keras casts hyperparameters by float32")
    options = {"learning_rate": Table(inner.learning_rate), "weight_decay": decay}
    if inner.rule == "adam":
        names = {"beta1": "beta_1", "beta2": "beta_2", "epsilon": "epsilon"}
        options |= {names[name]: value for name, value in h.items()}
        return keras.optimizers.Adam(**options)
    if inner.rule == "adagrad":
        return keras.optimizers.Adagrad(**options, **h, initial_accumulator_value=0.0)
    return keras.optimizers.SGD(**options, **h, nesterov=inner.rule == "nesterov")
