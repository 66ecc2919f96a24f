"""The state of a run, all of which a checkpoint must hold, and its placement."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple, Self, cast

import numpy as np

from lookahead_ref import trees
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.report.files import schema
from lookahead_ref.stepping.backend import Backend
from lookahead_ref.stepping.stepper import Stepper
from lookahead_ref.training.events import EpochRecord
from lookahead_ref.training.protocols import (
    Data,
    Measured,
    Model,
    PlainModel,
    Stream,
    carries,
)


class Snapshot(NamedTuple):
    """A state between two batches, from which a run continues as if never stopped."""

    arrays: dict[str, Any]
    """``optimizer/``: weights, slow weights and slots, as in
    `lookahead_ref.Stepper.state_dict`; ``carried/``: the model's carried values, and
    ``read/`` those of an evaluation; ``worker1/`` and so on: the same for the others."""
    record: dict[str, Any]
    """Everything else, as data that JSON holds without loss."""


@dataclass(frozen=True)
class Placement:
    """Moves arrays between host and backend, unless the backend uses the host's."""

    backend: Backend

    @cached_property
    def on_host(self) -> bool:
        """Whether the backend uses the host's arrays."""
        probe = np.zeros(1, np.float32)
        return self.backend.from_host(probe) is probe

    def put(self, value: Any) -> Any:
        """Move every NumPy array in a value, such as a batch, to the backend."""
        if self.on_host:
            return value
        if isinstance(value, np.ndarray | np.generic):
            return self.backend.from_host(np.asarray(value))
        if isinstance(value, Mapping):
            return {name: self.put(item) for name, item in value.items()}
        if isinstance(value, tuple):
            items = [self.put(item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        return value

    def source(self, source: Any) -> Any:
        """Make a source of examples return the backend's arrays."""
        # A text's tokens stay on the host, where a model selects them.
        read = source.source if isinstance(source, Piece) else source
        if self.on_host or isinstance(read, np.ndarray):
            return source
        return _PlacedSource(source, self)

    def fetch(self, arrays: trees.Tree) -> dict[str, Any]:
        """Copy a tree of the backend's arrays to the host."""
        return trees.map(lambda leaf: np.array(self.backend.to_host(leaf)), arrays)


@dataclass(frozen=True)
class _PlacedSource:
    """Moves examples taken from a source on the host."""

    source: Any
    placement: Placement

    @property
    def size(self) -> int:
        return int(self.source.size)

    def take(self, indices: Any) -> Any:
        return self.placement.put(self.source.take(indices))

    def __getattr__(self, name: str) -> Any:
        # All inputs or all labels at once, if a model asks for them.
        return self.placement.put(getattr(self.source, name))


@dataclass
class TrainingState:
    """The current state of a run or of one of its workers."""

    placement: Placement
    stepper: Stepper
    """Weights and the optimizer's state."""
    stream: Stream
    """Draws the batches."""
    rng: np.random.Generator
    """The model's random numbers."""
    carried: dict[str, Any]
    """Values that the model carries to the next batch."""
    epoch: int = 0
    """Epochs evaluated, without the start."""
    batches: int = 0
    """Batches drawn in the current epoch."""
    step: int = 0
    """Updates done."""
    skipped: int = 0
    """Batches skipped."""
    epoch_updates: int = 0
    """Updates done in the current epoch."""
    loss_sum: float = 0.0
    """Sum of the losses of all labels since the last evaluation."""
    labels: int = 0
    """Number of these labels."""
    seconds: float = 0.0
    """Seconds until the last snapshot."""
    pieces: list[Any] = field(default_factory=list)
    """Each done piece of an evaluation in progress: the number of its source, its size, and
    what it measured."""
    read: dict[str, Any] = field(default_factory=dict)
    """Values that the model carries to the next piece, by their paths."""
    history: list[EpochRecord] = field(default_factory=list)

    @classmethod
    def begun(
        cls,
        model: Model,
        data: Data,
        optimizer: Any,
        seed: int,
        batch_size: int,
        placement: Placement,
        worker: int = 0,
        weights: trees.Tree | None = None,
    ) -> Self:
        """Return the initial state of a run or of one of its workers."""
        init_seed, *seeds_of_all = seeds(seed)
        batch_seed, noise_seed = ([each, *each.spawn(worker)][-1] for each in seeds_of_all)
        params = model.init(init_seed)
        if weights is not None:
            params = trees.unflatten(params, trees.check_like(weights, params, "weights"))
        return cls(
            placement,
            Stepper(optimizer, placement.put(params), backend=placement.backend),
            data.stream(batch_size, batch_seed),
            np.random.Generator(np.random.PCG64(noise_seed)),
            started(model, batch_size, placement),
        )

    @property
    def batches_in_all(self) -> int:
        """Batches drawn since the run began."""
        return self.epoch * self.stream.batches_per_epoch + self.batches

    def place(self) -> tuple[dict[str, Any], Any]:
        """Return the positions that drawing a batch and computing its gradient change."""
        return self.stream.state_dict(), self.rng.bit_generator.state

    def go_back(self, place: tuple[dict[str, Any], Any]) -> None:
        """Go back to a place, so that batches and random numbers are drawn again."""
        stream, self.rng.bit_generator.state = place
        self.stream.load_state_dict(stream)

    def snapshot(self) -> Snapshot:
        """Copy the state; its arrays stay on the backend."""
        saved = self.stepper.state_dict()
        counts = {name: saved.pop(name) for name, n in [*saved.items()] if type(n) is int}
        finite = np.isfinite(sum(loss for _, _, loss, *_ in self.pieces))
        # Each batch makes new carried values, which nothing writes to.
        every = {"optimizer": saved, "carried": self.carried}
        arrays = trees.flatten(every | ({"read": self.read} if finite else {}))
        record = {
            "counts": counts,
            **{name: getattr(self, name) for name in _PLAIN},
            "history": [asdict(each) for each in self.history],
            "stream": self.stream.state_dict(),
            "rng": self.rng.bit_generator.state,
            "others": [],
            "pieces": [*self.pieces] if finite else [],
        }
        return Snapshot(arrays, record)

    def on_host(self) -> Snapshot:
        """Copy the state to the host."""
        copied = self.snapshot()
        return copied._replace(arrays=self.placement.fetch(copied.arrays))

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a state of a run with the same model, data and optimizer."""
        try:
            self._restore(snapshot)
        except (LookupError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"resume must be a state of this run: {error}") from error

    def _restore(self, snapshot: Snapshot) -> None:
        record = snapshot.record
        parts: dict[str, dict[str, Any]] = {"optimizer": {}, "carried": {}, "read": {}}
        for name, array in self.placement.put(snapshot.arrays).items():
            part, _, path = name.partition("/")
            parts[part][path] = array
        check_carried(parts["carried"], self.carried, self.stepper.params)
        self.stepper.load_state_dict({**record["counts"], **parts["optimizer"]})
        self.stream.load_state_dict(record["stream"])
        self.rng.bit_generator.state = record["rng"]
        self.carried = trees.unflatten(self.carried, parts["carried"])
        for name in _PLAIN:
            setattr(self, name, record[name])
        self.history = [EpochRecord(**each) for each in record["history"]]
        self.pieces, self.read = [*record["pieces"]], parts["read"]
        done = self.step + self.skipped
        if done != self.batches_in_all:
            raise ValueError(
                f"step and skipped must be {self.batches_in_all} together, got {done}"
            )


def started(model: Model, batch_size: int, placement: Placement) -> dict[str, Any]:
    """Make the model's initial carried values on the backend."""
    return placement.put(dict(model.start(batch_size))) if carries(model) else {}


def check_carried(carried: trees.Tree, before: trees.Tree, params: trees.Tree) -> None:
    """Check that carried values are like those before, or have the parameters' dtype."""
    came, wanted = trees.flatten(carried, "carried"), trees.flatten(before, "carried")
    if differing := came.keys() ^ wanted.keys():
        raise ValueError(f"carried must be as start makes it, {min(differing)!r} is not")
    of_params = {leaf.dtype for leaf in trees.flatten(params).values()}
    for path, array in wanted.items():
        # A Python number becomes a NumPy array, as in a checkpoint.
        got, want = (
            x if hasattr(x, "dtype") else np.asarray(x) for x in (came[path], array)
        )
        alike = got.dtype == want.dtype or (
            got.dtype in of_params and got.dtype.kind == want.dtype.kind
        )
        if not alike or got.shape != want.shape:
            raise ValueError(
                f"carried[{path!r}] must be as start makes it, {want.dtype} of shape "
                f"{want.shape}, got {got.dtype} of shape {got.shape}"
            )


def joined(workers: Sequence[Snapshot]) -> Snapshot:
    """Join the snapshots of all workers."""
    first, *others = workers
    arrays = {
        f"worker{number}/{name}": array
        for number, other in enumerate(others, start=1)
        for name, array in other.arrays.items()
    }
    record = {**first.record, "others": [other.record for other in others]}
    return Snapshot({**first.arrays, **arrays}, record)


def parted(snapshot: Snapshot) -> list[Snapshot]:
    """Split a snapshot that `joined` made."""
    records = [snapshot.record, *snapshot.record["others"]]
    workers: list[Snapshot] = [Snapshot({}, record) for record in records]
    for name, array in snapshot.arrays.items():
        of_other = re.fullmatch(r"worker(\d+)/(.+)", name)
        number, name = (int(of_other[1]), of_other[2]) if of_other else (0, name)
        workers[number].arrays[name] = array
    return workers


def seeds(seed: int) -> list[np.random.SeedSequence]:
    """Return the seeds of the initial weights, the batches, and the model's noise."""
    return np.random.SeedSequence(seed).spawn(3)


def gradients(
    model: Model, state: TrainingState, batch_size: int, accumulate: int = 1
) -> Callable[[Any], tuple[Any, Any, Any]]:
    """Return a function from a batch to loss, carried values and gradients, in parts."""
    carrying = carries(model)
    differentiate = value_and_grad(model.loss, has_aux=carrying)

    def of_part(batch: Any, carried: Any) -> tuple[Any, Any, Any]:
        batch, params = state.placement.put(batch), state.stepper.params
        if not carrying:
            loss, grads = differentiate(params, batch)
            return loss, carried, grads
        (loss, after), grads = differentiate(params, batch, carried, state.rng)
        check_carried(after, carried, params)
        return loss, after, grads

    def gradient(batch: Any) -> tuple[Any, Any, Any]:
        if getattr(batch, "first", False):
            state.carried = started(model, batch_size, state.placement)
        if accumulate == 1:
            return of_part(batch, state.carried)
        parts = _parts(batch, accumulate)
        loss, carried, grads = of_part(parts[0], state.carried)
        weight = parts[0].size
        for part in parts[1:]:
            # A weighted running mean, as parts may differ by an example.
            weight += part.size
            share = part.size / weight
            own_loss, carried, own = of_part(part, carried)
            loss = loss + share * (own_loss - loss)
            (grads,) = trees.apply(trees.interpolate, {"alpha": share}, grads, own)
        return loss, carried, grads

    return gradient


def _parts(batch: Any, count: int) -> list[Any]:
    """Split a batch of examples into parts of at least one example."""
    if not hasattr(batch, "take"):
        raise TypeError(
            f"accumulate must be 1 for batches without a method take, got {count}"
        )
    return [
        batch.take(indices)
        for indices in np.array_split(np.arange(batch.size), min(count, batch.size))
    ]


def evaluator(
    model: Model, params: Any, train_source: Any, placement: Placement
) -> Callable[[Any], Measured]:
    """Return a function that evaluates parameters, with their statistics if any."""
    place = placement.source
    if carries(model):
        evaluate = model.evaluator(params, place(train_source))
    else:
        evaluate = partial(cast("PlainModel", model).evaluate, params)

    def evaluated(source: Any) -> Measured:
        if hasattr(model, "evaluation_piece") and not isinstance(source, Piece):
            source = Piece(source, 0, Piece.whole(source), {})
        return evaluate(place(source))

    return evaluated


@dataclass
class Piece:
    """Some consecutive examples of a source, or transitions of a text."""

    source: Any
    start: int
    size: int
    carried: dict[str, Any]
    """What a model of texts carries from the piece before, nothing at the start of a text;
    then what it carries to the next."""

    @staticmethod
    def whole(source: Any) -> int:
        """Return the size of a source: its examples, or the tokens of a text but one."""
        return int(source.size - isinstance(source, np.ndarray))

    def take(self, indices: Any) -> Any:
        """Return examples by their places in the piece."""
        return self.source.take(self.start + indices)


_PLAIN = (
    *("epoch", "batches", "step", "skipped"),
    *("epoch_updates", "loss_sum", "labels", "seconds"),
)

_PARTS = {
    **{name: {"type": "object"} for name in ("counts", "stream", "rng")},
    "history": {"type": "array", "items": schema(EpochRecord)},
    "others": {"type": "array"},
    "pieces": {"type": "array", "items": {"type": "array", "minItems": 4, "maxItems": 5}},
}
SCHEMA = schema(TrainingState, _PLAIN, **_PARTS)
"""The JSON schema of a snapshot's record."""
