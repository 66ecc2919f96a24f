"""Models and losses: plain dicts of parameters, layers that are single nodes of a graph.

An argument of the wrong type or out of its range, and inputs or labels that do not fit the
model or each other, are a TypeError or ValueError that names them.
"""

from lookahead_ref.zoo.losses import Evaluation
from lookahead_ref.zoo.lstm import LSTM
from lookahead_ref.zoo.mlp import MLP
from lookahead_ref.zoo.resnet import ResNet, resnet18, resnet32, resnet50

__all__ = ["LSTM", "MLP", "Evaluation", "ResNet", "resnet18", "resnet32", "resnet50"]
