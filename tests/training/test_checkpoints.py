"""Checkpoints and run folders, on failing disks and after wrong edits."""

import errno
import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import killing
import lookahead_ref as la
from commands import called, outcome, refused, succeeded
from killing import Program, quiet
from lookahead_ref.experiments import resume
from lookahead_ref.experiments import train as one_run
from lookahead_ref.report.files import FolderInUseError
from lookahead_ref.training import CheckpointError, CheckpointFolder, train
from lookahead_ref.training.checkpoints import DamagedError, decode, encode
from lookahead_ref.zoo import MLP
from support import in_threads
from toys import Elsewhere, Normalised, clouds

ARRAYS = {"b/w": np.arange(3.0), "a": np.float32(2.0), "empty": np.zeros((0, 2), np.int64)}
RECORD = {"step": 7, "state": {"big": 2**127, "loss": 0.1}}
CONTENT = encode(ARRAYS, RECORD)


def test_a_checkpoint_is_read_as_written_and_equal_states_give_equal_bytes() -> None:
    arrays, record = decode(CONTENT)
    assert record == RECORD
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    reordered = {name: ARRAYS[name] for name in reversed(ARRAYS)}
    assert encode(reordered, dict(reversed(RECORD.items()))) == CONTENT


@given(st.integers(0, 8 * len(CONTENT) - 1))
def test_a_changed_bit_and_a_missing_end_are_seen_wherever_they_are(bit: int) -> None:
    changed = bytearray(CONTENT)
    changed[bit // 8] ^= 1 << bit % 8
    for damaged in (bytes(changed), CONTENT[: bit // 8]):
        with pytest.raises(DamagedError):
            decode(damaged)


def test_it_is_a_safetensors_file_with_one_key_of_sorted_json(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    (tmp_path / "file").write_bytes(CONTENT)
    with safetensors.safe_open(tmp_path / "file", framework="numpy") as file:
        ((key, text),) = file.metadata().items()
        assert set(file.keys()) == set(ARRAYS)
    assert key == "lookahead-ref"
    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) == text


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (b'"dtype":"F64"', b'"dtype":"F32"'),
        (b'"dtype":"F64"', b'"dtype":"F99"'),
        (b'"data_offsets":[', b'"data_offsets":[9'),
        (b'"lookahead-ref"', b'"lookahead-fer"'),
        (rb"\"record\"", rb"\"rekord\""),
    ],
)
def test_a_wrong_file_with_a_right_checksum_is_reported(was: bytes, now: bytes) -> None:
    assert was in CONTENT
    changed = CONTENT.replace(was, now, 1)
    length = int.from_bytes(changed[:8], "little") + len(now) - len(was)
    changed = length.to_bytes(8, "little") + changed[8:]
    start = changed.index(b"digest") + len(rb"digest\":\"")
    blank = changed[:start] + b"0" * 64 + changed[start + 64 :]
    digest = hashlib.sha256(blank).hexdigest().encode()
    with pytest.raises(DamagedError, match="it is not a checkpoint"):
        decode(blank.replace(b"0" * 64, digest, 1))


OWN = resume.own_code(killing.SETTINGS)
AGAIN = shlex.join(word for name, text in OWN.items() for word in (f"--{name}", text))
LAST = "checkpoint-00000015.safetensors"
ORDER = {"epochs": 2, "batch_size": 4, "every": 5}


def run_in(folder: Path, note: Callable[[str], None] = quiet, **options: Any) -> None:
    """Begin the run of the kill tests in a folder, or go on with it."""
    killing.run(folder, killing.prepared(2, 4), note, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose run came to its end."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run_in(folder, checkpoint_every=5)
    return folder


@pytest.fixture
def stopped(whole: Path, tmp_path: Path) -> Path:
    """A folder whose run was stopped after its last checkpoint but one."""
    folder = shutil.copytree(whole, tmp_path / "stopped")
    for name in ("checkpoint-00000020.safetensors", "final.safetensors", "results.json"):
        (folder / name).unlink()
    return folder


def final(folder: Path) -> bytes:
    return (folder / "final.safetensors").read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    before = contents(folder)
    yield
    assert contents(folder) == before


def kept(folder: Path) -> list[int]:
    """The steps at which there are checkpoints."""
    return sorted(int(path.stem[-8:]) for path in folder.glob("checkpoint-*.safetensors"))


@pytest.mark.parametrize(
    ("options", "steps"), [({}, [0, 20]), ({"checkpoint_every": 5, "keep": 1}, [20])]
)
def test_start_and_end_are_saved_and_the_last_few_checkpoints_are_kept(
    options: dict[str, int], steps: list[int], whole: Path, tmp_path: Path
) -> None:
    assert kept(whole) == [10, 15, 20]
    run_in(tmp_path / "run", **options)
    assert kept(tmp_path / "run") == steps


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_is_used(
    damage: str, stopped: Path, whole: Path
) -> None:
    last = stopped / LAST
    content = bytearray(last.read_bytes())
    if damage == "cut":
        del content[-100:]
    else:
        content[-8] ^= 4  # of an array: a bit of the JSON before may make it no JSON at all
    last.write_bytes(content)
    notes: list[str] = []
    run_in(stopped, notes.append)
    assert f"{last} is damaged, its checksum does not match" in notes[0]
    assert re.search("continuing from .*checkpoint-00000010", notes[1])
    assert (stopped / f"{last.name}.damaged-1").read_bytes() == content
    assert final(stopped) == final(whole)


def test_with_only_damaged_checkpoints_the_run_does_not_restart(stopped: Path) -> None:
    for path in stopped.glob("checkpoint-*"):
        path.write_bytes(path.read_bytes()[:-1])
    log = (stopped / "train.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* can be used"):
        run_in(stopped)
    assert (stopped / "train.jsonl").read_bytes() == log
    assert not (stopped / "final.safetensors").exists()


def test_a_checkpoint_of_another_run_is_refused(stopped: Path, tmp_path: Path) -> None:
    prepared = one_run.prepare(replace(killing.prepared(2, 4).settings, seed=6))
    with resume.begin(tmp_path / "other", prepared.settings, quiet) as run:
        one_run.run(prepared, run)
    shutil.copy(tmp_path / "other" / "checkpoint-00000020.safetensors", stopped)
    message = "is of another run"
    with unchanged(stopped), pytest.raises(CheckpointError, match=message):
        run_in(stopped)


WEIGHT = "optimizer/params/weight"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda _, r: r.update(format_version=2), "version .* 1 was expected, got 2"),
        (lambda _, r: r.pop("state"), "'state' is a required property"),
        (lambda _, r: r.pop("log_bytes"), "'log_bytes' is a required property"),
        (lambda _, r: r.update(log_bytes="7"), "log_bytes .* '7' is not of type 'integer'"),
        (lambda _, r: r["state"].pop("rng"), "'rng' is a required property"),
        (lambda _, r: r["state"]["history"][0].pop("step"), "'step' is a required prop"),
        (lambda _, r: r["state"]["rng"].clear(), "resume must be a state of this run"),
        (lambda a, _: a.pop(WEIGHT), "must have an entry 'params/weight', got none"),
        (
            lambda _, r: r["state"]["rng"]["state"].update(inc=-1),
            "resume must be a state of this run: .* out of bounds",
        ),
        (lambda _, r: r["state"].update(step=-3), "step .* -3 is less than the minimum"),
        (lambda _, r: r["state"].update(step=None), "None is not of type .integer"),
        (lambda _, r: r["state"].update(step=10**30), "be 15 together, got 10{30}"),
        (lambda _, r: r["state"]["history"].pop(), r"of the epochs \[0, 1\], got \[0\]"),
        (lambda a, _: a.update(other=np.zeros(1)), "resume must be .*'other'"),
        (lambda a, _: a.pop("carried/count"), "carried must be as start .* 'count' is not"),
        (lambda a, _: a.update({"carried/x": np.eye(2)}), "as start makes it, 'x' is not"),
        (
            lambda a, _: a.update({"carried/count": np.zeros((), np.int32)}),
            r"carried\['count'\] must be .*, int64 of shape \(\), got int32",
        ),
        (
            lambda a, _: a.update({"carried/mean/of": np.zeros(3, np.float32)}),
            r"carried\['mean/of'\] .*, float32 of shape \(2,\), got float32 of shape \(3,",
        ),
        (lambda a, _: a.update({WEIGHT: np.eye(2)}), "must be float32 .* got float64"),
    ],
)
def test_a_wrong_checkpoint_is_reported(edit: Any, message: str, stopped: Path) -> None:
    path = stopped / LAST
    arrays, record = decode(path.read_bytes())
    edit(arrays, record)
    path.write_bytes(encode(arrays, record))
    done = called(f"train {AGAIN} --resume", str(stopped))
    assert done.exit_code in (1, 2)
    assert re.search(message, done.stderr)


@pytest.mark.parametrize("call", range(1, 9))
def test_a_full_disk_is_reported_and_the_last_checkpoint_is_unchanged(
    call: int, stopped: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (stopped / LAST).read_bytes()
    flush, calls = os.fsync, itertools.count(1)

    def full(descriptor: int) -> None:
        if next(calls) == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device") as caught:
            run_in(stopped)
    message = " ".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert "checkpoint-000000" in message
    assert not list(stopped.glob(".*"))
    assert (stopped / LAST).read_bytes() == before
    run_in(stopped)
    assert final(stopped) == final(whole)


def test_a_disk_with_room_for_a_part(program: Program, stopped: Path, whole: Path) -> None:
    size = (stopped / LAST).stat().st_size
    ended = program(stopped, limit=size - 10, **ORDER)
    assert ended["error"].startswith("CheckpointError: the checkpoint")
    assert "20.safetensors cannot be written: File too large; the last is" in ended["error"]
    assert not list(stopped.glob(".*"))
    assert not list(stopped.glob("*20.safetensors"))
    run_in(stopped)
    assert final(stopped) == final(whole)


def test_a_folder_that_cannot_be_written_to_is_reported(program: Program) -> None:
    # Not in the folder of the tests, which other users may not enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        assert program(folder, **ORDER)["error"] == ""
        for path in (Path(name), folder, *folder.iterdir()):
            path.chmod(0o555)
        with unchanged(folder):
            ended = program(folder, nobody=True, **ORDER)
        for path in (Path(name), folder):
            path.chmod(0o755)
    assert ended["error"].startswith("PermissionError: ")
    assert "train.jsonl" in ended["error"]


@pytest.mark.parametrize("check_every", [1, 3, 50])
def test_device_state_goes_to_the_host_and_back(check_every: int, tmp_path: Path) -> None:
    elsewhere = Elsewhere()

    class Watching(Normalised):
        handed: ClassVar[list[Any]] = []

        def loss(self, params: Any, batch: Any, carried: Any, rng: Any) -> Any:
            self.handed.append(carried["count"])
            return super().loss(params, batch, carried, rng)

    def train_some(**options: Any) -> Any:
        made = la.Lookahead(la.Adam(0.05), k=3)
        options |= {"epochs": 2, "batch_size": 4, "check_every": check_every}
        return train(Watching(), clouds(), made, seed=0, backend=elsewhere, **options)

    whole = train_some(checkpoints=CheckpointFolder(tmp_path, {}, every=6, keep=9))
    max(tmp_path.iterdir()).unlink()
    checkpoints = CheckpointFolder(tmp_path, {}, every=6, keep=9)
    restored = checkpoints.restore(quiet)
    assert restored is not None
    Watching.handed.clear()
    again = train_some(checkpoints=checkpoints, resume=restored.snapshot)
    assert elsewhere.has(Watching.handed[0])
    assert int(Watching.handed[0]) > 0
    assert again.history == whole.history
    np.testing.assert_array_equal(again.params["weight"], whole.params["weight"])


def test_a_run_in_another_thread_receives_no_signals(tmp_path: Path, whole: Path) -> None:
    in_threads(run_in, [tmp_path / "run"])
    assert final(tmp_path / "run") == final(whole)


def test_a_second_run_in_the_folder_is_refused(stopped: Path) -> None:
    with unchanged(stopped), resume.continued(stopped, quiet, OWN):
        with pytest.raises(FolderInUseError, match="another run is writing to"):
            run_in(stopped)
        done = called(f"train {AGAIN} --resume", str(stopped))
        refused(done, f"another run is writing to {stopped}")


def test_an_output_folder_with_a_run_in_it_is_refused(stopped: Path) -> None:
    with unchanged(stopped):
        done = called("train --output", str(stopped))
        refused(done, f"--resume {stopped} continues that")


def test_only_a_run_can_be_resumed(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        message = f"got {folder}, which has no run.json"
        refused(called("train --resume", str(folder)), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "something else"}, "'lookahead-ref run' was expected, got 'someth"),
        ({"format_version": 2}, "1 was expected, got 2"),
        ({"settings": {"epochs": 1}}, "is a required property"),
        ({"versions": None}, "None is not of type 'object'"),
        ({"started": "yesterday"}, "its checksum does not match"),
        ("[" * 100_000, "it is nested too deep"),
        ("[]", "is not of type 'object'"),
    ],
)
def test_a_wrong_run_json_is_reported(change: Any, message: str, stopped: Path) -> None:
    path = stopped / "run.json"
    if not isinstance(change, str):
        change = json.dumps(json.loads(path.read_text()) | change)
    path.write_text(change)
    done = called("train --resume", str(stopped))
    refused(done, message)
    assert "run.json cannot be understood" in done.stderr


def test_only_regular_files_are_read_back(stopped: Path) -> None:
    def piped(name: str) -> None:
        (stopped / name).unlink()
        os.mkfifo(stopped / name)

    piped(LAST)
    notes: list[str] = []
    run_in(stopped, notes.append)
    assert "00000015.safetensors cannot be read: it is no regular file" in notes[0]
    piped("run.json")
    message = f"it is no regular file: '{stopped / 'run.json'}'"
    refused(called(f"train {AGAIN} --resume", str(stopped)), message, code=1)


def test_options_that_decide_a_run_cannot_change_when_it_continues(stopped: Path) -> None:
    message = "resume cannot be given with --batch-size"
    refused(called("train --batch-size 9 --resume", str(stopped)), message)
    done = succeeded(f"train {AGAIN} --keep 1 --json --resume", str(stopped))
    assert json.loads(done.stdout)["steps"] == 20
    assert kept(stopped) == [20]


@contextmanager
def heard(number: signal.Signals) -> Iterator[None]:
    """Have a signal interrupt this process, which may have been started to ignore it."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_asked_to_end_saves_its_state_and_says_how_to_continue(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    step, asked = la.Stepper.step, iter(range(1, 10**6))

    def asking(self: la.Stepper, grads: Any) -> None:
        step(self, grads)
        if next(asked) == 33:
            signal.raise_signal(number)

    monkeypatch.setattr(la.Stepper, "step", asking)
    with heard(number):
        done = called("train --epochs 9 --output", str(folder))
    assert done.exit_code == 128 + number
    assert f"to continue: lookahead-ref train --resume {folder}" in done.stderr
    steps = int(done.stderr.split("stopped after ")[1].split()[0])
    _, record = decode(max(folder.glob("checkpoint-*")).read_bytes())
    assert record["state"]["step"] == steps
    assert 0 < steps <= 33  # trying out the model may also step
    lines = (folder / "train.jsonl").read_bytes()[: record["log_bytes"]].splitlines()
    assert json.loads(lines[-1])["event"] in ("step_taken", "epoch_ended")
    assert lines.count(b"") == 0


# The first two evaluations are those of the estimate.
@pytest.mark.parametrize(
    ("method", "at"), [("evaluate", 1), ("evaluate", 3), ("evaluate", 7), ("loss", 30)]
)
def test_a_signal_ends_an_evaluation_or_a_gradient_at_once_and_nothing_is_lost(
    method: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "train --epochs 3 --seed 1 --output"
    succeeded(line, str(tmp_path / "undisturbed"))
    compute, calls = getattr(MLP, method), itertools.count(1)

    def slow(self: MLP, *given: Any) -> Any:
        if next(calls) == at:
            assert kept(tmp_path / "run") == [0]
            signal.raise_signal(signal.SIGTERM)
            pytest.fail("it went on")
        return compute(self, *given)

    monkeypatch.setattr(MLP, method, slow)
    with heard(signal.SIGTERM):
        done = called(line, str(tmp_path / "run"))
    assert done.exit_code == 143
    assert "with the state of the run saved; to continue" in done.stderr
    succeeded("train --resume", str(tmp_path / "run"))
    ended = [outcome(tmp_path / name) for name in ("run", "undisturbed")]
    for what in ("results", "log", "weights"):
        assert ended[0][what] == ended[1][what]


def test_asking_twice_ends_a_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asking(self: la.Stepper, grads: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(la.Stepper, "step", asking)
    with heard(signal.SIGINT), pytest.raises(KeyboardInterrupt):
        run_in(tmp_path / "run")
