"""What is compared: methods, each trained once for each seed, and what came of each run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import lookahead_ref as la
from lookahead_ref.experiments import plugins, single
from lookahead_ref.experiments.pool import Workers
from lookahead_ref.experiments.trials import complete
from lookahead_ref.report import plots
from lookahead_ref.report.tables import MISSING, Summary, summarize
from lookahead_ref.training import NonFiniteLossError
from lookahead_ref.training.progress import Reporter

__all__ = ["Arm", "Outcome", "curves", "difference", "percent", "run", "stands_out"]


@dataclass(frozen=True)
class Arm:
    """One method of a comparison.

    Parameters
    ----------
    title : str
        In tables and pictures.
    settings : lookahead_ref.experiments.single.Settings
        Of its runs; the seed is that of each run.
    family : str
        Arms of one family share a panel of a picture.
    role : {"plain", "lookahead", "other"}
        How its curve is drawn.
    """

    title: str
    settings: single.Settings
    family: str = ""
    role: Literal["plain", "lookahead", "other"] = "plain"


@dataclass(frozen=True)
class Outcome:
    """The runs of one arm, in the order of the seeds."""

    arm: Arm
    runs: tuple[Mapping[str, Any], ...]
    """As `train_one` returns them."""

    @property
    def diverged(self) -> int:
        """How many runs did not reach their end."""
        return sum(run["error"] is not None for run in self.runs)

    def history(self, quantity: str) -> NDArray[np.float64]:
        """Return a quantity over time.

        Parameters
        ----------
        quantity : str
            A field of `lookahead_ref.training.EpochRecord`.

        Returns
        -------
        array, shape (runs, epochs + 1)
            A row for each run; NaN from where a run diverged, and where a quantity was not
            measured.
        """
        epochs = self.arm.settings.epochs + 1
        table = np.full((len(self.runs), epochs), np.nan)
        for row, run in zip(table, self.runs, strict=True):
            values = [record[quantity] for record in run["history"]]
            row[: len(values)] = [np.nan if v is None else float(v) for v in values]
        return table

    def final(self, quantity: str, *, epoch: int = -1) -> list[float]:
        """Return a quantity of each run at the end, or after an epoch; NaN if diverged."""
        return [float(value) for value in self.history(quantity)[:, epoch]]

    def summary(self, quantity: str) -> Summary:
        """Summarize a quantity of each run at the end."""
        return summarize(self.final(quantity))

    def test(self, quantity: str) -> list[float]:
        """Return a quantity of each run over the test examples, from after its end."""
        tests = [run["test"] for run in self.runs]
        return [float("nan") if test is None else float(test[quantity]) for test in tests]


def train_one(settings: single.Settings) -> dict[str, Any]:
    """Do one run.

    Parameters
    ----------
    settings : lookahead_ref.experiments.single.Settings
        Of the run.

    Returns
    -------
    dict
        ``history``, a dict for each epoch; ``test``, loss and accuracy over the test
        examples or None; ``steps``; ``seconds``; and ``error``, None or in words why the
        run diverged.
    """
    try:
        result = single.run(single.prepare(settings), None)
    except NonFiniteLossError as diverged:
        return {
            "history": [asdict(record) for record in diverged.history],
            "test": None,
            "steps": diverged.step,
            "seconds": None,
            "error": str(diverged),
        }
    test = result.test
    return {
        "history": [asdict(record) for record in result.history],
        "test": None if test is None else {"loss": test.loss, "accuracy": test.accuracy},
        "steps": result.steps,
        "seconds": result.seconds,
        "error": None,
    }


def run(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    folder: Path,
    workers: Workers,
    progress: Reporter,
    *,
    measure: Callable[[single.Settings], Mapping[str, Any]] = train_one,
) -> list[Outcome]:
    """Run every arm once for each seed.

    Parameters
    ----------
    arms : sequence of Arm
        What is compared.
    seeds : sequence of int
        The seeds of each arm's runs.
    folder : pathlib.Path
        Where each run's result is kept; what is there is not done again.
    workers : Workers
        Who does the runs.
    progress : Reporter
        Is told of each run.
    measure : callable
        Does one run and returns plain data; trains and keeps the history by default.

    Returns
    -------
    list of Outcome
        In the order of the arms.
    """
    tasks = [
        (measure, replace(arm.settings, seed=seed), files)
        for arm, files in [(arm, single.digests(arm.settings)) for arm in arms]
        for seed in seeds
    ]
    results = complete(_measured, tasks, _described, folder, workers, progress)
    return [
        Outcome(arm, tuple(results[place * len(seeds) : (place + 1) * len(seeds)]))
        for place, arm in enumerate(arms)
    ]


_Measure = Callable[[single.Settings], Mapping[str, Any]]


def _described(task: tuple[_Measure, single.Settings, dict[str, str]]) -> dict[str, Any]:
    measure, settings, files = task
    # A result of another version of this library is not what was asked for, nor one of
    # another state of the user's own files.
    code = {"measure": measure.__module__, "version": la.__version__}
    return {**code, **({"files": files} if files else {}), **asdict(settings)}


def _measured(
    task: tuple[_Measure, single.Settings, dict[str, str]],
) -> Mapping[str, Any]:
    measure, settings, files = task
    # Where this is done there may be another file, and a file may be edited meanwhile.
    changed = [text for text, was in files.items() if plugins.digest(text) != was]
    if changed:
        raise plugins.PluginError(
            f"{' and '.join(map(repr, changed))} must be the same wherever trials run and "
            "until all are done, got a file that differs from when this began"
        )
    return measure(settings)


def percent(values: Sequence[float]) -> Summary:
    """Summarize shares as percents."""
    return summarize([100 * value for value in values])


def difference(one: Sequence[float], other: Sequence[float]) -> Summary:
    """Summarize the differences of two arms, seed by seed.

    Parameters
    ----------
    one, other : sequence of float
        A quantity of each run, in the same order of seeds: both start at the same point and
        see the same batches.

    Returns
    -------
    Summary
        Of the first less the second; missing if a run of either diverged.
    """
    differences = [a - b for a, b in zip(one, other, strict=True)]
    return summarize(differences) if np.isfinite(differences).all() else MISSING


def stands_out(gain: Summary) -> bool:
    """Tell whether a mean difference stands out from the spread of its seeds.

    Parameters
    ----------
    gain : Summary
        Differences seed by seed.

    Returns
    -------
    bool
        A mean of n differences spreads by their deviation over the root of n; it stands out
        where it is more than twice that. One of a single seed never does.

    Examples
    --------
    >>> stands_out(summarize([0.3, 0.4, 0.35])), stands_out(summarize([0.3, -0.4, 0.35]))
    (True, False)
    """
    if gain.deviation is None:
        return False
    return bool(abs(gain.mean) > 2 * gain.deviation / gain.n**0.5)


def curves(
    outcomes: Sequence[Outcome], quantity: str, *, factor: float = 1.0
) -> tuple[plots.Curve, ...]:
    """Collect the curves of a quantity over the epochs.

    Parameters
    ----------
    outcomes : sequence of Outcome
        The arms.
    quantity : str
        A field of `lookahead_ref.training.EpochRecord`.
    factor : float, default: 1.0
        What it is multiplied by.

    Returns
    -------
    tuple of lookahead_ref.report.plots.Curve
        One for each arm of which some run was measured to the end.
    """
    found = []
    for outcome in outcomes:
        values = factor * outcome.history(quantity)
        whole = values[np.isfinite(values).all(axis=1)]
        if len(whole):
            arm = outcome.arm
            epochs = np.arange(values.shape[1])
            found.append(plots.Curve(arm.title, arm.family, arm.role, epochs, whole))
    return tuple(found)
