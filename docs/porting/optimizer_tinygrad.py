"""Lookahead around any of tinygrad's optimizers.

    optimizer = Lookahead(Adam(get_parameters(model)), k=5, alpha=0.5)

`TinyJit` replays a captured step without Python, so whatever changes between steps is a
tensor.
"""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
from tinygrad import Context, Tensor, dtypes
from tinygrad.nn.optim import SGD, Adam, AdamW, Optimizer

from lookahead_ref.conformance import UnsupportedError

# --- The port. ---


class Lookahead(Optimizer):  # type: ignore[misc]
    """Lookahead around an optimizer, which may be a Lookahead.

    alpha may be a function of the synchronizations.
    """

    def __init__(
        self, inner: Any, k: int = 5, alpha: Any = 0.5, inner_state: str = "maintain"
    ) -> None:
        self.inner, self.k, self.alpha, self.inner_state = inner, k, alpha, inner_state
        self.params, self.buffers = inner.params, inner.buffers
        self.device, self.fused, self.lr = inner.device, inner.fused, inner.lr
        self.phi = [copied(p) for p in self.params]  # LA-1
        self.cycle_step, self.syncs = (
            Tensor.zeros(1, dtype=dtypes.int, device=self.device).contiguous().realize()
            for _ in range(2)
        )
        # Initial values: ones for the powers of Adam's betas, which serve as its count.
        kept = [] if inner_state == "maintain" else self._kept()
        self.anchors = [copied(each) for each in kept]

    @property
    def levels(self) -> list[Any]:
        """This Lookahead and those inside."""
        nested = isinstance(self.inner, Lookahead)
        return [self, *(self.inner.levels if nested else [])]

    def _kept(self) -> list[Any]:
        """Return the tensors that a synchronization changes; never the learning rate."""
        innermost = self.levels[-1].inner
        slots = [s for n in ("b", "m", "v") for s in getattr(innermost, n, [])]
        powers = [getattr(innermost, n, None) for n in ("b1_t", "b2_t")]
        counts = [power for power in powers if power is not None]
        return slots + counts * (self.inner_state == "reset")

    def step(self) -> None:
        """Do an inner step and, every k of them, synchronize (LA-3, LA-4)."""
        self.inner.step()
        Tensor.realize(*self._synchronize())

    def _synchronize(self) -> list[Any]:
        due = self.cycle_step + 1 == self.k
        alpha = self.alpha(self.syncs) if callable(self.alpha) else self.alpha
        # A replay cannot branch. Read everything before writing anything.
        written: list[tuple[Any, Any]] = [(self.syncs, self.syncs + 1)]
        phis = zip(*(each.phi for each in self.levels), strict=True)
        for p, (phi, *below) in zip(self.params, phis, strict=True):
            moved = phi + alpha * (p.detach() - phi)  # LA-5
            written += [(to, moved) for to in (phi, p, *below)]  # LA-7, LA-19
        new = kept = self._kept()
        if self.inner_state == "reset":  # LA-12, LA-15
            new = self.anchors
            zero = Tensor.zeros(1, dtype=dtypes.int, device=self.device)
            written += [(each.cycle_step, zero) for each in self.levels[1:]]  # LA-21
        if self.inner_state == "interpolate":  # LA-13
            new = [a + alpha * (s - a) for s, a in zip(kept, self.anchors, strict=True)]
        written += zip(kept, new, strict=True)
        for each in self.levels:
            if each.inner_state == "interpolate":  # LA-20; the counts come last
                written += zip(each.anchors, new, strict=False)
        values = [due.where(value, to.detach()) for to, value in written]
        written.append((self.cycle_step, None))
        values.append(due.where(0, self.cycle_step + 1))
        both = zip(written, values, strict=True)
        values = [value.cast(to.dtype).contiguous() for (to, _), value in both]
        Tensor.realize(*values)
        return [to.assign(value) for (to, _), value in zip(written, values, strict=True)]

    @contextmanager
    def slow_weights(self) -> Iterator[None]:
        """Put phi into the parameters for a while (LA-9, LA-10)."""
        fast = [copied(p) for p in self.params]
        try:
            Tensor.realize(
                *[p.assign(s) for p, s in zip(self.params, self.phi, strict=True)]
            )
            yield
        finally:
            Tensor.realize(*[p.assign(f) for p, f in zip(self.params, fast, strict=True)])


def copied(tensor: Any) -> Any:
    """Copy a tensor into a buffer of its own."""
    return Tensor(tensor.numpy().copy(), device=tensor.device).realize()


# --- The adapter for the golden suite. ---


class Adapter:
    """``lookahead-ref conform optimizer_tinygrad.py:Adapter --level gpu``."""

    def start(self, setup: Any) -> None:
        """Make new parameters and a new optimizer."""
        if setup.dtype == "float64":
            raise UnsupportedError("tinygrad's learning rate and slots are float32")
        if any(array.ndim == 0 for array in setup.params.values()):
            raise UnsupportedError("tinygrad's learning rate has a dimension")
        self.setup, self.clock = setup, 0
        self.params = {name: Tensor(array) for name, array in setup.params.items()}
        self.optimizer: Any = make(setup.inner, list(self.params.values()))
        for level in reversed(setup.levels):
            alpha = table(level.alpha)
            self.optimizer = Lookahead(self.optimizer, level.k, alpha, level.inner_state)

    def step(self, gradients: Any) -> None:
        """Do one step, at the rate of the caller's clock (LA-14)."""
        if any(g is None for g in gradients.values()):
            raise UnsupportedError("tinygrad's optimizers want all gradients")
        for name, param in self.params.items():
            param.grad = Tensor(gradients[name])
        rate = np.asarray([self.setup.inner.learning_rate_at(self.clock)], np.float32)
        self.optimizer.lr.assign(Tensor(rate)).realize()
        self.clock += 1
        with Context(TRAINING=1):
            self.optimizer.step()

    def _named(self, tensors: Any) -> Any:
        arrays = [tensor.numpy().copy() for tensor in tensors]
        return dict(zip(self.params, arrays, strict=True))

    def fast(self) -> Any:
        """Return the parameters."""
        return self._named(self.params.values())

    def slow(self) -> Any:
        """Return phi, of the outermost first."""
        return [self._named(level.phi) for level in self.optimizer.levels]

    def slots(self) -> Any:
        """Return the slots."""
        inner, names = self.optimizer.levels[-1].inner, {"b": "velocity"}
        if self.setup.inner.rule == "adam":
            names = {"m": "first_moment", "v": "second_moment"}
        return {
            ours: self._named(getattr(inner, theirs))
            for theirs, ours in names.items()
            if getattr(inner, theirs)
        }

    def evaluation(self) -> Any:
        """Return the parameters while they are phi."""
        with self.optimizer.slow_weights():
            return self.fast()

    def _held(self) -> list[Any]:
        levels = self.optimizer.levels
        inner, names = levels[-1].inner, ("b", "m", "v")
        slots = [s for name in names for s in getattr(inner, name, [])]
        powers = [getattr(inner, n) for n in ("b1_t", "b2_t") if hasattr(inner, n)]
        kept = [[*each.phi, *each.anchors, each.cycle_step, each.syncs] for each in levels]
        return [*self.params.values(), *chain(*kept), *slots, *powers]

    def snapshot(self) -> Any:
        """Copy all tensors."""
        return [tensor.numpy().copy() for tensor in self._held()], self.clock

    def dump(self, snapshot: Any) -> bytes:
        """Write it."""
        return pickle.dumps(snapshot)

    def load(self, state: bytes) -> None:
        """Read it."""
        arrays, self.clock = pickle.loads(state)
        for tensor, array in zip(self._held(), arrays, strict=True):
            tensor.assign(Tensor(array)).realize()


def table(values: Any) -> Any:
    """Return a schedule that repeats its last value."""
    held = Tensor(np.asarray(values, np.float32))
    return lambda clock: held[clock.minimum(len(values) - 1)]


def make(inner: Any, params: list[Any]) -> Any:
    """Make tinygrad's optimizer for a case."""
    h, kind = dict(inner.hyperparameters), inner.weight_decay_kind
    decay = h.pop("weight_decay", 0.0)
    if inner.rule == "adagrad":
        raise UnsupportedError("tinygrad has no AdaGrad")
    if inner.rule == "adam":
        if kind == "l2":
            raise UnsupportedError("tinygrad has no L2 weight decay for Adam")
        betas = {"b1": h["beta1"], "b2": h["beta2"], "eps": h["epsilon"]}
        if kind == "none":
            return Adam(params, 1.0, **betas)
        return AdamW(params, 1.0, weight_decay=decay, **betas)
    if kind == "decoupled":
        raise UnsupportedError("tinygrad's SGD has no decoupled weight decay")
    nesterov, momentum = inner.rule == "nesterov", h.get("momentum", 0.0)
    return SGD(params, 1.0, momentum, weight_decay=decay, nesterov=nesterov)
