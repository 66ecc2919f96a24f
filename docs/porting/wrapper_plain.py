"""Lookahead as a wrapper that changes the parameters in place, on plain arrays.

The shape of PyTorch's optimizers, in a minimal framework: an optimizer holds the
parameters and writes to them. ``wrapper_pytorch.py`` is the same around PyTorch's
own.
"""

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from inner_rules import at, update, zeros

# --- The framework's part. ---


class Inner:
    """An optimizer of the framework."""

    def __init__(self, inner: Any, params: dict[str, Any], clock: int = 0) -> None:
        self.inner, self.params = inner, params
        self.slots = {name: zeros(inner.rule, theta) for name, theta in params.items()}
        self.count = dict.fromkeys(params, 0)
        self.clock = clock

    def step(self, gradients: Any) -> None:
        """Update every parameter that has a gradient."""
        rate = at(self.inner.learning_rate, self.clock)
        self.clock += 1
        for name, g in gradients.items():
            if g is None:
                continue
            self.count[name] += 1
            theta, slots = self.params[name], self.slots[name]
            theta -= update(self.inner, theta, g, slots, self.count[name], rate)

    def state_dict(self) -> dict[str, Any]:
        """Return the state: the arrays themselves, as frameworks do."""
        own = {"params": self.params, "slots": self.slots}
        return own | {"count": dict(self.count), "clock": self.clock}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore the state."""
        for name, theta in self.params.items():
            theta[...] = saved["params"][name]
        self.slots = saved["slots"]
        self.count = saved["count"]
        self.clock = saved["clock"]


# --- The port. ---


class Lookahead:
    """Lookahead around an optimizer, which may be a Lookahead."""

    def __init__(
        self,
        inner: Any,
        k: int = 5,
        alpha: Any = 0.5,
        inner_state: str = "maintain",
        outer: Any = None,
    ) -> None:
        self.inner, self.k, self.inner_state = inner, k, inner_state
        self.alpha = alpha if callable(alpha) else lambda _: alpha
        self.params = inner.params
        self.phi = copy.deepcopy(self.params)  # LA-1
        self.outer = outer and Inner(outer, self.phi)
        self.cycle_step = 0  # nothing done yet
        self.syncs = 0
        self.anchor: dict[str, Any] = {}
        self.keep_anchor()

    def step(self, gradients: Any) -> None:
        """Do an inner step and, every k of them, synchronize (LA-3, LA-4)."""
        self.inner.step(gradients)
        self.cycle_step += 1
        if self.cycle_step == self.k:
            self.synchronize()

    def synchronize(self) -> None:
        """Do the outer update of all parameters (LA-5, LA-7, LA-30)."""
        alpha = self.alpha(self.syncs)
        if self.outer:
            self.outer_step()
        for name, theta in self.params.items():
            phi = self.phi[name]
            phi += alpha * (theta - phi)
            theta[...] = phi
        inner = self.innermost
        for name, slots in inner.slots.items():
            if self.inner_state == "reset":  # LA-12
                slots.update(zeros(inner.inner.rule, self.phi[name]))
                inner.count[name] = 0  # LA-15
            if self.inner_state == "interpolate":  # LA-13
                for slot, start in self.anchor[name].items():
                    slots[slot] = start + alpha * (slots[slot] - start)
        self.syncs += 1
        self.cycle_step = 0
        level = self
        while isinstance(level, Lookahead):  # LA-19 to LA-21
            level.follow(self.phi, reset=self.inner_state == "reset")
            level = level.inner
            if self.inner_state == "reset" and getattr(level, "outer", None):
                level.outer = Inner(level.outer.inner, level.phi, level.syncs)  # OU-9

    def outer_step(self) -> None:
        """Update phi from phi - theta; nothing is left to interpolate (OU-1 to OU-3)."""
        pseudo_gradient = {
            name: self.phi[name] - theta for name, theta in self.params.items()
        }
        self.outer.step(pseudo_gradient)
        for name, theta in self.params.items():
            theta[...] = self.outer.params[name]

    def follow(self, phi: Any, *, reset: bool) -> None:
        """Adopt the result of this Lookahead's synchronization, or of an enclosing one."""
        self.keep_anchor()
        for name, slow in phi.items():
            self.phi[name][...] = slow
        if reset:
            self.cycle_step = 0

    @property
    def begun(self) -> bool:
        """Whether a step has been done."""
        return self.cycle_step + self.syncs > 0

    def keep_anchor(self) -> None:
        """Copy the slots, to interpolate from."""
        for name, slots in self.innermost.slots.items():
            self.anchor[name] = dict(slots)

    @property
    def innermost(self) -> Any:
        """The innermost optimizer."""
        return self.inner.innermost if isinstance(self.inner, Lookahead) else self.inner

    @contextmanager
    def slow_weights(self) -> Iterator[None]:
        """Put phi into the parameters for a while, then the fast weights (LA-9, LA-10)."""
        fast = copy.deepcopy(self.params)
        try:
            for name, theta in self.params.items():
                theta[...] = self.phi[name]
            yield
        finally:
            for name, theta in self.params.items():
                theta[...] = fast[name]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state, the inner optimizer's within it (LA-22, LA-23)."""
        own = ("phi", "anchor", "cycle_step", "syncs")
        state = {name: getattr(self, name) for name in own}
        state["inner"] = self.inner.state_dict()
        state["outer"] = self.outer and self.outer.state_dict()  # OU-10
        return copy.deepcopy(state)

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore the state (LA-24)."""
        saved = copy.deepcopy(saved)
        self.inner.load_state_dict(saved.pop("inner"))
        outer = saved.pop("outer")
        vars(self).update(saved)
        if self.outer:
            self.outer.params = self.phi
            self.outer.load_state_dict(outer)


class Workers:
    """Lookaheads on a share of the data each, with one outer step (WO-1, WO-5)."""

    def __init__(self, each: list[Lookahead]) -> None:
        self.each = each

    def step(self, gradients: Any) -> None:
        """Do a step of each worker, with its own gradients (WO-1)."""
        for worker, own in zip(self.each, gradients, strict=True):
            worker.inner.step(own)
            worker.cycle_step += 1  # WO-3
        if self.each[0].cycle_step == self.each[0].k:
            self.synchronize()

    def synchronize(self) -> None:
        """Do the outer step with the mean of the pseudo-gradients (WO-4, WO-6)."""
        for name in self.each[0].params:
            total = sum(worker.phi[name] - worker.params[name] for worker in self.each)
            mean = total / len(self.each)
            for worker in self.each:
                worker.params[name][...] = worker.phi[name] - mean
        for worker in self.each:
            worker.synchronize()

    def state_dict(self) -> list[Any]:
        """Return a copy of the state of each worker (WO-8)."""
        return [worker.state_dict() for worker in self.each]

    def load_state_dict(self, saved: list[Any]) -> None:
        """Restore the state."""
        for worker, own in zip(self.each, saved, strict=True):
            worker.load_state_dict(own)


# --- The adapter for the golden suite. ---


class Adapter:
    """``lookahead-ref conform wrapper_plain.py:Adapter``."""

    offers = ("outer", "workers")

    def start(self, setup: Any) -> None:
        """Make new parameters and optimizers; all workers start where the first does."""
        self.setup = setup
        shares = setup.split(setup.params)
        self.each = [self.made(shares[0]) for _ in shares]  # WO-2
        self.optimizer: Any = Workers(self.each) if self.each[1:] else self.each[0]

    def made(self, params: Any) -> Lookahead:
        """Make a worker's Lookahead."""
        optimizer: Any = Inner(self.setup.inner, copy.deepcopy(params))
        for level in reversed(self.setup.levels):
            table = level.alpha
            if level.outer:  # slots are interpolated by no more than 1 (OU-8)
                table = [min(rate, 1.0) for rate in level.outer.learning_rate]
            alpha = partial(at, table)
            optimizer = Lookahead(optimizer, level.k, alpha, level.inner_state, level.outer)
        return optimizer

    def step(self, gradients: Any) -> None:
        """Do one step."""
        gradients = self.setup.split(gradients)
        self.optimizer.step(gradients if self.each[1:] else gradients[0])

    def fast(self) -> Any:
        """Return the parameters."""
        return self.setup.merged([worker.params for worker in self.each])

    def slow(self) -> Any:
        """Return phi, of the outermost first."""
        found, levels = [], self.each
        while isinstance(levels[0], Lookahead):
            found.append(self.setup.merged([level.phi for level in levels]))
            levels = [level.inner for level in levels]
        return found

    def slots(self) -> Any:
        """Return the slots."""
        slots = self.setup.merged([worker.innermost.slots for worker in self.each])
        names = next(iter(slots.values()))
        return {slot: {name: each[slot] for name, each in slots.items()} for slot in names}

    def evaluation(self) -> Any:
        """Return the parameters while they are phi."""
        with self.each[0].slow_weights():
            return self.setup.merged([copy.deepcopy(self.each[0].params)] * len(self.each))

    def snapshot(self) -> Any:
        """Copy the state."""
        return self.optimizer.state_dict()

    def dump(self, snapshot: Any) -> bytes:
        """Write it."""
        return pickle.dumps(snapshot)

    def load(self, state: bytes) -> None:
        """Read it."""
        self.optimizer.load_state_dict(pickle.loads(state))
