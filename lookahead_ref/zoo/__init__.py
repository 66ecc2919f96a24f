"""Models, with plain dicts of parameters, their layers and losses.

A TypeError or ValueError names an argument of a wrong type or out of range, and inputs or
labels that do not fit the model or each other. Layers and losses keep the operands' dtype.
Common arguments:

weight : array, shape (inputs, units)
    The weight of a dense layer, whose ``bias``, shape (units,), is added to each row.
logits : array of float32 or float64, shape (n, classes)
    Unnormalised log-probabilities.
labels : array of int, shape (n,)
    The correct class of each row, from 0 to ``classes - 1``.
kernels : LayerKernels, optional
    They compute everything but matrix products; by default the general ones.
backend : str, default "numpy"
    The backend whose kernels a model's layers use; ``"numba"`` has compiled ones. It
    changes speed, and results by rounding only.
seed : int or numpy.random.SeedSequence
    Decides the initial parameters of a model, which are made in host memory.
"""

from lookahead_ref.zoo.awd_lstm import AWDLSTM
from lookahead_ref.zoo.losses import Evaluation
from lookahead_ref.zoo.lstm import LSTM
from lookahead_ref.zoo.mlp import MLP
from lookahead_ref.zoo.resnet import (
    ResNet,
    resnet8,
    resnet18,
    resnet32,
    resnet50,
    resnet152,
)

__all__ = [
    "AWDLSTM",
    "LSTM",
    "MLP",
    "Evaluation",
    "ResNet",
    "resnet8",
    "resnet18",
    "resnet32",
    "resnet50",
    "resnet152",
]
