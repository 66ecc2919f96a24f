"""One optimizer, one training run: what ``lookahead-ref train`` does."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import lookahead_ref as la
from lookahead_ref.data import SOURCES
from lookahead_ref.experiments import methods, models, plugins
from lookahead_ref.experiments.environment import versions
from lookahead_ref.report.files import jsonable, write_atomically, write_json
from lookahead_ref.stepping.backend import load as load_backend
from lookahead_ref.training import (
    Data,
    JsonLines,
    Model,
    NonFiniteLossError,
    TrainingResult,
)
from lookahead_ref.training.checkpoint import encode
from lookahead_ref.training.events import Callback, Event, RunStarted
from lookahead_ref.training.folder import CheckpointError, CheckpointFolder
from lookahead_ref.training.loop import OnNonFinite, StoppedError, described, train
from lookahead_ref.training.stopping import stop_requests
from lookahead_ref.trees import flatten

if TYPE_CHECKING:
    from lookahead_ref.experiments.runs import Run

__all__ = [
    "SCHEDULES",
    "Prepared",
    "Settings",
    "digests",
    "perplexity",
    "prepare",
    "run",
]

_DISTRIBUTIONS = ("numpy", "autograd", "numba", "cupy", "scikit-learn", "safetensors")

# Looking at the training examples again takes a third of the time of learning from them.
_EVALUATED_EXAMPLES = 20_000
_EVALUATED_TOKENS = 200_000


def _constant(_rate: float, _steps: int) -> None:
    return None


def _decay(shares: Sequence[float], factor: float) -> Callable[[float, int], Any]:
    def schedule(rate: float, steps: int) -> Callable[[int], float]:
        # Of a run of a few steps the first is left at the initial rate.
        boundaries = sorted({max(1, round(share * steps)) for share in shares})
        return la.schedules.StepDecay(rate, boundaries, factor=factor)

    return schedule


def _cosine(rate: float, steps: int) -> Callable[[int], float]:
    return la.schedules.Cosine(rate, steps=steps)


SCHEDULES: Mapping[str, Callable[[float, int], Callable[[int], float] | None]] = {
    "constant": _constant,
    # The paper's CIFAR schedule divides by five after epochs 60, 120 and 160 of 200,
    "step": _decay((0.3, 0.6, 0.8), 0.2),
    # its shortened one for ImageNet by ten after epochs 30, 48 and 58 of 60.
    "shortened": _decay((0.5, 0.8, 58 / 60), 0.1),
    "cosine": _cosine,
}
"""Learning-rate schedules by name, from the initial rate and the number of steps."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run.

    Parameters
    ----------
    model, optimizer : str
        Names in `lookahead_ref.experiments.models.MODELS` and
        `lookahead_ref.experiments.methods.NAMES`; or the user's own, see
        `lookahead_ref.experiments.plugins`, the optimizer also with ``lookahead-`` or
        ``polyak-`` before it.
    data : str
        What `lookahead_ref.data.load` takes, or the user's own.
    learning_rate : float, optional
        Of the innermost optimizer, at the start; by default that of
        `lookahead_ref.experiments.methods.default_learning_rate`.
    schedule : str
        A name in `SCHEDULES`.
    epochs, seed : int
        Of the run.
    batch_size : int, optional
        By default the model's.
    backend : str
        What makes the updates and, where it has some, the layers' kernels.
    k, alpha, inner_state
        Of `lookahead_ref.Lookahead`, where there is one.
    momentum, weight_decay, weight_decay_kind
        Of the innermost optimizer.
    hyperparameters : tuple of (str, object)
        Of an optimizer of the user's own: what it is made with besides its learning rate,
        name and value.
    clip : float, optional
        Largest norm of the gradients; 0 for none. By default the model's.
    hidden, layers, dropout, tied : optional
        Of models that have such.
    window : int, optional
        Of a text: steps in a batch. By default the data's.
    evaluate_train : bool, optional
        Whether to evaluate the training examples too; by default if there are no more
        than 20,000, or 200,000 tokens.
    """

    model: str = "mlp"
    data: str = "digits"
    optimizer: str = "lookahead-adam"
    learning_rate: float | None = None
    schedule: str = "constant"
    epochs: int = 30
    batch_size: int | None = None
    seed: int = 0
    backend: str = "numpy"
    k: int = 5
    alpha: float = 0.5
    inner_state: str = "maintain"
    momentum: float = 0.9
    weight_decay: float = 0.0
    weight_decay_kind: str = "l2"
    hyperparameters: tuple[tuple[str, Any], ...] = ()
    clip: float | None = None
    hidden: int | tuple[int, ...] | None = None
    layers: int | None = None
    dropout: float | None = None
    tied: bool | None = None
    window: int | None = None
    evaluate_train: bool | None = None

    def __post_init__(self) -> None:
        hidden: Any = self.hidden
        if isinstance(hidden, list):  # as JSON has it
            object.__setattr__(self, "hidden", tuple(hidden))
        pairs = tuple((name, value) for name, value in self.hyperparameters)
        object.__setattr__(self, "hyperparameters", pairs)


@dataclass(frozen=True)
class Prepared:
    """Settings that were found to be right, and what they name."""

    settings: Settings
    """With nothing left open that the model, the optimizer or the data decide."""
    model: Model
    data: Data
    optimizer: Any
    schedule: Callable[[int], float] | None

    @property
    def batch_size(self) -> int:
        """Examples in a batch, or columns of a text."""
        size = self.settings.batch_size
        return models.defaults(self.settings.model).batch_size if size is None else size


def prepare(settings: Settings) -> Prepared:
    """Look up everything that settings name, before anything is written.

    Parameters
    ----------
    settings : Settings
        What is wanted.

    Returns
    -------
    Prepared
        Ready to run.

    Raises
    ------
    TypeError, ValueError
        If a setting is not known or out of range; the message names it.
    OSError
        If the data cannot be read.
    lookahead_ref.extras.MissingExtraError
        If the data needs a distribution that is not installed.
    lookahead_ref.stepping.backend.BackendUnavailableError
        If the backend cannot be used.
    """
    kind = models.defaults(settings.model)
    options = _options(settings, kind)
    if settings.schedule not in SCHEDULES:
        known = ", ".join(SCHEDULES)
        raise ValueError(f"schedule must be one of {known}; got {settings.schedule!r}")
    methods.method(settings.optimizer)
    load_backend(settings.backend)
    data = _data(settings)
    # The user's data may have nothing that a model of this library asks for.
    with plugins.blamed("data", settings.data):
        model = models.make(settings.model, data, settings.backend, options)
    rate, optimizer = _optimizer(settings)
    batch_size = kind.batch_size if settings.batch_size is None else settings.batch_size
    with plugins.blamed("data", settings.data):
        steps = settings.epochs * data.stream(batch_size, 0).batches_per_epoch
    schedule = None
    if settings.schedule != "constant":
        if rate is None:
            raise ValueError(
                f"learning_rate must be given for schedule {settings.schedule}, got none"
            )
        schedule = SCHEDULES[settings.schedule](rate, steps)
    # What fits no float32 is found here.
    plugins.try_out(
        (settings.model, model),
        (settings.data, data),
        {settings.optimizer: optimizer},
        seed=settings.seed,
        batch_size=batch_size,
        backend=settings.backend,
    )
    resolved = replace(
        settings,
        learning_rate=rate,
        batch_size=batch_size,
        clip=kind.clip if settings.clip is None else settings.clip,
        window=getattr(data, "window", None),
        evaluate_train=_few(data)
        if settings.evaluate_train is None
        else settings.evaluate_train,
        **options,
    )
    return Prepared(resolved, model, data, optimizer, schedule)


def run(
    prepared: Prepared,
    folder: "Run | None" = None,
    *,
    on_nonfinite: OnNonFinite | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainingResult:
    """Train, and write the run folder if there is to be one.

    Parameters
    ----------
    prepared : Prepared
        From `prepare`.
    folder : Run, optional
        The folder, held by this process, to hold ``results.json``, ``train.jsonl``,
        checkpoints, and ``final.safetensors``: the weights to evaluate. Where it has
        checkpoints of this run already, it goes on from the last good one.
    on_nonfinite : {"stop", "skip"}, optional
        What to do about a batch whose loss or gradient is not finite; by default what the
        folder says, and to stop where there is none.
    callbacks : sequence of callable
        Told of each event.

    Returns
    -------
    TrainingResult
        The weights and the history.

    Raises
    ------
    NonFiniteLossError
        If the loss or a gradient becomes NaN or infinite.
    StoppedError
        If the process was asked to end and the state of the run was saved in the folder.
    CheckpointError
        If a checkpoint cannot be written or read.
    """
    settings = prepared.settings
    if on_nonfinite is None:
        on_nonfinite = "stop" if folder is None else folder.on_nonfinite

    def trained(**more: Any) -> TrainingResult:
        with plugins.told_where(
            model=settings.model,
            data=settings.data,
            optimizer=methods.inner_name(settings.optimizer),
        ):
            return train(
                prepared.model,
                prepared.data,
                prepared.optimizer,
                schedule=prepared.schedule,
                seed=settings.seed,
                epochs=settings.epochs,
                batch_size=prepared.batch_size,
                backend=settings.backend,
                clip=settings.clip or None,
                evaluate_train=bool(settings.evaluate_train),
                on_nonfinite=on_nonfinite,
                **more,
            )

    if folder is None:
        return trained(callbacks=callbacks)

    configuration = jsonable(asdict(settings))
    log_path = folder.path / "train.jsonl"
    with ExitStack() as stack:
        request = stack.enter_context(stop_requests())
        checkpoints = CheckpointFolder(
            folder.path,
            configuration,
            keep=folder.keep,
            every=folder.checkpoint_every,
            stopping=request,
        )
        restored = checkpoints.restore(folder.note)
        if restored is None:
            log_path.unlink(missing_ok=True)
        else:
            folder.note(f"continuing from {restored.path}")
            folder.cut_log(log_path, restored.log_bytes)
        log = stack.enter_context(JsonLines(log_path, steps=True))
        checkpoints.flush_first(log)

        def write(event: Event) -> None:
            # The line that says that the run began is there already.
            if restored is None or not isinstance(event, RunStarted):
                log(event)

        try:
            result = trained(
                checkpoints=checkpoints,
                resume=None if restored is None else restored.snapshot,
                callbacks=[*callbacks, write],
            )
            log.sync()
            _write(folder, prepared, result)
        except (NonFiniteLossError, OSError) as error:
            if checkpoints.last is not None and not isinstance(error, CheckpointError):
                error.add_note(f"the last good checkpoint is {checkpoints.last}")
            raise
        except StoppedError as error:
            error.signal = request.signal
            raise
    return result


def digests(settings: Settings) -> dict[str, str]:
    """Tell in what state the user's own files are that settings name.

    Parameters
    ----------
    settings : Settings
        Of a run.

    Returns
    -------
    dict
        What is named to a digest of its file; nothing where all is of the library.

    Raises
    ------
    ValueError
        If one cannot be read.
    """
    named = [methods.inner_name(settings.optimizer), settings.model]
    if settings.data.partition(":")[0] not in SOURCES:
        named.append(settings.data)
    return {text: plugins.digest(text) for text in named if plugins.is_plugin(text)}


def perplexity(loss: float) -> float | None:
    """Return the perplexity that a loss of so many nats is; None if it has no number."""
    return math.exp(loss) if loss < math.log(sys.float_info.max) else None


def _write(folder: "Run", prepared: Prepared, result: TrainingResult) -> None:
    """Write what a run that came to its end leaves behind."""
    configuration = asdict(prepared.settings)
    test = result.test
    write_atomically(
        folder.path / "final.safetensors",
        encode(
            flatten(result.params),
            {
                "format": "lookahead-ref weights",
                "format_version": 1,
                "configuration": configuration,
                "steps": result.steps,
                "skipped": result.skipped,
            },
        ),
    )
    write_json(
        folder.path / "results.json",
        {
            "format": "lookahead-ref train",
            "format_version": 1,
            "configuration": {
                **configuration,
                "model_made": described(prepared.model),
                "optimizer_made": described(prepared.optimizer),
                "schedule_made": described(prepared.schedule),
            },
            "versions": versions(*_DISTRIBUTIONS),
            "steps": result.steps,
            "skipped": result.skipped,
            "history": [asdict(record) for record in result.history],
            "test": None
            if test is None
            else {"loss": test.loss, "accuracy": test.accuracy},
            "timing": {"started": folder.started, "seconds": result.seconds},
        },
    )


def _options(settings: Settings, kind: models.ModelKind) -> dict[str, Any]:
    """Take the settings that the model has; refuse the others."""
    options = dict(kind.options)
    for name in models.OPTIONS:
        value = getattr(settings, name)
        if value is None:
            continue
        if name not in options:
            raise ValueError(f"{name} is no option of model {settings.model}, got {value}")
        options[name] = value
    return options


def _optimizer(settings: Settings) -> tuple[float | None, Any]:
    """Return the learning rate at the start and the optimizer."""
    rate = settings.learning_rate
    if rate is None:
        rate = methods.default_learning_rate(settings.optimizer, settings.model)
    return rate, methods.build(
        settings.optimizer,
        learning_rate=rate,
        k=settings.k,
        alpha=settings.alpha,
        inner_state=settings.inner_state,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        weight_decay_kind=settings.weight_decay_kind,
        hyperparameters=dict(settings.hyperparameters),
    )


def _data(settings: Settings) -> Any:
    data = plugins.load_data(settings.data)
    if settings.window is None:
        return data
    if not hasattr(data, "window"):
        raise ValueError(
            f"window is an option of texts, and data {settings.data!r} is none: "
            f"got {settings.window}"
        )
    return data._replace(window=settings.window)


def _few(data: Any) -> bool:
    """Tell whether the training examples are few enough to be evaluated by the way."""
    if hasattr(data, "vocabulary"):
        return len(data.train) <= _EVALUATED_TOKENS
    size = getattr(data.train, "size", None)
    return size is None or size <= _EVALUATED_EXAMPLES
