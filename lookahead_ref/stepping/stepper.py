"""The in-place execution of any optimizer.

There is no second implementation here. Each step calls the optimizer's own pure ``step`` on
a symbol that stands for every parameter at once (`lookahead_ref.stepping.recording`). The
record, from the inner update to the interpolation at the end of a cycle, becomes one
program, which the backend compiles, binds to memory once, and runs in one pass over it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from operator import itemgetter
from threading import Lock
from typing import Any

from lookahead_ref import trees
from lookahead_ref.hyperparameters import round_to
from lookahead_ref.optimizers import Grouped, Optimizer
from lookahead_ref.optimizers.base import check_optimizer
from lookahead_ref.stepping import states
from lookahead_ref.stepping.backend import (
    Backend,
    BindingBackend,
    Kernel,
    Program,
    explained,
    load,
)
from lookahead_ref.stepping.recording import Tape, compile_calls
from lookahead_ref.trees import SOLE, Array, Tree


@dataclass(frozen=True)
class _Leaf:
    """A parameter's memory: the parameter, then one buffer for each array of state."""

    dtype: str
    buffers: tuple[Array, ...]
    flat: tuple[Array, ...]


@dataclass
class _Part:
    """A recorded step, compiled for the leaves of one dtype."""

    dtype: str
    places: Sequence[int] | None  # of the leaves; None: all
    names: tuple[str, ...]
    run: Kernel
    scalars: list[float] = field(default_factory=list)
    rounded: list[float] = field(default_factory=list)

    def round(self, scalars: list[float]) -> list[float]:
        """Round scalars to the dtype, reusing those of the step before."""
        # Equal zeros may differ in sign.
        if scalars != self.scalars or 0.0 in scalars:
            before = self.scalars or [0.0] * len(scalars)
            known = self.rounded or before
            self.rounded = [
                old if new == last != 0.0 else round_to(self.dtype, name, new)
                for name, new, last, old in zip(
                    self.names, scalars, before, known, strict=True
                )
            ]
            self.scalars = scalars
        return self.rounded


class _Group:
    """Parameters that one optimizer updates: their memory, and its steps as programs."""

    def __init__(
        self,
        optimizer: Optimizer,
        params: Mapping[str, Array],
        backend: Backend,
        compiled: Callable[..., Kernel],
    ) -> None:
        self.places: Sequence[int] | None = None  # among all leaves; None: all
        self.leaves: dict[str, _Leaf] = {}
        for path, array in params.items():
            name, own = f"params[{path!r}]", backend.own
            buffers = [backend.copy(own(name, array, []))]
            # One leaf at a time, so that the whole state is never copied at once.
            state = optimizer.init({path: array})
            for _, value in states.arrays(state):
                buffers.append(own(name, value, [array, *buffers]))
            flat = tuple(backend.flatten(buffer) for buffer in buffers)
            dtype = "float32" if str(array.dtype).endswith("float32") else "float64"
            self.leaves[path] = _Leaf(dtype, tuple(buffers), flat)
            self.names = [name for name, _ in states.arrays(state)]
        self._optimizer, self._backend, self._compile = optimizer, backend, compiled
        # Symbols for the parameter, the arrays of its state and its gradient.
        self._gradient = 1 + len(self.names)
        self._tape = Tape(self._gradient + 1, self._evaluate)
        theta, *self._symbols, gradient = self._tape.symbols
        self._theta, self._grads = theta.tree, gradient.tree
        self.state = states.replace_arrays(state, iter(self._symbols), [])
        self._given: Sequence[Array] = ()  # the gradients, while a step is recorded
        self._parts: dict[Any, list[_Part]] = {}
        self._dtypes: dict[str, list[int]] = {}
        for place, leaf in enumerate(self.leaves.values()):
            self._dtypes.setdefault(leaf.dtype, []).append(place)

    def record(
        self, gradients: Sequence[Array]
    ) -> tuple[Any, Sequence[Array], list[tuple[_Part, list[float]]]]:
        """Return the state after a step, the group's gradients, and the parts to run."""
        places = self.places
        given = gradients if places is None else [gradients[place] for place in places]
        self._given = given
        try:
            self._tape.restart()
            params, state = self._optimizer.step(self._theta, self._grads, self.state)
            results = [params[SOLE]]  # of each buffer
            state = states.replace_arrays(state, iter(self._symbols), results)
            parts = self._compiled([result.number for result in results])
            scalars = self._tape.scalars
            return state, given, [(part, part.round(scalars)) for part in parts]
        finally:
            self._given = ()

    def evaluated(self) -> int:
        """Return the number of the buffer with the evaluation parameters."""
        result = self._optimizer.evaluation_params(self._theta, self.state)[SOLE]
        if result.number >= self._gradient:
            name = type(self._optimizer).__name__
            raise TypeError(
                f"{name}.evaluation_params must return params or a part of the state"
            )
        return int(result.number)

    def _evaluate(
        self, tape: Tape, function: Callable[..., Any], numbers: Sequence[int]
    ) -> list[Any]:
        """Compute symbols in temporary memory, one leaf at a time."""
        computed = [number for number in numbers if number >= tape.buffers]
        writes = [(tape.buffers + place, number) for place, number in enumerate(computed)]
        program = compile_calls(tape.buffers, tape.calls, writes, scratch=len(computed))
        names = _coefficients(tape)
        results = []
        for leaf, gradient in zip(self.leaves.values(), self._given, strict=True):
            held = (*leaf.flat, gradient)
            scratch = [self._backend.copy(leaf.flat[0]) for _ in computed]
            if computed:
                scalars = [
                    round_to(leaf.dtype, name, value)
                    for name, value in zip(names, tape.scalars, strict=True)
                ]
                self._compile(program, leaf.dtype)((*held, *scratch), scalars)
            values = dict(enumerate(held)) | dict(zip(computed, scratch, strict=True))
            results.append(function(*[values[number] for number in numbers]))
        return results

    def _compiled(self, numbers: Sequence[int]) -> list[_Part]:
        tape = self._tape
        key = (tuple(tape.numbers), tuple(numbers))
        if key not in self._parts:
            program = compile_calls(tape.buffers, tape.calls, list(enumerate(numbers)))
            names = _coefficients(tape)
            mixed = len(self._dtypes) > 1
            self._parts[key] = [
                _Part(
                    dtype,
                    places if mixed else None,
                    names,
                    self._bind(program, dtype, places),
                )
                for dtype, places in self._dtypes.items()
            ]
        return self._parts[key]

    def _bind(self, program: Program, dtype: str, places: Sequence[int]) -> Kernel:
        every = list(self.leaves.values())
        leaves = [every[place].flat for place in places]
        if isinstance(self._backend, BindingBackend):
            return self._backend.bind(program, dtype, leaves)
        kernel = self._compile(program, dtype)

        def run(gradients: Sequence[Array], scalars: Sequence[float]) -> None:
            for buffers, gradient in zip(leaves, gradients, strict=True):
                kernel((*buffers, gradient), scalars)

        return run


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
        The backend that runs the updates, or its name.

    Attributes
    ----------
    optimizer : Optimizer
    backend : Backend

    Raises
    ------
    TypeError, ValueError
        If `params` cannot be optimized, or there is no such backend.
    BackendUnavailableError
        If the backend cannot run here.

    Notes
    -----
    Parameters and state are in memory once. On all backends of this package that compute in
    host memory, they agree bit for bit with the pure interface. A step neither raises nor
    warns if a result overflows or is not a number.

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
        if isinstance(backend, type) or not isinstance(backend, str | Backend):
            raise TypeError(f"backend must be a backend or its name, got {backend!r}")
        self.backend = load(backend) if isinstance(backend, str) else backend
        trees.check_params(params)
        self.optimizer = optimizer
        self._params = trees.map(lambda _: None, params)
        members = {"": trees.flatten(params)}
        optimizers: Mapping[str, Optimizer] = {"": optimizer}
        if isinstance(optimizer, Grouped):
            members, optimizers = optimizer.members(params), optimizer.groups
        compiled = cache(self.backend.compile)
        with explained(self.backend):
            self._groups = {
                f"groups/{pattern}/" if pattern else "": _Group(
                    optimizers[pattern], own, self.backend, compiled
                )
                for pattern, own in members.items()
            }

        groups = self._groups.values()
        leaves = {path: leaf for each in groups for path, leaf in each.leaves.items()}
        leaves = {path: leaves[path] for path in trees.flatten(params)}
        places = {path: place for place, path in enumerate(leaves)}
        for group in groups:
            if len(groups) > 1:
                group.places = [places[path] for path in group.leaves]
        self._expected = {path: leaf.buffers[0] for path, leaf in leaves.items()}
        self._paths = itemgetter(*leaves)
        self._kinds = [(type(a), a.dtype, a.shape) for a in self._expected.values()]
        self._arrays = {f"params/{path}": array for path, array in self._expected.items()}
        for prefix, group in self._groups.items():
            for number, name in enumerate(group.names, 1):
                for path, leaf in group.leaves.items():
                    self._arrays[f"{prefix}{name}/{path}"] = leaf.buffers[number]
        self._owned = {id(buffer): buffer for buffer in self._arrays.values()}
        self._views: dict[Sequence[int], dict[str, Any]] = {}
        self._interrupted = False
        self._turn = _Turn()

    @property
    def params(self) -> dict[str, Any]:
        """The parameters: read-only views, valid until the next step."""
        return self._view((0,) * len(self._groups))

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
            range; parameters and state are then unchanged.
        RuntimeError
            If an earlier step was interrupted while writing, or another thread is using the
            stepper.
        """
        groups, gradient, owned = self._groups.values(), self.backend.gradient, self._owned
        with self._turn:
            self._check_whole()
            gradients = [gradient(array, owned) for array in self._checked(grads)]
            # Check all groups' hyperparameters before anything is written.
            recorded = [group.record(gradients) for group in groups]
            self._interrupted = True
            for group, (state, given, parts) in zip(groups, recorded, strict=True):
                for part, rounded in parts:
                    places = part.places
                    own = given if places is None else [given[place] for place in places]
                    part.run(own, rounded)
                group.state = state
            self._interrupted = False

    def evaluation_params(self) -> dict[str, Any]:
        """Return the parameters to evaluate: read-only views, valid until the next step.

        It is a TypeError if the optimizer computes new arrays for them.
        """
        return self._view([group.evaluated() for group in self._groups.values()])

    @cached_property
    def state_arrays(self) -> dict[str, Array]:
        """The optimizer's state, named as in `state_dict`, as read-only views."""
        return {
            name: self.backend.readonly(array)
            for name, array in self._arrays.items()
            if not name.startswith("params/")
        }

    def state_dict(self) -> dict[str, Any]:
        """Copy parameters and state: a dict from paths to arrays and ints.

        The keys are ``params/`` and the path of each parameter, and the places of arrays
        and counts in the optimizer's state, such as ``inner/slots/velocity/w``.
        """
        with self._turn:
            self._check_whole()
            copies = {name: self.backend.copy(a) for name, a in self._arrays.items()}
            return {**self._counts(), **copies}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, for the same optimizer and parameters.

        An entry that is missing, unexpected, or of another kind, dtype or shape is a
        TypeError or ValueError; parameters and state are then unchanged.
        """
        if not isinstance(saved, Mapping):
            raise TypeError(
                f"saved must be a dict as state_dict returns, got {type(saved).__name__}"
            )
        with self._turn:
            targets = self._arrays
            counts = self._counts()
            for name in [*counts, *targets]:
                if name not in saved:
                    raise ValueError(f"saved must have an entry {name!r}, got none")
            for name in saved:
                if name not in targets and name not in counts:
                    raise ValueError(
                        f"saved has an entry {name!r}, which this optimizer does not have"
                    )
            for name in counts:
                counts[name] = _count(f"saved[{name!r}]", saved[name])
            for name, target in targets.items():
                trees.check_leaf_like(f"saved[{name!r}]", saved[name], target)
            # An entry may be a view of memory that another is written to.
            taken = list(self._owned.values())
            values = {
                name: self.backend.own(f"saved[{name!r}]", saved[name], taken)
                for name in targets
            }
            self._interrupted = True
            for name, target in targets.items():
                self.backend.assign(target, values[name])
            for prefix, group in self._groups.items():
                group.state = states.replace_counts(group.state, counts, prefix)
            self._interrupted = False

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse copying and pickling, which would separate views from their memory."""
        raise TypeError(
            "a Stepper cannot be copied or pickled: make another one for the same "
            "optimizer and params, and load its state_dict()"
        )

    def _counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for prefix, group in self._groups.items():
            found |= states.counts(group.state, prefix)
        return found

    def _check_whole(self) -> None:
        if self._interrupted:
            raise RuntimeError(
                "an earlier step was interrupted while writing: load a state"
            )

    def _view(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Return the leaves of each group in a numbered buffer."""
        numbers = tuple(numbers)
        if numbers not in self._views:
            views = {
                path: self.backend.readonly(leaf.buffers[number])
                for number, group in zip(numbers, self._groups.values(), strict=True)
                for path, leaf in group.leaves.items()
            }
            self._views[numbers] = trees.unflatten(self._params, views)
        return self._views[numbers]

    def _checked(self, grads: Tree) -> Sequence[Array]:
        """Return the leaves of gradients that match the parameters, in their order."""
        try:
            if type(grads) is dict and len(grads) == len(self._kinds):
                leaves: Any = self._paths(grads)
                if len(grads) == 1:  # an itemgetter of one item returns it bare
                    leaves = (leaves,)
                if [(type(a), a.dtype, a.shape) for a in leaves] == self._kinds:
                    return list(leaves)
        except (KeyError, AttributeError):
            pass
        # Nested, of another allowed kind, or wrong.
        arrays = trees.check_like(grads, self._expected, "grads")
        return [arrays[path] for path in self._expected]


class _Turn:
    """Allows one call at a time, and refuses others from another thread or from within."""

    def __init__(self) -> None:
        self._lock = Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                "this Stepper is in the middle of another call: threads must take turns "
                "or have their own"
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _coefficients(tape: Tape) -> tuple[str, ...]:
    return tuple(name for call in tape.calls for name in call.names)


def _count(name: str, value: Any) -> int:
    # Array formats save a count as an array without dimensions.
    if isinstance(value, bool) or getattr(value, "shape", ()) != ():
        raise TypeError(f"{name} must be an integer >= 0, got {value!r}")
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be an integer >= 0, got {value!r}") from None
    if number != value or number < 0:
        raise ValueError(f"{name} must be an integer >= 0, got {value!r}")
    return number
