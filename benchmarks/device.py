"""Everything that is to be found out on a GPU: tests, then figures, on one page.

Run from the checkout, ``python benchmarks/device.py`` writes ``docs/gpu.md``. Where there
is no device it writes a page that says so and claims nothing.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from lookahead_ref.bench import suite
from lookahead_ref.bench.page import lines, tables
from lookahead_ref.bench.place import Place, find
from lookahead_ref.bench.results import Results, Turns
from lookahead_ref.bench.turns import Contestant
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.stepping.backend import BackendUnavailableError

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "gpu.md"

HIDDEN, VOCABULARY, STEPS, BATCH = 1500, 10_000, 35, 20

FAILED = "**Not measured:**"

# Of autograd.numpy; the tests see that it is these and no others.
MISSING = (
    "full",
    "gradient",
    "make_diagonal",
    "select",
    "einsum with lists of subscripts",
    "linalg",
    "fft",
)

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
what `lookahead-ref bench --backend cupy` does: updates of {count:,} float32 parameters, and
of those of a ResNet-50, against PyTorch's fused optimizers with public Lookaheads, where
PyTorch for CUDA is installed; what Lookahead adds, against the memory that it moves; the
bandwidth, against that of CUDA's copy; and the memory that is held. And last a language
model of two layers of {hidden:,} units against PyTorch without cuDNN.
"""

OPEN = """\
## What is not differentiated on a device

Of what autograd differentiates of NumPy arrays, in `autograd.numpy`, everything is
differentiated of CuPy arrays but this:

{missing}

Complex arrays are refused, `sort`, `partition`, `diagonal` and `linspace` have the
derivatives that autograd has itself and no more, and `autograd.scipy` calls SciPy, which
takes no CuPy arrays.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=PAGE)
    parser.add_argument("--count", type=int, help="parameters to update, for a trial")
    options = parser.parse_args(arguments)
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    try:
        where = find("cupy")
    except BackendUnavailableError as error:
        print(f"no device: {error}", file=sys.stderr)
        options.output.write_text(none(date))
        return 0
    passed, tests = tested()
    parts = [HEAD.format(date=date), setting(where.backend), tests]
    plan = suite.DEVICE
    if options.count is not None:
        plan = replace(plan, large=str(options.count), largest=str(options.count))
    parts += sections(plan, where)
    try:
        parts.append(language_model(plan, where))
    except Exception as error:
        parts.append(failed("language_model", error))
    parts.append(missing())
    options.output.write_text("\n".join(parts))
    return 0 if passed and not any(part.startswith(FAILED) for part in parts) else 1


def none(date: str) -> str:
    """Return the page of a machine without a GPU."""
    count = int(float(suite.DEVICE.large))
    told = NONE.format(count=count, hidden=HIDDEN)
    return f"{HEAD.format(date=date)}{told}\n{missing()}"


def missing() -> str:
    """Say what has no derivative there."""
    names = [f"`{name}`" if name.isidentifier() else name for name in MISSING]
    return OPEN.format(missing="\n".join(f"- {name}" for name in names))


def setting(backend: Any) -> str:
    """Say what everything ran on."""
    lines = [("device", each) for each in backend.devices]
    for name in ("lookahead-ref", "cupy-cuda12x", "cupy-cuda13x", "numpy", "torch"):
        with suppress(metadata.PackageNotFoundError):
            lines.append((name, metadata.version(name)))
    import cupy

    lines.append(("CUDA driver", _version(cupy.cuda.runtime.driverGetVersion())))
    lines.append(("CUDA runtime", _version(cupy.cuda.runtime.runtimeGetVersion())))
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


def sections(plan: suite.Plan, where: Place) -> Iterator[str]:
    """Measure all that `lookahead-ref bench` measures on a device."""
    found = Results()
    for name in suite.sections(where):
        # What one section cannot do must not lose what the others found.
        try:
            each = suite.run(
                plan, (name,), lambda what: print(what, file=sys.stderr), where
            )
        except Exception as error:
            yield failed(name, error)
        else:
            found.timings += each.timings
            found.bars += each.bars
    yield from tables([asdict(found)])


def failed(name: str, error: Exception) -> str:
    """Say that there are no figures, and why."""
    return f"{FAILED} `{name}`: `{type(error).__name__}: {error}`\n"


def language_model(plan: suite.Plan, where: Place) -> str:
    """Measure forward and backward of a language model of two layers."""
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (STEPS + 1, BATCH))
    entries = {"this library": ours(where, tokens)}
    with suppress(ImportError):
        entries["PyTorch, eager, without cuDNN"] = theirs(tokens)
    results = Results()
    turns = Turns(results, "model", "", "", where.clock)
    contestants = {
        name: Contestant(name, step, "model", 0.0) for name, step in entries.items()
    }
    turns.run(contestants, plan.repeats, plan.turn)
    names = list(entries)
    for other in names[1:]:
        turns.bar(f"{names[0]} / {other}", names[0], other, 2.0)
    shown = [
        (
            each.method,
            f"{1000 * each.seconds:.3f}",
            f"{1000 * each.low:.3f} to {1000 * each.high:.3f}",
        )
        for each in results.timings
    ]
    return "\n".join(
        [
            f"## A language model: two layers of {HIDDEN:,} units\n",
            (
                f"Forward and backward of {STEPS} steps, batch {BATCH}, {VOCABULARY:,} "
                "tokens, float32, in turns.\n"
            ),
            table(("", "ms", "quartiles"), shown),
            *[f"{line}\n" for line in lines([asdict(bar) for bar in results.bars])],
        ]
    )


def ours(where: Place, tokens: Any) -> Callable[[], object]:
    """Make forward and backward of this library."""
    from lookahead_ref import trees
    from lookahead_ref.zoo.lstm import LSTM

    move = where.backend.from_host
    model = LSTM(VOCABULARY, hidden=HIDDEN, layers=2, backend=where.backend.name)
    params = trees.map(move, model.init(0))
    tokens = tokens.astype(np.int32)
    batch = SimpleNamespace(inputs=move(tokens[:-1]), labels=move(tokens[1:]), first=False)
    run = value_and_grad(model.loss, has_aux=True)
    carried = model.start(BATCH)
    return lambda: run(params, batch, carried)


def theirs(tokens: Any, device: str = "cuda") -> Callable[[], object]:
    """Make forward and backward of PyTorch, with what it runs without cuDNN."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ImportError("this PyTorch has no CUDA, or finds no device")
    embedding = torch.nn.Embedding(VOCABULARY, HIDDEN).to(device)
    layers = torch.nn.LSTM(HIDDEN, HIDDEN, 2).to(device)
    output = torch.nn.Linear(HIDDEN, VOCABULARY).to(device)
    inputs, labels = [
        torch.from_numpy(part.astype(np.int64)).to(device)
        for part in (tokens[:-1], tokens[1:])
    ]

    def run() -> None:
        for each in (embedding, layers, output):
            each.zero_grad(set_to_none=True)
        with torch.backends.cudnn.flags(enabled=False):
            logits = output(layers(embedding(inputs))[0])
            loss = torch.nn.functional.cross_entropy(
                logits.reshape(-1, VOCABULARY), labels.reshape(-1)
            )
            loss.backward()

    return run


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
