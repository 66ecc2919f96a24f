"""Single panels for pictures that are no curves over epochs."""

from typing import TYPE_CHECKING, Any

from lookahead_ref.extras import require
from lookahead_ref.report.plots import INK, PALETTE, PAPER, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["colours", "label", "legend", "single", "tint"]


def single(theme: Theme, *, width: float, height: float) -> "tuple[Figure, Any]":
    """Make a figure of one panel, of so many inches."""
    figures = require("matplotlib.figure", "experiments", purpose="draw pictures")
    figure = figures.Figure(
        figsize=(width, height), layout="constrained", facecolor=PAPER[theme]
    )
    axes = figure.subplots()
    axes.set_facecolor(PAPER[theme])
    axes.tick_params(colors=INK[theme], which="both", labelsize=10)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK[theme])
    return figure, axes


def colours(theme: Theme) -> tuple[str, ...]:
    """Return colours that most readers can tell apart."""
    return PALETTE[theme]


def label(axes: Any, theme: Theme, *, x: str, y: str) -> None:
    """Title both axes."""
    axes.set_xlabel(x, fontsize=11, color=INK[theme])
    axes.set_ylabel(y, fontsize=11, color=INK[theme])


def legend(axes: Any, theme: Theme, **options: Any) -> None:
    """Draw the legend above the panel, where it covers nothing."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        fontsize=10.5,
        frameon=False,
        labelcolor=INK[theme],
        borderpad=0.2,
        **options,
    )


def tint(bar: Any, theme: Theme, title: str) -> None:
    """Title the bar that explains colours, in the ink of the page."""
    bar.set_label(title, fontsize=11, color=INK[theme])
    bar.ax.tick_params(colors=INK[theme], labelsize=10)
    bar.outline.set_edgecolor(INK[theme])
