"""The folder of one training run, which one process locks at a time.

``run.json`` holds the settings, so that the run can be continued from any moment, even if
it was killed before its first checkpoint.
"""

import json
import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lookahead_ref import hyperparameters
from lookahead_ref.experiments import optimizers, plugins
from lookahead_ref.experiments.environment import OutputFolderError, new_folder, versions
from lookahead_ref.experiments.settings import FolderOptions, TrainSettings
from lookahead_ref.extras import require
from lookahead_ref.report.files import locked, read_sealed, schema, write_sealed
from lookahead_ref.training.checkpoints import remove_leftovers

_FILE = "run.json"
_FORMAT = "lookahead-ref run"
_RECORD = ("settings", "options", "started", "files", "versions")
_VERSIONS = ("numpy", "autograd", "numba", "cupy")


class NoRunError(ValueError):
    """A folder has no run that can be continued."""


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, locked by this process."""

    path: Path
    settings: TrainSettings
    options: FolderOptions
    started: str
    """When it began, in ISO 8601."""
    note: Callable[[str], None]
    """Called with messages for the user about the folder."""

    def cut_log(self, path: Path, length: int) -> None:
        """Cut a log to its length at a checkpoint."""
        present = path.stat().st_size if path.exists() else 0
        if present < length:
            self.note(f"{path} lacks {length - present} bytes that were written before")
        elif present:
            os.truncate(path, length)


@contextmanager
def begin(
    output: Path, settings: TrainSettings, note: Callable[[str], None], **options: Any
) -> Iterator[RunFolder]:
    """Make and lock the folder of a new run with prepared settings."""
    if (output / _FILE).exists():
        raise OutputFolderError(
            f"output must be a new or empty folder, got {output} with a run in it: "
            f"--resume {output} continues that run"
        )
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    folder = RunFolder(output, settings, FolderOptions(**options), started, note)
    require("safetensors", "experiments", purpose="write checkpoints")
    with new_folder(output, "train"):
        record = {
            "settings": asdict(settings),
            "options": asdict(folder.options),
            "started": started,
            "files": digests(settings),
            "versions": versions(*_VERSIONS),
        }
        write_sealed(output / _FILE, _FORMAT, record)
        yield folder


@contextmanager
def continued(
    path: Path,
    note: Callable[[str], None],
    own: Mapping[str, str] = MappingProxyType({}),
    epochs: int | None = None,
    dry_run: bool = False,
    **options: Any,
) -> Iterator[RunFolder]:
    """Lock the folder of a run to continue; `own` names the user's code it may run."""
    try:
        found = read_sealed(
            path / _FILE,
            _FORMAT,
            settings=schema(TrainSettings),
            options=schema(FolderOptions),
            started={"type": "string"},
            files={"type": "object"},
            versions={"type": "object"},
        )
        settings = TrainSettings(**found["settings"])
        hyperparameters.count("workers", settings.workers)
        before = FolderOptions(**found["options"])
    except (FileNotFoundError, NotADirectoryError):
        raise NoRunError(
            f"resume must be the folder of a run, got {path}, which has no {_FILE}"
        ) from None
    except (ValueError, TypeError) as error:
        raise NoRunError(f"{path / _FILE} cannot be understood: {error}") from error
    # A folder may come from anybody, so it must not decide alone which code is run.
    for option, text in own.items():
        if getattr(settings, option) != text:
            raise NoRunError(
                f"{option} with resume must be the run's, {getattr(settings, option)!r}, "
                f"or left out, got {text!r}"
            )
    if unnamed := set(own_code(settings).items()) - set(own.items()):
        again = shlex.join(x for o, text in sorted(unnamed) for x in (f"--{o}", text))
        raise NoRunError(
            f"resume must be given with {again}, because {path} names code that will be "
            "run: read it first if it is not your own"
        )
    longer = settings if epochs is None else _longer(settings, epochs)
    with locked(path):
        remove_leftovers(path)
        if longer != settings and not dry_run:
            record = {name: found[name] for name in _RECORD}
            write_sealed(path / _FILE, _FORMAT, record | {"settings": asdict(longer)})
        folder = RunFolder(path, longer, before, found["started"], note)
        _note_changes(folder, found)
        yield replace(folder, options=replace(before, **options))


def _longer(settings: TrainSettings, epochs: int) -> TrainSettings:
    """Return the settings of a run that continues for more epochs."""
    whole = settings.epochs % settings.evaluate_every == 0
    endless = settings.schedule in ("constant", "plateau")
    if epochs < settings.epochs or not endless or not whole:
        raise NoRunError(
            f"epochs must be at least the run's, {settings.epochs}, with schedule constant "
            f"or plateau, and evaluate_every a divisor of the run's epochs; got {epochs} "
            f"with {settings.schedule} and {settings.evaluate_every}"
        )
    return replace(settings, epochs=epochs)


class Note:
    """A file beside a run's checkpoints with its progress, for display."""

    def __init__(self, folder: Path, steps: float) -> None:
        self._file = folder / "now.json"
        self._steps = steps
        self._written = -math.inf

    def write(self, step: float, words: str) -> None:
        """Write it, at most once a second."""
        if time.monotonic() - self._written < 1.0:
            return
        self._written = time.monotonic()
        text = json.dumps({"part": step / self._steps, "words": words})
        # Not flushed to the disk, as it is useless later.
        temporary = self._file.with_name(".now.json.00000000")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self._file)

    @staticmethod
    def read(folder: Path, since: float) -> tuple[float, str]:
        """Return the share done, and its words if they are newer than `since`."""
        try:
            found = json.loads((folder / "now.json").read_text(encoding="utf-8"))
            recent = (folder / "now.json").stat().st_mtime >= since
            words = str(found["words"]) if recent else ""
            return min(max(0.0, float(found["part"])), 1.0), words
        except (OSError, ValueError, LookupError):
            return 0.0, ""


def note(text: str) -> None:
    """Tell the user about a folder."""
    sys.stderr.write(f"lookahead-ref: {text}\n")


def held(path: Path, settings: TrainSettings) -> AbstractContextManager[RunFolder]:
    """Lock the folder of a trial, new or to continue."""
    # An earlier worker may be about to end.
    path.mkdir(exist_ok=True)
    with locked(path, wait=True):
        pass
    if (path / _FILE).exists():
        return continued(path, note, own_code(settings))
    return begin(path, settings, note)


def _note_changes(folder: RunFolder, found: dict[str, Any]) -> None:
    """Note what has changed since the run began."""
    if changed := [
        f"{name} {found['versions'].get(name)}, now {version}"
        for name, version in versions(*_VERSIONS).items()
        if found["versions"].get(name) != version
    ]:
        folder.note(f"the last bits may differ: the run began with {'; '.join(changed)}")
    if edited := [
        name
        for name, state in digests(folder.settings).items()
        if found["files"].get(name, state) != state
    ]:
        folder.note(
            f"the code has changed since the run began: the file of "
            f"{' and of '.join(edited)}"
        )


def own_code(settings: TrainSettings) -> dict[str, str]:
    """Return the names of the user's own code in settings, by option."""
    named = optimizers.named(settings)
    return {o: getattr(settings, o) for o, text in named.items() if plugins.is_own(o, text)}


def digests(settings: TrainSettings) -> dict[str, str]:
    """Return digests of the user's own files that settings name."""
    named = optimizers.named(settings)
    return {named[option]: plugins.digest(named[option]) for option in own_code(settings)}
