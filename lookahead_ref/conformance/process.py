"""A child process that answers lines with lines, within limits, and leaves nothing behind."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from lookahead_ref.conformance.protocol import TargetError, UnsupportedError
from lookahead_ref.conformance.wire import PROTOCOL, parse, shown

__all__ = ["DiedError", "Limits", "Process", "StartError"]


class StartError(TargetError):
    """A program that cannot be started, or does not say hello."""


class DiedError(TargetError):
    """A program that ended, hung, or wrote what is no answer: it is of no more use."""


@dataclass(frozen=True)
class Limits:
    """What a program may take.

    Parameters
    ----------
    startup, step : float, default: 10
        Seconds to answer ``hello``, and to answer any other request.
    line : int, default: 1 MiB
        Bytes of an answer.
    """

    startup: float = 10.0
    step: float = 10.0
    line: int = 2**20


class Process:
    """A running harness.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    limits : Limits
        What it may take.
    environment : dict, optional
        Its environment; that of this process if not given.

    Raises
    ------
    StartError
        If it cannot be started, or does not answer ``hello`` in the version spoken here.
    """

    def __init__(
        self,
        command: Sequence[str],
        limits: Limits,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._limits = limits
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=None if environment is None else dict(environment),
                # A group of its own, so that its children can be ended with it.
                start_new_session=True,
            )
        except OSError as error:
            raise StartError(f"{command[0]} cannot be started: {error}") from error
        # Small: a program that prints without end is made to wait.
        self._answers: queue.Queue[bytes] = queue.Queue(4)
        self._requests: queue.Queue[bytes | None] = queue.Queue()
        self._errors: deque[bytes] = deque(maxlen=16)
        self._threads = [
            threading.Thread(target=work, args=(pipe,), daemon=True)
            for work, pipe in (
                (self._read, self._child.stdout),
                (self._write, self._child.stdin),
                (self._read_errors, self._child.stderr),
            )
        ]
        for thread in self._threads:
            thread.start()
        self.name = self._hello()

    def _hello(self) -> str:
        try:
            answer = self.ask({"do": "hello", "version": PROTOCOL}, self._limits.startup)
        except TargetError as error:
            self.end()
            raise StartError(f"hello: {error}") from error
        if answer.get("version") != PROTOCOL:
            self.end()
            raise StartError(
                f"hello: version must be {PROTOCOL}, got {shown(answer.get('version'))}"
            )
        return str(answer.get("name", ""))

    def _read(self, pipe: IO[bytes]) -> None:
        while line := pipe.readline(self._limits.line + 1):
            self._answers.put(line)
            if len(line) > self._limits.line:
                return
        self._answers.put(b"")

    def _write(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):  # it has ended; `ask` notices
            while (line := self._requests.get()) is not None:
                pipe.write(line)
                pipe.flush()

    def _read_errors(self, pipe: IO[bytes]) -> None:
        while line := pipe.readline(1000):
            self._errors.append(line)

    def ask(self, request: Mapping[str, Any], timeout: float | None = None) -> Any:
        """Send a request and wait for its answer.

        Parameters
        ----------
        request : dict
            The request.
        timeout : float, optional
            Seconds; the limit of a step if not given.

        Returns
        -------
        dict
            The answer.

        Raises
        ------
        UnsupportedError
            If the answer says so.
        TargetError
            If the answer is an error.
        DiedError
            If none came, or what came is no answer.
        """
        limit = self._limits.step if timeout is None else timeout
        if not self._answers.empty():
            line = self._answers.get_nowait()
            if line:
                raise DiedError(f"wrote what nobody asked for: {shown(line)}")
            raise DiedError(self._how_it_ended())
        self._requests.put(json.dumps(request).encode() + b"\n")
        try:
            line = self._answers.get(timeout=limit)
        except queue.Empty:
            raise DiedError(
                f"did not answer {request['do']!r} within {limit:g} s"
            ) from None
        if not line:
            raise DiedError(self._how_it_ended())
        if len(line) > self._limits.line:
            raise DiedError(f"wrote a line of more than {self._limits.line} bytes")
        try:
            answer = parse(line)
        except TargetError as error:
            raise DiedError(str(error)) from error
        if "unsupported" in answer:
            raise UnsupportedError(str(answer["unsupported"]))
        if "error" in answer:
            raise TargetError(f"answered an error: {str(answer['error'])[:1000]}")
        return answer

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(1.0)
        self._threads[2].join(0.2)
        code = self._child.returncode
        how = "closed its output" if code is None else f"ended with exit status {code}"
        said = b"".join(self._errors).decode("utf-8", "replace").strip()[-400:]
        return f"{how}; it wrote: {said}" if said else how

    def end(self) -> None:
        """End the program and all that it started, and wait until it is gone."""
        if self._child.poll() is None:
            self._requests.put(b'{"do": "stop"}\n')
        self._requests.put(None)
        deadline = time.monotonic() + 0.5
        # It may not read at all: then it is ended by force.
        while self._child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        self.kill()

    def kill(self) -> None:
        """End the program and all that it started, by force."""
        # The group outlives its leader where that has left children.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.kill()
        self._child.wait()
        self._requests.put(None)
        while self._threads[0].is_alive():
            with contextlib.suppress(queue.Empty):
                self._answers.get(timeout=0.01)
        for thread, pipe in zip(
            self._threads,
            (self._child.stdout, self._child.stdin, self._child.stderr),
            strict=True,
        ):
            thread.join(1.0)
            if pipe is not None and not thread.is_alive():
                with contextlib.suppress(OSError):
                    pipe.close()
