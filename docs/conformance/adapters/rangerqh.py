"""RangerQH of the file rangerqh.py: QHAdam, which at nu = 1 is Adam."""

from shared.rangers import fused
from shared.sources import module_of

ABOUT = {
    "name": "rangerqh",
    "title": "RangerQH of rangerqh.py",
    "home": "https://github.com/lessw2020/Ranger-Deep-Learning-Optimizer",
    "revision": "c82a30460684",
    "file": "ranger/rangerqh.py",
}


def Adapter():
    RangerQH = module_of(ABOUT).RangerQH

    def make(params, level, inner):
        h, decoupled = inner.hyperparameters, inner.weight_decay_kind == "decoupled"
        betas, decay = (h["beta1"], h["beta2"]), h.get("weight_decay", 0.0)
        given = level.k, level.alpha[0], decoupled, h["epsilon"]
        return RangerQH(params, inner.learning_rate[0], betas, (1.0, 1.0), decay, *given)

    return fused(make, "adam", ("none", "l2", "decoupled"))
