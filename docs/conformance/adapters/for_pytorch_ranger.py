"""Ranger of the package pytorch_ranger."""

from shared.rangers import radam

ABOUT = {
    "name": "pytorch_ranger",
    "title": "Ranger of pytorch_ranger",
    "home": "https://github.com/mpariente/Ranger-Deep-Learning-Optimizer",
    "package": "pytorch-ranger",
    "tried": "0.1.1",
    "says": "step(closure) never calls the closure, and trains nothing",
    "at_best": "but",
}


def Adapter():
    from pytorch_ranger import Ranger

    return radam(Ranger)
