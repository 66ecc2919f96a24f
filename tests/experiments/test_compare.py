"""The comparison: a run folder that is the same for the same seed."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from lookahead_ref.experiments import compare, optimizers
from lookahead_ref.experiments.environment import (
    OutputFolderError,
    continued_folder,
    new_folder,
)
from lookahead_ref.experiments.report import Report
from lookahead_ref.experiments.settings import CompareSettings
from lookahead_ref.experiments.trials import DivergedError
from lookahead_ref.experiments.workers import LocalProcesses
from lookahead_ref.report.tables import Summary

SETTINGS = CompareSettings(seeds=2, epochs=2, hidden=(8,))
FILES = {
    *("curves.png", "curves.svg", "report.html", "results.json", "results.csv"),
    *("train.jsonl", "trials"),
}


def run(folder: Path, settings: CompareSettings = SETTINGS, jobs: int = 1) -> Report:
    folder.mkdir(exist_ok=True)
    prepared = compare.prepare(settings)
    console = Console(file=io.StringIO())
    return compare.compare(prepared, folder, workers=LocalProcesses(jobs), console=console)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(tmp_path_factory.mktemp("compare") / "first")


def results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_bytes())


def test_the_folder_holds_all_files_and_nothing_half_written(comparison: Report) -> None:
    assert {path.name for path in comparison.folder.iterdir()} == FILES


def test_the_same_seed_gives_the_same_results_but_for_timing(
    comparison: Report, tmp_path: Path
) -> None:
    # In two worker processes: they must not change a number either.
    again = run(tmp_path / "second", jobs=2)
    one, other = results(comparison.folder), results(again.folder)
    assert one.pop("timing") != other.pop("timing")
    assert one == other
    assert (comparison.folder / "curves.png").read_bytes() == (
        again.folder / "curves.png"
    ).read_bytes()


def test_results_hold_every_number_of_the_table(comparison: Report) -> None:
    found = results(comparison.folder)
    assert found["seeds"] == [0, 1]
    for row, method in zip(comparison.findings.tables[0].rows, found["arms"], strict=True):
        assert row.name == method["title"]
        last = [one["history"][-1]["validation_accuracy"] for one in method["runs"]]
        assert row.cells[0].mean == pytest.approx(100 * np.mean(last))
        assert row.cells[0].deviation == pytest.approx(100 * np.std(last, ddof=1))
        assert [record["epoch"] for record in method["runs"][0]["history"]] == [0, 1, 2]


def test_all_methods_start_at_the_same_point(comparison: Report) -> None:
    starts = [
        [one["history"][0]["train_loss"] for one in method["runs"]]
        for method in results(comparison.folder)["arms"]
    ]
    assert all(start == starts[0] for start in starts)


def test_differences_are_taken_seed_by_seed(comparison: Report) -> None:
    final = {
        method["settings"]["optimizer"]: np.array(
            [one["history"][-1]["validation_loss"] for one in method["runs"]]
        )
        for method in results(comparison.folder)["arms"]
    }
    difference = final["lookahead-adam"] - final["adam"]
    cell = comparison.findings.tables[1].rows[-1].cells[1]
    assert cell.mean == pytest.approx(difference.mean())
    assert cell.deviation == pytest.approx(difference.std(ddof=1))


def test_several_that_are_best_are_all_named(comparison: Report) -> None:
    rows = [
        replace(row, cells=(Summary(accuracy, None, 1), *row.cells[1:]))
        for row, accuracy in zip(
            comparison.findings.tables[0].rows, [99.0, 98.0, 99.0, 98.5, 99.0], strict=False
        )
    ]
    finals, differences = comparison.findings.tables
    found = compare.in_words(replace(finals, rows=tuple(rows)), differences)
    first, _, third, _, fifth = (row.name for row in rows)
    assert found.startswith(
        f"{first}, {third} and {fifth} have the highest mean validation accuracy, 99.00 %."
    )


def test_the_log_has_a_line_for_each_epoch_of_each_run(comparison: Report) -> None:
    lines = (comparison.folder / "train.jsonl").read_text("utf-8").splitlines()
    epochs = [
        record for record in map(json.loads, lines) if record["event"] == "epoch_ended"
    ]
    assert len(epochs) == len(optimizers.COMPARED) * 2 * 3
    assert {(e["method"], e["seed"]) for e in epochs} == {
        (name, seed) for name in optimizers.COMPARED for seed in (0, 1)
    }


def test_the_report_holds_table_pictures_and_the_command(comparison: Report) -> None:
    text = (comparison.folder / "report.html").read_text("utf-8")
    for table in comparison.findings.tables:
        assert table.html() in text
    assert text.count("data:image/png;base64,") == 2
    assert "lookahead-ref compare --seeds 2 --seed 0 --epochs 2" in text
    assert "http:" not in text
    assert "https:" not in text


def test_pictures_look_the_same_whatever_the_users_settings_are(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    settings = replace(SETTINGS, optimizers=("sgd",), seeds=1, epochs=1)
    pictures = []
    # Without LaTeX the first of these would end the drawing.
    for own in ({}, {"text.usetex": True, "lines.linewidth": 9, "savefig.bbox": "tight"}):
        with matplotlib.rc_context(own):
            run(tmp_path, settings)
            assert own.items() <= matplotlib.rcParams.items()
        pictures.append([(tmp_path / f"curves.{e}").read_bytes() for e in ("png", "svg")])
    assert pictures[0] == pictures[1]


def test_results_are_there_where_pictures_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, optimizers=("sgd",), seeds=1, epochs=1)
    whole = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target.suffix not in (".json", ".csv", ".jsonl"):
            raise OSError(28, "No space left on device")
        return whole(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(OSError, match=r"No space .*curves\.png"):
            run(tmp_path, settings)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("results.json", "results.csv", "train.jsonl", "trials")
    }
    run(tmp_path, settings)
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_a_run_that_diverges_is_named_and_logged(tmp_path: Path) -> None:
    settings = replace(SETTINGS, optimizers=("sgd",), learning_rates=(("", 1e30),))
    with pytest.raises(DivergedError, match=r"\(method sgd, seed 0\)") as caught:
        run(tmp_path, settings)
    last = json.loads((tmp_path / "train.jsonl").read_text("utf-8").splitlines()[-1])
    assert last["event"] == "run_ended"
    assert str(caught.value) == f"{last['error']} (method sgd, seed 0)"
    assert not (tmp_path / "results.json").exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    for output, told in ((tmp_path, "new or empty folder"), (tmp_path / "kept", "exists")):
        with pytest.raises(OutputFolderError, match=told), new_folder(output, "compare"):
            pass
    with new_folder(tmp_path / "a" / "b", "compare") as made:
        assert list(made.iterdir()) == []


def test_what_a_run_left_that_was_killed_at_its_first_file_is_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / ".kind.txt.0123abcd").touch()
    with continued_folder(tmp_path, "compare", "compare") as folder:
        assert [path.name for path in folder.iterdir()] == ["kind.txt"]


def test_a_folder_that_cannot_be_written_to_is_refused_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    # Permissions do not stop a test that is run by the superuser.
    monkeypatch.setattr("lookahead_ref.experiments.environment.TemporaryFile", read_only)
    with (
        pytest.raises(OutputFolderError, match=r"written to, got .*: Permission denied"),
        new_folder(tmp_path, "compare"),
    ):
        pass


def test_the_default_folder_is_dated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with new_folder(None, "compare") as folder:
        assert folder.parent == Path("runs")
        assert folder.name.startswith("compare-20")
