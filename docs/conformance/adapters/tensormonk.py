"""The LookAhead of TensorMONK, for PyTorch.

Its parameter groups are the slow weights, so that a scheduler finds no learning rate there.
"""

from shared.sources import module_of

from lookahead_ref.conformance.adapters.pytorch import PyTorch
from lookahead_ref.conformance.protocol import UnsupportedError

ABOUT = {
    "name": "tensormonk",
    "title": "TensorMONK",
    "home": "https://github.com/Tensor46/TensorMONK",
    "revision": "67617d3fdf8f",
    "file": "tensormonk/optimizers/look_ahead.py",
    "wrapper": "Lookahead",
}


def Lookahead(inner, k, alpha):
    return module_of(ABOUT).LookAhead([], lambda *_: inner, k, alpha)


def Adapter():
    def wrap(inner, level):
        if level.k < 2 or not 0 < level.alpha[0] < 1:
            raise UnsupportedError("k below 2, or an alpha of 0 or 1")
        return Lookahead(inner, level.k, level.alpha[0])

    def slow(wrapper, inner, param):
        both = zip(inner.param_groups[0]["params"], wrapper.param_groups[0]["params"])
        return next(kept for ours, kept in both if ours is param)

    return PyTorch(wrap, slow)
