"""Adapters for Julia: a program of this folder runs the cases, one process all of them.

Requests and answers are lines, with tabs between their fields. An array is written as
``Float32:2x3:...``, with the bits of a binary64 for each element in 16 digits, column by
column, as Julia keeps them. A step is answered by ``fast=`` and arrays, and the like.
"""

import pickle
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
from shared.sources import file_of

from lookahead_ref.conformance.protocol import TargetError, UnsupportedError

RULES = {"sgd": "Descent", "heavy-ball": "Momentum", "nesterov": "Nesterov", "adam": "ADAM"}
"""Flux's names. Its AdaGrad is another rule: the sum of squares starts at epsilon."""


class Julia:
    """An adapter; `made` writes the optimizer of a case as an expression of Julia."""

    def __init__(self, about, made):
        self._program = Path(__file__).parents[1] / (about["name"] + ".jl")
        self._folder, self._made = file_of(about).parent, made

    def start(self, setup):
        self._setup, self._steps = setup, 0
        self._ask("start", self._made(setup), *map(written, setup.params.values()))

    def step(self, gradients):
        """Do one step, at the learning rate that a scheduler would have set."""
        rate = np.array(self._setup.inner.learning_rate_at(self._steps))
        given = [rate, *(gradients[name] for name in self._setup.params)]
        answer = [field.split("=") for field in self._ask("step", *map(written, given))]
        self._shown = {name: list(map(read, arrays.split())) for name, arrays in answer}
        self._steps += 1

    def fast(self):
        return self._tensors("fast")

    def slow(self):
        return [self._tensors("slow")] if "slow" in self._shown else []

    def slots(self):
        return {n: self._tensors(n) for n in self._shown if n not in ("fast", "slow")}

    def snapshot(self):
        """Save at once, as `serialize` and `@save` do."""
        return self._steps, self._ask("save")

    def dump(self, snapshot):
        return pickle.dumps(snapshot)

    def load(self, state):
        self._steps, saved = pickle.loads(state)
        self._ask("load", *saved)

    def _tensors(self, name):
        return dict(zip(self._setup.params, self._shown[name]))

    def _ask(self, *fields):
        running = process(self._program, self._folder)
        running.stdin.write("\t".join(fields) + "\n")
        running.stdin.flush()
        said, *answer = running.stdout.readline().rstrip("\n").split("\t")
        if said != "ok":
            raise TargetError(" ".join(answer) or "julia has ended")
        return answer


def inner_optimizer(inner, number, chain, epsilon=()):
    """Write the inner optimizer, with weight decay in a chain; ADAMW is one, too."""
    h = {name: number(x) for name, x in inner.hyperparameters.items()}
    kind, given = inner.weight_decay_kind, [number(inner.learning_rate[0])]
    if inner.rule == "adam":
        given += [f"({h['beta1']}, {h['beta2']})", *(h[name] for name in epsilon)]
    elif inner.rule != "sgd":
        given.append(h["momentum"])
    rule = f"{RULES[inner.rule]}({', '.join(given)})"
    if kind == "none":
        return rule
    if kind == "decoupled" and inner.rule != "adam":
        raise UnsupportedError(f"decoupled weight decay of {inner.rule}")
    both = [f"WeightDecay({h['weight_decay']})", rule]
    return f"{chain}({', '.join(both if kind == 'l2' else reversed(both))})"


@cache
def process(program, folder):
    if shutil.which("julia") is None:
        raise FileNotFoundError("julia must be on the PATH, in any version from 1.5 on")
    command = ["julia", "--startup-file=no", *map(str, (program, folder.resolve()))]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8")


def written(array):
    if array is None:
        return "nothing"
    shape = "x".join(map(str, array.shape))
    bits = np.asarray(array, ">f8").tobytes(order="F").hex()
    return f"Float{8 * array.itemsize}:{shape}:{bits}"


def read(field):
    kind, shape, bits = field.split(":")
    flat = np.frombuffer(bytes.fromhex(bits), ">f8").astype(kind.lower())
    return flat.reshape([int(n) for n in shape.split("x") if n], order="F")
