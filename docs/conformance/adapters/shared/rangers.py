"""Ranger, an optimizer with a Lookahead in it, taken as SGD or as Adam."""

import torch
from shared.sources import kept

from lookahead_ref.conformance.adapters.pytorch import PyTorch
from lookahead_ref.conformance.protocol import UnsupportedError


def radam(Ranger, **more) -> PyTorch:
    """Take one around RAdam, which without momentum or a rectified term is SGD."""

    def make(params, level, inner):
        rate, decay = inner.learning_rate[0], inner.hyperparameters.get("weight_decay", 0.0)
        return Ranger(params, rate, level.alpha[0], level.k, **{SMA: 10**9}, **more,
                      betas=(0.0, 0.999), weight_decay=decay)  # fmt: skip

    code = Ranger.__init__.__code__
    SMA = next(name for name in code.co_varnames if name.lower() == "n_sma_threshhold")
    return fused(make, "sgd", ("none", "decoupled"))


def fused(make, rule: str, decays, phi: str = "slow_buffer") -> PyTorch:
    """Make an adapter for an optimizer that has the inner one in it."""
    adapter = PyTorch(lambda made, level: made, kept(phi))

    def start(setup):
        setup.only(rules=[rule], weight_decay=decays, inner_states=["maintain"])
        (level,), inner = setup.levels, setup.inner
        adapter._params = {
            name: torch.nn.Parameter(torch.tensor(array))
            for name, array in setup.params.items()
        }
        params = list(adapter._params.values())
        if inner.learning_rate[0] <= 0:
            raise UnsupportedError("a learning rate of 0")
        made = make(params, level, inner)
        adapter._inner = adapter._optimizer = made
        adapter._rate, adapter._slots, adapter._steps = inner.learning_rate_at, {}, 0
        adapter._nested = False

    adapter.start = start
    return adapter
