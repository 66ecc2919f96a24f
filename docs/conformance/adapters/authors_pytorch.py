"""The authors' Lookahead for PyTorch."""

from shared.sources import module_of, pullback

ABOUT = {
    "name": "authors-pytorch",
    "title": "The authors' in PyTorch",
    "home": "https://github.com/michaelrzhang/lookahead",
    "revision": "c4fd85f73cda",
    "file": "lookahead_pytorch.py",
    "wrapper": "Lookahead",
}


def Lookahead(inner, k, alpha, kind="none"):
    return module_of(ABOUT).Lookahead(inner, k, alpha, kind)


def Adapter():
    return pullback(Lookahead)
