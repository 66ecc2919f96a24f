"""The JSON of harnesses and recordings: requests, answers, tensors as bit strings.

``docs/conformance/harness.md`` specifies it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from lookahead_ref.conformance.judging import Observation, Trajectory
from lookahead_ref.conformance.protocol import TargetError
from lookahead_ref.conformance.vectors import Case, Float64Array

PROTOCOL = 1
"""The version of the protocol."""

_BITS = re.compile(r"[0-9a-fA-F]{16}\Z")
_SHOWN = 80
_TOLD = 1000


def encode(values: Any) -> list[str]:
    """Write an array as bit strings of binary64.

    Parameters
    ----------
    values : array
        Of any shape; float32 widens without loss.

    Returns
    -------
    list of str
        16 hexadecimal digits for each element, in row-major order.
    """
    text = np.ascontiguousarray(values, ">f8").tobytes().hex()
    return [text[i : i + 16] for i in range(0, len(text), 16)]


def parse(line: str | bytes) -> dict[str, Any]:
    """Read one JSON object.

    Parameters
    ----------
    line : str or bytes
        The line.

    Returns
    -------
    dict
        The object.

    Raises
    ------
    TargetError
        If the line is something else.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TargetError(f"an answer must be a JSON object, got {shown(line)}") from error
    if not isinstance(found, dict):
        raise TargetError(f"an answer must be a JSON object, got {shown(line)}")
    return found


def shown(value: Any) -> str:
    """Write a value short enough for a message."""
    text = (
        value.decode("utf-8", "replace").rstrip("\n")
        if isinstance(value, bytes)
        else value
        if isinstance(value, str)
        else json.dumps(value)
    )
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}... ({len(text)} long)"


def told(value: Any) -> str:
    """Take what a program says for a text that every output can hold."""
    text = str(value)[:_TOLD].encode("utf-8", "replace").decode("utf-8")
    return "".join(
        c if c.isprintable() or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def tensors(case: Case, what: str, value: Any) -> Float64Array:
    """Read the tensors of an answer.

    Parameters
    ----------
    case : Case
        The case, which knows their shapes.
    what : str
        What they are, for the message.
    value : object
        The JSON value: for each parameter, a list of bit strings.

    Returns
    -------
    ndarray
        The elements of all tensors one after the other, float64.

    Raises
    ------
    TargetError
        If the value is something else.
    """
    sizes = [prod(shape) for shape in case.shapes]
    if not isinstance(value, list) or len(value) != len(sizes):
        raise TargetError(
            f"{what} must be a list of {len(sizes)} tensors, got {shown(value)}"
        )
    digits = []
    for name, size, values in zip(case.names, sizes, value, strict=True):
        digits += elements(f"{what}: {name}", values, size)
    return np.frombuffer(bytes.fromhex("".join(digits)), ">f8").astype(np.float64)


def elements(what: str, value: Any, size: int) -> list[str]:
    """Check the bit strings of one tensor.

    Parameters
    ----------
    what : str
        What it is, for the message.
    value : object
        The JSON value.
    size : int
        The number of its elements.

    Returns
    -------
    list of str
        The value.

    Raises
    ------
    TargetError
        If it is something else.
    """
    if not isinstance(value, list) or len(value) != size:
        raise TargetError(
            f"{what} must be a list of {size} bit strings, got {shown(value)}"
        )
    for each in value:
        if not isinstance(each, str) or not _BITS.match(each):
            raise TargetError(
                f"{what} must hold bit strings of 16 hexadecimal digits, got {shown(each)}"
            )
    return value


def slow(case: Case, value: Any) -> list[Float64Array]:
    """Read the slow weights of an answer: none, or those of each Lookahead."""
    levels = len(case.data["lookahead"])
    if value is None or value == []:
        return []
    if not isinstance(value, list) or len(value) != levels:
        raise TargetError(
            f"slow must be a list of {levels} lists of tensors, or empty, got "
            f"{shown(value)}"
        )
    return [tensors(case, "slow weights", each) for each in value]


def slots(case: Case, value: Any) -> dict[str, Float64Array]:
    """Read the slots of an answer: objects of a name and tensors."""
    found = {}
    if value is not None and not isinstance(value, list):
        raise TargetError(f"slots must be a list, got {shown(value)}")
    for each in value or []:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise TargetError(f"a slot must have a name and values, got {shown(each)}")
        found[each["name"]] = tensors(case, each["name"], each.get("values"))
    return found


def start(case: Case, dtype: str) -> dict[str, Any]:
    """Write the request that starts a case."""
    kept = ("id", "lookahead", "inner", "learning_rate", "params", "steps")
    return {
        "do": "start",
        "dtype": dtype,
        "case": {name: case.data[name] for name in kept},
    }


def whole(case: Case, dtype: str) -> dict[str, Any]:
    """Write all of a case that a program may know: what is expected is left out."""
    known = {name: value for name, value in case.data.items() if name != "outcomes"}
    return {"dtype": dtype, "case": known}


def pack(seen: Observation) -> dict[str, Any]:
    """Write what was observed up to the end of a case, in few strings."""
    return {
        "steps": pack_trajectory(seen.steps),
        "evaluations": [[step, _packed(w)] for step, w in seen.evaluations.items()],
    }


def unpack(packed: Mapping[str, Any]) -> Observation:
    """Read what `pack` wrote."""
    evaluations = {step: _unpacked(values) for step, values in packed["evaluations"]}
    return Observation(unpack_trajectory(packed["steps"]), None, evaluations)


def pack_trajectory(seen: Trajectory) -> dict[str, Any]:
    """Write a trajectory in few strings."""
    return {
        "fast": [_packed(each) for each in seen.fast],
        "slow": [[_packed(each) for each in levels] for levels in seen.slow],
        "slots": [{n: _packed(each) for n, each in slots.items()} for slots in seen.slots],
    }


def unpack_trajectory(packed: Mapping[str, Any]) -> Trajectory:
    """Read what `pack_trajectory` wrote."""
    return Trajectory(
        [_unpacked(each) for each in packed["fast"]],
        [[_unpacked(each) for each in levels] for levels in packed["slow"]],
        [{n: _unpacked(each) for n, each in slots.items()} for slots in packed["slots"]],
    )


def _packed(values: Float64Array) -> str:
    return values.astype(">f8").tobytes().hex()


def _unpacked(text: str) -> Float64Array:
    return np.frombuffer(bytes.fromhex(text), ">f8").astype(np.float64)


def gradients(case: Case, given: Mapping[str, Any]) -> list[list[str] | None]:
    """Write gradients in the order of the parameters, null where there is none."""
    return [None if given[name] is None else encode(given[name]) for name in case.names]


def steps_of(what: str, value: Any, count: int) -> Sequence[dict[str, Any]]:
    """Check that a recording holds a list of steps."""
    if not isinstance(value, list) or len(value) != count:
        raise TargetError(f"{what} must be a list of {count} steps, got {shown(value)}")
    for each in value:
        if not isinstance(each, dict):
            raise TargetError(f"{what} must hold objects, got {shown(each)}")
    return value
