"""Serve an adapter on the wire, in a Python and NumPy that may be old.

``lookahead_ref`` itself wants new ones, and what is judged here does not run in these. The
protocol is in ``docs/conformance/harness.md``. An adapter has `start`, `step`, `fast` and
the like as those of the library, but that its `start` takes a `Case`.
"""

import base64
import json
import os
import sys
import traceback
from pathlib import Path

import numpy as np


class Unsupported(Exception):
    """What the case asks for is not offered."""


def read(bits, dtype="float64"):
    return np.array([int(b, 16) for b in bits], ">u8").view(">f8").astype(dtype)


def write(array):
    text = np.ascontiguousarray(array, ">f8").tobytes().hex()
    return [text[i : i + 16] for i in range(0, len(text), 16)]


class Case:
    """What a case asks for: one Lookahead, at a constant alpha, that maintains."""

    def __init__(self, data, dtype, rules, decays=("none",), dtypes=("float32", "float64")):
        inner, levels = data["inner"], data["lookahead"]
        alphas = levels[0].get("alpha", [])
        for what, fine in {
            dtype: dtype in dtypes,
            "a Lookahead around another": len(levels) == 1,
            "an outer optimizer, or an alpha that changes": len(alphas) == 1,
            "rule " + inner["rule"]: inner["rule"] in rules,
            "weight decay": inner["weight_decay_kind"] in decays,
            "inner_state": levels[0]["inner_state"] == "maintain",
        }.items():
            if not fine:
                raise Unsupported(what)
        self.dtype, self.k, self.alpha = dtype, levels[0]["k"], float(read(alphas)[0])
        self.rule, self.rates = inner["rule"], read(data["learning_rate"])
        self.h = {h["name"]: float(read([h["value"]])[0]) for h in inner["hyperparameters"]}
        self.params = {
            each["name"]: read(each["values"], dtype).reshape(each["shape"])
            for each in data["params"]
        }

    def rate(self, step):
        return float(self.rates[min(step, len(self.rates) - 1)])


def serve(name, make):
    """Answer requests from the adapter that `make` makes of a case and a precision."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints is no answer
    running = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "stop":
            break
        try:
            answer = answered(name, make, request, running)
        except Unsupported as error:
            answer = {"unsupported": str(error)}
        except Exception as error:  # a finding about the program
            said = "%s: %s" % (type(error).__name__, error)
            answer = {"error": said, "frame": own_frame(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def own_frame(error):
    """Find where an error arose in the code under test: the deepest such place."""
    frames = traceback.extract_tb(error.__traceback__)
    others = (str(Path(__file__).resolve().parent), sys.prefix, sys.base_prefix)
    own = [f for f in frames if not str(Path(f.filename).resolve()).startswith(others)]
    place = (own or frames)[-1]
    found = {"file": place.filename, "line": place.lineno, "function": place.name}
    return dict(found, code=place.line or "")


def answered(name, make, request, running):
    do, adapter = request["do"], running.get("adapter")
    if do == "hello":
        return {"version": 1, "name": name, "offers": []}
    if do == "start":
        running["params"] = request["case"]["params"]
        running["adapter"] = make(request["case"], request["dtype"])
        return {"ok": True}
    if do == "step":
        return stepped(adapter, running["params"], request["gradients"])
    if not hasattr(adapter, "snapshot") or do == "evaluate":
        raise Unsupported(do)
    if do == "snapshot":
        running["state"] = adapter.snapshot()
    if do == "dump":
        return {"state": base64.b64encode(adapter.dump(running["state"])).decode()}
    if do == "load":
        adapter.load(base64.b64decode(request["state"]))
    return {"ok": True}


def stepped(adapter, params, gradients):
    given = {
        each["name"]: g if g is None else read(g).reshape(each["shape"])
        for each, g in zip(params, gradients)
    }
    adapter.step(given)

    def tensors(found):
        return [write(found[name]) for name in given]

    slow = getattr(adapter, "slow", list)()
    slots = getattr(adapter, "slots", dict)()
    return {
        "fast": tensors(adapter.fast()),
        "slow": [tensors(each) for each in slow],
        "slots": [{"name": n, "values": tensors(each)} for n, each in slots.items()],
    }
