"""Time until something can be done."""

import subprocess
import sys


def timeraw_import():
    """Import the library, in a new process."""
    return "import lookahead_ref"


def timeraw_first_step_numba():
    """Compile, or find compiled, and do a step; the import included."""
    return """
import numpy as np
import lookahead_ref as la

params = {"w": np.ones(1000, np.float32)}
la.Stepper(la.Lookahead(la.Adam(1e-3)), params, backend="numba").step(params)
"""


class CommandLine:
    """A new process from its start to its end."""

    def time_help(self):
        subprocess.run(
            [sys.executable, "-m", "lookahead_ref", "--help"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
