"""A Python adapter as a harness: ``python -m lookahead_ref.conformance.serve TARGET``.

It speaks the protocol of ``docs/conformance/harness.md``, so that the runner takes every
program in the same way, in processes of their own.
"""

import base64
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lookahead_ref.conformance.protocol import (
    Adapter,
    UnsupportedError,
    checked,
    setup,
)
from lookahead_ref.conformance.vectors import Case, decode
from lookahead_ref.conformance.wire import PROTOCOL, encode

Message = dict[str, Any]


class Server:
    """Answers requests from an adapter.

    Parameters
    ----------
    make : callable
        Makes the adapter; called for each case.
    """

    def __init__(self, make: Callable[[], Adapter]) -> None:
        self._make = make

    def answer(self, request: Message) -> Message:
        """Answer one request."""
        method: Callable[[Message], Message] = getattr(self, f"do_{request['do']}")
        try:
            return method(request)
        except UnsupportedError as error:
            return {"unsupported": str(error)}
        # Whatever a program under test raises is a finding about it.
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            return {
                "error": f"{type(error).__name__}: {error} "
                f"({Path(place.filename).name}:{place.lineno})"
            }

    def do_hello(self, request: Message) -> Message:  # noqa: ARG002
        """Say the version."""
        return {"version": PROTOCOL}

    def do_start(self, request: Message) -> Message:
        """Make everything anew."""
        self._case = Case(request["case"])
        self._dtype = request["dtype"]
        self._adapter = self._make()
        self._adapter.start(setup(self._case, self._dtype))
        return {"ok": True}

    def do_step(self, request: Message) -> Message:
        """Do a step, and show what there is to see."""
        case, adapter = self._case, self._adapter
        adapter.step(
            {
                name: values and decode(values).astype(self._dtype).reshape(shape)
                for name, values, shape in zip(
                    case.names, request["gradients"], case.shapes, strict=True
                )
            }
        )
        return {
            "fast": self._written("fast weights", adapter.fast()),
            "slow": [self._written("slow weights", each) for each in adapter.slow()],
            "slots": [
                {"name": name, "values": self._written(name, each)}
                for name, each in adapter.slots().items()
            ],
        }

    def do_evaluate(self, request: Message) -> Message:  # noqa: ARG002
        """Show what would be evaluated."""
        weights = self._adapter.evaluation()
        return {
            "weights": self._written("evaluated weights", weights),
            "fast": self._written("fast weights", self._adapter.fast()),
        }

    def do_snapshot(self, request: Message) -> Message:  # noqa: ARG002
        """Take the state and keep it."""
        self._taken = self._adapter.snapshot()
        return {"ok": True}

    def do_dump(self, request: Message) -> Message:  # noqa: ARG002
        """Write the state that was taken."""
        state = self._adapter.dump(self._taken)
        if not isinstance(state, bytes):
            raise TypeError(f"dump must return bytes, got {type(state).__name__}")
        return {"state": base64.b64encode(state).decode("ascii")}

    def do_load(self, request: Message) -> Message:
        """Restore a state."""
        self._adapter.load(base64.b64decode(request["state"]))
        return {"ok": True}

    def _written(self, what: str, tensors: Any) -> list[list[str]]:
        return [encode(each) for each in checked(self._case, what, tensors)]


def main(target: str) -> None:
    """Serve an adapter on standard input and output.

    Parameters
    ----------
    target : str
        What `lookahead_ref.conformance.targets.adapter` takes.
    """
    from lookahead_ref.conformance.targets import adapter

    # What the adapter prints must not pass for answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    server = Server(adapter(target))
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "stop":
            break
        answers.write(json.dumps(server.answer(request)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
