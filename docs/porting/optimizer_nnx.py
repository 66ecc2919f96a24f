"""Lookahead for Flax NNX: the transformation for Optax, in NNX's optimizer.

    transformation = lookahead(optax.adam(1e-3), k=5, alpha=0.5)
    optimizer = nnx.Optimizer(model, transformation, wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, batch):
        loss, gradients = nnx.value_and_grad(loss_of)(model, batch)
        optimizer.update(model, gradients)
        return loss

Only access to the slow weights needs porting, as `nnx.Optimizer` keeps the transformation's
state in its own variables.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import deltas_jax
import jax
import jax.numpy as jnp
import numpy as np
from deltas_jax import lookahead
from flax import nnx

from lookahead_ref.conformance.adapters.optax import inner_optimizer

# --- The port. ---


@contextmanager
def slow_weights(model: Any, optimizer: Any) -> Iterator[None]:
    """Put phi into the model for a while, then the fast weights (LA-9, LA-10)."""
    fast = jax.tree.map(jnp.copy, nnx.state(model, optimizer.wrt))
    # Copied, as a buffer in two places cannot be donated.
    nnx.update(model, jax.tree.map(jnp.copy, nnx.pure(optimizer.opt_state).phi))
    try:
        yield
    finally:
        nnx.update(model, fast)


def train_step(loss_of: Any) -> Any:
    """Return a compiled step that is donated the model and the optimizer."""

    def step(model: Any, optimizer: Any, *batch: Any) -> Any:
        loss, gradients = nnx.value_and_grad(loss_of)(model, *batch)
        optimizer.update(model, gradients)
        return loss

    return nnx.jit(step, donate_argnums=(0, 1))


# --- The adapter for the golden suite. ---


class Weights(nnx.Module):  # type: ignore[misc]
    """The parameters of a case, by their names."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.by_name = nnx.Dict({n: nnx.Param(jnp.asarray(x)) for n, x in arrays.items()})


class Adapter(deltas_jax.Adapter):
    """``lookahead-ref conform optimizer_nnx.py:Adapter --level gpu``."""

    def start(self, setup: Any) -> None:
        """Make a new model and optimizer."""
        jax.config.update("jax_enable_x64", True)  # without it there is no float64
        transformation = inner_optimizer(setup.inner)
        for level in reversed(setup.levels):
            alpha = deltas_jax.table(level.alpha, setup.dtype)
            transformation = lookahead(transformation, level.k, alpha, level.inner_state)
        self.names = list(setup.params)
        self.model = Weights(setup.params)
        self.optimizer = nnx.Optimizer(self.model, transformation, wrt=nnx.Param)

    @property
    def params(self) -> Any:
        return nnx.pure(nnx.state(self.model, nnx.Param))["by_name"]

    @property
    def state(self) -> Any:
        return nnx.pure(self.optimizer.opt_state)

    def step(self, gradients: Any) -> None:
        """Do one step; every parameter has a gradient, if only of zeros (LA-25)."""
        found = {
            name: jnp.zeros_like(x)
            if gradients[name] is None
            else jnp.asarray(gradients[name])
            for name, x in self.params.items()
        }
        like = nnx.state(self.model, nnx.Param)
        structure = jax.tree.structure(like)
        self.optimizer.update(
            self.model, jax.tree.unflatten(structure, jax.tree.leaves(found))
        )

    def _arrays(self, tree: Any) -> Any:
        tree = tree.get("by_name", tree)
        return {name: np.asarray(tree[name]) for name in self.names}

    def evaluation(self) -> Any:
        """Return the parameters while they are phi."""
        with slow_weights(self.model, self.optimizer):
            return self.fast()

    def snapshot(self) -> Any:
        """Return the state of both; arrays are immutable."""
        return nnx.pure((nnx.state(self.model), nnx.state(self.optimizer)))

    def load(self, state: bytes) -> None:
        """Load the leaves of the state."""
        import io

        here = (nnx.state(self.model), nnx.state(self.optimizer))
        structure = jax.tree.structure(here)
        with np.load(io.BytesIO(state)) as saved:
            leaves = [jnp.asarray(saved[f"arr_{n}"]) for n in range(len(saved.files))]
        model, optimizer = jax.tree.unflatten(structure, leaves)
        nnx.update(self.model, model)
        nnx.update(self.optimizer, optimizer)
