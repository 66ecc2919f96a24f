"""Public implementations: found, diagnosed, surveyed, and the reports to send."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conformance.running import named, statuses, taken
from conformance.wrong import program, results

from lookahead_ref.conformance import cases, reports
from lookahead_ref.conformance.adapters import PEERS, Peer, builtin
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.reports import condensed
from lookahead_ref.conformance.running import HungError, open_target
from lookahead_ref.conformance.vectors import VERSION, Case
from lookahead_ref.extras import MissingExtraError

DOCS = Path(__file__).parents[2] / "docs"
UPSTREAM = DOCS / "upstream"
REPORT = re.compile(r"literalinclude\} (\w+\.py)\n```\n\n```output\n(.*?)```", re.DOTALL)
REPORTS = dict(REPORT.findall((UPSTREAM / "index.md").read_text(encoding="utf-8")))

# Of these only one file is imported: with the rest comes what may not be there.
ALONE = """
import sys, types
from lookahead_ref.conformance.adapters.pytorch import one_file
file = sys.argv[1].rpartition("/")[2]
for prefix, package, path, name in (
    ("timm", "timm", "optim/lookahead.py", "timm.optim"),
    ("pylocron", "holocron", "optim/wrapper.py", "holocron.optim.wrapper"),
):
    if file.startswith(prefix):
        found = one_file(package, path)
        for parent in (package, f"{package}.optim"):
            sys.modules[parent] = types.ModuleType(parent)
        sys.modules[name] = found
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"))
"""


def survey() -> Any:
    return json.loads((DOCS / "conformance" / "implementations.json").read_bytes())


def test_the_survey_is_of_these_vectors_and_of_every_implementation() -> None:
    found = survey()
    assert (found["vectors"], found["cases"]) == (VERSION, len(cases()))
    assert [each["name"] for each in found["implementations"]] == list(PEERS)
    assert CAUSES.keys() == PEERS.keys()
    known = {case.id for case in cases()}
    for each in found["implementations"]:
        causes = chain.from_iterable(each["causes"])
        for entry in (*each["beyond"], *each["failures"], *causes):
            assert entry["case"] in known
        assert each["explained"]
        # Two runs are to differ by what has changed alone.
        for convention in each["conventions"]:
            assert list(convention["checks"]) == sorted(convention["checks"])


def test_the_page_has_a_section_for_every_implementation() -> None:
    page = (DOCS / "conformance" / "implementations.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)\n\n```\{golden-survey\} \1$", page, re.M) == list(PEERS)


def test_the_smallest_case_of_a_cause_is_one_that_shows_it() -> None:
    chosen = [case for case in cases() if case.profile not in ("outer", "workers")]
    found = results(program("alpha-swapped", "adam-uncorrected"), chosen, "float32")
    flags = {case.id: case.flags for case in cases()}
    (causes,) = condensed(found)["causes"]
    assert {each["name"] for each in causes} == {"alpha-swapped", "adam-uncorrected"}
    for each in causes:
        assert each["name"] in flags[each["case"]]
        assert each["shows"].startswith(each["case"])


def test_a_slow_machine_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Result(cases()[0], "float32", "unjudged", "did not answer")
    opened = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(reports, "open_target", lambda _: opened)
    monkeypatch.setattr(reports, "run", lambda *_: [late])
    with pytest.raises(HungError, match="snoo: 1 checks not judged: did not answer"):
        reports.survey(["snoo"])


def test_every_report_has_its_program_and_the_version_that_was_surveyed() -> None:
    assert sorted(REPORTS) == sorted(path.name for path in UPSTREAM.glob("*.py"))
    _, *reports = (UPSTREAM / "index.md").read_text(encoding="utf-8").split("\n## ")
    titles = [each["title"] for each in survey()["implementations"]]
    assert len(reports) == len(REPORTS)
    for report in reports:
        _, text = report.split("\n\n", 1)
        assert text.startswith(tuple(f"{title}. " for title in titles)), report


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_a_report_is_short_and_shows_what_it_says(name: str) -> None:
    source = (UPSTREAM / name).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 15
    imported = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    if not all(find_spec(each) for each in imported):
        pytest.skip(f"needs {', '.join(sorted(imported))}")
    command = [sys.executable, "-c", ALONE, str(UPSTREAM / name)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=UPSTREAM)
    assert run.stdout == REPORTS[name], run.stderr[-600:]


# The suite on them.

CAUSES = {
    "optax": {"reset-restarts-schedule"},
    "torch_optimizer": {"first-sync-at-step-1", "phi-after-first-step"},
    "pytorch_optimizer": {"only-momentum-reset", "only-momentum-interpolated"},
    "paddlepaddle": {"phi-after-first-step", "single-precision"},
    "timm": {"phi-at-first-sync", "evaluation-synchronizes"},
    "pylocron": set(),
    "torch2-look-ahead": {"only-momentum-reset", "only-momentum-interpolated"},
    "torchft": {"checkpoint-without-step-counter"},
    "fairscale": {"phi-after-first-step", "slow-momentum"},
    "snoo": set(),
}
PROFILES = ("state", "schedule", "evaluation", "inner:sgd", "outer")


def chosen() -> list[Case]:
    """A part of the cases, as all of them take minutes."""
    found = [case for name in PROFILES for case in cases(name)[::2]]
    return [case for case in found if not {"subnormal", "overflow"} & set(case.flags)]


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_what_departs_in_it_is_named(name: str) -> None:
    if not PEERS[name].installed:
        pytest.skip(f"needs {name}")
    target = open_target(name)
    results = taken(target, chosen(), dtypes=["float64"])
    assert name in builtin()
    assert target.name.startswith(f"{name} ")
    assert "failed" not in statuses(results)
    found = diagnose(results)
    assert len(found) <= 1
    assert CAUSES[name] in named(found[0].explanations if found else [()])


def test_one_that_is_not_installed_is_told_with_the_extra_that_installs_it() -> None:
    absent = Peer("no_such_package", ("no_such_module",), "optax:Optax")
    assert not absent.installed
    with pytest.raises(MissingExtraError, match=r"no_such_module .*-ref\[peers\]"):
        absent.require()
