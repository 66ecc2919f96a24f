"""RangerVA of the file ranger913A.py, whose inner rule is none that the suite knows."""

from shared.rangers import fused
from shared.sources import module_of

ABOUT = {
    "name": "ranger913a",
    "title": "RangerVA of ranger913A.py",
    "home": "https://github.com/lessw2020/Ranger-Deep-Learning-Optimizer",
    "revision": "c82a30460684",
    "file": "ranger/ranger913A.py",
    "says": "step(closure) never calls the closure, and trains nothing",
    "at_best": "but",
}


def Adapter():
    RangerVA = module_of(ABOUT).RangerVA
    return fused(
        lambda params, level, inner: RangerVA(
            params, inner.learning_rate[0], level.alpha[0], level.k
        )
    )
