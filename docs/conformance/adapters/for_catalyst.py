"""The Lookahead of catalyst, for PyTorch."""

from shared.sources import kept

from lookahead_ref.conformance.adapters.pytorch import PyTorch, one_file

ABOUT = {
    "name": "catalyst",
    "title": "catalyst",
    "home": "https://github.com/catalyst-team/catalyst",
    "package": "catalyst",
    "wrapper": "catalyst.contrib.optimizers.lookahead:Lookahead",
}


def Adapter():
    Lookahead = one_file("catalyst", "contrib/optimizers/lookahead.py").Lookahead
    return PyTorch(
        lambda inner, level: Lookahead(inner, level.k, level.alpha[0]), kept("slow_param")
    )
