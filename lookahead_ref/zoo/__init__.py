"""Models and losses: plain dicts of parameters, layers that are single nodes of a graph."""

from lookahead_ref.zoo.evaluation import Evaluation
from lookahead_ref.zoo.lstm import LSTM
from lookahead_ref.zoo.mlp import MLP

__all__ = ["LSTM", "MLP", "Evaluation"]
