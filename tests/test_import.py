"""What importing the package costs."""

import subprocess
import sys

import pytest

HEAVY = {
    *("autograd", "cupy", "llvmlite", "matplotlib", "mpmath", "numba", "PIL"),
    *("platformdirs", "rich", "scipy", "sklearn", "torch", "typer"),
}
IMPORT = "import lookahead_ref as la"
CONFORM = ("lookahead_ref", "conform", "pure", "--case", "smoke-wrapper")
USE = """
import numpy as np
stepper = la.Stepper(la.Lookahead(la.Adam()), {"x": np.zeros(2)})
stepper.step({"x": np.ones(2)})
"""


@pytest.mark.parametrize("code", [IMPORT, IMPORT + USE], ids=["import", "use"])
def test_the_core_loads_no_library_that_it_can_do_without(code: str) -> None:
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    shown = run.stdout.split()
    modules = {name.partition(".")[0] for name in shown}
    assert {"lookahead_ref", "array_api_compat"} <= modules
    assert sorted(modules & HEAVY) == []
    # The import by itself loads not even NumPy's backend.
    assert ("lookahead_ref.backends" in shown) == (code != IMPORT)


def test_a_suite_that_passes_loads_neither_training_nor_the_search_for_causes() -> None:
    command = [sys.executable, "-X", "importtime", "-m", *CONFORM]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    assert "lookahead_ref.conformance.summary" in said
    assert "lookahead_ref.training" not in said
    assert "conformance.searching" not in said
