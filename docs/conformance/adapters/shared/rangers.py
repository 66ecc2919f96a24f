"""Ranger, an optimizer with a Lookahead in it: its outer update, and what SGD it can be."""

import torch
from shared.sources import kept

from lookahead_ref.conformance.adapters.pytorch import PyTorch
from lookahead_ref.conformance.protocol import OWN_RULE, UnsupportedError


def radam(Ranger, **more) -> PyTorch:
    """Take one around RAdam, which without momentum or a rectified term is SGD."""

    def make(params, level, inner):
        rate, decay = inner.learning_rate[0], inner.hyperparameters.get("weight_decay", 0.0)
        sgd = dict(N_sma_threshhold=10**9, betas=(0.0, 0.999), weight_decay=decay)
        given = {} if inner.rule == OWN_RULE else sgd
        return Ranger(params, rate, level.alpha[0], level.k, **given, **more)

    return fused(make, ["sgd"], ["none", "decoupled"])


def fused(make, rules=(), decays=("none",), phi="slow_buffer") -> PyTorch:
    """Make an adapter for an optimizer that has the inner one in it."""
    adapter = PyTorch(lambda made, level: made, kept(phi), offers=("own-inner",))

    def start(setup):
        setup.only(rules=[*rules, OWN_RULE], weight_decay=decays, inner_states=["maintain"])
        (level,), inner = setup.levels, setup.inner
        if inner.learning_rate[0] <= 0:
            raise UnsupportedError("a learning rate of 0")
        adapter._params = {
            name: torch.nn.Parameter(torch.tensor(array))
            for name, array in setup.params.items()
        }
        made = make(list(adapter._params.values()), level, inner)
        adapter._inner = adapter._optimizer = made
        adapter._rate, adapter._slots, adapter._steps = inner.learning_rate_at, {}, 0
        adapter._nested = False

    adapter.start = start
    return adapter
