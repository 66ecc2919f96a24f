"""One optimizer, one training run: what ``lookahead-ref train`` does."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import lookahead_ref as la
from lookahead_ref.backend import load as load_backend
from lookahead_ref.data import BatchStream, Dataset, load_digits
from lookahead_ref.experiments import methods
from lookahead_ref.experiments.environment import versions
from lookahead_ref.report.files import write_json
from lookahead_ref.training import JsonLines, Model, TrainingResult, train
from lookahead_ref.training.events import Callback
from lookahead_ref.zoo import MLP

__all__ = ["DATA", "MODELS", "SCHEDULES", "Settings", "prepare", "run"]


def _mlp(data: Dataset) -> MLP:
    return MLP((data.features, 64, 64, data.classes))


def _constant(_rate: float, _steps: int) -> None:
    return None


def _step(rate: float, steps: int) -> Callable[[int], float]:
    # The paper's CIFAR schedule divides by five after epochs 60, 120 and 160 of 200.
    # Of a run of a few steps the first is left at the initial rate.
    boundaries = sorted({max(1, round(share * steps)) for share in (0.3, 0.6, 0.8)})
    return la.schedules.StepDecay(rate, boundaries, factor=0.2)


def _cosine(rate: float, steps: int) -> Callable[[int], float]:
    return la.schedules.Cosine(rate, steps=steps)


MODELS: dict[str, Callable[[Dataset], Model]] = {"mlp": _mlp}
"""Models by name; each is made to fit the data."""

DATA: dict[str, Callable[[], Dataset]] = {"digits": load_digits}
"""Data sets by name."""

SCHEDULES: dict[str, Callable[[float, int], Callable[[int], float] | None]] = {
    "constant": _constant,
    "step": _step,
    "cosine": _cosine,
}
"""Learning-rate schedules by name, from the initial rate and the number of steps."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run.

    Parameters
    ----------
    model, data, optimizer, schedule : str
        Names in `MODELS`, `DATA`, `lookahead_ref.experiments.methods.NAMES` and
        `SCHEDULES`.
    learning_rate : float, optional
        Of the innermost optimizer, at the start; by default that of the comparison.
    epochs, batch_size, seed : int
        Of the run.
    backend : str
        What makes the updates.
    k, alpha, inner_state
        Of `lookahead_ref.Lookahead`, where there is one.
    """

    model: str = "mlp"
    data: str = "digits"
    optimizer: str = "lookahead-adam"
    learning_rate: float | None = None
    schedule: str = "constant"
    epochs: int = 30
    batch_size: int = 64
    seed: int = 0
    backend: str = "numpy"
    k: int = 5
    alpha: float = 0.5
    inner_state: str = "maintain"


@dataclass(frozen=True)
class Prepared:
    """Settings that were found to be right, and what they name."""

    settings: Settings
    model: Model
    data: Dataset
    optimizer: Any
    schedule: Callable[[int], float] | None


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
    lookahead_ref.extras.MissingExtraError
        If the data needs a distribution that is not installed.
    lookahead_ref.backend.BackendUnavailableError
        If the backend cannot be used.
    """
    make_model = _choice("model", settings.model, MODELS)
    load_data = _choice("data", settings.data, DATA)
    make_schedule = _choice("schedule", settings.schedule, SCHEDULES)
    optimizer = methods.build(
        settings.optimizer,
        learning_rate=settings.learning_rate,
        k=settings.k,
        alpha=settings.alpha,
        inner_state=settings.inner_state,
    )
    load_backend(settings.backend)
    data = load_data()
    BatchStream(data.train, settings.batch_size, seed=0)
    rate = settings.learning_rate
    if rate is None:
        rate = methods.default_learning_rate(settings.optimizer)
    steps = settings.epochs * -(-data.train.size // settings.batch_size)
    model, schedule = make_model(data), make_schedule(rate, steps)
    # What fits no float32 is found here.
    optimizer.init(model.init(settings.seed))
    return Prepared(settings, model, data, optimizer, schedule)


def run(
    prepared: Prepared, folder: Path | None, *, callbacks: Sequence[Callback] = ()
) -> TrainingResult:
    """Train, and write the run folder if there is to be one.

    Parameters
    ----------
    prepared : Prepared
        From `prepare`.
    folder : pathlib.Path, optional
        An empty folder, to hold ``results.json`` and ``train.jsonl``.
    callbacks : sequence of callable
        Told of each event.

    Returns
    -------
    TrainingResult
        The weights and the history.

    Raises
    ------
    NonFiniteLossError
        If the loss becomes NaN or infinite.
    """
    settings = prepared.settings
    started = datetime.now().astimezone()
    with ExitStack() as stack:
        told = list(callbacks)
        if folder is not None:
            told.append(stack.enter_context(JsonLines(folder / "train.jsonl", steps=True)))
        result = train(
            prepared.model,
            prepared.data,
            prepared.optimizer,
            schedule=prepared.schedule,
            seed=settings.seed,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            backend=settings.backend,
            callbacks=told,
        )
    if folder is not None:
        write_json(
            folder / "results.json",
            {
                "format": "lookahead-ref train",
                "format_version": 1,
                "configuration": {
                    **asdict(settings),
                    "model_made": repr(prepared.model),
                    "optimizer_made": repr(prepared.optimizer),
                    "schedule_made": repr(prepared.schedule),
                },
                "versions": versions("numpy", "autograd", "numba", "scikit-learn"),
                "steps": result.steps,
                "history": [asdict(record) for record in result.history],
                "timing": {
                    "started": started.isoformat(timespec="seconds"),
                    "seconds": result.seconds,
                },
            },
        )
    return result


def _choice(parameter: str, name: str, known: dict[str, Any]) -> Any:
    if name not in known:
        raise ValueError(f"{parameter} must be one of {', '.join(known)}; got {name!r}")
    return known[name]
