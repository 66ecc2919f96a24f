"""A user's code, in a file that no test imports: an optimizer, a model and data."""

OWN = """
from dataclasses import dataclass
import numpy as np
import lookahead_ref as la
from lookahead_ref.data import Dataset, Examples
from lookahead_ref.zoo import MLP

@dataclass(frozen=True)
class Signed(la.SGD):
    learning_rate: float = 0.25
    share: float = 1.0

    def coefficients(self, t):
        return {"share": self.share}

    @staticmethod
    def rule(xp):
        def signed(g, share):
            return (share * g,)
        return signed

class Adam(la.Adam):
    pass

class Small:
    def __init__(self, data):
        self.inner = MLP((data.features, 4, data.classes))
        self.init, self.loss = self.inner.init, self.inner.loss
        self.evaluate = self.inner.evaluate

class Mine(Examples):  # a class that only this file knows
    pass

def halves():
    inputs = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    examples = Mine(inputs, (inputs[:, 0] > 0).astype(np.int64))
    return Dataset("halves", examples, examples, classes=2)
"""
