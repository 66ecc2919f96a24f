"""What a user can set, declared once: the command line makes its options from it.

A field of these dataclasses that `setting` declares is an option of the command. Nothing
heavy is imported here, so that ``--help`` answers at once.
"""

import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from lookahead_ref import hyperparameters

__all__ = [
    "AXES",
    "SCHEDULE_NAMES",
    "SHARED",
    "CompareSettings",
    "FolderOptions",
    "Option",
    "ReproduceSettings",
    "SweepSettings",
    "TrainSettings",
    "command",
    "options",
]

SCHEDULE_NAMES = ("constant", "step", "shortened", "cosine")
"""Learning-rate schedules, made by `lookahead_ref.experiments.train.SCHEDULES`."""

AXES = ("optimizer", "learning_rate", "momentum", "k", "alpha")
"""What a sweep may vary, besides the seed: fields of `TrainSettings`."""

SHARED = (
    *("model", "data", "inner_state", "schedule"),
    *("epochs", "batch_size", "seed", "backend"),
)
"""What all trials of a sweep share: fields of `TrainSettings` too."""

_MODEL = "Model and data"
_OPTIMIZER = "Optimizer"
_RUN = "Run"
_FOLDER = "Folder"

_MODELS = "lookahead_ref.experiments.models:MODELS"
_DATA_SETS = "lookahead_ref.data:SOURCES"
_OPTIMIZERS = "lookahead_ref.experiments.optimizers:NAMES"
_BACKENDS = "lookahead_ref.stepping.backend:names"

_K = "Lookahead: inner steps to a synchronization."
_ALPHA = "Lookahead: step size of the slow weights."
_BACKEND = "What makes the updates; see [bold]info[/]."
_BATCH_SIZE = "Examples in a batch."
_PASSES = "Passes over the training examples."
_FIRST_SEED = "The first seed."
_INNER_STATES = ("maintain", "reset", "interpolate")
_INNER_STATE = "Lookahead: maintain, reset or interpolate the inner state."


@dataclass(frozen=True)
class Option:
    """How a setting is given on the command line."""

    help: str
    name: str | None = None
    """Where it is not called as its field is."""
    panel: str | None = None
    """The heading that it stands under."""
    least: int | None = None
    metavar: str | None = None
    choices: str | tuple[str, ...] = ()
    """What a shell completes; or the module and the name of that."""
    given: Any = None
    """The type on the command line, where it is not that of the field."""
    read: Callable[[Any], Any] = lambda value: value
    """From what is given on the command line to the value of the field."""
    show_default: bool | str = True


def setting(default: Any, text: str, **more: Any) -> Any:
    """Declare a field that is an option, with its help text."""
    return field(default=default, metadata={"option": Option(text, **more)})


def several(kind: type, text: str, **more: Any) -> Any:
    """Declare a field that is a tuple and an option that may be repeated."""
    more = {"show_default": False, "read": tuple, **more}
    return setting((), text, given=list[kind] | None, **more)  # type: ignore[valid-type]


def options(settings: Any) -> Iterator[tuple[str, Option]]:
    """Yield the fields of settings that are options."""
    for each in fields(settings):
        if "option" in each.metadata:
            yield each.name, each.metadata["option"]


def command(name: str, settings: Any) -> str:
    """Return the command line that asks for settings."""
    words = ["lookahead-ref", *name.split()]
    for field_name, option in options(settings):
        word = f"--{(option.name or field_name).strip('-').replace('_', '-')}"
        value = getattr(settings, field_name)
        if isinstance(value, tuple):
            words += [part for each in value for part in _repeated(word, each)]
        elif value is True:
            words.append(word)
        elif value is not None and value is not False:
            words += [word, str(value)]
    return shlex.join(words)


def _repeated(word: str, value: Any) -> list[str]:
    if not isinstance(value, tuple):
        return [word, str(value)]
    name, assigned = value
    each = assigned if isinstance(assigned, tuple) else (assigned,)
    return [part for one in each for part in (word, f"{name}={one}" if name else str(one))]


def _assigned(texts: Iterable[str]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Read NAME=VALUE: numbers, true and false as JSON has them, all else as text."""
    found: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, _, written = text.partition("=")
        if not (name and written):
            raise ValueError(f"hyperparameter must be NAME=VALUE, got {text!r}")
        try:
            value = json.loads(written)
        except ValueError:
            value = written
        # Of what JSON has, these are values of an option.
        if not isinstance(value, (bool, int, float)):
            value = written
        found[name] = (*found.get(name, ()), value)
    return tuple(found.items())


def _assigned_once(texts: Iterable[str]) -> tuple[tuple[str, Any], ...]:
    found = _assigned(texts)
    for name, values in found:
        if len(values) > 1:
            raise ValueError(
                f"hyperparameter {name} must be given once, got {list(values)}"
            )
    return tuple((name, values[0]) for name, values in found)


def _rates(texts: Iterable[str]) -> tuple[tuple[str, float], ...]:
    """Read [NAME=]RATE."""
    found: dict[str, float] = {}
    for text in texts:
        name, equals, rate = text.rpartition("=")
        if name in found:
            raise ValueError(f"learning_rate must be given once for each, got {text!r} too")
        try:
            found[name] = float(rate if name or not equals else "")
        except ValueError as error:
            raise ValueError(
                f"learning_rate must be a number or NAME=NUMBER, got {text!r}"
            ) from error
    return tuple(found.items())


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides a training run; None where model and data decide."""

    model: str = setting(
        "mlp",
        "mlp, lstm, resnet18, resnet32, resnet50; or your own, as module:name or "
        "file.py:name.",
        panel=_MODEL,
        choices=_MODELS,
    )
    data: str = setting(
        "digits",
        "digits, mnist:DIR, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR, images:DIR; for "
        "lstm pydoc, ptb:DIR, text:FILE, chars:FILE; or your own.",
        panel=_MODEL,
        choices=_DATA_SETS,
    )
    optimizer: str = setting(
        "lookahead-adam",
        "sgd, heavy-ball, nesterov, adagrad or adam; alone, or with lookahead- or polyak- "
        "before it; or your own, which may have that before it too.",
        panel=_OPTIMIZER,
        choices=_OPTIMIZERS,
    )
    learning_rate: float | None = setting(
        None,
        "Of the innermost optimizer, at the start; if not given, one that was measured or "
        "published for it and the model.",
        panel=_OPTIMIZER,
    )
    schedule: str = setting(
        "constant",
        "Of the learning rate: constant, step, shortened or cosine.",
        panel=_OPTIMIZER,
        choices=SCHEDULE_NAMES,
    )
    epochs: int = setting(30, _PASSES, panel=_RUN, least=1)
    batch_size: int | None = setting(
        None,
        "Examples in a batch, or columns of a text; if not given 64, for lstm 20, for a "
        "resnet 128.",
        panel=_MODEL,
        least=1,
    )
    seed: int = setting(
        0, "Decides initial weights, batches and dropout.", panel=_RUN, least=0
    )
    backend: str = setting(
        "numpy",
        "What makes the updates, and the layers' kernels; see [bold]info[/].",
        panel=_RUN,
        choices=_BACKENDS,
    )
    k: int = setting(5, _K, panel=_OPTIMIZER)
    alpha: float = setting(0.5, _ALPHA, panel=_OPTIMIZER)
    inner_state: str = setting(
        "maintain", _INNER_STATE, panel=_OPTIMIZER, choices=_INNER_STATES
    )
    momentum: float = setting(0.9, "Of heavy-ball and nesterov.", panel=_OPTIMIZER)
    weight_decay: float = setting(
        0.0, "Of the innermost optimizer.", panel=_OPTIMIZER, least=0
    )
    weight_decay_kind: str = setting("l2", "l2 or decoupled.", panel=_OPTIMIZER)
    hyperparameters: tuple[tuple[str, Any], ...] = several(
        str,
        "Of an optimizer of your own: what it is made with besides the learning rate. "
        "Repeat it for several.",
        name="hyperparameter",
        panel=_OPTIMIZER,
        metavar="NAME=VALUE",
        read=_assigned_once,
    )
    clip: float | None = setting(
        None,
        "Largest norm of the gradients, 0 for none; if not given 0.25 for lstm.",
        panel=_OPTIMIZER,
        least=0,
    )
    hidden: int | tuple[int, ...] | None = setting(
        None,
        "mlp: units of a hidden layer, once for each, if not given 64 and 64; lstm: of all "
        "layers, if not given 200.",
        panel=_MODEL,
        least=1,
        given=list[int] | None,
        read=tuple,
    )
    layers: int | None = setting(
        None, "lstm: layers, if not given 2.", panel=_MODEL, least=1
    )
    dropout: float | None = setting(
        None, "lstm: share of units left out, if not given 0.", panel=_MODEL
    )
    tied: bool | None = setting(
        None,
        "lstm: output weights are those of the embedding.",
        name="--tied",
        panel=_MODEL,
    )
    window: int | None = setting(None, "Texts: steps in a batch.", panel=_MODEL, least=1)
    evaluate_train: bool | None = setting(
        None,
        "After each epoch, evaluate the training examples too; if not given, where there "
        "are no more than 20,000, or 200,000 tokens.",
        panel=_RUN,
    )

    def __post_init__(self) -> None:
        # JSON has lists for tuples.
        hidden: Any = self.hidden
        if isinstance(hidden, list):
            object.__setattr__(self, "hidden", tuple(hidden))
        pairs = tuple((name, value) for name, value in self.hyperparameters)
        object.__setattr__(self, "hyperparameters", pairs)


@dataclass(frozen=True)
class FolderOptions:
    """What a run that is kept in a folder may be continued with another value of."""

    on_nonfinite: str = setting(
        "stop",
        "A loss or gradient that is not finite: stop, or skip the batch.",
        panel=_RUN,
        choices=("stop", "skip"),
    )
    checkpoint_every: int | None = setting(
        None,
        "Batches from one checkpoint to the next; if not given, one is written every "
        "minute.",
        panel=_FOLDER,
        least=1,
    )
    keep: int = setting(3, "Checkpoints that are kept.", panel=_FOLDER, least=1)

    def __post_init__(self) -> None:
        hyperparameters.count("keep", self.keep)
        if self.checkpoint_every is not None:
            hyperparameters.count("checkpoint_every", self.checkpoint_every)
        hyperparameters.option("on_nonfinite", self.on_nonfinite, ("stop", "skip"))


@dataclass(frozen=True)
class CompareSettings:
    """What is compared: every optimizer alone and inside Lookahead, on each seed."""

    seeds: int = setting(5, "Runs of each method.", least=1)
    seed: int = setting(0, _FIRST_SEED, least=0)
    epochs: int = setting(30, _PASSES, least=1)
    batch_size: int = setting(64, _BATCH_SIZE, least=1)
    hidden: tuple[int, ...] = (64, 64)
    k: int = setting(5, _K)
    alpha: float = setting(0.5, _ALPHA)
    inner_state: str = setting("maintain", _INNER_STATE, choices=_INNER_STATES)
    backend: str = setting("numpy", _BACKEND, choices=_BACKENDS)
    optimizers: tuple[str, ...] = several(
        str,
        "sgd, heavy-ball, nesterov, adagrad, adam or your own as module:name or "
        "file.py:name: compared alone and inside Lookahead; with polyak- before it as it "
        "is. Repeat it for several; if not given, the ten of the paper's table.",
        name="optimizer",
        metavar="NAME",
    )
    learning_rates: tuple[tuple[str, float], ...] = several(
        str,
        "Of an optimizer by its name, or of all that are not named; if not given, one that "
        "was chosen on the digits, of your own its own.",
        name="learning_rate",
        metavar="[NAME=]RATE",
        read=_rates,
    )
    model: str = setting("mlp", "mlp; or your own, as module:name or file.py:name.")
    data: str = setting(
        "digits", "Labelled examples, as for train; or your own.", metavar="NAME[:PATH]"
    )

    def __post_init__(self) -> None:
        hyperparameters.count("seeds", self.seeds)


@dataclass(frozen=True)
class SweepSettings:
    """A grid: each value of an axis with each of the others, each once for each seed."""

    model: str = setting("mlp", "As for train.", choices=_MODELS)
    data: str = setting(
        "digits", "As for train.", metavar="NAME[:PATH]", choices=_DATA_SETS
    )
    optimizer: tuple[str, ...] = several(
        str,
        "As for train; repeat it, as all of the next four, to try several.",
        show_default="lookahead-adam",
    )
    learning_rate: tuple[float, ...] = several(float, "Of the innermost optimizer.")
    momentum: tuple[float, ...] = several(float, "Of heavy ball and Nesterov.")
    k: tuple[int, ...] = several(int, _K)
    alpha: tuple[float, ...] = several(float, _ALPHA)
    hyperparameters: tuple[tuple[str, tuple[Any, ...]], ...] = several(
        str,
        "Of an optimizer of your own, as for train; once for each value.",
        name="hyperparameter",
        metavar="NAME=VALUE",
        read=_assigned,
    )
    inner_state: str = setting(
        "maintain",
        "Lookahead: maintain, reset or interpolate.",
        choices=_INNER_STATES,
    )
    schedule: str = setting("constant", "As for train.", choices=SCHEDULE_NAMES)
    epochs: int = setting(30, "Of each run.", least=1)
    batch_size: int = setting(64, _BATCH_SIZE, least=1)
    seeds: int = setting(1, "Runs of each trial.", least=1)
    seed: int = setting(0, _FIRST_SEED, least=0)
    backend: str = setting("numpy", _BACKEND, choices=_BACKENDS)

    def __post_init__(self) -> None:
        hyperparameters.count("seeds", self.seeds)
        for name, values in [*self.axes.items(), *self.hyperparameters]:
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must have values, each once; got {list(values)}")

    @property
    def base(self) -> TrainSettings:
        """What all trials share."""
        return TrainSettings(**{name: getattr(self, name) for name in SHARED})

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """What is varied: names in `AXES` to the values that are tried."""
        given = {name: getattr(self, name) for name in AXES}
        return {name: values for name, values in given.items() if values}


@dataclass(frozen=True)
class ReproduceSettings:
    """Which setting of a table or figure is reproduced: a small one, or the paper's."""

    full: bool = setting(
        False,
        "The paper's setting, as far as it is known; needs --data.",
        name="--full",
    )
    data: str | None = setting(
        None,
        "What to train on, as cifar10:DIR; see train.",
        metavar="NAME[:PATH]",
        choices=_DATA_SETS,
    )
    seeds: int | None = setting(None, "Runs of each method.", least=1)
    epochs: int | None = setting(None, "Other than the setting's.", least=1)
    learning_rate: float | None = setting(None, "Of SGD, other than the setting's.")
    backend: str = setting("numpy", _BACKEND, choices=_BACKENDS)

    def __post_init__(self) -> None:
        if self.full and self.data is None:
            raise ValueError(
                "data must be given for the full setting, as cifar10:DIR or ptb:DIR, got "
                "none"
            )
