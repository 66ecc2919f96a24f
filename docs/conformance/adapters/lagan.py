"""The Lookahead of LAGAN ("Taming GANs with Lookahead-Minmax"), for PyTorch.

Its `step` is that of the inner optimizer; its trainer calls `update_lookahead` itself,
after every k steps.
"""

from functools import cache

from shared.sources import kept, module_of

from lookahead_ref.conformance.adapters.pytorch import PyTorch

ABOUT = {
    "name": "lagan",
    "title": "LAGAN",
    "home": "https://github.com/Chavdarova/LAGAN-Lookahead_Minimax",
    "revision": "bb7c80ef9730",
    "file": "lagan/optim/lookahead.py",
    "wrapper": "Lookahead",
}


@cache
def as_trained():
    class AsTrained(module_of(ABOUT).Lookahead):
        done = 0

        def step(self, closure=None):
            loss = super().step(closure)
            self.done += 1
            if self.done % self.k == 0:
                self.update_lookahead()
            return loss

    globals()["AsTrained"] = AsTrained  # a class is pickled by its name
    AsTrained.__name__, AsTrained.__qualname__ = "Lookahead", "AsTrained"
    return AsTrained


def Lookahead(inner, k, alpha):
    return as_trained()(inner, k, alpha=alpha)


def Adapter():
    return PyTorch(
        lambda inner, level: Lookahead(inner, level.k, level.alpha[0]),
        kept("slow_param"),
    )
