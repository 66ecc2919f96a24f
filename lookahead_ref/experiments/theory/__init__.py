"""The theory in pictures: each module computes numbers, draws them, and is a command.

Every module has a function `compute`, from its settings to plain data, a function `draw`,
from this data to a figure, and a function `summary`, from this data to a sentence: the
picture shows nothing that is not in the numbers.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookahead_ref.experiments.environment import versions
from lookahead_ref.report.files import write_json
from lookahead_ref.report.plots import own_look, write_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["save"]


def save(
    folder: Path,
    name: str,
    draw: "Callable[[Mapping[str, Any]], Figure]",
    numbers: Mapping[str, Any],
) -> list[str]:
    """Write numbers, and their picture twice; return the names of the files."""
    found = versions("numpy", "matplotlib")
    write_json(folder / f"{name}.json", {"versions": found, **numbers})
    with own_look():
        write_picture(folder, name, draw(numbers))
    return [f"{name}.png", f"{name}.svg", f"{name}.json"]
