"""The theory in pictures: each module computes numbers, draws them, and is a command.

Every module has a function `compute`, from its settings to plain data, a function `draw`,
from this data to a figure, and a function `summary`, from this data to a sentence: the
picture shows nothing that is not in the numbers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookahead_ref.experiments.environment import versions
from lookahead_ref.report.files import write_atomically, write_json
from lookahead_ref.report.plots import png, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["save"]


def save(
    folder: Path, name: str, figure: "Figure", numbers: Mapping[str, Any]
) -> list[str]:
    """Write a picture, twice, and its numbers; return the names of the files."""
    write_atomically(folder / f"{name}.png", png(figure))
    # Laid out once: a second time moves things a little.
    figure.set_layout_engine("none")
    write_atomically(folder / f"{name}.svg", svg(figure))
    found = versions("numpy", "matplotlib")
    write_json(folder / f"{name}.json", {"versions": found, **numbers})
    return [f"{name}.png", f"{name}.svg", f"{name}.json"]
