"""Lists and replaces the arrays and counts of optimizers' states.

A state is a NamedTuple of counts, trees, dicts of trees, and further states. The place of a
part is written as ``inner/slots/velocity``, without the name of a leaf.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lookahead_ref.stepping.recording import Symbol
from lookahead_ref.trees import Array

_STATE = (dict, tuple)


def _parts(state: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(state, dict):
        yield from state.items()
    else:
        yield from zip(state._fields, state, strict=True)


def arrays(state: Any, prefix: str = "") -> Iterator[tuple[str, Array]]:
    """List the arrays of a one-leaf state by place."""
    for name, value in _parts(state):
        if isinstance(value, _STATE):
            yield from arrays(value, f"{prefix}{name}/")
        elif value is not None and not isinstance(value, int):
            yield prefix.removesuffix("/"), value


def counts(state: Any, prefix: str = "") -> Iterator[tuple[str, int]]:
    """List the counts of a state by place."""
    if isinstance(state, dict):
        return
    for name, value in _parts(state):
        if isinstance(value, _STATE):
            yield from counts(value, f"{prefix}{name}/")
        elif isinstance(value, int):
            yield prefix + name, value


def replace_counts(state: Any, values: Mapping[str, int], prefix: str = "") -> Any:
    """Return a state with other counts, given by place."""
    if isinstance(state, dict):
        return state
    parts = {
        name: replace_counts(value, values, f"{prefix}{name}/")
        if isinstance(value, _STATE)
        else values.get(prefix + name, value)
        for name, value in _parts(state)
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
