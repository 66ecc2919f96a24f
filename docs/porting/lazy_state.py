"""Lookahead as a rule for one tensor at a time, whose state is made when it is first seen.

The shape of Keras 3 (``update_step``), MLX (``init_single`` and ``apply_single``) and Burn
(``SimpleOptimizer``): the framework walks over the tensors that have a gradient; a rule
gets one gradient, one tensor and the state of that tensor, and returns the tensor anew.
"""

import copy
import pickle
from typing import Any

import numpy as np
from inner_rules import at, update, zeros

# --- The framework's part: a rule, and the loop over tensors. ---


class Inner:
    """An optimizer of the framework."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def init_single(self, param: Any, state: dict[str, Any]) -> None:
        """Make the state of a tensor."""
        state.update(slots=zeros(self.inner.rule, param), count=0)

    def apply_single(self, g: Any, param: Any, state: dict[str, Any], rate: float) -> Any:
        """Update a tensor."""
        state["count"] += 1
        count = state["count"]
        return param - update(self.inner, param, g, state["slots"], count, rate)


def walk(rule: Any, params: Any, gradients: Any, states: Any, rate: float) -> None:
    """Update every tensor that has a gradient."""
    for name, g in gradients.items():
        if g is None:
            continue
        if name not in states:
            states[name] = {}
            rule.init_single(params[name], states[name])  # the tensor, not its gradient
        params[name] = rule.apply_single(g, params[name], states[name], rate)


# --- The port. ---


class Lookahead:
    """Lookahead around a rule, which may be a Lookahead.

    Arrays are never written to, so that none of them needs to be copied.
    """

    def __init__(
        self, inner: Any, k: int = 5, alpha: Any = 0.5, inner_state: str = "maintain"
    ) -> None:
        self.inner, self.k, self.inner_state = inner, k, inner_state
        self.alpha = alpha if callable(alpha) else lambda _: alpha

    def init_single(self, param: Any, state: dict[str, Any]) -> None:
        """Make the state of a tensor before its first update: phi is the tensor (LA-1)."""
        state["inner"] = {}
        self.inner.init_single(param, state["inner"])
        slots = dict(innermost(state)["slots"])
        state.update(phi=param, anchor=slots, cycle_step=0, syncs=0)

    def apply_single(self, g: Any, param: Any, state: dict[str, Any], rate: float) -> Any:
        """Do an inner step and, every k of them, synchronize (LA-3, LA-4)."""
        theta = self.inner.apply_single(g, param, state["inner"], rate)
        state["cycle_step"] += 1
        return self.synchronize(theta, state) if state["cycle_step"] == self.k else theta

    def synchronize(self, theta: Any, state: dict[str, Any]) -> Any:
        """Do the outer update; return the new fast weights, which are phi (LA-7)."""
        alpha = self.alpha(state["syncs"])
        phi = state["phi"] + alpha * (theta - state["phi"])  # LA-5
        last = innermost(state)
        reset = self.inner_state == "reset"
        if reset:  # LA-12, LA-15; the learning rate's clock is not here
            last["slots"] = {name: np.zeros_like(s) for name, s in last["slots"].items()}
            last["count"] = 0
        if self.inner_state == "interpolate":  # LA-13
            for name, start in state["anchor"].items():
                last["slots"][name] = start + alpha * (last["slots"][name] - start)
        state["syncs"] += 1
        state["cycle_step"] = 0
        below = state
        while "inner" in below:  # this level, and every Lookahead below: LA-19 to LA-21
            below.update(phi=phi, anchor=dict(last["slots"]))
            if reset:
                below["cycle_step"] = 0
            below = below["inner"]
        return phi


def innermost(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of the innermost optimizer."""
    while "inner" in state:
        state = state["inner"]
    return state


# --- The adapter for the golden suite. ---


class Adapter:
    """``lookahead-ref conform lazy_state.py:Adapter``."""

    def start(self, setup: Any) -> None:
        """Make new parameters and a new optimizer."""
        self.setup = setup
        rule: Any = Inner(setup.inner)
        for level in reversed(setup.levels):
            alpha = level.alpha
            rule = Lookahead(
                rule, level.k, lambda syncs, a=alpha: at(a, syncs), level.inner_state
            )
        self.rule = rule
        self.params, self.states, self.clock = dict(setup.params), {}, 0

    def step(self, gradients: Any) -> None:
        """Do one step, at the learning rate of the framework's own clock (LA-14)."""
        rate = at(self.setup.inner.learning_rate, self.clock)
        self.clock += 1
        walk(self.rule, self.params, gradients, self.states, rate)

    def fast(self) -> Any:
        """Return the parameters."""
        return self.params

    def slow(self) -> Any:
        """Return phi by level, once every tensor has one."""
        found: list[Any] = []
        states = {name: self.states.get(name) for name in self.params}
        if None in states.values():
            return found
        for _ in self.setup.levels:
            found.append({name: state["phi"] for name, state in states.items()})
            states = {name: state["inner"] for name, state in states.items()}
        return found

    def slots(self) -> Any:
        """Return the slots, once every tensor has them."""
        if self.states.keys() != self.params.keys():
            return {}
        slots = {name: innermost(self.states[name])["slots"] for name in self.params}
        first = next(iter(slots.values()))
        return {slot: {name: each[slot] for name, each in slots.items()} for slot in first}

    def evaluation(self) -> Any:
        """Return phi of the outermost Lookahead (LA-9)."""
        return self.slow()[0]

    def snapshot(self) -> Any:
        """Copy everything that training continues from (LA-22, LA-23)."""
        return copy.deepcopy((self.params, self.states, self.clock))

    def dump(self, snapshot: Any) -> bytes:
        """Write it."""
        return pickle.dumps(snapshot)

    def load(self, state: bytes) -> None:
        """Read it."""
        self.params, self.states, self.clock = pickle.loads(state)
