"""lonePatient's Lookahead for PyTorch."""

from shared.sources import module_of, pullback

ABOUT = {
    "name": "lonepatient",
    "title": "lonePatient/lookahead_pytorch",
    "home": "https://github.com/lonePatient/lookahead_pytorch",
    "revision": "105512805740",
    "file": "optimizer.py",
    "wrapper": "Lookahead",
}


def Lookahead(inner, k, alpha, kind="none"):
    return module_of(ABOUT).Lookahead(inner, alpha, k, kind)


def Adapter():
    return pullback(Lookahead)
