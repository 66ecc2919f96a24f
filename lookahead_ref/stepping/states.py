"""Lists and replaces the arrays and counts of optimizers' states.

A state is a NamedTuple of counts, trees, dicts of trees, and further states. The place of a
part is written as ``inner/slots/velocity``, without the name of a leaf.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lookahead_ref.stepping.recording import Symbol
from lookahead_ref.trees import Array

_STATE = (dict, tuple)


def _leaves(state: Any, prefix: str) -> Iterator[tuple[str, str, Any]]:
    """List place, name and value of everything in a one-leaf state."""
    parts = state if isinstance(state, dict) else state._asdict()
    for name, value in parts.items():
        if isinstance(value, _STATE):
            yield from _leaves(value, f"{prefix}{name}/")
        elif value is not None:
            yield prefix, name, value


def arrays(state: Any) -> list[tuple[str, Array]]:
    """List the arrays of a one-leaf state by place."""
    return [
        (at.removesuffix("/"), each)
        for at, _, each in _leaves(state, "")
        if not isinstance(each, int)
    ]


def counts(state: Any, prefix: str) -> dict[str, int]:
    """Return the counts of a one-leaf state by place."""
    return {
        at + name: each
        for at, name, each in _leaves(state, prefix)
        if isinstance(each, int)
    }


def replace_counts(state: Any, values: Mapping[str, int], prefix: str = "") -> Any:
    """Return a state with other counts, given by place."""
    if isinstance(state, dict):
        return state
    parts = {
        name: replace_counts(value, values, f"{prefix}{name}/")
        if isinstance(value, _STATE)
        else values.get(prefix + name, value)
        for name, value in state._asdict().items()
    }
    return type(state)(**parts)


def replace_arrays(state: Any, symbols: Iterator[Symbol], replaced: list[Any]) -> Any:
    """Replace a one-leaf state's arrays by symbols, and append the arrays to a list."""
    if isinstance(state, dict):
        leaf = next(iter(state.values()), None)
        if leaf is None or isinstance(leaf, _STATE):
            return {n: replace_arrays(v, symbols, replaced) for n, v in state.items()}
        replaced.append(leaf)
        return next(symbols).tree
    # Twice as fast as calling the class.
    return tuple.__new__(
        type(state),
        [
            replace_arrays(part, symbols, replaced) if isinstance(part, _STATE) else part
            for part in state
        ],
    )
