"""Lookahead around any of MLX's optimizers.

    optimizer = Lookahead(optim.Adam(1e-3), k=5, alpha=0.5)
    optimizer.init(model.trainable_parameters())
    state = [model.state, optimizer.state]
    step = mx.compile(step, inputs=state, outputs=state)

Whatever changes between steps is an array in `state`: a Python number would be a constant
for `mx.compile`.
"""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_map, tree_merge

from lookahead_ref.conformance import UnsupportedError

# --- The port. ---

COUNTS = ("step", "learning_rate")  # beside the slots, in an optimizer's state


class Lookahead(optim.Optimizer):  # type: ignore[misc]
    """Lookahead around an optimizer, which may be a Lookahead."""

    def __init__(
        self, inner: Any, k: int = 5, alpha: Any = 0.5, inner_state: str = "maintain"
    ) -> None:
        super().__init__()
        self.inner, self.k, self.alpha, self.inner_state = inner, k, alpha, inner_state
        # Bias correction and schedule both read `step`, which all parameters share. A reset
        # sets it back, so that the schedule must read this wrapper's (LA-14).
        schedule = inner._schedulers.pop("learning_rate", inner.learning_rate)
        self._maybe_schedule("learning_rate", schedule)

    def init(self, parameters: Any) -> None:
        """Make phi from the parameters, and all missing state (LA-1)."""
        self.inner.init(parameters)
        self.state["inner"] = self.inner.state
        self.state.setdefault("phi", tree_map(mx.array, parameters))
        if self.inner_state == "interpolate":
            self.state.setdefault("anchor", tree_map(mx.array, self._slots()))
        self.state.setdefault("cycle_step", mx.array(0))
        self.state.setdefault("syncs", mx.array(0))
        self._initialized = True

    @property
    def innermost(self) -> Any:
        """The innermost optimizer."""
        return self.inner.innermost if isinstance(self.inner, Lookahead) else self.inner

    def _slots(self) -> dict[str, Any]:
        state = self.innermost.state
        return {name: each for name, each in state.items() if name not in COUNTS}

    def apply_gradients(self, gradients: Any, parameters: Any) -> Any:
        """Return the parameters after an inner step and, every k, a synchronization."""
        if not self._initialized:  # of the parameters: MLX's own gives the gradients
            self.init(tree_map(lambda _, p: p, gradients, parameters))
        for name, schedule in self._schedulers.items():
            self.state[name] = schedule(self.step)
        self.state["step"] = self.step + 1
        self.inner.state["learning_rate"] = self.learning_rate
        fast = tree_map(lambda _, p: p, self.state["phi"], parameters)
        changed = self.inner.apply_gradients(gradients, parameters)
        fast = tree_merge(fast, changed, lambda _, new: new)

        due = self.state["cycle_step"] + 1 == self.k  # LA-3
        alpha = self.alpha(self.state["syncs"]) if callable(self.alpha) else self.alpha

        def moved(slow: Any, fast: Any) -> Any:  # phi is narrow where its parameter is
            return slow + mx.array(alpha, slow.dtype) * (fast - slow)

        def choose(new: Any, old: Any) -> Any:  # a trace could not follow a branch
            return tree_map(lambda a, b: mx.where(due, a, b), new, old)

        phi = choose(tree_map(moved, self.state["phi"], fast), self.state["phi"])  # LA-5
        fast = choose(phi, fast)  # LA-7
        if self.inner_state == "reset":  # LA-12, LA-15: all of MLX's slots start at zero
            zeros = tree_map(mx.zeros_like, self._slots())
            self.innermost.state |= choose(zeros, self._slots())
            self.innermost.state["step"] = mx.where(due, 0, self.innermost.step)
        if self.inner_state == "interpolate":  # LA-13
            slots = tree_map(moved, self.state["anchor"], self._slots())
            self.innermost.state |= choose(slots, self._slots())
        self.state["cycle_step"] = self.state["cycle_step"] + 1
        self.state["syncs"] = self.state["syncs"] + due
        level, begins = self, True
        while isinstance(level, Lookahead):  # this one and those inside: LA-19 to LA-21
            state = level.state
            state["phi"] = choose(phi, state["phi"])
            if level.inner_state == "interpolate":
                state["anchor"] = choose(self._slots(), state["anchor"])
            if begins:
                state["cycle_step"] = mx.where(due, 0, state["cycle_step"])
            level, begins = level.inner, self.inner_state == "reset"
        return fast

    @property
    def state(self) -> dict[str, Any]:
        """Everything to save, and to give to `mx.compile` (LA-22)."""
        return self._state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._state, self.inner.state = state, state["inner"]
        self._initialized = True

    @contextmanager
    def slow_weights(self, model: Any) -> Iterator[None]:
        """Put phi into a model for a while (LA-9, LA-10)."""
        fast = model.trainable_parameters()
        model.update(self.state["phi"])
        try:
            yield
        finally:
            model.update(fast)


# --- The adapter for the golden suite. ---

SLOTS = {
    "heavy-ball": {"v": "velocity"},
    "nesterov": {"v": "velocity"},
    "adagrad": {"v": "sum_of_squares"},
    "adam": {"m": "first_moment", "v": "second_moment"},
}


class Adapter:
    """``lookahead-ref conform optimizer_mlx.py:Adapter --level gpu``."""

    def start(self, setup: Any) -> None:
        """Make new parameters and a new optimizer."""
        mx.set_default_device(mx.cpu)  # only the CPU has float64
        self.dtype, self.rule = getattr(mx, setup.dtype), setup.inner.rule
        self.params = {name: self._array(x) for name, x in setup.params.items()}
        self.optimizer: Any = make(setup.inner, setup.dtype)
        # MLX would turn a float into a float32 array.
        rate = self._table(setup.inner.learning_rate)
        self.optimizer._schedulers["learning_rate"] = rate
        for level in reversed(setup.levels):
            alpha = self._table(level.alpha)
            self.optimizer = Lookahead(self.optimizer, level.k, alpha, level.inner_state)
        self.optimizer.init(self.params)

    def _array(self, values: Any) -> Any:
        return mx.array(np.asarray(values), self.dtype)

    def _table(self, values: Any) -> Any:
        values = self._array(values)
        return lambda clock: values[mx.minimum(clock, len(values) - 1)]

    def step(self, gradients: Any) -> None:
        """Do one step; a parameter without a gradient is not in the tree."""
        found = {name: self._array(g) for name, g in gradients.items() if g is not None}
        self.params = self.optimizer.apply_gradients(found, self.params)
        mx.eval(self.params, self.optimizer.state)

    def fast(self) -> Any:
        """Return the parameters."""
        return {name: np.array(x) for name, x in self.params.items()}

    def slow(self) -> Any:
        """Return phi, of the outermost first."""
        found, level = [], self.optimizer
        while isinstance(level, Lookahead):
            found.append({name: np.array(x) for name, x in level.state["phi"].items()})
            level = level.inner
        return found

    def slots(self) -> Any:
        """Return the slots; without momentum MLX keeps none."""
        slots = self.optimizer.innermost.state
        if getattr(self.optimizer.innermost, "momentum", 1.0) == 0:
            return {}
        return {
            ours: {name: np.array(slots[name][theirs]) for name in self.params}
            for theirs, ours in SLOTS.get(self.rule, {}).items()
        }

    def evaluation(self) -> Any:
        """Return phi."""
        return self.slow()[0]

    def snapshot(self) -> Any:
        """Copy all arrays."""
        return tree_map(np.array, (self.params, self.optimizer.state))

    def dump(self, snapshot: Any) -> bytes:
        """Write it."""
        return pickle.dumps(snapshot)

    def load(self, state: bytes) -> None:
        """Read it."""

        def read(x: Any) -> Any:
            return mx.array(x, getattr(mx, str(x.dtype)))

        self.params, self.optimizer.state = tree_map(read, pickle.loads(state))


def make(inner: Any, dtype: str) -> Any:
    """Make MLX's optimizer for a case."""
    h, kind = dict(inner.hyperparameters), inner.weight_decay_kind
    decay = h.pop("weight_decay", 0.0)
    if inner.rule == "adam":
        if dtype == "float64":
            raise UnsupportedError("MLX computes the bias correction in float32")
        if kind == "l2":
            raise UnsupportedError("MLX has no L2 weight decay for Adam")
        options = {"betas": [h["beta1"], h["beta2"]], "eps": h["epsilon"]}
        rule = optim.Adam if kind == "none" else optim.AdamW
        options |= {} if kind == "none" else {"weight_decay": decay}
        return rule(0.0, bias_correction=True, **options)  # by default there is none
    if kind == "decoupled" or (decay and inner.rule == "adagrad"):
        raise UnsupportedError(f"MLX has no such weight decay for {inner.rule}")
    if inner.rule == "adagrad":
        return optim.Adagrad(0.0, eps=h["epsilon"])
    momentum, nesterov = h.get("momentum", 0.0), inner.rule == "nesterov"
    if nesterov and not momentum:
        raise UnsupportedError("MLX's Nesterov momentum must be above 0")
    return optim.SGD(0.0, momentum=momentum, weight_decay=decay, nesterov=nesterov)
