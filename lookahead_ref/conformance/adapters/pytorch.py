"""The Lookaheads and outer optimizers of packages for PyTorch, as their users use them.

The inner optimizers are PyTorch's own. A checkpoint is the `state_dict` of the optimizer
and of the parameters, deep-copied, as PyTorch's documentation advises, and written by
``torch.save``.
"""

import copy
import importlib.util
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec, patch

import torch
import torch.distributed

from lookahead_ref.conformance.protocol import (
    Array,
    Inner,
    Level,
    Setup,
    Tensors,
    UnsupportedError,
)

_VELOCITY = {"momentum_buffer": "velocity"}
_SLOTS = {
    "sgd": {},
    "heavy-ball": _VELOCITY,
    "nesterov": _VELOCITY,
    "adagrad": {"sum": "sum_of_squares"},
    "adam": {"exp_avg": "first_moment", "exp_avg_sq": "second_moment"},
}


@dataclass
class PyTorch:
    """An adapter for a wrapper, with the differences between wrappers."""

    wrap: Callable[..., Any]
    """Makes it from the inner optimizer and the Lookaheads, the outermost first."""
    slow_of: Callable[[Any, Any, Any], Any]
    """From wrapper, inner optimizer and parameter to its phi, or None."""
    evaluated: Callable[[Any], Any] | None = None
    """A context in which the parameters are the weights to evaluate, if there is one."""
    inner_states: tuple[str, ...] = ("maintain",)
    """How it can treat the inner optimizer's state."""
    offers: tuple[str, ...] = ()
    nesting: bool = False

    def start(self, setup: Setup) -> None:
        setup.only(inner_states=self.inner_states, nesting=self.nesting)
        self._params = {
            name: torch.nn.Parameter(torch.tensor(array))
            for name, array in setup.params.items()
        }
        self._inner = inner_optimizer(setup.inner, list(self._params.values()))
        self._optimizer = self.wrap(self._inner, *setup.levels)
        self._nested = len(setup.levels) > 1
        self._rate = setup.inner.learning_rate_at
        # A wrapper may add keys that nothing reads.
        self._slots = _SLOTS[setup.inner.rule]
        self._steps = 0

    def step(self, gradients: Mapping[str, Array | None]) -> None:
        """Do one step, at the learning rate that a scheduler would have set."""
        for name, param in self._params.items():
            found = gradients[name]
            param.grad = None if found is None else torch.tensor(found)
        # torchft and fairscale wrap a model, so only the inner optimizer has groups.
        for group in getattr(self._optimizer, "param_groups", self._inner.param_groups):
            if "lr" in group:
                group["lr"] = self._rate(self._steps)
            elif self._rate(self._steps) != self._rate(0):
                raise KeyError("lr")  # no scheduler can be made
        self._optimizer.step()
        self._steps += 1

    def fast(self) -> Tensors:
        return {name: _array(param) for name, param in self._params.items()}

    def slow(self) -> Sequence[Tensors]:
        """Return phi, once every parameter has one; none for nested Lookaheads."""
        found = {
            name: self.slow_of(self._optimizer, self._inner, param)
            for name, param in self._params.items()
        }
        if self._nested or any(each is None for each in found.values()):
            return []
        return [{name: _array(each) for name, each in found.items()}]

    def slots(self) -> Mapping[str, Tensors]:
        """Return the inner optimizer's buffers, once every parameter has them."""
        states = {name: self._inner.state.get(p, {}) for name, p in self._params.items()}
        return {
            ours: {name: _array(state[theirs]) for name, state in states.items()}
            for theirs, ours in self._slots.items()
            if all(state.get(theirs) is not None for state in states.values())
        }

    def evaluation(self) -> Tensors:
        """Return the parameters while they are the weights to evaluate."""
        if self.evaluated is None:
            raise UnsupportedError("there is nothing to evaluate the slow weights with")
        with self.evaluated(self._optimizer):
            return self.fast()

    def snapshot(self) -> Any:
        params = {name: param.detach() for name, param in self._params.items()}
        return copy.deepcopy((params, self._optimizer.state_dict(), self._steps))

    def dump(self, snapshot: Any) -> bytes:
        buffer = io.BytesIO()
        torch.save(snapshot, buffer)
        return buffer.getvalue()

    def load(self, state: bytes) -> None:
        # Some of these packages save more than plain tensors.
        params, saved, self._steps = torch.load(io.BytesIO(state), weights_only=False)
        with torch.no_grad():
            for name, param in self._params.items():
                param.copy_(params[name])
        self._optimizer.load_state_dict(saved)


def _array(tensor: Any) -> Array:
    found: Array = tensor.detach().numpy().copy()
    return found


def inner_optimizer(inner: Inner, params: list[Any]) -> Any:
    h = dict(inner.hyperparameters)
    decay = h.get("weight_decay", 0.0)
    decoupled = inner.weight_decay_kind == "decoupled"
    rate = inner.learning_rate[0]
    if inner.rule == "nesterov" and not h["momentum"]:
        raise UnsupportedError("PyTorch's Nesterov momentum must be above 0")
    if inner.rule == "adam":
        kind = torch.optim.AdamW if decoupled else torch.optim.Adam
        betas = (h["beta1"], h["beta2"])
        return kind(params, rate, betas=betas, eps=h["epsilon"], weight_decay=decay)
    if decoupled:
        raise UnsupportedError(f"PyTorch has no decoupled weight decay for {inner.rule}")
    if inner.rule == "adagrad":
        return torch.optim.Adagrad(params, rate, eps=h["epsilon"], weight_decay=decay)
    return torch.optim.SGD(
        params,
        rate,
        momentum=h.get("momentum", 0.0),
        nesterov=inner.rule == "nesterov",
        weight_decay=decay,
    )


_PULLBACK = {"maintain": "none", "reset": "reset", "interpolate": "pullback"}


@contextmanager
def _backed_up(wrapper: Any) -> Iterator[None]:
    wrapper.backup_and_load_cache()
    yield
    wrapper.clear_and_load_backup()


def _kept(name: str) -> Callable[[Any, Any, Any], Any]:
    """Find phi in the wrapper's state of a parameter."""
    return lambda wrapper, _, param: wrapper.state[param].get(name)


def torch_optimizer() -> PyTorch:
    from torch_optimizer import Lookahead

    return PyTorch(
        lambda inner, level: Lookahead(inner, k=level.k, alpha=level.alpha[0]),
        _kept("slow_param"),
    )


def timm() -> PyTorch:
    timm_lookahead = one_file("timm", "optim/lookahead.py").Lookahead

    @contextmanager
    def evaluated(wrapper: Any) -> Iterator[None]:
        # As timm's training script does at the end of each epoch, after its last update.
        wrapper.zero_grad()
        wrapper.sync_lookahead()
        yield

    return PyTorch(
        lambda inner, level: timm_lookahead(inner, k=level.k, alpha=level.alpha[0]),
        lambda _, inner, param: inner.state[param].get("lookahead_slow_buff"),
        evaluated,
    )


def one_file(package: str, path: str) -> Any:
    """Import one module of a package without running the package's own imports."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    place = Path(found.origin).parent / path
    spec: Any = importlib.util.spec_from_file_location(place.stem, place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytorch_optimizer() -> PyTorch:
    from pytorch_optimizer import Lookahead

    def wrap(inner: Any, level: Level) -> Any:
        if level.alpha[0] == 1.0:
            raise UnsupportedError("alpha must be below 1")
        kind = _PULLBACK[level.inner_state]
        return Lookahead(inner, k=level.k, alpha=level.alpha[0], pullback_momentum=kind)

    return PyTorch(wrap, _kept("slow_params"), _backed_up, tuple(_PULLBACK))


def torch2_look_ahead() -> PyTorch:
    """Make an adapter for ``lookahead_pytorch.Lookahead`` of torch2-look-ahead."""
    from lookahead_pytorch import Lookahead

    def wrap(inner: Any, level: Level) -> Any:
        kind = _PULLBACK[level.inner_state]
        return Lookahead(
            inner, la_steps=level.k, la_alpha=level.alpha[0], pullback_momentum=kind
        )

    return PyTorch(wrap, _kept("cached_params"), _backed_up, tuple(_PULLBACK))


def pylocron() -> PyTorch:
    """Make an adapter for ``holocron.optim.wrapper.Lookahead`` of pylocron."""
    holocron_lookahead = one_file("holocron", "optim/wrapper.py").Lookahead

    def slow(wrapper: Any, inner: Any, param: Any) -> Any:
        # Its slow weights are parameter groups of the wrapper.
        for fast, kept in zip(inner.param_groups, wrapper.param_groups, strict=True):
            for ours, theirs in zip(fast["params"], kept["params"], strict=True):
                if ours is param:
                    return theirs
        return None

    return PyTorch(
        lambda inner, level: holocron_lookahead(inner, level.alpha[0], level.k), slow
    )


# Outer optimizers: DiLoCo and LocalSGD, SlowMo, and SNOO from its paper.


def constant(level: Level, rule: str) -> tuple[float, float]:
    """Return outer learning rate and momentum of a rule; refuse all other cases."""
    outer = level.outer
    if outer is None or outer.rule != rule:
        raise UnsupportedError(f"another outer optimizer than {rule}")
    if outer.weight_decay_kind != "none" or len(outer.learning_rate) > 1:
        raise UnsupportedError("outer weight decay, or a changing outer learning rate")
    return outer.learning_rate[0], outer.hyperparameters["momentum"]


class Snoo:
    """SNOO: b <- mu b + s, w <- w - eta (mu b + s), with s = w - theta, every k steps."""

    # Written from arXiv 2510.15830 alone.

    def __init__(self, inner: Any, k: int, eta: float, mu: float) -> None:
        self.inner, self.k, self.eta, self.mu = inner, k, eta, mu
        self.params = [p for group in inner.param_groups for p in group["params"]]
        self.slow = [param.detach().clone() for param in self.params]
        self.momentum = [torch.zeros_like(param) for param in self.slow]
        self.steps = 0

    def step(self) -> None:
        self.inner.step()
        self.steps += 1
        if self.steps % self.k:
            return
        with torch.no_grad():
            for theta, w, b in zip(self.params, self.slow, self.momentum, strict=True):
                s = w - theta
                b.mul_(self.mu).add_(s)
                w.sub_(self.eta * (self.mu * b + s))
                theta.copy_(w)

    def state_dict(self) -> dict[str, Any]:
        own = {name: vars(self)[name] for name in ("slow", "momentum", "steps")}
        return {**own, "inner": self.inner.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        own = copy.deepcopy(saved)  # which the steps change
        self.inner.load_state_dict(own.pop("inner"))
        vars(self).update(own)


def snoo() -> PyTorch:
    def wrap(inner: Any, level: Level) -> Snoo:
        return Snoo(inner, level.k, *constant(level, "nesterov"))

    def slow(wrapper: Snoo, _: Any, param: Any) -> Any:
        return dict(zip(wrapper.params, wrapper.slow, strict=True))[param]

    return PyTorch(wrap, slow, offers=("outer",))


class TorchFT:
    """DiLoCo, or LocalSGD if alpha is 1, of one worker, with its own schedule."""

    def __init__(self, inner: Any, level: Level) -> None:
        from torchft.local_sgd import DiLoCo, LocalSGD
        from torchft.manager import Manager

        self.inner, self.level, self.syncs = inner, level, 0
        self.params = inner.param_groups[0]["params"]
        model = torch.nn.ParameterList(self.params)
        # Replaced as in torchft's own tests: an allreduce of one worker does nothing.
        manager = create_autospec(Manager)
        manager._use_async_quorum = False  # noqa: SLF001
        manager.current_step.return_value = 0
        manager.should_commit.return_value = True
        if level.outer is not None:
            self.outer = inner_optimizer(level.outer, self.params)
            self.around = DiLoCo(manager, [model], inner, self.outer, sync_every=level.k)
            self.outer.register_step_post_hook(self.count)
            _, self.load, self.save = manager.register_state_dict_fn.call_args.args
        elif level.alpha == (1.0,):
            self.around = LocalSGD(manager, model, inner, sync_every=level.k)
            self.outer, self.load, self.save = None, lambda _: None, dict
        else:
            raise UnsupportedError("an alpha other than 1")
        self.around.__enter__()

    def count(self, *_: Any) -> None:
        self.syncs += 1

    def step(self) -> None:
        if self.level.outer is not None:
            rate = self.level.outer.learning_rate_at(self.syncs)
            self.outer.param_groups[0]["lr"] = rate
        self.inner.step()

    def slow(self, param: Any) -> Any:
        """Return DiLoCo's slow weights; LocalSGD has none."""
        kept = self.save().get("original_parameters", {}).values()
        return dict(zip(self.params, kept, strict=False)).get(param)

    def state_dict(self) -> dict[str, Any]:
        own = {"inner": self.inner.state_dict(), "syncs": self.syncs}
        return {**own, "around": self.save()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.inner.load_state_dict(saved["inner"])
        self.load(saved["around"])
        self.syncs = saved["syncs"]


def torchft() -> PyTorch:
    return PyTorch(
        TorchFT, lambda wrapper, _, param: wrapper.slow(param), offers=("outer",)
    )


class FairScale:
    """SlowMo of one worker, in float32, without waiting for a GPU."""

    def __init__(self, inner: Any, level: Level) -> None:
        from fairscale.experimental.nn.data_parallel import SlowMoDistributedDataParallel

        rate, momentum = constant(level, "heavy-ball")
        self.inner, self.params = inner, inner.param_groups[0]["params"]
        if self.params[0].dtype != torch.float32:
            raise UnsupportedError("float64")
        if not torch.distributed.is_initialized():
            store = torch.distributed.HashStore()
            torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
        with patch("torch.cuda.synchronize"):
            self.around = SlowMoDistributedDataParallel(
                torch.nn.ParameterList(self.params),
                nprocs_per_node=1,
                slowmo_frequency=level.k,
                localsgd_frequency=level.k,
                slowmo_lr=rate,
                slowmo_momentum=momentum,
            )

    def step(self) -> None:
        self.inner.step()
        with patch("torch.cuda.synchronize"):
            self.around.perform_slowmo(self.inner)

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self.inner.state_dict(), "around": self.around.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.inner.load_state_dict(saved["inner"])
        self.around.load_state_dict(saved["around"])


def fairscale() -> PyTorch:
    return PyTorch(FairScale, lambda *_: None, offers=("outer",))
