"""The authors' Lookahead for PyTorch."""

from shared.sources import PULLBACK, evaluated, has_velocity, kept, module_of

from lookahead_ref.conformance.adapters.pytorch import PyTorch
from lookahead_ref.conformance.protocol import UnsupportedError

ABOUT = {
    "name": "authors-pytorch",
    "title": "The authors' in PyTorch",
    "home": "https://github.com/michaelrzhang/lookahead",
    "revision": "c4fd85f73cda",
    "file": "lookahead_pytorch.py",
}


def Adapter():
    Lookahead = module_of(ABOUT).Lookahead

    def wrap(inner, level):
        kind = PULLBACK[level.inner_state]
        if kind == "pullback" and not has_velocity(inner):
            raise UnsupportedError("pullback without a momentum, which is a KeyError")
        return Lookahead(inner, level.k, level.alpha[0], kind)

    return PyTorch(wrap, kept("cached_params"), evaluated, tuple(PULLBACK))
