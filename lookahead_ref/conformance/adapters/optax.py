"""``optax.lookahead``, around inner optimizers composed of Optax's parts."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lookahead_ref.conformance.protocol import Array, Inner, Setup, Tensors

_SLOTS = {
    "trace": "velocity",
    "sum_of_squares": "sum_of_squares",
    "mu": "first_moment",
    "nu": "second_moment",
}


class Optax:
    """An adapter for ``optax.lookahead``."""

    def start(self, setup: Setup) -> None:
        # Nested lookaheads would need other parameters.
        setup.only(inner_states=["maintain", "reset"])
        (level,) = setup.levels
        # JAX has no float64 by default. This is a separate process.
        jax.config.update("jax_enable_x64", True)
        self._transformation = optax.lookahead(
            inner_optimizer(setup.inner),
            sync_period=level.k,
            slow_step_size=level.alpha[0],
            reset_state=level.inner_state == "reset",
        )
        params = {name: jnp.asarray(array) for name, array in setup.params.items()}
        self._params = optax.LookaheadParams.init_synced(params)
        self._state: Any = self._transformation.init(self._params)

    def step(self, gradients: Mapping[str, Array | None]) -> None:
        """Do one step; every parameter has a gradient in JAX."""
        found = {
            name: jnp.zeros_like(param)
            if gradients[name] is None
            else jnp.asarray(gradients[name])
            for name, param in self._params.fast.items()
        }
        updates, self._state = self._transformation.update(found, self._state, self._params)
        self._params = optax.apply_updates(self._params, updates)

    def fast(self) -> Tensors:
        return _arrays(self._params.fast)

    def slow(self) -> Sequence[Tensors]:
        return [_arrays(self._params.slow)]

    def slots(self) -> Mapping[str, Tensors]:
        """Return the arrays of the inner state with known names."""
        return {
            _SLOTS[name]: _arrays(tree)
            for name, tree in _fields(self._state.fast_state)
            if name in _SLOTS and isinstance(tree, Mapping)
        }

    def evaluation(self) -> Tensors:
        """Return the slow parameters, as the documentation says."""
        return _arrays(self._params.slow)

    def snapshot(self) -> Any:
        """Return the state, which is immutable."""
        return self._params, self._state

    def dump(self, snapshot: Any) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, *map(np.asarray, jax.tree.leaves(snapshot)))
        return buffer.getvalue()

    def load(self, state: bytes) -> None:
        structure = jax.tree.structure((self._params, self._state))
        with np.load(io.BytesIO(state)) as saved:
            leaves = [jnp.asarray(saved[f"arr_{n}"]) for n in range(len(saved.files))]
        self._params, self._state = jax.tree.unflatten(structure, leaves)


def _arrays(tree: Mapping[str, Any]) -> Tensors:
    return {name: np.asarray(each) for name, each in tree.items()}


def inner_optimizer(inner: Inner) -> Any:
    h = dict(inner.hyperparameters)
    direction: Any = {
        "sgd": optax.identity,
        "heavy-ball": lambda: optax.trace(h["momentum"]),
        "nesterov": lambda: optax.trace(h["momentum"], nesterov=True),
        "adagrad": lambda: optax.scale_by_rss(0.0, h["epsilon"]),
        "adam": lambda: optax.scale_by_adam(h["beta1"], h["beta2"], h["epsilon"]),
    }[inner.rule]()
    decay = [optax.add_decayed_weights(h["weight_decay"])] if "weight_decay" in h else []
    before = decay if inner.weight_decay_kind == "l2" else []
    after = decay if inner.weight_decay_kind == "decoupled" else []
    rates = inner.learning_rate
    rate: Any = rates[0] if len(rates) == 1 else _schedule(rates)
    return optax.chain(*before, direction, *after, optax.scale_by_learning_rate(rate))


def _schedule(rates: Sequence[float]) -> Any:
    return lambda count: jnp.asarray(rates)[jnp.minimum(count, len(rates) - 1)]


def _fields(state: Any) -> Iterator[tuple[str, Any]]:
    """List the fields of all the named tuples in a state."""
    if hasattr(state, "_fields"):
        yield from zip(state._fields, state, strict=True)
    if isinstance(state, tuple):
        for each in state:
            yield from _fields(each)
