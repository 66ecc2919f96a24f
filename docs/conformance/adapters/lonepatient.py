"""lonePatient's Lookahead for PyTorch."""

from shared.sources import pullback

ABOUT = {
    "name": "lonepatient",
    "title": "lonePatient/lookahead_pytorch",
    "home": "https://github.com/lonePatient/lookahead_pytorch",
    "revision": "105512805740",
    "file": "optimizer.py",
}


def Adapter():
    def build(Lookahead, inner, level, kind):
        return Lookahead(inner, level.alpha[0], level.k, kind)

    return pullback(ABOUT, build)
