"""How the tests of ports import a file of the guide, and take it through the suite."""

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookahead_ref.conformance import Case, UnsupportedError, cases, judge, observe

X = np.random.default_rng(0).normal(size=(96, 4)).astype("float32")
Y = np.sin(X @ np.array([[0.5], [-1.0], [0.25], [0.75]], "float32"))
"""What is learnt."""

PORTING = Path(__file__).parents[2] / "docs" / "porting"


def port(name: str, *needs: str) -> Any:
    """Import a file of the guide, which finds its neighbours beside it, or skip."""
    for needed in needs:
        if find_spec(needed) is None:
            pytest.skip(f"needs {needed}")
    if str(PORTING) not in sys.path:
        sys.path.append(str(PORTING))
    return import_module(name)


def departures(
    adapter: Callable[[], Any], chosen: Iterable[Case] | None = None, level: str = "strict"
) -> tuple[set[str], int]:
    """Take cases through a port; return ids that depart, and how many checks pass."""
    departed, passed = set(), 0
    for case in cases() if chosen is None else chosen:
        for dtype in case.dtypes:
            try:
                with np.errstate(all="ignore"):
                    seen = observe(case, dtype, adapter(), adapter)
            except UnsupportedError:
                continue
            if judge(case, seen, dtype, level).passed:
                passed += 1
            else:
                departed.add(case.id)
    return departed, passed
