"""Lookahead as an Optax transformation: with plain parameters and deltas, under ``jit``.

optimizer = lookahead(optax.adam(1e-3), k=5, alpha=0.5)
state = optimizer.init(params)
updates, state = optimizer.update(gradients, state, params)
params = optax.apply_updates(params, updates)
...
evaluate(state.phi)
"""

import io
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lookahead_ref.conformance.adapters.optax import inner_optimizer

# --- The port. ---


class LookaheadState(NamedTuple):
    """Lookahead's whole state; the parameters stay plain."""

    phi: Any
    inner: Any
    cycle_step: Any
    syncs: Any
    anchor: Any


def lookahead(
    inner: Any, k: int = 5, alpha: Any = 0.5, inner_state: str = "maintain"
) -> Any:
    """Wrap a transformation, which may be a lookahead."""
    at_sync = alpha if callable(alpha) else lambda _: alpha

    def init(params: Any) -> LookaheadState:
        # Copies, even of the counts: a jitted step cannot be donated the same buffer
        # twice.
        state = inner.init(params)
        zeros = jnp.zeros((2,), jnp.int32)
        anchor = copy(innermost(state)) if inner_state == "interpolate" else None
        return LookaheadState(copy(params), state, zeros[0], zeros[1], anchor)  # LA-1

    def update(gradients: Any, state: Any, params: Any) -> tuple[Any, LookaheadState]:
        updates, inside = inner.update(gradients, state.inner, params)
        due = state.cycle_step + 1 == k  # LA-3
        rate = at_sync(state.syncs)
        theta = optax.apply_updates(params, updates)
        target = jax.tree.map(lambda s, f: s + rate * (f - s), state.phi, theta)  # LA-5
        back = jax.tree.map(lambda new, x: new - x, target, params)
        updates = choose(due, back, updates)
        # The caller adds the deltas, which rounds: phi must be the result of that (LA-7).
        phi = choose(due, optax.apply_updates(params, updates), state.phi)

        last = innermost(inside)
        if inner_state == "reset":
            last = choose(due, restarted(innermost(inner.init(params)), last), last)
        if inner_state == "interpolate":
            last = choose(due, interpolated(state.anchor, last, rate), last)
        inside = follow(inside, due, phi, last, reset=inner_state == "reset")
        return updates, LookaheadState(
            phi,
            inside,
            jnp.where(due, 0, state.cycle_step + 1),
            state.syncs + due,
            anchored(due, last, state.anchor),
        )

    return optax.GradientTransformation(init, update)


def copy(tree: Any) -> Any:
    """Copy every array."""
    return jax.tree.map(jnp.copy, tree)


def anchored(due: Any, last: Any, anchor: Any) -> Any:
    """Return the next anchors, if slots are interpolated."""
    return None if anchor is None else choose(due, last, anchor)


def choose(due: Any, yes: Any, no: Any) -> Any:
    """Choose between two trees; ``jit`` could not follow a branch."""
    return jax.tree.map(lambda a, b: jnp.where(due, a, b), yes, no)


def restarted(made: Any, now: Any) -> Any:
    """Reset the state, except the clocks of schedules (LA-12, LA-14, LA-15)."""

    def is_clock(state: Any) -> bool:
        return isinstance(state, optax.ScaleByScheduleState)

    def part(new: Any, old: Any) -> Any:
        return old if is_clock(new) else new

    return jax.tree.map(part, made, now, is_leaf=is_clock)


def interpolated(start: Any, now: Any, alpha: Any) -> Any:
    """Move every slot; integers are counts, and run on (LA-13)."""

    def part(a: Any, b: Any) -> Any:
        return a + alpha * (b - a) if jnp.issubdtype(b.dtype, jnp.floating) else b

    return jax.tree.map(part, start, now)


def innermost(state: Any) -> Any:
    """Return the state of the innermost transformation."""
    return innermost(state.inner) if isinstance(state, LookaheadState) else state


def follow(state: Any, due: Any, phi: Any, last: Any, *, reset: bool) -> Any:
    """Return the inner state after a synchronization (LA-19 to LA-21)."""
    if not isinstance(state, LookaheadState):
        return last
    return LookaheadState(
        choose(due, phi, state.phi),
        follow(state.inner, due, phi, last, reset=reset),
        jnp.where(due & reset, 0, state.cycle_step),
        state.syncs,
        anchored(due, last, state.anchor),
    )


# --- The adapter for the golden suite. ---

SLOTS = {
    "trace": "velocity",
    "sum_of_squares": "sum_of_squares",
    "mu": "first_moment",
    "nu": "second_moment",
}


class Adapter:
    """``lookahead-ref conform deltas_jax.py:Adapter``."""

    def start(self, setup: Any) -> None:
        """Make new parameters and a new transformation."""
        jax.config.update("jax_enable_x64", True)  # without it there is no float64
        transformation = inner_optimizer(setup.inner)
        for level in reversed(setup.levels):
            transformation = lookahead(
                transformation, level.k, table(level.alpha, setup.dtype), level.inner_state
            )
        self.names = list(setup.params)
        self.params = {name: jnp.asarray(x) for name, x in setup.params.items()}
        self.state = transformation.init(self.params)
        self.update = transformation.update

    def step(self, gradients: Any) -> None:
        """Do one step; every parameter has a gradient, if only of zeros (LA-25)."""
        whole = {
            name: jnp.zeros_like(x) if gradients[name] is None else gradients[name]
            for name, x in self.params.items()
        }
        updates, self.state = self.update(whole, self.state, self.params)
        self.params = optax.apply_updates(self.params, updates)

    def _arrays(self, tree: Any) -> Any:
        return {name: np.asarray(tree[name]) for name in self.names}  # JAX sorts names

    def fast(self) -> Any:
        """Return the parameters."""
        return self._arrays(self.params)

    def slow(self) -> Any:
        """Return phi, of the outermost first."""
        found, state = [], self.state
        while isinstance(state, LookaheadState):
            found.append(self._arrays(state.phi))
            state = state.inner
        return found

    def slots(self) -> Any:
        """Return what Optax keeps for each parameter."""
        return {
            SLOTS[name]: self._arrays(tree)
            for part in innermost(self.state)
            for name, tree in zip(getattr(part, "_fields", ()), part, strict=False)
            if name in SLOTS
        }

    def evaluation(self) -> Any:
        """Return phi of the outermost."""
        return self._arrays(self.state.phi)

    def snapshot(self) -> Any:
        """Return the state, which is immutable."""
        return self.params, self.state

    def dump(self, snapshot: Any) -> bytes:
        """Save the leaves of the state."""
        buffer = io.BytesIO()
        np.savez(buffer, *map(np.asarray, jax.tree.leaves(snapshot)))
        return buffer.getvalue()

    def load(self, state: bytes) -> None:
        """Load the leaves of the state."""
        structure = jax.tree.structure((self.params, self.state))
        with np.load(io.BytesIO(state)) as saved:
            leaves = [jnp.asarray(saved[f"arr_{n}"]) for n in range(len(saved.files))]
        self.params, self.state = jax.tree.unflatten(structure, leaves)


def table(values: Any, dtype: str) -> Any:
    """Return a schedule that repeats its last value."""
    return lambda clock: jnp.asarray(values, dtype)[jnp.minimum(clock, len(values) - 1)]
