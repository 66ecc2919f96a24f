"""Settings of the measurements, by three environment variables.

``LOOKAHEAD_BENCHMARK_BACKEND`` names the backend: ``numba``, or ``cupy`` for a GPU.
``LOOKAHEAD_BENCHMARK_QUICK`` makes everything small, so that figures mean little.
``LOOKAHEAD_BENCHMARK_DATA`` names a folder of real data for whole runs.
"""

import os
from pathlib import Path
from typing import Any

import lookahead_ref as la

from . import cases
from .turns import of_device, pooled, traced, wall

EXECUTOR: Any = la.backend.load(os.environ.get("LOOKAHEAD_BENCHMARK_BACKEND", "numba"))
QUICK = bool(os.environ.get("LOOKAHEAD_BENCHMARK_QUICK"))
DATA = Path(found) if (found := os.environ.get("LOOKAHEAD_BENCHMARK_DATA")) else None

# The device must time its own work, as calls return at once on the host.
ON_DEVICE = EXECUTOR.name == "cupy"
CLOCK, PEAK = (of_device, pooled) if ON_DEVICE else (wall, traced)

# Elements of one array: `LARGE` exceeds the caches, `BEYOND` by far.
if QUICK:
    LARGE, BEYOND, LARGEST = "1e5", "2e5", "2e5"
elif ON_DEVICE:
    LARGE, BEYOND, LARGEST = "1e8", "1e8", "1e8"
else:
    LARGE, BEYOND, LARGEST = "1e7", "3e7", "1e8"
NAMES = ["sgd", "adam"] if QUICK else list(cases.OPTIMIZERS)
PAPER = [name for name in NAMES if name != "adagrad"]
TREES = [] if QUICK else ["resnet-50", "mlp"]
SIZES = (
    ["1e4", "1e5"] if QUICK else ["1e4", "1e5", "1e6", "1e7", "2e7", "4e7", "7e7", "1e8"]
)

TURNS = 3 if QUICK else 11
TURNS_IF_CLOSE = 3 if QUICK else 21
SECONDS = 0.001 if QUICK else 0.03
"""The least duration of a turn."""


def arrays(parameters: str, seed: int) -> dict[str, Any]:
    """Make arrays on the backend."""
    made = cases.arrays(parameters, seed)
    return {name: EXECUTOR.from_host(array) for name, array in made.items()}
