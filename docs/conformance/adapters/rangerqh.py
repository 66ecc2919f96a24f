"""RangerQH of the file rangerqh.py: QHAdam, which at nu = 1 is Adam."""

from shared.rangers import fused
from shared.sources import module_of

ABOUT = {
    "name": "rangerqh",
    "title": "RangerQH of rangerqh.py",
    "home": "https://github.com/lessw2020/Ranger-Deep-Learning-Optimizer",
    "revision": "c82a30460684",
    "file": "ranger/rangerqh.py",
    "when": "with decouple_weight_decay=True, not the default,",
}


def Adapter():
    RangerQH = module_of(ABOUT).RangerQH

    def make(params, level, inner):
        rate, h = inner.learning_rate[0], inner.hyperparameters
        if inner.rule != "adam":
            return RangerQH(params, rate, k=level.k, alpha=level.alpha[0])
        betas, decay = (h["beta1"], h["beta2"]), h.get("weight_decay", 0.0)
        decoupled = inner.weight_decay_kind == "decoupled"
        given = level.k, level.alpha[0], decoupled, h["epsilon"]
        return RangerQH(params, rate, betas, (1.0, 1.0), decay, *given)

    return fused(make, ["adam"], ["none", "l2", "decoupled"])
