"""A harness over the wire, with faults on demand: ``harness.py [FAULT [CASE]]``.

It serves the library's pure path step by step, as a program in another language would.
"""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from lookahead_ref.conformance import wire
from lookahead_ref.conformance.adapters.library import Pure
from lookahead_ref.conformance.protocol import setup
from lookahead_ref.conformance.vectors import Case, decode

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
AT = sys.argv[2] if len(sys.argv) > 2 else "smoke-wrapper"


def tensors(found):
    return [wire.encode(each) for each in found.values()]


def spoil(case, answer):
    """Return the line of an answer, with the fault in it where this is the case for it."""
    if case.id != AT or FAULT in ("", "silent", "old", "mute"):
        return json.dumps(answer)
    if FAULT == "dies":
        sys.stderr.write("out of cheese\n")
        sys.exit(7)
    if FAULT == "hangs":
        if "HANGS" in os.environ:
            Path(os.environ["HANGS"]).write_text("now")
        time.sleep(60)
    if FAULT == "child":  # leaves a child behind that holds its output open
        subprocess.Popen(["sleep", "60"])
        sys.exit(0)
    if FAULT == "garbage":
        return "phi = 3"
    if FAULT == "list":
        return "[1, 2]"
    if FAULT == "megabytes":
        return "x" * 3_000_000
    if FAULT == "endless":
        while True:
            sys.stdout.write("x" * 65536)
    if FAULT == "twice":
        return json.dumps(answer) + "\n" + json.dumps(answer)
    if FAULT == "long-number":
        answer["fast"][0][0] += "00"
    if FAULT == "decimal":
        answer["fast"][0][0] = 0.5
    if FAULT == "nan":
        answer["fast"][0][0] = "7ff8000000000000"
    if FAULT == "shape":
        answer["fast"][0].append("0000000000000000")
    if FAULT == "missing":
        del answer["fast"]
    if FAULT == "error":
        return json.dumps({"error": "no such optimizer"})
    if FAULT == "surrogate":
        return json.dumps({"error": "\ud800 \x1b[31m " + "long" * 1000})
    if FAULT == "slot":
        answer["slots"] = [{"name": "momentum", "values": answer["fast"]}]
    if FAULT == "unsupported":
        return json.dumps({"unsupported": "steps"})
    if FAULT == "bytes":
        sys.stdout.buffer.write(b"\xff\xfe{}\n")
        sys.stdout.buffer.flush()
        return ""
    return json.dumps(answer)


def main():
    if FAULT == "silent":
        time.sleep(60)
    case = adapter = kept = None
    dtype = "float32"
    for line in sys.stdin:
        request = json.loads(line)
        do = request["do"]
        if do == "stop":
            if FAULT != "mute":
                return
            time.sleep(60)
        answer = {"ok": True}
        if do == "hello":
            answer = {"version": 99 if FAULT == "old" else 1, "name": "a test's"}
            if FAULT == "no-stderr":
                os.close(2)
        elif do == "start":
            case, dtype = Case(request["case"]), request["dtype"]
            adapter = Pure()
            adapter.start(setup(case, dtype))
        elif do == "step":
            gradients = {
                name: values and decode(values).astype(dtype).reshape(shape)
                for name, values, shape in zip(
                    case.names, request["gradients"], case.shapes, strict=True
                )
            }
            adapter.step(gradients)
            answer = {
                "fast": tensors(adapter.fast()),
                "slow": [tensors(each) for each in adapter.slow()],
                "slots": [
                    {"name": name, "values": tensors(each)}
                    for name, each in adapter.slots().items()
                ],
            }
        elif do == "evaluate":
            answer = {"weights": tensors(adapter.evaluation())}
        elif do == "snapshot":
            kept = adapter.snapshot()
        elif do == "dump":
            answer = {"state": base64.b64encode(adapter.dump(kept)).decode()}
        elif do == "load":
            adapter.load(base64.b64decode(request["state"]))
        if FAULT == "not-ok" and do == "start" and case.id == AT:
            answer = {"ok": False}
        if FAULT == "stuck" and do == "start":
            time.sleep(60)
        line = spoil(case, answer) if do == "step" else json.dumps(answer)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
