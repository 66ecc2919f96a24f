"""Runs the suite on programs, in this process or by the command."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from commands import Done, called
from lookahead_ref.conformance import Case, UnsupportedError, cases, judge, observe
from lookahead_ref.conformance.adapters import Pure
from lookahead_ref.conformance.case_building import adam, build, lookahead
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.protocol import setup
from lookahead_ref.conformance.running import Target, run
from toys import BATCHES, HIDDEN, X, Y, falls, loss_of

PORTING = Path(__file__).parents[2] / "docs" / "porting"
TRAINING = Case(build("toy", "LA-2", lookahead(5, 0.5), adam(0.02), 48, shapes=HIDDEN))
"""A run of training, whose gradients come from a network and not from the case."""
UNTOLD = {"overflow", "not-a-number", "subnormal", "no-gradient"}


def conform(*arguments: str) -> Done:
    return called("conform", *arguments)


def port(name: str, *needs: str) -> Any:
    """Import a file of the porting guide, which finds its neighbours beside it, or skip."""
    for needed in needs:
        if find_spec(needed) is None:
            pytest.skip(f"needs {needed}")
    if str(PORTING) not in sys.path:
        sys.path.append(str(PORTING))
    return import_module(name)


def broken(file: Path, changes: Mapping[str, str], folder: Path) -> Path:
    """Write a changed file of the porting guide under a new name."""
    source = file.read_text(encoding="utf-8")
    for right, wrong in changes.items():
        assert source.count(right) == 1
        source = source.replace(right, wrong)
    changed = folder / f"wrong_{folder.name}.py"
    changed.write_text(source)
    return changed


def taken(
    target: Target, chosen: Sequence[Case], dtypes: Sequence[str] | None = None
) -> list[Result]:
    """Take cases through an opened target, and close it."""
    with closing(target):
        return run(target, chosen, dtypes=dtypes) if dtypes else run(target, chosen)


def results(
    make: Callable[[], Any],
    chosen: Iterable[Case] | None = None,
    *dtypes: str,
    level: str = "strict",
) -> list[Result]:
    """Take cases through an adapter in this process: all, in all precisions, or some."""
    found = []
    for case in cases() if chosen is None else chosen:
        for dtype in [each for each in case.dtypes if each in (dtypes or case.dtypes)]:
            try:
                with np.errstate(all="ignore"):
                    seen = observe(case, dtype, make(), make)
            except UnsupportedError as error:
                found.append(Result(case, dtype, "unsupported", str(error)))
                continue
            verdict = judge(case, seen, dtype, level)
            status: Any = "passed" if verdict.passed else "failed"
            found.append(Result(case, dtype, status, "", verdict, seen))
    return found


def chosen(*profiles: str, every: int = 1) -> list[Case]:
    """Return some cases of profiles, of one Lookahead with plain numbers."""
    some = [each for each in cases() if each.profile in profiles]
    some = [each for each in some if len(each.data["lookahead"]) == 1]
    return [each for each in some if not UNTOLD & set(each.flags)][::every]


def failed(some: Iterable[Result]) -> set[str]:
    return {each.case.id for each in some if each.status == "failed"}


def trained(adapter: Any) -> list[Any]:
    """Train a network through an adapter: the losses of the steps and, at last, of phi."""
    given = setup(TRAINING, "float64")
    adapter.start(given)
    params, losses = given.params, []
    for batch in BATCHES:
        loss, gradients = la.value_and_grad(loss_of)(params, *batch)
        losses.append(loss)
        adapter.step(gradients)
        params = adapter.fast()
    return [*losses, loss_of(adapter.evaluation(), X, Y)]


def assert_trains(adapter: Any) -> None:
    """The loss falls, at the slow weights too, and is the library's at each step."""
    found = trained(adapter)
    assert falls(found)
    np.testing.assert_allclose(found, trained(Pure()), rtol=1e-9)


def statuses(some: Iterable[Result]) -> set[str]:
    return {each.status for each in some}


def named(explanations: Iterable[Iterable[Any]]) -> set[frozenset[str]]:
    """The causes that each explanation of a diagnosis names."""
    return {frozenset(each.name for each in explanation) for explanation in explanations}
