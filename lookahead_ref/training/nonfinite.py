"""Losses, gradients and weights that are not finite: how they are found, and the error.

Looking at every element of every gradient costs passes over memory. A sum is one pass, and
on a device it stays there: what is not finite makes the sum not finite too. A sum can also
overflow by itself, so that it only raises a suspicion, which is then looked into.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from array_api_compat import array_namespace

from lookahead_ref import trees
from lookahead_ref.training.events import EpochRecord

__all__ = ["NonFiniteLossError", "Where", "first_nonfinite", "joint_sum"]

Where: TypeAlias = Literal["batch", "gradient", "evaluation"]
"""What was not finite: the loss of a batch, its gradient, or the loss of an evaluation."""


class NonFiniteLossError(ArithmeticError):
    """A loss or a gradient became NaN or infinite.

    Attributes
    ----------
    of : {"batch", "gradient", "evaluation"}
        Whether it is the loss of a batch or, that being finite, its gradient, whose update
        was then not made; or the loss of the evaluation after an epoch.
    step : int
        Updates made before; as the global step is 0 at the first update, also the step
        of the batch.
    epoch : int
        The epoch it belongs to: 1 is the first.
    loss : float
        The loss.
    history : tuple of EpochRecord
        The epochs that were evaluated; the last one holds the loss if it is the
        evaluation's.
    parameter : str or None
        The path of the first parameter that is not finite itself or, where all are, whose
        gradient is not.
    """

    def __init__(
        self,
        of: Where,
        step: int,
        epoch: int,
        loss: float,
        history: Sequence[EpochRecord],
        parameter: str | None = None,
        parameter_is_finite: bool = True,
    ) -> None:
        super().__init__(
            f"{_what(of, loss)} at step {step}, in epoch {epoch}"
            f"{_which(of, parameter, parameter_is_finite)}: training stopped "
            "(a smaller learning rate may help)"
        )
        self.of = of
        self.step = step
        self.epoch = epoch
        self.loss = loss
        self.history = tuple(history)
        self.parameter = parameter
        self.parameter_is_finite = parameter_is_finite

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way back from a worker process."""
        placed = (self.of, self.step, self.epoch, self.loss, self.history)
        return type(self), (*placed, self.parameter, self.parameter_is_finite)


def _what(of: Where, loss: float) -> str:
    if of == "gradient":
        return f"the gradient of the batch is not finite (its loss is {loss:g})"
    which = "the batch" if of == "batch" else "the evaluated weights"
    return f"the loss of {which} is {loss}"


def _which(of: Where, parameter: str | None, finite: bool) -> str:
    if parameter is None:
        return ""
    if not finite:
        return f", where the parameter {parameter!r} is not finite itself"
    return f", first in the parameter {parameter!r}" if of != "evaluation" else ""


def joint_sum(loss: Any, grads: trees.Tree) -> Any:
    """Add up a loss and the elements of all gradients, on the device where they are."""
    total = loss
    for leaf in trees.flatten(grads, "grads").values():
        total = total + array_namespace(leaf).sum(leaf)
    return total


def first_nonfinite(arrays: trees.Tree) -> str | None:
    """Find the path of the first leaf with an element that is NaN or infinite."""
    for path, leaf in trees.flatten(arrays).items():
        xp = array_namespace(leaf)
        if not bool(xp.all(xp.isfinite(leaf))):
            return path
    return None
