"""The folder of one training run: begun, held, continued.

``run.json`` says what the run is; with it, the run can be continued from any moment on,
also where it was killed before its first checkpoint.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lookahead_ref import hyperparameters
from lookahead_ref.experiments.environment import OutputFolderError, new_folder, versions
from lookahead_ref.experiments.single import Settings, digests
from lookahead_ref.extras import require
from lookahead_ref.report.files import write_json
from lookahead_ref.training.folder import locked, remove_leftovers
from lookahead_ref.training.loop import OnNonFinite

__all__ = ["NoRunError", "Run", "begin", "continued"]

_FILE = "run.json"


class NoRunError(ValueError):
    """A folder holds no run that can be continued."""


@dataclass(frozen=True)
class Run:
    """A run's folder, which this process alone writes to.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    settings : Settings
        What decides the run.
    started : str
        When it began, in the form of ISO 8601.
    note : callable
        Told, in words, what a user has to know about what was found in the folder.
    keep : int, default 3
        How many checkpoints are kept.
    checkpoint_every : int, optional
        Batches from one to the next; by default one is written every minute.
    on_nonfinite : {"stop", "skip"}, default "stop"
        What to do about a batch whose loss or gradient is not finite.
    """

    path: Path
    settings: Settings
    started: str
    note: Callable[[str], None]
    keep: int = 3
    checkpoint_every: int | None = None
    on_nonfinite: OnNonFinite = "stop"

    def __post_init__(self) -> None:
        hyperparameters.count("keep", self.keep)
        if self.checkpoint_every is not None:
            hyperparameters.count("checkpoint_every", self.checkpoint_every)
        hyperparameters.option("on_nonfinite", self.on_nonfinite, ("stop", "skip"))

    def cut_log(self, path: Path, length: int) -> None:
        """Cut a log to the length that it had when a checkpoint was written."""
        present = path.stat().st_size if path.exists() else 0
        if present < length:
            self.note(f"{path} lacks {length - present} bytes that were written before")
        else:
            os.truncate(path, length)


@contextmanager
def begin(
    output: Path, settings: Settings, note: Callable[[str], None], **options: Any
) -> Iterator[Run]:
    """Make and hold the folder of a new run.

    Parameters
    ----------
    output : pathlib.Path
        A new or empty folder.
    settings : Settings
        As `lookahead_ref.experiments.single.prepare` leaves them.
    note : callable
        See `Run`.
    **options
        See `Run`.

    Yields
    ------
    Run
        The run. Its folder holds ``run.json``.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range.
    OutputFolderError
        If the folder cannot be used.
    lookahead_ref.extras.MissingExtraError
        If safetensors is not installed.
    FolderInUseError
        If another run is using it.
    """
    if (output / _FILE).exists():
        raise OutputFolderError(
            f"output must be a new or empty folder, got {output} with a run in it: "
            f"--resume {output} continues that"
        )
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    run = Run(output, settings, started, note, **options)
    require("safetensors", "experiments", purpose="write checkpoints")
    made = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError:
        new_folder(output, "train")  # which says what is wrong
        raise
    with locked(output):
        if not made:
            remove_leftovers(output)
        new_folder(output, "train")
        write_json(
            output / _FILE,
            {
                "format": "lookahead-ref run",
                "format_version": 1,
                "settings": asdict(settings),
                "options": {name: getattr(run, name) for name in _OPTIONS},
                "started": started,
                "files": digests(settings),
                "versions": versions(*_VERSIONS),
            },
        )
        yield run


@contextmanager
def continued(folder: Path, note: Callable[[str], None], **options: Any) -> Iterator[Run]:
    """Hold the folder of a run that is to go on.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of a run.
    note : callable
        See `Run`.
    **options
        Options of `Run` that are to be others than at the beginning.

    Yields
    ------
    Run
        The run.

    Raises
    ------
    NoRunError
        If there is no run in the folder.
    FolderInUseError
        If another process is at it.
    OSError
        If the folder cannot be read.
    """
    try:
        text = (folder / _FILE).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise NoRunError(
            f"resume must be the folder of a run, got {folder}, which has no {_FILE}"
        ) from None
    try:
        found = json.loads(text)
        if found["format"] != "lookahead-ref run":
            raise ValueError(f"its format is {found['format']!r}")
        run = Run(
            folder,
            Settings(**found["settings"]),
            found["started"],
            note,
            **found["options"],
        )
    except (ValueError, TypeError, LookupError) as error:
        raise NoRunError(f"{folder / _FILE} cannot be understood: {error}") from error
    with locked(folder):
        remove_leftovers(folder)
        now = versions(*_VERSIONS)
        if changed := [
            f"{name} {found['versions'].get(name)}, now {version}"
            for name, version in now.items()
            if found["versions"].get(name) != version
        ]:
            note(f"the last bits may differ: the run began with {'; '.join(changed)}")
        before = found.get("files", {})
        if edited := [
            name
            for name, state in digests(run.settings).items()
            if before.get(name, state) != state
        ]:
            note(
                f"what follows is of other code than what was: the file of "
                f"{' and of '.join(edited)} has changed since the run began"
            )
        yield replace(run, **options)


_OPTIONS = ("keep", "checkpoint_every", "on_nonfinite")
_VERSIONS = ("numpy", "autograd", "numba", "cupy")
