"""Pictures: a common style, curves with bands, and picture files.

Ten methods in one panel are indistinguishable. So each family of curves has its own panel,
with the other families behind it in grey.
"""

import io
import os
import statistics
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.extras import require
from lookahead_ref.report.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure

Theme = Literal["light", "dark"]


@dataclass(frozen=True)
class Curve:
    """A quantity over time for one method, one line for each seed."""

    label: str
    family: str
    """Methods of a family share a panel."""
    role: Literal["plain", "lookahead", "other"]
    """Lookahead is drawn solid, a plain optimizer dashed, anything else dotted."""
    x: NDArray[Any]
    values: NDArray[Any]
    """Shape (seeds, n)."""

    @property
    def mean(self) -> NDArray[Any]:
        """Mean over seeds, shape (n,)."""
        return np.asarray(self.values.mean(axis=0))

    @property
    def deviation(self) -> NDArray[Any]:
        """Sample standard deviation over seeds, shape (n,); zero for a single seed."""
        if len(self.values) < 2:
            return np.zeros(self.values.shape[1])
        return np.asarray(self.values.std(axis=0, ddof=1))

    def band(self, scale: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return a deviation to each side; with logarithms, from the smallest value on."""
        low, least = self.mean - self.deviation, self.values.min(axis=0)
        return np.maximum(low, least) if scale == "log" else low, self.mean + self.deviation


@dataclass(frozen=True)
class Panel:
    """A quantity, drawn in each panel of a row of the picture."""

    title: str
    """The quantity and its unit, beside the axis."""
    curves: tuple[Curve, ...]
    scale: Literal["linear", "log"] = "linear"
    limits: tuple[float, float] | None = None
    """Limits of the axis; None: chosen from the curves."""


# Colours for all kinds of colour vision, lighter on a dark ground: M. Okabe and K. Ito,
# "Color Universal Design", 2008.
PALETTE: dict[Theme, tuple[str, ...]] = {
    "light": ("#0072B2", "#D55E00", "#00785A", "#A8457F", "#8A6D00"),
    "dark": ("#56B4E9", "#F58A3C", "#2FC79C", "#E39AC6", "#E6C229"),
}
INK: dict[Theme, str] = {"light": "#1b1f24", "dark": "#e6e9ec"}
"""Of text and axes."""
PAPER: dict[Theme, str] = {"light": "#ffffff", "dark": "#14171b"}
GHOST: dict[Theme, str] = {"light": "#c9ced4", "dark": "#3f4750"}
_LINES: dict[str, dict[str, Any]] = {
    "plain": {"linestyle": (0, (5, 2)), "linewidth": 1.8},
    "lookahead": {"linestyle": "solid", "linewidth": 2.4},
    "other": {"linestyle": (0, (1, 1.3)), "linewidth": 2.0},
}


@contextmanager
def own_look() -> Iterator[None]:
    """Draw with Matplotlib's defaults instead of the user's settings."""
    matplotlib = library()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def library() -> ModuleType:
    """Import Matplotlib, even with a wrong MPLBACKEND."""
    chosen = os.environ.pop("MPLBACKEND", None)
    try:
        return require("matplotlib", "experiments", purpose="draw pictures")
    finally:
        if chosen is not None:
            os.environ["MPLBACKEND"] = chosen


def panels(
    rows: int,
    columns: int,
    *,
    width: float,
    height: float,
    theme: Theme = "light",
    **options: Any,
) -> "tuple[Figure, Any]":
    """Make a figure with a grid of panels, in inches, without global state."""
    figures = require("matplotlib.figure", "experiments", purpose="draw pictures")
    figure = figures.Figure(
        figsize=(width, height), layout="constrained", facecolor=PAPER[theme]
    )
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    for axes in grid.flat:
        axes.set_facecolor(PAPER[theme])
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK[theme], which="both", labelsize=10)
        # Two sides of four, in the ink of the text.
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[:].set_color(INK[theme])
    return figure, grid


def label(
    axes: Any, theme: Theme = "light", *, x: str = "", y: str = "", title: str = ""
) -> None:
    """Label a panel and its axes."""
    if x:
        axes.set_xlabel(x, fontsize=11, color=INK[theme])
    if y:
        axes.set_ylabel(y, fontsize=11, color=INK[theme])
    if title:
        axes.set_title(title, fontsize=11.5, color=INK[theme], loc="left")


def legend_above(axes: Any, theme: Theme = "light", **options: Any) -> None:
    """Draw the legend above a panel."""
    look = {
        "loc": "lower left",
        "bbox_to_anchor": (0.0, 1.0),
        "fontsize": 10.5,
        "frameon": False,
        "labelcolor": INK[theme],
        "handlelength": 2.6,
        "borderpad": 0.2,
        "labelspacing": 0.35,
    }
    axes.legend(**{**look, **options})


def round_steps(low: float, high: float, most: int) -> Any:
    """Return round numbers, with at most `most` steps, that enclose both ends."""
    ticker = require("matplotlib.ticker", "experiments", purpose="draw pictures")
    return ticker.MaxNLocator(most).tick_values(low, high)


def grid_lines(axes: Any, theme: Theme = "light", *, axis: str = "both") -> None:
    """Draw faint lines at the ticks."""
    axes.grid(visible=True, axis=axis, color=GHOST[theme], linewidth=0.5, alpha=0.6)


def curves_figure(
    rows: Sequence[Panel], *, columns: int = 4, theme: Theme = "light"
) -> "Figure":
    """Draw families of methods side by side, a quantity in each row or rows of panels."""
    families = list(dict.fromkeys(curve.family for row in rows for curve in row.curves))
    lines = -(-len(families) // columns)
    columns = -(-len(families) // lines)  # as many in each line as can be
    labels = max(sum(c.family == family for c in rows[0].curves) for family in families)
    figure, grid = panels(
        lines * len(rows),
        columns,
        width=max(3.2 * columns, 4.5),
        height=lines * (2.5 * len(rows) + 0.225 * labels),
        theme=theme,
    )
    for number, row in enumerate(rows):
        limits = row.limits or _limits(row)
        for place, family in enumerate(families):
            line, column = divmod(place, columns)
            axes = grid[number * lines + line, column]
            _draw(axes, row, family, PALETTE[theme][place % 5], theme)
            axes.set_ylim(*limits)
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # epochs
            if number == 0:
                legend_above(axes, theme, handlelength=2.8)
            if column == 0:
                label(axes, theme, y=row.title)
            else:
                axes.tick_params(labelleft=False, which="both")
            # Only the last row needs the title of the common axis.
            if number == len(rows) - 1 and place + columns >= len(families):
                label(axes, theme, x="epoch")
    for axes in grid.flat:
        if not axes.lines:
            axes.remove()
    figure.align_ylabels()
    note = _meaning([len(curve.values) for row in rows for curve in row.curves])
    if len(families) > 1:
        note += " Grey: the other panels' methods."
    if late := [row.title for row in rows if row.limits]:
        note += f" The axis of {late[0].removesuffix(' (%)')} leaves out how curves begin."
    return noted(figure, note, theme)


def noted(figure: "Figure", note: str, theme: Theme = "light") -> "Figure":
    """Write an explanation below a picture."""
    note = textwrap.fill(note, int(14 * figure.get_figwidth()))
    below = {"x": 0.01, "ha": "left", "fontsize": 9.5, "color": INK[theme]}
    figure.supxlabel(note, **below)
    return figure


def _meaning(counts: Sequence[int]) -> str:
    """Explain lines and bands, given the numbers of runs of each curve."""
    fewest, most = min(counts), max(counts)
    if most == 1:
        return "Each line is one run (n = 1)."
    n = f"n = {most}" if fewest == most else f"n = {fewest} to {most}"
    return f"Lines: mean of {n} seeds. Bands: one sample standard deviation to each side."


def late_limits(curves: Sequence[Curve], *, higher: bool) -> tuple[float, float]:
    """Find limits that show the end of the curves, not how they begin."""
    sign, least = (1, 0.5) if higher else (-1, 0.2)
    late = slice(max(1, len(curves[0].x) // 6), None)
    low = min(float((sign * c.mean - c.deviation)[late].min()) for c in curves)
    high = max(float((sign * c.mean + c.deviation)[late].max()) for c in curves)
    middle = statistics.median(sign * float(curve.mean[-1]) for curve in curves)
    # One that fails would squash all others.
    low = max(low, middle - 8 * max(high - middle, least))
    high = min(high, 100.0)
    low = min(low, high - least / 5)  # also of curves that are all flat
    margin = 0.04 * (high - low)  # so that no mark lies on the edge
    return (low - margin, high + margin) if higher else (-high - margin, -low + margin)


def write_picture(folder: Path, name: str, figure: "Figure") -> bytes:
    """Write a figure as NAME.png and NAME.svg; return the PNG."""
    content = png(figure)
    write_atomically(folder / f"{name}.png", content)
    # Laid out once, as a second layout moves things.
    figure.set_layout_engine("none")
    write_atomically(folder / f"{name}.svg", svg(figure))
    return content


def png(figure: "Figure") -> bytes:
    """Render a figure as a PNG file; the same figure gives the same bytes."""
    return _file(figure, format="png", backend="agg", dpi=144, metadata={"Software": None})


def svg(figure: "Figure") -> bytes:
    """Render a figure as SVG, text as text; the same figure gives the same bytes."""
    undated = {"Date": None, "Creator": None}
    with library().rc_context({"svg.hashsalt": "lookahead-ref", "svg.fonttype": "none"}):
        return _file(figure, format="svg", backend="svg", metadata=undated)


def _file(figure: "Figure", **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, **options)
    return buffer.getvalue()


def heat_map(
    names: Sequence[str],
    places: Sequence[tuple[Any, ...]],
    values: Sequence[float],
    title: str,
    *,
    higher: bool,
    theme: Theme = "light",
) -> "Figure":
    """Draw values on a grid of one or two settings."""
    down, across = (_ordered(column) for column in ([*zip(*places, strict=True), [""]])[:2])
    figure, ((axes,),) = panels(
        1, 1, width=2.2 + 0.95 * len(across), height=1.2 + 0.5 * len(down), theme=theme
    )
    table = np.full((len(down), len(across)), np.nan)
    for place, value in zip(places, values, strict=True):
        row, column = (*place, "")[:2]
        table[down.index(row), across.index(column)] = value
    shown = table if higher else -table
    image = axes.imshow(shown, cmap=_better(theme), aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        # Where the ground has the same contrast with both inks.
        even = 0.85 if theme == "light" else 0.45
        strong = np.isfinite(value) and image.norm(shown[row, column]) > even
        text = f"{value:.4g}" if np.isfinite(value) else "×"
        ink = (PAPER if strong else INK)[theme]
        axes.text(column, row, text, ha="center", va="center", fontsize=10, color=ink)
    axes.set_yticks(range(len(down)), [_word(each) for each in down])
    if len(names) > 1:
        axes.set_xticks(range(len(across)), [_word(each) for each in across])
    else:
        axes.set_xticks([])
    label(axes, theme, x="".join(names[1:]), y=names[0], title=title)
    return figure


def parallel_lines(
    names: Sequence[str],
    places: Sequence[tuple[Any, ...]],
    values: Sequence[float],
    title: str,
    *,
    higher: bool,
    theme: Theme = "light",
) -> "Figure":
    """Draw a line through the settings of each trial to its value."""
    colors = _better(theme)
    figure, ((axes,),) = panels(
        1, 1, width=1.6 * (len(names) + 1) + 1, height=4.2, theme=theme
    )
    finite = [value for value in values if np.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    span = (high - low) or 1.0
    columns = [_ordered(column) for column in zip(*places, strict=True)]
    # The best are drawn last, and equal lines side by side.
    for rank, place in reversed([*enumerate(places)]):
        value = values[rank]
        aside = 0.06 * (rank / len(places) - 0.5)
        heights = [
            column.index(at) / max(1, len(column) - 1) + aside
            for column, at in zip(columns, place, strict=True)
        ]
        if not np.isfinite(value):
            axes.plot(range(len(heights)), heights, color=GHOST[theme], linestyle=":")
            continue
        share = (value - low) / span
        color = colors(share if higher else 1.0 - share)
        axes.plot(range(len(heights) + 1), [*heights, share], color=color, linewidth=1.8)
    for number, column in enumerate(columns):
        axes.axvline(number, color=GHOST[theme], zorder=0)
        for place, value in enumerate(column):
            height = place / max(1, len(column) - 1)
            # On a ground of its own, as lines pass below it.
            ground = {"facecolor": PAPER[theme], "edgecolor": "none", "pad": 0.5}
            at = (number + 0.02, height + 0.04, _word(value))
            axes.text(*at, fontsize=9, color=INK[theme], bbox=ground)
    for value, height in ((low, 0.0), (high, 1.0)):
        axes.text(len(columns), height, f" {value:.4g}", fontsize=9, color=INK[theme])
    axes.set_xticks(range(len(columns) + 1), [*names, title])
    axes.set_xlim(-0.2, len(columns) + 0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return figure


def _better(theme: Theme) -> Any:
    """Return a scale of colours from the worst to the best."""
    colors = require("matplotlib.colors", "experiments", purpose="draw pictures")
    return colors.LinearSegmentedColormap.from_list(
        "better", [GHOST[theme], PALETTE[theme][0]]
    )


def _ordered(values: Iterable[Any]) -> list[Any]:
    """Return the distinct values: others first, then numbers by size."""
    found = dict.fromkeys(values)
    if all(value is None or isinstance(value, (int, float)) for value in found):
        return sorted(found, key=lambda value: (value is not None, value or 0))
    return list(found)


def _word(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _draw(axes: Any, row: Panel, family: str, colour: str, theme: Theme) -> None:
    ink = INK[theme]
    axes.set_yscale(row.scale)
    for curve in row.curves:
        mark = {"marker": "o"} if len(curve.x) < 3 else {}
        if curve.family != family:
            grey = {"color": GHOST[theme], "linewidth": 0.9, "zorder": 1, **mark}
            axes.plot(curve.x, curve.mean, **grey)
            continue
        # A second method without Lookahead needs another colour.
        shade = ink if curve.role == "other" else colour
        fill = {"fillstyle": "none" if curve.role == "plain" else "full"}
        line = {"color": shade, "label": curve.label, **_LINES[curve.role], **mark, **fill}
        axes.plot(curve.x, curve.mean, zorder=3, **line)
        band, look = curve.band(row.scale), {"alpha": 0.18, "linewidth": 0, "zorder": 2}
        axes.fill_between(curve.x, *band, color=shade, **look)
    grid_lines(axes, theme, axis="y")
    axes.minorticks_off()
    low, high = _limits(row)
    if row.scale == "log" and high < 100 * low:  # too few powers of ten
        between = (1, 2, 5) if high > 8 * low else (1, 1.5, 2, 3, 4, 5, 7)
        ticker = require("matplotlib.ticker", "experiments", purpose="draw pictures")
        even, uneven = ticker.MaxNLocator(4), ticker.LogLocator(subs=between)
        axes.yaxis.set_major_locator(even if high < 2.5 * low else uneven)
        axes.yaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.03)


def _limits(row: Panel) -> tuple[float, float]:
    """Return limits around every band, with a margin."""
    ends = np.concatenate([end for each in row.curves for end in each.band(row.scale)])
    ends = ends[np.isfinite(ends)]
    if row.scale == "log":
        ends = ends[ends > 0]
        room = max(1.02, (ends.max() / ends.min()) ** 0.08)
        return float(ends.min() / room), float(ends.max() * room)
    room = 0.05 * np.ptp(ends) or 0.05
    return float(ends.min() - room), float(ends.max() + room)
