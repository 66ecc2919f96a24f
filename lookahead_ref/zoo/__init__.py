"""Models and losses: plain dicts of parameters, functions of ``autograd.numpy``."""

from lookahead_ref.zoo.mlp import MLP

__all__ = ["MLP"]
