"""Lookahead as an optimizer of PyTorch around any of PyTorch's optimizers.

    optimizer = Lookahead(torch.optim.AdamW(model.parameters(), lr=1e-3), k=5, alpha=0.5)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30)

It shares the inner optimizer's groups and slots, so that a scheduler, a loss scaler or a
logger reads and writes what the inner step uses.
"""

import copy
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from lookahead_ref.conformance.adapters.pytorch import inner_optimizer

# --- The port. ---


class Lookahead(torch.optim.Optimizer):
    """Lookahead around an optimizer, which may be a Lookahead.

    Parameters
    ----------
    inner : Optimizer
        The inner optimizer, which has the parameters.
    k : int
        The synchronization period, in calls of `step`.
    alpha : float or callable
        The step size of the slow weights, or a function of the synchronizations done.
    inner_state : {"maintain", "reset", "interpolate"}
        What a synchronization does to the tensors that the inner optimizer keeps.
    """

    def __init__(
        self,
        inner: Any,
        k: int = 5,
        alpha: float | Callable[[int], float] = 0.5,
        inner_state: str = "maintain",
    ) -> None:
        if k < 1 or not (callable(alpha) or 0 < alpha <= 1):  # LA-26
            raise ValueError(f"k must be >= 1 and alpha in (0, 1], got {k} and {alpha}")
        # Not PyTorch's own `__init__`, which makes new groups: after loading, the wrapper's
        # would differ from the inner optimizer's, and a scheduler's rates would be lost.
        # This makes the hooks, and wraps `step` to call them.
        self.__setstate__({"inner": inner, "k": k, "inner_state": inner_state})
        self.alpha = alpha
        self.cycle_step = self.syncs = 0
        # Now, not at the first step: phi_0 = theta_0 (LA-1). Cloned: the parameters change
        # in place. A tensor shared by two layers is there once.
        self.phi = {p: p.detach().clone() for p in self._params()}
        self.anchor: dict[Any, dict[str, Any]] = {}  # missing slots are zero

    def __getstate__(self) -> dict[str, Any]:
        """Pickle and copy all but the hooks; PyTorch's method would omit phi."""
        own = ("inner", "k", "inner_state", "alpha", "cycle_step", "syncs", "phi", "anchor")
        return {name: getattr(self, name) for name in own}

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups, which schedulers, scalers and loggers read and change."""
        groups: list[dict[str, Any]] = self.inner.param_groups
        return groups

    @property
    def state(self) -> Any:
        """The slots."""
        return self.inner.state

    @property
    def defaults(self) -> Any:
        """The defaults of a new group."""
        return self.inner.defaults

    def _params(self) -> Iterator[Any]:
        for group in self.param_groups:
            yield from group["params"]

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters in mid-run: their phi starts here (LA-34)."""
        self.inner.add_param_group(group)
        for p in self._params():
            self.phi.setdefault(p, p.detach().clone())

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do an inner step and, every k of them, synchronize (LA-3, LA-4)."""
        loss = self.inner.step(closure)  # it alone calls the closure, perhaps often
        self._count()
        return loss

    @torch.compiler.disable  # tracing would freeze the branch that was taken
    def _count(self) -> None:
        self.cycle_step += 1
        if self.cycle_step == self.k:
            self._synchronize()

    @torch.no_grad()
    def _synchronize(self) -> None:
        alpha = self.alpha(self.syncs) if callable(self.alpha) else self.alpha
        for p in self._params():
            phi = self.phi[p]
            # phi + alpha (theta - phi): a frozen weight stays where it is, to the bit.
            phi.add_(p - phi, alpha=alpha)  # LA-5
            p.copy_(phi)  # LA-7
        for p, slots in self.state.items():
            for name, slot in slots.items():
                if not torch.is_tensor(slot):
                    continue
                # Adam's count is a tensor too, `step`: reset with the others, never
                # interpolated. Zeroed in place: AdaGrad makes its sum in the constructor,
                # and would not find it again if the state were cleared.
                if self.inner_state == "reset":  # LA-12, LA-15
                    slot.zero_()
                elif self.inner_state == "interpolate" and name != "step":  # LA-13
                    start = self.anchor.get(p, {}).get(name)
                    start = torch.zeros_like(slot) if start is None else start
                    slot.copy_(start + alpha * (slot - start))
        self.syncs += 1
        self.cycle_step = 0
        level = self
        while isinstance(level, Lookahead):  # LA-19 to LA-21
            level._follow(self.phi, reset=self.inner_state == "reset")
            level = level.inner

    def _follow(self, phi: Any, *, reset: bool) -> None:
        for p, slow in phi.items():
            self.phi.setdefault(p, slow.clone()).copy_(slow)
        if reset:
            self.cycle_step = 0
        if self.inner_state == "interpolate":
            self.anchor = {
                p: {n: s.clone() for n, s in slots.items() if torch.is_tensor(s)}
                for p, slots in self.state.items()
            }

    @contextmanager
    @torch.no_grad()
    def slow_weights(self) -> Iterator[None]:
        """Evaluate and save in this context: the parameters are phi (LA-9, LA-10)."""
        fast = {p: p.clone() for p in self.phi}
        try:
            for p, phi in self.phi.items():
                p.copy_(phi)
            yield
        finally:
            for p, theta in fast.items():
                p.copy_(theta)

    def state_dict(self) -> dict[str, Any]:
        """Copy the state: the inner optimizer's and one more entry (LA-22, LA-23)."""
        saved = copy.deepcopy(self.inner.state_dict())
        params = list(self._params())
        own = {
            "phi": [self.phi[p] for p in params],  # by the places of the parameters
            "anchor": [self.anchor.get(p, {}) for p in params],
            "cycle_step": self.cycle_step,
            "syncs": self.syncs,
            "inner": saved.get("lookahead"),  # of a Lookahead inside
        }
        return {**saved, "lookahead": copy.deepcopy(own)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore the state (LA-24); the parameters are loaded by the model."""
        saved = copy.deepcopy(saved)
        own = saved["lookahead"]
        self.inner.load_state_dict({**saved, "lookahead": own["inner"]})
        params = list(self._params())
        self.phi = {p: phi.to(p) for p, phi in zip(params, own["phi"], strict=True)}
        self.anchor = {  # as PyTorch moves the slots to the parameters' device and dtype
            p: {name: start.to(self.state[p][name]) for name, start in kept.items()}
            for p, kept in zip(params, own["anchor"], strict=True)
        }
        self.cycle_step, self.syncs = own["cycle_step"], own["syncs"]


# --- The adapter for the golden suite. ---

SLOTS = {
    "momentum_buffer": "velocity",
    "sum": "sum_of_squares",
    "exp_avg": "first_moment",
    "exp_avg_sq": "second_moment",
}


class Adapter:
    """``lookahead-ref conform wrapper_pytorch.py:Adapter``."""

    def start(self, setup: Any) -> None:
        """Make new parameters and a new optimizer."""
        self.rates, self.clock = setup.inner.learning_rate, 0
        self.params = {
            name: torch.nn.Parameter(torch.tensor(array))
            for name, array in setup.params.items()
        }
        self.inner = optimizer = inner_optimizer(setup.inner, list(self.params.values()))
        for level in reversed(setup.levels):
            alpha = level.alpha
            optimizer = Lookahead(
                optimizer,
                level.k,
                lambda syncs, a=alpha: a[min(syncs, len(a) - 1)],
                level.inner_state,
            )
        self.optimizer: Any = optimizer

    def step(self, gradients: Any) -> None:
        """Do one step, at the rate that a scheduler would have set (LA-14)."""
        for name, param in self.params.items():
            found = gradients[name]
            param.grad = None if found is None else torch.tensor(found)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rates[min(self.clock, len(self.rates) - 1)]
        self.clock += 1
        self.optimizer.step()

    def fast(self) -> Any:
        """Return the parameters."""
        return {name: array(param) for name, param in self.params.items()}

    def slow(self) -> Any:
        """Return phi, of the outermost first."""
        found, level = [], self.optimizer
        while isinstance(level, Lookahead):
            found.append({name: array(level.phi[p]) for name, p in self.params.items()})
            level = level.inner
        return found

    def slots(self) -> Any:
        """Return the slots that every parameter has."""
        states = {name: self.inner.state.get(p, {}) for name, p in self.params.items()}
        return {
            ours: {name: array(state[theirs]) for name, state in states.items()}
            for theirs, ours in SLOTS.items()
            if all(state.get(theirs) is not None for state in states.values())
        }

    def evaluation(self) -> Any:
        """Return the parameters while they are phi."""
        with self.optimizer.slow_weights():
            return self.fast()

    def snapshot(self) -> Any:
        """Copy the state."""
        params = {name: p.detach().clone() for name, p in self.params.items()}
        return params, self.optimizer.state_dict(), self.clock

    def dump(self, snapshot: Any) -> bytes:
        """Write it."""
        buffer = io.BytesIO()
        torch.save(snapshot, buffer)
        return buffer.getvalue()

    def load(self, state: bytes) -> None:
        """Read it."""
        params, saved, self.clock = torch.load(io.BytesIO(state), weights_only=True)
        with torch.no_grad():
            for name, param in self.params.items():
                param.copy_(params[name])
        self.optimizer.load_state_dict(saved)


def array(tensor: Any) -> Any:
    """Copy a tensor out."""
    return tensor.detach().numpy().copy()
