"""Build the vector files: planned cases, expected values, tolerances and flags."""

import hashlib
import json
import math
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lookahead_ref.conformance import plan
from lookahead_ref.conformance.bounds import LEVELS, Bounding
from lookahead_ref.conformance.bugs import (
    BUGS,
    CONDITIONS,
    CONVENTIONS,
    NO_GRADIENT,
    Bug,
    Run,
    simulate,
)
from lookahead_ref.conformance.building import Case, bits
from lookahead_ref.conformance.clauses import CLAUSES
from lookahead_ref.conformance.oracle import Arithmetic, Exact, Step, Tensors
from lookahead_ref.conformance.oracle import value as value_of
from lookahead_ref.conformance.overflow import Overflowing
from lookahead_ref.conformance.vectors import VERSION

FORMAT = "lookahead-vectors"

VISIBLE = 64.0
"""A flag means a departure of at least so many tolerances, of the widest kind."""


class Plain:
    """The arithmetic of float64, for simulations."""

    number = hyperparameter = float
    sqrt = staticmethod(math.sqrt)


def build(only: Collection[str] | None = None) -> dict[str, bytes]:
    """Build vector files.

    Parameters
    ----------
    only : collection of str, optional
        The names of the files to build, without their ending; all of them, and the index,
        if not given.

    Returns
    -------
    dict
        File name to content, the index last.
    """
    files: dict[str, bytes] = {}
    entries = []
    shown: dict[str, list[dict[str, dict[str, float]]]] = {bug.name: [] for bug in BUGS}
    for name, cases in plan.cases().items():
        if only is not None and name not in only:
            continue
        for case in cases:
            for flag, found in complete(case).items():
                shown[flag].append(found)
        content = _file(name, cases)
        files[f"{name}.json"] = content
        entries.append(
            {
                "file": f"{name}.json",
                "cases": len(cases),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    if only is None:
        files["index.json"] = _index(entries, shown)
    return files


def write(folder: Path) -> list[str]:
    """Write the vector files into a folder, and remove those that are no more.

    Parameters
    ----------
    folder : path
        The folder; it is made if need be.

    Returns
    -------
    list of str
        The names of the files that changed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = build()
    changed = []
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)
            changed.append(name)
    for path in folder.glob("*.json"):
        if path.name not in files and not path.name.endswith(".schema.json"):
            path.unlink()
            changed.append(path.name)
    return changed


def complete(case: Case) -> dict[str, dict[str, dict[str, float]]]:
    """Add outcomes and flags to a case.

    Parameters
    ----------
    case : dict
        A case without outcomes; changed.

    Returns
    -------
    dict
        Each flag of a bug to its `margins`.
    """
    conditions = list(case["flags"])
    if "no-gradient" in conditions:
        outcomes = [_outcome(case, each.name, each) for each in NO_GRADIENT]
    else:
        outcomes = [_outcome(case, "reference", None)]
        outcomes += [
            _outcome(case, each.name, each)
            for each in CONVENTIONS
            if each.applies(case) and "overflow" not in conditions
        ]
        # A variant that makes no difference here needs no outcome of its own.
        reference = outcomes[0]["steps"]
        outcomes = outcomes[:1] + [
            o for o in outcomes[1:] if _differs(reference, o["steps"])
        ]
    case["outcomes"] = outcomes
    if conditions and conditions != ["subnormal"]:
        return {}
    found = {bug.name: margins(case, outcomes[0], bug) for bug in BUGS}
    shown = {name: each for name, each in found.items() if _least(each) >= VISIBLE}
    case["flags"] = [*conditions, *shown]
    return shown


def margins(
    case: Case, outcome: Mapping[str, Any], bug: type[Bug]
) -> dict[str, dict[str, float]]:
    """Measure by how many tolerances a bug departs in a case, in what any program shows.

    Parameters
    ----------
    case : dict
        The case.
    outcome : dict
        The outcome that a program without the bug has.
    bug : Bug
        The bug.

    Returns
    -------
    dict
        Precision to level to the largest distance between what is expected and what the bug
        makes of it, among the fast weights and the weights that are evaluated, in
        tolerances; empty if the bug does not apply.
    """
    if not bug.applies(case):
        return {}
    seen = simulate(case, Plain(), [bug])
    steps = outcome["steps"]
    pairs: list[tuple[Mapping[str, Any], Any]] = [
        (expected["fast"], step.fast)
        for expected, step in zip(steps, seen.steps, strict=True)
    ]
    if seen.resumed:
        later = steps[case["save_after"] :]
        pairs += [
            (e["fast"], step.fast) for e, step in zip(later, seen.resumed, strict=True)
        ]
    pairs += [(steps[t - 1]["slow"][0], phi) for t, phi in seen.evaluations.items()]
    distances = [
        [
            [abs(number - value_of(value)) for number, value in zip(*tensor, strict=True)]
            for tensor in zip(got, expected["expected"], strict=True)
        ]
        for expected, got in pairs
    ]
    return {
        dtype: {
            level: max(
                _in_tolerances(distance, expected["tolerance"][dtype][level])
                for (expected, _), distance in zip(pairs, distances, strict=True)
            )
            for level in LEVELS
        }
        for dtype in case["dtypes"]
    }


def _in_tolerances(
    distances: Sequence[Sequence[float]], tolerances: Sequence[Sequence[float]]
) -> float:
    largest = 0.0
    for row, allowed in zip(distances, tolerances, strict=True):
        for distance, tolerance in zip(row, allowed, strict=True):
            if distance > largest * tolerance:
                largest = distance / tolerance if tolerance else math.inf
    return largest


def _outcome(case: Case, name: str, variant: type[Bug] | None) -> dict[str, Any]:
    bugs = [] if variant is None else [variant]
    exact: Arithmetic = Overflowing() if "overflow" in case["flags"] else Exact()
    expected = simulate(case, exact, bugs)
    bounds = {
        dtype: {level: simulate(case, Bounding(dtype, level), bugs) for level in LEVELS}
        for dtype in case["dtypes"]
    }
    return {"name": name, "steps": list(_steps(expected, bounds))}


def _steps(
    expected: Run, bounds: Mapping[str, Mapping[str, Run]]
) -> Iterator[dict[str, Any]]:
    for t, step in enumerate(expected.steps):
        yield {
            "synchronized": step.synchronized,
            "fast": _quantity(expected, bounds, t, lambda s: s.fast),
            "slow": [
                _quantity(expected, bounds, t, lambda s, i=level: s.slow[i])  # type: ignore[misc]
                for level in range(len(step.slow))
            ],
            "slots": [
                {
                    "name": name,
                    **_quantity(expected, bounds, t, lambda s, n=name: s.slots[n]),  # type: ignore[misc]
                }
                for name in step.slots
            ],
        }


def _quantity(
    expected: Run,
    bounds: Mapping[str, Mapping[str, Run]],
    t: int,
    pick: Callable[[Step], Tensors],
) -> dict[str, Any]:
    exact = [[nearest_float(x) for x in tensor] for tensor in pick(expected.steps[t])]

    def tolerances(run: Run) -> list[list[float]]:
        return [
            [tolerance_of(x, bound) for x, bound in zip(values, bounded, strict=True)]
            for values, bounded in zip(exact, pick(run.steps[t]), strict=True)
        ]

    return {
        "expected": [[bits(x) for x in tensor] for tensor in exact],
        "tolerance": {
            dtype: {level: tolerances(run) for level, run in levels.items()}
            for dtype, levels in bounds.items()
        },
    }


def nearest_float(number: Any) -> float:
    """Round a number of 50 digits to float64, ties to even, subnormal numbers included."""
    number = getattr(number, "exact", number)
    sign, mantissa, exponent, _ = number._mpf_
    if not mantissa:  # zero, or infinite
        return float(number)
    # The division of whole numbers in Python is correctly rounded.
    size = float(
        (int(mantissa) << exponent) if exponent > 0 else int(mantissa) / (1 << -exponent)
    )
    return -size if sign else size


def tolerance_of(value: float, bound: Any) -> float:
    """Round a bound up to two digits; the expected value itself is rounded to float64."""
    if math.isinf(value):
        return 0.0
    size = bound.radius + abs(value) * 2.0**-53
    rounded = float(f"{size:.1e}")
    return rounded if rounded >= size else float(f"{size * 1.05:.1e}")


def _differs(
    reference: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]
) -> bool:
    return any(
        a["fast"]["expected"] != b["fast"]["expected"]
        for a, b in zip(reference, other, strict=True)
    )


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _file(name: str, cases: Sequence[Case]) -> bytes:
    """Write a file so that each field of a case, and each step, has a line."""
    lines = [
        "{",
        f'"format": {_line(FORMAT)},',
        f'"version": {VERSION},',
        f'"name": {_line(name)},',
        '"encoding": "binary64",',
        '"cases": [',
    ]
    for number, case in enumerate(cases):
        lines.append("{")
        lines += [
            f" {_line(key)}: {_line(v)}," for key, v in case.items() if key != "outcomes"
        ]
        lines.append(' "outcomes": [')
        for place, outcome in enumerate(case["outcomes"]):
            lines.append(f'  {{"name": {_line(outcome["name"])}, "steps": [')
            rows = [f"   {_line(step)}" for step in outcome["steps"]]
            lines.append(",\n".join(rows))
            lines.append("  ]}" + ("," if place + 1 < len(case["outcomes"]) else ""))
        lines.append(" ]")
        lines.append("}" + ("," if number + 1 < len(cases) else ""))
    lines += ["]", "}", ""]
    return "\n".join(lines).encode()


def _least(margins: Mapping[str, Mapping[str, float]]) -> float:
    return min((x for levels in margins.values() for x in levels.values()), default=0.0)


def _summary(
    shown: Sequence[Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, list[float]]]:
    """Return the least, the median and the largest margin by precision and level."""
    summary: dict[str, dict[str, list[float]]] = {}
    for dtype in ("float32", "float64"):
        summary[dtype] = {}
        for level in LEVELS:
            sizes = sorted(each[dtype][level] for each in shown if dtype in each)
            picked = [sizes[0], statistics.median_low(sizes), sizes[-1]]
            summary[dtype][level] = [float(f"{size:.1e}") for size in picked]
    return summary


def _index(
    entries: Sequence[Mapping[str, Any]],
    shown: Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]],
) -> bytes:
    index = {
        "format": FORMAT,
        "version": VERSION,
        "encoding": "binary64",
        "cases": sum(entry["cases"] for entry in entries),
        "files": list(entries),
        "clauses": [each._asdict() for each in CLAUSES],
        "profiles": [{"name": name, "says": says} for name, says in plan.PROFILES.items()],
        "flags": [
            {
                "name": bug.name,
                "kind": "bug",
                "clause": bug.clause,
                "says": bug.says,
                "breaks": bug.breaks,
                "fix": bug.fix,
                "cases": len(shown[bug.name]),
                "margin": _summary(shown[bug.name]),
            }
            for bug in BUGS
        ]
        + [
            {"name": name, "kind": "condition", "clause": clause, "says": says}
            for name, (clause, says) in CONDITIONS.items()
        ],
        "variants": [
            {
                "name": v.name,
                "clause": v.clause,
                "says": v.says,
                "found": v.breaks,
                "mind": v.fix,
            }
            for v in CONVENTIONS
        ],
        "retired": list(plan.RETIRED),
    }
    return (json.dumps(index, indent=1, allow_nan=False) + "\n").encode()
