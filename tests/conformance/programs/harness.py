"""The program that ``--init command`` writes, with faults on demand: `harness.py [FAULT]`.

It needs nothing but Python, and is fast to start. A fault is in the case smoke-wrapper.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
PLACE = Path(__file__).parents[3] / "lookahead_ref" / "conformance" / "templates"
now = {"do": "", "case": "", "steps": 0}


def edited(answer):
    """Return an answer to a step with something wrong in it, or a line that is none."""
    fast = answer["fast"]
    if FAULT == "long-number":
        fast[0][0] += "00"
    if FAULT == "decimal":
        fast[0][0] = 0.5
    if FAULT == "nan":
        fast[0][0] = "7ff8000000000000"
    if FAULT == "shape":
        fast[0].append("0000000000000000")
    if FAULT == "missing":
        del answer["fast"]
    if FAULT == "slot":
        answer["slots"] = [{"name": "momentum", "values": fast}]
    others = {
        "garbage": "phi = 3",
        "list": [1, 2],
        "megabytes": "x" * 3_000_000,
        "twice": json.dumps(answer) + "\n" + json.dumps(answer),
        "error": {"error": "no such optimizer"},
        "surrogate": {"error": "\ud800 \x1b[31m " + "long" * 1000},
        "unsupported": {"unsupported": "steps"},
    }
    return others.get(FAULT, answer)


def misbehave():
    """Do at a step what is no answer."""
    if FAULT == "dies":
        sys.stderr.write("out of cheese\n")
        sys.exit(7)
    if FAULT == "hangs" and now["steps"] == 2:  # a first answer may take long
        if "HANGS" in os.environ:
            Path(os.environ["HANGS"]).write_text("now")
        time.sleep(60)
    if FAULT in ("child", "session"):  # leaves one behind that holds its output open
        subprocess.Popen(["sleep", "60"], start_new_session=FAULT == "session")
        sys.exit(0)
    while FAULT == "endless":
        sys.stdout.write("x" * 65536)
    if FAULT == "bytes":
        sys.stdout.buffer.write(b"\xff\xfe{}\n")
        sys.stdout.buffer.flush()


def requests():
    for line in sys.__stdin__:
        request = json.loads(line)
        now["do"] = request["do"]
        if now["do"] == "start":
            now["case"] = request["case"]["id"]
            now["steps"] = 0
        now["steps"] += now["do"] == "step"
        waits = {"silent": "hello", "stuck": "step", "mute": "stop"}
        if waits.get(FAULT) == now["do"] and now["steps"] != 1:
            time.sleep(60)
        yield line


def say(text, flush):
    here = now["case"] == "smoke-wrapper"
    if now["do"] == "hello":
        version = 99 if FAULT == "old" else 1
        text = json.dumps({"version": version, "name": "a test's"})
        if FAULT == "offers":
            text = json.dumps({"version": 1, "offers": 7})
        if FAULT == "unoffered":
            text = json.dumps({"unsupported": "no"})
        if FAULT == "no-stderr":
            os.close(2)
    if now["do"] == "start" and here and FAULT == "not-ok":
        text = json.dumps({"ok": False})
    if now["do"] == "step" and here:
        misbehave()
        answer = edited(json.loads(text))
        text = answer if isinstance(answer, str) else json.dumps(answer)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


sys.stdin = requests()
exec((PLACE / "command.py.txt").read_text(), {"print": say})
