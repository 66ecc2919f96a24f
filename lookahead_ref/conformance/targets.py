"""What a suite can be run on: built-in programs, Python adapters, commands, recordings."""

import importlib
import importlib.util
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lookahead_ref.conformance import wire
from lookahead_ref.conformance.judging import Observation, Trajectory
from lookahead_ref.conformance.process import DiedError, Limits, Process, StartError
from lookahead_ref.conformance.protocol import (
    Adapter,
    Array,
    Gradients,
    TargetError,
    UnsupportedError,
)
from lookahead_ref.conformance.vectors import Case, Float64Array, cases

__all__ = [
    "PYTHON_STARTUP",
    "Program",
    "Recording",
    "Target",
    "adapter",
    "builtin",
    "open_target",
]

PYTHON_STARTUP = 60.0
"""Seconds to start a Python adapter in: it may import a framework."""


class Target(Protocol):
    """What the runner takes a case through."""

    @property
    def name(self) -> str:
        """What it is called in a report."""

    def observe(self, case: Case, dtype: str) -> Observation:
        """Take a case through it.

        Raises
        ------
        UnsupportedError
            If it does not offer what the case asks for.
        TargetError
            If it fails.
        """

    def abort(self) -> None:
        """Fail at every case from now on; called from another thread."""

    def close(self) -> None:
        """Leave nothing behind."""


def builtin() -> tuple[str, ...]:
    """List the names of the programs that are built in.

    Returns
    -------
    tuple of str
        ``pure``, then every backend, then the public implementations that are installed.
    """
    from lookahead_ref.conformance.adapters.peers import PEERS
    from lookahead_ref.stepping.backend import names

    return ("pure", *names(), *(name for name, peer in PEERS.items() if peer.installed))


def adapter(target: str) -> Callable[[], Adapter]:
    """Find a Python adapter.

    Parameters
    ----------
    target : str
        A built-in program, ``module:Class`` or ``file.py:Class``.

    Returns
    -------
    callable
        Makes one.

    Raises
    ------
    ValueError
        If there is none of this name.
    BackendUnavailableError
        If it is a backend that cannot run here.
    """
    from lookahead_ref.conformance.adapters import library
    from lookahead_ref.conformance.adapters.peers import PEERS

    place, colon, name = target.rpartition(":")
    if not colon:
        if target == "pure":
            return library.Pure
        if target in PEERS:
            return PEERS[target].make()
        _check_builtin(target)
        library.loaded(target)
        return lambda: library.Stepped(target)
    if place.endswith(".py"):
        path = Path(place).resolve()
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if not path.is_file() or spec is None or spec.loader is None:
            raise ValueError(f"target must be an existing file, got {place!r}")
        sys.path.insert(0, str(path.parent))
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    else:
        sys.path.insert(0, str(Path.cwd()))
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"target must name a module that can be imported, got {place!r}: {error}"
            ) from error
    found = getattr(module, name, None)
    if not callable(found):
        raise ValueError(f"target must name a class of {place}, got {name!r}")
    make: Callable[[], Adapter] = found
    return make


def _check_builtin(name: str) -> None:
    known = builtin()
    if name not in known:
        raise ValueError(
            f"target must be {', '.join(known)}, module:Class or file.py:Class, got "
            f"{name!r}"
        )


class Program:
    """A harness in a process of its own, and a second one for what is loaded.

    Parameters
    ----------
    name : str
        What it is called.
    command : sequence of str
        The program and its arguments.
    limits : Limits
        What it may take.
    environment : dict, optional
        Its environment.
    whole : bool, default: False
        Whether it takes a whole case at once, as `lookahead_ref.conformance.serve` does.

    Raises
    ------
    StartError
        If it cannot be started.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        limits: Limits | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        whole: bool = False,
    ) -> None:
        self._command = command
        self._limits = limits or Limits()
        self._environment = environment
        self._whole = whole
        self._aborted = False
        self._processes: list[Process | None] = [self._make(), None]
        said = self._processes[0].name if self._processes[0] is not None else ""
        self.name = f"{name} ({said})" if said else name

    def _make(self) -> Process:
        return Process(self._command, self._limits, self._environment)

    def _process(self, place: int) -> Process:
        if self._aborted:
            raise TargetError("interrupted")
        process = self._processes[place]
        if process is None:
            process = self._processes[place] = self._make()
        return process

    def _time(self, steps: int) -> float:
        return self._limits.step * (1.0 + steps / 10.0)

    def observe(self, case: Case, dtype: str) -> Observation:
        """Take a case through it."""
        place = 0
        try:
            first = self._process(place)
            if self._whole:
                request = {"do": "run", **wire.whole(case, dtype)}
                answer = first.ask(request, self._time(case.steps))
                seen = wire.unpack(answer["seen"])
                if case.save_after is not None:
                    place = 1
                    request["do"] = "resume"
                    request |= {name: answer[name] for name in ("state", "fast")}
                    answer = self._process(place).ask(request, self._time(case.steps))
                    seen.resumed = wire.unpack_trajectory(answer["seen"])
                return seen
            seen, saved, state = self._unbroken(first, case, dtype)
            if saved is None:
                return seen
            place = 1
            other = self._process(place)
            _told(other, wire.start(case, dtype))
            _told(other, {"do": "load", "state": saved})
            seen.resumed = Trajectory()
            gradients = Gradients(case, dtype)
            for t in range(case.save_after or 0, case.steps):
                state = _step(other, case, gradients.at(t, state), seen.resumed, dtype)
        except DiedError:
            broken = self._processes[place]
            if broken is not None:
                broken.kill()
            self._processes[place] = None
            raise
        return seen

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for what needs no state, and start anew if the program dies of it.

        Parameters
        ----------
        request : dict
            The request.

        Returns
        -------
        dict
            The answer.

        Raises
        ------
        UnsupportedError
            If it does not offer what is asked.
        TargetError
            If it fails.
        """
        process = self._process(0)
        try:
            return process.ask(request)
        except DiedError:
            process.kill()
            self._processes[0] = None
            raise

    def _unbroken(
        self, process: Process, case: Case, dtype: str
    ) -> tuple[Observation, str | None, list[Array]]:
        _told(process, wire.start(case, dtype))
        gradients = Gradients(case, dtype)
        seen = Observation()
        state: list[Array] = case.params(dtype)
        kept = state
        for t in range(case.steps):
            state = _step(process, case, gradients.at(t, state), seen.steps, dtype)
            if t + 1 in case.evaluate_after:
                answer = process.ask({"do": "evaluate"})
                seen.evaluations[t + 1] = wire.tensors(
                    case, "evaluated weights", answer.get("weights")
                )
                # The next gradient is taken where an evaluation has left the weights.
                if "fast" in answer:
                    fast = wire.tensors(case, "fast weights", answer["fast"])
                    state = _narrowed(case, fast, dtype)
            if t + 1 == case.save_after:
                _told(process, {"do": "snapshot"})
                kept = state
        if case.save_after is None:
            return seen, None, kept
        saved = process.ask({"do": "dump"}).get("state")
        if not isinstance(saved, str):
            raise TargetError(f"state must be a string, got {wire.shown(saved)}")
        return seen, saved, kept

    def abort(self) -> None:
        """End both processes by force, and start none again."""
        self._aborted = True
        for process in self._processes:
            if process is not None:
                process.abort()

    def close(self) -> None:
        """End both processes."""
        running = [process for process in self._processes if process is not None]
        for process in running:
            process.stop()
        for process in running:
            process.end()
        self._processes = [None, None]


def _told(process: Process, request: Mapping[str, Any]) -> None:
    answer = process.ask(request)
    if answer.get("ok") is not True:
        raise TargetError(
            f'{request["do"]} must be answered by {{"ok": true}}, got {wire.shown(answer)}'
        )


def _step(
    process: Process,
    case: Case,
    gradients: Mapping[str, Any],
    trajectory: Trajectory,
    dtype: str,
) -> list[Array]:
    answer = process.ask({"do": "step", "gradients": wire.gradients(case, gradients)})
    _record(case, answer, trajectory)
    return _narrowed(case, trajectory.fast[-1], dtype)


def _narrowed(case: Case, flat: Float64Array, dtype: str) -> list[Array]:
    with np.errstate(all="ignore"):
        return [each.astype(dtype) for each in case.split(flat)]


def _record(case: Case, answer: Mapping[str, Any], trajectory: Trajectory) -> None:
    trajectory.fast.append(wire.tensors(case, "fast weights", answer.get("fast")))
    trajectory.slow.append(wire.slow(case, answer.get("slow")))
    trajectory.slots.append(wire.slots(case, answer.get("slots")))


class Recording:
    """Trajectories that a program wrote by itself.

    Parameters
    ----------
    path : path
        A file of JSON lines: a header, then one object for each case and precision.

    Raises
    ------
    ValueError
        If it cannot be read.
    StartError
        If it is no recording.
    """

    def __init__(self, path: Path) -> None:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise ValueError(f"--recorded {path} cannot be read: {error}") from error
        try:
            header = wire.parse(lines[0] if lines else b"")
        except TargetError as error:
            raise StartError(f"{path}, line 1: {error}") from error
        if header.get("recording") != wire.PROTOCOL:
            raise StartError(
                f"{path}, line 1: recording must be {wire.PROTOCOL}, got "
                f"{wire.shown(header.get('recording'))}"
            )
        self.name = wire.told(header.get("name", path.name))
        known = {case.id: case.dtypes for case in cases()}
        self._entries: dict[tuple[str, str], Any] = {}
        for number, line in enumerate(lines[1:], start=2):
            if not line.strip():
                continue
            try:
                entry = wire.parse(line)
            except TargetError as error:
                raise StartError(f"{path}, line {number}: {error}") from error
            key = (str(entry.get("case")), str(entry.get("dtype")))
            if key[1] not in known.get(key[0], ()):
                raise StartError(
                    f"{path}, line {number}: there is no case {wire.shown(key[0])} in "
                    f"{wire.shown(key[1])}"
                )
            if key in self._entries:
                raise StartError(
                    f"{path}, line {number}: {key[0]} in {key[1]} is there twice"
                )
            self._entries[key] = entry

    def observe(self, case: Case, dtype: str) -> Observation:
        """Return what was recorded of a case."""
        entry = self._entries.get((case.id, dtype))
        if entry is None:
            raise UnsupportedError("it was not recorded")
        if "unsupported" in entry:
            raise UnsupportedError(wire.told(entry["unsupported"]))
        if "error" in entry:
            raise TargetError(f"recorded an error: {wire.told(entry['error'])}")
        seen = Observation()
        for step in wire.steps_of("steps", entry.get("steps"), case.steps):
            _record(case, step, seen.steps)
        if case.save_after is not None:
            seen.resumed = Trajectory()
            left = case.steps - case.save_after
            for step in wire.steps_of("resumed", entry.get("resumed"), left):
                _record(case, step, seen.resumed)
        evaluations = wire.steps_of(
            "evaluations", entry.get("evaluations", []), len(case.evaluate_after)
        )
        for after, each in zip(case.evaluate_after, evaluations, strict=True):
            seen.evaluations[after] = wire.tensors(
                case, "evaluated weights", each.get("weights")
            )
        return seen

    def abort(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing was opened."""


def open_target(
    target: str | None = None,
    *,
    command: str | None = None,
    recorded: Path | None = None,
    limits: Limits | None = None,
) -> Target:
    """Open what the suite is to be run on.

    Parameters
    ----------
    target : str, optional
        A built-in program, ``module:Class`` or ``file.py:Class``.
    command : str, optional
        A harness and its arguments, as in a shell.
    recorded : path, optional
        A recording.
    limits : Limits, optional
        What a process may take; a Python adapter has `PYTHON_STARTUP` seconds to start if
        not given.

    Returns
    -------
    Target
        The target, to be closed.

    Raises
    ------
    ValueError
        If not exactly one of the three is given, or there is no such target or recording.
    MissingExtraError
        If the target is a public implementation that is not installed.
    StartError
        If it cannot be started.
    """
    given = [each for each in (target, command, recorded) if each is not None]
    if len(given) != 1:
        raise ValueError(
            "one of TARGET, --command and --recorded must be given, got "
            f"{len(given) or 'none'}"
        )
    if recorded is not None:
        return Recording(recorded)
    if command is not None:
        words = shlex.split(command)
        if not words:
            raise ValueError("--command must name a program, got an empty string")
        return Program(command, words, limits)
    from lookahead_ref.conformance.adapters.peers import PEERS

    name = title = str(target)
    if name in PEERS:
        PEERS[name].require()
        title = PEERS[name].title
    elif ":" not in name:
        _check_builtin(name)
    # Python's own flags, and paths that a test or notebook has added.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    serve = [sys.executable, "-m", "lookahead_ref.conformance.serve", name]
    limits = limits or Limits(startup=PYTHON_STARTUP)
    return Program(title, serve, limits, environment, whole=True)
