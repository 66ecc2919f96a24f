"""Trials: done once, kept at once, lost ones told."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import worker_tasks
from rich.console import Console

from lookahead_ref.experiments.pool import LocalProcesses
from lookahead_ref.experiments.trials import TrialsLostError, complete
from lookahead_ref.training import reporter


def run(
    folder: Path,
    numbers: list[int],
    function: Any = worker_tasks.record,
    jobs: int = 1,
) -> list[dict[str, Any]]:
    tasks = [(number, folder / "log") for number in numbers]
    with reporter(len(tasks), "trials", Console(file=io.StringIO())) as progress:
        return complete(
            function,
            tasks,
            lambda task: {"number": task[0]},
            folder / "trials",
            LocalProcesses(jobs),
            progress,
        )


def done(folder: Path) -> list[str]:
    return (folder / "log").read_text().split()


def test_results_come_in_the_order_of_the_tasks(tmp_path: Path) -> None:
    results = run(tmp_path, [3, 1, 2], jobs=2)
    assert [result["square"] for result in results] == [9, 1, 4]


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    run(tmp_path, [1, 2])
    results = run(tmp_path, [1, 2, 3])
    assert done(tmp_path) == ["1", "2", "3"]
    assert [result["square"] for result in results] == [1, 4, 9]


def test_a_result_is_kept_as_soon_as_it_is_there(tmp_path: Path) -> None:
    def stop_at_two(task: tuple[int, Path]) -> dict[str, int]:
        if task[0] == 2:
            raise KeyboardInterrupt
        return worker_tasks.record(task)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [1, 2, 3], stop_at_two)
    run(tmp_path, [1, 2, 3])
    assert done(tmp_path) == ["1", "2", "3"]


def test_a_lost_trial_is_told_when_all_others_are_done(tmp_path: Path) -> None:
    with pytest.raises(TrialsLostError, match="1 of 3 trials are lost"):
        run(tmp_path, [1, 2, 3], worker_tasks.record_and_die_at_two, jobs=2)
    assert len(list((tmp_path / "trials").glob("*.json"))) == 2
    run(tmp_path, [1, 2, 3])
    assert sorted(done(tmp_path)) == ["1", "2", "3"]


@pytest.mark.parametrize("edit", [lambda text: text[:10], lambda _: '{"trial": {}}'])
def test_a_file_that_is_not_its_trials_result_is_refused_by_name(
    tmp_path: Path, edit: Any
) -> None:
    run(tmp_path, [1])
    (file,) = (tmp_path / "trials").glob("*.json")
    file.write_text(edit(file.read_text()))
    with pytest.raises(ValueError, match=file.name):
        run(tmp_path, [1])


def test_a_file_holds_the_trial_and_its_result(tmp_path: Path) -> None:
    run(tmp_path, [4])
    (file,) = (tmp_path / "trials").glob("*.json")
    assert json.loads(file.read_text()) == {
        "trial": {"number": 4},
        "result": {"square": 16},
    }
