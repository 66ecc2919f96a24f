"""The JSON protocol of harnesses and recordings, and a server for Python adapters.

``docs/conformance/harness.md`` specifies it: requests, answers, tensors as bit strings.
``python -m lookahead_ref.conformance.wire`` serves an adapter in a separate process, like
every program under test. It runs whole cases, because an exchange between processes takes
longer than a step.
"""

import base64
import contextlib
import json
import os
import pickle
import re
import sysconfig
import traceback
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from lookahead_ref.conformance.judging import ModelAnswer, Observation, Trajectory
from lookahead_ref.conformance.protocol import (
    Adapter,
    Array,
    Setup,
    TargetError,
    Tensors,
    UnsupportedError,
    named_alike,
    resume,
    walk,
)
from lookahead_ref.conformance.vectors import Case, Float64Array, ModelCase, decode

PROTOCOL = 1
"""The version of the protocol."""

Ask = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Sends a request to a program and returns its answer."""

_BITS = re.compile(r"[0-9a-fA-F]{16}\Z")
_SHOWN = 80
_LEGIBLE = 1000


def encode(values: Any) -> list[str]:
    """Write an array, in row-major order, as bit strings of binary64: 16 digits each."""
    text = np.ascontiguousarray(values, ">f8").tobytes().hex()
    return [text[i : i + 16] for i in range(0, len(text), 16)]


def parse(line: str | bytes) -> dict[str, Any]:
    """Read one JSON object, or raise a TargetError."""
    found = None
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(line)
    if not isinstance(found, dict):
        raise TargetError(f"an answer must be a JSON object, got {shown(line)}")
    return found


def shown(value: Any) -> str:
    """Shorten a value for a message."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace").rstrip("\n")
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        return f"a {type(value).__name__} nested too deep"
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}... ({len(text)} long)"


def legible(value: Any) -> str:
    """Turn a program's text into text that is safe in every output."""
    text = str(value)[:_LEGIBLE].encode("utf-8", "replace").decode("utf-8")
    return printable(text)[:_LEGIBLE]


def stopped(how: str, answer: Mapping[str, Any]) -> TargetError:
    """Read an error, and where a program says that it arose."""
    said = legible(answer["error"]).removesuffix(": ")  # Python's, without a message
    frame = answer.get("frame")
    if not isinstance(frame, dict):
        return TargetError(f"{how} an error: {said}")
    located = {n: legible(frame.get(n, "")) for n in ("file", "line", "function", "code")}
    return TargetError(placed(f"{how} an error: {said}", located), located)


def placed(said: str, frame: Mapping[str, Any] | None) -> str:
    """Add to an error where it arose, if that is known."""
    if frame is None:
        return said
    place = f"{Path(frame['file']).name}:{frame['line']}, in {frame['function']}"
    return f"{said} ({place}: {frame['code']})"


def printable(text: str) -> str:
    """Escape control characters, which XML forbids and terminals obey."""
    return "".join(c if c.isprintable() or c in "\t\n" else ascii(c)[1:-1] for c in text)


def listed(what: str, value: Any, size: int, of: str, kind: type = object) -> list[Any]:
    """Check that a value is a list of the right size and type."""
    if not isinstance(value, list) or len(value) != size:
        raise TargetError(f"{what} must be a list of {size} {of}, got {shown(value)}")
    for each in value:
        if not isinstance(each, kind):
            raise TargetError(f"{what} must hold {of}, got {shown(each)}")
    return value


def elements(what: str, value: Any, size: int) -> list[str]:
    """Check that a value holds the bit strings of a tensor of the right size."""
    for each in listed(what, value, size, "bit strings"):
        if not isinstance(each, str) or not _BITS.match(each):
            raise TargetError(
                f"{what} must hold bit strings of 16 hexadecimal digits, got {shown(each)}"
            )
    return list(value)


def tensors(
    what: str, value: Any, like: Sequence[Mapping[str, Any]]
) -> dict[str, Float64Array]:
    """Read tensors with the names and shapes of a case."""
    found = {}
    for each, bits in zip(like, listed(what, value, len(like), "tensors"), strict=True):
        name, shape = each["name"], each["shape"]
        values = elements(f"{what}: {name}", bits, prod(shape))
        found[name] = decode(values).reshape(shape)
    return found


class Wired:
    """An adapter whose methods send requests to a program."""

    def __init__(
        self, ask: Ask, case: Case, offers: Sequence[str] = ("outer", "workers")
    ) -> None:
        self._ask = ask
        self._case = case
        self.offers = offers

    def start(self, setup: Setup) -> None:
        """Send the case without gradients and expected values."""
        kept = ("id", "workers", "lookahead", "inner", "learning_rate", "params", "steps")
        case = {n: self._case.data[n] for n in kept if n in self._case.data}
        self._order({"do": "start", "dtype": setup.dtype, "case": case})

    def step(self, gradients: Mapping[str, Array | None]) -> None:
        """Send gradients in the order of the parameters; keep the answer."""
        given = [gradients[name] for name in self._case.names]
        sent = [None if each is None else encode(each) for each in given]
        answer = self._ask({"do": "step", "gradients": sent})
        self._fast = self._tensors("fast weights", answer.get("fast"))
        self._slow = self._read_slow(answer.get("slow"))
        self._slots = self._read_slots(answer.get("slots"))

    def fast(self) -> Tensors:
        return self._fast

    def slow(self) -> Sequence[Tensors]:
        return self._slow

    def slots(self) -> Mapping[str, Tensors]:
        return self._slots

    def evaluation(self) -> Tensors:
        """Ask for the weights to evaluate; the answer may change the fast weights."""
        answer = self._ask({"do": "evaluate"})
        weights = self._tensors("evaluated weights", answer.get("weights"))
        if "fast" in answer:
            self._fast = self._tensors("fast weights", answer["fast"])
        return weights

    def snapshot(self) -> None:
        """Have the program take a snapshot, which it keeps."""
        self._order({"do": "snapshot"})

    def dump(self, snapshot: None) -> bytes:  # noqa: ARG002
        state = self._ask({"do": "dump"}).get("state")
        if not isinstance(state, str):
            raise TargetError(f"state must be a string, got {shown(state)}")
        return state.encode("utf-8", "surrogatepass")

    def load(self, state: bytes) -> None:
        self._order({"do": "load", "state": state.decode("utf-8", "surrogatepass")})

    def _order(self, request: Mapping[str, Any]) -> None:
        answer = self._ask(request)
        if answer.get("ok") is not True:
            raise TargetError(
                f'{request["do"]} must be answered by {{"ok": true}}, got {shown(answer)}'
            )

    def _tensors(self, what: str, value: Any) -> dict[str, Array]:
        return tensors(what, value, self._case.data["params"])

    def _read_slow(self, value: Any) -> list[Tensors]:
        """Read an answer's slow weights: none, or those of each Lookahead."""
        levels = len(self._case.data["lookahead"])
        if value is None or value == []:
            return []
        found = listed("slow", value, levels, "lists of tensors, or empty")
        return [self._tensors("slow weights", each) for each in found]

    def _read_slots(self, value: Any) -> dict[str, Tensors]:
        """Read an answer's slots: objects with a name and tensors."""
        found: dict[str, Tensors] = {}
        if value is not None and not isinstance(value, list):
            raise TargetError(f"slots must be a list, got {shown(value)}")
        for each in value or []:
            if not isinstance(each, dict) or not isinstance(each.get("name"), str):
                raise TargetError(f"a slot must have a name and values, got {shown(each)}")
            found[each["name"]] = self._tensors(each["name"], each.get("values"))
        return found


# Golden models.


def ask_model(ask: Ask, case: ModelCase, dtype: str) -> ModelAnswer:
    """Ask a program for loss and gradients of a case, and check the answer."""
    data = case.data
    asked = {name: data[name] for name in ("id", "model", "params", "batch")}
    said = ask({"do": "model", "dtype": dtype, "case": asked})
    (loss,) = decode(elements("loss", [said.get("loss")], 1))
    # Only carried values may be left out.
    carried = data["batch"].get("carried", []) if "carried" in said else []
    return ModelAnswer(
        float(loss),
        tensors("gradients", said.get("gradients"), data["params"]),
        tensors("carried", said.get("carried", []), carried),
    )


# A Python adapter as a harness.

Message = dict[str, Any]


def plain(value: Any) -> Any:
    """Convert arrays and observations for JSON."""
    return value.tolist() if isinstance(value, np.ndarray) else vars(value)


def observation(said: Mapping[str, Any]) -> Observation:
    """Read the observation of a whole case."""
    weights = {int(step): np.array(each) for step, each in said["evaluations"].items()}
    return Observation(trajectory(said["steps"]), None, weights)


def trajectory(said: Mapping[str, Any]) -> Trajectory:
    return Trajectory(
        list(map(np.array, said["fast"])),
        [list(map(np.array, levels)) for levels in said["slow"]],
        [{name: np.array(x) for name, x in slots.items()} for slots in said["slots"]],
    )


class Server:
    """Answers requests from the adapter that `make` makes for each case."""

    def __init__(self, make: Callable[[], Adapter] | None = None) -> None:
        self._package = ""
        if make is not None:
            self._make = make

    def answer(self, request: Message) -> Message:
        method: Callable[[Message], Message] = getattr(self, f"do_{request['do']}")
        try:
            return method(request)
        except UnsupportedError as error:
            return {"unsupported": str(error)}
        except NotImplementedError as error:
            return {"unsupported": str(error) or "not implemented"}
        except TargetError as error:  # this package's own, and complete
            return {"error": str(error)}
        # Anything that the target raises is a finding.
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            return {"error": said, "frame": own_frame(error, self._package)}

    def do_hello(self, request: Message) -> Message:  # noqa: ARG002
        return {"version": PROTOCOL}

    def do_import(self, request: Message) -> Message:
        """Import the target and what its instances need."""
        # Not before hello is answered, as this takes longer.
        from lookahead_ref.conformance.adapters import adapter, package
        from lookahead_ref.stepping.backend import BackendUnavailableError

        self._package = package(request["target"])
        try:
            self._make = adapter(request["target"])
        except (ValueError, BackendUnavailableError) as error:
            return {"refused": str(error)}
        offers: list[str] = []
        with contextlib.suppress(Exception):  # the first case will report it
            offers += getattr(self._make(), "offers", ())
        return {"offers": offers}

    def do_run(self, request: Message) -> Message:
        """Run a case on a new adapter; also return the state at its save point."""
        case, dtype = Case(request["case"]), request["dtype"]
        seen, *saved = walk(case, dtype, self._make())
        if case.save_after is not None and not isinstance(saved[0], bytes):
            raise TypeError(f"dump must return bytes, got {type(saved[0]).__name__}")
        # Only this program reads what it has saved.
        packed = base64.b64encode(pickle.dumps(saved)).decode("ascii")
        return {"seen": seen, "saved": packed}

    def do_resume(self, request: Message) -> Message:
        """Restore a state in a new adapter, and run the rest of the case."""
        case, dtype = Case(request["case"]), request["dtype"]
        saved = pickle.loads(base64.b64decode(request["saved"]))
        return {"seen": resume(case, dtype, self._make(), *saved)}

    def do_model(self, request: Message) -> Message:
        """Compute loss and gradients of a golden model."""
        compute = getattr(self._make(), "model_loss_and_grads", None)
        if compute is None:
            raise UnsupportedError("it has no models")
        case, dtype = ModelCase(request["case"]), request["dtype"]
        params, batch = case.params(dtype), case.batch(dtype)
        loss, gradients, carried = compute(case.model, params, batch)

        def encoded(what: str, arrays: Any, like: Mapping[str, Array]) -> list[list[str]]:
            shapes = {name: array.shape for name, array in like.items()}
            found = named_alike(what, arrays, shapes)
            return [encode(np.asarray(each, np.float64)) for each in found]

        return {
            "loss": encode(loss)[0],
            "gradients": encoded("gradients", gradients, params),
            "carried": encoded("carried", carried, batch.get("carried", {})),
        }


def own_frame(error: Exception, package: str) -> dict[str, Any] | None:
    """Find where an error arose in the code under test, not in a framework."""
    if isinstance(error, SyntaxError):  # it carries its own location
        return None
    others = ("<", str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"))

    def is_installed(frame: traceback.FrameSummary) -> bool:
        return not {"site-packages", "dist-packages"}.isdisjoint(Path(frame.filename).parts)

    def own(frame: traceback.FrameSummary) -> int:
        if package and {package, f"{package}.py"} & {*Path(frame.filename).parts}:
            return 2
        return int(not is_installed(frame) and not frame.filename.startswith(others))

    frames = traceback.extract_tb(error.__traceback__)
    place = max(reversed(frames), key=own)  # the deepest of several
    if not own(place):  # what was called first is under test; what that called is not
        place = next(filter(is_installed, frames), place)
    found = {"file": place.filename, "line": place.lineno, "function": place.name}
    return {**found, "code": place.line or ""}


def main() -> None:
    """Serve an adapter on standard input and output."""
    # The adapter's output must not be taken for answers, and it must not read requests.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    server = Server()
    for line in requests:
        request = json.loads(line)
        if request["do"] == "stop":
            break
        answers.write(json.dumps(server.answer(request), default=plain) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
