"""States of optimizers, walked: their arrays, their counts, and symbols in their place.

A state is a NamedTuple of counts, of trees and dicts of trees, and of further states.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lookahead_ref.stepping.recording import Symbol
from lookahead_ref.trees import SOLE, Array

_STATE = (dict, tuple)


def _parts(state: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(state, dict):
        yield from state.items()
    else:
        yield from zip(state._fields, state, strict=True)


def arrays(state: Any, prefix: str = "") -> Iterator[tuple[str, Array]]:
    """List the arrays of one leaf's state by their place, without the leaf's name.

    Parameters
    ----------
    state : NamedTuple
        What `init` returned for parameters of one leaf.
    prefix : str, default: ""
        What stands before each place.

    Yields
    ------
    (str, array)
        Place, as ``inner/slots/velocity``, and array.
    """
    for name, value in _parts(state):
        if isinstance(value, _STATE):
            yield from arrays(value, f"{prefix}{name}/")
        elif value is not None and not isinstance(value, int):
            yield prefix.removesuffix("/"), value


def counts(state: Any, prefix: str = "") -> Iterator[tuple[str, int]]:
    """List the counts of a state by their place.

    Parameters
    ----------
    state : NamedTuple
        The state.
    prefix : str, default: ""
        What stands before each place.

    Yields
    ------
    (str, int)
        Place, as ``inner/step``, and count.
    """
    if isinstance(state, dict):
        return
    for name, value in _parts(state):
        if isinstance(value, _STATE):
            yield from counts(value, f"{prefix}{name}/")
        elif isinstance(value, int):
            yield prefix + name, value


def replace_counts(state: Any, values: Mapping[str, int], prefix: str = "") -> Any:
    """Replace the counts of a state.

    Parameters
    ----------
    state : NamedTuple
        The state.
    values : dict
        Place to count.
    prefix : str, default: ""
        What stands before each place.

    Returns
    -------
    NamedTuple
        The state with these counts.
    """
    if isinstance(state, dict):
        return state
    parts = {
        name: replace_counts(value, values, f"{prefix}{name}/")
        if isinstance(value, _STATE)
        else values.get(prefix + name, value)
        for name, value in _parts(state)
    }
    return type(state)(**parts)


def symbolic(state: Any, symbols: Iterator[Symbol]) -> Any:
    """Put symbols in the place of the arrays of one leaf's state, in order.

    Parameters
    ----------
    state : NamedTuple
        What `init` returned for parameters of one leaf.
    symbols : iterator of Symbol
        The symbols.

    Returns
    -------
    NamedTuple
        The state, its trees of one leaf each a symbol's `tree`.
    """
    if isinstance(state, dict):
        if any(not isinstance(value, _STATE) for value in state.values()):
            return next(symbols).tree
        return {name: symbolic(value, symbols) for name, value in state.items()}
    return type(state)(
        *[symbolic(part, symbols) if isinstance(part, _STATE) else part for part in state]
    )


def settle(state: Any, symbols: Iterator[Symbol], numbers: list[int]) -> Any:
    """Take over the state that a recorded step returned.

    Parameters
    ----------
    state : NamedTuple
        The state, of symbols.
    symbols : iterator of Symbol
        What to put in their place, in order.
    numbers : list of int
        Where to append the number of each symbol that is replaced.

    Returns
    -------
    NamedTuple
        The state as the next step is to be recorded from it.
    """
    if isinstance(state, dict):
        if SOLE in state and not isinstance(state[SOLE], _STATE):
            numbers.append(state[SOLE].number)
            return next(symbols).tree
        return {name: settle(value, symbols, numbers) for name, value in state.items()}
    # As the class itself would, in half the time.
    return tuple.__new__(
        type(state),
        [
            settle(part, symbols, numbers) if isinstance(part, _STATE) else part
            for part in state
        ],
    )
