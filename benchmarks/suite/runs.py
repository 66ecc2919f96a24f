"""Whole runs of training, beside loops in other frameworks: batches, clipping, updates.

All draw their batches from the same source, and what is timed goes from the end of the
first step to the end of the last: neither compilation nor evaluation. The folder that
``LOOKAHEAD_BENCHMARK_DATA`` names may hold ``ptb``, ``cifar10`` and ``mnist``; what is
missing is drawn at random.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lookahead_ref as la
from lookahead_ref.training import StepTaken, train

from . import settings
from .models import LEARNING_RATE, loss_of
from .turns import fastest, ratios
from .works import WORKS, MLPWork

CLIP = 0.25
MODELS = ["mlp"] if settings.QUICK else ["mlp", "lstm", "awd-lstm", "resnet18", "resnet32"]
BACKENDS = [] if settings.ON_DEVICE else ["numpy", "numba"]
TURNS = 2 if settings.QUICK else 5

Run = Callable[[], list[float]]
"""Trains, and returns when each step was done."""


def ours(work: Any, backend: str) -> Run:
    """Train with this library's loop."""
    data = work.run_data()
    how: Any = {"seed": 0, "epochs": 1, "batch_size": work.batch, "backend": backend}

    def run() -> list[float]:
        done = []

        def see(event: Any) -> None:
            if isinstance(event, StepTaken):
                done.append(time.perf_counter())

        job = work.model(backend), data, la.SGD(LEARNING_RATE)
        train(*job, **how, clip=CLIP, evaluate_train=False, callbacks=[see])
        return done

    return run


def pytorch(work: Any, update: str) -> Run:
    """Train with eager PyTorch, as its documentation would have one write it."""
    import torch

    data = work.run_data()
    module, forward = work.pytorch()
    optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE, **{update: True})

    def run() -> list[float]:
        done = []
        for batch in data.stream(work.batch, 0).epoch():
            optimizer.zero_grad()
            labels = torch.from_numpy(batch.labels).reshape(-1).long()
            loss = loss_of(forward(torch.from_numpy(batch.inputs)), labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), CLIP)
            optimizer.step()
            loss.item()
            done.append(time.perf_counter())
        return done

    return run


def jax(work: Any) -> Run:
    """Train with JAX, a step compiled as a whole that writes into its arguments."""
    import jax
    import jax.numpy as jnp

    data = work.run_data()
    params, carried, forward = work.jax()

    def loss(params: Any, carried: Any, x: Any, labels: Any) -> tuple[Any, Any]:
        logits, carried, penalty = forward(params, carried, x)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)
        return penalty - chosen.mean(), carried

    def step(params: Any, carried: Any, x: Any, labels: Any) -> tuple[Any, Any, Any]:
        gradient = jax.value_and_grad(loss, has_aux=True)
        (value, carried), grads = gradient(params, carried, x, labels)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(grads)))
        rate = LEARNING_RATE * jnp.minimum(1.0, CLIP / norm)
        return jax.tree.map(lambda p, g: p - rate * g, params, grads), carried, value

    compiled = jax.jit(step, donate_argnums=(0, 1))
    state = jax.tree.map(jnp.array, (params, carried))

    def run() -> list[float]:
        nonlocal state
        done = []
        for batch in data.stream(work.batch, 0).epoch():
            labels = batch.labels.reshape(-1)
            *state, value = compiled(*state, batch.inputs, labels)
            float(value)
            done.append(time.perf_counter())
        return done

    return run


def made(work: Any) -> dict[str, Run]:
    """Make the run of each side that is installed and has the model."""
    sides: dict[str, Callable[[], Run]] = {
        **{name: lambda name=name: ours(work, name) for name in BACKENDS},
        "fused": lambda: pytorch(work, "fused"),
        "foreach": lambda: pytorch(work, "foreach"),
        **({"jax": lambda: jax(work)} if hasattr(work, "jax") else {}),
    }
    found = {}
    for name, make in sides.items():
        try:
            found[name] = make()
        except ImportError:
            continue
    return found


def seconds(runs: dict[str, Run], turns: int) -> dict[str, list[float]]:
    """Let the runs take turns; return the seconds of a step, one number a turn."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, run in runs.items():
            time.sleep(0.05)  # as long as threads of PyTorch's look for work
            done = run()
            if turn:  # the first compiles
                found[name].append((done[-1] - done[0]) / (len(done) - 1))
    return found


class Beside:
    """A whole run's time, divided by that of PyTorch's faster update or of JAX."""

    params = (MODELS, BACKENDS, ["PyTorch", "JAX, jit"])
    param_names = ("model", "backend", "of the time of")
    unit = "ratio"
    timeout = 3600

    def setup_cache(self):
        return {name: seconds(made(WORKS[name]), TURNS) for name in MODELS if BACKENDS}

    setup_cache.timeout = 3600

    def setup(self, cache, model, backend, other):
        names = ("jax",) if other == "JAX, jit" else ("fused", "foreach")
        self.others = [cache[model][name] for name in names if name in cache[model]]
        if not self.others:
            raise NotImplementedError(f"{other} is not installed, or has no such model")

    def track_ratio(self, cache, model, backend, other):
        return ratios(cache[model][backend], fastest(self.others))


def resident(what: str) -> float:
    """Read the memory that this process holds, in MB: now, or at most."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(what)) / 1e3


def peak(model: str, side: str) -> float:
    """Measure in this new process how many MB a run adds to what a small run has loaded."""
    # Smaller than every model: of the same size, it would leave memory that is used again.
    small, work = MLPWork((784, 8, 10), steps=2), WORKS[model]
    make = {"PyTorch": pytorch, "ours": ours}[side]
    how = "foreach" if side == "PyTorch" else "numba"
    make(small, how)()
    Path("/proc/self/clear_refs").write_text("5")  # begin a new maximum
    before = resident("VmRSS")
    make(work, how)()
    return resident("VmHWM") - before


class Memory:
    """The memory that a run adds at most, with numba, divided by PyTorch's."""

    params = ([] if settings.QUICK or settings.ON_DEVICE else MODELS,)
    param_names = ("model",)
    unit = "ratio"
    timeout = 600

    def setup(self, model):
        if sys.platform != "linux":
            raise NotImplementedError("the peak is read from Linux's /proc")
        if find_spec("torch") is None:
            raise NotImplementedError("PyTorch is not installed")

    def track_ratio(self, model):
        ours, theirs = (measured_anew(model, side) for side in ("ours", "PyTorch"))
        return ours / theirs


def measured_anew(model: str, side: str) -> float:
    """Measure the peak in a new process."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from suite import runs; "
        "print(runs.peak(*sys.argv[2:]))"
    )
    order = [str(Path(__file__).parents[1]), model, side]
    done = subprocess.run(
        [sys.executable, "-c", program, *order], capture_output=True, text=True, check=True
    )
    return float(done.stdout)
