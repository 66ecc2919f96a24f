"""The reproductions: every one runs in small, and says what it found beside the paper."""

import csv
import html
import math
import re
import runpy
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from commands import alone, results
from formats import write_mnist
from lookahead_ref import trees
from lookahead_ref.experiments import compare, estimate, plugins, statistics, sweep, train
from lookahead_ref.experiments.estimate import unfinished, work_left
from lookahead_ref.experiments.optimizers import where_from
from lookahead_ref.experiments.paper import classifiers, fig8, table1, table3, table5
from lookahead_ref.experiments.paper.fig1 import Plane
from lookahead_ref.experiments.paper.reproduce import NAMES, choice, plan, prepare
from lookahead_ref.experiments.paper.walk import walking
from lookahead_ref.experiments.report import Report, do
from lookahead_ref.experiments.resume import Note
from lookahead_ref.experiments.settings import (
    CompareSettings,
    ReproduceSettings,
    SweepSettings,
    TrainSettings,
    options,
)
from lookahead_ref.experiments.trials import Arm, Outcome
from lookahead_ref.report.tables import MISSING, Summary, Table, summarize
from lookahead_ref.stopping import StopRequest
from support import assert_same_bits

ROOT = Path(__file__).parents[3]
PROGRAM = runpy.run_path(str(ROOT / "docs" / "reproduction_page.py"))
QUICK = ReproduceSettings(seeds=1, epochs=1)


def run(name: str, folder: Path, settings: ReproduceSettings = QUICK) -> Report:
    folder.mkdir(exist_ok=True)
    return do(prepare(name, settings), folder, **alone())


TEXTS = ("table3", "family")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in ("fig8", "table5") else [])
        for name in NAMES
        if name not in (*TEXTS, "fig9")
    ],
)
def test_it_runs_in_small_and_leaves_a_whole_folder(name: str, tmp_path: Path) -> None:
    made = run(name, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*made.files, "trials"}
    assert sum(file.endswith(".svg") for file in made.files) >= 1
    found = results(tmp_path)
    assert found["summary"] == made.findings.summary
    assert found["notes"][classifiers.DIFFERS]
    assert all(run["seconds"] > 0 for run in found["timing"]["runs"])
    assert found["setting"]["Classes"] == "0; 1; 2; 3; 4; 5; 6; 7; 8; 9"
    text = html.unescape((tmp_path / "report.html").read_text("utf-8"))
    assert not re.search(r'(href|src)="(?!data:|#)', text)
    assert f">{made.findings.summary}<" in text
    assert f">{found['command']}<" in text
    drawn = "".join(path.read_text("utf-8") for path in tmp_path.glob("*.svg"))
    assert drawn.count(">fast weights theta<") == (name in ("fig1", "fig10"))
    assert "n = 1" in drawn
    for table in made.findings.tables:
        assert len({column.title for column in table.columns}) == len(table.columns)
    lines = list(csv.DictReader((tmp_path / "results.csv").read_text("utf-8").splitlines()))
    assert {line["arm"] for line in lines} == {arm["title"] for arm in found["arms"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_language_models_run_in_small(name: str, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("the cat sat on the mat and the dog on the log\n" * 400)
    made = run(name, tmp_path / "run", replace(QUICK, data=f"text:{text}"))
    count = 3 if name == "table3" else 2
    cells = [cell for row in made.findings.tables[0].rows for cell in row.cells[:count]]
    assert all(1.0 < cell.mean < 20.0 for cell in cells)


@pytest.mark.parametrize("name", ["compare", "sweep", "table1", "table2", "fig10"])
def test_no_test_example_is_called_one_of_validation(name: str, tmp_path: Path) -> None:
    write_mnist(tmp_path, train=64, t10k=8)
    base = TrainSettings(validation="none", data=f"mnist:{tmp_path}", epochs=1)
    job: Any
    if name == "compare":
        job = compare.prepare(CompareSettings(seeds=1, optimizers=("sgd",), base=base))
    elif name == "sweep":
        job = sweep.prepare(SweepSettings(seeds=1, alpha=(0.5, 0.8), base=base))
    else:
        job = prepare(name, replace(QUICK, data=base.data, base=base))
    do(job, tmp_path, **alone())
    report = (tmp_path / "report.html").read_text("utf-8")
    pictures = "".join(path.read_text("utf-8") for path in tmp_path.glob("*.svg"))
    assert "est accuracy" in report
    message = report + pictures
    # It may be what was asked for, and what the learning rates were chosen by.
    for known in ("--validation none", "<dt>Validation</dt>", "by validation accuracy"):
        message = message.replace(known, "")
    assert "alidation" not in message


@pytest.mark.parametrize(
    "name", ["table1", "table2", pytest.param("fig8", marks=pytest.mark.slow)]
)
def test_quantities_that_are_not_evaluated_are_left_out(name: str, tmp_path: Path) -> None:
    seldom = TrainSettings(evaluate_every=2, evaluate_train=False)
    request = replace(QUICK, epochs=5, batch_size=96, base=seldom)
    made = run(name, tmp_path, request)
    arm = results(tmp_path)["arms"][0]
    assert arm["settings"]["batch_size"] == 96
    assert [record["epoch"] for record in arm["runs"][0]["history"]] == [0, 2, 4, 5]
    assert "--evaluate-every 2 --no-evaluate-train" in results(tmp_path)["command"]
    assert all(math.isfinite(row.cells[0].mean) for row in made.findings.tables[0].rows)
    than = re.findall(r"no interval: a higher (.*?) than that of", made.findings.summary)
    accuracies = {"table1": [""] * 4, "table2": ["top-5 ", "", ""]}.get(name, [])
    assert than == [f"validation {kind}accuracy" for kind in accuracies]


def test_the_same_request_gives_the_same_numbers_and_trains_nothing(tmp_path: Path) -> None:
    def written() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "trials").iterdir()}

    first = run("table2", tmp_path)
    found, before = results(tmp_path), written()
    again = run("table2", tmp_path)
    assert again.findings.tables == first.findings.tables
    assert written() == before
    assert results(tmp_path)["arms"] == found["arms"]
    text = (page := PROGRAM["page"])([found])
    shown = (found["command"], found["machine"]["Processor"])
    assert all(each in text for each in (first.findings.tables[0].markdown(), *shown))
    assert page([found], before=text) == text
    assert "; 1 epoch of the setting's 30; " in text
    full = {**found, "request": {**found["request"], "full": True}}
    assert page([full], before=text).count("\n## Table 2: ") == 2
    said = "A claim. Here, by 95 % intervals over 3 seeds, a gain is seen for A (+1 to +3)"
    said += ", Lookahead (+1 to +2); not known, as runs diverged, for B."
    elsewhere = {**found, "setting": {**found["setting"], "Data": "CIFAR-10"}}
    both = page([{**elsewhere, "summary": said}], before=text)
    assert ") | a gain | Lookahead (+1 to +2) |  |  |\n\n" in both
    assert "| [Table 2, " not in text
    assert both.index(", on CIFAR-10\n") < both.index(", on handwritten digits")


def test_the_page_keeps_all_runs_on_data_of_ones_own(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    page, check, keep = (PROGRAM[name] for name in ("page", "check", "keep"))
    folder, kept = tmp_path / "run", tmp_path / "results"
    copy = kept / "run"
    copy.mkdir(parents=True)
    write_mnist(kept, train=96, t10k=8)
    for data in (f"mnist:{kept}", "mnist:results"):
        run("table2", folder, request := replace(QUICK, data=data))
    (folder / "kind.txt").write_text("reproduce")
    found = results(folder)
    for name in ("old.svg", "note.txt"):
        (copy / name).write_text("A note.\n")
    assert keep(keep(folder, found, kept), found, kept) == copy
    trials = {file: file.read_bytes() for file in copy.glob("trials/*")}
    assert len(trials) == 2
    others = {file.name for file in copy.rglob("*.*")} - {file.name for file in trials}
    assert others == {"curves.svg", "kind.txt", "note.txt", "results.json"}
    text = page([found], [copy])
    links = ("](results/run/curves.svg)", "](results/run/results.json)")
    for said in (*links, "\n- A note.\n", " --data mnist:results "):
        assert said in text
    run("table2", copy, request)
    assert trials == {file: file.read_bytes() for file in copy.glob("trials/*")}
    check(folder, found, text)
    for name in ("other", "..", "run with spaces"):
        with pytest.raises(ValueError, match=r"rename the folder|a folder's name must be"):
            check(tmp_path / name, found, text)
    for data in ("mnist:/here", "mnist:~/here", "mnist:../here", r"mnist:C:\here"):
        found["request"]["data"] = data
        with pytest.raises(ValueError, match="--data must be a relative path"):
            check(folder, found, text)
    keep(folder, {**found, "request": {"data": None}}, kept)
    assert {file.name for file in copy.rglob("*.*")} == {"curves.svg", "note.txt"}


def test_the_papers_numbers_are_those_of_the_document() -> None:
    assert table1.PAPER["Lookahead"][1] == Summary(78.34, 0.05, 1)
    assert table3.PAPER["Polyak"][0] is MISSING
    best = max(table5.PAPER, key=lambda title: table5.PAPER[title][0].mean)
    assert best == f"k = 5, alpha = {classifiers.ALPHA}"


def test_the_full_setting_is_the_papers_and_needs_data() -> None:
    with pytest.raises(ValueError, match="data must be given with full, as"):
        ReproduceSettings(full=True)
    settings = classifiers.base(ReproduceSettings(full=True, data="cifar10:here"))
    assert (settings.model, settings.epochs, settings.batch_size) == ("resnet18", 200, 128)
    for given in (None, 5000):
        base = TrainSettings(validation=given)
        asked = ReproduceSettings(full=True, data="cifar10:here", base=base)
        assert classifiers.base(asked).validation == (given or "none")


def test_table_3_in_full_is_awd_lstm_and_in_the_middle_two_layers() -> None:
    full = table3.plan(ReproduceSettings(full=True, data="ptb:here"))
    assert {arm.settings.model for arm in full.arms} == {"awd-lstm"}
    averaged = [arm.title for arm in full.arms if arm.settings.nonmonotone == 5]
    assert averaged == ["Polyak"]
    middle = table3.plan(ReproduceSettings(middle=True, data="ptb:here")).arms[0].settings
    assert (middle.model, middle.layers, middle.hidden) == ("lstm", 2, 200)
    with pytest.raises(ValueError, match="full and middle cannot both be given"):
        ReproduceSettings(full=True, middle=True, data="ptb:here")


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"name must be one of 'table1', .*, got 'table4'"):
        prepare("table4", QUICK)


WALKED = TrainSettings(optimizer="lookahead-heavy-ball", epochs=1, seed=3)


def test_a_walk_ends_where_training_does(tmp_path: Path) -> None:
    with walking(WALKED, tmp_path / "walk", StopRequest()) as walk:
        (last,) = walk.visits(walk.steps_per_epoch, walk.steps_per_epoch)
    result = train.run(train.prepare(WALKED))
    assert_same_bits(result.params, last.phi)


def test_a_visit_shows_theta_before_it_is_drawn_back(tmp_path: Path) -> None:
    with walking(WALKED, tmp_path / "walk", StopRequest()) as walk:
        visits = list(walk.visits(1, 5))
    assert [visit.synchronized for visit in visits] == [False] * 4 + [True]
    of = (visits[3].phi, visits[4].phi, visits[4].theta)
    before, after, theta = map(trees.flatten, of)
    for path, phi in after.items():
        half_way = before[path] + np.float32(0.5) * (theta[path] - before[path])
        assert np.array_equal(phi, half_way)
        assert not np.array_equal(phi, theta[path])


def test_the_time_left_counts_an_evaluation_by_its_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[float] = []
    monkeypatch.setattr(Note, "write", lambda note, step, words: done.append(step))
    with walking(WALKED, tmp_path / "walk", StopRequest(), evaluations=2) as walk:
        for visit in walk.visits(1, 2):
            walk.accuracy(visit.phi)
    each = train.prepare(WALKED).data.validation.size / (3 * 64)
    assert done == [0, 1, 1 + each, 2 + each]


def test_only_lookahead_can_be_walked(tmp_path: Path) -> None:
    plain = walking(replace(WALKED, optimizer="sgd"), tmp_path / "walk", StopRequest())
    with pytest.raises(TypeError, match="optimizer must be a Lookahead, got SGD"), plain:
        pass


def test_a_plane_goes_through_its_three_points_unless_they_lie_on_a_line() -> None:
    rng = np.random.default_rng(0)
    points = rng.standard_normal((3, 20))
    plane = Plane(*points)
    for point in points:
        assert np.allclose(plane.point(plane.coordinates(point)), point)
        assert plane.distance(point) < 1e-12
    other = rng.standard_normal(20)
    shown = plane.point(plane.coordinates(other))
    # The rest is at right angles to the plane.
    assert abs((other - shown) @ (points[1] - points[0])) < 1e-9
    assert plane.distance(other) == pytest.approx(float(np.linalg.norm(other - shown)))
    with pytest.raises(ValueError, match="must not lie on a line"):
        Plane(points[0], points[0] + 1.0, points[0] + 2.0)


def outcome(title: str, finals: Sequence[float | None], trained: float = 1.0) -> Outcome:
    """An arm whose runs end with these validation accuracies; None: diverged."""

    def measured(final: float | None) -> dict[str, Any]:
        accuracies = [x for x in (0.1, final) if x is not None]
        rows = [{"validation_accuracy": x, "train_loss": x * trained} for x in accuracies]
        history = [{**losses, **row, "epoch": n} for n, row in enumerate(rows)]
        error = None if final is not None else "diverged"
        return {**rest, "history": history, "error": error}

    losses = {"validation_loss": 1.0, "batch_loss": 1.0}
    rest = {"test": {"loss": 1.0}, "log": [{"text": True}]}
    return Outcome(Arm(title, TrainSettings(epochs=1)), tuple(map(measured, finals)))


def differences(first: Outcome, *others: Outcome) -> Table:
    return statistics.differences_from(first, others, {"validation_accuracy": 2})


def test_a_clear_difference_is_reported_and_one_within_the_spread_is_not() -> None:
    sgd = outcome("SGD", [0.5, 0.6, 0.7])
    clear, noisy = outcome("Clear", [0.61, 0.70, 0.81]), outcome("Noisy", [0.7, 0.4, 0.75])
    words = statistics.against(differences(sgd, clear, noisy), "validation accuracy")
    assert "over 3 seeds, a higher validation accuracy than that of SGD at the " in words
    assert "end is seen for Clear (+" in words
    assert "; not decided for Noisy (-" in words
    words = statistics.against(differences(clear, sgd), "validation accuracy")
    assert "than that of Clear at the end is not seen for SGD (-" in words
    near = statistics.verdicts("more", {"near": Summary(0.424, 0.59, 10)}, 1, 2)
    assert near.endswith("more is seen for near (+0.002 to +0.846).")


def test_table_3_decides_every_perplexity_or_says_that_none_was_measured() -> None:
    for trained, count in ((1.0, 6), (math.nan, 4)):
        outcomes = [outcome(title, [0.5, 0.6], trained) for title in table3.PAPER]
        said = table3.find(table3.plan(QUICK), outcomes).summary
        assert said.count(" loss than that of ") == 6
        assert said.count(" is not decided for Lookahead (") == count
        assert said.count(" is not decided, as it was not measured.") == 6 - count


def test_nothing_is_said_about_a_diverged_run() -> None:
    table = differences(outcome("SGD", [0.5, None]), outcome("Other", [0.6, 0.7]))
    assert table.rows[0].cells == (MISSING,)
    message = statistics.against(table, "validation accuracy")
    assert message.endswith("is not known, as runs diverged, for Other.")
    assert "–" in table.markdown()


def test_a_single_seed_decides_nothing() -> None:
    assert statistics.interval(summarize([3.0])) is None
    assert statistics.verdict(summarize([3.0])) == "not decided"
    one_seed = statistics.verdicts("an effect", {"a": summarize([3.0])}, 1, 2)
    assert ", one seed: " in differences(outcome("a", [0.5]), outcome("b", [0.6])).caption
    assert one_seed == "Here, one seed gives no interval: an effect is not decided."
    assert statistics.verdict(summarize([3.0, 3.1, 2.9])) == "seen"
    assert statistics.verdict(summarize([3.0, 3.1, 2.9]), -1) == "not seen"
    alike = statistics.verdicts("an effect", {"a": summarize([1.0, 1.0])}, 1, 2)
    assert alike.endswith("is not decided for a (+1.00 with each seed).")


def test_figure_8_counts_the_settings_that_train_well() -> None:
    # The second seed of SGD trains well with another rate, too; every last run diverges.
    some = {"learning rate 0.2": [0.1, 0.1, 0.1], "learning rate 0.1": [0.3, 0.1, 0.3]}
    some["momentum 0.9"] = some["learning rate 0.2"]
    planned = fig8.plan(QUICK)
    outcomes = [
        replace(outcome("", [*losses, None]), arm=arm)
        for arm in planned.arms
        for alone in [some.get(arm.family, [0.3, 0.3, 0.3])]
        for losses in [alone if arm.role == "plain" else [0.1, 0.1, 0.1]]
    ]
    said = fig8.find(planned, outcomes).summary
    assert "more of the 7 settings than SGD is seen for Lookahead (+4.23 to +7.10)." in said


def test_an_interval_is_students() -> None:
    half = 2.776445 * 2.0 / 5**0.5  # as tables have it, for four degrees of freedom
    found = statistics.interval(Summary(1.0, 2.0, 5))
    assert found == pytest.approx((1.0 - half, 1.0 + half), rel=1e-6)


def test_what_differs_from_the_paper_is_derived_from_every_setting() -> None:
    full = ReproduceSettings(full=True, data="cifar100:here")
    planned = table5.plan(full)
    said = " ".join(planned.notes[classifiers.DIFFERS])
    assert said.startswith(
        "Of the paper's setting, these are not known: Augmentation, Learning rate, Seeds, "
    )
    assert planned.setting["k and alpha"] == "5 and 0.5; 5 and 0.8; 10 and 0.5; 10 and 0.8"
    small_pictures = TrainSettings(resize=72, crop=64)
    full = ReproduceSettings(full=True, data="images:here", base=small_pictures)
    said = " ".join(plan("table2", full).notes[classifiers.DIFFERS])
    assert ", Resize, Crop, " in said
    assert plan("table2", full).setting["Crop"] == "64"
    found = table1.plan(full).setting
    said = r"0.05; 0.0003 for Adam and Lookahead \(Adam\): .*Connah.* 0.1, .* 0.3, [^;]*$"
    assert re.match(said, found["Learning rate"])
    assert found["Weight decay"] == "0.001; 1 for Adam and Lookahead (Adam)"
    middle = table1.plan(ReproduceSettings(middle=True, data="cifar10:here")).setting
    assert middle["Learning rate"].endswith(f"(Adam): {where_from('resnet8')}")
    texts = ReproduceSettings(full=True, data="ptb:here", epochs=1)
    told = table3.plan(texts).notes[classifiers.DIFFERS]
    assert told[0] == "Epochs: here 1; in the program of the model's authors 500."
    assert "Batch size" not in " ".join(told)
    rate = table3.plan(replace(QUICK, learning_rate=9.0)).setting["Learning rate"]
    assert ": for SGD, given on the command line; for Adam, the best of each arm" in rate
    small = table5.plan(QUICK).notes[classifiers.DIFFERS]
    assert "Model: here multilayer perceptron, small; in the paper ResNet-18." in small


BASES = (
    TrainSettings("awd-lstm", optimizer="polyak-sgd", schedule="plateau", weight_decay=1.0),
    TrainSettings("resnet8", optimizer="lookahead-heavy-ball", outer="heavy-ball"),
    TrainSettings("lstm", optimizer="lookahead-mine.py:Own", alpha=0.5),
)
OTHER: dict[str, Any] = {"model": "mlp", "data": "pydoc", "optimizer": "adam"}
OTHER |= {"schedule": "step", "backend": "numpy", "hyperparameters": [("a", 9)]}


def test_every_setting_of_training_is_shown_unless_it_is_exempt() -> None:
    def shown(**changes: Any) -> list[dict[str, str]]:
        arms = [Arm("", replace(each, **changes), role="lookahead") for each in BASES]
        return [classifiers.shown([arm], 1, "") for arm in arms]

    names = [each.name for each in fields(TrainSettings)]
    same = [name for name in names if shown(**{name: OTHER.get(name, 97)}) == shown()]
    assert tuple(same) == classifiers.EXEMPT


def test_if_every_run_diverges_there_is_an_error_and_no_report(tmp_path: Path) -> None:
    with pytest.raises(ArithmeticError, match="every run diverged"):
        run("table2", tmp_path, replace(QUICK, learning_rate=1e6))
    assert not (tmp_path / "report.html").exists()


CELLS = r"^\| (`.*?`) \| (.*?) \| (\d+) \| (\d+) \| (.*?) \| (.*?) \|$"


def test_the_page_states_the_full_settings() -> None:
    text = (ROOT / "docs" / "reproducing.md").read_text("utf-8")
    told = []
    for names, model, epochs, batch, _, decay in re.findall(CELLS, text, re.MULTILINE):
        for name in re.findall("`(.*?)`", names):
            settings = plan(name, ReproduceSettings(full=True, data="any")).arms[0].settings
            told.append(name)
            short = settings.model.replace("-", "")
            assert model.replace("-", "").lower().startswith(short)
            found = (settings.epochs, settings.batch_size, settings.weight_decay)
            assert (int(epochs), int(batch), float(decay)) == found
    assert set(told) == NAMES.keys() - {"family"}


@pytest.mark.parametrize(
    "fits",
    [
        *[(1e6, 1, "full", 500, 1), (200.0, 1, "middle", 30, 1), (9.0, 1, "small", 1, 1)],
        *[(18.0, 5, "small", 1, 2), (9.0, 5, "small", 1, 1)],
    ],
)
def test_a_budget_chooses_the_largest_setting_that_fits_and_measures_once(
    fits: tuple[float, int, str, int, int], here: Path, monkeypatch: Any
) -> None:
    seconds, planned, size, epochs, seeds = fits
    costs = {"awd-lstm": 1.0, "lstm": 0.1}
    monkeypatch.setattr(estimate, "measured", lambda x: (costs[x.settings.model], 0.0, 0.0))
    monkeypatch.setattr(plugins, "try_out", lambda *_: None)  # full models take seconds
    text, load = "text:text", mock.Mock(wraps=plugins.load_data)
    Path("text").write_text("the cat sat on the mat\n" * 2857)
    monkeypatch.setattr(plugins, "load_data", load)
    asked = ReproduceSettings(budget=seconds, data=text, seeds=planned)
    job = prepare("table3", asked, 2, here)
    chosen = job.settings
    assert (chosen.size, chosen.epochs, chosen.seeds) == (size, epochs, seeds)
    said = f"--seeds {seeds} --epochs {epochs}; with {planned} seeds no epoch fits"
    assert (said in choice("table3", asked, chosen)) == (seeds < planned)
    load.assert_called_once_with(text)
    with pytest.raises(ValueError, match=r"for an epoch with one seed, got 1\.0 s: look"):
        prepare("table3", replace(asked, budget=1.0), 2)
    # The same command continues a folder even if it measures another speed later.
    job.begin(here)
    costs.clear()
    assert prepare("table3", asked, 1, here).plan == job.plan
    assert work_left(job, 2, unfinished(job, here))[1].endswith(" in 2 processes")
    with pytest.raises(KeyError):
        prepare("table3", replace(asked, budget=seconds + 1.0), 2, here)


@pytest.mark.parametrize("place", [p for p, *_ in options(QUICK) if p != "budget"])
@pytest.mark.parametrize("name", NAMES)
def test_an_option_changes_the_plan_or_is_refused(name: str, place: str) -> None:
    usual = ReproduceSettings(data="mnist:here")
    values: dict[str, Any] = {"full": True, "middle": True, "data": "mnist:other"}
    # The family's defaults are options of the others.
    values |= {"base.backend": "numpy", "base.evaluate_train": name == "family"}
    outer, _, field = place.rpartition(".")
    one = {field: values.get(place, 9)}
    inner = {"base": replace(usual.base, **one)} if outer else one
    given = replace(usual, **inner)
    try:
        changed = plan(name, given)
    except ValueError as error:
        assert f"{field} cannot be given with {name}, which" in str(error)  # noqa: PT017
        return
    before = plan(name, usual)
    assert (changed.arms, changed.seeds) != (before.arms, before.seeds)


def test_pictures_in_colours_have_no_small_setting() -> None:
    for name in ("table1", "fig1", "fig8", "fig10"):
        with pytest.raises(ValueError, match="data cifar10 must be given with middle or"):
            plan(name, ReproduceSettings(data="cifar10:here"))
