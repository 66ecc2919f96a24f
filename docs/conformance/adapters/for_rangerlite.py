"""RangerLite, PyTorch's RAdam with a Lookahead in it."""

from shared.rangers import fused

from lookahead_ref.conformance.protocol import UnsupportedError

ABOUT = {
    "name": "rangerlite",
    "title": "rangerlite",
    "home": "https://github.com/FLC-QU-hep/ranger-lite",
    "package": "rangerlite",
}


def Adapter():
    from rangerlite import RangerLite

    def make(params, level, inner):
        rate, h = inner.learning_rate[0], inner.hyperparameters
        if not 0 < level.alpha[0] < 1:
            raise UnsupportedError("an alpha of 1")
        given = dict(lookahead_steps=level.k, lookahead_alpha=level.alpha[0])
        if inner.rule == "sgd":  # at these betas RAdam never rectifies, and is SGD
            given |= dict(betas=(0.0, 0.5), weight_decay=h.get("weight_decay", 0.0))
        return RangerLite(params, rate, **given)

    return fused(make, ["sgd"], ["none", "decoupled"], "cached_params")
