"""The command ``conform``: what it prints and writes, and its exit codes."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from conformance.running import chosen, conform, results
from conformance.wrong import program

from commands import Done, refused
from lookahead_ref.cli.conform import _profiles
from lookahead_ref.conformance.adapters.profiles import Checks
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.reports import lists
from lookahead_ref.conformance.summary import summarize

SWAPPED = """
import queue
from dataclasses import replace

import numpy as np
from conformance.wrong import changed, program

from lookahead_ref.conformance.adapters import Pure
from lookahead_ref.conformance import UnsupportedError


class Swapped(Pure):
    def start(self, setup):
        if len(setup.levels) > 1:
            raise UnsupportedError("no nesting <yet>")
        level = setup.levels[0]
        alpha = tuple(1 - each or 1.5e-45 for each in level.alpha)
        super().start(replace(setup, levels=(replace(level, alpha=alpha),)))


HAT = [
    ('s["second_moment"] / bias2', 's["second_moment"]'),
    ('(s["first_moment"] / bias1)', 's["first_moment"] * np.sqrt(bias2) / bias1'),
]


class Mixed:
    # Its Adam is of one form in float32 and of another in float64.

    def start(self, setup):
        self.it = changed([] if setup.dtype == "float32" else HAT)()
        self.it.start(setup)

    def __getattr__(self, name):
        return getattr(self.it, name)


Single = program("single-precision")
Double = program("double-precision")


class Flushing(Pure):
    def fast(self):
        def flushed(a):
            return np.where(abs(a) < np.finfo(a.dtype).smallest_normal, 0 * a, a)

        return {name: flushed(each) for name, each in super().fast().items()}


class Leaving(Pure):
    runs = []

    def start(self, setup):
        self.runs.append(setup)
        level = setup.levels[0]
        alpha = tuple(each * 0.99 ** len(self.runs[1:]) for each in level.alpha)
        super().start(replace(setup, levels=(replace(level, alpha=alpha),)))


class Broken(Pure):
    def fast(self):
        return queue.Queue().get_nowait()


class Listed(Pure):
    def fast(self):
        return list(super().fast().values())


class Unlisted(Pure):
    def slow(self):
        return super().slow()[0]
"""


WITHOUT_A_MESSAGE = "return queue.Queue().get_nowait()"


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("conform")
    place.joinpath("mine.py").write_text(SWAPPED)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("COLUMNS", "100")
        yield place


def listing(expected: object, version: int = 1) -> str:
    return json.dumps(
        {"format": "lookahead-expectations", "version": version, "expected": expected}
    )


def test_a_right_program_passes_and_its_conventions_are_reported(folder: Path) -> None:
    some = ("--profile", "wrapper", "--profile", "evaluation")
    result = conform("pure", *some, "--markdown", "pure.md")
    assert result.exit_code == 0
    assert re.search(r"pure: (\d+) of \1 checks pass\.", result.stdout)
    assert "Diagnosis" not in result.stdout
    assert "no-gradient-is-zero: takes no gradient for a gradient of zeros" in result.stdout
    assert "no-gradient-is-zero" in folder.joinpath("pure.md").read_text()


def test_a_program_that_offers_nothing_of_a_profile_does_not_pass() -> None:
    for more in ((), ("--explain",)):
        one = ("--profile", "nesting", "--dtype", "float32")
        result = conform("mine.py:Swapped", *one, *more)
        assert result.exit_code == 5
        assert "mine.py:Swapped offers none of the checks." in result.stdout
        assert "0 of 0" not in result.stdout


def test_one_convention_is_to_be_followed_throughout() -> None:
    result = conform("mine.py:Mixed", "--profile", "inner:adam")
    assert result.exit_code == 1
    assert "it mixes conventions." in result.stdout
    assert "epsilon-hat in " in result.stdout


PAIR = ("--profile", "wrapper", "--profile", "pytorch")
SOME = ("--profile", "wrapper", "--profile", "nesting")
WRAPPER = ("--profile", "wrapper", "--dtype", "float32")
NARROW = ("pure", "--case", "own-inner-k1-alpha0.5-float32")


@pytest.fixture(scope="module")
def swapped() -> Done:
    files = ("--html", "a.html", "--junit", "a.xml", "--markdown", "a.md")
    return conform("mine.py:Swapped", *SOME, *files, "--write-expect", "first.json")


def test_what_no_cause_explains_is_listed_apart() -> None:
    found = results(program("alpha-swapped"), chosen("wrapper", every=5), "float64")
    summary = summarize("", found, diagnose(found))
    summary["diagnosis"][0]["exceptions"] = [summary["failures"][-1]["case"]]
    groups = [line.partition(":")[0] for line in dict(lists(summary))["Failures"]]
    assert groups == ["alpha-swapped", "wrapper, fast weights"]


def test_a_check_is_repeated_without_what_earlier_runs_leave_behind() -> None:
    said = " ".join(conform("mine.py:Leaving", *SOME).stdout.split())
    assert re.search(r"In a new process [\w.-]+ passes: .* a global or static", said)


def test_a_way_of_use_that_takes_too_long_is_not_judged() -> None:
    checks = Checks()

    @checks.enter("wait")
    def slow(_: Any) -> None:
        raise subprocess.TimeoutExpired("two ranks", 600)

    (found,) = checks.taken(None)
    assert found[:3] == ("slow", "not judged", "takes longer than 600 s on this machine")


def test_failures_are_reported_with_their_cause(swapped: Done) -> None:
    assert swapped.exit_code == 1
    assert "alpha-swapped: uses 1 - alpha for alpha" in swapped.stdout
    assert "consequence: alpha = 0.8 behaves as 0.2" in swapped.stdout
    assert "to fix it: move phi the fraction alpha towards theta" in swapped.stdout
    said = " ".join(swapped.stdout.split())
    assert "no nesting <yet>: 42 checks, such as " in said
    # Once for all that come of it; an element of a matrix with both its indices.
    first = "smoke-alpha (float32): fast weights at step 3, weight[0, 0]: expected "
    assert f"alpha-swapped: 50 checks, such as {first}" in said
    assert said.count("tolerances apart") == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Flushing", "--level gpu"),
        ("Single", "--dtype float32"),
        ("Double", "--dtype float64"),
    ],
)
def test_a_hint_names_the_option_that_helps(name: str, hint: str) -> None:
    some = (f"mine.py:{name}", "--profile", "wrapper", "--json")
    done = conform(*some)
    assert done.exit_code == 1
    said = " ".join(json.loads(done.stdout)["hints"])
    assert f"{hint} " in f"{said} "
    assert ("flushes" in said) == (name == "Flushing")
    assert conform(*some, *hint.split()).exit_code == 0
    found = " ".join(conform(*some[:-1]).stdout.split())
    assert ("which float32 cannot represent" in found) == (name == "Double")


def test_json_holds_everything() -> None:
    found = json.loads(conform("mine.py:Swapped", *WRAPPER, "--json").stdout)
    assert found["exit_code"] == 1
    (profile,) = found["profiles"]
    assert profile["verdict"] == "fails"
    assert profile["failed"] == len(found["failures"])
    first = found["failures"][0]["quantities"][0]
    assert first["got"] == pytest.approx(float.fromhex(first["got"].hex()))
    assert len(first["got_bits"]) == len(first["expected_bits"]) == 16
    (diagnosis,) = found["diagnosis"]
    (explanation,) = diagnosis["explanations"]
    assert [each["name"] for each in explanation] == ["alpha-swapped"]


def test_one_case_is_run_again_by_its_id() -> None:
    result = conform("mine.py:Swapped", "--case", "wrapper-k5-alpha0.8", "--json")
    found = json.loads(result.stdout)
    assert {each["case"] for each in found["failures"]} == {"wrapper-k5-alpha0.8"}
    assert {each["dtype"] for each in found["failures"]} == {"float32", "float64"}


def test_known_failures_are_expected_and_must_still_fail(swapped: Done) -> None:
    again = conform("mine.py:Swapped", *SOME, "--expect", "first.json")
    assert again.exit_code == 0
    assert "known failures" in again.stdout
    # Fixed, but still listed: the list must not outlive its reasons.
    fixed = conform("pure", *WRAPPER, "--expect", "first.json")
    assert fixed.exit_code == 1
    assert "pass although they were expected to fail" in fixed.stdout


def test_a_flag_can_be_expected_to_fail(folder: Path) -> None:
    entry = {"flag": "alpha-swapped", "reason": "as the blog has it", "link": ""}
    folder.joinpath("known.json").write_text(listing([entry]))
    some = ("--case", "wrapper-k5-alpha0.8", "--expect", "known.json")
    assert conform("mine.py:Swapped", *some).exit_code == 0
    assert conform("pure", *some).exit_code == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "known.json is not JSON (is it truncated?)"),
        ("[" * 100_000, "known.json is not JSON (is it truncated?)"),
        ("{}", "must be of the format 'lookahead-expectations'"),
        (listing(3, version=2), "has version 2; this reader knows version 1"),
        (listing(3), "expected must be a list"),
        (listing([{}]), "entry 1 must be an object with a case or a flag"),
        (listing([{"case": "no-such"}]), "entry 1 must give a reason"),
        (listing([{"case": "no-such", "reason": "r"}]), "of the suite has case 'no-such'"),
        (listing([{"flag": 3, "reason": "r"}]), "must hold strings"),
    ],
)
def test_expectations_that_cannot_be_used_are_refused(
    folder: Path, content: str, says: str
) -> None:
    folder.joinpath("known.json").write_text(content)
    refused(conform("pure", "--expect", "known.json"), says)


def test_pages_for_people_and_for_continuous_integration(
    swapped: Done, folder: Path
) -> None:
    page = folder.joinpath("a.html").read_text()
    assert "alpha-swapped" in page
    assert "no nesting &lt;yet&gt;" in page
    assert "<yet>" not in page
    root = ET.fromstring(folder.joinpath("a.xml").read_text())
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == ["wrapper", "nesting"]
    assert suites["nesting"].get("skipped") == suites["nesting"].get("tests") == "42"
    wrapper = suites["wrapper"]
    assert len(wrapper.findall("testcase/failure")) == int(wrapper.get("failures", ""))
    assert 0 < int(wrapper.get("failures", "")) < int(wrapper.get("tests", ""))
    text = folder.joinpath("a.md").read_text()
    assert "| wrapper | fails |" in text
    assert "no nesting \\<yet\\>" in text


def test_a_target_that_fails_has_its_own_exit_code() -> None:
    result = conform("mine.py:Broken", "--case", "smoke-wrapper", "--json")
    assert result.exit_code == 3
    # The user's own line, not the one below it that raised.
    line = SWAPPED.splitlines().index(f"        {WITHOUT_A_MESSAGE}") + 1
    place = {"line": str(line), "function": "fast", "code": WITHOUT_A_MESSAGE}
    where = f"(mine.py:{line}, in fast: {WITHOUT_A_MESSAGE})"
    for each in json.loads(result.stdout)["errors"]:
        assert each["frame"] == {"file": str(Path("mine.py").resolve()), **place}
        assert each["reason"] == f"answered an error: Empty {where}"
    assert conform("--command", "./no-such-program").exit_code == 3
    slow = ("--command", "sleep 60", "--startup-timeout", "0.1")
    refused(conform(*slow), "hello: did not answer 'hello' within 0.1 s: the program or", 4)


def test_an_error_in_a_package_has_its_line_and_not_its_frameworks(folder: Path) -> None:
    installed, fails = folder / "site-packages", "        framework.start()"
    installed.mkdir()
    installed.joinpath("framework.py").write_text("def start():\n    raise ValueError")
    theirs = f"import framework\nclass Adapter:\n    def start(self, setup):\n{fails}"
    installed.joinpath("theirs.py").write_text(theirs)
    own = "import sys\nsys.path[:0] = ['site-packages']\nfrom theirs import Adapter"
    folder.joinpath("around.py").write_text(own)
    done = conform("around.py:Adapter", "--case", "smoke-wrapper", "--json")
    assert {each["frame"]["code"] for each in json.loads(done.stdout)["errors"]} == {
        fails.strip()
    }


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import absent", "No module named 'absent' (theirs.py:1, in <module>: import"),
        ("class A:\n    def fast(self", "SyntaxError: '(' was never closed (theirs.py"),
    ],
)
def test_a_file_that_cannot_be_imported_is_reported_in_a_line(
    folder: Path, source: str, says: str
) -> None:
    folder.joinpath("theirs.py").write_text(source)
    refused(conform("theirs.py:Adapter", "--case", "smoke-wrapper"), says, code=3)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Listed", "fast weights must be a dict with the tensors ['w'], got list"),
        (
            "Unlisted",
            "slow weights must be a list with a dict for each Lookahead, got a dict",
        ),
    ],
)
def test_an_error_names_what_a_class_should_have_returned(name: str, says: str) -> None:
    result = conform(f"mine.py:{name}", "--case", "smoke-wrapper", "--json")
    assert result.exit_code == 3
    (reason, _) = (each["reason"] for each in json.loads(result.stdout)["errors"])
    assert reason == f"answered an error: {says}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "one of TARGET, --command and --recorded must be given, got none"),
        (("pure", "--command", "x"), "--command and --recorded must be given, got 2"),
        (("nothing",), "module:Class or file.py:Class, got 'nothing'"),
        (("mine.py:Absent",), "target must name a class of mine.py, got 'Absent'"),
        (("pathlob:Class",), "got 'pathlob'; did you mean 'pathlib'?: No module named"),
        (("absent.py:Class",), "target must be an existing file, got 'absent.py'"),
        (("pure", "--case", "wrapper-0"), "the id of a case, got 'wrapper-0'"),
        (("pure", "--case", "smoke-wraper"), "wraper'; did you mean 'smoke-wrapper'?"),
        (("pure", "--profile", "nestin"), "got 'nestin'; did you mean 'nesting'?"),
        (("absent.py:X", "--profile", "pytorch"), "an existing file, got 'absent.py'"),
        (("optax", "--profile", "jaxx"), "got 'jaxx'; did you mean 'jax'?"),
        (("pure", "--profile", "all"), "'own-inner', 'pytorch', 'jax', 'keras', got 'all'"),
        (("pure", *PAIR), "--profile pytorch must be given alone, got ['wrapper', "),
        (("pure", "--level", "lax"), "--level must be one of 'strict', 'gpu', got 'lax'"),
        (("pure", "--dtype", "float31"), "got 'float31'; did you mean 'float32'?"),
        ((*NARROW, "--dtype", "float64"), "one that the cases are for, got 'float64'"),
        (("optx",), "got 'optx'; did you mean 'optax'?"),
        (("pathlb",), "got 'pathlb'; did you mean 'pathlib:Class'?"),
        (("mine.py:Swaped",), "got 'Swaped'; did you mean 'Swapped'?"),
        (("--command", ""), "--command must name a program"),
        (("--recorded", "missing.jsonl"), "--recorded missing.jsonl cannot be read: "),
        (("--recorded", "."), "cannot be read: [Errno 22] it is no regular file: '.'"),
        (("pure", "--expect", "/dev/zero"), "cannot be read: [Errno 22] it is no regular"),
        (("pure", "--expect", "missing.json"), "--expect missing.json cannot be read: "),
        (("pure", "--case", "smoke-wrapper", "--html", "no/a.html"), "no/a.html must be"),
    ],
)
def test_a_wrong_command_fails_in_one_line(arguments: tuple[str, ...], says: str) -> None:
    # In one precision, for which one process starts.
    one = () if "--dtype" in arguments else ("--dtype", "float32")
    refused(conform(*arguments, *one), says)


def test_the_help_names_every_profile_and_exit_code() -> None:
    shown = conform("--help").stdout
    assert [name for name in _profiles() if name not in shown] == []
    message = shown.partition("Exit code:")[2].partition("Arguments")[0]
    assert re.findall(r"(\d), if", message) == [*"012345"]
