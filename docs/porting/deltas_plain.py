"""Lookahead as a transformation from gradients to deltas, on plain arrays.

The shape of Optax: ``init`` makes a state from the parameters, ``update`` returns *deltas*
and a new state, and the caller adds the deltas to the parameters. Nothing is changed in
place. ``deltas_jax.py`` is the same around Optax, compiled.
"""

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from inner_rules import at, zeros
from inner_rules import update as subtracted

# --- The framework's part. ---


class Transformation(NamedTuple):
    """A transformation: two functions."""

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


class InnerState(NamedTuple):
    """The state of an inner optimizer; the clock is that of its schedule."""

    slots: dict[str, Any]
    count: int
    clock: int


def make(inner: Any) -> Transformation:
    """Make an optimizer of the framework."""

    def init(params: Any) -> InnerState:
        return InnerState({n: zeros(inner.rule, x) for n, x in params.items()}, 0, 0)

    def update(gradients: Any, state: InnerState, params: Any) -> tuple[Any, InnerState]:
        slots = {name: dict(each) for name, each in state.slots.items()}
        count = state.count + 1
        rate = at(inner.learning_rate, state.clock)
        updates = {
            name: -subtracted(inner, x, gradients[name], slots[name], count, rate)
            for name, x in params.items()
        }
        return updates, InnerState(slots, count, state.clock + 1)

    return Transformation(init, update)


def apply_updates(params: Any, updates: Any) -> Any:
    """Add the deltas."""
    return {name: x + updates[name] for name, x in params.items()}


# --- The port. ---


class LookaheadState(NamedTuple):
    """Lookahead's whole state; the parameters stay plain."""

    phi: Any
    inner: Any
    cycle_step: int
    syncs: int
    anchor: Any


def lookahead(
    inner: Transformation, k: int = 5, alpha: Any = 0.5, inner_state: str = "maintain"
) -> Transformation:
    """Wrap a transformation, which may be a lookahead."""
    at_sync = alpha if callable(alpha) else lambda _: alpha

    def init(params: Any) -> LookaheadState:
        state = inner.init(params)
        return LookaheadState(dict(params), state, 0, 0, innermost(state).slots)  # LA-1

    def update(gradients: Any, state: Any, params: Any) -> tuple[Any, LookaheadState]:
        updates, inside = inner.update(gradients, state.inner, params)
        if state.cycle_step + 1 < k:  # LA-3
            return updates, state._replace(inner=inside, cycle_step=state.cycle_step + 1)
        rate = at_sync(state.syncs)
        theta = apply_updates(params, updates)
        target = move(state.phi, theta, rate)
        updates = {name: target[name] - x for name, x in params.items()}
        # The caller adds the deltas, which rounds: phi must be the result of that (LA-7).
        phi = apply_updates(params, updates)
        last = innermost(inside)
        if inner_state == "reset":  # LA-12, LA-15; the schedule's clock runs on: LA-14
            last = innermost(inner.init(params))._replace(clock=last.clock)
        if inner_state == "interpolate":  # LA-13
            moved = {n: move(state.anchor[n], s, rate) for n, s in last.slots.items()}
            last = last._replace(slots=moved)
        inside = follow(inside, phi, last, reset=inner_state == "reset")
        return updates, LookaheadState(phi, inside, 0, state.syncs + 1, last.slots)

    return Transformation(init, update)


def move(slow: Any, fast: Any, alpha: float) -> Any:
    """Move a fraction alpha of the way (LA-5)."""
    return {name: s + alpha * (fast[name] - s) for name, s in slow.items()}


def innermost(state: Any) -> Any:
    """Return the state of the innermost optimizer."""
    return innermost(state.inner) if isinstance(state, LookaheadState) else state


def follow(state: Any, phi: Any, last: Any, *, reset: bool) -> Any:
    """Return the inner state after a synchronization (LA-19 to LA-21)."""
    if not isinstance(state, LookaheadState):
        return last
    inside = follow(state.inner, phi, last, reset=reset)
    steps = 0 if reset else state.cycle_step
    return LookaheadState(phi, inside, steps, state.syncs, last.slots)


# --- The adapter for the golden suite. ---


class Adapter:
    """``lookahead-ref conform deltas_plain.py:Adapter``."""

    def start(self, setup: Any) -> None:
        """Make new parameters and a new transformation."""
        transformation = make(setup.inner)
        for level in reversed(setup.levels):
            table = level.alpha
            transformation = lookahead(
                transformation, level.k, lambda n, a=table: at(a, n), level.inner_state
            )
        self.update = transformation.update
        self.params = dict(setup.params)
        self.state = transformation.init(self.params)

    def step(self, gradients: Any) -> None:
        """Do one step; every parameter has a gradient, if only of zeros (LA-25)."""
        whole = {
            name: np.zeros_like(x) if gradients[name] is None else gradients[name]
            for name, x in self.params.items()
        }
        updates, self.state = self.update(whole, self.state, self.params)
        self.params = apply_updates(self.params, updates)

    def fast(self) -> Any:
        """Return the parameters."""
        return self.params

    def slow(self) -> Any:
        """Return phi, of the outermost first."""
        found, state = [], self.state
        while isinstance(state, LookaheadState):
            found.append(state.phi)
            state = state.inner
        return found

    def slots(self) -> Any:
        """Return the slots."""
        slots = innermost(self.state).slots
        names = next(iter(slots.values()))
        return {slot: {name: each[slot] for name, each in slots.items()} for slot in names}

    def evaluation(self) -> Any:
        """Return phi of the outermost."""
        return self.state.phi

    def snapshot(self) -> Any:
        """Return the state, which is immutable."""
        return self.params, self.state

    def dump(self, snapshot: Any) -> bytes:
        """Write it."""
        return pickle.dumps(snapshot)

    def load(self, state: bytes) -> None:
        """Read it."""
        self.params, self.state = pickle.loads(state)
