"""The in-place execution of any optimizer.

There is no second implementation here. Each step calls the optimizer's own pure ``step`` on
a symbol that stands for every parameter at once (`lookahead_ref.program`); what it records,
from the inner update to the interpolation at the end of a cycle, becomes one program,
compiled once by the backend and run in one pass over the memory of each parameter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lookahead_ref import tree
from lookahead_ref.backend import Backend, Kernel, explained, load, run
from lookahead_ref.elementwise import round_to
from lookahead_ref.optimizers import Optimizer
from lookahead_ref.optimizers.base import check_optimizer
from lookahead_ref.program import Symbol, Tape, compile_calls
from lookahead_ref.tree import Array, Tree

# The one leaf of the symbolic trees; no slot can have this name.
_LEAF = ""


@dataclass(frozen=True)
class _Leaf:
    """A parameter's memory: the parameter, then one buffer for each array of state."""

    dtype: str
    buffers: tuple[Array, ...]
    flat: tuple[Array, ...]


class Stepper:
    """Run an optimizer in place, each step fused into one pass over memory.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer.
    params : dict
        The initial parameters: names to float32 or float64 arrays of the backend's library,
        possibly nested. They are copied.
    backend : str or Backend, default: "numpy"
        What runs the updates: the name of a registered backend, or one itself.

    Attributes
    ----------
    optimizer : Optimizer
        The optimizer.
    backend : Backend
        The backend.

    Raises
    ------
    TypeError, ValueError
        If `params` cannot be optimized, or there is no such backend.
    BackendUnavailableError
        If the backend cannot run here.

    Notes
    -----
    Memory is the parameters and the optimizer's state, each once. On every backend of this
    package that computes in host memory, parameters and state agree bit for bit with the
    pure interface. A step neither raises nor warns where a result overflows or is not a
    number.

    A stepper cannot be copied or pickled; its `state_dict` can.

    Examples
    --------
    >>> import numpy as np
    >>> import lookahead_ref as la
    >>> optimizer = la.Lookahead(la.SGD(learning_rate=1.0), k=2, alpha=0.5)
    >>> stepper = la.Stepper(optimizer, {"x": np.array([8.0])})
    >>> for _ in range(2):
    ...     stepper.step({"x": np.array([1.0])})
    >>> stepper.params["x"]
    array([7.])
    """

    def __init__(
        self, optimizer: Optimizer, params: Tree, *, backend: str | Backend = "numpy"
    ) -> None:
        check_optimizer("optimizer", optimizer)
        self.backend = _backend(backend)
        tree.check_params(params)
        self.optimizer = optimizer
        self._params = tree.map(lambda _: None, params)

        self._leaves: dict[str, _Leaf] = {}
        with explained(self.backend):
            for path, array in tree.flatten(params).items():
                buffers = [
                    self.backend.copy(self.backend.own(f"params[{path!r}]", array, []))
                ]
                # One leaf at a time, so that no second copy of all the state ever exists.
                state = optimizer.init({path: array})
                for _, value in _arrays(state):
                    buffers.append(
                        self.backend.own(f"params[{path!r}]", value, [array, *buffers])
                    )
                flat = tuple(self.backend.flatten(buffer) for buffer in buffers)
                dtype = "float32" if str(array.dtype).endswith("float32") else "float64"
                self._leaves[path] = _Leaf(dtype, tuple(buffers), flat)
                self._names = [name for name, _ in _arrays(state)]
                template = _rename(state, path)
        self._expected = {path: leaf.buffers[0] for path, leaf in self._leaves.items()}
        self._gradient = 1 + len(self._names)
        self._state = _replace_arrays(template, iter(range(1, self._gradient)))
        self._owned = {
            id(buffer): buffer for leaf in self._leaves.values() for buffer in leaf.buffers
        }
        self._kernels: dict[Any, dict[str, Kernel]] = {}
        self._views: dict[int, dict[str, Any]] = {}
        self._interrupted = False

    @property
    def params(self) -> dict[str, Any]:
        """The parameters: read-only views, valid until the next step."""
        return self._view(0)

    def step(self, grads: Tree) -> None:
        """Do one update in place.

        Parameters
        ----------
        grads : dict
            The gradient of the loss, like the parameters in names, shapes, dtypes and
            library. It is not changed, and not copied unless it is not contiguous.

        Raises
        ------
        TypeError, ValueError
            If `grads` does not match the parameters, or a schedule returns a value out of
            range; parameters and state are then as they were.
        RuntimeError
            If an earlier step was interrupted while it wrote.
        """
        if self._interrupted:
            raise RuntimeError(
                "an earlier step was interrupted while it wrote: load a state"
            )
        arrays = tree.flatten(grads, "grads")
        tree.check_leaves_like(arrays, self._expected, "grads")
        gradients = {
            path: self.backend.gradient(arrays[path], self._owned) for path in self._leaves
        }
        tape, state = self._record(gradients)
        kernels = self._compiled(tape, list(enumerate(state.numbers)))
        scalars = self._rounded(tape)

        self._interrupted = True
        for dtype, kernel in kernels.items():
            held = [
                (*leaf.flat, gradients[path])
                for path, leaf in self._leaves.items()
                if leaf.dtype == dtype
            ]
            run(kernel, held, scalars[dtype])
        self._state = _replace_arrays(state.state, iter(range(1, self._gradient)))
        self._interrupted = False

    def evaluation_params(self) -> dict[str, Any]:
        """Return the parameters to evaluate, save and report.

        Returns
        -------
        dict
            A tree like the parameters, of read-only views, valid until the next step.

        Raises
        ------
        TypeError
            If the optimizer computes them anew, which a stepper cannot.
        """
        tape = Tape(self._gradient)
        symbols = [Symbol(tape, number) for number in range(self._gradient)]
        result = self.optimizer.evaluation_params(
            {_LEAF: symbols[0]}, _replace_arrays(self._state, iter(symbols[1:]))
        )[_LEAF]
        if result.number >= self._gradient:
            name = type(self.optimizer).__name__
            raise TypeError(
                f"{name}.evaluation_params must return params or a part of the state"
            )
        return self._view(result.number)

    def state_dict(self) -> dict[str, Any]:
        """Copy parameters and state.

        Returns
        -------
        dict
            Path to array or int: ``params/`` and the path of each parameter, then the
            arrays and counts of the optimizer's state by their place in it, as
            ``inner/slots/velocity/w``.
        """
        if self._interrupted:
            raise RuntimeError(
                "an earlier step was interrupted while it wrote: load a state"
            )
        saved: dict[str, Any] = dict(_counts(self._state))
        for number, name in enumerate(["params", *self._names]):
            for path, leaf in self._leaves.items():
                saved[f"{name}/{path}"] = self.backend.copy(leaf.buffers[number])
        return saved

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore parameters and state.

        Parameters
        ----------
        saved : dict
            What `state_dict` returned, of a stepper for the same optimizer and parameters.

        Raises
        ------
        TypeError, ValueError
            If an entry is missing, not expected, or of another kind, dtype or shape;
            parameters and state are then as they were.
        """
        if not isinstance(saved, Mapping):
            raise TypeError(
                f"saved must be a dict as state_dict returns, got {type(saved).__name__}"
            )
        targets = {
            f"{name}/{path}": leaf.buffers[number]
            for number, name in enumerate(["params", *self._names])
            for path, leaf in self._leaves.items()
        }
        counts = dict(_counts(self._state))
        for name in [*counts, *targets]:
            if name not in saved:
                raise ValueError(f"saved must have an entry {name!r}, got none")
        for name in saved:
            if name not in targets and name not in counts:
                raise ValueError(
                    f"saved has an entry {name!r}, which this optimizer has not"
                )
        for name in counts:
            counts[name] = _count(f"saved[{name!r}]", saved[name])
        for name, target in targets.items():
            tree.check_leaf_like(f"saved[{name!r}]", saved[name], target)
        # An entry may be a view of what another one is written to.
        values = {
            name: self.backend.own(
                f"saved[{name!r}]", saved[name], list(self._owned.values())
            )
            for name in targets
        }
        self._interrupted = True
        for name, target in targets.items():
            self.backend.assign(target, values[name])
        self._state = _replace_counts(self._state, counts, "")
        self._interrupted = False

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be copied or pickled: views and what they show would part."""
        raise TypeError(
            "a Stepper cannot be copied or pickled: make another one for the same "
            "optimizer and params, and load its state_dict()"
        )

    def _view(self, number: int) -> dict[str, Any]:
        if number not in self._views:
            self._views[number] = tree.unflatten(
                self._params,
                {
                    path: self.backend.readonly(leaf.buffers[number])
                    for path, leaf in self._leaves.items()
                },
            )
        return self._views[number]

    def _record(self, gradients: Mapping[str, Array]) -> "tuple[Tape, _Recorded]":
        tape = Tape(self._gradient + 1, partial(self._evaluate, gradients))
        symbols = [Symbol(tape, number) for number in range(self._gradient + 1)]
        state = _replace_arrays(self._state, iter(symbols[1:-1]))
        params, state = self.optimizer.step(
            {_LEAF: symbols[0]}, {_LEAF: symbols[-1]}, state
        )
        numbers = [params[_LEAF].number, *[value.number for _, value in _arrays(state)]]
        return tape, _Recorded(state, tuple(numbers))

    def _evaluate(
        self,
        gradients: Mapping[str, Array],
        tape: Tape,
        function: Callable[..., Any],
        numbers: Sequence[int],
    ) -> list[Any]:
        """Compute symbols in memory of their own, one leaf at a time."""
        computed = [number for number in numbers if number >= tape.buffers]
        places = [(tape.buffers + place, number) for place, number in enumerate(computed)]
        kernels = self._compiled(tape, places, scratch=len(computed))
        scalars = self._rounded(tape)
        results = []
        for path, leaf in self._leaves.items():
            held = (*leaf.flat, gradients[path])
            scratch = [self.backend.copy(leaf.flat[0]) for _ in computed]
            if computed:
                kernels[leaf.dtype]((*held, *scratch), scalars[leaf.dtype])
            values = dict(zip(computed, scratch, strict=True))
            results.append(
                function(*[values[n] if n in values else held[n] for n in numbers])
            )
        return results

    def _rounded(self, tape: Tape) -> dict[str, list[float]]:
        return {
            dtype: [round_to(dtype, name, value) for name, value in tape.coefficients]
            for dtype in {leaf.dtype for leaf in self._leaves.values()}
        }

    def _compiled(
        self, tape: Tape, results: Sequence[tuple[int, int]], *, scratch: int = 0
    ) -> dict[str, Kernel]:
        key = (tuple(tape.calls), tuple(results))
        if key not in self._kernels:
            program = compile_calls(tape.buffers, tape.calls, results, scratch=scratch)
            self._kernels[key] = {
                dtype: self.backend.compile(program, dtype)
                for dtype in sorted({leaf.dtype for leaf in self._leaves.values()})
            }
        return self._kernels[key]


@dataclass(frozen=True)
class _Recorded:
    """The state after a recorded step, and the symbol that each buffer then holds."""

    state: Any
    numbers: tuple[int, ...]


def _backend(given: Any) -> Backend:
    if isinstance(given, str):
        return load(given)
    if not isinstance(given, Backend) or isinstance(given, type):
        raise TypeError(f"backend must be the name of one or one itself, got {given!r}")
    return given


# A state is a NamedTuple of counts, of trees and dicts of trees, and of further states.
_STATE = (dict, tuple)


def _parts(state: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(state, dict):
        yield from state.items()
    else:
        yield from zip(state._fields, state, strict=True)


def _is_state(value: Any) -> bool:
    return isinstance(value, _STATE)


def _rebuild(state: Any, parts: Mapping[str, Any]) -> Any:
    return dict(parts) if isinstance(state, dict) else type(state)(**parts)


def _arrays(state: Any, prefix: str = "") -> Iterator[tuple[str, Array]]:
    """List the arrays of one leaf's state by their place, without the leaf's name."""
    for name, value in _parts(state):
        if _is_state(value):
            yield from _arrays(value, f"{prefix}{name}/")
        elif value is not None and not isinstance(value, int):
            yield prefix.removesuffix("/"), value


def _counts(state: Any, prefix: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(state, dict):
        return
    for name, value in _parts(state):
        if _is_state(value):
            yield from _counts(value, f"{prefix}{name}/")
        elif isinstance(value, int) and isinstance(name, str):
            yield prefix + name, value


def _walk(state: Any, leaf: Callable[[Any], Any]) -> Any:
    return _rebuild(
        state,
        {
            name: _walk(value, leaf) if _is_state(value) else leaf(value)
            for name, value in _parts(state)
        },
    )


def _rename(state: Any, path: str) -> Any:
    """Give the one leaf of every tree in a state the name of the symbolic leaf."""
    if isinstance(state, dict) and state.keys() == {path} and not _is_state(state[path]):
        return {_LEAF: state[path]}
    return _rebuild(
        state,
        {
            name: _rename(value, path) if _is_state(value) else value
            for name, value in _parts(state)
        },
    )


def _replace_arrays(state: Any, values: Iterator[Any]) -> Any:
    """Replace the arrays of a state, in order; an integer inside a tree is one too."""
    if isinstance(state, dict):
        return {
            name: _replace_arrays(value, values) if _is_state(value) else next(values)
            for name, value in state.items()
        }
    return type(state)(
        *[_replace_arrays(value, values) if _is_state(value) else value for value in state]
    )


def _replace_counts(state: Any, counts: Mapping[str, int], prefix: str) -> Any:
    if isinstance(state, dict):
        return state
    parts = {}
    for name, value in _parts(state):
        if _is_state(value):
            parts[name] = _replace_counts(value, counts, f"{prefix}{name}/")
        else:
            parts[name] = counts.get(prefix + name, value)
    return type(state)(**parts)


def _count(name: str, value: Any) -> int:
    # Formats for arrays keep a count as an array of no dimensions.
    if isinstance(value, bool) or getattr(value, "shape", ()) != ():
        raise TypeError(f"{name} must be an integer >= 0, got {value!r}")
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be an integer >= 0, got {value!r}") from None
    if number != value or number < 0:
        raise ValueError(f"{name} must be an integer >= 0, got {value!r}")
    return number
