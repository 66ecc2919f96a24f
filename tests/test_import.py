"""What importing the package costs."""

import subprocess
import sys

import pytest

# The last prints what is in memory after an import and the simplest use.
HEAVY = [
    "autograd",
    "cupy",
    "matplotlib",
    "mpmath",
    "numba",
    "llvmlite",
    "PIL",
    "platformdirs",
    "scipy",
    "sklearn",
    "torch",
    "typer",
    "rich",
]
IMPORT = "import lookahead_ref as la"
USE = """
import numpy as np
stepper = la.Stepper(la.Lookahead(la.Adam()), {"x": np.zeros(2)})
stepper.step({"x": np.ones(2)})
"""


def loaded(code: str) -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {name.partition(".")[0] for name in shown.split()}


@pytest.mark.parametrize("code", [IMPORT, IMPORT + USE], ids=["import", "use"])
def test_the_core_loads_no_library_that_it_can_do_without(code: str) -> None:
    modules = loaded(code)
    assert modules & {"lookahead_ref", "array_api_compat"} == {
        "lookahead_ref",
        "array_api_compat",
    }
    assert sorted(modules & set(HEAVY)) == []


def test_the_import_itself_loads_not_even_numpy_s_backend() -> None:
    code = f"{IMPORT}\nimport sys\nassert 'lookahead_ref.backends' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
