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

    def make(params, rate, level, h, decay):
        return RangerQH(params, rate, (h["beta1"], h["beta2"]), (1.0, 1.0), decay, level.k,
                        level.alpha[0], False, h["epsilon"])  # fmt: skip

    return fused(make, "adam", ("none", "l2"))
