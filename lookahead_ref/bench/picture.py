"""The roofline: bytes moved against time, one point a row, over what memory allows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lookahead_ref.extras import require
from lookahead_ref.report.plots import GHOST, INK, PALETTE, PAPER

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def roofline(timings: Sequence[dict[str, Any]]) -> "Figure":
    """Draw the rows of a run.

    Parameters
    ----------
    timings : sequence of dict
        What `Timing` holds, by name.

    Returns
    -------
    matplotlib.figure.Figure
        The picture.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    figures = require("matplotlib.figure", "experiments", purpose="draw the roofline")
    figure = figures.Figure(figsize=(8, 5), facecolor=PAPER["light"], layout="constrained")
    axes = figure.add_subplot(facecolor=PAPER["light"])
    rows = [row for row in timings if row["bytes_moved"] > 0]
    limits = [row for row in rows if row["kind"] in ("limit", "copy")]
    if limits:
        rate = max(row["bytes_moved"] / row["seconds"] for row in limits)
        ends = [
            min(row["bytes_moved"] for row in rows) / 2,
            2 * max(row["bytes_moved"] for row in rows),
        ]
        axes.plot(
            ends,
            [end / rate for end in ends],
            color=INK["light"],
            linewidth=1,
            label=f"{rate / 1e9:.0f} GB/s, a loop that only moves memory",
        )
    groups = (
        ("peers", GHOST["light"], "o", lambda _: True),
        (
            "Stepper, numpy",
            PALETTE["light"][1],
            "s",
            lambda row: row["method"] == "Stepper, numpy",
        ),
        (_measured(rows), PALETTE["light"][0], "o", _is_ours),
    )
    taken: set[int] = set()
    drawn = []
    for label, colour, marker, belongs in reversed(groups):
        points = [
            place
            for place, row in enumerate(rows)
            if place not in taken and row["kind"] not in ("limit", "copy") and belongs(row)
        ]
        taken |= set(points)
        drawn.append((label, colour, marker, points))
    for label, colour, marker, points in reversed(drawn):
        if points:
            axes.scatter(
                [rows[place]["bytes_moved"] for place in points],
                [rows[place]["seconds"] for place in points],
                s=18,
                color=colour,
                marker=marker,
                label=label,
                zorder=2,
            )
    axes.set(xscale="log", yscale="log", xlabel="bytes moved by a step", ylabel="seconds")
    axes.tick_params(colors=INK["light"])
    if axes.get_legend_handles_labels()[0]:  # models alone have no points
        axes.legend(frameon=False)
    return figure  # type: ignore[no-any-return]  # the module came by name


def _is_ours(row: dict[str, Any]) -> bool:
    ours = row["method"].startswith("Stepper, ") and row["method"] != "Stepper, numpy"
    return ours or row["section"] in ("cost", "growth")


def _measured(rows: Sequence[dict[str, Any]]) -> str:
    """Return what the rows call this library, on the backend that is measured."""
    return next(
        (row["method"] for row in rows if "Stepper" in row["method"] and _is_ours(row)),
        "Stepper",
    )
