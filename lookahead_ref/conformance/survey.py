"""Compares public implementations: verdicts, causes and history."""

import ast
import datetime as dt
import json
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import lookahead_ref
from lookahead_ref.conformance.adapters import PEERS
from lookahead_ref.conformance.bugs import (
    CLAUSES,
    CONVENTIONS,
    Bug,
    DoublePrecision,
    SinglePrecision,
    by_name,
)
from lookahead_ref.conformance.diagnosis import UNTELLING, diagnose
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.own_inner import own_cases
from lookahead_ref.conformance.reports import failure_line, parted
from lookahead_ref.conformance.running import HungError, Limits, open_target, run
from lookahead_ref.conformance.summary import summarize
from lookahead_ref.conformance.vectors import VERSION, Format, cases, parse
from lookahead_ref.report.files import locked, write_json

_FORMAT = Format("lookahead-survey", 1)
_LIMITS = Limits(startup=1200.0, step=600.0, run=6 * 3600.0)
"""Generous, as a slow machine says nothing about an implementation."""

_VERDICTS = "right", "but", "wrong"
_PAPERS = {clause.id for clause in CLAUSES if clause.kind == "paper"}


def surveyed(one: str, pythons: Sequence[str] = ()) -> dict[str, Any]:
    """Run the suite on a public implementation: a name in `PEERS`, or an adapter's file."""
    # A file whose ABOUT has ``python`` serves itself.
    about = described(one)
    interpreter = _interpreter(about, pythons)
    about["version"] = _version(about, interpreter)
    if about.get("tried", about["version"]) != about["version"]:  # by hand
        about = {n: x for n, x in about.items() if n not in ("says", "at_best", "clause")}
    use = used(one, about)  # before what takes longer
    target = None if "python" in about else one if one in PEERS else f"{one}:Adapter"
    command = shlex.join([interpreter, one]) if target is None else None
    with closing(open_target(target, command=command, limits=_LIMITS)) as opened:
        results = run(opened, (*cases(), *own_cases()))
    # Do not record what depends on the machine.
    if slow := [each for each in results if each.status == "unjudged"]:
        raise HungError(f"{one}: {len(slow)} checks not judged: {slow[0].reason}")
    if not any(each.status in ("passed", "failed") for each in results):
        reason = min(results, key=lambda each: each.status).reason  # errors come first
        raise ModuleNotFoundError(f"{one}: no check ran: {reason}")
    now = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "vectors": VERSION,
        "cases": len(cases()),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    found = condensed(results, about.get("read", ()), use)
    verdicts = found["verdict"], about.get("at_best", "right")
    return {**about, **now, **found, "verdict": max(verdicts, key=_VERDICTS.index)}


def entered(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Enter a run; a survey shows the newest version and vectors, with a history of all."""
    those = {each["name"]: each for each in before.get("implementations", ())}
    old = those.get(now["name"], {})
    entry = {name: now[name] for name in ("version", "date", "vectors", "verdict")}
    entry["causes"] = [cause["name"] for cause in now["causes"][0]] if now["causes"] else []
    same = (now["version"], now["vectors"])
    older = [e for e in old.get("history", []) if (e["version"], e["vectors"]) != same]
    history = [entry, *older]
    ages = "package" in now  # revisions have no order
    history.sort(key=lambda e: (ages and _age(e["version"]), e["vectors"]), reverse=True)
    those[now["name"]] = {**(now if history[0] is entry else old), "history": history}
    return {
        "format": _FORMAT.name,
        "version": _FORMAT.version,
        "vectors": VERSION,
        "lookahead_ref": lookahead_ref.__version__,
        "implementations": list(those.values()),
    }


def load(path: Path) -> dict[str, Any]:
    """Read a survey; it is empty if there is no file."""
    return parse(str(path), path.read_bytes(), _FORMAT) if path.exists() else {}


def enter(path: Path, now: Mapping[str, Any]) -> None:
    """Enter a run into a file, to which other surveys may write too."""
    with locked(path.parent, wait=True):
        write_json(path, entered(load(path), now))


def described(one: str) -> dict[str, Any]:
    """Read an implementation's description and home; import nothing."""
    if one in PEERS:
        peer = PEERS[one]
        own = {"name": one, "title": one, "home": peer.home, "package": peer.package}
        return {**own, **peer.about}
    path = Path(one)
    if path.suffix != ".py" or not path.is_file():
        known = ", ".join(PEERS)
        raise ValueError(f"name must be one of {known}, or a file, got {one!r}")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ABOUT":
            about: dict[str, Any] = ast.literal_eval(node.value)
            return {**about, "adapter": path.name}
    raise ValueError(f"{one} must have a dict ABOUT")


def used(one: str, about: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the ways of use in which a wrapper of PyTorch's optimizers fails."""
    if (wrapper := about.get("wrapper")) is None:
        return []
    target = wrapper if ":" in wrapper else f"{one}:{wrapper}"
    command = [sys.executable, "-m", "lookahead_ref", "conform", target, "--json"]
    command += ["--profile", "pytorch"]
    some: Any = {"capture_output": True, "text": True, "timeout": _LIMITS.run}
    done = subprocess.run(command, check=False, **some)
    if not done.stdout:
        raise ModuleNotFoundError(f"{one}: no way of use ran: {done.stderr.strip()}")
    checks = json.loads(done.stdout)["checks"]
    if late := [each["name"] for each in checks if each["verdict"] == "not judged"]:
        raise HungError(f"{one}: not judged: {', '.join(late)}")
    told = ("name", "says", "fix")
    return [{n: each[n] for n in told} for each in checks if each["verdict"] == "fails"]


def _version(about: Mapping[str, Any], interpreter: str) -> str:
    if about["name"] in PEERS:
        return PEERS[about["name"]].title.partition(" ")[2]
    if "package" not in about:
        return str(about["revision"])
    asked = f"""try:
    from importlib.metadata import version
except ImportError:  # before Python 3.8
    from pkg_resources import get_distribution
    version = lambda name: get_distribution(name).version
print(version({about["package"]!r}))"""
    if (said := _said(interpreter, asked)) is None:
        raise ModuleNotFoundError(f"{about['package']} is not installed")
    return said


def _interpreter(about: Mapping[str, Any], pythons: Sequence[str]) -> str:
    """Choose an interpreter of the version that an adapter names, by default ours."""
    if "python" not in about:
        return sys.executable
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    for each in pythons:
        if _said(each, asked) == about["python"].partition(",")[0]:
            return each
    raise ModuleNotFoundError(f"{about['name']} needs --python, {about['python']}")


def _said(interpreter: str, program: str) -> str | None:
    command = [interpreter, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if said.returncode else said.stdout.strip()


def _age(version: str) -> tuple[list[int], str, list[int]]:
    """Order versions of a package: 1.9, 1.10b1, 1.10rc1, 1.10rc2, 1.10."""
    parts = re.split(r"(a|b|rc|\.dev)(?=\d)", version, maxsplit=1)
    release, kind, early = (*parts, "released", "")[:3]
    one, other = ([*map(int, re.findall(r"\d+", part))] for part in (release, early))
    return one, kind, other


def verdict(found: Mapping[str, Any]) -> str:
    """Return ``right``, ``wrong``, or ``but``, if right wherever a paper decides."""
    # Float32 is what people train in; that float64 is rounded to it is told beside.
    told = found["causes"][0] if found["causes"] else []
    causes = [
        x for x in told if x["clause"] != "LA-31" or x["name"] == DoublePrecision.name
    ]
    passed = any(row["passed"] for row in found["profiles"])
    fails = {each["name"]: each["says"] for each in found["use"]}
    ruins = "groups" in fails or "raises" not in fails.get("zero-grad", "raises")
    papers = any(each["clause"] in _PAPERS for each in causes)
    if ruins or papers or not (passed and found["explained"]):
        return "wrong"
    return "but" if causes or found["errors"] or "zero-grad" in fails else "right"


def condensed(
    results: Sequence[Result],
    read: Sequence[str] = (),
    use: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Summarize the findings, with the smallest case of each; first what a reader found."""
    diagnoses = diagnose(results, [*map(by_name, read)])
    summary = summarize("", results, diagnoses)
    lines = {(d["case"], d["dtype"]): failure_line(d) for d in summary["failures"]}
    failed = [result for result in results if result.status == "failed"]
    errors = [result for result in results if result.status == "error"]
    told = [explanation for each in diagnoses for explanation in each.explanations]
    # A convention is no fault, even if no passing case shows it.
    wrong = [tuple(bug for bug in each if bug not in CONVENTIONS) for each in told]
    ranks = {name: at - len(read) for at, name in enumerate(read)}
    causes = [
        sorted(each, key=lambda bug: ranks.get(bug.name, 0))
        for each in dict.fromkeys(wrong)
        if each
    ]
    causes.sort(key=lambda each: -len(ranks.keys() & {bug.name for bug in each}))
    exceptions = [case for each in diagnoses for case in each.exceptions]
    # What a bug does in nested cases depends on the program's structure.
    plain = {result.case.id for result in failed if result.case.profile != "nesting"}
    left = plain.intersection(exceptions)

    def smallest(some: Iterable[Result]) -> dict[str, str]:
        result = min(some, key=lambda r: (bool(condition(r)), r.case.size, r.case.steps))
        shows = lines.get((result.case.id, result.dtype), result.reason)
        return {"case": result.case.id, "shows": shows}

    def grouped(by: Callable[[Result], str], some: Iterable[Result]) -> Any:
        parts = [(by(part[0]), part) for part in parted(some, by)]
        return [(n, {"count": len(g), **smallest(g)}) for n, g in parts if n]

    def condition(result: Result) -> str:  # excludes it from the diagnosis
        return next((flag for flag in result.case.flags if flag in UNTELLING), "")

    found = {
        "profiles": summary["profiles"],
        "conventions": summary["conventions"],
        "causes": [
            [
                {
                    "name": bug.name,
                    "clause": bug.clause,
                    "says": bug.says,
                    **smallest(_showing(bug, each, failed)),
                }
                for bug in each
            ]
            for each in causes
        ],
        "use": list(use),
        "explained": bool(not diagnoses or (told and 3 * len(left) <= len(plain))),
        "exceptions": exceptions,
        "beyond": [{"condition": name, **g} for name, g in grouped(condition, failed)],
        "errors": [g for _, g in sorted(grouped(lambda r: r.reason, errors))],
    }
    return {"verdict": verdict(found), **found}


def _showing(
    bug: type[Bug], together: Sequence[type[Bug]], failed: Sequence[Result]
) -> Sequence[Result]:
    """Return the failures that show a bug."""
    if bug == DoublePrecision:
        firsts = ((r, r.verdict.mismatches) for r in failed if r.verdict)
        return [r for r, some in firsts if not all(each.representable for each in some)]
    if bug.name != SinglePrecision.name:  # all of it, or something on the way
        flagged = [r for r in failed if bug.name in r.case.flags]
        return flagged or [r for r in failed if bug.applies(r.case.data)] or failed
    others = {other.name for other in together}
    shows = [
        r
        for r in failed
        if r.dtype == "float64"
        and r.verdict is not None
        and (first := r.verdict.mismatches[0]).where == "fast weights"
        and abs(first.got - first.expected) < 1e-5 * abs(first.expected)
    ]
    return [r for r in shows if not others & set(r.case.flags)] or shows
