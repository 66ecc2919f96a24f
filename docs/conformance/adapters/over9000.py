"""mgrankin's Lookahead of over9000, for PyTorch: an early one of timm."""

from shared.sources import kept, module_of

from lookahead_ref.conformance.adapters.pytorch import PyTorch

ABOUT = {
    "name": "over9000",
    "title": "over9000",
    "home": "https://github.com/mgrankin/over9000",
    "revision": "ac21bf935fcb",
    "file": "lookahead.py",
    "wrapper": "Lookahead",
}


def Lookahead(inner, k, alpha):
    return module_of(ABOUT).Lookahead(inner, alpha, k)


def Adapter():
    return PyTorch(
        lambda inner, level: Lookahead(inner, level.k, level.alpha[0]), kept("slow_buffer")
    )
