"""mcabbott's Lookahead for Optimisers.jl, around the optimizers of that package."""

from shared.julia import RULES, Julia, inner_optimizer

from lookahead_ref.conformance.protocol import UnsupportedError

ABOUT = {
    "name": "optimisers",
    "title": "mcabbott/Optimisers.jl",
    "home": "https://github.com/mcabbott/Optimisers.jl",
    "revision": "ebe294cdf2bf",
    "file": "src/rules.jl",
    "says": "inside an OptimiserChain it stops with a StackOverflowError",
}


def made(setup):
    setup.only(rules=RULES, inner_states=["maintain"])
    if len(setup.inner.learning_rate) > 1:
        raise UnsupportedError("a changing learning rate, as a rule is immutable")
    (level,) = setup.levels

    def number(x):
        """Write a setting in the precision of the parameters, as in ``Descent(0.1f0)``."""
        return f"{setup.dtype.capitalize()}({x.hex()})"

    inner = inner_optimizer(setup.inner, number, "OptimiserChain", ["epsilon"])
    return f"Lookahead({inner}, {level.k}, {number(level.alpha[0])})"


def Adapter():
    return Julia(ABOUT, made)
