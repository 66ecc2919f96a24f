"""Runs the suite on a target: a built-in program, a Python class, a command, a recording.

Every case has a verdict in each of its precisions, whatever happens.
"""

import contextlib
import json
import os
import secrets
import selectors
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from lookahead_ref.conformance import wire
from lookahead_ref.conformance.adapters import PEERS, check_name
from lookahead_ref.conformance.judging import (
    Mismatch,
    Observation,
    Result,
    Status,
    Trajectory,
    judge,
    judge_model,
)
from lookahead_ref.conformance.protocol import (
    OWN_RULE,
    TargetError,
    UnsupportedError,
    observe,
)
from lookahead_ref.conformance.vectors import Case, ModelCase, cases
from lookahead_ref.conformance.wire import PROTOCOL, legible, parse, shown, stopped
from lookahead_ref.system import from_home, read_file

PATIENCE = 12
"""So many cases in a row may break a program; then the rest is skipped."""

_HUNG = 6  # a hang, even in a new process, counts as several, as it takes long

Observed = TypeVar("Observed")


class StartError(TargetError):
    """A program cannot be started, or does not answer hello."""


class DiedError(TargetError):
    """A program ended, hung, or wrote an invalid answer, and is not asked again."""


class HungError(DiedError):
    """A program did not answer in time: it hangs, or the machine is slow."""


class LateError(TargetError):
    """No time is left for a request."""


@dataclass(frozen=True)
class Limits:
    """Limits of a program."""

    # Seconds to answer ``hello`` and the first request of each kind, which may import or
    # compile; and seconds for other requests.
    startup: float = 60.0
    step: float = 10.0
    line: int = 2**20  # bytes of an answer
    run: float = 3600.0  # seconds for all requests together


def run(
    target: "Target",
    cases: Iterable[Case],
    *,
    dtypes: Sequence[str] = ("float32", "float64"),
    level: str = "strict",
    progress: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run cases on a target, each in its precisions."""
    results: list[Result] = []
    in_a_row = 0
    for case in cases:
        for dtype in dtypes:
            if dtype not in case.dtypes:
                continue
            if in_a_row < PATIENCE:
                result, broken = _one(target, case, dtype, level)
                in_a_row = in_a_row + broken if broken else 0
            else:
                reason = "not tried: the program broke at each of the last cases"
                result = Result(case, dtype, results[-1].status, reason)
            results.append(result)
            if progress is not None:
                progress(result)
    return results


def passes_alone(start: Callable[[], "Target"], failed: Result, level: str) -> bool:
    """Return whether a check that failed passes in a new process, before all others."""
    with contextlib.suppress(TargetError, subprocess.TimeoutExpired):  # in a second start
        with contextlib.closing(start()) as target:
            (again,) = run(target, [failed.case], dtypes=[failed.dtype], level=level)
        return again.status == "passed"
    return False


def _one(target: "Target", case: Case, dtype: str, level: str) -> tuple[Result, int]:
    """Run a case; return its result, and how badly the target broke."""
    found = _attempt(lambda: _observed(target, case, dtype))
    if isinstance(found, _Fault):
        result = Result(case, dtype, found.status, found.reason, frame=found.frame)
        return result, found.weight
    case, seen = found
    verdict = judge(case, seen, dtype, level)
    status: Status = "passed" if verdict.passed else "failed"
    return Result(case, dtype, status, "", verdict, seen), 0


class _Fault(NamedTuple):
    """Why there is nothing to judge."""

    status: Status
    reason: str
    weight: int = 0  # its share of `PATIENCE`
    frame: Mapping[str, str] | None = None


def _attempt(observe: Callable[[], Observed]) -> Observed | _Fault:
    """Observe something; if no answer comes in time, retry once in a new process."""
    try:
        try:
            return observe()
        except HungError:
            return observe()
    except UnsupportedError as error:
        return _Fault("unsupported", str(error))
    except StartError as error:
        return _Fault("error", f"it could not be started again: {error}", 1)
    except HungError as error:
        return _Fault("unjudged", f"{error}, and again in a new process", _HUNG)
    except LateError as error:
        return _Fault("unjudged", str(error))
    except TargetError as error:
        return _Fault("error", str(error), int(isinstance(error, DiedError)), error.frame)


def _observed(target: "Target", case: Case, dtype: str) -> tuple[Case, Observation]:
    """Observe a case; also return the case, which may have outcomes only now."""
    if case.data["inner"]["rule"] != OWN_RULE:
        seen = target.observe(case, dtype)
        _check_slots(case, seen)
        return case, seen
    # Not at the top, as it needs mpmath.
    from lookahead_ref.conformance.own_inner import judged_by_itself

    return judged_by_itself(lambda each: target.observe(each, dtype), case, dtype)


def _check_slots(case: Case, seen: Observation) -> None:
    """Refuse slots with unknown names, as nothing would check them."""
    known = case.outcomes[0].slots
    given = [*seen.steps.slots, *(seen.resumed or Trajectory()).slots]
    for name in {name for each in given for name in each} - known.keys():
        raise TargetError(
            f"slots of {case.data['inner']['rule']} are named "
            f"{', '.join(known) or 'nothing: it has none'}, got {legible(name)!r}"
        )


class ProgramTarget:
    """A harness in a process, and a second one that loads saved states."""

    # It either runs whole cases, as `conformance.wire` does, or answers step by step.

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        limits: Limits | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        imports: str | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._make = partial(Process, command, self._limits, environment, imports=imports)
        self._whole = imports is not None
        self._aborted = False
        self._deadline = time.monotonic() + self._limits.run
        first = self._make()
        self._processes: list[Process | None] = [first, None]
        self.name = f"{name} ({first.name})" if first.name else name
        self.offers = first.offers

    def ask(
        self, request: Mapping[str, Any], place: int = 0, timeout: float | None = None
    ) -> dict[str, Any]:
        """Send a request to one of the two processes; restart it if it has died."""
        if self._aborted:
            raise TargetError("interrupted")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise LateError(f"not tried: the run has taken {self._limits.run:g} s")
        process = self._processes[place]
        if process is None or process.dead:
            process = self._processes[place] = self._make()
        limit = self._limits.step if timeout is None else timeout
        if request["do"] not in process.answered:
            limit = max(limit, self._limits.startup)
        return process.ask(request, min(limit, left))

    def observe(self, case: Case, dtype: str) -> Observation:
        if self._whole:
            return self._observe_whole(case, dtype)
        first, second = (
            wire.Wired(partial(self.ask, place=place), case, self.offers)
            for place in (0, 1)
        )
        return observe(case, dtype, first, lambda: second)

    def _observe_whole(self, case: Case, dtype: str) -> Observation:
        known = {name: value for name, value in case.data.items() if name != "outcomes"}
        request = {"do": "run", "dtype": dtype, "case": known}
        timeout = self._limits.step * (1.0 + case.steps / 10.0)
        answer = self.ask(request, 0, timeout)
        seen = wire.observation(answer["seen"])
        if case.save_after is not None:
            request |= {"do": "resume", "saved": answer["saved"]}
            seen.resumed = wire.trajectory(self.ask(request, 1, timeout)["seen"])
        return seen

    def abort(self) -> None:
        """Fail at every case from now on; called from another thread."""
        self._aborted = True
        for process in self._processes:
            if process is not None:
                process.abort()

    def close(self) -> None:
        for process in self._processes:
            if process is not None:
                process.end()
        self._processes = [None, None]


class Recording:
    """Trajectories written by a program: a header, then a line of JSON for each."""

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
            raise TargetError(f"{case} in {dtype} was recorded twice")
        self._entries[key] = entry

    def observe(self, case: Case, dtype: str) -> Observation:
        entry = self._entries.get((case.id, dtype))
        if entry is None:
            raise UnsupportedError("it was not recorded")
        if "unsupported" in entry:
            raise UnsupportedError(wire.legible(entry["unsupported"]))
        if "error" in entry:
            raise wire.stopped("recorded", entry)
        parts = {
            "steps": case.steps,
            "resumed": 0 if case.save_after is None else case.steps - case.save_after,
            "evaluations": len(case.evaluate_after),
        }
        steps, resumed, evaluations = (
            wire.listed(part, entry.get(part, []), size, "steps", dict)
            for part, size in parts.items()
        )
        first = wire.Wired(_replayed(steps, evaluations), case)
        return observe(case, dtype, first, lambda: wire.Wired(_replayed(resumed), case))

    def abort(self) -> None:
        """Do nothing, as nothing runs."""

    def close(self) -> None:
        """Do nothing, as nothing is open."""


Target = ProgramTarget | Recording
"""What cases run on; any class with these methods will do."""


def _replayed(
    steps: Iterable[Mapping[str, Any]], evaluations: Iterable[Mapping[str, Any]] = ()
) -> wire.Ask:
    """Return a function that answers requests from the recording."""
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
    """Open a Python target, the command of a harness, or a recording."""
    given = [each for each in (target, command, recorded) if each is not None]
    if len(given) != 1:
        raise ValueError(
            "exactly one of TARGET, --command and --recorded must be given, got "
            f"{len(given) or 'none'}"
        )
    if recorded is not None:
        return Recording(recorded)
    if command is not None:
        words = [from_home(word) for word in shlex.split(command)]
        if not words:
            raise ValueError("--command must name a program, got an empty string")
        return ProgramTarget(command, words, limits)
    name = str(target)
    check_name(name)
    title = PEERS[name].title if name in PEERS else name
    # Keep Python's flags, and paths that a test or notebook has added.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    serve = [sys.executable, "-m", "lookahead_ref.conformance.wire"]
    return ProgramTarget(title, serve, limits, environment, imports=name)


# Golden models.


class ModelResult(NamedTuple):
    """The result of a golden model in one precision."""

    case: ModelCase
    dtype: str
    status: Status
    mismatches: Sequence[Mismatch] = ()
    reason: str = ""


def run_models(
    ask: wire.Ask,
    cases: Iterable[ModelCase],
    *,
    dtypes: Sequence[str] = ("float32", "float64"),
    level: str = "strict",
) -> list[ModelResult]:
    """Run golden models on the program that answers `ask`."""
    results = []
    for case in cases:
        for dtype in [each for each in dtypes if each in case.dtypes]:
            answer = _attempt(partial(wire.ask_model, ask, case, dtype))
            if isinstance(answer, _Fault):
                result = ModelResult(case, dtype, answer.status, (), answer.reason)
            else:
                found = judge_model(case, answer, dtype, level)
                status: Status = "failed" if found else "passed"
                result = ModelResult(case, dtype, status, found)
            results.append(result)
    return results


# Processes.

_MARK = "LOOKAHEAD_REF_PROGRAM"
"""Environment variable that marks a program and its children."""

_POLL = 0.1
"""Seconds between checks that a silent program still runs."""

_RETRY = 0.001
"""Seconds between attempts to send more to a program whose input is full."""


class Process:
    """A running harness that has answered ``hello`` with our version."""

    def __init__(
        self,
        command: Sequence[str],
        limits: Limits,
        environment: Mapping[str, str] | None = None,
        *,
        imports: str | None = None,
    ) -> None:
        self._limits = limits
        self.dead = False
        self.answered: set[str] = set()
        mark = secrets.token_hex(16)
        self._mark = f"{_MARK}={mark}".encode()
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**(environment or os.environ), _MARK: mark},
                # In its own process group, so that its children end with it.
                start_new_session=True,
            )
        except OSError as error:
            raise StartError(f"{command[0]} cannot be started: {error}") from error
        self._pipes = (self._child.stdin, self._child.stdout, self._child.stderr)
        self._in, self._out, self._err = (p.fileno() for p in self._pipes if p is not None)
        # Never block: the program may not read, not write, or write for ever.
        for each in (self._in, self._out, self._err):
            os.set_blocking(each, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        self._selector.register(self._err, selectors.EVENT_READ)
        self._received = b""
        self._said = b""
        self._over = False
        said = self._hello(imports)
        self.name = legible(said.get("name", ""))
        self.offers = said.get("offers", [])

    def _hello(self, imports: str | None) -> dict[str, Any]:
        """Greet the program, and have a Python adapter import the target."""
        try:
            answer = self.ask({"do": "hello", "version": PROTOCOL}, self._limits.startup)
            got = answer.get("version")
            if got != PROTOCOL:
                raise TargetError(f"version must be {PROTOCOL}, got {shown(got)}")
            if not isinstance(answer.get("offers", []), list):
                raise TargetError(f"offers must be a list, got {shown(answer['offers'])}")
            if imports is not None:
                request = {"do": "import", "target": imports}
                answer |= self.ask(request, self._limits.startup)
        except HungError as error:
            raise HungError(
                f"hello: {error}: the program or the machine is slow; "
                "--startup-timeout gives more time"
            ) from error
        except (TargetError, UnsupportedError) as error:
            self.end()
            raise StartError(f"hello: {error}") from error
        if "refused" in answer:
            self.end()
            raise ValueError(str(answer["refused"]))
        return answer

    def ask(self, request: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """Send a request and wait for its answer, for at most `limit` seconds."""
        try:
            self._take()
            if self._received:
                raise DiedError(f"wrote without being asked: {shown(self._received)}")
            line = self._exchange(json.dumps(request).encode() + b"\n", limit)
            if line is None:
                raise HungError(f"did not answer {request['do']!r} within {limit:g} s")
            answer = parse(line)
            self.answered.add(request["do"])
        except DiedError:  # it is useless now
            self.kill()
            raise
        except TargetError as error:
            self.kill()
            raise DiedError(str(error)) from error
        if "unsupported" in answer:
            raise UnsupportedError(legible(answer["unsupported"]))
        if "error" in answer:
            raise stopped("answered", answer)
        return answer

    def _exchange(self, request: bytes, limit: float) -> bytes | None:
        """Send a request and receive a line; None if time is up."""
        deadline = time.monotonic() + limit
        while True:
            line, ended, rest = self._received.partition(b"\n")
            if len(line) > self._limits.line:
                raise DiedError(f"wrote a line of more than {self._limits.line} bytes")
            if ended:
                self._received = rest
                return line
            if self._over:
                raise DiedError(self._how_it_ended())
            wait = deadline - time.monotonic()
            if wait <= 0:
                return None
            request = self._send(request)
            silent = not self._selector.select(min(wait, _RETRY if request else _POLL))
            # Its children may keep its output open after it has ended, and it may have
            # answered before that.
            gone = silent and self._child.poll() is not None
            before = len(self._received)
            self._take()
            if gone and len(self._received) == before:
                raise DiedError(self._how_it_ended())

    def _send(self, data: bytes) -> bytes:
        """Write as much as possible; return the rest."""
        try:
            return data and data[os.write(self._in, data) :]
        except BlockingIOError:
            return data
        except BrokenPipeError:  # it has ended; reading will notice
            return b""

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._err, 65536)
            self._said = (self._said + said)[-400:]
            if not said and self._err in self._selector.get_map():
                # A closed stream would be ready for reading for ever.
                self._selector.unregister(self._err)
        with contextlib.suppress(BlockingIOError):
            found = os.read(self._out, 65536)
            self._received += found
            self._over = not found

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(1.0)
        self._take()
        code = self._child.returncode
        how = "closed its output" if code is None else f"ended with exit status {code}"
        said = legible(self._said.decode("utf-8", "replace").strip())
        return f"{how}; it wrote: {said}" if said else how

    def end(self) -> None:
        """Ask the program to end and, after half a second, end all its children."""
        if self.dead:
            return
        self._send(b'{"do": "stop"}\n')
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(0.5)
        self.kill()

    def abort(self) -> None:
        """End the program by force; called from another thread."""
        # The group outlives its leader if there are children.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        # Children outside the group carry the mark, which only Linux lets us read.
        for place in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if self._mark in place.read_bytes():
                    os.kill(int(place.parent.name), signal.SIGKILL)

    def kill(self) -> None:
        """End the program and all its children, by force."""
        self.dead = True
        self.abort()
        self._child.kill()
        self._child.wait()
        self._selector.close()
        for pipe in self._pipes:
            if pipe is not None:
                pipe.close()
