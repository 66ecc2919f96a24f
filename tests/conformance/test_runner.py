"""Programs that misbehave: a verdict for the case, the run goes on, no child is left."""

import json
import os
import secrets
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conformance import running
from conformance.running import statuses

from lookahead_ref.conformance import Case, Suite, UnsupportedError, cases, observe
from lookahead_ref.conformance.adapters import Pure
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.reports import headline
from lookahead_ref.conformance.running import (
    HungError,
    Limits,
    Process,
    StartError,
    Target,
    open_target,
    passes_alone,
    run,
)
from lookahead_ref.conformance.wire import Wired, shown
from support import started

PROGRAM = Path(__file__).parent / "programs" / "harness.py"
SMOKE = [case for case in cases() if case.id.startswith("smoke-")]
# The harness offers plain SGD inside one Lookahead, in float64.
PLAIN = [
    Suite({}, cases()).case(name)
    for name in ("smoke-wrapper", "smoke-evaluation", "resume-sgd-after4")
]
LIMITS = Limits(startup=20.0, step=5.0)


def harness(*arguments: str, limits: Limits = LIMITS) -> Target:
    command = shlex.join([sys.executable, str(PROGRAM), *arguments])
    return open_target(command=command, limits=limits)


def taken(target: Target, chosen: Sequence[Case] = PLAIN) -> list[Result]:
    return running.taken(target, chosen, dtypes=("float64",))


@pytest.fixture(autouse=True)
def no_child_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # All that a program starts inherits its environment, wherever it then belongs.
    mark = secrets.token_hex(8)
    monkeypatch.setenv("MARK", mark)
    yield
    # Their files in /proc can be read on Linux only, and then not of other users.
    for place in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            assert f"MARK={mark}".encode() not in place.read_bytes(), place


@pytest.mark.parametrize("manners", ["", "no-stderr", "mute"])
def test_a_harness_is_taken_through_the_cases_step_by_step(manners: str) -> None:
    # One may close its standard error; one that does not stop is ended.
    assert statuses(taken(harness(manners))) == {"passed"}


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("dies", "exit status 7; it wrote: out of cheese"),
        ("child", "ended with exit status 0"),
        ("session", "ended with exit status 0"),
        ("garbage", "an answer must be a JSON object, got 'phi = 3'"),
        ("list", "an answer must be a JSON object, got '[1, 2]'"),
        ("bytes", "an answer must be a JSON object"),
        ("megabytes", "a line of more than 1048576 bytes"),
        ("endless", "a line of more than 1048576 bytes"),
        ("twice", "wrote without being asked"),
        ("long-number", "16 hexadecimal digits, got"),
        ("decimal", "16 hexadecimal digits, got '0.5'"),
        ("shape", "a list of 3 bit strings"),
        ("missing", "fast weights must be a list"),
        ("error", "answered an error: no such optimizer"),
        ("surrogate", "answered an error: ? \\x1b[31m longlong"),
        ("slot", "slots of sgd are named nothing: it has none, got 'momentum'"),
        ("not-ok", 'start must be answered by {"ok": true}, got \'{"ok": false}\''),
    ],
)
def test_a_fault_fails_its_case_and_the_run_goes_on(fault: str, says: str) -> None:
    first, *rest = taken(harness(fault))
    assert first.case.id == "smoke-wrapper"
    assert first.status == "error"
    assert says in first.reason
    assert len(first.reason) < 1100
    assert statuses(rest) == {"passed"}


def test_nan_fails_but_something_not_offered_does_not() -> None:
    first, *rest = taken(harness("nan"))
    assert first.status == "failed"
    assert first.verdict is not None
    assert first.verdict.mismatches[0].distance == float("inf")
    assert statuses(rest) == {"passed"}
    first, *rest = taken(harness("unsupported"))
    assert (first.status, first.reason) == ("unsupported", "steps")
    assert statuses(rest) == {"passed"}


def test_a_hanging_program_is_retried_in_a_new_process_and_then_not_judged() -> None:
    first, *rest = taken(harness("hangs", limits=Limits(20.0, 0.5)))
    says = "did not answer 'step' within 0.5 s, and again in a new process"
    assert (first.status, first.reason) == ("unjudged", says)
    assert len(rest) == 2


def test_a_program_that_always_hangs_is_soon_given_up() -> None:
    results = taken(harness("stuck", limits=Limits(20.0, 0.05)), cases("wrapper"))
    tried = [r for r in results if "not tried" not in r.reason]
    assert len(tried) == 2
    assert statuses(results) == {"unjudged"}


SLOW = """
import os
import time

from lookahead_ref.conformance.adapters import Pure


def take(seconds):
    with open(os.environ["CLOCK"], "a") as clock:
        clock.write(f"{seconds} ")


take(40)
started = []


class Slow(Pure):
    def start(self, setup):
        if not started:
            take(40)
        started.append(setup)
        always = setup.case == "smoke-resume"
        if always or "500" not in open(os.environ["CLOCK"]).read():
            take(500)
            time.sleep(60)
        super().start(setup)
"""


def test_a_slow_machine_is_never_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, place = tmp_path / "clock", tmp_path / "slow.py"
    clock.touch()
    place.write_text(SLOW)
    monkeypatch.setenv("CLOCK", str(clock))

    def monotonic() -> float:
        return time.monotonic() + sum(map(int, clock.read_text().split()))

    patched = "lookahead_ref.conformance.running.time"
    monkeypatch.setattr(patched, SimpleNamespace(monotonic=monotonic))
    some = ("--case", "smoke-wrapper", "--case", "smoke-resume", "--run-timeout", "1e9")
    done = running.conform(f"{place}:Slow", *some, "--dtype", "float64", "--json")
    assert done.stdout, done.stderr
    # Imports and first answers that take 40 s, and a case that takes 500 s once, pass.
    (unjudged,) = json.loads(done.stdout)["unjudged"]
    assert unjudged["case"] == "smoke-resume"
    assert "not answer 'run' within 60 s, and again in a new process" in unjudged["reason"]
    assert "1 of 1 checks pass, 1 got no answer in time" in headline(
        json.loads(done.stdout)
    )
    assert done.exit_code == 4
    assert clock.read_text() == "40 40 500 40 40 500 40 40 500 "


def test_an_answer_nested_too_deep_is_described_as_such() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "a list nested too deep"


def test_a_run_ends_when_its_time_is_up_and_says_so() -> None:
    # The program would take a minute for its first step, and may.
    results = taken(harness("hangs", limits=Limits(20.0, 60.0, run=2.0)), cases("wrapper"))
    assert statuses(results) == {"unjudged"}
    assert results[-1].reason == "not tried: the run has taken 2 s"


def test_an_aborted_target_fails_all_remaining_cases_at_once() -> None:
    target = harness()
    target.abort()
    results = taken(target)
    assert {(r.status, r.reason) for r in results} == {("error", "interrupted")}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_at_once_with_all_its_programs(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = tmp_path / "hangs"
    os.mkfifo(hangs)
    monkeypatch.setenv("HANGS", str(hangs))
    heard = os.open(hangs, os.O_RDONLY | os.O_NONBLOCK)
    command = shlex.join([sys.executable, str(PROGRAM), "hangs"])
    some = ("--case", "smoke-wrapper", "--command", command)
    conform = [sys.executable, "-m", "lookahead_ref", "conform", *some]
    with started(conform, stderr=subprocess.PIPE, text=True) as called:
        assert select.select([heard], [], [], 60.0)[0]
        os.close(heard)
        called.send_signal(number)
        _, said = called.communicate(timeout=30.0)
    assert called.returncode == 128 + number
    assert said.endswith("\ninterrupted\n")


def test_only_a_python_adapter_takes_whole_cases() -> None:
    # Another program that says so is asked step by step all the same.
    code = 'import sys\nfor _ in sys.stdin: print(\'{"version": 1, "whole": true}\')'
    program = shlex.join([sys.executable, "-uc", code])
    results = taken(open_target(command=program, limits=LIMITS))
    assert statuses(results) == {"error"}
    assert "must be answered by" in results[0].reason


@pytest.mark.parametrize(
    ("fault", "limits", "says"),
    [
        ("silent", Limits(0.5, 5.0), "hello: did not answer 'hello' within 0.5 s"),
        ("old", LIMITS, "hello: version must be 1, got '99'"),
        ("unoffered", LIMITS, "hello: no"),
        ("offers", LIMITS, "hello: offers must be a list, got '7'"),
    ],
)
def test_a_program_that_does_not_say_hello_cannot_be_started(
    fault: str, limits: Limits, says: str
) -> None:
    with pytest.raises(HungError if fault == "silent" else StartError, match=says):
        harness(fault, limits=limits)
    with pytest.raises(StartError, match="no-such-program cannot be started"):
        open_target(command="./no-such-program")


def test_after_many_failures_in_a_row_the_rest_is_not_tried() -> None:
    calls = []

    def broken(*asked: object) -> Any:
        calls.append(asked)
        raise StartError("broken")

    target: Any = SimpleNamespace(observe=broken)
    results = run(target, cases("wrapper"), dtypes=("float32",))
    assert statuses(results) == {"error"}
    assert len(calls) == 12
    assert "not tried" in results[-1].reason


def test_a_python_class_is_found_in_a_file_and_in_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    place = tmp_path / "mine.py"
    place.write_text(
        "from lookahead_ref.conformance.adapters import Pure\n"
        "class Mine(Pure):\n"
        "    def step(self, gradients):\n"
        "        print('not an answer')\n"
        "        super().step(gradients)\n"
        "class Unfinished(Pure):\n"
        "    def start(self, setup):\n"
        "        assert input is not None and not __import__('sys').stdin.read()\n"
        "        super().start(setup)\n"
        "    def snapshot(self):\n"
        "        raise NotImplementedError\n"
    )
    assert statuses(taken(open_target("~/mine.py:Mine"), SMOKE)) == {"passed"}
    module = "lookahead_ref.conformance.adapters:Pure"
    assert statuses(taken(open_target(module), SMOKE)) == {"passed"}
    unfinished = taken(open_target(f"{place}:Unfinished"), SMOKE)
    assert {r.case.id: r.status for r in unfinished} == {
        case.id: "unsupported" if case.save_after else "passed" for case in SMOKE
    }


@pytest.mark.parametrize(
    ("more", "lacks"),
    [((), "snapshot"), (("snapshot",), "dump"), (("snapshot", "dump"), "load")],
)
def test_a_python_class_needs_three_methods_and_no_order_of_names(
    more: tuple[str, ...], lacks: str
) -> None:
    def least() -> Any:
        it = Pure()

        def fast() -> Any:
            return {name: it.fast()[name].tolist() for name in reversed([*it.fast()])}

        others = {name: getattr(it, name) for name in more}
        return SimpleNamespace(start=it.start, step=it.step, fast=fast, **others)

    for case in SMOKE:
        if case.save_after or case.evaluate_after:
            missing = lacks if case.save_after else "evaluation"
            with pytest.raises(UnsupportedError, match=f"there is no method {missing}"):
                observe(case, "float32", least())
        else:
            assert observe(case, "float32", least()).steps.fast


def recording(path: Path) -> Path:
    """Write down what the harness answers, as it would going through the vectors itself."""
    entries: list[dict[str, Any]] = [{"recording": 1, "name": "recorded"}]
    with closing(harness()) as program:

        def noted(case: Case, said: dict[str, list[Any]], steps: str) -> Wired:
            def ask(request: Any) -> Any:
                answer = program.ask(request)  # type: ignore[attr-defined]
                kinds = {"step": steps, "evaluate": "evaluations"}
                if request["do"] in kinds:
                    said.setdefault(kinds[request["do"]], []).append(answer)
                return answer

            return Wired(ask, case)

        for case in PLAIN:
            said: dict[str, list[Any]] = {}
            resumed = partial(noted, case, said, "resumed")
            observe(case, "float64", noted(case, said, "steps"), resumed)
            entries.append({"case": case.id, "dtype": "float64", **said})
    path.write_text("\n".join(map(json.dumps, entries)))
    return path


def test_a_recording_is_judged_as_the_program_itself(tmp_path: Path) -> None:
    target = open_target(recorded=recording(tmp_path / "run.jsonl"))
    assert target.name == "recorded"
    *recorded, absent = taken(target, [*PLAIN, cases("wrapper")[2]])
    assert statuses(recorded) == {"passed"}
    assert (absent.status, absent.reason) == ("unsupported", "it was not recorded")


FIRST = '{"recording": 1}'
ENTRY = json.dumps({"case": SMOKE[0].id, "dtype": "float32"})


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([""], "line 1: an answer must be a JSON object"),
        (['{"recording": 2}'], "line 1: recording must be 1, got '2'"),
        ([FIRST, '{"case"'], "line 2: an answer must be a JSON object"),
        ([FIRST, '{"case": "a"}'], "line 2: there is no case 'a' in 'None'"),
        ([FIRST, ENTRY.replace("32", "16")], "line 2: .*'smoke-wrapper' in 'float16'"),
        ([FIRST, ENTRY, ENTRY], "line 3: smoke-wrapper in float32 was recorded twice"),
    ],
)
def test_bad_recordings_are_refused(tmp_path: Path, lines: list[str], says: str) -> None:
    place = tmp_path / "run.jsonl"
    place.write_text("\n".join(lines))
    with pytest.raises(StartError, match=says):
        open_target(recorded=place)
    # Nor is a check that failed repeated on what cannot be started.
    failed = Result(cases()[0], "float32", "failed")
    assert not passes_alone(partial(open_target, recorded=place), failed, "strict")


def test_the_last_answer_of_a_program_that_has_just_ended_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = (
        "import sys\n"
        "input(); print('{\"version\": 1}', flush=True)\n"
        "input(); print('{\"said\": \"' + 'x' * 60_000 + '\"}', end='\\n', flush=True)"
    )
    process = Process([sys.executable, "-c", code], Limits())

    def late(timeout: float) -> list[object]:
        process._child.wait(30)
        return []

    monkeypatch.setattr(process._selector, "select", late)
    try:
        assert process.ask({"do": "anything"}, 10.0) == {"said": "x" * 60_000}
    finally:
        process.end()
