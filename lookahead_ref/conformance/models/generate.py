"""Build the files of the golden models: planned cases, expected values, tolerances."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lookahead_ref.conformance.bounds import LEVELS
from lookahead_ref.conformance.building import bits
from lookahead_ref.conformance.generate import nearest_float, tolerance_of
from lookahead_ref.conformance.models import plan
from lookahead_ref.conformance.models.bounds import ModelBounding
from lookahead_ref.conformance.models.oracle import Result, run
from lookahead_ref.conformance.models.vectors import FORMAT, VERSION

__all__ = ["build", "complete", "write"]


def build() -> dict[str, bytes]:
    """Build all files.

    Returns
    -------
    dict
        File name to content, the index last.
    """
    files: dict[str, bytes] = {}
    entries = []
    for name, cases in plan.cases().items():
        content = _file(name, [complete(case) for case in cases])
        files[f"{name}.json"] = content
        entries.append(
            {
                "file": f"{name}.json",
                "cases": len(cases),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    index = {
        "format": FORMAT,
        "version": VERSION,
        "encoding": "binary64",
        "files": entries,
        "profiles": [{"name": name, "says": says} for name, says in plan.PROFILES.items()],
    }
    files["index.json"] = (json.dumps(index, indent=1) + "\n").encode()
    return files


def write(folder: Path) -> list[str]:
    """Write the files into a folder.

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
    changed = []
    for name, content in build().items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)
            changed.append(name)
    return changed


def complete(case: plan.Case) -> plan.Case:
    """Add what a case expects.

    Parameters
    ----------
    case : dict
        A case of the plan.

    Returns
    -------
    dict
        The case with ``expected``: loss, gradients, and what is carried.
    """
    exact = run(case)
    bounds = {
        dtype: {level: run(case, ModelBounding(dtype, level)) for level in LEVELS}
        for dtype in case["dtypes"]
    }

    def quantities(of: str) -> list[dict[str, Any]]:
        names: Mapping[str, Any] = getattr(exact, of)
        return [
            {"name": name, **_quantity(exact, bounds, lambda r, n=name: getattr(r, of)[n])}
            for name in names
        ]

    return {
        **case,
        "expected": {
            "loss": _quantity(exact, bounds, lambda r: [r.loss]),
            "gradients": quantities("gradients"),
            "carried": quantities("carried"),
        },
    }


def _quantity(
    exact: Result, bounds: Mapping[str, Mapping[str, Result]], pick: Any
) -> dict[str, Any]:
    values = [nearest_float(x) for x in pick(exact)]
    return {
        "expected": [bits(x) for x in values],
        "tolerance": {
            dtype: {
                level: [
                    tolerance_of(x, bound)
                    for x, bound in zip(values, pick(bounded), strict=True)
                ]
                for level, bounded in levels.items()
            }
            for dtype, levels in bounds.items()
        },
    }


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _file(name: str, cases: list[plan.Case]) -> bytes:
    """Write a file so that each field of a case has a line."""
    lines = [
        "{",
        f'"format": {_line(FORMAT)},',
        f'"version": {VERSION},',
        f'"name": {_line(name)},',
        '"encoding": "binary64",',
        '"cases": [',
    ]
    for number, case in enumerate(cases):
        fields = [f" {_line(key)}: {_line(value)}" for key, value in case.items()]
        lines += ["{", ",\n".join(fields), "}" + ("," if number + 1 < len(cases) else "")]
    lines += ["]", "}", ""]
    return "\n".join(lines).encode()
