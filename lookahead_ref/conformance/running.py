"""Run the suite on a target: a built-in program, a Python class, a command, a recording.

There is one verdict for each case and precision, whatever happens.
"""

import importlib
import importlib.util
import os
import shlex
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from lookahead_ref.conformance import wire
from lookahead_ref.conformance.judging import Observation, Trajectory, Verdict, judge
from lookahead_ref.conformance.process import (
    DiedError,
    HungError,
    Limits,
    Process,
    StartError,
)
from lookahead_ref.conformance.protocol import (
    Adapter,
    TargetError,
    UnsupportedError,
    observe,
)
from lookahead_ref.conformance.vectors import Case, cases, read_file
from lookahead_ref.system import from_home

Status = Literal["passed", "departed", "failed", "unsupported"]
"""Passed or departed as judged; failed where there was nothing to judge; not offered."""

PYTHON_STARTUP = 60.0
"""Seconds to start a Python adapter in: it may import a framework."""

PATIENCE = 12
"""Cases in a row at which a program broke, after which the rest is not tried."""

_HUNG = 3  # to hang counts as so many: it takes as long


@dataclass(frozen=True)
class Result:
    """What came of a case in one precision."""

    case: Case
    dtype: str
    status: Status
    reason: str = ""
    """Why it failed or is unsupported."""
    verdict: Verdict | None = None
    seen: Observation | None = field(default=None, repr=False)


class Target(Protocol):
    """What the runner takes a case through."""

    @property
    def name(self) -> str:
        """What it is called in a report."""

    def observe(self, case: Case, dtype: str) -> Observation:
        """Take a case through it, or raise an UnsupportedError or TargetError."""

    def abort(self) -> None:
        """Fail at every case from now on; called from another thread."""

    def close(self) -> None:
        """Leave nothing behind."""


def run(
    target: Target,
    cases: Iterable[Case],
    *,
    dtypes: Sequence[str] = ("float32", "float64"),
    level: str = "strict",
    progress: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run cases on a target, each in those of the precisions that it is for."""
    results = []
    in_a_row = 0
    for case in cases:
        for dtype in dtypes:
            if dtype not in case.dtypes:
                continue
            if in_a_row < PATIENCE:
                result, broken = _one(target, case, dtype, level)
                in_a_row = in_a_row + broken if broken else 0
            else:
                reason = "not tried: it broke at all of the last cases"
                result = Result(case, dtype, "failed", reason)
            results.append(result)
            if progress is not None:
                progress(result)
    return results


def _one(target: Target, case: Case, dtype: str, level: str) -> tuple[Result, int]:
    """Run a case; return its result, and how badly the target broke at it."""
    try:
        seen = target.observe(case, dtype)
        _check_slots(case, seen)
    except UnsupportedError as error:
        return Result(case, dtype, "unsupported", str(error)), 0
    except StartError as error:
        reason = f"it could not be started again: {error}"
        return Result(case, dtype, "failed", reason), 1
    except TargetError as error:
        died = _HUNG if isinstance(error, HungError) else isinstance(error, DiedError)
        return Result(case, dtype, "failed", str(error)), int(died)
    verdict = judge(case, seen, dtype, level)
    status: Status = "passed" if verdict.passed else "departed"
    return Result(case, dtype, status, "", verdict, seen), 0


def _check_slots(case: Case, seen: Observation) -> None:
    """Refuse slots by other names: what is not compared must not seem to be."""
    known = case.outcomes[0].slots
    for trajectory in (seen.steps, seen.resumed or Trajectory()):
        for name in {name for shown in trajectory.slots for name in shown}:
            if name not in known:
                raise TargetError(
                    f"slots of {case.data['inner']['rule']} are named "
                    f"{', '.join(known) or 'nothing: it has none'}, got "
                    f"{wire.legible(name)!r}"
                )


def builtin() -> tuple[str, ...]:
    """List ``pure``, every backend, and the public implementations that are installed."""
    from lookahead_ref.conformance.adapters.peers import PEERS
    from lookahead_ref.stepping.backend import names

    return ("pure", *names(), *(name for name, peer in PEERS.items() if peer.installed))


def adapter(target: str) -> Callable[[], Adapter]:
    """Find what makes a Python adapter: built in, ``module:Class`` or ``file.py:Class``."""
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
        path = Path(from_home(place)).resolve()
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

    It takes a ``whole`` case at once, as `lookahead_ref.conformance.serve` does, or is
    asked step by step.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        limits: Limits | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        whole: bool = False,
    ) -> None:
        self._limits = limits or Limits()
        self._make = partial(Process, command, self._limits, environment)
        self._whole = whole
        self._aborted = False
        self._deadline = time.monotonic() + self._limits.run
        first = self._make()
        self._processes: list[Process | None] = [first, None]
        self.name = f"{name} ({first.name})" if first.name else name

    def _ask(
        self, place: int, request: Mapping[str, Any], timeout: float | None = None
    ) -> dict[str, Any]:
        """Ask one of the two, which is started anew if it has died of a request."""
        if self._aborted:
            raise TargetError("interrupted")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TargetError(f"not tried: the run has taken {self._limits.run:g} s")
        process = self._processes[place]
        if process is None or process.dead:
            process = self._processes[place] = self._make()
        limit = self._limits.step if timeout is None else timeout
        return process.ask(request, min(limit, left))

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask(0, request)

    def observe(self, case: Case, dtype: str) -> Observation:
        if self._whole:
            return self._observe_whole(case, dtype)
        first, second = (wire.Wired(partial(self._ask, place), case) for place in (0, 1))
        return observe(case, dtype, first, lambda: second)

    def _observe_whole(self, case: Case, dtype: str) -> Observation:
        known = {name: value for name, value in case.data.items() if name != "outcomes"}
        request = {"do": "run", "dtype": dtype, "case": known}
        timeout = self._limits.step * (1.0 + case.steps / 10.0)
        answer = self._ask(0, request, timeout)
        seen = wire.unpack(answer["seen"])
        if case.save_after is not None:
            request |= {"do": "resume", "state": answer["state"], "fast": answer["fast"]}
            answer = self._ask(1, request, timeout)
            seen.resumed = wire.unpack_trajectory(answer["seen"])
        return seen

    def abort(self) -> None:
        self._aborted = True
        for process in self._processes:
            if process is not None:
                process.abort()

    def close(self) -> None:
        running = [process for process in self._processes if process is not None]
        for process in running:
            process.stop()
        for process in running:
            process.end()
        self._processes = [None, None]


class Recording:
    """Trajectories that a program wrote by itself: a header, then a line of JSON each."""

    def __init__(self, path: Path) -> None:
        try:
            lines = read_file(path).splitlines() or [b""]
        except OSError as error:
            raise ValueError(f"--recorded {path} cannot be read: {error}") from error
        self.name = path.name
        self._entries: dict[tuple[str, str], Any] = {}
        known = {(case.id, dtype) for case in cases() for dtype in case.dtypes}
        for number, line in enumerate(lines, start=1):
            try:
                if number == 1:
                    self._begin(wire.parse(line))
                elif line.strip():
                    self._add(wire.parse(line), known)
            except TargetError as error:
                raise StartError(f"{path}, line {number}: {error}") from error

    def _begin(self, header: Mapping[str, Any]) -> None:
        if header.get("recording") != wire.PROTOCOL:
            got = wire.shown(header.get("recording"))
            raise TargetError(f"recording must be {wire.PROTOCOL}, got {got}")
        self.name = wire.legible(header.get("name", self.name))

    def _add(self, entry: Mapping[str, Any], known: Collection[tuple[str, str]]) -> None:
        case, dtype = key = (str(entry.get("case")), str(entry.get("dtype")))
        if key not in known:
            shown = wire.shown(case), wire.shown(dtype)
            raise TargetError(f"there is no case {shown[0]} in {shown[1]}")
        if key in self._entries:
            raise TargetError(f"{case} in {dtype} is there twice")
        self._entries[key] = entry

    def observe(self, case: Case, dtype: str) -> Observation:
        entry = self._entries.get((case.id, dtype))
        if entry is None:
            raise UnsupportedError("it was not recorded")
        if "unsupported" in entry:
            raise UnsupportedError(wire.legible(entry["unsupported"]))
        if "error" in entry:
            raise TargetError(f"recorded an error: {wire.legible(entry['error'])}")
        left = 0 if case.save_after is None else case.steps - case.save_after
        steps = wire.steps_of("steps", entry.get("steps"), case.steps)
        resumed = wire.steps_of("resumed", entry.get("resumed", []), left)
        evaluations = wire.steps_of(
            "evaluations", entry.get("evaluations", []), len(case.evaluate_after)
        )
        first = wire.Wired(_replayed(steps, evaluations), case)
        return observe(case, dtype, first, lambda: wire.Wired(_replayed(resumed), case))

    def abort(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing was opened."""


def _replayed(
    steps: Iterable[Mapping[str, Any]], evaluations: Iterable[Mapping[str, Any]] = ()
) -> wire.Ask:
    """Return what answers requests as the program did when it was recorded."""
    recorded = {"step": iter(steps), "evaluate": iter(evaluations)}

    def ask(request: Mapping[str, Any]) -> Mapping[str, Any]:
        if request["do"] in recorded:
            return next(recorded[request["do"]])
        return {"ok": True, "state": ""}

    return ask


def open_target(
    target: str | None = None,
    *,
    command: str | None = None,
    recorded: Path | None = None,
    limits: Limits | None = None,
) -> Target:
    """Open one of a Python target, the command of a harness, and a recording."""
    given = [each for each in (target, command, recorded) if each is not None]
    if len(given) != 1:
        raise ValueError(
            "one of TARGET, --command and --recorded must be given, got "
            f"{len(given) or 'none'}"
        )
    if recorded is not None:
        return Recording(recorded)
    if command is not None:
        words = [from_home(word) for word in shlex.split(command)]
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
