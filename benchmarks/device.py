"""Everything that is to be found out on a GPU: tests, then figures, on one page.

Run from the checkout, ``python benchmarks/device.py`` writes ``docs/gpu.md``. Where there
is no device it writes a page that says so and claims nothing.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import lookahead_ref as la
from lookahead_ref.backend import BackendUnavailableError, Program, load
from lookahead_ref.gradients import value_and_grad

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "gpu.md"

COUNT = 100_000_000
K, ALPHA = 5, 0.5
CYCLES, REPEATS = 4, 7

INNER: dict[str, Callable[[], Any]] = {
    "SGD": lambda: la.SGD(1e-3),
    "heavy ball": lambda: la.HeavyBall(1e-3, momentum=0.9),
    "Nesterov": lambda: la.Nesterov(1e-3, momentum=0.9),
    "Adam": lambda: la.Adam(1e-3),
}

HEAD = """\
# On a GPU

Written by `python benchmarks/device.py` on {date}; nothing here was typed by hand.

"""

NONE = """\
**No GPU could be had.** The machine that this page was written on has none, so nothing
below was run on one, and nothing is claimed of a GPU: neither that results are right
there, nor how fast anything is.

What is known without one, because tests on every machine show it:

- NVRTC compiles the kernel of every optimizer, plain and under Lookahead, in float32 and
  float64. Their PTX flushes no subnormal numbers, holds no fused multiply-add, and rounds
  every sum, product, quotient and root to the nearest number, as the processor does.
- The same source, compiled for the processor, updates arrays of all lengths and alignments
  with the bits of the pure interface, and passes the golden suite.
- Every model trains on a strict stand-in for CuPy's arrays, which refuses what CuPy
  refuses, without an array moved between host and device in a step. (Dropout is another
  matter: its masks are drawn on the host.)
- Every name of CuPy's that is used exists in the CuPy that is installed.

What only a GPU can show is one command there, which writes this page anew:

```sh
pip install -e ".[test,cuda12]"  # newer drivers run what is for CUDA 12 too
python benchmarks/device.py
```

It runs the tests that need a device (`pytest -m gpu`: bits of every optimizer against the
processor's, the golden suite, derivatives, models, memory, transfers). Then it measures
updates of {count:,} float32 parameters against a copy from device to device and, where
PyTorch for CUDA is installed, against its fused optimizers with a public Lookahead; the
step over the parameters of a ResNet-50; and a language model of two layers of 1,500 units
against PyTorch without cuDNN.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=PAGE)
    parser.add_argument("--count", type=int, default=COUNT, help="parameters to update")
    options = parser.parse_args(arguments)
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    try:
        backend: Any = load("cupy")
    except BackendUnavailableError as error:
        print(f"no device: {error}", file=sys.stderr)
        options.output.write_text(none(date))
        return 0
    passed, tests = tested()
    parts = [HEAD.format(date=date), setting(backend), tests]
    for section in (updates, many_arrays, language_model):
        # What one section cannot do must not lose what the others found.
        try:
            parts.append(section(backend, options.count))
        except Exception as error:
            parts.append(
                f"`{section.__name__}` failed: `{type(error).__name__}: {error}`\n"
            )
            passed = False
        _free()
    options.output.write_text("\n".join(parts))
    return 0 if passed else 1


def none(date: str) -> str:
    """Return the page of a machine without a GPU."""
    return HEAD.format(date=date) + NONE.format(count=COUNT)


def setting(backend: Any) -> str:
    """Say what everything ran on."""
    lines = [("device", each) for each in backend.devices]
    for name in ("lookahead-ref", "cupy-cuda12x", "cupy-cuda13x", "numpy", "torch"):
        with suppress(metadata.PackageNotFoundError):
            lines.append((name, metadata.version(name)))
    import cupy

    runtime = cupy.cuda.runtime
    lines.append(("CUDA driver", _version(runtime.driverGetVersion())))
    lines.append(("CUDA runtime", _version(runtime.runtimeGetVersion())))
    lines.append(("NVRTC", ".".join(map(str, cupy.cuda.nvrtc.getVersion()))))
    return table(("", ""), lines)


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def tested() -> tuple[bool, str]:
    """Run the tests that need a device."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-n", "0", "tests/gpu"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout[-8000:], done.stderr[-4000:], file=sys.stderr)
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    told = "\n".join([*failed, lines[-1] if lines else "pytest said nothing"])
    return done.returncode == 0, f"## Tests\n\n`pytest -m gpu`:\n\n```\n{told}\n```\n"


class Traffic:
    """How many bytes the kernels of a backend read and write from now on."""

    def __init__(self, backend: Any) -> None:
        self.bytes = 0
        self._bind = backend.bind
        backend.bind = self._counted

    def _counted(self, program: Program, dtype: str, leaves: Any) -> Callable[..., None]:
        run = self._bind(program, dtype, leaves)
        read = {operand for line in program.instructions for operand in line.operands}
        read |= {register for _, register in program.writes}
        buffers = sum(each < program.buffers for each in read) + len(program.writes)
        moved = buffers * sum(leaf[0].nbytes for leaf in leaves)

        def counted(gradients: Any, scalars: Any) -> None:
            self.bytes += moved
            run(gradients, scalars)

        return counted


def updates(backend: Any, count: int) -> str:
    """Measure updates of one large array, in turns with a copy of it."""
    import cupy

    gradient = cupy.linspace(-1, 1, count, dtype=cupy.float32)
    target = cupy.empty_like(gradient)
    copies: list[float] = []
    ours: dict[str, tuple[float, float]] = {}
    theirs = _torch_updates(count)
    rows = []
    for name, make in INNER.items():
        for kind, optimizer in (("plain", make()), ("Lookahead", _lookahead(make()))):
            counted_backend: Any = load("cupy")
            traffic = Traffic(counted_backend)
            stepper = la.Stepper(
                optimizer,
                {"x": cupy.linspace(-1, 1, count, dtype=cupy.float32)},
                backend=counted_backend,
            )

            def cycles(stepper: la.Stepper = stepper, count: int = CYCLES) -> None:
                for _ in range(count * K):
                    stepper.step({"x": gradient})

            cycles(count=2)
            traffic.bytes = 0
            cycles(count=1)
            moved = traffic.bytes / K
            times = []
            for _ in range(REPEATS):
                times.append(backend.seconds(cycles) / (CYCLES * K))
                copies.append(backend.seconds(lambda: cupy.copyto(target, gradient)))
            ours[f"{name}, {kind}"] = (statistics.median(times), moved)
            rows.append((name, kind, times, moved))
            del stepper, cycles
            _free()
    copy = 2 * gradient.nbytes / statistics.median(copies)
    shown = []
    for name, kind, times, moved in rows:
        middle = statistics.median(times)
        other = theirs.get((name, kind))
        shown.append(
            (
                name,
                kind,
                _milliseconds(times),
                f"{moved / 1e9:.2f}",
                f"{moved / middle / copy:.2f}",
                "" if other is None else f"{other * 1000:.3f}",
                "" if other is None else f"{middle / other:.2f}",
            )
        )
    costs = []
    for name in INNER:
        (plain, plain_bytes), (with_it, its_bytes) = (
            ours[f"{name}, plain"],
            ours[f"{name}, Lookahead"],
        )
        costs.append((name, f"{with_it / plain:.3f}", f"{its_bytes / plain_bytes:.3f}"))
    return "\n".join(
        [
            f"## Updates of {count:,} float32 parameters\n",
            (
                f"Times by the device's events, in turns with a copy: medians of {REPEATS} "
                f"runs of {CYCLES} cycles of {K} steps, and the smallest and largest. A "
                f"copy from device to device moves {copy / 1e9:,.0f} GB/s, reading and "
                "writing.\n"
            ),
            table(
                (
                    "optimizer",
                    "",
                    "ms a step",
                    "GB a step",
                    "of the copy's bandwidth",
                    "PyTorch fused, ms",
                    "ours / PyTorch",
                ),
                shown,
            ),
            "What Lookahead costs, as measured and by memory traffic:\n",
            table(("optimizer", "time with / without", "traffic with / without"), costs),
            "" if theirs else "PyTorch for CUDA was not installed.\n",
        ]
    )


def _lookahead(inner: Any) -> Any:
    return la.Lookahead(inner, k=K, alpha=ALPHA)


def _torch_updates(count: int) -> dict[tuple[str, str], float]:
    """Measure PyTorch's fused optimizers, and a public Lookahead around them."""
    try:
        import torch
    except ImportError:
        return {}
    if not torch.cuda.is_available():
        return {}
    made: dict[str, Callable[[Any], Any]] = {
        "SGD": lambda p: torch.optim.SGD(p, 1e-3, fused=True),
        "heavy ball": lambda p: torch.optim.SGD(p, 1e-3, momentum=0.9, fused=True),
        "Nesterov": lambda p: torch.optim.SGD(
            p, 1e-3, momentum=0.9, nesterov=True, fused=True
        ),
        "Adam": lambda p: torch.optim.Adam(p, 1e-3, fused=True),
    }
    try:
        from pytorch_optimizer import Lookahead
    except ImportError:
        Lookahead = None  # noqa: N806
    found = {}
    for name, make in made.items():
        for kind in ("plain", "Lookahead"):
            if kind == "Lookahead" and Lookahead is None:
                continue
            parameter = torch.nn.Parameter(torch.linspace(-1, 1, count, device="cuda"))
            parameter.grad = torch.linspace(-1, 1, count, device="cuda")
            optimizer = make([parameter])
            if kind == "Lookahead":
                optimizer = Lookahead(optimizer, k=K, alpha=ALPHA)
            times = []
            for turn in range(REPEATS + 1):
                start, stop = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
                start.record()
                for _ in range(CYCLES * K):
                    optimizer.step()
                stop.record()
                stop.synchronize()
                if turn:
                    times.append(start.elapsed_time(stop) / 1000 / (CYCLES * K))
            found[name, kind] = statistics.median(times)
            del optimizer, parameter
            torch.cuda.empty_cache()
    return found


def many_arrays(backend: Any, count: int) -> str:
    """Measure a step over the parameters of a ResNet-50."""
    import cupy

    from lookahead_ref import tree
    from lookahead_ref.zoo import resnet50

    params = tree.map(cupy.asarray, resnet50((3, 224, 224), 1000).init(0))
    leaves = tree.flatten(params)
    rows = []
    for name, make in INNER.items():
        stepper = la.Stepper(_lookahead(make()), params, backend=backend)

        def cycles(stepper: la.Stepper = stepper) -> None:
            for _ in range(CYCLES * K):
                stepper.step(params)

        cycles()
        times = [backend.seconds(cycles) / (CYCLES * K) for _ in range(REPEATS)]
        rows.append((name, _milliseconds(times)))
    total = sum(leaf.size for leaf in leaves.values())
    return "\n".join(
        [
            f"## Many arrays: a ResNet-50, {len(leaves)} with {total:,} parameters\n",
            table(("Lookahead around", "ms a step"), rows),
        ]
    )


HIDDEN, VOCABULARY, STEPS, BATCH = 1500, 10_000, 35, 20


def language_model(backend: Any, count: int) -> str:
    """Measure forward and backward of a language model of two layers."""
    import cupy

    from lookahead_ref import tree
    from lookahead_ref.zoo.lstm import LSTM

    model = LSTM(VOCABULARY, hidden=HIDDEN, layers=2, backend="cupy")
    params = tree.map(cupy.asarray, model.init(0))
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, VOCABULARY, (STEPS + 1, BATCH)).astype(np.int32)
    batch = SimpleNamespace(
        inputs=cupy.asarray(tokens[:-1]), labels=cupy.asarray(tokens[1:]), first=False
    )
    carried = model.start(BATCH)
    run = value_and_grad(model.loss, has_aux=True)
    for _ in range(3):
        run(params, batch, carried)
    times = [backend.seconds(lambda: run(params, batch, carried)) for _ in range(15)]
    other = _torch_language_model(tokens)
    rows = [("this library", _milliseconds(times), "")]
    if other:
        ratio = statistics.median(times) / statistics.median(other)
        rows.append(("PyTorch, eager, without cuDNN", _milliseconds(other), f"{ratio:.2f}"))
    return "\n".join(
        [
            f"## A language model: two layers of {HIDDEN:,} units\n",
            (
                f"Forward and backward of {STEPS} steps, batch {BATCH}, {VOCABULARY:,} "
                "tokens, float32.\n"
            ),
            table(("", "ms", "ours / theirs"), rows),
        ]
    )


def _torch_language_model(tokens: Any) -> list[float]:
    try:
        import torch
    except ImportError:
        return []
    if not torch.cuda.is_available():
        return []
    torch.backends.cudnn.enabled = False
    table_ = torch.nn.Embedding(VOCABULARY, HIDDEN).cuda()
    layers = torch.nn.LSTM(HIDDEN, HIDDEN, 2).cuda()
    output = torch.nn.Linear(HIDDEN, VOCABULARY).cuda()
    inputs, labels = [
        torch.from_numpy(part.astype(np.int64)).cuda() for part in (tokens[:-1], tokens[1:])
    ]

    def run() -> None:
        for each in (table_, layers, output):
            each.zero_grad(set_to_none=True)
        logits = output(layers(table_(inputs))[0])
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, VOCABULARY), labels.reshape(-1)
        )
        loss.backward()

    times = []
    for turn in range(18):
        start, stop = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        start.record()
        run()
        stop.record()
        stop.synchronize()
        if turn >= 3:
            times.append(start.elapsed_time(stop) / 1000)
    return times


def _milliseconds(times: Sequence[float]) -> str:
    low, middle, high = [
        1000 * each for each in (min(times), statistics.median(times), max(times))
    ]
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _free() -> None:
    import gc

    import cupy

    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()


if __name__ == "__main__":
    sys.exit(main())
