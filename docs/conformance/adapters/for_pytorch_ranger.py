"""Ranger of the package pytorch_ranger."""

from shared.rangers import radam

ABOUT = {
    "name": "pytorch_ranger",
    "title": "pytorch_ranger",
    "home": "https://github.com/mpariente/Ranger-Deep-Learning-Optimizer",
    "package": "pytorch-ranger",
}


def Adapter():
    from pytorch_ranger import Ranger

    return radam(Ranger)
