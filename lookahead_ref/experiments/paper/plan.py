"""What a reproduction is made of: what it runs, and what it makes of the results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lookahead_ref.experiments.paper.arms import Arm, Outcome, train_one
from lookahead_ref.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Findings", "Plan", "Request", "Theme"]

Theme = Literal["light", "dark"]


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Parameters
    ----------
    full : bool
        Whether the setting is the paper's, as far as it is known, or that for a laptop.
    data : str, optional
        What to train on, as `lookahead_ref.data.load` takes it; by default what the
        setting for a laptop is made for. The paper's has no default.
    seeds, epochs : int, optional
        Other numbers than the setting's.
    learning_rate : float, optional
        Of SGD where it is not that of the setting: other data may need another.
    backend : str
        What makes the updates.

    Raises
    ------
    ValueError
        If the paper's setting is asked for without data.
    """

    full: bool = False
    data: str | None = None
    seeds: int | None = None
    epochs: int | None = None
    learning_rate: float | None = None
    backend: str = "numpy"

    def __post_init__(self) -> None:
        if self.full and self.data is None:
            raise ValueError(
                "data must be given for the full setting, as cifar10:DIR or ptb:DIR, got "
                "none"
            )


@dataclass(frozen=True)
class Plan:
    """What is run.

    Parameters
    ----------
    arms : tuple of Arm
        What is compared.
    seeds : int
        Runs of each arm, from seed 0 on.
    setting : dict
        What the runs share, in words, for the report.
    differs : tuple of str
        In what the setting is not the paper's; sentences.
    measure : callable
        Does one run and returns plain data.
    """

    arms: tuple[Arm, ...]
    seeds: int
    setting: Mapping[str, str]
    differs: tuple[str, ...]
    measure: Callable[[Any], Mapping[str, Any]] = train_one

    @property
    def over(self) -> str:
        """The number of seeds in words: what a mean is over."""
        return "one seed" if self.seeds == 1 else f"{self.seeds} seeds"


@dataclass(frozen=True)
class Findings:
    """What came out.

    Parameters
    ----------
    summary : str
        What was found, in a few sentences: whether the effect is there, and how clearly.
    tables : tuple of Table
        Ours, with the paper's numbers beside them.
    pictures : dict
        Name of a file, without its end, to a caption and a function that draws it for a
        light or a dark page.
    """

    summary: str
    tables: tuple[Table, ...]
    pictures: Mapping[str, tuple[str, Callable[[Theme], "Figure"]]]


Finder = Callable[[Plan, Sequence[Outcome]], Findings]
"""Makes findings of a plan and of what came of it."""
