"""One training run with one optimizer, for ``lookahead-ref train`` and every trial."""

import math
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import lookahead_ref as la
from lookahead_ref import hyperparameters
from lookahead_ref.experiments import models, optimizers, plugins
from lookahead_ref.experiments.environment import versions
from lookahead_ref.experiments.resume import RunFolder
from lookahead_ref.experiments.settings import OF_DATA, TrainSettings
from lookahead_ref.extras import require
from lookahead_ref.report.files import jsonable, stamp, write_atomically, write_json
from lookahead_ref.stepping.backend import load as load_backend
from lookahead_ref.stopping import StopRequest, stop_requests
from lookahead_ref.system import read_file
from lookahead_ref.training import (
    Data,
    JsonLines,
    Model,
    NonFiniteLossError,
    TrainingResult,
)
from lookahead_ref.training.checkpoints import CheckpointError, CheckpointFolder, encode
from lookahead_ref.training.events import Callback, EpochRecord, Event, RunStarted
from lookahead_ref.training.feedback import Plateau
from lookahead_ref.training.loop import described, train
from lookahead_ref.training.protocols import Measured
from lookahead_ref.training.workers import Team, join, share
from lookahead_ref.trees import check_like, flatten

_DISTRIBUTIONS = ("numpy", "autograd", "numba", "cupy", "scikit-learn", "safetensors")

_MOST_BYTES = 2**40

# Evaluating the training examples takes a third as long as training on them.
_EVALUATED_EXAMPLES = 20_000
_EVALUATED_TOKENS = 200_000


def _decay(shares: Sequence[float], factor: float) -> Callable[[float, int, int], Any]:
    def schedule(rate: float, steps: int, _patience: int) -> Callable[[int], float]:
        # In a run of a few steps the first still has the initial rate.
        boundaries = sorted({max(1, round(share * steps)) for share in shares})
        return la.schedules.StepDecay(rate, boundaries, factor=factor)

    return schedule


SCHEDULES: Mapping[str, Callable[[float, int, int], Callable[[int], float] | None]] = {
    "constant": lambda _rate, _steps, _patience: None,
    # The paper's CIFAR schedule divides by five after epochs 60, 120 and 160 of 200,
    "step": _decay((0.3, 0.6, 0.8), 0.2),
    # its shortened one for ImageNet by ten after epochs 30, 48 and 58 of 60.
    "shortened": _decay((0.5, 0.8, 58 / 60), 0.1),
    "cosine": lambda rate, steps, _patience: la.schedules.Cosine(rate, steps=steps),
    "plateau": lambda rate, _steps, patience: Plateau(rate, patience),
}
"""Learning-rate schedules by name, called with the initial rate, the number of steps and
the patience, in evaluations."""


@dataclass(frozen=True)
class Prepared:
    """Checked settings, and the objects that they name."""

    settings: TrainSettings
    """Complete, with the defaults of the model, the optimizer and the data."""
    model: Model
    data: Data
    optimizer: Any
    schedule: Callable[[int], float] | None
    batch_size: int
    """Examples in a batch, or columns of a text."""
    steps: int
    """Steps of each worker in all epochs."""

    @cached_property
    def initial_weights(self) -> dict[str, Any] | None:
        """The initial weights from a file; None if the seed decides them."""
        if (file := self.settings.weights) is None:
            return None
        safetensors = require("safetensors.numpy", "experiments", purpose="read weights")
        from safetensors import SafetensorError

        try:
            found: dict[str, Any] = safetensors.load(read_file(Path(file), _MOST_BYTES))
            check_like(found, self.model.init(0), "weights")
        except (SafetensorError, OSError, TypeError, ValueError) as error:
            raise ValueError(
                "from must be a file of this model's weights, such as final.safetensors, "
                f"got {file}: {error}"
            ) from error
        return found


def prepare(
    settings: TrainSettings, loaded: MutableMapping[object, Data] | None = None
) -> Prepared:
    """Look up and try everything that settings name; `loaded` keeps data between calls."""
    kind = models.defaults(settings.model)
    settings = replace(settings, backend=models.backend(settings))
    options = _model_options(settings, kind)
    hyperparameters.option("schedule", settings.schedule, tuple(SCHEDULES))
    rate = settings.learning_rate
    optimizers.method(settings.optimizer)
    load_backend(settings.backend)
    data = _load_data(settings, kind, {} if loaded is None else loaded)
    batch_size = kind.batch_size if settings.batch_size is None else settings.batch_size
    # The user's data may lack what the library's models need.
    with plugins.attributed_to("data", settings.data):
        model = models.make(settings.model, data, settings.backend, options)
    if rate is None:
        rate = optimizers.default_learning_rate(settings.optimizer, settings.model)
    optimizer = optimizers.build(replace(settings, learning_rate=rate))
    workers = hyperparameters.count("workers", settings.workers)
    if workers > 1 and not isinstance(optimizer, la.Lookahead):
        what = "groups" if settings.groups else f"optimizer {settings.optimizer}"
        raise ValueError(
            f"workers must be 1 with {what}, which has no outer step to share, got "
            f"{workers}"
        )
    with plugins.attributed_to("data", settings.data):
        stream = share(data, 0, workers, batch_size).stream(batch_size, 0)
        steps = settings.epochs * stream.batches_per_epoch
    if rate is None and settings.schedule != "constant":
        raise ValueError(
            f"learning_rate must be given for schedule {settings.schedule}, got none"
        )
    schedule = None
    if rate is not None:
        schedule = SCHEDULES[settings.schedule](rate, steps, settings.patience)
        # Only a schedule can be multiplied by each batch's scale.
        if schedule is None and getattr(data, "random_window", False):
            schedule = la.schedules.Constant(rate)
    if settings.evaluated == "test" and (
        settings.schedule == "plateau" or settings.nonmonotone is not None
    ):
        raise ValueError(
            "validation must not be none with schedule plateau or nonmonotone, which need "
            "the validation loss"
        )
    if settings.accumulate > 1 and hasattr(data, "vocabulary"):
        raise ValueError(
            f"accumulate must be 1 for a text, whose batches cannot be split, got "
            f"{settings.accumulate}"
        )
    if settings.accumulate > batch_size:
        raise ValueError(
            f"accumulate must be at most the batch size, {batch_size}, got "
            f"{settings.accumulate}"
        )
    # Also finds numbers that do not fit into float32.
    named = optimizers.named(settings)
    plugins.try_out(named, settings, model, data, optimizer, batch_size)
    evaluate_train = settings.evaluate_train
    settled = replace(
        settings,
        learning_rate=rate,
        alpha=optimizers.alpha(settings),
        batch_size=batch_size,
        clip=kind.clip if settings.clip is None else settings.clip,
        window=getattr(data, "window", None),
        random_window=getattr(data, "random_window", None),
        evaluate_train=_few(data) if evaluate_train is None else evaluate_train,
        **options,
    )
    return Prepared(settled, model, data, optimizer, schedule, batch_size, steps)


def run(
    prepared: Prepared,
    folder: RunFolder | None = None,
    *,
    team: Team | None = None,
    request: StopRequest | None = None,
    log_steps: bool = True,
    on_nonfinite: str = "stop",
    callbacks: Sequence[Callback] = (),
) -> TrainingResult:
    """Train; with a folder, continue its last good checkpoint with its options."""
    team = join(prepared.settings.workers) if team is None else team
    with ExitStack() as stack:
        if not team.leads:  # the leader decides when to stop
            stack.enter_context(stop_requests())
        if folder is None:
            return _trained(prepared, on_nonfinite, workers=team, callbacks=callbacks)
        log_path = folder.path / "train.jsonl"
        if request is None:
            request = stack.enter_context(stop_requests())
        kept = checkpoints(prepared, folder, request)
        restored = kept.restore(folder.note)
        if restored is not None:
            folder.note(f"continuing from {restored.path}")
        folder.cut_log(log_path, 0 if restored is None else restored.log_bytes)
        log = stack.enter_context(JsonLines(log_path, steps=log_steps))
        kept.flush_first(log)

        def write(event: Event) -> None:
            # The log may already say that the run began, after the first checkpoint.
            if not (restored and restored.log_bytes and isinstance(event, RunStarted)):
                log(event)

        try:
            result = _trained(
                prepared,
                folder.options.on_nonfinite,
                checkpoints=kept,
                resume=None if restored is None else restored.snapshot,
                workers=team,
                callbacks=[*callbacks, write],
            )
            log.sync()
            _write(folder, prepared, result)
        except (NonFiniteLossError, OSError) as error:
            if kept.last is not None and not isinstance(error, CheckpointError):
                error.add_note(f"the last good checkpoint is {kept.last}")
            raise
    return result


def checkpoints(
    prepared: Prepared, folder: RunFolder, request: StopRequest
) -> CheckpointFolder:
    """Return the checkpoints of a run's folder."""
    return CheckpointFolder(
        folder.path,
        # A run may be continued for more epochs.
        jsonable({**asdict(prepared.settings), "epochs": None}),
        keep=folder.options.keep,
        every=folder.options.checkpoint_every,
        stopping=request,
    )


def measured(
    history: Sequence[EpochRecord], steps: int, test: Measured | None = None
) -> dict[str, Any]:
    """Return the numbers of a run, as plain data."""
    return {
        "history": [asdict(record) for record in history],
        "test": None if test is None else {"loss": test.loss, "accuracy": test.accuracy},
        "steps": steps,
    }


def perplexity(loss: float) -> float | None:
    """Return the perplexity of a loss in nats; None if it is not finite."""
    return math.exp(loss) if loss < math.log(sys.float_info.max) else None


def _trained(prepared: Prepared, on_nonfinite: Any, **more: Any) -> TrainingResult:
    settings = prepared.settings
    weights = None if more.get("resume") is not None else prepared.initial_weights
    with plugins.located_in(**optimizers.named(settings)):
        return train(
            prepared.model,
            prepared.data,
            prepared.optimizer,
            schedule=prepared.schedule,
            seed=settings.seed,
            epochs=settings.epochs,
            batch_size=prepared.batch_size,
            backend=settings.backend,
            weights=weights,
            accumulate=settings.accumulate,
            clip=settings.clip or None,
            evaluate_train=bool(settings.evaluate_train),
            evaluate_every=settings.evaluate_every,
            on_nonfinite=on_nonfinite,
            **more,
        )


def _write(folder: RunFolder, prepared: Prepared, result: TrainingResult) -> None:
    """Write the files of a finished run."""
    configuration = asdict(prepared.settings)
    counts = {"steps": result.steps, "skipped": result.skipped}
    weights = {
        **stamp("lookahead-ref weights"),
        "configuration": configuration,
        "class_names": getattr(prepared.data, "class_names", ()),
        **counts,
    }
    results = {
        **stamp("lookahead-ref train"),
        "configuration": {
            **configuration,
            "model_made": described(prepared.model),
            "optimizer_made": described(prepared.optimizer),
            "schedule_made": described(prepared.schedule),
        },
        "versions": versions(*_DISTRIBUTIONS),
        **counts,
        **measured(result.history, result.steps, result.test),
        "timing": {"started": folder.started, "seconds": result.seconds},
    }
    write_atomically(
        folder.path / "final.safetensors", encode(flatten(result.params), weights)
    )
    write_json(folder.path / "results.json", results)


def _model_options(settings: TrainSettings, kind: models.ModelKind) -> dict[str, Any]:
    """Return the model's settings; refuse settings of other models."""
    options = dict(kind.options)
    for name in models.OPTIONS:
        value = getattr(settings, name)
        if value is None:
            continue
        if name not in options:
            raise ValueError(f"{name} is no option of model {settings.model}, got {value}")
        options[name] = value
    return options


def _load_data(
    settings: TrainSettings, kind: models.ModelKind, loaded: MutableMapping[object, Any]
) -> Any:
    given = {name: getattr(settings, name) for name in OF_DATA}
    options = {name: value for name, value in given.items() if value is not None}
    if options.get("validation") == "none":
        options["validation"] = 0
    key = (settings.data, *options.items())
    if key not in loaded:
        loaded[key] = plugins.load_data(settings.data, **options)
    data = loaded[key]
    found = {}
    for name in ("window", "random_window"):
        value = getattr(settings, name)
        if value is not None and not hasattr(data, name):
            raise ValueError(
                f"{name} is an option of texts, and data {settings.data!r} is not a text: "
                f"got {value}"
            )
        value = getattr(kind, name) if value is None else value
        if value is not None and hasattr(data, name):
            found[name] = value
    return data._replace(**found) if found else data


def _few(data: Any) -> bool:
    """Whether the training examples are few enough to evaluate by default."""
    most = _EVALUATED_TOKENS if hasattr(data, "vocabulary") else _EVALUATED_EXAMPLES
    return bool(getattr(data.train, "size", 0) <= most)
