"""Other implementations, as their users would run them to be fast, where installed."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from lookahead_ref.bench.cases import Arrays, arrays, traffic
from lookahead_ref.bench.contestants import elements
from lookahead_ref.bench.turns import Contestant

__all__ = ["NAMES", "peers"]

NAMES = ("torch", "optax", "torch_optimizer", "pytorch_optimizer", "timm")
"""The distributions that are asked for."""


def peers(
    optimizer: str, parameters: str, grads: Arrays, *, k: int | None = None
) -> Iterator[Contestant]:
    """Make every implementation of an optimizer that is installed.

    Parameters
    ----------
    optimizer : str
        The optimizer.
    parameters : str
        What is optimized.
    grads : dict
        The gradients, on the host or on a device, where PyTorch then runs.
    k : int, optional
        The period of a Lookahead around it.

    Yields
    ------
    Contestant
        Each of them. One that is not installed, or does not run, is left out.
    """
    moved = traffic(optimizer, k) * elements(grads)
    kind = "plain" if k is None else "lookahead"
    makers = _PLAIN if k is None else _LOOKAHEAD
    for method, make in makers.items():
        try:
            step = make(optimizer, arrays(parameters, 0), grads, k)
            step()
        # Whatever keeps a library from running here, the others can be compared.
        except Exception:
            continue
        yield Contestant(method, step, kind, moved, k or 1)


def _torch(
    optimizer: str, params: Arrays, grads: Arrays, _: int | None, **how: bool
) -> Callable[[], object]:
    import torch

    tensors = []
    for name, array in params.items():
        grad = torch.from_dlpack(grads[name])  # where the arrays are, there it runs
        tensor = torch.from_numpy(array.copy()).to(grad.device).requires_grad_()
        tensor.grad = grad
        tensors.append(tensor)
    make: dict[str, Callable[[], Any]] = {
        "sgd": lambda: torch.optim.SGD(tensors, 1e-3, **how),
        "heavy-ball": lambda: torch.optim.SGD(tensors, 1e-3, momentum=0.9, **how),
        "nesterov": lambda: torch.optim.SGD(
            tensors, 1e-3, momentum=0.9, nesterov=True, **how
        ),
        "adagrad": lambda: torch.optim.Adagrad(tensors, 1e-3, **how),
        "adam": lambda: torch.optim.Adam(tensors, 1e-3, **how),
    }
    made: Any = make[optimizer]()
    return made.step  # type: ignore[no-any-return]


def _wrapped(
    wrap: Callable[[Any, int], Any],
    optimizer: str,
    params: Arrays,
    grads: Arrays,
    k: int | None,
) -> Callable[[], object]:
    inner: Any = _torch(optimizer, params, grads, None, fused=True)
    return wrap(inner.__self__, k or 5).step  # type: ignore[no-any-return]


def _torch_optimizer(inner: Any, k: int) -> Any:
    from torch_optimizer import Lookahead

    return Lookahead(inner, k=k, alpha=0.5)


def _pytorch_optimizer(inner: Any, k: int) -> Any:
    from pytorch_optimizer import Lookahead

    return Lookahead(inner, k=k, alpha=0.5)


def _timm(inner: Any, k: int) -> Any:
    from lookahead_ref.conformance.adapters.pytorch import one_file

    return one_file("timm", "optim/lookahead.py").Lookahead(inner, alpha=0.5, k=k)


def _optax(
    optimizer: str, params: Arrays, grads: Arrays, k: int | None
) -> Callable[[], object]:
    import jax
    import optax

    make: dict[str, Callable[[], Any]] = {
        "sgd": lambda: optax.sgd(1e-3),
        "heavy-ball": lambda: optax.sgd(1e-3, momentum=0.9),
        "nesterov": lambda: optax.sgd(1e-3, momentum=0.9, nesterov=True),
        "adagrad": lambda: optax.adagrad(1e-3),
        "adam": lambda: optax.adam(1e-3),
    }
    made = make[optimizer]()

    def on_device(trees: Arrays) -> Any:
        return {name: jax.numpy.array(array) for name, array in trees.items()}

    start: Any = on_device(params)
    if k is not None:
        made = optax.lookahead(made, sync_period=k, slow_step_size=0.5)
        start = optax.LookaheadParams(start, on_device(params))
    held = [start, made.init(start)]
    gradients = on_device(grads)

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(params: Any, state: Any, grads: Any) -> Any:
        updates, state = made.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    def step() -> None:
        held[:] = jax.block_until_ready(update(*held, gradients))

    return step


_PLAIN: dict[str, Callable[..., Callable[[], object]]] = {
    "PyTorch, fused": partial(_torch, fused=True),
    "PyTorch, foreach": partial(_torch, foreach=True),
    "optax, jit, donated": _optax,
}
_LOOKAHEAD: dict[str, Callable[..., Callable[[], object]]] = {
    "optax.lookahead, jit, donated": _optax,
    "torch_optimizer over fused": partial(_wrapped, _torch_optimizer),
    "pytorch_optimizer over fused": partial(_wrapped, _pytorch_optimizer),
    "timm over fused": partial(_wrapped, _timm),
}
