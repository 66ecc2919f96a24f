"""One table, shown on a terminal, in Markdown and in HTML.

A cell is a mean and a sample standard deviation over seeds; the best of a column is bold.
"""

import html
import math
import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import rich.table


class Summary(NamedTuple):
    """Mean and spread of one quantity over seeds."""

    mean: float
    """Arithmetic mean."""
    deviation: float | None
    """Sample standard deviation (divisor n - 1); None for a single value."""
    n: int
    """Number of values; a table shows a dash for none."""


MISSING = Summary(math.nan, None, 0)
"""A missing number."""


def summarize(values: Sequence[float]) -> Summary:
    """Compute mean and sample standard deviation (divisor n - 1)."""
    if not values:
        raise ValueError("values must hold at least one number, got none")
    finite = all(math.isfinite(value) for value in values)
    if not finite:
        return Summary(math.fsum(values) / len(values), None, len(values))
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Summary(statistics.fmean(values), deviation, len(values))


@dataclass(frozen=True)
class Column:
    """The heading and format of a column."""

    title: str
    better: Literal["higher", "lower", "neither"]
    """Which value is best, and so bold, if any."""
    digits: int = 2
    """Decimals of mean and deviation."""
    sign: Literal["-", "+"] = "-"
    """Whether to write the sign of positive means too."""


@dataclass(frozen=True)
class Row:
    """A name and a cell for each column."""

    name: str
    cells: tuple[Summary, ...]


@dataclass(frozen=True)
class Table:
    """Rows of means and deviations, each with as many cells as there are columns."""

    title: str
    caption: str
    """The text below, which explains the numbers."""
    stub: str
    """Title of the column of names."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(
                    f"rows must have {len(self.columns)} cells each, "
                    f"got {len(row.cells)} in row {row.name!r}"
                )

    def cells(self) -> list[list["_Cell"]]:
        """Return the cells as text, row by row, and whether each is the best."""
        columns = [
            _cells(column, [row.cells[place] for row in self.rows])
            for place, column in enumerate(self.columns)
        ]
        return [list(cells) for cells in zip(*columns, strict=True)]

    def rich(self) -> "rich.table.Table":
        """Return the table for a terminal."""
        import rich.box
        import rich.table
        from rich.text import Text

        table = rich.table.Table(
            title=self.title,
            title_style="bold",
            caption=self.caption,
            caption_justify="left",
            box=rich.box.SIMPLE_HEAD,
            collapse_padding=True,
            pad_edge=False,
        )
        longest = max((len(row.name) for row in self.rows), default=0)
        table.add_column(self.stub, min_width=min(20, longest))
        numbers: Any = {"justify": "right", "vertical": "bottom", "no_wrap": True}
        rows = self.cells()
        for place, column in enumerate(self.columns):
            # A title is no wider than its numbers, to save room on a terminal.
            widest = max((len(cells[place].text) for cells in rows), default=1)
            title = textwrap.fill(column.title, widest, break_long_words=False)
            least = max(widest, *map(len, title.splitlines()))
            table.add_column(title, min_width=least, **numbers)
        for row, cells in zip(self.rows, rows, strict=True):
            values = (Text(cell.text, "bold" if cell.bold else "") for cell in cells)
            table.add_row(Text(row.name), *values)
        return table

    def markdown(self) -> str:
        """Return the table in Markdown, without a final line end."""
        lines = [
            f"**{self.title}**",
            "",
            "| " + " | ".join([self.stub, *(c.title for c in self.columns)]) + " |",
            "| " + " | ".join(["---", *("---:" for _ in self.columns)]) + " |",
        ]
        for row, cells in zip(self.rows, self.cells(), strict=True):
            texts = [f"**{cell.text}**" if cell.bold else cell.text for cell in cells]
            lines.append("| " + " | ".join([row.name, *texts]) + " |")
        return "\n".join([*lines, "", self.caption])

    def html(self) -> str:
        """Return the table as a ``<figure>``, whose ``<div class="wide">`` may scroll."""
        escape = html.escape
        head = "".join(f'<th scope="col">{escape(c.title)}</th>' for c in self.columns)
        body = []
        for row, cells in zip(self.rows, self.cells(), strict=True):
            texts = "".join(
                f"<td><strong>{escape(cell.text)}</strong></td>"
                if cell.bold
                else f"<td>{escape(cell.text)}</td>"
                for cell in cells
            )
            body.append(f'<tr><th scope="row">{escape(row.name)}</th>{texts}</tr>')
        return "\n".join(
            [
                '<figure><div class="wide"><table>',
                f'<thead><tr><th scope="col">{escape(self.stub)}</th>{head}</tr></thead>',
                "<tbody>",
                *body,
                "</tbody>",
                "</table></div>",
                f"<figcaption>{escape(self.caption)}</figcaption></figure>",
            ]
        )


class _Cell(NamedTuple):
    text: str
    bold: bool


def _cells(column: Column, summaries: Sequence[Summary]) -> list[_Cell]:
    # Compared as printed, so that equal numbers are equally bold.
    means = [float(f"{each.mean:.{column.digits}f}") for each in summaries]
    choose: dict[str, Any] = {
        "higher": max,
        "lower": min,
        "neither": lambda *_, default: default,
    }
    best = choose[column.better](filter(math.isfinite, means), default=None)
    return [
        _Cell(_text(each, column), bold=mean == best)
        for each, mean in zip(summaries, means, strict=True)
    ]


def _text(cell: Summary, column: Column) -> str:
    if cell.n == 0:
        return "–"
    mean = f"{cell.mean:{column.sign}.{column.digits}f}"
    if cell.deviation is None:
        return mean
    return f"{mean} ± {cell.deviation:.{column.digits}f}"
