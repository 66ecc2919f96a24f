"""Lookahead as a wrapper that changes the parameters in place, on plain arrays.

The shape of PyTorch's optimizers, with the least of a framework around it: an optimizer
holds the parameters and makes its slots at the first step. ``wrapper_pytorch.py`` is the
same around PyTorch's own.
"""

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from inner_rules import at, direction, zeros

# --- What the framework has. ---


class Inner:
    """An optimizer of the framework: it writes to the parameters, which it was given."""

    def __init__(self, inner: Any, params: dict[str, Any]) -> None:
        self.inner, self.params = inner, params
        self.state: dict[str, Any] = {}
        self.rate = inner.learning_rate[0]  # a scheduler sets it

    def step(self, gradients: Any) -> None:
        """Update every parameter that has a gradient."""
        for name, g in gradients.items():
            if g is None:
                continue
            theta = self.params[name]
            made = {"slots": zeros(self.inner.rule, theta), "count": 0}
            state = self.state.setdefault(name, made)
            state["count"] += 1
            u = direction(self.inner, theta, g, state["slots"], state["count"])
            theta -= self.rate * u

    def state_dict(self) -> dict[str, Any]:
        """Return the state: the arrays themselves, as frameworks do."""
        return {"state": self.state}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore the state."""
        self.state = saved["state"]


# --- The port. ---


class Lookahead:
    """Lookahead around an optimizer, which may be a Lookahead."""

    def __init__(
        self, inner: Any, k: int = 5, alpha: Any = 0.5, inner_state: str = "maintain"
    ) -> None:
        self.inner, self.k, self.inner_state = inner, k, inner_state
        self.alpha = alpha if callable(alpha) else lambda _: alpha
        self.params = inner.params
        self.phi = {name: theta.copy() for name, theta in self.params.items()}  # LA-1
        self.anchor: dict[str, Any] = {}  # a slot that is not there is one of zeros
        self.cycle_step = self.syncs = 0

    def step(self, gradients: Any) -> None:
        """Do an inner step and, every k of them, synchronize (LA-3, LA-4)."""
        self.inner.step(gradients)
        self.cycle_step += 1
        if self.cycle_step == self.k:
            self.synchronize()

    def synchronize(self) -> None:
        """Do the outer update, of all parameters (LA-5, LA-7, LA-30)."""
        alpha = self.alpha(self.syncs)
        for name, theta in self.params.items():
            phi = self.phi[name]
            phi += alpha * (theta - phi)
            theta[...] = phi
        state = self.innermost.state
        for name, each in state.items():
            if self.inner_state == "reset":  # LA-12, LA-15
                each.update(slots=zeros(self.innermost.inner.rule, self.phi[name]), count=0)
            if self.inner_state == "interpolate":  # LA-13
                for slot, now in each["slots"].items():
                    start = self.anchor.get(name, {}).get(slot, np.zeros_like(now))
                    each["slots"][slot] = start + alpha * (now - start)
        self.syncs += 1
        self.cycle_step = 0
        level = self
        while isinstance(level, Lookahead):  # LA-19 to LA-21
            level.follow(self.phi, state, reset=self.inner_state == "reset")
            level = level.inner

    def follow(self, phi: Any, state: Any, *, reset: bool) -> None:
        """Take what a synchronization of this Lookahead, or one around it, arrived at."""
        self.anchor = {name: dict(each["slots"]) for name, each in state.items()}
        for name, array in phi.items():
            self.phi[name][...] = array
        if reset:
            self.cycle_step = 0

    @property
    def innermost(self) -> Any:
        """The optimizer in the middle."""
        return self.inner.innermost if isinstance(self.inner, Lookahead) else self.inner

    @contextmanager
    def slow_weights(self) -> Iterator[None]:
        """Have phi in the parameters meanwhile; put the fast weights back (LA-9, LA-10)."""
        fast = {name: theta.copy() for name, theta in self.params.items()}
        try:
            for name, theta in self.params.items():
                theta[...] = self.phi[name]
            yield
        finally:
            for name, theta in self.params.items():
                theta[...] = fast[name]

    def state_dict(self) -> dict[str, Any]:
        """Copy the state, the inner optimizer's within it (LA-22, LA-23)."""
        own = {
            name: getattr(self, name) for name in ("phi", "anchor", "cycle_step", "syncs")
        }
        return copy.deepcopy(own | {"inner": self.inner.state_dict()})

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore the state (LA-24)."""
        saved = copy.deepcopy(saved)
        self.inner.load_state_dict(saved.pop("inner"))
        vars(self).update(saved)


# --- What the golden suite asks of it. ---


class Adapter:
    """``lookahead-ref conform wrapper_plain.py:Adapter``."""

    def start(self, setup: Any) -> None:
        """Make parameters and optimizer anew."""
        self.rates, self.clock = setup.inner.learning_rate, 0
        self.params = {name: array.copy() for name, array in setup.params.items()}
        self.inner = optimizer = Inner(setup.inner, self.params)
        for level in reversed(setup.levels):
            table = level.alpha
            optimizer = Lookahead(
                optimizer, level.k, lambda syncs, a=table: at(a, syncs), level.inner_state
            )
        self.optimizer: Any = optimizer

    def step(self, gradients: Any) -> None:
        """Do one step, at the rate that a scheduler would have set (LA-14)."""
        self.inner.rate = at(self.rates, self.clock)
        self.clock += 1
        self.optimizer.step(gradients)

    def fast(self) -> Any:
        """Return the parameters."""
        return self.params

    def slow(self) -> Any:
        """Return phi, of the outermost first."""
        found, level = [], self.optimizer
        while isinstance(level, Lookahead):
            found.append(level.phi)
            level = level.inner
        return found

    def slots(self) -> Any:
        """Return the slots, once every parameter has them."""
        slots = {name: each["slots"] for name, each in self.inner.state.items()}
        if slots.keys() != self.params.keys():
            return {}
        return {
            slot: {name: slots[name][slot] for name in self.params}
            for slot in next(iter(slots.values()))
        }

    def evaluation(self) -> Any:
        """Return the parameters while they are phi."""
        with self.optimizer.slow_weights():
            return {name: theta.copy() for name, theta in self.params.items()}

    def snapshot(self) -> Any:
        """Take the state."""
        return copy.deepcopy(self.params), self.optimizer.state_dict(), self.clock

    def dump(self, snapshot: Any) -> bytes:
        """Write it."""
        return pickle.dumps(snapshot)

    def load(self, state: bytes) -> None:
        """Read it."""
        params, saved, self.clock = pickle.loads(state)
        for name, theta in self.params.items():
            theta[...] = params[name]
        self.optimizer.load_state_dict(saved)
