"""Finds NaN and infinity, and the error that reports them.

Checking every element of every array costs several passes over memory. A sum is one pass,
stays on the device, and is not finite if any element is not. As a sum can also overflow by
itself, one that is not finite only leads to a closer look.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from array_api_compat import array_namespace, is_array_api_obj

from lookahead_ref import trees
from lookahead_ref.training.events import EpochRecord

Where: TypeAlias = Literal["batch", "gradient", "state", "evaluation"]
"""Where it is: in the loss of a batch, its gradient, the optimizer's state after that, or
the loss of an evaluation."""


@dataclass(eq=False, repr=False)
class NonFiniteLossError(ArithmeticError):
    """A loss, a gradient or the optimizer's state became NaN or infinite."""

    of: Where
    """What is not finite: the loss of a batch; its gradient, if the loss is finite (no
    update is done then); the optimizer's state after the update, if both are finite; or
    the loss of the evaluation after an epoch."""
    step: int
    """Updates done before, which is also the batch's global step."""
    epoch: int
    """The epoch, from 1."""
    loss: float
    history: tuple[EpochRecord, ...]
    """The evaluated epochs; an evaluation's loss is in the last one."""
    parameter: str | None = None
    """The path of the first parameter that is not finite or, if all are finite, whose
    gradient is not; for the state its first entry, as ``slots/second_moment/weight``."""
    parameter_is_finite: bool = True
    """Whether the parameters themselves are finite."""
    inputs_are_finite: bool = True
    """Whether the batch is finite."""

    def __post_init__(self) -> None:
        self.args = tuple(vars(self).values())  # for pickle

    def __str__(self) -> str:
        return (
            f"{self._what()} at step {self.step}, in epoch {self.epoch}{self._where()}: "
            f"training stopped ({self._advice()})"
        )

    def _what(self) -> str:
        if self.of == "state":
            return f"{self.parameter!r} of the optimizer's state is not finite"
        if self.of == "gradient":
            return f"the gradient of the batch is not finite (its loss is {self.loss:g})"
        which = "the batch" if self.of == "batch" else "the evaluated weights"
        return f"the loss of {which} is {self.loss}"

    def _where(self) -> str:
        if self.parameter is None or self.of == "state":
            return ""
        if not self.parameter_is_finite:
            return f", where the parameter {self.parameter!r} is not finite itself"
        if self.of == "evaluation":
            return ""
        return f", first in the parameter {self.parameter!r}"

    def _advice(self) -> str:
        if not self.inputs_are_finite:
            return "the batch itself has values that are not finite"
        if self.of == "state":
            return "a square in the rule may overflow: clipping gradients may help"
        if self.step == 0:
            return "no update was done before: check the data and the initial weights"
        return "a smaller learning rate may help"


def joint_sum(start: Any, arrays: Iterable[trees.Array]) -> Any:
    """Add up a number and the elements of all arrays, on their device."""
    for array in arrays:
        start = start + array_namespace(array).sum(array)
    return start


def sum_of_squares(arrays: trees.Tree) -> float:
    """Add up the squares of the elements of all arrays, without copies."""
    flat = [array_namespace(x).reshape(x, (-1,)) for x in trees.flatten(arrays).values()]
    return float(sum(x @ x for x in flat))


def first_nonfinite(arrays: trees.Tree) -> str | None:
    """Find the path of the first leaf with an element that is NaN or infinite."""
    leaves = trees.flatten(arrays).items()
    return next((path for path, leaf in leaves if not is_finite(leaf)), None)


def is_finite(value: Any) -> bool:
    """Return whether all floats are finite, in an array or tuples and dicts of arrays."""
    if isinstance(value, tuple | Mapping):
        return all(map(is_finite, value.values() if isinstance(value, Mapping) else value))
    if not is_array_api_obj(value):
        return True
    xp = array_namespace(value)
    return not xp.isdtype(value.dtype, "real floating") or bool(xp.all(xp.isfinite(value)))
