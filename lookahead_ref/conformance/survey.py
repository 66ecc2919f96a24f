"""The public implementations side by side: one run of the suite on each, as plain data."""

import datetime as dt
import platform
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import groupby
from math import prod
from typing import Any

import lookahead_ref
from lookahead_ref.conformance.adapters.peers import PEERS
from lookahead_ref.conformance.bugs import CONDITIONS, SinglePrecision
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.reports import departure_line, summarize
from lookahead_ref.conformance.running import Result, open_target, run
from lookahead_ref.conformance.vectors import VERSION, Case, cases


def survey(
    names: Iterable[str], *, progress: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Run the suite on public implementations, named as in `adapters.peers`."""
    found = []
    for name in names:
        if progress is not None:
            progress(name)
        with closing(open_target(name)) as target:
            results = run(target, cases())
        found.append({"name": name, "title": PEERS[name].title, **condensed(results)})
    return {
        "format": "lookahead-survey",
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "vectors": VERSION,
        "lookahead_ref": lookahead_ref.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cases": len(cases()),
        "implementations": found,
    }


def condensed(results: Sequence[Result]) -> dict[str, Any]:
    """Say what was found of an implementation, with the smallest case of each finding."""
    diagnoses = diagnose(results)
    summary = summarize("", results, diagnoses)
    lines = {
        (each["case"], each["dtype"]): departure_line(each)
        for each in summary["departures"]
    }
    departed = [result for result in results if result.status == "departed"]

    def smallest(some: Iterable[Result]) -> dict[str, str]:
        result = min(some, key=_size)
        place = result.case.id, result.dtype
        return {"case": result.case.id, "shows": lines.get(place, result.reason)}

    causes = []
    for each in diagnoses[0].explanations if diagnoses else ():
        entry = []
        for cause in each:
            if cause is SinglePrecision:
                others = {other.name for other in each}
                shows = [r for r in departed if r.dtype == "float64" and _in_fast(r)]
                shows = [r for r in shows if not others & set(r.case.flags)] or shows
            else:
                shows = [r for r in departed if cause.name in r.case.flags] or departed
            entry.append({"name": cause.name, "says": cause.says, **smallest(shows)})
        causes.append(entry)
    beyond = [result for result in departed if _condition(result.case)]
    failures = sorted((r for r in results if r.status == "failed"), key=lambda r: r.reason)
    return {
        "profiles": summary["profiles"],
        "conventions": summary["conventions"],
        "causes": causes,
        "explained": bool(causes) or not departed,
        "exceptions": list(diagnoses[0].exceptions) if diagnoses else [],
        "beyond": [
            {"condition": condition, "count": len(some), **smallest(some)}
            for condition, some in _grouped(beyond)
        ],
        "failures": [
            {"count": len(some), **smallest(some)}
            for some in (list(each) for _, each in groupby(failures, lambda r: r.reason))
        ],
    }


def _in_fast(result: Result) -> bool:
    """Return whether the fast weights are the first that depart."""
    verdict = result.verdict
    return verdict is not None and verdict.mismatches[0].where == "fast weights"


def _size(result: Result) -> tuple[int, int]:
    case = result.case
    return case.steps * sum(prod(shape) for shape in case.shapes), case.steps


def _condition(case: Case) -> str:
    """Return what a case contains that keeps it out of the diagnosis."""
    untold = set(CONDITIONS) - {"no-gradient"}
    return next((flag for flag in case.flags if flag in untold), "")


def _grouped(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(_condition(result.case), []).append(result)
    return list(groups.items())
