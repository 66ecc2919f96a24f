"""Builds the vector files: cases, expected values, tolerances and flags."""

import hashlib
import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lookahead_ref.conformance import models, optimizer_cases, vectors
from lookahead_ref.conformance.bounds import LEVELS, Bounding, Overflowing
from lookahead_ref.conformance.bugs import (
    BUGS,
    CLAUSES,
    CONDITIONS,
    CONVENTIONS,
    NO_GRADIENT,
    Bug,
    simulate,
)
from lookahead_ref.conformance.case_building import PlannedCase
from lookahead_ref.conformance.judging import distances
from lookahead_ref.conformance.oracle import Arithmetic, Double, Exact, Step, bits
from lookahead_ref.conformance.vectors import Format, decode

VISIBLE = 64.0
"""A case gets a bug's flag if the bug's error is this many of the widest tolerances."""

Margins = Mapping[str, Mapping[str, float]]
Bounds = Mapping[str, Mapping[str, Any]]
"""The oracle's results in numbers with error bounds, by precision and level."""


def build() -> dict[str, bytes]:
    """Build all vector files: path to content, each index after its files."""
    shown: dict[str, list[Margins]] = {bug.name: [] for bug in BUGS}
    planned = {name: list(make()) for name, make in optimizer_cases.FILES.items()}
    for cases in planned.values():
        for case in cases:
            for flag, found in complete(case).items():
                shown[flag].append(found)
    files = _files(
        vectors.OPTIMIZERS,
        planned,
        {
            "cases": sum(map(len, planned.values())),
            "files": [],
            "clauses": [each._asdict() for each in CLAUSES],
            "profiles": _profiles(optimizer_cases.PROFILES),
            "flags": _flags(shown),
            "variants": [
                {"name": each.name, "clause": each.clause, "says": each.says}
                | {"found": each.breaks, "mind": each.fix}
                for each in CONVENTIONS
            ],
            "retired": list(optimizer_cases.RETIRED),
        },
    )
    of_models = _files(
        vectors.MODELS,
        {
            name: [complete_model(case) for case in make()]
            for name, make in models.FILES.items()
        },
        {"files": [], "profiles": _profiles(models.PROFILES)},
    )
    return files | {f"models/{name}": content for name, content in of_models.items()}


def write(folder: Path) -> list[str]:
    """Write the files to a folder, remove others; return the changed ones."""
    (folder / "models").mkdir(parents=True, exist_ok=True)
    files = build()
    changed = []
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)
            changed.append(name)
    for path in sorted((*folder.glob("*.json"), *folder.glob("models/*.json"))):
        name = path.relative_to(folder).as_posix()
        if name not in files and not name.endswith(".schema.json"):
            path.unlink()
            changed.append(name)
    return changed


# Expected values and tolerances.


def complete(case: PlannedCase) -> dict[str, Margins]:
    """Add outcomes and flags to a case of optimizers; return the margins of each flag."""
    conditions = list(case["flags"])
    if "no-gradient" in conditions:
        known = [each for each in NO_GRADIENT if each.applies(case)]
        outcomes = [_outcome(case, each) for each in known]
    else:
        reference = _outcome(case)
        known = [each for each in CONVENTIONS if each.applies(case)]
        variants = (_outcome(case, each) for each in known if "overflow" not in conditions)
        # A variant that makes no difference needs no outcome.
        outcomes = [reference, *(x for x in variants if _fast(x) != _fast(reference))]
    case["outcomes"] = outcomes
    if conditions and conditions != ["subnormal"]:
        return {}
    found = {bug.name: margins(case, outcomes[0]["steps"], bug) for bug in BUGS}
    shown = {name: each for name, each in found.items() if _least(each) >= VISIBLE}
    case["flags"] = [*conditions, *shown]
    return shown


def _outcome(case: PlannedCase, *bugs: type[Bug]) -> dict[str, Any]:
    """Return what passes: the reference, or with one convention that."""
    exact: Arithmetic = Overflowing() if "overflow" in case["flags"] else Exact()
    expected = simulate(case, exact, bugs)
    bounds = _table(
        case["dtypes"], lambda *which: simulate(case, Bounding(*which), bugs).steps
    )

    def written(t: int, step: Step) -> dict[str, Any]:
        bounded = _table(bounds, lambda dtype, level: bounds[dtype][level][t])
        return {
            "synchronized": step.synchronized,
            "fast": _quantity(step, bounded, "fast"),
            "slow": [_quantity(step, bounded, "slow", i) for i in range(len(step.slow))],
            "slots": _named(step, bounded, "slots"),
        }

    steps = [written(*each) for each in enumerate(expected.steps)]
    return {"name": bugs[0].name if bugs else "reference", "steps": steps}


def complete_model(case: PlannedCase) -> PlannedCase:
    """Add to a case of models its expected loss, gradients and carried state."""
    exact = models.run(case)
    bounds = _table(case["dtypes"], lambda *which: models.run(case, Bounding(*which)))
    expected = {
        "loss": _quantity(exact, bounds, "loss"),
        "gradients": _named(exact, bounds, "gradients"),
        "carried": _named(exact, bounds, "carried"),
    }
    return {**case, "expected": expected}


def _table(dtypes: Iterable[str], make: Callable[[str, str], Any]) -> dict[str, Any]:
    """Call a function for each precision and level."""
    return {dtype: {level: make(dtype, level) for level in LEVELS} for dtype in dtypes}


def _named(expected: Any, bounds: Bounds, of: str) -> list[dict[str, Any]]:
    names = getattr(expected, of)
    return [{"name": name, **_quantity(expected, bounds, of, name)} for name in names]


def _quantity(expected: Any, bounds: Bounds, of: str, key: Any = None) -> dict[str, Any]:
    """Write the expected values of an attribute, or of one of its entries."""

    def numbers(result: Any) -> Any:
        found = getattr(result, of) if key is None else getattr(result, of)[key]
        return found if isinstance(found, list) else [found]

    values = _each(nearest_float, numbers(expected))
    tolerance = _table(
        bounds,
        lambda dtype, level: _each(tolerance_of, values, numbers(bounds[dtype][level])),
    )
    return {"expected": _each(bits, values), "tolerance": tolerance}


def _each(function: Callable[..., Any], *values: Any) -> Any:
    """Apply a function to numbers or, elementwise, to nested lists of them."""
    if not isinstance(values[0], list):
        return function(*values)
    return [_each(function, *each) for each in zip(*values, strict=True)]


def nearest_float(number: Any) -> float:
    """Round a number of 50 digits to float64, ties to even, with subnormal numbers."""
    number = getattr(number, "exact", number)
    sign, mantissa, exponent, _ = number._mpf_
    if not mantissa:  # zero, infinite or NaN, whose sign depends on the machine
        return math.nan if math.isnan(number) else float(number)
    # Python's division of integers is correctly rounded.
    size = float(
        (int(mantissa) << exponent) if exponent > 0 else int(mantissa) / (1 << -exponent)
    )
    return -size if sign else size


def tolerance_of(value: float, bound: Any) -> float:
    """Round a bound up to two digits, including the rounding of the value to float64."""
    if not math.isfinite(value):
        return 0.0
    size = bound.radius + abs(value) * 2.0**-53
    rounded = float(f"{size:.1e}")
    return rounded if rounded >= size else float(f"{size * 1.05:.1e}")


def _fast(outcome: Mapping[str, Any]) -> list[Any]:
    return [step["fast"]["expected"] for step in outcome["steps"]]


# Errors of bugs.


def margins(
    case: PlannedCase, steps: Sequence[Mapping[str, Any]], bug: type[Bug]
) -> Margins:
    """Return a bug's largest error in tolerances; nothing if it does not apply."""
    # Measured in fast and evaluated weights, which every program shows.
    if not bug.applies(case):
        return {}
    seen = simulate(case, Double(), [bug])
    later = steps[case["save_after"] :] if seen.resumed else []
    pairs = [
        *((e["fast"], s.fast) for e, s in zip(steps, seen.steps, strict=True)),
        *((e["fast"], s.fast) for e, s in zip(later, seen.resumed, strict=True)),
        *((steps[t - 1]["slow"][0], phi) for t, phi in seen.evaluations.items()),
    ]
    got = np.array([_flat(values) for _, values in pairs])
    expected = np.array([decode(_flat(each["expected"])) for each, _ in pairs])

    def largest(dtype: str, level: str) -> float:
        tolerance = np.array([_flat(each["tolerance"][dtype][level]) for each, _ in pairs])
        return float(distances(got, expected, tolerance).max())

    return _table(case["dtypes"], largest)


def _flat(tensors: Sequence[Sequence[Any]]) -> list[Any]:
    return [value for tensor in tensors for value in tensor]


def _least(margins: Margins) -> float:
    return min((x for levels in margins.values() for x in levels.values()), default=0.0)


def _summary(shown: Sequence[Margins]) -> dict[str, dict[str, list[float]]]:
    """Return the least, the median and the largest margin by precision and level."""

    def picked(dtype: str, level: str) -> list[float]:
        sizes = [each[dtype][level] for each in shown if dtype in each]
        chosen = min(sizes), statistics.median_low(sizes), max(sizes)
        return [float(f"{size:.1e}") for size in chosen]

    return _table(("float32", "float64"), picked)


# The files.


def _files(
    form: Format, planned: Mapping[str, Sequence[PlannedCase]], index: Mapping[str, Any]
) -> dict[str, bytes]:
    """Write cases as files, and the index that lists them."""
    files = {f"{name}.json": _file(form, name, cases) for name, cases in planned.items()}
    entries = [
        {"file": name, "cases": len(cases), "sha256": hashlib.sha256(content).hexdigest()}
        for (name, content), cases in zip(files.items(), planned.values(), strict=True)
    ]
    head = {"format": form.name, "version": form.version, "encoding": "binary64"}
    fields = {**head, **index, "files": entries}.items()
    text = ",\n".join(f"{_line(key)}: {_line(value)}" for key, value in fields)
    return {**files, "index.json": f"{{\n{text}\n}}\n".encode()}


def _file(form: Format, name: str, cases: Sequence[PlannedCase]) -> bytes:
    """Write a file so that each field of a case, and each step, has a line."""
    head = {"format": form.name, "version": form.version, "name": name}
    head["encoding"] = "binary64"
    lines = "".join(f"{_line(key)}: {_line(value)},\n" for key, value in head.items())
    written = ",\n".join(map(_case, cases))
    return f'{{\n{lines}"cases": [\n{written}\n]\n}}\n'.encode()


def _case(case: PlannedCase) -> str:
    fields = [f" {_line(key)}: {_line(v)}" for key, v in case.items() if key != "outcomes"]
    if "outcomes" in case:
        outcomes = ",\n".join(map(_outcome_lines, case["outcomes"]))
        fields.append(f' "outcomes": [\n{outcomes}\n ]')
    return "{\n" + ",\n".join(fields) + "\n}"


def _outcome_lines(outcome: Mapping[str, Any]) -> str:
    steps = ",\n".join(f"   {_line(step)}" for step in outcome["steps"])
    return f'  {{"name": {_line(outcome["name"])}, "steps": [\n{steps}\n  ]}}'


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _profiles(profiles: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "says": says} for name, says in profiles.items()]


def _flags(shown: Mapping[str, Sequence[Margins]]) -> list[dict[str, Any]]:
    bugs = [
        {
            "name": bug.name,
            "kind": "bug",
            **{key: getattr(bug, key) for key in ("clause", "says", "breaks", "fix")},
            "cases": len(shown[bug.name]),
            "margin": _summary(shown[bug.name]),
        }
        for bug in BUGS
    ]
    conditions = [
        {"name": name, "kind": "condition", "clause": clause, "says": says}
        for name, (clause, says) in CONDITIONS.items()
    ]
    return bugs + conditions
