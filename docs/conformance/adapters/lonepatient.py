"""lonePatient's Lookahead for PyTorch."""

from shared.sources import PULLBACK, evaluated, has_velocity, kept, module_of

from lookahead_ref.conformance.adapters.pytorch import PyTorch
from lookahead_ref.conformance.protocol import UnsupportedError

ABOUT = {
    "name": "lonepatient",
    "title": "lonePatient/lookahead_pytorch",
    "home": "https://github.com/lonePatient/lookahead_pytorch",
    "revision": "105512805740",
    "file": "optimizer.py",
}


def Adapter():
    Lookahead = module_of(ABOUT).Lookahead

    def wrap(inner, level):
        kind = PULLBACK[level.inner_state]
        if kind == "pullback" and not has_velocity(inner):
            raise UnsupportedError("pullback without a momentum, which is a KeyError")
        return Lookahead(inner, level.alpha[0], level.k, kind)

    return PyTorch(wrap, kept("cached_params"), evaluated, tuple(PULLBACK))
