"""This library's steps, what memory allows, and other implementations."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import lookahead_ref as la
from lookahead_ref.kernels import namespace
from lookahead_ref.stepping.backend import Instruction, Program

from . import settings
from .cases import OPTIMIZERS, SLOTS, arrays
from .turns import Contestant

Arrays = dict[str, Any]


def ours(
    optimizer: str,
    parameters: str,
    grads: Arrays,
    k: int | None = None,
    *,
    inner_state: Any = "maintain",
    outer: str | None = None,
    executor: Any = None,
) -> Contestant:
    """Make a stepper, alone or inside Lookahead."""
    executor = executor or settings.EXECUTOR
    made = OPTIMIZERS[optimizer]
    if k is not None:
        outside = None if outer is None else OPTIMIZERS[outer]
        made = la.Lookahead(made, k=k, inner_state=inner_state, outer=outside)
    drawn = arrays(parameters, 0).items()
    params = {name: executor.from_host(array) for name, array in drawn}
    stepper = la.Stepper(made, params, backend=executor)
    return Contestant(lambda: stepper.step(grads), k or 1)


def functional(optimizer: str, parameters: str, grads: Arrays) -> Contestant:
    """Make the plain functional form on NumPy arrays: an array for each result."""
    made = OPTIMIZERS[optimizer]
    params: Any = arrays(parameters, 0)
    held = [params, made.init(params)]

    def step() -> None:
        held[:] = made.step(held[0], grads, held[1])

    return Contestant(step)


def limit(optimizer: str, grads: Arrays, *, synchronized: bool = False) -> Contestant:
    """Make a loop with an update's reads and writes, but without its arithmetic.

    Each array that the update writes receives another one's values. One addition reads the
    gradient.
    """
    written = 1 + SLOTS[optimizer] + synchronized
    moved = [(number, number + 1) for number in range(written - 1)]
    added = Instruction("add", (0, written))
    return _loop(
        Program(written + 1, 0, (added,), (*moved, (written - 1, written + 1))), grads
    )


def copy(grads: Arrays) -> Contestant:
    """Make a copy between arrays by the loop of updates."""
    return _loop(Program(2, 0, (), ((0, 1),)), grads)


def _loop(program: Program, source: Arrays) -> Contestant:
    executor = settings.EXECUTOR
    leaves = [
        [
            executor.from_host(np.zeros(each.size, np.float32))
            for _ in range(program.buffers - 1)
        ]
        for each in source.values()
    ]
    run = executor.bind(program, "float32", leaves)
    grads = [array.reshape(-1) for array in source.values()]
    return Contestant(lambda: run(grads, ()))


def library_copy(grads: Arrays) -> Contestant:
    """Make a copy by the arrays' library: CUDA's for CuPy."""
    xp = namespace(next(iter(grads.values())))
    zeros = (np.zeros(each.shape, np.float32) for each in grads.values())
    targets = [settings.EXECUTOR.from_host(each) for each in zeros]

    def step() -> None:
        for target, source in zip(targets, grads.values(), strict=True):
            xp.copyto(target, source)

    return Contestant(step)


def _torch(optimizer: str, parameters: str, grads: Arrays, **how: bool) -> Any:
    """Make a PyTorch optimizer on the gradients' device."""
    import torch

    tensors = []
    for name, array in arrays(parameters, 0).items():
        grad = torch.from_dlpack(grads[name])
        tensor = torch.from_numpy(array.copy()).to(grad.device).requires_grad_()
        tensor.grad = grad
        tensors.append(tensor)
    make, options = {
        "sgd": ("SGD", {}),
        "heavy-ball": ("SGD", {"momentum": 0.9}),
        "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
        "adagrad": ("Adagrad", {}),
        "adam": ("Adam", {}),
    }[optimizer]
    return getattr(torch.optim, make)(tensors, 1e-3, **options, **how)


def _pytorch(optimizer: str, parameters: str, grads: Arrays) -> list[Contestant]:
    made = [
        _torch(optimizer, parameters, grads, **{how: True}) for how in ("fused", "foreach")
    ]
    return [Contestant(each.step) for each in made]


def _wrapped(
    wrapper: Callable[[], Any], optimizer: str, parameters: str, grads: Arrays
) -> list[Contestant]:
    inner = _torch(optimizer, parameters, grads, fused=True)
    return [Contestant(wrapper()(inner, k=5, alpha=0.5).step, 5)]


def snoo(parameters: str, grads: Arrays, k: int) -> Contestant:
    """Make SNOO as published: pseudo-gradients in `.grad`, and a step of PyTorch."""
    import torch

    inner = _torch("adam", parameters, grads, fused=True)
    params = inner.param_groups[0]["params"]
    slow = [each.detach().clone() for each in params]
    outer = torch.optim.SGD(params, lr=0.7, momentum=0.9, nesterov=True)
    done = 0

    @torch.no_grad()
    def step() -> None:
        nonlocal done
        inner.step()
        done += 1
        if done % k:
            return
        kept = [each.grad for each in params]
        for fast, start in zip(params, slow, strict=True):
            fast.grad = start - fast
            fast.copy_(start)
        outer.step()
        for fast, start, grad in zip(params, slow, kept, strict=True):
            start.copy_(fast)
            fast.grad = grad

    return Contestant(step, k)


def _torch_optimizer() -> Any:
    from torch_optimizer import Lookahead

    return Lookahead


def _pytorch_optimizer() -> Any:
    from pytorch_optimizer import Lookahead

    return Lookahead


def _timm() -> Any:
    from lookahead_ref.conformance.adapters.pytorch import one_file

    return one_file("timm", "optim/lookahead.py").Lookahead


def _optax(optimizer: str, parameters: str, grads: Arrays, *, k: int | None = None) -> Any:
    import jax
    import optax

    inner: Any = {
        "sgd": lambda: optax.sgd(1e-3),
        "heavy-ball": lambda: optax.sgd(1e-3, momentum=0.9),
        "nesterov": lambda: optax.sgd(1e-3, momentum=0.9, nesterov=True),
        "adagrad": lambda: optax.adagrad(1e-3),
        "adam": lambda: optax.adam(1e-3),
    }[optimizer]()

    def moved(tree: Arrays) -> Any:
        return {name: jax.numpy.array(array) for name, array in tree.items()}

    params: Any = moved(arrays(parameters, 0))
    if k is not None:
        inner = optax.lookahead(inner, sync_period=k, slow_step_size=0.5)
        params = optax.LookaheadParams(params, moved(arrays(parameters, 0)))
    held = [params, inner.init(params)]
    gradients = moved(grads)

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(params: Any, state: Any, grads: Any) -> Any:
        updates, state = inner.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    def step() -> None:
        held[:] = jax.block_until_ready(update(*held, gradients))

    return [Contestant(step, k or 1)]


PLAIN: dict[str, Callable[..., list[Contestant]]] = {
    "PyTorch, fused or foreach": _pytorch,
    "optax, jit, donated": _optax,
}
LOOKAHEAD: dict[str, Callable[..., list[Contestant]]] = {
    "optax.lookahead, jit, donated": partial(_optax, k=5),
    "torch_optimizer over fused": partial(_wrapped, _torch_optimizer),
    "pytorch_optimizer over fused": partial(_wrapped, _pytorch_optimizer),
    "timm over fused": partial(_wrapped, _timm),
}
"""Others' Lookahead with k = 5, used in its fastest way."""


def peer(name: str, optimizer: str, parameters: str, grads: Arrays) -> list[Contestant]:
    """Make another implementation, or its variants; the fastest counts."""
    try:
        made = (PLAIN | LOOKAHEAD)[name](optimizer, parameters, grads)
        for each in made:
            each.step()
    # If it cannot run here for any reason, compare the others.
    except Exception as error:
        raise NotImplementedError(f"{name} does not run here: {error}") from error
    return made
