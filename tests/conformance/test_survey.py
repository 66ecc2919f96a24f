"""Public implementations: found, diagnosed, surveyed, and the reports to send."""

import json
import os
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from conformance.running import named, results, statuses, taken
from conformance.wrong import program

from commands import called, refused
from lookahead_ref.conformance import cases
from lookahead_ref.conformance.adapters import PEERS, Peer, builtin
from lookahead_ref.conformance.bugs import CONVENTIONS
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.running import HungError, open_target
from lookahead_ref.conformance.survey import (
    condensed,
    described,
    enter,
    entered,
    load,
    surveyed,
    used,
    verdict,
)
from lookahead_ref.conformance.vectors import VERSION, released
from lookahead_ref.extras import MissingExtraError
from support import in_threads

DOCS = Path(__file__).parents[2] / "docs"
UPSTREAM = DOCS / "upstream"
REPORT = re.compile(r"literalinclude\} (\w+\.py)\n```\n\n```output\n(.*?)```", re.DOTALL)
REPORTS = dict(REPORT.findall((UPSTREAM / "index.md").read_text(encoding="utf-8")))

# Only one file of these is imported, as the rest may need missing packages.
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


ADAPTERS = DOCS / "conformance" / "adapters"

AT_STEP_1 = {"first-sync-at-step-1", "phi-after-first-step"}
SINGLE = {"single-precision"}
BY_NAME = {"only-momentum-reset", "only-momentum-interpolated"}
INNER_ALONE = {"checkpoint-of-inner-alone"}
STALE = {*INNER_ALONE, "schedule-frozen-after-loading"}
IN_PLACE = {"only-momentum-reset", "interpolated-slots-aliased-in-place"}
OF_TWO = {"interpolated-slots-aliased", "outer-sync-between-inner-ones"}
LATE, ZERO = {"phi-after-first-step"}, "phi-zero-without-gradient"
NOTHING: set[str] = set()
READ: dict[str, tuple[str, set[str]]] = {
    "authors-pytorch": ("but", {*IN_PLACE, *INNER_ALONE}),
    "authors-tensorflow": ("wrong", {"period-plus-one", "phi-starts-at-zero"}),
    "alphadl": ("wrong", AT_STEP_1),
    "bojone": ("but", INNER_ALONE),
    "catalyst": ("wrong", AT_STEP_1),
    "fairscale": ("wrong", {*LATE, *INNER_ALONE, "slow-momentum-by-last-rate"}),
    "fastai": ("right", NOTHING),
    "flux": ("but", {"interpolated-slots-aliased"}),
    "keras-lookahead": ("wrong", NOTHING),
    "lagan": ("wrong", {"phi-at-first-sync"}),
    "lonepatient": ("but", {"only-momentum-reset", *STALE}),
    "mxnet": ("but", {"hyperparameters-in-float32"}),
    "nachiket273": ("but", STALE),
    "nested_lookahead": ("wrong", {*AT_STEP_1, *STALE, *OF_TWO, "only-momentum-reset"}),
    "optax": ("but", {"reset-restarts-schedule"}),
    "optimisers": ("right", NOTHING),
    "over9000": ("wrong", {"phi-at-first-sync"}),
    "paddlepaddle": ("wrong", {*LATE, ZERO, "checkpoint-of-no-counts", *SINGLE}),
    "pylocron": ("but", {"schedule-frozen"}),
    "pytorch_optimizer": ("but", BY_NAME),
    "pytorch_ranger": ("but", SINGLE),
    "ranger": ("but", SINGLE),
    "ranger2020": ("but", SINGLE),
    "ranger913a": ("but", NOTHING),
    "rangerlite": ("right", NOTHING),
    "rangerqh": ("wrong", {"phi-after-decay"}),
    "snoo": ("right", NOTHING),
    "tensorflow_addons": ("but", SINGLE),
    "tensormonk": ("wrong", {"checkpoint-of-parameters-alone"}),
    "timm": ("wrong", {"phi-at-first-sync", "evaluates-fast-weights"}),
    "torch2-look-ahead": ("but", BY_NAME),
    "torch_optimizer": ("wrong", AT_STEP_1),
    "torchft": ("but", {"checkpoint-without-step-counter"}),
}
"""Verdict and causes, as the code of each says to a person."""


def survey() -> Any:
    return json.loads((DOCS / "conformance" / "implementations.json").read_bytes())


def test_the_survey_has_a_release_and_every_implementation() -> None:
    found = survey()
    assert found["vectors"] == VERSION
    sizes = [len(release) for release in released()]
    files = {described(str(path))["name"]: path for path in ADAPTERS.glob("*.py")}
    assert {each["name"] for each in found["implementations"]} == {*PEERS, *files}
    known = {case.id for case in cases()}
    for each in found["implementations"]:
        assert (each["vectors"], each["cases"] in sizes) == (VERSION, True)
        assert {**each, **described(str(files.get(each["name"], each["name"])))} == each
        causes = chain.from_iterable(each["causes"])
        for entry in (*each["beyond"], *each["errors"], *causes):
            assert entry["case"] in known
        # Two runs are to differ by what has changed alone.
        for convention in each["conventions"]:
            assert list(convention["checks"]) == sorted(convention["checks"])


@pytest.mark.parametrize("name", READ)
def test_the_causes_are_those_that_a_reader_of_the_code_finds(name: str) -> None:
    (one,) = [each for each in survey()["implementations"] if each["name"] == name]
    causes, *_ = [{cause["name"] for cause in each} for each in one["causes"]] or [set()]
    assert (one["verdict"], one["explained"]) == (READ[name][0], True)
    assert READ[name][1] == causes


def test_the_page_has_a_section_for_every_implementation() -> None:
    page = (DOCS / "conformance" / "implementations.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (\S+)\n\n```\{golden-survey\} \1\n```$", page, re.M)
    assert sorted(sections) == sorted(each["name"] for each in survey()["implementations"])


def test_the_page_says_plainly_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    words = runpy.run_path(str(DOCS / "_ext" / "survey_words.py"))
    those = {each["name"]: each for each in survey()["implementations"]}
    for name, says in {
        "authors-pytorch": r"loses the slow weights in a checkpoint; and \d+ more",
        "snoo": "nothing fails",
        "tensormonk": r"zero_grad\(\) clears no gradient; and \d+ more",
        "alphadl": r"synchronizes .*; stops at zero_grad\(\) in PyTorch 2; and \d+ more",
        "catalyst": ".* stops at the step after zero_grad.* in PyTorch 2; and 2 more",
        "mxnet": "in MXNet 1 it works around SGD, LARS and LAMB; around others it stops .*",
        "keras-lookahead": "with tf.keras .*; with Keras 2.2.5 nothing fails",
    }.items():
        assert re.fullmatch(says, words["sentence"](those[name]))
    (stops,) = those["mxnet"]["errors"]  # without a message
    assert words["error"](stops["shows"]).startswith("AssertionError (optimizer.py:36, in ")
    door = runpy.run_path(str(DOCS / "front_door.py"))
    page = (DOCS / "conformance" / "implementations.md").read_text(encoding="utf-8")
    assert door["fill"](page, report=door["report"]()) == page
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(DOCS / "_ext")
    drawn = runpy.run_path(str(DOCS / "_ext" / "survey_page.py"))
    assert "own checkpoint loses the slow weights" in drawn["headline"](those)
    assert ">right, but</text></svg>" in drawn["badge"]("but")
    left = those["nested_lookahead"] | {"exceptions": ["nesting-4-2"]}
    told = "".join(drawn["details"](left, lambda *_: "index.html"))
    assert re.search("no name; it is told below: .*nesting-4-2", told)


def found_with(
    *clauses: str, explained: bool = True, failures: int = 0, used: str = ""
) -> dict[str, Any]:
    name, says = (*used.split(" "), "")[:2]
    return {
        "causes": [[{"clause": each, "name": each} for each in clauses]] if clauses else [],
        "explained": explained,
        "errors": [{}] * failures,
        "profiles": [{"passed": 1}],
        "use": [{"name": name, "says": says}] if used else [],
    }


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (found_with(), "right"),
        (found_with("LA-22"), "but"),  # a checkpoint is our convention
        (found_with("LA-31"), "right"),  # in float32
        (found_with(failures=1), "but"),
        (found_with("LA-22", "LA-1"), "wrong"),  # where phi starts is the paper's
        (found_with(explained=False), "wrong"),
        (found_with(used="groups"), "wrong"),  # not all parameters
        (found_with(used="zero-grad"), "wrong"),  # and nobody is told
        (found_with(used="zero-grad raises"), "but"),
        (found_with(used="set-to-none"), "right"),
        (found_with(failures=1) | {"profiles": [{"passed": 0}]}, "wrong"),
    ],
)
def test_a_verdict_asks_what_the_paper_says(found: dict[str, Any], expected: str) -> None:
    assert verdict(found) == expected


def run(version: str, verdict: str = "wrong", **more: Any) -> dict[str, Any]:
    return {**found_with(), "name": "mine", "package": "mine", "version": version,
            "date": "", "vectors": 2, "verdict": verdict, **more}  # fmt: skip


@pytest.mark.parametrize(
    "runs",
    [
        [run("1.9"), run("1.10b3"), run("1.10rc2"), run("1.10"), run("1.10", "right")],
        [run("1.10", "right"), run("1.9"), run("1.10rc2"), run("1.10b3")],
    ],
)
def test_the_newest_version_is_shown_and_the_history_has_all(runs: Any) -> None:
    found: dict[str, Any] = {}
    for each in runs:
        found = entered(found, each)
    (row,) = found["implementations"]
    assert (row["version"], row["verdict"]) == ("1.10", "right")
    told = [f"{each['version']} {each['verdict']}" for each in row["history"]]
    assert told == ["1.10 right", "1.10rc2 wrong", "1.10b3 wrong", "1.9 wrong"]


def test_among_revisions_which_have_no_order_the_last_run_is_shown() -> None:
    first, last = ({**run(revision)} for revision in ("fa9", "08b"))
    del last["package"]
    (row,) = entered(entered({}, first), last)["implementations"]
    assert row["version"] == "08b"
    assert [each["version"] for each in row["history"]] == ["08b", "fa9"]


def test_a_run_of_older_vectors_does_not_hide_one_of_newer() -> None:
    (row,) = entered(entered({}, run("1", vectors=3)), run("1"))["implementations"]
    assert [each["vectors"] for each in (row, *row["history"])] == [3, 3, 2]


def test_surveys_that_end_together_all_enter_one_file(tmp_path: Path) -> None:
    in_threads(lambda name: enter(tmp_path / "found", run("1", name=name)), "abcdefgh")
    found = load(tmp_path / "found")["implementations"]
    assert sorted(each["name"] for each in found) == [*"abcdefgh"]


@pytest.mark.parametrize("content", ["", "null", '{"format": "other"}'])
def test_a_file_that_is_no_survey_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "found.json"
    path.write_text(content)
    refused(called("golden survey snoo --output", str(path)), f"{path} ")
    assert path.read_text() == content
    says = "must be in an existing folder"
    refused(called("golden survey --output", str(tmp_path / "no" / "found")), says)


def test_the_survey_takes_an_adapters_file_with_a_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = Result(cases()[0], "float32", "passed")
    monkeypatch.setattr("lookahead_ref.conformance.survey.run", lambda *_: [passed])
    path, right = tmp_path / "wrong.py", tmp_path / "mine.py"
    path.write_text("class Adapter:\n    pass\n")
    with pytest.raises(ValueError, match="must have a dict ABOUT"):
        described(str(path))
    with pytest.raises(ValueError, match=r"one of optax, .*, or a file, got 'optx'"):
        described("optx")
    about = '{"name": "mine", "title": "Mine", "home": "there", "revision": "1"}'
    right.write_text(f"ABOUT = {about}\nclass Adapter:\n    pass\n")
    mine = surveyed(str(right))
    assert (mine["version"], mine["adapter"], mine["verdict"]) == ("1", "mine.py", "right")
    before = {"implementations": [{"name": "other"}]}
    other, again = entered(before, mine)["implementations"]
    assert (other, {**mine, **again}) == ({"name": "other"}, again)
    path.write_text(f"ABOUT = {about[:-1]}, 'python': '2.0, with TensorFlow'}}")
    with pytest.raises(ModuleNotFoundError, match=r"mine needs --python, 2\.0, with"):
        surveyed(str(path), [sys.executable])
    done = called("golden", "survey", str(path), str(right))
    (entry,) = json.loads(done.stdout)["implementations"]
    assert (done.exit_code, entry["version"]) == (4, "1")


def test_the_smallest_case_of_a_cause_is_one_that_shows_it() -> None:
    chosen = [case for case in cases() if case.profile not in ("outer", "workers")]
    found = results(program("alpha-swapped", "adam-uncorrected"), chosen, "float32")
    flags = {case.id: case.flags for case in cases()}
    # What a reader supposed is left out where nothing shows it.
    (causes,) = condensed(found, ["period-plus-one", "adam-uncorrected"])["causes"]
    assert [each["name"] for each in causes] == ["adam-uncorrected", "alpha-swapped"]
    for each in causes:
        assert each["name"] in flags[each["case"]]
        assert each["shows"].startswith(each["case"])


def test_a_rounding_is_shown_by_a_check_in_float64() -> None:
    found = results(program("phi-starts-at-zero", "single-precision"), cases("wrapper"))
    (causes,) = condensed(found)["causes"]
    shows = {each["name"]: each["shows"] for each in causes}
    assert "(float64): fast weights" in shows["single-precision"]


def test_the_ways_of_use_that_fail_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"name": "zero-grad", "says": "why", "fix": "how"}
    checks = [{**told, "verdict": v, "frame": None} for v in ("passes", "fails")]
    done = SimpleNamespace(stdout=json.dumps({"checks": checks}))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert used("mine.py", {"wrapper": "Lookahead"}) == [told]


@pytest.mark.parametrize(
    ("status", "error"), [("unjudged", HungError), ("error", ModuleNotFoundError)]
)
def test_missing_packages_are_not_recorded(
    monkeypatch: pytest.MonkeyPatch, status: Any, error: type[Exception]
) -> None:
    only = Result(cases()[0], "float32", status, "no answer")
    opened = SimpleNamespace(close=lambda: None)
    module = "lookahead_ref.conformance.survey"
    monkeypatch.setattr(f"{module}.open_target", lambda *_, **__: opened)
    monkeypatch.setattr(f"{module}.run", lambda *_: [only])
    with pytest.raises(error, match=r"snoo: .*: no answer"):
        surveyed("snoo")


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (4, 0), (1, 1), (2, 1)])
def test_the_scheduled_survey_fails_if_the_command_does(code: int, ends: int) -> None:
    workflow = DOCS.parent.joinpath(".github", "workflows", "survey.yml").read_text("utf-8")
    steps = yaml.safe_load(workflow)["jobs"]["survey"]["steps"]
    (script,) = [each["run"] for each in steps if "golden survey" in each.get("run", "")]
    script = f"lookahead-ref() {{ return {code}; }}\npython() {{ :; }}\n{script}"
    assert subprocess.run(["bash", "-ec", script], check=False).returncode == ends


def test_every_report_has_its_program_and_the_version_that_was_surveyed() -> None:
    assert sorted(REPORTS) == sorted(path.name for path in UPSTREAM.glob("*.py"))
    _, *reports = (UPSTREAM / "index.md").read_text(encoding="utf-8").split("\n## ")
    titles = [f"{e['title']} {e['version']}" for e in survey()["implementations"]]
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
    clones = os.environ.get("PYTHONPATH", "")
    if name.startswith("authors") and "michaelrzhang" not in clones:
        pytest.skip("needs a clone of michaelrzhang/lookahead on PYTHONPATH")
    command = [sys.executable, "-c", ALONE, str(UPSTREAM / name)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=UPSTREAM)
    assert run.stdout == REPORTS[name], run.stderr[-600:]


# The suite on them: on some cases, as all take minutes.

PROFILES = ("state", "schedule", "evaluation", "inner:sgd", "outer")
SOME = [case for name in PROFILES for case in cases(name)[:: 1 + (name != "outer")]]


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_its_failures_are_named(name: str) -> None:
    if not PEERS[name].installed:
        pytest.skip(f"needs {name}")
    target = open_target(name)
    dtype = "float32" if name == "fairscale" else "float64"  # it has no other
    chosen = [each for each in SOME if not {"subnormal", "overflow"} & set(each.flags)]
    results = taken(target, chosen, dtypes=[dtype])
    assert name in builtin()
    assert target.name.startswith(f"{name} ")
    assert "error" not in statuses(results)
    found = diagnose(results)
    assert len(found) <= 1
    # These cases save a state only with outer optimizers.
    saves = name in ("torchft", "fairscale")
    causes = {c for c in READ[name][1] if saves or "checkpoint" not in c}
    message = named(found[0].explanations if found else [()])
    assert causes in [each - {some.name for some in CONVENTIONS} for each in message]


def test_a_missing_package_is_reported_with_its_extra() -> None:
    absent = Peer("no_such_package", "", ("no_such_module",), "optax:Optax")
    assert not absent.installed
    with pytest.raises(MissingExtraError, match=r"no_such_module .*-ref\[peers\]"):
        absent.require()
