"""Processes that begin with nothing, and with what an earlier one left on disk."""

import os
import subprocess
import sys
import tempfile

_PROCESS = """
import sys, time
import numpy as np
import lookahead_ref as la
start = time.perf_counter()
from pathlib import Path
from lookahead_ref.stepping import backend
numba = backend.load("numba", cache=Path(sys.argv[1]))
loaded = time.perf_counter()
params = {"x": np.ones(10, np.float32)}
stepper = la.Stepper(la.Lookahead(la.Adam(1e-3), k=2), params, backend=numba)
for _ in range(2):
    stepper.step(params)
print(loaded - start, time.perf_counter() - loaded)
"""


def first_steps() -> dict[str, float]:
    """Time the first cycle of a process, twice: compiled, and found compiled.

    Returns
    -------
    dict
        What it is to seconds.
    """
    found = {}
    with tempfile.TemporaryDirectory() as cache:
        for name in ("compiled", "found on disk"):
            shown = subprocess.run(
                [sys.executable, "-c", _PROCESS, cache],
                check=True,
                capture_output=True,
                text=True,
                env=os.environ.copy(),
            ).stdout.split()
            found["importing Numba"] = float(shown[0])
            found[f"two loops {name}"] = float(shown[1])
    return found
