"""Sweeps: a grid, each point once for each seed, stopped and widened at will."""

import csv
import itertools
import shlex
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer

from commands import alone, results
from lookahead_ref.cli.terminal import job_folder
from lookahead_ref.experiments.environment import OutputFolderError, continued_folder
from lookahead_ref.experiments.options import command
from lookahead_ref.experiments.report import Report, do
from lookahead_ref.experiments.settings import SweepSettings, TrainSettings
from lookahead_ref.experiments.sweep import plan, prepare


def run(folder: Path, **axes: Any) -> Report:
    folder.mkdir(exist_ok=True)
    base = TrainSettings(epochs=1)
    settings = SweepSettings(**{"optimizer": ("lookahead-sgd",), "base": base, **axes})
    return do(prepare(settings), folder, **alone())


def table_of_runs(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "results.csv").read_text().splitlines()))


def trials(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "trials").iterdir()}


def test_every_combination_is_trained_once_for_each_seed(tmp_path: Path) -> None:
    made = run(tmp_path, k=(5, 10), alpha=(0.5, 0.8), seeds=2)
    assert len(trials(tmp_path)) == 8
    assert sorted(row.name for row in made.findings.tables[0].rows) == sorted(
        f"lookahead-sgd, k {k}, alpha {alpha}" for k in (5, 10) for alpha in (0.5, 0.8)
    )
    lines = table_of_runs(tmp_path)
    assert {(x["k"], x["alpha"], x["seed"]) for x in lines} == set(
        itertools.product(("5", "10"), ("0.5", "0.8"), ("0", "1"))
    )


def test_the_best_comes_first_and_diverged_ones_last(tmp_path: Path) -> None:
    made = run(tmp_path, learning_rate=(1e6, 0.001, 0.3))
    trained = results(tmp_path)["arms"]
    assert [arm["settings"]["learning_rate"] for arm in trained] == [0.3, 0.001, 1e6]
    accuracies = [row.cells[0].mean for row in made.findings.tables[0].rows]
    assert accuracies[0] > accuracies[1]
    assert made.findings.summary == "The best is lookahead-sgd, learning rate 0.3."
    assert trained[2]["runs"][0]["error"] is not None


def test_a_grid_of_one_or_two_settings_is_a_map_and_a_larger_is_lines(
    tmp_path: Path,
) -> None:
    rates, k = {"learning_rate": (0.1, 1e6)}, {"k": (5, 10)}
    grids: list[Any] = [{}, k, rates | k, rates | k | {"alpha": (0.5, 0.8)}]
    for number, axes in enumerate(grids):
        made = run(tmp_path / str(number), **axes)
        report = (made.folder / "report.html").read_text("utf-8")
        assert ("grid.svg" in made.files) == bool(axes)
        if axes:
            assert f"by {' and '.join(each.replace('_', ' ') for each in axes)}" in report
    assert (made.folder / "grid.svg").read_text("utf-8").count("1e+06") == 1


def test_a_wider_grid_trains_only_what_is_new(tmp_path: Path) -> None:
    run(tmp_path, k=(5,))
    before = trials(tmp_path)
    run(tmp_path, k=(5, 10), seeds=2)
    after = trials(tmp_path)
    assert len(after) == 4
    assert before.items() <= after.items()


def test_settings_that_an_optimizer_lacks_are_not_varied() -> None:
    names = ("sgd", "lookahead-nesterov")
    settings = SweepSettings(optimizer=names, momentum=(0.8, 0.9), k=(5, 10))
    around = "lookahead-nesterov, momentum"
    wanted = ["sgd", *(f"{around} {mu}, k {k}" for mu in (0.8, 0.9) for k in (5, 10))]
    assert [arm.title for arm in plan(settings).arms] == wanted


def test_the_outer_step_is_varied_if_there_is_one() -> None:
    def titles(*optimizers: str, outer: str | None = None, **given: Any) -> list[str]:
        base = TrainSettings(outer=outer)
        settings = SweepSettings(optimizer=optimizers, base=base, **given)
        return [arm.title for arm in plan(settings).arms]

    momenta, alphas = {"outer_momentum": (0.5, 0.9)}, {"alpha": (0.5, 0.8)}
    assert titles("snoo-sgd", "lookahead-sgd", **momenta, **alphas) == [
        *(f"snoo-sgd, outer momentum {each}" for each in (0.5, 0.9)),
        *(f"lookahead-sgd, alpha {each}" for each in (0.5, 0.8)),
    ]
    assert titles("lookahead-sgd", "sgd", outer="heavy-ball", **momenta) == [
        *(f"lookahead-sgd, outer momentum {each}" for each in (0.5, 0.9)),
        "sgd",
    ]
    # An outer nesterov is SNOO, and tried once.
    assert titles("lookahead-sgd", "snoo-sgd", outer="nesterov", **momenta) == [
        f"snoo-sgd, outer momentum {each}" for each in (0.5, 0.9)
    ]
    for given in (momenta, alphas):
        with pytest.raises(ValueError, match="must be a setting of an optimizer in the"):
            titles("lookahead-sgd", outer="sgd", **given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"k": (5, 5)}, "k must have distinct values"),
        ({"hyperparameters": (("a", (1, 1)),)}, "a must have distinct values"),
        ({"seeds": 0}, "seeds must be a positive integer, got 0"),
    ],
)
def test_a_wrong_grid_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SweepSettings(**given)


def test_the_command_of_a_sweep_repeats_each_value() -> None:
    settings = SweepSettings(k=(5, 10), hyperparameters=(("share", (0.5, 2)),))
    shown = command("sweep", settings)
    assert "--k 5 --k 10 --hyperparameter share=0.5 --hyperparameter share=2" in shown


def test_a_folder_is_continued_by_its_own_kind_only(tmp_path: Path) -> None:
    with continued_folder(tmp_path / "run", "sweep", "sweep") as folder:
        (folder / "trials").mkdir()
    with continued_folder(folder, "sweep", "sweep") as again:
        assert again == folder
    other = continued_folder(folder, "", "fig1")
    with pytest.raises(OutputFolderError, match="which is of sweep"), other:
        pass


@pytest.mark.parametrize(
    ("output", "left", "said"),
    [
        (None, "chosen.json", " before anything was saved"),
        (Path("a b"), "trials/ab.json", ", and the work so far is saved"),
        (Path("a b"), "trials/ab/checkpoint-00000000", ", and the work so far is saved"),
    ],
)
def test_an_interrupted_command_says_what_is_saved_and_how_to_continue(
    output: Path | None, left: str, said: str, here: Path, capsys: Any
) -> None:
    def work(folder: Path) -> NoReturn:
        (folder / left).parent.mkdir(parents=True, exist_ok=True)
        (folder / left).touch()
        raise KeyboardInterrupt

    words = ["lookahead-ref", "sweep", *(["--output", "a b"] if output else [])]
    job = job_folder(output, "sweep", "sweep", words)
    with pytest.raises(typer.Exit), job as folder:
        work(folder)
    words = shlex.join(["lookahead-ref", "sweep", "--output", str(folder)])
    message = f"lookahead-ref: stopped{said}; to continue: {words}\n"
    assert capsys.readouterr().err == message


def test_the_table_of_runs_has_the_rate_in_effect_and_nothing_else(tmp_path: Path) -> None:
    run(tmp_path, optimizer=("sgd", "lookahead-sgd"))
    lines = table_of_runs(tmp_path)
    found = {line["optimizer"]: (line["learning_rate"], line["k"]) for line in lines}
    assert found == {"sgd": ("0.3", ""), "lookahead-sgd": ("0.3", "5")}
