"""A Lookahead in the style of the libraries: arrays in place, state in dicts, by hand.

It shares no code with the library or the oracle, and is right; `form` and `fused` choose
among correct ways to compute.
"""

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lookahead_ref.conformance import Setup

Arrays = dict[str, np.ndarray[Any, Any]]


def copied(arrays: Arrays) -> Arrays:
    return {name: array.copy() for name, array in arrays.items()}


class Level:
    """One Lookahead."""

    def __init__(self, port: "Port", setup: Setup, level: Any) -> None:
        self.port, self.k, self.state = port, level.k, level.inner_state
        self.alphas = level.alpha
        self.steps = 0
        self.syncs = 0
        self.phi = copied(port.p)
        self.keep_anchor()
        self.outer = None
        if level.outer:
            self.alphas = [min(rate, 1.0) for rate in level.outer.learning_rate]
            self.outer = type(port)()
            self.outer.start(replace(setup, params=self.phi, levels=(), inner=level.outer))

    def blend(self, slow: Any, fast: Any) -> tuple[Any, Any]:
        alpha = self.alphas[min(self.syncs, len(self.alphas) - 1)]
        return self.port.blend(slow, fast, slow.dtype.type(alpha))

    def after_step(self) -> bool:
        """Return whether the step ends in a synchronization."""
        self.steps += 1
        if self.steps % self.k:
            return False
        if self.outer:
            self.outer.p = self.phi
            self.outer.update({n: self.phi[n] - theta for n, theta in self.port.p.items()})
        for name, theta in self.port.p.items():
            if self.outer:
                theta[...] = self.phi[name]
            else:
                self.phi[name][...], theta[...] = self.blend(self.phi[name], theta)
        if self.state == "reset":
            for slot in self.port.arrays.values():
                for array in slot.values():
                    array[...] = 0
            self.port.count = dict.fromkeys(self.port.count, 0)
        if self.state == "interpolate":
            for slot, arrays in self.port.arrays.items():
                for name, array in arrays.items():
                    array[...] = self.blend(self.anchor[slot][name], array)[0]
        self.keep_anchor()
        self.syncs += 1
        return True

    def keep_anchor(self) -> None:
        self.anchor = {slot: copied(arrays) for slot, arrays in self.port.arrays.items()}

    def follow(self, reset: bool) -> None:
        self.phi = copied(self.port.p)
        self.keep_anchor()
        if reset:
            self.steps = 0
        if reset and self.outer:
            self.outer.count = dict.fromkeys(self.outer.count, 0)
            for slot in self.outer.arrays.values():
                for array in slot.values():
                    array[...] = 0


class Port:
    """Lookahead around an inner optimizer."""

    offers = ("outer",)
    form = "paper"
    fused = False

    def start(self, setup: Setup) -> None:
        self.setup, self.inner = setup, setup.inner
        self.p: Arrays = copied(setup.params)
        names = {
            "sgd": (),
            "heavy-ball": ("velocity",),
            "nesterov": ("velocity",),
            "adagrad": ("sum_of_squares",),
            "adam": ("first_moment", "second_moment"),
        }[setup.inner.rule]
        self.arrays = {
            name: {key: np.zeros_like(a) for key, a in self.p.items()} for name in names
        }
        self.count = dict.fromkeys(self.p, 0)
        self.clock = 0
        self.levels = [Level(self, setup, each) for each in setup.levels[::-1]]

    def h(self, name: str) -> Any:
        return np.dtype(self.setup.dtype).type(self.inner.hyperparameters[name])

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Return a b + c, rounded once (almost) where fused."""
        dtype = np.dtype(self.setup.dtype)
        if not self.fused:
            return a * b + c
        wide = np.float64 if dtype == np.float32 else np.longdouble
        return (wide(a) * wide(b) + wide(c)).astype(dtype)

    def blend(self, slow: Any, fast: Any, alpha: Any) -> tuple[Any, Any]:
        """Return the new slow and the new fast values."""
        one = slow.dtype.type(1)
        if self.form == "convex":
            both = self.multiply_add(one - alpha, slow, alpha * fast)
            return both, both
        new = self.multiply_add(alpha, fast - slow, slow)
        return new, fast + (new - fast) if self.form == "delta" else new

    def step(self, gradients: Mapping[str, Any]) -> None:
        with np.errstate(all="ignore"):
            self.update(gradients)
            self.after_update()

    def update(self, gradients: Mapping[str, Any]) -> None:
        table = self.inner.learning_rate
        gamma = np.dtype(self.setup.dtype).type(table[min(self.clock, len(table) - 1)])
        self.clock += 1
        for name, theta in self.p.items():
            g = gradients[name]
            if g is None:
                continue
            self.count[name] += 1
            decay = self.inner.weight_decay_kind
            if decay == "l2":
                g = self.multiply_add(self.h("weight_decay"), theta, g)
            direction = getattr(self, self.inner.rule.replace("-", "_"))(name, g)
            if decay == "decoupled":
                direction = self.multiply_add(self.h("weight_decay"), theta, direction)
            theta[...] = self.multiply_add(-gamma, direction, theta)

    def sgd(self, name: str, g: Any) -> Any:
        return g

    def heavy_ball(self, name: str, g: Any) -> Any:
        v = self.arrays["velocity"][name]
        v[...] = self.multiply_add(self.h("momentum"), v, g)
        return v

    def nesterov(self, name: str, g: Any) -> Any:
        return self.multiply_add(self.h("momentum"), self.heavy_ball(name, g), g)

    def adagrad(self, name: str, g: Any) -> Any:
        s = self.arrays["sum_of_squares"][name]
        s[...] = self.multiply_add(g, g, s)
        return g / (np.sqrt(s) + self.h("epsilon"))

    def adam(self, name: str, g: Any) -> Any:
        m, v = self.arrays["first_moment"][name], self.arrays["second_moment"][name]
        one = m.dtype.type(1)
        beta1, beta2 = self.h("beta1"), self.h("beta2")
        m[...] = self.multiply_add(beta1, m, (one - beta1) * g)
        v[...] = self.multiply_add(beta2, v, (one - beta2) * (g * g))
        return self.corrected(name, m, v)

    def corrected(self, name: str, m: Any, v: Any) -> Any:
        one, t = m.dtype.type(1), m.dtype.type(self.count[name])
        bias1, bias2 = one - self.h("beta1") ** t, one - self.h("beta2") ** t
        # The order of PyTorch's: a step size, and the root of the correction.
        return m * (one / bias1) / (np.sqrt(v) / np.sqrt(bias2) + self.h("epsilon"))

    def after_update(self) -> None:
        for place, level in enumerate(self.levels):
            if level.after_step():
                for below in self.levels[:place]:
                    below.follow(level.state == "reset")

    def fast(self) -> Arrays:
        return self.p

    def slow(self) -> list[Arrays]:
        return [level.phi for level in self.levels[::-1]]

    def slots(self) -> dict[str, Arrays]:
        return self.arrays

    def evaluation(self) -> Arrays:
        return self.levels[-1].phi

    # The state as a dict of arrays and numbers; copied, as it must be.

    def entries(self) -> dict[str, Any]:
        found: dict[str, Any] = {f"p.{name}": a for name, a in self.p.items()}
        found |= {f"count.{name}": number for name, number in self.count.items()}
        for slot, arrays in self.arrays.items():
            found |= {f"slot.{slot}.{name}": a for name, a in arrays.items()}
        for number, level in enumerate(self.levels):
            found |= {f"phi.{number}.{name}": a for name, a in level.phi.items()}
            for slot, arrays in level.anchor.items():
                found |= {f"anchor.{number}.{slot}.{name}": a for name, a in arrays.items()}
            found |= {f"steps.{number}": level.steps, f"syncs.{number}": level.syncs}
            if level.outer:
                entries = level.outer.entries().items()
                found |= {f"outer.{number}.{name}": value for name, value in entries}
        return found | {"clock": self.clock}

    def snapshot(self) -> Any:
        return {name: np.array(value) for name, value in self.entries().items()}

    def dump(self, snapshot: Any) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, **snapshot)
        return buffer.getvalue()

    def load(self, state: bytes) -> None:
        with np.load(io.BytesIO(state), allow_pickle=False) as archive:
            saved = dict(archive)
        for name, value in self.entries().items():
            if isinstance(value, np.ndarray):
                value[...] = saved[name]
        self.count = {name: int(saved[f"count.{name}"]) for name in self.count}
        self.clock = int(saved["clock"])
        for number, level in enumerate(self.levels):
            level.steps = int(saved[f"steps.{number}"])
            level.syncs = int(saved[f"syncs.{number}"])
            if level.outer:
                counts = {n: int(saved[f"outer.{number}.count.{n}"]) for n in self.count}
                level.outer.count = counts
                level.outer.clock = int(saved[f"outer.{number}.clock"])
