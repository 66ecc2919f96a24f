"""Sweeps: a grid, each point once for each seed, stopped and widened at will."""

import csv
import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lookahead_ref.cli.terminal import continuable
from lookahead_ref.experiments import single
from lookahead_ref.experiments.environment import OutputFolderError, continued_folder
from lookahead_ref.experiments.pool import LocalProcesses
from lookahead_ref.experiments.sweep import Grid, Sweep, sweep
from lookahead_ref.training.folder import FolderInUseError

BASE = single.Settings(optimizer="lookahead-sgd", epochs=1)


def run(folder: Path, axes: dict[str, Any], *, seeds: int = 1) -> Sweep:
    folder.mkdir(exist_ok=True)
    return sweep(
        Grid(BASE, axes, seeds),
        folder,
        workers=LocalProcesses(1),
        command="lookahead-ref sweep",
        console=Console(file=io.StringIO()),
    )


def trials(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "trials").iterdir()}


def test_every_combination_is_trained_once_for_each_seed(tmp_path: Path) -> None:
    made = run(tmp_path, {"k": [5, 10], "alpha": [0.5, 0.8]}, seeds=2)
    assert len(trials(tmp_path)) == 8
    assert sorted(row.name for row in made.table.rows) == sorted(
        f"lookahead-sgd, k {k}, alpha {alpha}" for k in (5, 10) for alpha in (0.5, 0.8)
    )
    lines = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert {(x["k"], x["alpha"], x["seed"]) for x in lines} == set(
        itertools.product(("5", "10"), ("0.5", "0.8"), ("0", "1"))
    )


def test_the_best_comes_first_and_what_diverged_last(tmp_path: Path) -> None:
    made = run(tmp_path, {"learning_rate": [1e6, 0.001, 0.3]})
    rates = [outcome.arm.settings.learning_rate for outcome in made.outcomes]
    assert rates == [0.3, 0.001, 1e6]
    accuracies = [row.cells[0].mean for row in made.table.rows]
    assert accuracies[0] > accuracies[1]
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["trials"][2]["runs"][0]["error"] is not None


def test_a_wider_grid_trains_only_what_is_new(tmp_path: Path) -> None:
    run(tmp_path, {"k": [5]})
    before = trials(tmp_path)
    run(tmp_path, {"k": [5, 10]}, seeds=2)
    after = trials(tmp_path)
    assert len(after) == 4
    assert before.items() <= after.items()


def test_what_an_optimizer_has_not_is_not_varied_for_it() -> None:
    grid = Grid(
        BASE,
        {
            "optimizer": ["sgd", "lookahead-nesterov"],
            "momentum": [0.8, 0.9],
            "k": [5, 10],
        },
    )
    assert [arm.title for arm in grid.arms()] == [
        "sgd",
        *(
            f"lookahead-nesterov, momentum {momentum}, k {k}"
            for momentum in (0.8, 0.9)
            for k in (5, 10)
        ),
    ]


@pytest.mark.parametrize(
    ("axes", "seeds", "says"),
    [
        ({"beta": [1.0]}, 1, "axes must be of optimizer, .*; got 'beta'"),
        ({"k": []}, 1, "k must have values, each once"),
        ({"k": [5, 5]}, 1, "k must have values, each once"),
        ({}, 0, "seeds must be at least 1, got 0"),
    ],
)
def test_a_wrong_grid_is_refused(axes: dict[str, Any], seeds: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Grid(BASE, axes, seeds)


def test_a_folder_is_continued_by_its_own_kind_only(tmp_path: Path) -> None:
    with continued_folder(tmp_path / "run", "sweep", "sweep") as folder:
        (folder / "trials").mkdir()
    with continued_folder(folder, "sweep", "sweep") as again:
        assert again == folder
    with (
        pytest.raises(OutputFolderError, match="which is of sweep"),
        continued_folder(folder, "table5", "reproduce table5"),
    ):
        pass
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with (
        pytest.raises(OutputFolderError, match="new or empty"),
        continued_folder(tmp_path / "other", "sweep", "sweep"),
    ):
        pass


def test_a_folder_that_another_job_is_using_is_refused(tmp_path: Path) -> None:
    with (
        continued_folder(tmp_path, "sweep", "sweep"),
        pytest.raises(FolderInUseError, match="another run is writing"),
        continued_folder(tmp_path, "sweep", "sweep"),
    ):
        pass


@pytest.mark.parametrize("named", [True, False])
def test_an_interrupted_command_says_how_to_continue(
    named: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["sweep", "--output", "a b"] if named else ["sweep"]
    monkeypatch.setattr("sys.argv", ["lookahead-ref", *given])
    with pytest.raises(KeyboardInterrupt), continuable(Path("a b"), named=named):
        raise KeyboardInterrupt
    told = "lookahead-ref: to continue: lookahead-ref sweep --output 'a b'\n"
    assert capsys.readouterr().err == told


def test_the_table_of_runs_holds_the_rate_in_effect_and_nothing_that_is_not(
    tmp_path: Path,
) -> None:
    run(tmp_path, {"optimizer": ["sgd", "lookahead-sgd"]})
    lines = csv.DictReader((tmp_path / "results.csv").read_text().splitlines())
    found = {line["optimizer"]: (line["learning_rate"], line["k"]) for line in lines}
    assert found == {"sgd": ("0.3", ""), "lookahead-sgd": ("0.3", "5")}
