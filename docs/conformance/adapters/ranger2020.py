"""Ranger of the file ranger2020.py, by its first author."""

from shared.rangers import radam
from shared.sources import module_of

ABOUT = {
    "name": "ranger2020",
    "title": "Ranger of ranger2020.py",
    "home": "https://github.com/lessw2020/Ranger-Deep-Learning-Optimizer",
    "revision": "c82a30460684",
    "file": "ranger/ranger2020.py",
    "says": "step(closure) never calls the closure, and trains nothing",
    "at_best": "but",
}


def Adapter():
    return radam(module_of(ABOUT).Ranger, gc_conv_only=True)
