"""The Lookahead of LAGAN ("Taming GANs with Lookahead-Minmax"), for PyTorch.

Its `step` is that of the inner optimizer; its trainer calls `update_lookahead` itself,
after every k steps.
"""

from shared.sources import kept, module_of

from lookahead_ref.conformance.adapters.pytorch import PyTorch

ABOUT = {
    "name": "lagan",
    "title": "LAGAN",
    "home": "https://github.com/Chavdarova/LAGAN-Lookahead_Minimax",
    "revision": "bb7c80ef9730",
    "file": "lagan/optim/lookahead.py",
}


def Adapter():
    class AsTrained(module_of(ABOUT).Lookahead):
        done = 0

        def step(self):
            super().step()
            self.done += 1
            if self.done % self.k == 0:
                self.update_lookahead()

    return PyTorch(
        lambda inner, level: AsTrained(inner, level.k, alpha=level.alpha[0]),
        kept("slow_param"),
    )
