"""Outer optimizers for PyTorch: DiLoCo and LocalSGD, SlowMo, and SNOO from its paper."""

from typing import Any
from unittest.mock import create_autospec, patch

import torch
import torch.distributed

from lookahead_ref.conformance.adapters.pytorch import PyTorch, inner_optimizer
from lookahead_ref.conformance.protocol import Level, UnsupportedError


def constant(level: Level, rule: str) -> tuple[float, float]:
    """Return outer learning rate and momentum of a rule; refuse all other cases."""
    outer = level.outer
    if outer is None or outer.rule != rule:
        raise UnsupportedError(f"another outer optimizer than {rule}")
    if outer.weight_decay_kind != "none" or len(outer.learning_rate) > 1:
        raise UnsupportedError("outer weight decay, or an outer learning rate that changes")
    return outer.learning_rate[0], outer.hyperparameters["momentum"]


class Snoo:
    """SNOO: b <- mu b + s, w <- w - eta (mu b + s), with s = w - theta, every k steps."""

    # Written from arXiv 2510.15830, and from nobody's program.

    def __init__(self, inner: Any, k: int, eta: float, mu: float) -> None:
        self.inner, self.k, self.eta, self.mu = inner, k, eta, mu
        self.params = inner.param_groups[0]["params"]
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
        self.inner.load_state_dict(saved.pop("inner"))
        vars(self).update(saved)


def snoo() -> PyTorch:
    def wrap(inner: Any, level: Level) -> Snoo:
        return Snoo(inner, level.k, *constant(level, "nesterov"))

    def slow(wrapper: Snoo, _: Any, param: Any) -> Any:
        return dict(zip(wrapper.params, wrapper.slow, strict=True))[param]

    return PyTorch(wrap, slow, offers=("outer",))


class TorchFT:
    """DiLoCo, or LocalSGD where alpha is 1, of one worker, and a schedule of its own."""

    def __init__(self, inner: Any, level: Level) -> None:
        from torchft.local_sgd import DiLoCo, LocalSGD
        from torchft.manager import Manager

        self.inner, self.level, self.syncs = inner, level, 0
        self.params = inner.param_groups[0]["params"]
        model = torch.nn.ParameterList(self.params)
        # As torchft's own tests replace it: an allreduce of one worker changes nothing.
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
        """Return the weights that DiLoCo keeps; LocalSGD keeps none."""
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
    """SlowMo of one worker, in float32; what waits for a GPU is left out."""

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
        raise UnsupportedError("a state with slow weights, velocity and count")


def fairscale() -> PyTorch:
    return PyTorch(FairScale, lambda *_: None, offers=("outer",))
