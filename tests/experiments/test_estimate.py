"""What a command says before it begins, and while it goes on."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest
from rich.console import Console

from commands import succeeded
from lookahead_ref.experiments import estimate as estimating
from lookahead_ref.experiments import sweep, train, trials
from lookahead_ref.experiments.estimate import estimate, measured, unfinished, work_left
from lookahead_ref.experiments.paper.reproduce import prepare
from lookahead_ref.experiments.parallel import LocalProcesses
from lookahead_ref.experiments.resume import Note
from lookahead_ref.experiments.settings import (
    ReproduceSettings,
    SweepSettings,
    TrainSettings,
)


@pytest.mark.parametrize(
    "settings",
    [
        TrainSettings(epochs=3),
        TrainSettings(model="lstm", data="pydoc", hidden=(4,), layers=1, epochs=3),
        TrainSettings(model="resnet32", optimizer="adam", epochs=3, evaluate_every=2),
    ],
    ids=["mlp", "lstm", "resnet32"],
)
def test_an_estimate_knows_all_steps_and_grows_with_the_epochs(
    settings: TrainSettings,
) -> None:
    prepared = train.prepare(settings)
    found = estimate(prepared, measured(prepared))
    stream = prepared.data.stream(prepared.batch_size, 0)
    assert (found.steps, found.epochs) == (3 * stream.batches_per_epoch, 3)
    assert found.seconds > 0
    assert ", 1 left, about " in str(replace(found, done=found.steps - 1))


def test_workers_of_one_process_take_turns() -> None:
    run = train.prepare(TrainSettings(optimizer="lookahead-sgd", epochs=1, workers=2))
    found = [estimate(run, (1.0, 0.0, 0.0), None, processes) for processes in (1, 2)]
    assert [(each.steps, each.seconds) for each in found] == [(10, 20.0), (10, 10.0)]


@pytest.mark.parametrize(("name", "count"), [("fig1", 31**2 + 4 * 6 + 1), ("fig10", 73)])
def test_evaluations_along_a_path_are_counted(name: str, count: int) -> None:
    job = prepare(name, ReproduceSettings(epochs=1, seeds=1))
    found = estimate(job.prepared[0], (0.0, 2.0, 0.0), job.plan.evaluations)
    assert found.seconds == 2.0 * count


def test_existing_results_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = sweep.prepare(
        SweepSettings(("sgd", "lookahead-sgd"), seeds=2, base=TrainSettings(epochs=2))
    )
    arms, in_all = work_left(job, 2, unfinished(job, None))
    assert [line.split(", about")[0] for line in arms] == [
        "sgd: 2 runs of 40 steps in 2 epochs",
        "lookahead-sgd: 2 runs of 40 steps in 2 epochs",
    ]
    assert in_all.startswith("4 runs, 160 steps in all, about ")
    assert in_all.endswith(" in 2 processes")
    (tmp_path / "trials").mkdir()
    for _, trial in job.plan.trials()[:3]:
        trial.file(tmp_path / "trials").touch()
    left = unfinished(job, tmp_path)
    assert work_left(job, 2, left)[1].startswith("1 run, 40 steps in all")
    (begun := tmp_path / "trials" / job.plan.trials()[3][1].name).mkdir()
    Note(begun, 40).write(30, "epoch 2")
    left = unfinished(job, tmp_path)
    assert work_left(job, 2, left)[1].startswith("1 run, 10 steps in all")
    monkeypatch.delattr(estimating, "measured")  # there is nothing to measure
    assert work_left(job, 2, [])[1].startswith("0 runs, 0 steps in all")


@pytest.mark.parametrize("command", ["compare", "sweep", "reproduce table1", "train"])
def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is done before it says so, however long it takes.
    monkeypatch.setattr(Timer, "start", lambda self: self.function(*self.args, err=True))
    folder = tmp_path / "run"
    done = succeeded(f"{command} --epochs 2 --dry-run --output {folder}")
    first, then = done.stderr.splitlines()
    assert first.startswith("reading the data")
    assert then.startswith("compiling, then measuring")
    assert "40 steps in 2 epochs, about " in done.stdout
    assert not folder.exists()
    done = succeeded(f"{command} --epochs 2 --dry-run --json")
    assert json.loads(done.stdout)["in_all"].split()[1] in ("run,", "runs,", "steps")


def test_a_note_says_how_far_a_run_is_but_not_after_its_process_has_ended(
    tmp_path: Path,
) -> None:
    assert Note.read(tmp_path, 0.0) == (0.0, "")
    note = Note(tmp_path, 8)
    note.write(2, "epoch 1")
    note.write(4, "too soon")
    assert Note.read(tmp_path, time.time() - 60) == (0.25, "epoch 1")
    assert Note.read(tmp_path, time.time() + 60) == (0.25, "")
    (tmp_path / "now.json").write_text("{")
    assert Note.read(tmp_path, 0.0) == (0.0, "")


def waiting(settings: TrainSettings, folder: Path, *_: object) -> dict[str, str]:
    """A trial that says how far it is, and ends once that is shown."""
    folder.mkdir()
    Note(folder, 10).write(5, "epoch 7, batch loss 0.1250")
    while "epoch 7" not in SHOWN.getvalue():
        time.sleep(0.01)
    return {}


SHOWN = io.StringIO()


def test_runs_have_the_names_of_the_tables(tmp_path: Path) -> None:
    arm = trials.Arm("Lookahead (Adam), k 9", TrainSettings(k=9, alpha=0.8))
    plan = trials.Plan((arm,), [3], measure=waiting)
    console = Console(file=SHOWN)
    trials.run(plan, tmp_path, workers=LocalProcesses(1), console=console)
    first, last = SHOWN.getvalue().splitlines()
    assert first.startswith("0.5/1 runs, ")
    name = "Lookahead (Adam), k 9, alpha 0.8, seed 3"
    assert first.endswith(f"left: {name}: epoch 7, batch loss 0.1250")
    assert last.endswith(f": {name}")
