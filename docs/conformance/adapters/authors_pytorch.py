"""The authors' Lookahead for PyTorch."""

from shared.sources import pullback

ABOUT = {
    "name": "authors-pytorch",
    "title": "The authors' in PyTorch",
    "home": "https://github.com/michaelrzhang/lookahead",
    "revision": "c4fd85f73cda",
    "file": "lookahead_pytorch.py",
}


def Adapter():
    def build(Lookahead, inner, level, kind):
        return Lookahead(inner, level.k, level.alpha[0], kind)

    return pullback(ABOUT, build)
