"""Lookahead in an estimator with `partial_fit`, as scikit-learn's are: plain NumPy.

    model = LookaheadRegressor(momentum=0.9, k=5, alpha=0.5)
    for x, y in batches:
        model.partial_fit(x, y)
    model.predict(x)  # with the slow weights

The fitted attributes, `coef_` and `intercept_`, are phi, as users predict with them,
inspect and pickle them. The fast weights are in `fast_`.
"""

import inspect
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
from inner_rules import at, update, zeros

from lookahead_ref.conformance import UnsupportedError

# --- The port. ---


class Lookahead:
    """An optimizer of named arrays in place, like scikit-learn's own."""

    def __init__(
        self, inner: Any, k: int, alpha: Any, inner_state: str = "maintain"
    ) -> None:
        self.inner, self.k, self.alpha, self.inner_state = inner, k, alpha, inner_state
        self.cycle_step = self.syncs = self.clock = 0

    def start(self, params: dict[str, Any]) -> None:
        """Copy phi of the parameters, which change in place (LA-1)."""
        self.fast = params
        self.phi = {name: theta.copy() for name, theta in params.items()}
        self.slots = {name: zeros(self.inner.rule, x) for name, x in params.items()}
        self.anchors = {name: dict(slots) for name, slots in self.slots.items()}
        self.count = dict.fromkeys(params, 0)

    def update_params(self, gradients: dict[str, Any]) -> None:
        """Do an inner step and, every k of them, synchronize (LA-3, LA-4)."""
        rate = at(self.inner.learning_rate, self.clock)
        for name, g in gradients.items():
            if g is not None:
                self.count[name] += 1
                theta, slots = self.fast[name], self.slots[name]
                theta -= update(self.inner, theta, g, slots, self.count[name], rate)
        self.clock += 1  # of the schedule: never reset (LA-14)
        self.cycle_step += 1
        if self.cycle_step == self.k:
            self._synchronize(self.alpha(self.syncs))

    def _synchronize(self, alpha: float) -> None:
        for name, phi in self.phi.items():
            phi += alpha * (self.fast[name] - phi)  # LA-5
            self.fast[name][...] = phi  # LA-7
            slots = self.slots[name]
            if self.inner_state == "reset":  # LA-12, LA-15
                slots.update(zeros(self.inner.rule, phi))
                self.count[name] = 0
            elif self.inner_state == "interpolate":  # LA-13
                for slot, start in self.anchors[name].items():
                    slots[slot] = start + alpha * (slots[slot] - start)
                self.anchors[name] = dict(slots)  # the rules make new arrays
        self.syncs += 1
        self.cycle_step = 0


class LookaheadRegressor:
    """Linear regression on batches; each call of `partial_fit` is a step."""

    def __init__(
        self,
        rate: float = 0.1,
        momentum: float = 0.9,
        k: int = 5,
        alpha: float = 0.5,
        batch: int = 32,
        epochs: int = 20,
    ) -> None:
        # Only stored, unchanged, as `clone` requires.
        self.rate, self.momentum, self.k, self.alpha = rate, momentum, k, alpha
        self.batch, self.epochs = batch, epochs

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the constructor's arguments."""
        return {
            name: getattr(self, name) for name in inspect.signature(type(self)).parameters
        }

    def set_params(self, **params: Any) -> "LookaheadRegressor":
        """Set arguments; they take effect at the next `fit`."""
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def fit(self, x: Any, y: Any) -> "LookaheadRegressor":
        """Train from scratch, for all epochs."""
        vars(self).pop("lookahead_", None)
        random = np.random.default_rng(0)
        for _ in range(self.epochs):
            order = random.permutation(len(x))
            for first in range(0, len(x), self.batch):
                rows = order[first : first + self.batch]
                self.partial_fit(x[rows], y[rows])
        return self

    def partial_fit(self, x: Any, y: Any) -> "LookaheadRegressor":
        """Take a step on a batch."""
        if not hasattr(self, "lookahead_"):
            h = {"momentum": self.momentum}
            inner = SimpleNamespace(
                rule="heavy-ball", hyperparameters=h, weight_decay_kind="none"
            )
            inner.learning_rate = (self.rate,)
            alpha = (self.alpha,)
            self.lookahead_ = Lookahead(inner, self.k, Table(alpha))
            self.fast_ = {"coef": np.zeros(x.shape[1]), "intercept": np.zeros(1)}
            self.lookahead_.start(self.fast_)
        # The gradient is taken at the fast weights (LA-2).
        residual = x @ self.fast_["coef"] + self.fast_["intercept"] - y
        gradients = {
            "coef": x.T @ residual / len(x),
            "intercept": residual.mean(keepdims=True),
        }
        self.lookahead_.update_params(gradients)
        phi = self.lookahead_.phi  # LA-9; copied, as users may write to the attributes
        self.coef_, self.intercept_ = phi["coef"].copy(), phi["intercept"].copy()
        return self

    def predict(self, x: Any) -> Any:
        """Predict with the slow weights."""
        return x @ self.coef_ + self.intercept_


class Table:
    """A schedule that can be pickled; its last value repeats."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __call__(self, clock: int) -> float:
        """Return the value at a count."""
        return at(self.values, clock)


# --- The adapter for the golden suite. ---


class Adapter:
    """``lookahead-ref conform partial_fit_numpy.py:Adapter``."""

    def start(self, setup: Any) -> None:
        """Make new parameters and a new optimizer."""
        if len(setup.levels) > 1:
            raise UnsupportedError("nesting is not offered")
        (level,) = setup.levels
        self.params = {name: x.copy() for name, x in setup.params.items()}
        self.optimizer = Lookahead(
            setup.inner, level.k, Table(level.alpha), level.inner_state
        )
        self.optimizer.start(self.params)

    def step(self, gradients: Any) -> None:
        """Do one step."""
        self.optimizer.update_params(gradients)

    def fast(self) -> Any:
        """Return the parameters."""
        return self.params

    def slow(self) -> Any:
        """Return phi."""
        return [self.optimizer.phi]

    def slots(self) -> Any:
        """Return the slots."""
        slots = self.optimizer.slots
        first = next(iter(slots.values()))
        return {slot: {name: each[slot] for name, each in slots.items()} for slot in first}

    def evaluation(self) -> Any:
        """Return phi."""
        return self.optimizer.phi

    def snapshot(self) -> bytes:
        """Pickle the optimizer, as users pickle whole estimators (LA-22)."""
        return pickle.dumps(self.optimizer)

    def dump(self, snapshot: bytes) -> bytes:
        """Return the bytes."""
        return snapshot

    def load(self, state: bytes) -> None:
        """Restore the optimizer."""
        self.optimizer = pickle.loads(state)
        self.params = self.optimizer.fast
