"""The theory in pictures: each module is a command that computes and draws numbers.

Every module has three functions: `compute` turns settings into plain data, `draw` turns
this data into a figure, and `summary` into a sentence.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lookahead_ref.experiments.environment import versions
from lookahead_ref.hyperparameters import InnerStateKind
from lookahead_ref.report import plots
from lookahead_ref.report.files import write_json

# Pictures for documents, which are light.
COLOURS, INK, GHOST = plots.PALETTE["light"], plots.INK["light"], plots.GHOST["light"]
DASHED, DOTTED, DASH_DOTTED = (0, (5, 2)), (0, (1, 1.3)), (0, (7, 2, 1.5, 2))

STATES: Mapping[InnerStateKind, str] = {
    "maintain": "maintained",
    "reset": "reset",
    "interpolate": "interpolated",
}
"""What a synchronization does to the velocity, and the word for it in a picture."""


def note(figure: "plots.Figure", text: str) -> None:
    """Write the settings below all panels."""
    figure.supxlabel(text, fontsize=10, color=INK)


def save(
    folder: Path,
    name: str,
    draw: "Callable[[Mapping[str, Any]], plots.Figure]",
    numbers: Mapping[str, Any],
) -> list[str]:
    """Write numbers as JSON and their picture as PNG and SVG; return the file names."""
    found = versions("numpy", "matplotlib")
    write_json(folder / f"{name}.json", {"versions": found, **numbers})
    with plots.own_look():
        plots.write_picture(folder, name, draw(numbers))
    return [f"{name}.png", f"{name}.svg", f"{name}.json"]
