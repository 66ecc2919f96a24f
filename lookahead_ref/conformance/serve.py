"""A Python adapter as a harness: ``python -m lookahead_ref.conformance.serve TARGET``.

It runs in a process of its own, as every program under test does, and takes whole cases:
an exchange between processes at each step would take longer than the steps.
"""

import base64
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lookahead_ref.conformance import wire
from lookahead_ref.conformance.protocol import (
    Adapter,
    TargetError,
    UnsupportedError,
    method,
    resume,
    walk,
)
from lookahead_ref.conformance.vectors import Case

Message = dict[str, Any]


class Server:
    """Answers requests from the adapter that `make` makes for each case."""

    def __init__(self, make: Callable[[], Adapter]) -> None:
        self._make = make

    def answer(self, request: Message) -> Message:
        method: Callable[[Message], Message] = getattr(self, f"do_{request['do']}")
        try:
            return method(request)
        except UnsupportedError as error:
            return {"unsupported": str(error)}
        except NotImplementedError as error:
            return {"unsupported": str(error) or "not implemented"}
        except TargetError as error:  # it says all, and comes of this package
            return {"error": str(error)}
        # Whatever a program under test raises is a finding about it.
        except Exception as error:
            return {"error": _line(error)}

    def do_hello(self, request: Message) -> Message:  # noqa: ARG002
        return {"version": wire.PROTOCOL}

    def do_run(self, request: Message) -> Message:
        """Take a case through a new adapter, and write the state of its save point."""
        case, dtype = Case(request["case"]), request["dtype"]
        adapter = self._make()
        seen, snapshot, fast = walk(case, dtype, adapter)
        answer: Message = {"seen": wire.pack(seen)}
        if case.save_after is not None:
            state = method(adapter, "dump")(snapshot)
            if not isinstance(state, bytes):
                raise TypeError(f"dump must return bytes, got {type(state).__name__}")
            answer["state"] = base64.b64encode(state).decode("ascii")
            answer["fast"] = [wire.encode(each) for each in fast]
        return answer

    def do_resume(self, request: Message) -> Message:
        """Restore a state in a new adapter, and go on to the end of the case."""
        case, dtype = Case(request["case"]), request["dtype"]
        fast = case.arrays(request["fast"], dtype)
        state = base64.b64decode(request["state"])
        return {"seen": wire.pack(resume(case, dtype, self._make(), state, fast))}

    def do_model(self, request: Message) -> Message:
        """Compute loss and gradients of a golden model."""
        from lookahead_ref.conformance.models import answer

        return answer(self._make, request)


def _line(error: Exception) -> str:
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):  # it says where
        return said
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{said} ({Path(place.filename).name}:{place.lineno})"


def main(target: str) -> None:
    """Serve an adapter on standard input and output."""
    from lookahead_ref.conformance.running import adapter
    from lookahead_ref.stepping.backend import BackendUnavailableError

    # What the adapter prints must not pass for answers, nor what it reads be requests.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def say(answer: Message) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        server = Server(adapter(target))
    except (ValueError, BackendUnavailableError) as error:
        requests.readline()  # what comes before it was asked for is a fault
        say({"refused": str(error)})
        return
    except Exception as error:  # of the file itself, as it is imported
        requests.readline()
        say({"error": _line(error)})
        return
    for line in requests:
        request = json.loads(line)
        if request["do"] == "stop":
            break
        say(server.answer(request))


if __name__ == "__main__":
    main(sys.argv[1])
