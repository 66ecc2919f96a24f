"""A child process that answers lines with lines, and leaves nothing behind."""

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookahead_ref.conformance.protocol import TargetError, UnsupportedError
from lookahead_ref.conformance.wire import PROTOCOL, legible, parse, shown

_MARK = "LOOKAHEAD_REF_PROGRAM"
"""In the environment of a program, and of all that it starts."""

_POLL = 0.1
"""Seconds after which to look whether a program that says nothing still runs."""


class StartError(TargetError):
    """A program that cannot be started, or does not say hello."""


class DiedError(TargetError):
    """A program that ended, hung, or wrote what is no answer: it is of no more use."""


class HungError(DiedError):
    """A program that did not answer in time."""


@dataclass(frozen=True)
class Limits:
    """What a program may take."""

    startup: float = 10.0
    """Seconds to answer ``hello``."""
    step: float = 10.0
    """Seconds to answer any other request."""
    line: int = 2**20
    """Bytes of an answer."""
    run: float = 3600.0
    """Seconds for all requests together."""


class Process:
    """A running harness, which has answered ``hello`` in the version spoken here."""

    def __init__(
        self,
        command: Sequence[str],
        limits: Limits,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._limits = limits
        self.dead = False
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
                # A group of its own, so that its children can be ended with it.
                start_new_session=True,
            )
        except OSError as error:
            raise StartError(f"{command[0]} cannot be started: {error}") from error
        self._pipes = (self._child.stdin, self._child.stdout, self._child.stderr)
        self._in, self._out, self._err = (p.fileno() for p in self._pipes if p is not None)
        # Nothing here ever blocks: the program may not read, not write, or write for ever.
        for each in (self._in, self._out, self._err):
            os.set_blocking(each, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        self._selector.register(self._err, selectors.EVENT_READ)
        self._received = b""
        self._said = b""
        self._over = False
        self.name = legible(self._hello().get("name", ""))

    def _hello(self) -> dict[str, Any]:
        try:
            answer = self.ask({"do": "hello", "version": PROTOCOL}, self._limits.startup)
        except (TargetError, UnsupportedError) as error:
            self.end()
            raise StartError(f"hello: {error}") from error
        if "refused" in answer:
            self.end()
            raise ValueError(str(answer["refused"]))
        if answer.get("version") != PROTOCOL:
            self.end()
            raise StartError(
                f"hello: version must be {PROTOCOL}, got {shown(answer.get('version'))}"
            )
        return answer

    def ask(
        self, request: Mapping[str, Any], timeout: float | None = None
    ) -> dict[str, Any]:
        """Send a request and wait for its answer, for the time of a step if not given."""
        limit = self._limits.step if timeout is None else timeout
        try:
            answer = self._answer(request, limit)
        except DiedError:  # it is of no more use
            self.kill()
            raise
        if "unsupported" in answer:
            raise UnsupportedError(legible(answer["unsupported"]))
        if "error" in answer:
            raise TargetError(f"answered an error: {legible(answer['error'])}")
        return answer

    def _answer(self, request: Mapping[str, Any], limit: float) -> dict[str, Any]:
        self._take()
        if self._received:
            raise DiedError(f"wrote what nobody asked for: {shown(self._received)}")
        line = self._exchange(json.dumps(request).encode() + b"\n", limit)
        if line is None:
            raise HungError(f"did not answer {request['do']!r} within {limit:g} s")
        try:
            return parse(line)
        except TargetError as error:
            raise DiedError(str(error)) from error

    def _exchange(self, request: bytes, limit: float) -> bytes | None:
        """Send a request and receive a line; None where time is up."""
        deadline = time.monotonic() + limit
        left = self._send(request)
        if left:
            self._selector.register(self._in, selectors.EVENT_WRITE)
        try:
            while b"\n" not in self._received:
                if len(self._received) > self._limits.line:
                    raise DiedError(f"wrote a line of more than {self._limits.line} bytes")
                if self._over:
                    raise DiedError(self._how_it_ended())
                wait = deadline - time.monotonic()
                if wait <= 0:
                    return None
                events = self._selector.select(min(wait, _POLL))
                # What it started may hold its output open when it is gone itself.
                if not events and self._child.poll() is not None:
                    # It may have answered after the wait was over, and ended then.
                    before = len(self._received)
                    self._take()
                    if len(self._received) == before:
                        raise DiedError(self._how_it_ended())
                for key, _ in events:
                    if key.fd != self._in:
                        self._take()
                        continue
                    left = self._send(left)
                    if not left:
                        self._selector.unregister(self._in)
        finally:
            if left:
                self._selector.unregister(self._in)
        line, _, self._received = self._received.partition(b"\n")
        if len(line) > self._limits.line:
            raise DiedError(f"wrote a line of more than {self._limits.line} bytes")
        return line

    def _send(self, data: bytes) -> bytes:
        """Write what can be written; return the rest."""
        try:
            return data[os.write(self._in, data) :]
        except BlockingIOError:
            return data
        except BrokenPipeError:  # it has ended, which is noticed where it is read from
            return b""

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._err, 65536)
            self._said = (self._said + said)[-400:]
            if not said and self._err in self._selector.get_map():
                # A program may close it; it would be ready to be read for ever.
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

    def stop(self) -> None:
        """Ask the program to end, and do not wait for it."""
        if not self.dead and self._child.poll() is None:
            self._send(b'{"do": "stop"}\n')

    def end(self) -> None:
        """End the program and all that it started, and wait until it is gone."""
        if self.dead:
            return
        self.stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(0.5)
        self.kill()

    def abort(self) -> None:
        """End the program by force, from another thread than the one that asks it."""
        # The group outlives its leader where that has left children.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        # What has left the group has the mark; without Linux's files it cannot be found.
        for place in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if self._mark in place.read_bytes():
                    os.kill(int(place.parent.name), signal.SIGKILL)

    def kill(self) -> None:
        """End the program and all that it started, by force."""
        self.dead = True
        self.abort()
        self._child.kill()
        self._child.wait()
        self._selector.close()
        for pipe in self._pipes:
            if pipe is not None:
                pipe.close()
