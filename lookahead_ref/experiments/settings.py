"""All settings, declared once; the command line makes its options from them.

A field that `options.setting` declares is an option of the command. Nothing heavy is
imported here, so that ``--help`` answers at once.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lookahead_ref import hyperparameters
from lookahead_ref.experiments.options import options, setting, several

SCHEDULE_NAMES = ("constant", "step", "shortened", "cosine", "plateau")
"""Learning-rate schedules in `lookahead_ref.experiments.train.SCHEDULES`."""

AXES = (
    *("optimizer", "learning_rate", "momentum", "k", "alpha"),
    *("outer_learning_rate", "outer_momentum", "weight_decay"),
)
"""Fields of `TrainSettings` that a sweep may vary, besides the seed."""

SIZES = ("full", "middle", "small")
"""Sizes of a table or figure of the paper, the longest first."""

OF_DATA = ("validation", "resize", "crop")
"""Settings of data, in every command that trains."""

SHARED = (
    *("backend", "accumulate", *OF_DATA),
    *("statistics_examples", "evaluate_every", "evaluate_train"),
)
"""Settings of computation, data and evaluation, in every command that trains."""

_MODELS = "lookahead_ref.experiments.models:MODELS"
_DATA_SETS = "lookahead_ref.data:SOURCES"
_OPTIMIZERS = "lookahead_ref.experiments.optimizers:NAMES"


def evaluation(settings: Any) -> dict[str, Any]:
    """Return the `SHARED` settings that are given."""
    given = {name: getattr(settings, name) for name in SHARED}
    return {name: value for name, value in given.items() if value is not None}


def shared(*names: str) -> Any:
    """Declare settings of training, with these fields as options."""
    return field(default_factory=TrainSettings, metadata={"shared": names})


def _assigned(
    texts: Iterable[str], what: str = "hyperparameter"
) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Read NAME=VALUE: numbers, true and false as in JSON, everything else as text."""
    found: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, _, written = text.partition("=")
        if not (name and written):
            raise ValueError(f"{what} must be NAME=VALUE, got {text!r}")
        try:
            value = json.loads(written)
        except (ValueError, RecursionError):
            value = None
        plain = isinstance(value, (bool, int, float))
        found[name] = (*found.get(name, ()), value if plain else written)
    return tuple(found.items())


def assigned_once(
    texts: Iterable[str], what: str = "hyperparameter"
) -> tuple[tuple[str, Any], ...]:
    found = _assigned(texts, what)
    for name, values in found:
        if len(values) > 1:
            raise ValueError(f"{what} {name} must be given once, got {list(values)}")
    return tuple((name, values[0]) for name, values in found)


def _rates(texts: Iterable[str]) -> tuple[tuple[str, float], ...]:
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


# Settings by their headings in the help.
_of_model = partial(setting, panel="Model and data")
_of_optimizer = partial(setting, panel="Optimizer")
_of_run = partial(setting, panel="Run")
_DIR: dict[str, Any] = {"metavar": "DIR", "show_default": False}
_of_folder = partial(setting, panel="Folder")


def _of_awd_lstm(what: str, default: float) -> Any:
    return _of_model(None, f"awd-lstm: {what}; default: {default:g}.")


def _workers(text: str) -> int | str:
    try:
        return text if text == "mpi" else int(text)
    except ValueError:
        raise ValueError(f"workers must be a number or mpi, got {text!r}") from None


def _validation(text: str) -> int | str:
    if text == "none" or (text.isdecimal() and int(text)):
        return text if text == "none" else int(text)
    raise ValueError(f"validation must be none or a number of examples, got {text!r}")


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(text: str | None) -> float | None:
    """Read a time such as 90s, 30m, 2h or 1.5d."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+\.?\d*)([smhd])", text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds <= 0:
        raise ValueError(
            f"budget must be a time such as 90s, 30m, 2h or 1.5d, got {text!r}"
        )
    return seconds


def _seeds(default: int | None) -> Any:
    return setting(default, "Runs of each method.", least=1)


_first_seed = partial(setting, 0, "The first seed.", least=0)
_dry_run = partial(
    setting,
    False,
    "Only say what would be done, and about how long it would take.",
    name="--dry-run",
)
_of_workers = partial(
    setting,
    1,
    "Lookahead: number of workers that share one outer step, each with its part of the "
    "data; or mpi, one worker for each rank that mpirun started.",
    given=str | None,
    metavar="N|mpi",
    read=_workers,
    show_default="1",
)


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides a training run; None if model and data decide."""

    model: str = _of_model(
        "mlp",
        "mlp, lstm, awd-lstm, resnet8, resnet18, resnet32, resnet50, resnet152; or your "
        "own, as module:name or file.py:name.",
        choices=_MODELS,
    )
    data: str = _of_model(
        "digits",
        "digits, mnist:DIR, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR, images:DIR; for "
        "an lstm pydoc, ptb:DIR, text:FILE, chars:FILE; or your own.",
        choices=_DATA_SETS,
    )
    validation: int | str | None = _of_model(
        None,
        "Pictures: hold out this many training examples for validation, or none, to train "
        "on all and evaluate the test examples; default: a share of them.",
        given=str | None,
        metavar="none|N",
        read=_validation,
    )
    resize: int | None = _of_model(
        None,
        "images: scale the shorter side to this many pixels; default: 8/7 of --crop, 256.",
        least=1,
    )
    crop: int | None = _of_model(
        None, "images: side of the crop, in pixels; default: 224.", least=1
    )
    optimizer: str = _of_optimizer(
        "lookahead-adam",
        "sgd, heavy-ball, nesterov, adagrad, adam, rmsprop, amsgrad, radam, lion or your "
        "own; each alone or with the prefix lookahead-, snoo- or polyak-.",
        choices=_OPTIMIZERS,
    )
    learning_rate: float | None = _of_optimizer(
        None,
        "Initial learning rate of the innermost optimizer; default: a value that was "
        "measured or published for it and the model.",
    )
    schedule: str = _of_optimizer(
        "constant",
        "Learning-rate schedule: constant, step, shortened, cosine or plateau.",
        choices=SCHEDULE_NAMES,
    )
    patience: int = _of_optimizer(
        15,
        "Schedule plateau: halve the learning rate after this many evaluations without a "
        "lower validation loss.",
        least=1,
    )
    epochs: int = _of_run(30, "Passes over the training examples.", least=1)
    batch_size: int | None = _of_model(
        None,
        "Examples in a batch, or columns of a text; default: 64; lstm, awd-lstm: 20; "
        "resnets: 128.",
        least=1,
    )
    accumulate: int = _of_model(
        1,
        "Split each batch of examples into this many parts, one after the other, to save "
        "memory.",
        least=1,
    )
    seed: int = _of_run(0, "Seed of initial weights, batches and dropout.", least=0)
    weights: str | None = _of_run(
        None,
        "Start from the weights in a file, such as final.safetensors of a run.",
        name="--from",
        metavar="FILE",
    )
    backend: str = _of_run(
        "auto",
        "Computes updates and layers; see [bold]info[/]. auto: numba for texts and "
        "pictures, if it is installed, otherwise numpy.",
        choices="lookahead_ref.stepping.backend:names",
    )
    k: int = _of_optimizer(5, "Lookahead: inner steps per synchronization.")
    alpha: float | None = _of_optimizer(
        None, "Lookahead: step size of the slow weights; default: 0.5; not with --outer."
    )
    inner_state: str = _of_optimizer(
        "maintain",
        "Lookahead: maintain, reset or interpolate the inner state.",
        choices=("maintain", "reset", "interpolate"),
    )
    outer: str | None = _of_optimizer(
        None,
        "Lookahead: optimizer of the slow weights, instead of alpha: sgd, heavy-ball, "
        "nesterov, adam or another inner one. snoo-NAME is lookahead-NAME with nesterov.",
    )
    outer_learning_rate: float | None = _of_optimizer(
        None, "Learning rate of --outer; default: 0.7 for sgd, heavy-ball and nesterov."
    )
    outer_momentum: float = _of_optimizer(
        0.9, "Momentum of an outer heavy-ball or nesterov."
    )
    workers: int | str = _of_workers(panel="Run")
    reduction: str = _of_run(
        "ordered",
        "Sum over ranks: ordered gives the bits of one process, allreduce is MPI's own.",
        choices=("ordered", "allreduce"),
    )
    momentum: float = _of_optimizer(0.9, "Momentum of heavy-ball and nesterov.")
    nonmonotone: int | None = _of_optimizer(
        None,
        "polyak-: start averaging when the validation loss exceeds the lowest one of more "
        "than this many evaluations ago, as in NT-ASGD; default: at once.",
        least=1,
    )
    weight_decay: float = _of_optimizer(
        0.0, "Weight decay of the innermost optimizer.", least=0
    )
    weight_decay_kind: str | None = _of_optimizer(
        None, "l2 or decoupled; default: l2; lion: decoupled."
    )
    hyperparameters: tuple[tuple[str, Any], ...] = several(
        str,
        "Argument of your own optimizer, besides the learning rate. Repeat it for several.",
        name="hyperparameter",
        panel="Optimizer",
        metavar="NAME=VALUE",
        read=assigned_once,
    )
    groups: tuple[str, ...] = several(
        str,
        "Other optimizer settings for parameters whose paths match a pattern, such as "
        "'*/bias:weight_decay=0'. Repeat it for several; the first match counts.",
        name="group",
        panel="Optimizer",
        metavar="PATTERN:NAME=VALUE,...",
    )
    clip: float | None = _of_optimizer(
        None,
        "Clip gradients to this norm; 0: never; default: 0.25 for lstm and awd-lstm.",
        least=0,
    )
    hidden: int | tuple[int, ...] | None = _of_model(
        None,
        "mlp: units of a hidden layer; repeat it for more layers; default: 64 and 64. "
        "lstm: of all layers; default: 200. awd-lstm: of all but the last; default: 1150.",
        least=1,
        given=list[int] | None,
        read=tuple,
    )
    layers: int | None = _of_model(None, "lstm: layers; default: 2; awd-lstm: 3.", least=1)
    dropout: float | None = _of_model(
        None,
        "lstm: share of units dropped; default: 0. awd-lstm: of the last layer's output; "
        "default: 0.4.",
    )
    embedding: int | None = _of_awd_lstm("width of embedding and last layer", 400)
    input_dropout: float | None = _of_awd_lstm("dropout of the embedding's units", 0.4)
    hidden_dropout: float | None = _of_awd_lstm("dropout between layers", 0.25)
    embedding_dropout: float | None = _of_awd_lstm("dropout of whole words", 0.1)
    weight_dropout: float | None = _of_awd_lstm("dropout of recurrent weights", 0.5)
    activation_penalty: float | None = _of_awd_lstm(
        "penalty on the outputs' mean square", 2
    )
    temporal_penalty: float | None = _of_awd_lstm(
        "penalty on the mean square of the outputs' changes", 1
    )
    tied: bool | None = _of_model(
        None, "lstm: share the weights of embedding and output.", name="--tied"
    )
    window: int | None = _of_model(
        None, "Texts: steps in a batch; default: 70 for awd-lstm.", least=1
    )
    random_window: bool | None = _of_model(
        None,
        "Texts: draw the steps of each batch around --window, and scale the learning rate "
        "with them; default: only for awd-lstm.",
    )
    statistics_examples: int | None = _of_run(
        None,
        "Residual networks: estimate the statistics for an evaluation from at most this "
        "many training examples; default: 4,096.",
        least=1,
    )
    evaluate_every: int = _of_run(1, "Evaluate after this many epochs.", least=1)
    evaluate_train: bool | None = _of_run(
        None,
        "Evaluate the training examples too; default: up to 20,000 examples or 200,000 "
        "tokens, and in small reproductions.",
    )

    @property
    def evaluated(self) -> str:
        """The examples used for validation: those held out, or the test examples."""
        return "test" if self.validation == "none" else "validation"

    def __post_init__(self) -> None:
        # JSON turns tuples into lists.
        for name in ("hidden", "groups"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        pairs = tuple((name, value) for name, value in self.hyperparameters)
        object.__setattr__(self, "hyperparameters", pairs)


_IN_ONE_PROCESS = tuple(
    name
    for name, *_ in options(TrainSettings())
    if name not in ("workers", "reduction", "weights")
)


@dataclass(frozen=True)
class TrainFolder:
    """The folder of a run, if it has one."""

    output: Path | None = _of_folder(None, "A new or empty folder to write to.", **_DIR)
    resume: Path | None = _of_folder(None, "Continue the run in this folder.", **_DIR)
    dry_run: bool = _dry_run(panel="Run")


@dataclass(frozen=True)
class FolderOptions:
    """The options that a resumed run may change."""

    on_nonfinite: str = _of_run(
        "stop",
        "If a loss or gradient is not finite: stop, or skip the batch.",
        choices=("stop", "skip"),
    )
    checkpoint_every: int | None = _of_folder(
        None, "Write a checkpoint after this many batches; default: every minute.", least=1
    )
    keep: int = _of_folder(3, "Checkpoints to keep.", least=1)

    def __post_init__(self) -> None:
        hyperparameters.count("keep", self.keep)
        if self.checkpoint_every is not None:
            hyperparameters.count("checkpoint_every", self.checkpoint_every)
        hyperparameters.option("on_nonfinite", self.on_nonfinite, ("stop", "skip"))


@dataclass(frozen=True)
class CompareSettings:
    """A comparison of optimizers alone and inside Lookahead, on each seed."""

    seeds: int = _seeds(5)
    seed: int = _first_seed()
    workers: int | str = _of_workers()
    optimizers: tuple[str, ...] = several(
        str,
        "An optimizer as for train, or your own as module:name or file.py:name, compared "
        "alone and inside Lookahead; with the prefix polyak- or snoo- only as it is. "
        "Repeat it for several; default: the ten methods of a table in the paper.",
        name="optimizer",
        metavar="NAME",
    )
    learning_rates: tuple[tuple[str, float], ...] = several(
        str,
        "Learning rate of one optimizer, or of all that are not named. Default: as for "
        "train; for your own optimizer, its own default.",
        name="learning_rate",
        metavar="[NAME=]RATE",
        read=_rates,
    )
    base: TrainSettings = shared(*_IN_ONE_PROCESS)

    def __post_init__(self) -> None:
        hyperparameters.count("seeds", self.seeds)


@dataclass(frozen=True)
class JobOptions:
    """How a job's runs are done, and where their results go."""

    jobs: int | None = setting(
        None, "Processes; default: one per core.", least=1, show_default=False
    )
    scheduler: str | None = setting(
        None, "Run on a Dask cluster instead.", metavar="ADDRESS", show_default=False
    )
    dry_run: bool = _dry_run()
    output: Path | None = setting(
        None, "The folder to write to; runs in it are not repeated.", **_DIR
    )
    as_json: bool = setting(False, "Print JSON, for a program to read.", name="--json")


@dataclass(frozen=True)
class SweepSettings:
    """A grid: all combinations of the axes' values, on each seed."""

    optimizer: tuple[str, ...] = several(
        str,
        "As for train. Repeat this or any option below to try several values.",
        show_default="lookahead-adam",
    )
    learning_rate: tuple[float, ...] = several(
        float, "Learning rate of the innermost optimizer."
    )
    momentum: tuple[float, ...] = several(float, "Momentum of heavy ball and Nesterov.")
    k: tuple[int, ...] = several(int, "Lookahead: inner steps per synchronization.")
    alpha: tuple[float, ...] = several(float, "Lookahead: step size of the slow weights.")
    hyperparameters: tuple[tuple[str, tuple[Any, ...]], ...] = several(
        str,
        "Argument of your own optimizer, as for train; repeat it for each value.",
        name="hyperparameter",
        metavar="NAME=VALUE",
        read=_assigned,
    )
    outer_learning_rate: tuple[float, ...] = several(
        float, "Learning rate of --outer.", show_default="0.7"
    )
    outer_momentum: tuple[float, ...] = several(
        float, "Momentum of an outer heavy-ball or nesterov.", show_default="0.9"
    )
    weight_decay: tuple[float, ...] = several(
        float, "Weight decay of the innermost optimizer."
    )
    workers: int | str = _of_workers()
    seeds: int = _seeds(1)
    seed: int = _first_seed()
    base: TrainSettings = shared(*_IN_ONE_PROCESS)

    def __post_init__(self) -> None:
        hyperparameters.count("seeds", self.seeds)
        for name, values in [*self.axes.items(), *self.hyperparameters]:
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must have distinct values, got {list(values)}")

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The varied settings: names in `AXES` to values."""
        given = {name: getattr(self, name) for name in AXES}
        return {name: values for name, values in given.items() if values}


@dataclass(frozen=True)
class ReproduceSettings:
    """The scale and settings in which a table or figure is reproduced."""

    full: bool = setting(
        False, "The paper's setting, as far as it is known; needs --data.", name="--full"
    )
    middle: bool = setting(
        False,
        "An intermediate setting: ResNet-8 for pictures, an LSTM of two layers of 200 for "
        "texts; needs --data.",
        name="--middle",
    )
    budget: float | None = setting(
        None,
        "Choose the largest setting and the most epochs, and fewer seeds if need be, whose "
        "runs all fit into this time, such as 30m or 2h, as measured; needs --data.",
        given=str | None,
        metavar="TIME",
        read=_seconds,
    )
    data: str | None = setting(
        None,
        "Data to train on, such as cifar10:DIR; see train.",
        metavar="NAME[:PATH]",
        choices=_DATA_SETS,
    )
    seeds: int | None = _seeds(None)
    epochs: int | None = setting(None, "Epochs, instead of the setting's.", least=1)
    batch_size: int | None = setting(
        None, "Examples or sequences per batch, instead of the setting's.", least=1
    )
    learning_rate: float | None = setting(
        None, "SGD's learning rate, instead of the setting's."
    )
    base: TrainSettings = shared(*SHARED)

    def __post_init__(self) -> None:
        given = [name for name in ("full", "middle", "budget") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} cannot both be given")
        if given and self.data is None:
            raise ValueError(
                f"data must be given with {given[0]}, as cifar10:DIR or ptb:DIR, got none"
            )

    @property
    def size(self) -> str:
        """The requested one of `SIZES`."""
        return next((name for name in SIZES if getattr(self, name, False)), "small")
