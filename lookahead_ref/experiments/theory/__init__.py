"""The theory in pictures: each module computes numbers, draws them, and is a command.

Every module has a function `compute`, from its settings to plain data, a function `draw`,
from this data to a figure, and a function `summary`, from this data to a sentence: the
picture shows nothing that is not in the numbers.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lookahead_ref.experiments.environment import versions
from lookahead_ref.report import plots
from lookahead_ref.report.files import write_json
from lookahead_ref.theory.cycles import InnerState

# Pictures for documents, which are light.
COLOURS, INK, GHOST = plots.PALETTE["light"], plots.INK["light"], plots.GHOST["light"]
DASHED, DOTTED, DASH_DOTTED = (0, (5, 2)), (0, (1, 1.3)), (0, (7, 2, 1.5, 2))

STATES: Mapping[InnerState, str] = {
    "maintain": "maintained",
    "reset": "reset",
    "interpolate": "interpolated",
}
"""What a synchronization does to the velocity, and its word in a picture."""


def note(figure: "plots.Figure", text: str) -> None:
    """Write below all panels with what they were computed."""
    figure.supxlabel(text, fontsize=10, color=INK)


def save(
    folder: Path,
    name: str,
    draw: "Callable[[Mapping[str, Any]], plots.Figure]",
    numbers: Mapping[str, Any],
) -> list[str]:
    """Write numbers, and their picture twice; return the names of the files."""
    found = versions("numpy", "matplotlib")
    write_json(folder / f"{name}.json", {"versions": found, **numbers})
    with plots.own_look():
        plots.write_picture(folder, name, draw(numbers))
    return [f"{name}.png", f"{name}.svg", f"{name}.json"]
