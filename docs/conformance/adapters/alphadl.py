"""alphadl's Lookahead for PyTorch, from which many others were taken."""

from shared.sources import kept, module_of

from lookahead_ref.conformance.adapters.pytorch import PyTorch

ABOUT = {
    "name": "alphadl",
    "title": "alphadl/lookahead.pytorch",
    "home": "https://github.com/alphadl/lookahead.pytorch",
    "revision": "570a08972b38",
    "file": "lookahead.py",
    "wrapper": "Lookahead",
}


def Lookahead(inner, k, alpha):
    return module_of(ABOUT).Lookahead(inner, k, alpha)


def Adapter():
    return PyTorch(
        lambda inner, level: Lookahead(inner, level.k, level.alpha[0]), kept("slow_param")
    )
