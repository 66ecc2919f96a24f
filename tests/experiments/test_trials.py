"""Trials are done once and kept at once; lost ones are reported."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import worker_tasks

from commands import alone
from lookahead_ref.experiments import parallel, trials
from lookahead_ref.experiments.settings import TrainSettings
from lookahead_ref.experiments.trials import Arm, Plan, run
from lookahead_ref.stopping import StopRequest


def squares(
    folder: Path, seeds: list[int], measure: Any = worker_tasks.record, jobs: int = 1
) -> list[int]:
    arm = Arm("squares", TrainSettings(data=str(folder / "log")))
    plan = Plan((arm,), seeds, measure=measure)
    (outcome,) = run(plan, folder / "trials", **alone(jobs))
    return [each["square"] for each in outcome.runs]


def done(folder: Path) -> list[str]:
    return sorted((folder / "log").read_text().split())


def test_results_come_in_the_order_of_the_seeds(tmp_path: Path) -> None:
    assert squares(tmp_path, [3, 1, 2], jobs=2) == [9, 1, 4]


def test_a_seed_of_every_arm_comes_before_the_next_seed(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    arms = tuple(Arm(f"{n}", TrainSettings(data=log, epochs=n)) for n in (1, 2))
    run(Plan(arms, [5, 6], measure=worker_tasks.record), tmp_path / "trials", **alone())
    assert (tmp_path / "log").read_text().split() == ["5", "5", "6", "6"]


def test_a_result_is_written_at_once(tmp_path: Path) -> None:
    def stop_at_two(settings: TrainSettings, *_: object) -> dict[str, int]:
        if settings.seed == 2:
            raise KeyboardInterrupt
        return worker_tasks.record(settings)

    # The module of a measurement is part of its identity.
    stop_at_two.__module__ = worker_tasks.__name__
    with pytest.raises(KeyboardInterrupt):
        squares(tmp_path, [1, 2, 3], stop_at_two)
    squares(tmp_path, [1, 2, 3])
    assert done(tmp_path) == ["1", "2", "3"]


def test_a_lost_trial_is_reported_when_all_others_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_RETRIES", 0)
    with pytest.raises(trials.TrialsLostError, match=r"1 of 3 .* lost.* seed 2: the w"):
        squares(tmp_path, [1, 2, 3], worker_tasks.record_and_die_at_two, jobs=2)
    assert done(tmp_path) == ["1", "3"]
    squares(tmp_path, [1, 2, 3])
    assert done(tmp_path) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text[:10],
        lambda _: "[" * 100_000,
        lambda text: text.replace('"square": 1', '"square": 2'),
        lambda text: text.replace('"square": 1', '"square": "x"'),
        lambda _: '{"trial": {}}',
        lambda text: text.replace('"format_version": 1', '"format_version": 2'),
        lambda text: text.replace('"result"', '"results"'),
    ],
)
def test_a_file_that_is_no_result_of_a_trial_is_refused(tmp_path: Path, edit: Any) -> None:
    squares(tmp_path, [1])
    (file,) = (tmp_path / "trials").glob("*.json")
    file.write_text(edit(file.read_text()))
    with pytest.raises(ValueError, match=file.name):
        squares(tmp_path, [1])


def test_a_pipe_that_is_called_like_a_result_is_not_waited_for(tmp_path: Path) -> None:
    squares(tmp_path, [1])
    (file,) = (tmp_path / "trials").glob("*.json")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(OSError, match=f"it is no regular file: .*{file.name}"):
        squares(tmp_path, [1])


def test_a_file_holds_the_trial_and_its_result(tmp_path: Path) -> None:
    squares(tmp_path, [4])
    (file,) = (tmp_path / "trials").glob("*.json")
    found = json.loads(file.read_text())
    assert found["result"] == {"square": 16}
    assert (found["trial"]["measure"], found["trial"]["seed"]) == ("worker_tasks", 4)


def test_a_run_that_diverges_is_a_result_unless_all_must_end(tmp_path: Path) -> None:
    settings = TrainSettings(optimizer="sgd", learning_rate=1e6, epochs=2)
    result = trials.measure_training(settings, tmp_path / "run", StopRequest())
    assert "step" in result["error"]
    assert len(result["history"]) >= 1
    plan = Plan((Arm("SGD", settings, may_diverge=False),), [0, 1])
    for _ in range(2):  # also where the result is there already
        with pytest.raises(trials.DivergedError, match=r"\(SGD, seed 0\)"):
            run(plan, tmp_path / "trials", **alone())
    assert len(list((tmp_path / "trials").iterdir())) == 1
