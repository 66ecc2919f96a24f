"""Checks of what a layer is given.

Compiled kernels believe the shapes and the dtype that they are told: they would read past
the end of an array that is too short, where NumPy stretches it.
"""

from typing import Any

from autograd.tracer import getval, isbox

from lookahead_ref.kernels import namespace

__all__ = ["check", "check_indices", "check_inputs", "like"]


def like(array: Any, values: Any) -> Any:
    """Return values as an array of another array's library and dtype; boxes as they are."""
    # What is differentiated has the dtype that its gradient shall have.
    if isbox(values):
        return values
    return namespace(array).asarray(values, dtype=getval(array).dtype)


def check(name: str, array: Any, shape: tuple[int, ...], dtype: Any = None) -> None:
    """Refuse an array of another shape or, where one is given, another dtype."""
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if dtype is not None and array.dtype != dtype:
        raise TypeError(
            f"{name} must be of dtype {dtype}, as the weights are, got {array.dtype}"
        )


def check_inputs(inputs: Any, *shapes: tuple[int, ...]) -> None:
    """Refuse a batch whose examples have none of the shapes that a model takes."""
    if tuple(inputs.shape[1:]) not in shapes:
        known = " or ".join(f"(n, {', '.join(map(str, shape))})" for shape in shapes)
        raise ValueError(f"inputs must have shape {known}, got {tuple(inputs.shape)}")


def check_indices(name: str, indices: Any, size: int) -> None:
    """Refuse indices that are not from 0 to ``size - 1``, where looking costs nothing."""
    kind = getattr(getattr(indices, "dtype", None), "kind", None)
    if kind not in ("i", "u"):
        raise TypeError(f"{name} must be an array of integers, got {indices!r}")
    # A device would have to be waited for: there, what an index out of range gives is open.
    if namespace(indices).__name__ != "numpy" or not indices.size:
        return
    for extreme in (int(indices.min()), int(indices.max())):
        if not 0 <= extreme < size:
            raise ValueError(f"{name} must be from 0 to {size - 1}, got {extreme}")
