"""What a user can set, declared once: the command line makes its options from it.

A field of these dataclasses that `setting` declares is an option of the command. Nothing
heavy is imported here, so that ``--help`` answers at once.
"""

import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from keyword import iskeyword
from pathlib import Path
from typing import Any

from lookahead_ref import hyperparameters

SCHEDULE_NAMES = ("constant", "step", "shortened", "cosine", "plateau")
"""Learning-rate schedules, made by `lookahead_ref.experiments.train.SCHEDULES`."""

AXES = (
    *("optimizer", "learning_rate", "momentum", "k", "alpha"),
    *("outer_learning_rate", "outer_momentum", "weight_decay"),
)
"""What a sweep may vary, besides the seed: fields of `TrainSettings`."""

OF_DATA = ("resize", "crop")
"""How data is read, in every command that trains."""

EVALUATION = ("statistics_examples", "evaluate_every", "evaluate_train")
"""How a run is evaluated, likewise."""

_MODELS = "lookahead_ref.experiments.models:MODELS"
_DATA_SETS = "lookahead_ref.data:SOURCES"
_OPTIMIZERS = "lookahead_ref.experiments.optimizers:NAMES"


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


def evaluation(settings: Any) -> dict[str, Any]:
    """Return what every command has, and evaluate training examples too for a report."""
    given = {name: getattr(settings, name) for name in (*OF_DATA, *EVALUATION)}
    return {**given, "evaluate_train": given["evaluate_train"] is not False}


def shared(*names: str) -> Any:
    """Declare settings of training of which these are options, but those beside it."""
    return field(default_factory=TrainSettings, metadata={"shared": names})


def options(settings: Any) -> Iterator[tuple[str, Option, Any]]:
    """Yield of each option its place, as ``base.epochs``, how it is given, its value."""
    own = [each for each in fields(settings) if "option" in each.metadata]
    beside = {parameter_name(each.name, each.metadata["option"]) for each in own}
    for each in fields(settings):
        value = getattr(settings, each.name)
        if "option" in each.metadata:
            yield each.name, each.metadata["option"], value
        for name, option, inner in options(value) if "shared" in each.metadata else ():
            if (
                name in each.metadata["shared"]
                and parameter_name(name, option) not in beside
            ):
                yield f"{each.name}.{name}", option, inner


def parameter_name(place: str, option: Option) -> str:
    """Return what an option is called, as a command's parameter."""
    name = (option.name or place.rpartition(".")[2]).strip("-").replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def command(name: str, settings: Any) -> str:
    """Return the command line that asks for settings, without those that are defaults."""
    words = ["lookahead-ref", *name.split()]
    usual = {place: value for place, _, value in options(type(settings)())}
    for place, option, value in options(settings):
        word = f"--{parameter_name(place, option).strip('_').replace('_', '-')}"
        if value == usual[place]:
            continue
        if isinstance(value, tuple):
            words += [part for each in value for part in _repeated(word, each)]
        elif value is True:
            words.append(word)
        elif value is False and not (option.name or "").startswith("--"):
            words.append(f"--no-{word.strip('-')}")
        elif value is not None and value is not False:
            words += [word, str(value)]
    return shlex.join(words)


def _repeated(word: str, value: Any) -> list[str]:
    if not isinstance(value, tuple):
        return [word, str(value)]
    name, assigned = value
    each = assigned if isinstance(assigned, tuple) else (assigned,)
    return [part for one in each for part in (word, f"{name}={one}" if name else str(one))]


def _assigned(
    texts: Iterable[str], what: str = "hyperparameter"
) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Read NAME=VALUE: numbers, true and false as JSON has them, all else as text."""
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


# A setting, by the heading that it stands under.
_of_model = partial(setting, panel="Model and data")
_of_optimizer = partial(setting, panel="Optimizer")
_of_run = partial(setting, panel="Run")
_DIR: dict[str, Any] = {"metavar": "DIR", "show_default": False}
_of_folder = partial(setting, panel="Folder")


def _of_awd_lstm(what: str, default: float) -> Any:
    return _of_model(None, f"awd-lstm: {what}, by default {default:g}.")


def _workers(text: str) -> int | str:
    try:
        return text if text == "mpi" else int(text)
    except ValueError:
        raise ValueError(f"workers must be a number or mpi, got {text!r}") from None


def _seeds(default: int | None) -> Any:
    return setting(default, "Runs of each method.", least=1)


_first_seed = partial(setting, 0, "The first seed.", least=0)
_of_workers = partial(
    setting,
    1,
    "Lookahead: how many workers, each with its share of the data, have one outer step; "
    "or mpi, where each is a rank that mpirun started.",
    given=str | None,
    metavar="N|mpi",
    read=_workers,
    show_default="1",
)


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides a training run; None where model and data decide."""

    model: str = _of_model(
        "mlp",
        "mlp, lstm, awd-lstm, resnet18, resnet32, resnet50, resnet152; or your own, as "
        "module:name or file.py:name.",
        choices=_MODELS,
    )
    data: str = _of_model(
        "digits",
        "digits, mnist:DIR, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR, images:DIR; for "
        "an lstm pydoc, ptb:DIR, text:FILE, chars:FILE; or your own.",
        choices=_DATA_SETS,
    )
    resize: int | None = _of_model(
        None,
        "images: pixels that the shorter side is brought to; default: 256, or in that "
        "proportion to the crop.",
        least=1,
    )
    crop: int | None = _of_model(
        None, "images: pixels of a side of what is cut out; default: 224.", least=1
    )
    optimizer: str = _of_optimizer(
        "lookahead-adam",
        "sgd, heavy-ball, nesterov, adagrad, adam, rmsprop, amsgrad, radam or lion; alone, "
        "or with lookahead-, snoo- or polyak- before it; or your own, which may have that "
        "before it too.",
        choices=_OPTIMIZERS,
    )
    learning_rate: float | None = _of_optimizer(
        None,
        "Of the innermost optimizer, at the start; default: as it was measured or "
        "published for it and the model.",
    )
    schedule: str = _of_optimizer(
        "constant",
        "Of the learning rate: constant, step, shortened, cosine or plateau.",
        choices=SCHEDULE_NAMES,
    )
    patience: int = _of_optimizer(
        15,
        "Schedule plateau: evaluations that do not lower the validation loss, after which "
        "the learning rate is halved.",
        least=1,
    )
    epochs: int = _of_run(30, "Passes over the training examples.", least=1)
    batch_size: int | None = _of_model(
        None,
        "Examples in a batch, or columns of a text; default: 64, for lstm and awd-lstm "
        "20, for a resnet 128.",
        least=1,
    )
    accumulate: int = _of_model(
        1,
        "Examples: parts of a batch that go through the model one after the other, to save "
        "memory.",
        least=1,
    )
    seed: int = _of_run(0, "Decides initial weights, batches and dropout.", least=0)
    weights: str | None = _of_run(
        None,
        "Weights to begin with, a file as final.safetensors of a run.",
        name="--from",
        metavar="FILE",
    )
    backend: str = _of_run(
        "auto",
        "What makes the updates, and the layers' kernels; see [bold]info[/]. auto is numba "
        "for texts and pictures, where it is installed, and numpy else.",
        choices="lookahead_ref.stepping.backend:names",
    )
    k: int = _of_optimizer(5, "Lookahead: inner steps to a synchronization.")
    alpha: float | None = _of_optimizer(
        None,
        "Lookahead: step size of the slow weights; default: 0.5, or none with --outer.",
    )
    inner_state: str = _of_optimizer(
        "maintain",
        "Lookahead: maintain, reset or interpolate the inner state.",
        choices=("maintain", "reset", "interpolate"),
    )
    outer: str | None = _of_optimizer(
        None,
        "Lookahead: optimizer of the slow weights, in place of alpha: sgd, heavy-ball, "
        "nesterov, adam or another inner one. snoo-NAME is lookahead-NAME with nesterov.",
    )
    outer_learning_rate: float | None = _of_optimizer(
        None,
        "Of the outer optimizer; default: 0.7 for sgd, heavy-ball and nesterov.",
    )
    outer_momentum: float = _of_optimizer(0.9, "Of an outer heavy-ball or nesterov.")
    workers: int | str = _of_workers(panel="Run")
    reduction: str = _of_run(
        "ordered",
        "Of mpi's workers: ordered has the bits of one process, allreduce is MPI's own.",
        choices=("ordered", "allreduce"),
    )
    momentum: float = _of_optimizer(0.9, "Of heavy-ball and nesterov.")
    nonmonotone: int | None = _of_optimizer(
        None,
        "polyak-: begin to average where the validation loss is above the best of all but "
        "the last so many evaluations, as NT-ASGD does; default: at once.",
        least=1,
    )
    weight_decay: float = _of_optimizer(0.0, "Of the innermost optimizer.", least=0)
    weight_decay_kind: str | None = _of_optimizer(
        None, "l2 or decoupled; default: l2, for lion decoupled."
    )
    hyperparameters: tuple[tuple[str, Any], ...] = several(
        str,
        "Of an optimizer of your own: what it is made with besides the learning rate. "
        "Repeat it for several.",
        name="hyperparameter",
        panel="Optimizer",
        metavar="NAME=VALUE",
        read=assigned_once,
    )
    groups: tuple[str, ...] = several(
        str,
        "Other settings of the optimizer for the parameters whose paths match a pattern, "
        "as '*/bias:weight_decay=0'. Repeat it for several; the first match counts.",
        name="group",
        panel="Optimizer",
        metavar="PATTERN:NAME=VALUE,...",
    )
    clip: float | None = _of_optimizer(
        None,
        "Largest norm of the gradients, 0 for none; default: 0.25 for lstm and awd-lstm.",
        least=0,
    )
    hidden: int | tuple[int, ...] | None = _of_model(
        None,
        "mlp: units of a hidden layer, once for each, by default 64 and 64; lstm: of all "
        "layers, by default 200; awd-lstm: of all but the last, by default 1150.",
        least=1,
        given=list[int] | None,
        read=tuple,
    )
    layers: int | None = _of_model(
        None, "lstm: layers, by default 2; of awd-lstm 3.", least=1
    )
    dropout: float | None = _of_model(
        None,
        "lstm: share of units left out, by default 0; awd-lstm: of the last layer's "
        "output, by default 0.4.",
    )
    embedding: int | None = _of_awd_lstm("width of embedding and last layer", 400)
    input_dropout: float | None = _of_awd_lstm("of the embedding's units", 0.4)
    hidden_dropout: float | None = _of_awd_lstm("of units between layers", 0.25)
    embedding_dropout: float | None = _of_awd_lstm("of whole words", 0.1)
    weight_dropout: float | None = _of_awd_lstm("of weights between hidden states", 0.5)
    activation_penalty: float | None = _of_awd_lstm("times the outputs' mean square", 2)
    temporal_penalty: float | None = _of_awd_lstm("times that of their change", 1)
    tied: bool | None = _of_model(
        None, "lstm: output weights are those of the embedding.", name="--tied"
    )
    window: int | None = _of_model(
        None, "Texts: steps in a batch; default: 70 for awd-lstm.", least=1
    )
    random_window: bool | None = _of_model(
        None,
        "Texts: draw the steps of each batch around that, and scale the learning rate with "
        "them; default: for awd-lstm.",
    )
    statistics_examples: int | None = _of_run(
        None,
        "Residual networks: most training examples that the statistics of an evaluation "
        "are computed over; default: 4,096.",
        least=1,
    )
    evaluate_every: int = _of_run(1, "Epochs from one evaluation to the next.", least=1)
    evaluate_train: bool | None = _of_run(
        None,
        "Evaluate the training examples too; default: train does where there are no "
        "more than 20,000, or 200,000 tokens.",
    )

    def __post_init__(self) -> None:
        # JSON has lists for tuples.
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
    """The folder of a run, where it has one."""

    output: Path | None = _of_folder(None, "A new or empty folder to write to.", **_DIR)
    resume: Path | None = _of_folder(None, "Continue the run in this folder.", **_DIR)
    dry_run: bool = setting(
        False,
        "Say what would be done and about how long it takes, and end.",
        name="--dry-run",
        panel="Run",
    )


@dataclass(frozen=True)
class FolderOptions:
    """What a run that is kept in a folder may be continued with another value of."""

    on_nonfinite: str = _of_run(
        "stop",
        "A loss or gradient that is not finite: stop, or skip the batch.",
        choices=("stop", "skip"),
    )
    checkpoint_every: int | None = _of_folder(
        None,
        "Batches from one checkpoint to the next; default: one is written every minute.",
        least=1,
    )
    keep: int = _of_folder(3, "Checkpoints that are kept.", least=1)

    def __post_init__(self) -> None:
        hyperparameters.count("keep", self.keep)
        if self.checkpoint_every is not None:
            hyperparameters.count("checkpoint_every", self.checkpoint_every)
        hyperparameters.option("on_nonfinite", self.on_nonfinite, ("stop", "skip"))


@dataclass(frozen=True)
class CompareSettings:
    """What is compared: every optimizer alone and inside Lookahead, on each seed."""

    seeds: int = _seeds(5)
    seed: int = _first_seed()
    workers: int | str = _of_workers()
    optimizers: tuple[str, ...] = several(
        str,
        "An optimizer as for train, or your own as module:name or "
        "file.py:name: compared alone and inside Lookahead; with polyak- or snoo- before "
        "it as it is. Repeat it for several; default: the ten of the paper's table.",
        name="optimizer",
        metavar="NAME",
    )
    learning_rates: tuple[tuple[str, float], ...] = several(
        str,
        "Of an optimizer by its name, or of all that are not named. Default: as for train; "
        "your own optimizer's own.",
        name="learning_rate",
        metavar="[NAME=]RATE",
        read=_rates,
    )
    base: TrainSettings = shared(*_IN_ONE_PROCESS)

    def __post_init__(self) -> None:
        hyperparameters.count("seeds", self.seeds)


@dataclass(frozen=True)
class JobOptions:
    """How many runs are done, and where their results go."""

    jobs: int | None = setting(
        None, "Processes; as many as cores if not given.", least=1, show_default=False
    )
    scheduler: str | None = setting(
        None,
        "A Dask cluster that does the runs instead.",
        metavar="ADDRESS",
        show_default=False,
    )
    dry_run: bool = setting(
        False,
        "Say what would be done and about how long it takes, and end.",
        name="--dry-run",
    )
    output: Path | None = setting(
        None, "The folder to write to; runs that are there are not done again.", **_DIR
    )
    as_json: bool = setting(False, "Print JSON, for a program to read.", name="--json")


@dataclass(frozen=True)
class SweepSettings:
    """A grid: each value of an axis with each of the others, each once for each seed."""

    optimizer: tuple[str, ...] = several(
        str,
        "As for train. Repeat it, as all of the next, to try several.",
        show_default="lookahead-adam",
    )
    learning_rate: tuple[float, ...] = several(float, "Of the innermost optimizer.")
    momentum: tuple[float, ...] = several(float, "Of heavy ball and Nesterov.")
    k: tuple[int, ...] = several(int, "Lookahead: inner steps to a synchronization.")
    alpha: tuple[float, ...] = several(float, "Lookahead: step size of the slow weights.")
    hyperparameters: tuple[tuple[str, tuple[Any, ...]], ...] = several(
        str,
        "Of an optimizer of your own, as for train; once for each value.",
        name="hyperparameter",
        metavar="NAME=VALUE",
        read=_assigned,
    )
    outer_learning_rate: tuple[float, ...] = several(
        float, "Of the outer optimizer.", show_default="0.7"
    )
    outer_momentum: tuple[float, ...] = several(
        float, "Of an outer heavy-ball or nesterov.", show_default="0.9"
    )
    weight_decay: tuple[float, ...] = several(float, "Of the innermost optimizer.")
    workers: int | str = _of_workers()
    seeds: int = _seeds(1)
    seed: int = _first_seed()
    base: TrainSettings = shared(*_IN_ONE_PROCESS)

    def __post_init__(self) -> None:
        hyperparameters.count("seeds", self.seeds)
        for name, values in [*self.axes.items(), *self.hyperparameters]:
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must have values, each once; got {list(values)}")

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """What is varied: names in `AXES` to the values that are tried."""
        given = {name: getattr(self, name) for name in AXES}
        return {name: values for name, values in given.items() if values}


@dataclass(frozen=True)
class ReproduceSettings:
    """Which setting of a table or figure is reproduced: a small one, or the paper's."""

    full: bool = setting(
        False, "The paper's setting, as far as it is known; needs --data.", name="--full"
    )
    middle: bool = setting(
        False,
        "table3: two layers of 200, for Penn Treebank; needs --data.",
        name="--middle",
    )
    data: str | None = setting(
        None,
        "What to train on, as cifar10:DIR; see train.",
        metavar="NAME[:PATH]",
        choices=_DATA_SETS,
    )
    seeds: int | None = _seeds(None)
    epochs: int | None = setting(None, "Other than the setting's.", least=1)
    learning_rate: float | None = setting(None, "Of SGD, other than the setting's.")
    base: TrainSettings = shared("backend", *OF_DATA, *EVALUATION)

    def __post_init__(self) -> None:
        if self.full and self.middle:
            raise ValueError("full and middle cannot both be given")
        if (self.full or self.middle) and self.data is None:
            raise ValueError(
                f"data must be given for the {'full' if self.full else 'middle'} setting, "
                "as cifar10:DIR or ptb:DIR, got none"
            )
