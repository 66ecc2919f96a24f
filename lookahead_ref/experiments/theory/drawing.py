"""What the pictures of the theory share: axes, colours and the files that they become."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookahead_ref.experiments.environment import versions
from lookahead_ref.extras import require
from lookahead_ref.report.files import write_atomically, write_json
from lookahead_ref.report.plots import GHOST, INK, PALETTE, PAPER, png, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "grid_lines", "label", "legend_above", "panels", "save"]

COLOURS = PALETTE["light"]


def panels(
    rows: int, columns: int, *, width: float, height: float, **options: Any
) -> tuple["Figure", Any]:
    """Make a figure with panels side by side.

    Parameters
    ----------
    rows, columns : int
        How many.
    width, height : float
        The size of the figure, in inches.
    **options
        Passed to matplotlib's ``Figure.subplots``.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Free of matplotlib's global state.
    grid : ndarray of matplotlib.axes.Axes, shape (rows, columns)
        The panels.

    Raises
    ------
    lookahead_ref.extras.MissingExtraError
        If matplotlib is not installed.
    """
    figures = require("matplotlib.figure", "experiments", purpose="draw pictures")
    figure = figures.Figure(
        figsize=(width, height), layout="constrained", facecolor=PAPER["light"]
    )
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    for axes in grid.flat:
        axes.tick_params(colors=INK["light"], which="both", labelsize=10)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(INK["light"])
    return figure, grid


def label(axes: Any, *, x: str = "", y: str = "", title: str = "") -> None:
    """Label a panel.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The panel.
    x, y : str
        What the axes show, and its unit.
    title : str
        What stands above, at the left.
    """
    ink = INK["light"]
    if x:
        axes.set_xlabel(x, fontsize=11, color=ink)
    if y:
        axes.set_ylabel(y, fontsize=11, color=ink)
    if title:
        axes.set_title(title, fontsize=11.5, color=ink, loc="left")
    axes.set_axisbelow(True)


def legend_above(axes: Any, **options: Any) -> None:
    """Draw the legend above a panel, where it covers nothing.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The panel.
    **options
        Passed to matplotlib's ``Axes.legend``.
    """
    axes.legend(
        **{
            "loc": "lower left",
            "bbox_to_anchor": (0.0, 1.0),
            "fontsize": 10.5,
            "frameon": False,
            "labelcolor": INK["light"],
            "handlelength": 2.6,
            "borderpad": 0.2,
            "labelspacing": 0.35,
            **options,
        }
    )


def grid_lines(axes: Any) -> None:
    """Draw faint lines at the ticks of both axes.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The panel.
    """
    axes.grid(visible=True, color=GHOST["light"], linewidth=0.5, alpha=0.6)


def save(
    folder: Path, name: str, figure: "Figure", numbers: Mapping[str, Any]
) -> list[str]:
    """Write a picture and its numbers.

    Parameters
    ----------
    folder : pathlib.Path
        Where to.
    name : str
        The name of the files, without their ends.
    figure : matplotlib.figure.Figure
        The picture.
    numbers : dict
        What it shows, as plain data.

    Returns
    -------
    list of str
        The names of the files: PNG, SVG and JSON.
    """
    write_atomically(folder / f"{name}.png", png(figure))
    # Laid out once: a second time moves things a little.
    figure.set_layout_engine("none")
    write_atomically(folder / f"{name}.svg", svg(figure))
    found = versions("numpy", "matplotlib")
    write_json(folder / f"{name}.json", {"versions": found, **numbers})
    return [f"{name}.png", f"{name}.svg", f"{name}.json"]
