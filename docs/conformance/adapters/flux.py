"""chengchingwen's Lookahead for Flux, around Flux's own optimizers of that revision."""

from shared.julia import RULES, Julia, inner_optimizer

from lookahead_ref.conformance.protocol import UnsupportedError

ABOUT = {
    "name": "flux",
    "title": "chengchingwen/Flux.jl",
    "home": "https://github.com/chengchingwen/Flux.jl",
    "revision": "891a82854f71",
    "file": "src/optimise/lookahead.jl",
}
HANDLERS = {
    "maintain": "default_momentum_handler!",
    "reset": "reset_momentum_handler!",
    "interpolate": "pullback_momentum_handler!",
}


def made(setup):
    setup.only(rules=RULES, inner_states=HANDLERS)
    (level,), inner = setup.levels, setup.inner
    if inner.rule == "sgd" and level.inner_state != "maintain":
        raise UnsupportedError("a momentum handler around what has no momentum")
    if inner.hyperparameters.get("epsilon", 1e-8) != 1e-8:
        raise UnsupportedError("an epsilon other than 1e-8")
    given = [inner_optimizer(inner, float.hex, "Optimiser"), level.alpha[0].hex(), level.k]
    return f"Lookahead({', '.join(map(str, given))}, {HANDLERS[level.inner_state]})"


def Adapter():
    return Julia(ABOUT, made)
