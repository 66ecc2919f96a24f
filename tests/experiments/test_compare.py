"""The comparison: a run folder that is the same for the same seed."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from commands import alone, results, succeeded
from formats import write_mnist
from lookahead_ref.experiments import compare, environment, optimizers
from lookahead_ref.experiments.environment import OutputFolderError, new_folder
from lookahead_ref.experiments.report import Report, do
from lookahead_ref.experiments.settings import CompareSettings, TrainSettings
from lookahead_ref.experiments.trials import DivergedError, Outcome
from lookahead_ref.report.tables import Summary

SMALL = TrainSettings(epochs=2, hidden=(8,))
SETTINGS = CompareSettings(seeds=2, base=SMALL)
ONE = replace(SMALL, epochs=1)
SHORT = CompareSettings(optimizers=("sgd",), seeds=1, base=ONE)
RESULTS = {"results.json", "results.csv", "train.jsonl", "trials"}
FILES = RESULTS | {"curves.png", "curves.svg", "report.html"}


def run(folder: Path, settings: CompareSettings = SETTINGS, jobs: int = 1) -> Report:
    folder.mkdir(exist_ok=True)
    return do(compare.prepare(settings), folder, **alone(jobs))


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(tmp_path_factory.mktemp("compare") / "first")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def measured(comparison: Report, epoch: int, name: str) -> dict[str, Any]:
    """A number of each seed after an epoch, by the name of the optimizer."""
    return {
        arm["settings"]["optimizer"]: np.array(
            [run["history"][epoch][name] for run in arm["runs"]]
        )
        for arm in results(comparison.folder)["arms"]
        if arm["settings"]["learning_rate"] is None  # the best
    }


def test_the_same_seed_gives_the_same_results_but_for_timing(tmp_path: Path) -> None:
    write_mnist(tmp_path, train=64, t10k=8)
    base = replace(ONE, data=f"mnist:{tmp_path}", batch_size=16)
    settings = CompareSettings(optimizers=("sgd", "adam"), seeds=2, base=base)
    # In two worker processes, which must not change a number.
    made = [run(tmp_path / str(jobs), settings, jobs) for jobs in (1, 2)]
    one, other = (results(each.folder) for each in made)
    assert one.pop("timing") != other.pop("timing")
    assert one == other
    first, second = (each.folder / "curves.png" for each in made)
    assert first.read_bytes() == second.read_bytes()


def test_results_hold_every_number_of_the_table(comparison: Report) -> None:
    found = results(comparison.folder)
    assert found["seeds"] == [0, 1]
    accuracies = measured(comparison, -1, "validation_accuracy")
    arms = found["arms"][: len(accuracies)]
    assert [arm["settings"]["optimizer"] for arm in arms] == list(accuracies)
    for row, arm in zip(comparison.findings.tables[0].rows, arms, strict=True):
        assert row.name == arm["title"]
        last = accuracies[arm["settings"]["optimizer"]]
        assert row.cells[0].mean == pytest.approx(100 * np.mean(last))
        assert row.cells[0].deviation == pytest.approx(100 * np.std(last, ddof=1))
        assert [record["epoch"] for record in arm["runs"][0]["history"]] == [0, 1, 2]


def test_a_lookahead_with_an_outer_nesterov_appears_once_as_snoo() -> None:
    base = replace(SMALL, outer="nesterov")
    for chosen in (("sgd", "adam"), ("sgd", "snoo-sgd", "adam")):
        settings = replace(SETTINGS, optimizers=chosen, base=base)
        titles = [arm.title for arm in compare.prepare(settings).plan.arms]
        assert sorted(titles) == ["Adam", "SGD", "SNOO (Adam)", "SNOO (SGD)"]


def test_all_methods_start_at_the_same_point(comparison: Report) -> None:
    starts = measured(comparison, 0, "train_loss")
    assert all(list(start) == list(starts["sgd"]) for start in starts.values())


def test_differences_are_taken_seed_by_seed(comparison: Report) -> None:
    final = measured(comparison, -1, "validation_loss")
    difference = final["lookahead-adam"] - final["adam"]
    cell = comparison.findings.tables[1].rows[-1].cells[1]
    assert cell.mean == pytest.approx(difference.mean())
    assert cell.deviation == pytest.approx(difference.std(ddof=1))


def test_several_that_are_best_are_all_named(comparison: Report) -> None:
    finals, differences, _ = comparison.findings.tables
    rows = [
        replace(row, cells=(Summary(accuracy, None, 1), *row.cells[1:]))
        for row, accuracy in zip(finals.rows, (99, 98, 99, 98.5, 99), strict=False)
    ]
    found = compare.in_words(replace(finals, rows=tuple(rows)), differences)
    first, _, third, _, fifth = (row.name for row in rows)
    assert found.startswith(
        f"{first}, {third} and {fifth} have the highest mean validation accuracy, 99.00 %."
    )


def test_learning_rates_that_are_too_large_come_first(comparison: Report) -> None:
    table = comparison.findings.tables[2]
    assert [row.name for row in table.rows] == ["0.1", "0.2", "0.3", "0.4"]
    arms = {arm["title"]: arm["runs"] for arm in results(comparison.folder)["arms"]}
    for place, title in enumerate(("Heavy ball, 0.4", "Lookahead (heavy ball), 0.4")):
        losses = [run["history"][-1]["train_loss"] for run in arms[title]]
        assert table.rows[-1].cells[place].mean == pytest.approx(np.mean(losses))
    best = comparison.findings.tables[0].rows[1].cells
    assert table.rows[0].cells[0] == best[2]  # of heavy ball at its best
    said = comparison.findings.summary
    assert said.startswith("With a learning rate 4 times the best, heavy ball reaches ")
    assert f"Lookahead; with the best, {best[0].mean:.1f} % and" in said
    assert re.search(r"\d diverged or stayed below 50 % alone, and \d inside\.", said)
    assert len(compare.prepare(SHORT).plan.arms) == 2  # not where something is chosen


def test_a_seed_that_diverged_counts_among_those_below_half(comparison: Report) -> None:
    arms = results(comparison.folder)["arms"]
    runs = {arm["title"]: [{**run, "log": []} for run in arm["runs"]] for arm in arms}
    diverged, fine = (dict(runs["Heavy ball, 0.4"][0]["history"][-1]) for _ in range(2))
    diverged["validation_accuracy"], fine["validation_accuracy"] = None, 0.9
    for run, last in zip(runs["Heavy ball, 0.4"], (diverged, fine), strict=True):
        run["history"] = [*run["history"][:-1], last]
    runs["Heavy ball, 0.4"][0]["error"] = "diverged"
    job = compare.prepare(SETTINGS)
    outcomes = [Outcome(arm, tuple(runs[arm.title])) for arm in job.plan.arms]
    said = job.find(outcomes).summary
    assert "Of 2 seeds with the larger, 1 diverged or stayed below 50 % alone" in said


def test_the_log_has_a_line_for_each_epoch_of_each_run(comparison: Report) -> None:
    lines = (comparison.folder / "train.jsonl").read_text("utf-8").splitlines()
    epochs = [e for e in map(json.loads, lines) if e["event"] == "epoch_ended"]
    assert len(epochs) == (len(optimizers.COMPARED) + 6) * 2 * 3
    assert {(e["method"], e["seed"]) for e in epochs} == {
        (name, seed) for name in optimizers.COMPARED for seed in (0, 1)
    }


def test_texts_are_compared_by_their_perplexity(here: Path) -> None:
    (here / "text").write_text("so it goes, and on it goes, as it went. " * 40)
    done = succeeded(
        "compare --model lstm --data chars:text --hidden 4 --layers 1 --window 5 --jobs 1 "
        "--batch-size 4 --optimizer sgd --learning-rate 1 --epochs 1 --seeds 2 --output out"
    )
    assert re.search(r"has the lowest mean validation perplexity, \d+\.\d\d\.", done.stdout)
    found = results(here / "out")
    last = [run["history"][-1]["validation_loss"] for run in found["arms"][0]["runs"]]
    assert f"{np.mean(np.exp(last)):.2f} ±" in found["tables"][0]
    assert "accuracy" not in "".join(found["tables"])


def test_the_report_holds_table_pictures_and_the_command(comparison: Report) -> None:
    text = (comparison.folder / "report.html").read_text("utf-8")
    for table in comparison.findings.tables:
        assert table.html() in text
    assert text.count("data:image/png;base64,") == 2
    assert "lookahead-ref compare --seeds 2 --epochs 2 --hidden 8<" in text
    assert not re.search("https?:", text)


def test_pictures_look_the_same_whatever_the_users_settings_are(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    pictures = []
    # Without LaTeX the first of these would end the drawing.
    for own in ({}, {"text.usetex": True, "lines.linewidth": 9, "savefig.bbox": "tight"}):
        with matplotlib.rc_context(own):
            run(tmp_path, SHORT)
            assert own.items() <= matplotlib.rcParams.items()
        pictures.append([(tmp_path / f"curves.{e}").read_bytes() for e in ("png", "svg")])
    assert pictures[0] == pictures[1]


def test_results_exist_even_if_pictures_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target.suffix in (".png", ".svg", ".html"):
            raise OSError(28, "No space left on device")
        return whole(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(OSError, match=r"No space .*curves\.png"):
            run(tmp_path, SHORT)
    assert names(tmp_path) == RESULTS
    run(tmp_path, SHORT)
    assert names(tmp_path) == FILES


def test_a_run_that_diverges_is_named_and_logged(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"\(SGD, seed 0\)") as caught:
        run(tmp_path, replace(SHORT, learning_rates=(("", 1e30),)))
    last = json.loads((tmp_path / "train.jsonl").read_text("utf-8").splitlines()[-1])
    assert last["event"] == "run_ended"
    assert str(caught.value) == f"{last['error']} (SGD, seed 0)"
    assert not (tmp_path / "results.json").exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    messages = {tmp_path: "new or empty folder", tmp_path / "kept": "exists"}
    for output, message in messages.items():
        with pytest.raises(OutputFolderError, match=message), new_folder(output, "compare"):
            pass
    with new_folder(tmp_path / "a" / "b", "compare") as made:
        assert list(made.iterdir()) == []


def test_leftovers_of_a_run_killed_at_its_first_file_are_ignored(tmp_path: Path) -> None:
    (tmp_path / ".kind.txt.0123abcd").touch()
    with environment.continued_folder(tmp_path, "compare", "compare") as folder:
        assert names(folder) == {"kind.txt"}


def test_a_folder_that_cannot_be_written_to_is_refused_before_a_run(tmp_path: Path) -> None:
    # Permissions do not stop a test that is run by the superuser.
    denied = PermissionError(13, "Permission denied")
    read_only = mock.patch.object(environment, "TemporaryFile", side_effect=denied)
    folder = new_folder(tmp_path, "compare")
    message = r"written to, got .*: Permission denied"
    with read_only, pytest.raises(OutputFolderError, match=message), folder:
        pass


def test_the_default_folder_is_dated(here: Path) -> None:
    with new_folder(None, "compare") as folder:
        assert folder.parent == Path("runs")
        assert folder.name.startswith("compare-20")
