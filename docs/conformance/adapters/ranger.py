"""Ranger of the file ranger.py, by its first author.

Its `use_gc=False` does nothing: no case has what `gc_conv_only` leaves, four dimensions.
"""

from shared.rangers import radam
from shared.sources import module_of

ABOUT = {
    "name": "ranger",
    "title": "Ranger of ranger.py",
    "home": "https://github.com/lessw2020/Ranger-Deep-Learning-Optimizer",
    "revision": "c82a30460684",
    "file": "ranger/ranger.py",
    "says": "step(closure) never calls the closure, and trains nothing",
    "at_best": "but",
}


def Adapter():
    return radam(module_of(ABOUT).Ranger, gc_conv_only=True)
