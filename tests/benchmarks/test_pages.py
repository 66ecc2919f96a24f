"""The pages are drawn from asv's result files; the one on GPUs also reports tests."""

import json
import math
import re
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

import device
import functions
import lookahead_ref as la
import page
from suite import settings

Figures = dict[str, dict[tuple[Any, ...], Any]]


def result_file(folder: Path, figures: Figures) -> Path:
    """Write what asv does: a table of all combinations, NaN where one was skipped."""
    results = {}
    for benchmark, found in figures.items():
        params = [list(dict.fromkeys(values)) for values in zip(*found, strict=True)]
        cells = [found.get(case, (math.nan, None, None)) for case in product(*params)]
        results[benchmark] = [
            [value for value, _, _ in cells],
            [[repr(value) for value in values] for values in params],
            [low for _, low, _ in cells],
            [high for _, _, high in cells],
        ]
    machine = {"cpu": "a processor", "num_cpu": "2", "ram": "16e9", "os": "an OS"}
    columns = ["result", "params", "stats_q_25", "stats_q_75", "samples"]
    whole = {"params": machine, "result_columns": columns, "results": results}
    path = folder / "results.json"
    path.write_text(json.dumps(whole))
    return path


def row(benchmark: str, case: tuple[Any, ...], value: float) -> page.Row:
    (key,) = (key for key in page.RATIOS if key.split(".")[1] == benchmark)
    return page.Row(key, case, value, 0.9 * value, 1.1 * value)


@pytest.mark.parametrize(
    ("benchmark", "case", "value", "targets"),
    [
        ("Peers", ("1e7", "sgd", "PyTorch, fused or foreach"), 0.9, ["≤ 1 met"]),
        ("Peers", ("1e7", "sgd", "timm over fused"), 0.9, ["≤ 0.8 **missed**"]),
        ("Peers", ("1e7", "sgd", "optax.lookahead, jit, donated"), 0.1, ["≤ 0.8 met"]),
        ("Peers", ("1e8", "sgd", "timm over fused"), 0.9, ["≤ 1 met"]),
        ("Calls", ("adagrad", "optax, jit, donated"), 0.9, ["≤ 1 met"]),
        ("Cost", ("1e7", "sgd", "k = 1"), 1.9, ["≤ 1 met", "≤ 1.05 missed"]),
        ("Cost", ("1e7", "adam", "k = 5, interpolate"), 1.1, ["≤ 1 met", "≤ 1.05 met"]),
        ("Outer", ("nesterov",), 1.04, ["≤ 1.05 met"]),
        ("Synchronization", ("1e7", "ordered"), 1.1, ["≤ 1.15 met"]),
        ("Snoo", (), 0.9, ["≤ 0.8 **missed**"]),
        ("Bandwidth", ("1e7", "sgd", None, "the same reads and writes"), 0.7, ["≥ 0.9 **"]),
        ("Bandwidth", ("1e8", "sgd", 1, "the library's copy"), 0.87, ["≥ 0.85 met"]),
        ("NumPy", ("1e7", "sgd"), 2.4, ["≥ 2.5 missed, within the spread"]),
        ("Growth", ("sgd",), 1.02, ["0.95 to 1.05 met"]),
        ("Growth", ("sgd",), 0.8, ["0.95 to 1.05 **missed**"]),
        ("Peak", ("sgd", "plain"), 0.02, ["≤ 1 met"]),
        ("BesidePyTorch", ("resnet18", "numpy"), 2.3, ["≤ 2 **missed**"]),
        ("Beside", ("lstm", "numba", "PyTorch"), 0.8, ["≤ 0.9 met"]),
        ("Beside", ("mlp", "numpy", "PyTorch"), 2.0, ["≤ 1.5 **missed**"]),
        ("Beside", ("mlp", "numba", "JAX, jit"), 1.6, [" "]),
        ("Memory", ("lstm",), 0.8, ["≤ 1 met"]),
    ],
)
def test_each_figure_has_its_targets(
    benchmark: str, case: tuple[Any, ...], value: float, targets: list[str]
) -> None:
    judged = list(page.judged(row(benchmark, case, value)))
    for each, message in zip(judged, targets, strict=True):
        assert f"{page.target(each)} {page.outcome(each)}".startswith(message)


def test_cost_is_shown_of_the_steps_and_of_the_bytes_that_are_counted() -> None:
    steps, moved = page.judged(row("Cost", ("1e7", "sgd", "k = 5"), 1.2))
    assert (steps.case[-1], moved.case[-1]) == ("steps", "bytes")
    assert steps.value == pytest.approx(1.0)
    assert moved.value == pytest.approx(1.2 / (1 + 8 / 60))


def test_a_narrow_miss_is_shown_as_one() -> None:
    for least, most, value in ((0, 1, 1.0004), (1, 9, 0.9996)):
        missed = page.Row("any", (), value, 0.98, 1.02, least, most)
        assert page.figure(missed) == f"**{value}** (0.9800 to 1.0200)"


FIGURES: Figures = {
    "step.Peers.track_ratio": {
        ("resnet-50", "adam", "torch_optimizer over fused"): (0.5, 0.4, 0.6),
        ("1e7", "sgd", "timm over fused"): (0.85, 0.7, 0.9),
        ("1e7", "adam", "torch_optimizer over fused"): (None, None, None),
    },
    "step.Step.track_seconds": {("resnet-50", "adam", 5): (0.0125, 0.012, 0.013)},
    "step.NumPy.track_seconds": {("1e7", "sgd"): (0.003, 0.002, 0.004)},
    "step.Loops.track_rate": {("copy",): (60.0, 59.0, 61.0)},
    "memory.Peak.track_megabytes": {("adam", "maintain"): (0.03, None, None)},
}


def test_the_page_says_what_runs_were_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = "; steps in a turn: 60 of mlp, 30 of lstm, 4 of awd-lstm, 10 of resnet18"
    assert page.data().startswith(f"Whole runs draw their data at random{steps}, ")
    (tmp_path / "ptb").mkdir()
    monkeypatch.setattr(settings, "DATA", tmp_path)
    read = "Whole runs read Penn Treebank, and otherwise draw their data at random"
    assert page.data().startswith(f"{read}{steps}, ")


def test_the_page_has_measurements_failures_and_missed_targets(tmp_path: Path) -> None:
    text = page.page(result_file(tmp_path, FIGURES))
    assert "| The same inside Lookahead, k = 5 | 12.5 ms |" in text
    assert "a processor, 2 cores, 16.0 GB; an OS; Python" in text
    assert "**2 of 4 targets are met.**" in text
    missed = text[text.index("## Targets that are missed") : text.index("Where and why")]
    assert "| 1e7, sgd, timm over fused | **0.85** (0.70 to 0.90) | ≤ 0.8 | miss" in missed
    assert "| 1e7, adam, torch_optimizer over fused | **failed** | ≤ 0.8 |" in missed
    assert "| adam | maintain | 0.03 | ≤ 1 | met |" in text
    assert "| resnet-50 | adam | 5 | 12.5 ms | 12 ms to 13 ms | 60.5 |" in text
    assert "| resnet-50 | sgd |" not in text  # it was skipped
    assert "## Growth" not in text


def test_the_roofline_has_a_peer_s_time_from_ours_and_the_ratio(tmp_path: Path) -> None:
    rows = page.measured(page.read(result_file(tmp_path, FIGURES)))
    moved = 25_557_032 * (28 + 8 / 5)
    assert page.points(rows) == {
        "peers": [(moved, 0.025)],
        "NumPy": [(12e7, 0.003)],
        "Stepper": [(moved, 0.0125)],
    }
    axes = page.roofline(rows).axes[0]
    assert len(axes.collections) == 3
    assert axes.lines[0].get_label() == "60 GB/s, a loop that only moves memory"
    assert not page.roofline([]).axes[0].collections


def test_the_chart_has_the_time_of_others_in_ours(tmp_path: Path) -> None:
    rows = page.measured(page.read(result_file(tmp_path, FIGURES)))
    axes = page.beside(rows, "dark").axes[0]
    names = [text.get_text() for text in axes.texts]
    title = "A step of Lookahead over Adam, k = 5"
    assert names == [title, "torch_optimizer over fused"]
    assert axes.lines[0].get_xydata().tolist() == [[2.0, 1.2]]  # 1 / 0.5
    assert not page.beside([]).axes[0].containers


def test_the_documentation_has_the_page_that_the_script_writes() -> None:
    text = (page.DOCS / "benchmarks.md").read_text("utf-8")
    assert "{" not in text.replace("{image}", "").replace("{figure}", "")
    for piece in page.TEMPLATE.read_text("utf-8").split("\n\n"):
        assert "{" in piece or piece.strip() in text
    for benchmark, (title, _) in page.RATIOS.items():
        on_device_only = benchmark.startswith("models.")
        assert on_device_only != (f"## {title}\n" in text)


def test_the_page_on_gpus_is_as_the_script_writes_it() -> None:
    text = device.PAGE.read_text("utf-8")
    date = re.search(r"on (\d{4}-\d\d-\d\d);", text)
    assert date is not None
    assert text.startswith(device.HEAD.format(date=date[1]))
    if "No GPU was available" in text:
        assert text == device.none(date[1])
    else:
        assert "## Tests" in text
        assert "GB/s" in text


def test_without_a_device_the_page_says_so_and_has_no_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unavailable = mock.Mock(side_effect=la.BackendUnavailableError("there is none"))
    monkeypatch.setattr(device.backend, "load", unavailable)
    shown = tmp_path / "gpu.md"
    assert device.main(["--output", str(shown)]) == 0
    text = shown.read_text("utf-8")
    assert "nothing is claimed about one" in text
    assert not re.search(r"\d (ms|GB)", text)


def test_the_page_lists_what_the_tests_know_to_be_missing() -> None:
    assert set(device.MISSING) == set(functions.MISSING)
    listed = re.findall(r"^- `?([a-z_ ]+)`?$", device.missing(), re.MULTILINE)
    assert set(listed) == set(functions.MISSING)
    assert device.missing() in device.PAGE.read_text("utf-8")


@pytest.mark.parametrize("failed", [False, True])
def test_with_a_device_the_page_has_every_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: bool
) -> None:
    figures = {
        name: {case: each for case, each in found.items() if failed or each[0] is not None}
        for name, found in FIGURES.items()
    }
    run = mock.Mock(return_value=result_file(tmp_path, figures))
    monkeypatch.setattr(device.backend, "load", lambda name: SimpleNamespace())
    monkeypatch.setattr(device, "tested", lambda: (True, "## Tests\n"))
    monkeypatch.setattr(device, "setting", lambda backend: "a device\n")
    monkeypatch.setattr(device.measure, "run", run)
    shown = tmp_path / "gpu.md"
    assert device.main(["--output", str(shown), "--quick"]) == failed
    run.assert_called_once_with(device.BENCHMARKS, backend="cupy", quick=True)
    text = shown.read_text("utf-8")
    assert "a device" in text
    assert text.count("**failed**") == (2 if failed else 0)
    for title in ("Tests", "Peak memory: MB besides", "What is not differentiated"):
        assert text.count(f"## {title}") == 1
    assert "| resnet-50 | adam | 5 | 12.5 ms |" in text
    assert device.missing() in text
