"""One engine for every grid of runs: a plan of trials and their outcomes.

A trial is a training run, or another measurement of one setting on one seed. Its result is
written at once to a file named after everything that decides the trial. Asking for the same
trial in the same folder reads that file, so that a stopped job continues where it was and
an extended one does only the new trials.
"""

import hashlib
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import lookahead_ref as la
from lookahead_ref.experiments import optimizers, plugins, train
from lookahead_ref.experiments.models import backend
from lookahead_ref.experiments.optimizers import Role
from lookahead_ref.experiments.parallel import LostWorkerError, Pool, on_one_thread
from lookahead_ref.experiments.resume import Note, digests, held
from lookahead_ref.experiments.settings import TrainSettings
from lookahead_ref.report.files import jsonable, read_sealed, write_sealed
from lookahead_ref.report.progress import Reporter, reporter
from lookahead_ref.stopping import StopRequest
from lookahead_ref.training import Data, Event, NonFiniteLossError, RunStarted, StepTaken
from lookahead_ref.training.checkpoints import remove_leftovers
from lookahead_ref.training.events import Callback
from lookahead_ref.training.progress import latest
from lookahead_ref.training.workers import Team

_FORMAT = "lookahead-ref trial"

Speed: TypeAlias = tuple[float, float, float]
"""The seconds of a step, of statistics, and of evaluating an example."""


class TrialsLostError(OSError):
    """Some trials' workers died in every try; all other trials are done and kept."""


class DivergedError(ArithmeticError):
    """A run diverged in a job in which all runs must finish."""


class Measure(Protocol):
    """Does a trial and returns plain data; a module's function, so that workers find it."""

    __module__: str

    def __call__(
        self, settings: TrainSettings, folder: Path, request: StopRequest, /
    ) -> Mapping[str, Any]:
        """Start or continue it in its own folder, until asked to stop."""


@dataclass(frozen=True)
class Trial:
    """A measurement of one setting on one seed."""

    measure: Measure
    settings: TrainSettings
    files: Mapping[str, str]
    """Digests of the user's own files that the settings name."""
    team: Team | None = field(default=None, compare=False)
    """The MPI ranks that do it; None: this process alone."""

    def describe(self) -> dict[str, Any]:
        """Return all that decides the result: the code, the user's files, the settings."""
        code = {"measure": self.measure.__module__, "version": la.__version__}
        files = {"files": dict(self.files)} if self.files else {}
        described: dict[str, Any] = jsonable({**code, **files, **asdict(self.settings)})
        return described

    @property
    def name(self) -> str:
        text = json.dumps(self.describe(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def do(self, request: StopRequest, folder: Path) -> Mapping[str, Any]:
        """Start or continue it, in its own folder within a folder of trials."""
        # Another machine may have other files, and a file may be edited meanwhile.
        changed = [text for text, was in self.files.items() if plugins.digest(text) != was]
        if changed:
            raise plugins.PluginError(
                f"{' and '.join(map(repr, changed))} must be the same wherever trials run "
                "and until all are done, got a file that differs from when this began"
            )
        more = {} if self.team is None else {"team": self.team}
        measure: Callable[..., Mapping[str, Any]] = partial(self.measure, **more)
        if folder.is_dir():
            return measure(self.settings, folder / self.name, request)
        # Another machine does not see the folder: there, a stopped trial starts again.
        with TemporaryDirectory() as elsewhere:
            return measure(self.settings, Path(elsewhere) / self.name, request)

    def file(self, folder: Path) -> Path:
        """Return the path of its result."""
        return folder / f"{self.name}.json"

    def found(self, folder: Path) -> dict[str, Any] | None:
        """Return the result in a folder, or None."""
        file = self.file(folder)
        kept = {"trial": {"type": "object"}, "result": {"type": "object"}}
        try:
            found = read_sealed(file, _FORMAT, **kept)
            if found["trial"] != self.describe():
                raise ValueError("it is another trial's")
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(
                f"{file} must hold the unchanged result of the trial that it is named "
                f"after ({error}): remove it to do the trial again"
            ) from error
        result: dict[str, Any] = found["result"]
        return result

    def keep(self, folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
        """Write the result to a folder, and return it as JSON data."""
        kept: dict[str, Any] = jsonable(result)
        trial = {"trial": self.describe(), "result": kept}
        write_sealed(self.file(folder), _FORMAT, trial)
        return kept


def measure_training(
    settings: TrainSettings, folder: Path, request: StopRequest, team: Team | None = None
) -> dict[str, Any]:
    """Do one training run; return its numbers and log, and why it diverged if it did."""
    with request.interrupting():
        prepared = train.prepare(settings)
    with held(folder, prepared.settings) as run:
        try:
            showing = [_noted(prepared, folder)]
            more: Any = {"log_steps": False, "callbacks": showing}
            result = train.run(prepared, run, team=team, request=request, **more)
            numbers = train.measured(result.history, result.steps, result.test)
            seconds, why = result.seconds, None
        except NonFiniteLossError as diverged:
            if team is not None:  # ends the other ranks, which wait for this one
                raise
            numbers = train.measured(diverged.history, diverged.step)
            seconds, why = None, str(diverged)
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
    log = [json.loads(line) for line in lines]
    return {**numbers, "seconds": seconds, "error": why, "log": log}


def _noted(prepared: train.Prepared, folder: Path) -> Callback:
    """Return a callback that notes how far a run is."""
    note = Note(folder, prepared.steps)

    def show(event: Event) -> None:
        if isinstance(event, RunStarted):
            note.write(event.batches_done, "about to train")
        elif isinstance(event, StepTaken):
            note.write(event.step, latest(event))

    return show


@dataclass(frozen=True)
class Arm:
    """One of the methods of a plan."""

    title: str
    """Its name in tables and pictures."""
    settings: TrainSettings
    """The settings of its runs, but for the seed."""
    family: str = ""
    """Arms of a family share a panel of a picture."""
    role: Role = "plain"
    may_diverge: bool = True
    """Whether a diverging run is a result; otherwise it ends the job."""


@dataclass(frozen=True)
class Plan:
    """Every arm, once for each seed."""

    arms: tuple[Arm, ...]
    seeds: Sequence[int]
    setting: Mapping[str, object] = field(default_factory=dict)
    """What the runs have in common, in words, for the report."""
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Headings and sentences for the report."""
    measure: Measure = measure_training
    evaluations: int | None = None
    """How often a run is evaluated; None: after its epochs."""

    @property
    def shown(self) -> str:
        """What the numbers in a table are, for its caption."""
        if len(self.seeds) == 1:
            return "one seed"
        return f"mean ± sample standard deviation over {len(self.seeds)} seeds"

    def trials(self) -> list[tuple[Arm, Trial]]:
        """Return the trials, ordered by arm and then by seed."""
        found = []
        for arm in self.arms:
            settings = replace(arm.settings, backend=backend(arm.settings))
            files = digests(settings)
            each = (replace(settings, seed=seed) for seed in self.seeds)
            found += [(arm, Trial(self.measure, one, files)) for one in each]
        return found


@dataclass(frozen=True)
class Outcome:
    """The runs of one arm, in the order of the seeds."""

    arm: Arm
    runs: tuple[Mapping[str, Any], ...]
    """As the plan's `measure` returns them."""

    @property
    def diverged(self) -> int:
        """How many runs diverged."""
        return sum(run["error"] is not None for run in self.runs)

    @property
    def of_text(self) -> bool:
        """Whether the data was a text, whose loss is the logarithm of a perplexity."""
        return any(event.get("text", False) for event in self.runs[0]["log"])

    @property
    def measured(self) -> list[int]:
        """The epochs after which a complete run was evaluated."""
        end, every = self.arm.settings.epochs, self.arm.settings.evaluate_every
        return [*range(0, end, every), end]

    def history(self, quantity: str) -> NDArray[np.float64]:
        """Return a field of `EpochRecord`, one row per run; NaN where not measured."""
        epochs = self.arm.settings.epochs + 1
        table = np.full((len(self.runs), epochs), np.nan)
        for row, run in zip(table, self.runs, strict=True):
            for record in run["history"]:
                value = record[quantity]
                row[record["epoch"]] = np.nan if value is None else float(value)
        return table

    def final(self, quantity: str, *, epoch: int = -1) -> list[float]:
        """Return each run's last evaluation of a quantity by an epoch; NaN if diverged."""
        settings = self.arm.settings
        epoch %= settings.epochs + 1
        if epoch < settings.epochs:
            epoch -= epoch % settings.evaluate_every
        return [float(value) for value in self.history(quantity)[:, epoch]]

    def test(self, quantity: str) -> list[float]:
        """Return each run's quantity on the test examples, measured after training."""
        tests = [run["test"] for run in self.runs]
        return [float("nan") if test is None else float(test[quantity]) for test in tests]

    def recorded(self, seeds: Sequence[int]) -> dict[str, Any]:
        """Return its entry in ``results.json``."""
        runs = [
            {"seed": seed, **{n: v for n, v in run.items() if n not in ("log", "seconds")}}
            for seed, run in zip(seeds, self.runs, strict=True)
        ]
        settings = asdict(self.arm.settings)
        return {"title": self.arm.title, "settings": settings, "runs": runs}


def check(
    plan: Plan, loaded: MutableMapping[object, Data] | None = None
) -> list[train.Prepared]:
    """Prepare a run of every arm, so that errors come before any training."""
    loaded = {} if loaded is None else loaded
    return [train.prepare(arm.settings, loaded) for arm in plan.arms]


def run(plan: Plan, folder: Path, *, workers: Pool, console: Console) -> list[Outcome]:
    """Do the trials that have no result in a folder yet; return each arm's outcome."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    trials = plan.trials()
    results = [trial.found(folder) for _, trial in trials]
    count = len(plan.seeds)
    missing = [place for place, result in enumerate(results) if result is None]
    # Seed by seed, so that a job that is stopped can be finished with fewer seeds.
    missing.sort(key=lambda place: place % count)
    lost = []

    def look_at(place: int) -> None:
        arm, trial = trials[place]
        if results[place] is not None:
            shutil.rmtree(folder / trial.name, ignore_errors=True)
        error = (results[place] or {}).get("error")
        if error is not None and not arm.may_diverge:
            raise DivergedError(f"{error} ({_name(arm, trial)})")

    with (
        reporter(len(trials), "runs", console) as progress,
        _watched(folder, trials, results, progress) as show,
    ):
        for place in range(len(trials)):
            look_at(place)
        to_do = [trials[place][1] for place in missing]
        # Closed when this ends early, so that nobody waits for unfinished runs.
        do = partial(Trial.do, folder=folder.resolve())
        with closing(workers.outcomes(do, to_do)) as outcomes:
            for number, outcome in outcomes:
                place = missing[number]
                arm, trial = trials[place]
                name = _name(arm, trial)
                if isinstance(outcome, LostWorkerError):
                    lost.append(f"{name}: {outcome}")
                else:
                    results[place] = trial.keep(folder, outcome)
                    look_at(place)
                show(name)
    if lost:
        raise TrialsLostError(
            f"{len(lost)} of {len(trials)} trials are lost, the others are kept in "
            f"{folder}: {'; '.join(lost)}"
        )
    done = [result for result in results if result is not None]
    return [
        Outcome(arm, tuple(done[place * count : (place + 1) * count]))
        for place, arm in enumerate(plan.arms)
    ]


def _name(arm: Arm, trial: Trial) -> str:
    settings, parts = trial.settings, [arm.title]
    for name, value in {"k": settings.k, "alpha": optimizers.alpha(settings)}.items():
        lacks = not re.search(rf"\b{name}\b", arm.title)
        if lacks and optimizers.has(name, settings.optimizer, settings.outer):
            parts.append(f"{name} {value}")
    return ", ".join([*parts, f"seed {settings.seed}"])


@contextmanager
def _watched(
    folder: Path,
    trials: Sequence[tuple[Arm, Trial]],
    results: Sequence[Mapping[str, Any] | None],
    progress: Reporter,
) -> Iterator[Callable[[str], None]]:
    """Show every second, and when called, how far all trials are by their folders."""
    began, shown, moved = time.time(), 0.0, False
    lock, ended = threading.Lock(), threading.Event()

    def show(message: str = "", *, found: bool = False) -> None:
        nonlocal shown, moved
        with lock:
            done, rows = 0.0, []
            for (arm, trial), result in zip(trials, results, strict=True):
                if result is not None:
                    done += 1
                    continue
                part, words = Note.read(folder / trial.name, began)
                done += part
                if words:
                    rows.append(f"{_name(arm, trial)}: {words}")
            if message or rows:
                # A continued run may have to repeat a few steps.
                more = max(0.0, done - shown)
                shown += more
                moved |= more > 0 and not found
                progress.advance(more, message, rows, found=not moved)

    def watch() -> None:
        while not ended.wait(1.0):
            show()

    if any(result is not None for result in results):
        show("already done", found=True)
    elif any(folder.glob("*/now.json")):
        show("begun before", found=True)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield show
    finally:
        ended.set()
        thread.join()


def serve(team: Team) -> None:
    """Work in the trials that rank 0 does, until there are no more."""

    def work(trial: Trial, _: StopRequest) -> None:
        train.run(train.prepare(trial.settings), team=team)

    while (trial := team.broadcast(None)) is not None:
        on_one_thread(work, trial)
