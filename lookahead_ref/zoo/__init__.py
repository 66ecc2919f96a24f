"""Models, their layers and losses: plain dicts of parameters, single nodes of a graph.

An argument of the wrong type or out of its range, and inputs or labels that do not fit the
model or each other, are a TypeError or ValueError that names them. What layers and losses
return is of the operands' dtype. They name what they take alike:

weight : array, shape (inputs, units)
    Of a dense layer, whose ``bias``, shape (units,), is added to each row.
logits : array of float32 or float64, shape (n, classes)
    Unnormalised log-probabilities.
labels : array of int, shape (n,)
    The right class of each row, from 0 to ``classes - 1``.
kernels : LayerKernels, optional
    What computes all but the products of matrices; by default the general ones.
backend : str, default "numpy"
    Where the kernels of a model's layers come from: ``"numba"`` has compiled ones. It
    changes how fast things are computed, and results by rounding only.
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
