"""Trials that are done once: each result is kept in a file as soon as it is there.

A trial's file is named after what decides the trial. Whoever asks for the same trial in
the same folder again gets what is in the file, so that a sweep which was stopped goes on
where it was, and one that is widened trains only what is new.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lookahead_ref.experiments.pool import LostWorkerError, Workers
from lookahead_ref.report.files import jsonable, write_json
from lookahead_ref.training.progress import Reporter

__all__ = ["TrialsLostError", "complete"]

Task = TypeVar("Task")


class TrialsLostError(OSError):
    """Trials whose workers died whenever they were tried; all others are done and kept."""


def complete(
    function: Callable[[Task], Mapping[str, Any]],
    tasks: Sequence[Task],
    describe: Callable[[Task], Mapping[str, Any]],
    folder: Path,
    workers: Workers,
    progress: Reporter,
) -> list[dict[str, Any]]:
    """Do the trials of which there is no result yet, and return the results of all.

    Parameters
    ----------
    function : callable
        Does one trial, and returns plain data that JSON can hold. Defined in a module.
    tasks : sequence
        What to call it with, each once.
    describe : callable
        What decides a task, as plain data: two tasks described alike are one trial.
    folder : pathlib.Path
        Where the results are kept; made if it is not there.
    workers : Workers
        Who does them.
    progress : Reporter
        Is told of each trial, whether it is done or was there already.

    Returns
    -------
    list of dict
        The results, in the order of the tasks, as JSON holds them.

    Raises
    ------
    ValueError
        If a file of the folder is not the result of the trial that it is named after.
    TrialsLostError
        If the worker of some trials died each time, once all others are done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = [jsonable(describe(task)) for task in tasks]
    files = [folder / f"{_name(each)}.json" for each in described]
    results = [_read(*pair) for pair in zip(files, described, strict=True)]
    missing = [place for place, result in enumerate(results) if result is None]
    if len(missing) < len(tasks):
        progress.advance(len(tasks) - len(missing), "there already", found=True)

    lost = []
    outcomes = workers.outcomes(function, [tasks[place] for place in missing])
    for number, outcome in outcomes:
        place = missing[number]
        if isinstance(outcome, LostWorkerError):
            lost.append(f"{files[place].stem}: {outcome}")
        else:
            result = jsonable(outcome)
            write_json(files[place], {"trial": described[place], "result": result})
            results[place] = result
        progress.advance(message=files[place].stem)
    if lost:
        raise TrialsLostError(
            f"{len(lost)} of {len(tasks)} trials are lost, the others are kept in "
            f"{folder}: {'; '.join(lost)}"
        )
    return [result for result in results if result is not None]


def _name(described: Mapping[str, Any]) -> str:
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(file: Path, described: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the result that a file holds, None where there is no file."""
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(
            f"{file} must hold the result of a trial, got what is not JSON ({error}): "
            "remove it to do the trial again"
        ) from error
    if not isinstance(found, dict) or found.get("trial") != described:
        raise ValueError(
            f"{file} must hold the result of the trial that it is named after, got that "
            "of another: remove it to do the trial again"
        )
    result: dict[str, Any] = found["result"]
    return result
