"""Tables, pictures, the page, and how files are written."""

import html.parser
import io
import json
import math
import re
import struct
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from lookahead_ref.report.files import write_atomically, write_json
from lookahead_ref.report.page import Section, code, definitions, page, picture
from lookahead_ref.report.plots import Curve, Panel, curves_figure, late_limits, png
from lookahead_ref.report.tables import Column, Row, Summary, Table, summarize
from lookahead_ref.report.words import duration


def table(*means: float, better: Any = "higher") -> Table:
    rows = tuple(Row(f"m{i}", (Summary(mean, 0.25, 3),)) for i, mean in enumerate(means))
    return Table("Title", "Caption.", "Optimizer", (Column("Accuracy", better),), rows)


def in_a_terminal(of: Table) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80).print(of.rich())
    return stream.getvalue()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_the_deviation_is_the_samples(values: list[float]) -> None:
    summary = summarize(values)
    assert summary.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert summary.deviation == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    assert math.isnan(summarize([*values, math.nan]).mean)


def test_a_single_value_has_no_deviation_and_none_is_refused() -> None:
    assert summarize([2.0]) == Summary(2.0, None, 1)
    one = Table("t", "c", "s", (Column("x", "higher"),), (Row("a", (summarize([2.0]),)),))
    assert one.cells()[0][0].text == "2.00"
    with pytest.raises(ValueError, match="values must hold at least one number"):
        summarize([])


@pytest.mark.parametrize(
    ("means", "better", "best"),
    [
        ((1.0, 3.0, 2.0), "higher", ["m1"]),
        ((1.0, 3.0, 2.0), "lower", ["m0"]),
        ((1.0, 3.0, 2.0), "neither", []),
        ((97.231, 97.234, 97.1), "higher", ["m0", "m1"]),  # they print as equal
        ((math.nan, 1.0), "higher", ["m1"]),
        ((math.nan, math.nan), "higher", []),
    ],
)
def test_the_best_is_bold(means: tuple[float, ...], better: str, best: list[str]) -> None:
    of = table(*means, better=better)
    rows = zip(of.rows, of.cells(), strict=True)
    assert [row.name for row, cells in rows if cells[0].bold] == best


def test_the_three_forms_hold_the_same_cells() -> None:
    of = table(1.0, 2.0)
    for text in (in_a_terminal(of), of.markdown(), of.html()):
        for part in ("Optimizer", "m0", "1.00 ± 0.25", "2.00 ± 0.25", "Caption."):
            assert part in text
    rows = ["| m0 | 1.00 ± 0.25 |", "| m1 | **2.00 ± 0.25** |"]
    head = ["**Title**", "", "| Optimizer | Accuracy |", "| --- | ---: |"]
    assert of.markdown().splitlines() == [*head, *rows, "", "Caption."]
    assert "<strong>2.00 ± 0.25</strong>" in of.html()


def test_a_terminal_of_80_columns_breaks_titles_and_no_numbers() -> None:
    cell = Summary(-0.01956, 0.00261, 5)
    title = "A title of many words"
    columns = tuple(Column(title, "lower", digits=d, sign="+") for d in (2, 4, 5))
    for name in ("Lookahead (heavy ball)", "Lookahead (heavy ball), k 5, alpha 0.5"):
        of = in_a_terminal(Table("t", "c", "Stub", columns, (Row(name, (cell,) * 3),)))
        numbers = "-0.02 ± 0.00  -0.0196 ± 0.0026  -0.01956 ± 0.00261 "
        assert any(line.endswith(numbers) for line in of.splitlines())


def test_html_and_terminal_show_markup_as_text() -> None:
    row = Row("[red]a", (Summary(1.0, None, 1),))
    of = Table("t", "c & d", "<s>", (Column("x", "lower"),), (row,))
    assert "&lt;s&gt;" in of.html()
    assert "c &amp; d" in of.html()
    assert "[red]a" in in_a_terminal(of)


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="rows must have 1 cells each, got 0 in row 'a'"):
        Table("t", "c", "s", (Column("x", "lower"),), (Row("a", ()),))


def curves(seeds: int = 3) -> tuple[Curve, ...]:
    x = np.arange(5.0)
    kinds = [("a", "plain"), ("a", "lookahead"), ("b", "plain"), ("b", "other")]
    return tuple(
        Curve(f"method {i}", family, role, x, np.full((seeds, 5), i + 1.0) + x)
        for i, (family, role) in enumerate(kinds)
    )


def test_each_family_has_its_panel_and_each_method_its_label() -> None:
    figure = curves_figure([Panel("loss", curves(), scale="log")])
    panels = [axes for axes in figure.axes if axes.get_visible()]
    legends = [axes.get_legend().get_texts() for axes in panels]
    labels = [[text.get_text() for text in legend] for legend in legends]
    assert labels == [["method 0", "method 1"], ["method 2", "method 3"]]
    assert {axes.get_ylim() for axes in panels} == {panels[0].get_ylim()}
    # Its own two curves, and the two of the other family behind them.
    assert [len(axes.get_lines()) for axes in panels] == [4, 4]


def test_a_run_of_one_epoch_is_shown_as_a_point() -> None:
    kinds: tuple[Any, ...] = (("a", "plain"), ("a", "other"), ("b", "plain"))
    one = [Curve("a", *kind, np.ones(1), np.ones((1, 1))) for kind in kinds]
    for axes in curves_figure([Panel("loss", one)]).axes:
        assert [line.get_marker() for line in axes.get_lines()] == ["o"] * 3
        assert [tick for tick in axes.get_xticks() if 0 < tick < 2] == [1]


@pytest.mark.parametrize(
    ("seeds", "message"),
    [(1, "Each line is one run (n = 1)."), (3, "mean of n = 3 seeds.")],
)
def test_a_picture_says_what_its_lines_are(seeds: int, message: str) -> None:
    figure = curves_figure([Panel("loss", curves(seeds))])
    text = " ".join(figure.get_supxlabel().split())
    assert message in text
    assert text.endswith("Grey: the other panels' methods.")
    assert ("Bands: one sample standard deviation" in text) == (seeds > 1)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("ends", "limits"),
    [
        ([(50, 60), (58, 70), (55, 55)], (49.2, 70.8)),
        ([(50, 60), (1, 2), (9, 61)], (51.64, 61.36)),
    ],
)
def test_limits_show_the_end_and_neither_the_start_nor_a_failure(
    sign: int, ends: list[tuple[int, int]], limits: tuple[float, float]
) -> None:
    shown = [
        Curve("a", "a", "plain", np.arange(3), sign * np.array([[-999, *end]]))
        for end in ends
    ]
    found = late_limits(shown, higher=sign == 1)
    assert tuple(sorted(sign * limit for limit in found)) == limits


def test_lookahead_is_solid_and_plain_is_dashed() -> None:
    figure = curves_figure([Panel("loss", curves())])
    styles = {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}
    assert not styles["method 1"].is_dashed()
    assert styles["method 0"].is_dashed()
    assert styles["method 0"].get_color() == styles["method 1"].get_color()


def test_the_same_figure_gives_the_same_bytes_and_leaves_no_global_state() -> None:
    backend = mpl.get_backend()
    panel = Panel("loss", curves(1))
    one, two = (png(curves_figure([panel])) for _ in range(2))
    assert one == two
    assert one.startswith(b"\x89PNG")
    assert struct.unpack(">II", one[16:24])[0] > 100
    assert mpl.get_backend() == backend


class Resources(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [v or "" for n, v in attrs if n in ("src", "href", "srcset")]
        if tag not in ("meta", "source", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_is_well_formed_and_refers_to_nothing_outside() -> None:
    shown = picture(b"light", b"dark", '"c"')
    facts = definitions({"<b>": 1}) + code("a < b") + table(1.0).html()
    sections = [Section("Picture", shown), Section("Facts", facts)]
    text = page("A <title>", "Summary & more.", sections)
    found = Resources()
    found.feed(text)
    assert found.open == []
    assert len(found.links) == 2
    assert all(link.startswith("data:image/png;base64,") for link in found.links)
    assert not re.search(r"https?:|url\(|@import|<script", text)
    assert "A &lt;title&gt;" in text
    assert "prefers-color-scheme: dark" in text


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_atomically(path, "one\n")
    write_atomically(path, b"two\n")
    assert path.read_bytes() == b"two\n"
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_standard_even_with_numbers_that_are_not_finite(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"loss": [math.nan, -math.inf, 0.1]})
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == {"loss": ["nan", "-inf", 0.1]}
    assert text.endswith("}\n")


def test_times_have_one_format() -> None:
    seconds = (0, 1.24, 9.94, 9.95, 42, 99.4, 99.5, 720, 5969, 5970, 100_000)
    words = "0.0 s, 1.2 s, 9.9 s, 10 s, 42 s, 99 s, 2 min, 12 min, 99 min, 1.7 h, 27.8 h"
    assert ", ".join(map(duration, seconds)) == words


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1.01, 1e6))
def test_a_log_axis_has_at_least_two_labels_and_shows_whole_bands(
    low: float, ratio: float
) -> None:
    values = np.array([[low, low * ratio], [2 * low, low * ratio]])
    curve = Curve("a", "a", "plain", np.array([1, 2]), values)
    figure = curves_figure([Panel("loss", [curve], scale="log")])
    figure.canvas.draw()
    bottom, top = figure.axes[0].get_ylim()
    ticks = [tick for tick in figure.axes[0].get_yticks() if bottom <= tick <= top]
    assert len(ticks) >= 2
    assert bottom < curve.band("log")[0].min()
    assert top > curve.band("log")[1].max()
