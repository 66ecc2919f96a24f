"""Functions that the edits of bugs call, besides the oracle's."""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from lookahead_ref.conformance.oracle import Step, Tensors


def zeros(tensors: Tensors) -> Tensors:
    return [[0.0] * len(each) for each in tensors]


def bytes_copied(these: Tensors, others: Tensors, of_each: int = 1) -> Tensors:
    """Copy so many bytes for each number, of all numbers in a row, onto others."""
    one, other = (
        np.array([x for xs in some for x in xs], "<f8") for some in (these, others)
    )
    other.view(np.uint8)[: of_each * one.size] = one.view(np.uint8)[: of_each * one.size]
    numbers = iter(other.tolist())
    return [[next(numbers) for _ in xs] for xs in these]


def in_columns(case: Mapping[str, Any], tensors: Tensors, axis: int = -1) -> Tensors:
    """Write matrices column by column; with axis 0, undo it."""
    strides = [each["shape"][axis] if each["shape"] else 1 for each in case["params"]]
    pairs = zip(tensors, strides, strict=False)  # of one worker
    return [[x for start in range(n) for x in xs[start::n]] for xs, n in pairs]


def shown_in_columns(case: Mapping[str, Any], shown: Step, axis: int) -> Step:
    slots = {n: in_columns(case, each, axis) for n, each in shown.slots.items()}
    slow = [in_columns(case, each, axis) for each in shown.slow]
    return shown._replace(fast=in_columns(case, shown.fast, axis), slow=slow, slots=slots)


def beginnings(case: Mapping[str, Any], these: Tensors, others: Tensors) -> Tensors:
    """Take elements from others where a loop with the wrong distance of rows ends."""
    shapes = [each["shape"] for each in case["params"]]
    rows = [shape[0] if len(shape) > 1 else 1 for shape in shapes]
    each = list(zip(rows, these, others, strict=False))  # of one worker
    ends = [(n - 1) * n + len(a) // n for n, a, _ in each]
    return [a[:end] + b[end:] for end, (_, a, b) in zip(ends, each, strict=True)]


def bits_swapped(case: Mapping[str, Any]) -> Mapping[str, Any]:
    """Reverse the bytes of every number of a case."""

    def swapped(found: re.Match[str]) -> str:
        return f'"{bytes.fromhex(found[1])[::-1].hex()}"'

    numbers = ("lookahead", "inner", "learning_rate", "params", "problem")
    text = json.dumps({name: case[name] for name in numbers})
    return {**case, **json.loads(re.sub('"([0-9a-f]{16})"', swapped, text))}
