"""Time until something can be done, in new processes."""

import subprocess
import sys
import tempfile

from .turns import samples, wall

FIRST = """
import sys, time
from pathlib import Path
import numpy as np
import lookahead_ref as la
start = time.perf_counter()
numba = la.backend.load("numba", cache=Path(sys.argv[1]))
loaded = time.perf_counter()
params = {"x": np.ones(10, np.float32)}
stepper = la.Stepper(la.Lookahead(la.Adam(1e-3), k=2), params, backend=numba)
for _ in range(2):
    stepper.step(params)
print(loaded - start, time.perf_counter() - loaded)
"""


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, text=True
    ).stdout


class Start:
    """A new process from its start to its end."""

    processes = {
        "nothing": ["-c", ""],
        "import lookahead_ref": ["-c", "import lookahead_ref"],
        "lookahead-ref --help": ["-m", "lookahead_ref", "--help"],
    }
    params = list(processes)
    param_names = ("what",)
    unit = "seconds"
    repeats = 5

    def track_seconds(self, what):
        arguments = self.processes[what]
        return samples([wall(lambda: run(*arguments)) for _ in range(self.repeats)])


class FirstCycle:
    """The first cycle of Lookahead over Adam: two loops, compiled or found on disk."""

    params = ["importing Numba", "two loops compiled", "two loops found on disk"]
    param_names = ("what",)
    unit = "seconds"
    repeats = 3
    timeout = 600

    def track_seconds(self, what):
        found = []
        for _ in range(self.repeats):
            with tempfile.TemporaryDirectory() as cache:
                if what == "two loops found on disk":
                    run("-c", FIRST, cache)
                importing, cycle = map(float, run("-c", FIRST, cache).split())
                found.append(importing if what == "importing Numba" else cycle)
        return samples(found)
