"""The comparison: a run folder that is the same for the same seed."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import lookahead_ref as la
from lookahead_ref.experiments import compare, compare_report, methods
from lookahead_ref.experiments.environment import OutputFolderError, new_folder
from lookahead_ref.experiments.learning_rates import GRID
from lookahead_ref.report.tables import Summary
from lookahead_ref.training import NonFiniteLossError

SETTINGS = compare.Settings(seeds=2, epochs=2, hidden=(8,))
FILES = {"curves.png", "report.html", "results.json", "train.jsonl"}


def run(folder: Path, jobs: int = 1) -> compare.Comparison:
    folder.mkdir()
    console = Console(file=io.StringIO())
    return compare.run(SETTINGS, folder, jobs=jobs, console=console)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> compare.Comparison:
    return run(tmp_path_factory.mktemp("compare") / "first")


def results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


def test_the_folder_holds_all_files_and_nothing_half_written(
    comparison: compare.Comparison,
) -> None:
    assert {path.name for path in comparison.folder.iterdir()} == FILES


def test_the_same_seed_gives_the_same_results_but_for_timing(
    comparison: compare.Comparison, tmp_path: Path
) -> None:
    # In two worker processes: they must not change a number either.
    again = run(tmp_path / "second", jobs=2)
    one, other = results(comparison.folder), results(again.folder)
    assert one.pop("timing") != other.pop("timing")
    assert one == other
    assert (comparison.folder / "curves.png").read_bytes() == (
        again.folder / "curves.png"
    ).read_bytes()


def test_results_hold_every_number_of_the_table(comparison: compare.Comparison) -> None:
    found = results(comparison.folder)
    assert found["seeds"] == [0, 1]
    for row, method in zip(comparison.table.rows, found["methods"], strict=True):
        assert row.name == method["title"]
        last = [one["history"][-1]["validation_accuracy"] for one in method["runs"]]
        assert row.cells[0].mean == pytest.approx(100 * np.mean(last))
        assert row.cells[0].deviation == pytest.approx(100 * np.std(last, ddof=1))
        assert [record["epoch"] for record in method["runs"][0]["history"]] == [0, 1, 2]


def test_all_methods_start_at_the_same_point(comparison: compare.Comparison) -> None:
    starts = [
        [one["history"][0]["train_loss"] for one in method["runs"]]
        for method in results(comparison.folder)["methods"]
    ]
    assert all(start == starts[0] for start in starts)


def test_differences_are_taken_seed_by_seed(comparison: compare.Comparison) -> None:
    final = {
        method["name"]: np.array(
            [one["history"][-1]["validation_loss"] for one in method["runs"]]
        )
        for method in results(comparison.folder)["methods"]
    }
    difference = final["lookahead-adam"] - final["adam"]
    cell = comparison.differences.rows[-1].cells[1]
    assert cell.mean == pytest.approx(difference.mean())
    assert cell.deviation == pytest.approx(difference.std(ddof=1))


def test_several_that_are_best_are_all_named(comparison: compare.Comparison) -> None:
    rows = [
        replace(row, cells=(Summary(accuracy, None, 1), *row.cells[1:]))
        for row, accuracy in zip(
            comparison.table.rows, [99.0, 98.0, 99.0, 98.5, 99.0], strict=False
        )
    ]
    found = compare_report.summary(
        replace(comparison.table, rows=tuple(rows)), comparison.differences
    )
    first, _, third, _, fifth = (row.name for row in rows)
    assert found.startswith(
        f"{first}, {third} and {fifth} have the highest mean validation accuracy, 99.00 %."
    )


def test_the_log_has_a_line_for_each_epoch_of_each_run(
    comparison: compare.Comparison,
) -> None:
    lines = (comparison.folder / "train.jsonl").read_text().splitlines()
    epochs = [
        record for record in map(json.loads, lines) if record["event"] == "epoch_ended"
    ]
    assert len(epochs) == len(methods.COMPARED) * 2 * 3
    assert {(e["method"], e["seed"]) for e in epochs} == {
        (method.name, seed) for method in methods.COMPARED for seed in (0, 1)
    }


def test_the_report_holds_table_pictures_and_the_command(
    comparison: compare.Comparison,
) -> None:
    text = (comparison.folder / "report.html").read_text()
    assert comparison.table.html() in text
    assert text.count("data:image/png;base64,") == 4
    assert "lookahead-ref compare --seeds 2 --seed 0 --epochs 2" in text
    assert "http:" not in text
    assert "https:" not in text


def test_a_run_that_diverges_is_named_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "LEARNING_RATES", {**methods.LEARNING_RATES, "sgd": 1e30})
    with pytest.raises(NonFiniteLossError) as caught:
        compare.run(SETTINGS, tmp_path, jobs=1, console=Console(file=io.StringIO()))
    assert caught.value.__notes__ == ["method sgd, seed 0"]
    last = json.loads((tmp_path / "train.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "run_ended"
    assert last["error"] == str(caught.value)
    assert not (tmp_path / "results.json").exists()


def test_the_learning_rates_are_of_the_grid() -> None:
    assert methods.LEARNING_RATES.keys() == GRID.keys()
    for name, rate in methods.LEARNING_RATES.items():
        assert min(GRID[name]) < rate < max(GRID[name])


@pytest.mark.parametrize("name", methods.NAMES)
def test_every_name_makes_an_optimizer(name: str) -> None:
    optimizer = methods.build(name, learning_rate=0.25, k=7, alpha=0.75)
    inner = getattr(optimizer, "inner", optimizer)
    assert inner.learning_rate == 0.25
    if name.startswith("lookahead-"):
        assert isinstance(optimizer, la.Lookahead)
        assert (optimizer.k, optimizer.alpha) == (7, 0.75)
    assert methods.method(name).name == name


def test_an_unknown_name_is_refused_with_all_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"optimizer must be one of sgd, .*got 'rmsprop'"):
        methods.build("rmsprop")


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    with pytest.raises(OutputFolderError, match="output must be a new or empty folder"):
        new_folder(tmp_path, "compare")
    with pytest.raises(OutputFolderError, match="File exists"):
        new_folder(tmp_path / "kept", "compare")
    assert new_folder(tmp_path / "a" / "b", "compare").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_refused_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    # Permissions do not stop a test that is run by the superuser.
    monkeypatch.setattr("lookahead_ref.experiments.environment.TemporaryFile", read_only)
    with pytest.raises(OutputFolderError, match=r"written to, got .*: Permission denied"):
        new_folder(tmp_path, "compare")


def test_the_default_folder_is_dated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = new_folder(None, "compare")
    assert folder.parent == Path("runs")
    assert folder.name.startswith("compare-20")
