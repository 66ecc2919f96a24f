"""Tests and measurements on a GPU, on one page.

Run from the checkout, ``python benchmarks/device.py`` writes ``docs/gpu.md``. Without a
device it writes a page that says so and claims nothing.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import measure
import page
from lookahead_ref.stepping import backend
from lookahead_ref.stepping.backend import BackendUnavailableError

PAGE = page.DOCS / "gpu.md"
NONE = Path(__file__).with_name("no-gpu.md")
BENCHMARKS = r"^step\.(Step|Peers|Cost|Bandwidth|Loops|Growth|Sizes)|^memory|^models"
"""Benchmarks on a device; the others need only the host."""

# Functions of autograd.numpy; the tests check that the list is complete.
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

OPEN = """\
## What is not differentiated on a device

Everything in `autograd.numpy` that autograd differentiates for NumPy arrays is also
differentiated for CuPy arrays, except

{missing}

Complex arrays are refused. `sort`, `partition`, `diagonal` and `linspace` have only the
derivatives that autograd itself has. `autograd.scipy` calls SciPy, which takes no CuPy
arrays.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=PAGE)
    parser.add_argument("--quick", action="store_true", help="in small, for a trial")
    options = parser.parse_args(arguments)
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    try:
        cupy = backend.load("cupy")
    except BackendUnavailableError as error:
        print(f"no device: {error}", file=sys.stderr)
        options.output.write_text(none(date))
        return 0
    passed, tests = tested()
    rows = page.read(measure.run(BENCHMARKS, backend="cupy", quick=options.quick))
    judged = [each for row in rows for each in page.judged(row)]
    parts = [HEAD.format(date=date), setting(cupy), tests, page.counted(judged)]
    parts += [f"## Targets that are missed\n\n{page.missed(judged)}"]
    parts += [*page.ratio_tables(judged), "## Times\n"]
    parts += [*page.time_tables(page.measured(rows)), missing()]
    options.output.write_text("\n".join(parts), "utf-8")
    return 0 if passed and page.measured(rows) == rows else 1


def none(date: str) -> str:
    """Return the page of a machine without a GPU."""
    return f"{HEAD.format(date=date)}{NONE.read_text('utf-8')}\n{missing()}"


def missing() -> str:
    """List functions without a derivative there."""
    names = [f"`{name}`" if name.isidentifier() else name for name in MISSING]
    return OPEN.format(missing="\n".join(f"- {name}" for name in names))


def setting(cupy_backend: Any) -> str:
    """Describe the machine and versions."""
    import cupy

    lines = [*(("device", each) for each in cupy_backend.devices), *page.versions()]
    runtime = cupy.cuda.runtime
    for name, number in (
        ("CUDA driver", runtime.driverGetVersion()),
        ("CUDA runtime", runtime.runtimeGetVersion()),
    ):
        lines.append((name, f"{number // 1000}.{number % 1000 // 10}"))
    lines.append(("NVRTC", ".".join(map(str, cupy.cuda.nvrtc.getVersion()))))
    return page.table(("", ""), lines)


def tested() -> tuple[bool, str]:
    """Run the tests that need a device."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-n", "0", "tests/gpu"],
        cwd=measure.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout[-8000:], done.stderr[-4000:], file=sys.stderr)
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    told = "\n".join([*failed, lines[-1] if lines else "pytest said nothing"])
    return done.returncode == 0, f"## Tests\n\n`pytest -m gpu`:\n\n```\n{told}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
