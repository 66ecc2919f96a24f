"""What a model may lose by rounding: the bounds of sums and of functions.

To the operations of `lookahead_ref.conformance.bounds` come sums, whose order no program
promises, and the functions of a model. A sum of n terms loses n - 1 times what an addition
does, of the *sum of the sizes* of its terms: that bounds every order, and fused
multiply-adds. A function loses `FUNCTION` machine epsilons of its value, as vectorised ones
do; a sigmoid of 1/2 at least, as it may be made of tanh.
"""

import math
from collections.abc import Sequence
from typing import Any

import mpmath

from lookahead_ref.conformance.bounds import Bounded, Bounding

__all__ = ["FUNCTION", "GPU_FUNCTION", "ModelBounding"]

FUNCTION = 4.0
"""Machine epsilons that exp, log, tanh or a sigmoid may lose."""

GPU_FUNCTION = 4.0
"""Machine epsilons more at the level `gpu`."""


# Correctly rounded, so that tolerances are the same wherever they are made.
_context = mpmath.MPContext()
_context.prec = 80


class ModelBounding(Bounding):
    """The arithmetic of `Bounded` numbers, with what models need besides.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        The format that a program works in.
    level : {"strict", "gpu"}
        What is admitted.
    """

    def __init__(self, dtype: str, level: str) -> None:
        super().__init__(dtype, level)
        unit = self._kind.epsilon / 2  # which is two machine epsilons
        self._loss = unit * (FUNCTION + (GPU_FUNCTION if level == "gpu" else 0.0))

    def total(self, terms: Sequence[Bounded]) -> Bounded:
        """Add numbers in any order."""
        # Nothing is lost with what is zero whatever the rounding.
        terms = [term for term in terms if term.middle or term.radius]
        if not terms:
            return self.number(0.0)
        middle = math.fsum(term.middle for term in terms)
        radius = math.fsum(term.radius for term in terms)
        sizes = math.fsum(abs(term.middle) for term in terms)
        if len(terms) == 1:
            return terms[0]
        return self._made(middle, radius, (len(terms) - 1) * sizes, self._kind.epsilon)

    def largest(self, values: Sequence[Bounded]) -> Bounded:
        """Return the largest number, as exact.

        It is subtracted where nothing depends on what is subtracted.
        """
        return self.number(max(each.middle for each in values))

    def exp(self, value: Bounded) -> Bounded:
        """Take the exponential."""
        middle = float(_context.exp(value.middle))
        return self._made(
            middle, middle * float(_context.expm1(value.radius)), middle, self._loss
        )

    def log(self, value: Bounded) -> Bounded:
        """Take the natural logarithm."""
        middle = float(_context.log(value.middle))
        radius = value.radius / (value.middle - value.radius)
        # Of what came out, which is farther from zero than the middle, if that is at zero.
        return self._made(middle, radius, abs(middle) + radius, self._loss)

    def tanh(self, value: Bounded) -> Bounded:
        """Take the hyperbolic tangent."""
        middle = _tanh(value.middle)
        steepest = 1 - _tanh(_nearest_to_zero(value)) ** 2
        radius = value.radius * steepest
        return self._made(middle, radius, abs(middle) + radius, self._loss)

    def sigmoid(self, value: Bounded) -> Bounded:
        """Take the sigmoid."""
        middle = _sigmoid(value.middle)
        steepest = _sigmoid(_nearest_to_zero(value))
        radius = value.radius * steepest * (1 - steepest)
        return self._made(middle, radius, max(middle, 0.5), self._loss)

    def positive(self, value: Bounded) -> bool:
        """Return whether a number is above zero, which its error must not leave open."""
        if value.radius and abs(value.middle) <= value.radius:
            raise ValueError(
                "the sign of a number is open: a rectifier could go either way"
            )
        return value.middle > 0

    def _made(self, middle: float, radius: float, operand: float, loss: float) -> Bounded:
        zero: Any = self.number(0.0)
        made: Bounded = zero._rounded(middle, radius, operand, loss)  # noqa: SLF001
        return made


def _nearest_to_zero(value: Bounded) -> float:
    """Return the number nearest to zero within the bound, where slopes are steepest."""
    return math.copysign(max(abs(value.middle) - value.radius, 0.0), value.middle)


def _sigmoid(x: float) -> float:
    return 0.5 * _tanh(0.5 * x) + 0.5


def _tanh(x: float) -> float:
    return float(_context.tanh(x))
