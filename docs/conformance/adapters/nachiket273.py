"""nachiket273's Lookahead for PyTorch."""

from shared.sources import module_of

from lookahead_ref.conformance.adapters.pytorch import PyTorch

ABOUT = {
    "name": "nachiket273",
    "title": "nachiket273/lookahead_pytorch",
    "home": "https://github.com/nachiket273/lookahead_pytorch",
    "revision": "a6d01eac9583",
    "file": "Lookahead.py",
    "wrapper": "Lookahead",
}


def Lookahead(inner, k, alpha):
    return module_of(ABOUT).Lookahead(inner, alpha, k)


def Adapter():
    def slow(wrapper, _, param):
        (group,), (weights,) = wrapper.param_groups, wrapper.slow_weights
        return next(s for p, s in zip(group["params"], weights) if p is param)

    return PyTorch(lambda inner, level: Lookahead(inner, level.k, level.alpha[0]), slow)
