"""Targets by name: the library's own interfaces, and public implementations."""

import importlib
import importlib.util
import io
import pickle
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from lookahead_ref.conformance.protocol import Adapter, Array, Inner, Setup, Tensors
from lookahead_ref.extras import MissingExtraError
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.hyperparameters import close_to
from lookahead_ref.optimizers import (
    SGD,
    AdaGrad,
    Adam,
    HeavyBall,
    Lookahead,
    Nesterov,
    Optimizer,
    Workers,
)
from lookahead_ref.optimizers.workers import Worker, mean
from lookahead_ref.stepping.backend import Backend, load, names
from lookahead_ref.stepping.stepper import Stepper
from lookahead_ref.system import from_home, read_table
from lookahead_ref.trees import flatten


def builtin() -> tuple[str, ...]:
    """List ``pure``, every backend, and the installed public implementations."""
    return ("pure", *names(), *(name for name, peer in PEERS.items() if peer.installed))


def adapter(target: str) -> Callable[[], Adapter]:
    """Find a Python adapter: built in, ``module:Class`` or ``file.py:Class``."""
    place, colon, name = target.rpartition(":")
    check_name(target)
    if not colon:
        if target == "pure":
            return Pure
        if target in PEERS:
            return PEERS[target].make()
        loaded(target)
        return lambda: Stepped(target)
    if place.endswith(".py"):
        path = Path(from_home(place)).resolve()
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        sys.path.insert(0, str(path.parent))
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    else:
        sys.path.insert(0, str(Path.cwd()))
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            every = pkgutil.iter_modules() if error.name == place else ()
            close = close_to(place, [each.name for each in every])
            raise ValueError(
                f"target must name a module that can be imported, got {place!r}{close}: "
                f"{error}"
            ) from error
    found = getattr(module, name, None)
    if not callable(found):
        close = close_to(name, vars(module))
        raise ValueError(f"target must name a class of {place}, got {name!r}{close}")
    make: Callable[[], Adapter] = found
    return make


def package(target: str) -> str:
    """Return the package under test; empty for a user's file."""
    if target in PEERS:
        return PEERS[target].needs[0]
    place = target.rpartition(":")[0]
    return "" if place.endswith(".py") else place.partition(".")[0]


def check_name(target: str) -> None:
    """Refuse an unknown name, or one that is not installed, or a file that is missing."""
    place, colon, _ = target.rpartition(":")
    if target in PEERS:
        PEERS[target].require()
    elif place.endswith(".py") and not Path(from_home(place)).is_file():
        raise ValueError(f"target must be an existing file, got {place!r}")
    elif not colon and target not in (known := builtin()):
        modules = [f"{each.name}:Class" for each in pkgutil.iter_modules()]
        close = close_to(target, {*known, *PEERS, *modules})
        raise ValueError(
            f"target must be {', '.join(known)}, module:Class or file.py:Class, got "
            f"{target!r}{close}"
        )


# Public implementations.


@dataclass(frozen=True)
class Peer:
    """A public implementation."""

    package: str  # its name for pip
    repository: str  # on GitHub
    needs: Sequence[str]  # what its adapter imports
    place: str  # ``module:callable``, the module in this package
    source: str = ""  # if not a package
    about: Mapping[str, Any] = field(default_factory=dict)  # as in an adapter's ABOUT

    def missing(self) -> str | None:
        return next((n for n in self.needs if importlib.util.find_spec(n) is None), None)

    @property
    def installed(self) -> bool:
        return self.missing() is None

    @property
    def home(self) -> str:
        repository = f"https://github.com/{self.repository}"
        return "https://arxiv.org/abs/2510.15830" if self.source else repository

    @property
    def title(self) -> str:
        return f"{self.package} {self.source or version(self.package)}"

    def require(self) -> None:
        """Raise a MissingExtraError if something is missing; import nothing."""
        if (missing := self.missing()) is not None:
            raise MissingExtraError(missing, "peers", f"run the suite on {self.package}")

    def make(self) -> Callable[[], Any]:
        """Import the adapter's class or function."""
        module, _, name = self.place.partition(":")
        found = importlib.import_module(f"lookahead_ref.conformance.adapters.{module}")
        make: Callable[[], Any] = getattr(found, name)
        return make


_TABLE = read_table("lookahead_ref.conformance.adapters", "peers.toml")
PEERS = {name: Peer(name, **each) for name, each in _TABLE.items()}
"""By package."""


# The library itself: the pure path, each backend, and its models.

_RULES: dict[str, Any] = {
    "sgd": SGD,
    "heavy-ball": HeavyBall,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "adam": Adam,
}


def _schedule(table: tuple[float, ...]) -> Any:
    return table[0] if len(table) == 1 else lambda t: table[min(t, len(table) - 1)]


def _rule(inner: Inner) -> Any:
    kind = inner.weight_decay_kind
    return _RULES[inner.rule](
        learning_rate=_schedule(inner.learning_rate),
        weight_decay_kind="l2" if kind == "none" else kind,
        **inner.hyperparameters,
    )


def make_optimizer(setup: Setup) -> Optimizer:
    optimizer: Optimizer = _rule(setup.inner)
    for level in reversed(setup.levels):
        state: Any = level.inner_state
        if level.outer is None:
            how = {"alpha": _schedule(level.alpha)}
        else:
            how = {"outer": _rule(level.outer)}
        optimizer = Lookahead(optimizer, level.k, inner_state=state, **how)
    return optimizer


def _with_zeros(params: Tensors, gradients: Mapping[str, Array | None]) -> dict[str, Array]:
    """Give every parameter a gradient, as the library needs: no-gradient-is-zero."""
    return {
        name: np.zeros_like(params[name]) if gradient is None else gradient
        for name, gradient in gradients.items()
    }


def loss_and_grads(
    model: Mapping[str, Any], params: Tensors, batch: Mapping[str, Any], *, backend: str
) -> tuple[Any, Tensors, Tensors]:
    """Implement `ModelAdapter` by a model of the zoo on a backend."""
    # Imported here, as cases of optimizers do not need them.
    from lookahead_ref.zoo import LSTM, MLP

    memory = load(backend)

    def there(flat: Tensors) -> dict[str, dict[str, Any]]:
        nested: dict[str, dict[str, Any]] = {}
        for name, array in flat.items():
            layer, _, part = name.partition(".")
            nested.setdefault(layer, {})[part] = memory.from_host(array)
        return nested

    def host(tree: Mapping[str, Any]) -> Tensors:
        return {
            path.replace("/", "."): memory.to_host(array)
            for path, array in flatten(tree).items()
        }

    given = SimpleNamespace(
        inputs=memory.from_host(batch["inputs"]), labels=memory.from_host(batch["labels"])
    )
    carried: Mapping[str, Any] = {}
    if model["kind"] == "mlp":
        weights = [params[f"layer{n}.weight"] for n in range(1, model["layers"] + 1)]
        sizes = (len(weights[0]), *(weight.shape[1] for weight in weights))
        perceptron = MLP(sizes, activation=model["activation"], backend=backend)
        loss, grads = value_and_grad(perceptron.loss)(there(params), given)
    else:
        vocabulary, width = params["embedding.weight"].shape
        lstm = LSTM(
            vocabulary,
            hidden=len(params["layer1.recurrent_weight"]),
            layers=model["layers"],
            embedding=width,
            tied=model["tied"],
            backend=backend,
        )
        (loss, carried), grads = value_and_grad(lstm.loss, has_aux=True)(
            there(params), given, there(batch["carried"])
        )
    return np.asarray(float(loss)), host(grads), host(carried)


class Pure:
    """The pure interface."""

    offers = ("outer", "workers")
    model_loss_and_grads = staticmethod(partial(loss_and_grads, backend="numpy"))

    def start(self, setup: Setup) -> None:
        self._setup = setup
        optimizer: Any = make_optimizer(setup)
        params, *others = setup.split(setup.params)
        self._optimizer = Workers(optimizer, setup.workers) if others else optimizer
        state = self._optimizer.init(params)
        self._params: Any = [params] * setup.workers  # of each worker, and its state
        self._states: Any = state if others else [state]

    def step(self, gradients: Mapping[str, Array | None]) -> None:
        grads = self._setup.split(_with_zeros(self._setup.params, gradients))
        given: Any = self._params, grads, self._states
        with np.errstate(all="ignore"):
            if len(grads) > 1:
                self._params, self._states = self._optimizer.step(*given)
            else:
                stepped = self._optimizer.step(*[own for (own,) in given])
                self._params, self._states = [[own] for own in stepped]

    def fast(self) -> Tensors:
        return self._setup.merged(self._params)

    def slow(self) -> Sequence[Tensors]:
        found, states = [], self._states
        for _ in self._setup.levels:
            found.append(self._setup.merged([state.phi for state in states]))
            states = [state.inner for state in states]
        return found

    def slots(self) -> Mapping[str, Tensors]:
        of_each = [state.slots for state in self._states]
        return {
            name: self._setup.merged([slots[name] for slots in of_each])
            for name in of_each[0]
        }

    def evaluation(self) -> Tensors:
        each = zip(self._params, self._states, strict=True)
        one = getattr(self._optimizer, "lookahead", self._optimizer)
        return self._setup.merged([one.evaluation_params(*own) for own in each])

    def snapshot(self) -> Any:
        """Return the state, which is immutable."""
        return self._params, self._states

    def dump(self, snapshot: Any) -> bytes:
        return pickle.dumps(snapshot)

    def load(self, state: bytes) -> None:
        self._params, self._states = pickle.loads(state)


@lru_cache
def loaded(backend: str) -> Backend:
    """Load a backend once, as reading entry points takes longer than a case."""
    return load(backend)


class Stepped:
    """The in-place interface on a backend, given by its name."""

    offers = ("outer", "workers")

    def __init__(self, backend: str) -> None:
        self._backend = loaded(backend)
        self.model_loss_and_grads = partial(loss_and_grads, backend=backend)

    def start(self, setup: Setup) -> None:
        self._setup = setup
        optimizer: Any = make_optimizer(setup)
        if setup.workers > 1:  # as in training, each step has two halves
            optimizer = Worker(optimizer)
        params, *_ = setup.split(setup.params)
        self._steppers = [
            Stepper(optimizer, self._moved(params), backend=self._backend)
            for _ in range(setup.workers)
        ]

    def step(self, gradients: Mapping[str, Array | None]) -> None:
        given = self._setup.split(_with_zeros(self._setup.params, gradients))
        with np.errstate(all="ignore"):
            self._step(given)
            self._saved = self.snapshot()
            if self._saved[0]["cycle_step"] == self._setup.levels[0].k:  # the workers wait
                pseudo_gradients = [self._fetched(each.params) for each in self._steppers]
                self._step([mean(pseudo_gradients)] * self._setup.workers)
                self._saved = self.snapshot()

    def _step(self, given: Sequence[Tensors]) -> None:
        for stepper, own in zip(self._steppers, given, strict=True):
            stepper.step(self._moved(own))

    def _moved(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._backend.from_host(array) for name, array in arrays.items()}

    def _fetched(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: value if isinstance(value, int) else self._backend.to_host(value)
            for name, value in values.items()
        }

    def _tree(self, prefix: str) -> Tensors:
        of_each = [
            {n.removeprefix(prefix): x for n, x in saved.items() if n.startswith(prefix)}
            for saved in self._saved
        ]
        return self._setup.merged(of_each)

    def fast(self) -> Tensors:
        return self._setup.merged([self._fetched(each.params) for each in self._steppers])

    def slow(self) -> Sequence[Tensors]:
        levels = range(len(self._setup.levels))
        return [self._tree("inner/" * level + "phi/") for level in levels]

    def slots(self) -> Mapping[str, Tensors]:
        prefix = "inner/" * len(self._setup.levels) + "slots/"
        slots = [entry for entry in self._saved[0] if entry.startswith(prefix)]
        names = [entry.removeprefix(prefix).split("/")[0] for entry in slots]
        return {name: self._tree(f"{prefix}{name}/") for name in names}

    def evaluation(self) -> Tensors:
        return self._setup.merged(
            [self._fetched(each.evaluation_params()) for each in self._steppers]
        )

    def snapshot(self) -> list[dict[str, Any]]:
        return [self._fetched(each.state_dict()) for each in self._steppers]

    def dump(self, snapshot: Any) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, **self._setup.merged(snapshot))
        return buffer.getvalue()

    def load(self, state: bytes) -> None:
        with np.load(io.BytesIO(state)) as saved:
            # Counts, too, come as arrays, without dimensions.
            entries = {
                name: value if value.dtype.kind == "i" else self._backend.from_host(value)
                for name, value in saved.items()
            }
        for stepper, own in zip(self._steppers, self._setup.split(entries), strict=True):
            stepper.load_state_dict(own)
