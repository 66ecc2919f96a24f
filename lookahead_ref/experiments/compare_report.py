"""What the comparison shows: two tables, a sentence, the curves and the page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lookahead_ref.experiments import methods
from lookahead_ref.experiments.plugins import is_plugin
from lookahead_ref.report import plots
from lookahead_ref.report.page import (
    Section,
    code,
    definitions,
    page,
    paragraph,
    picture,
)
from lookahead_ref.report.tables import Column, Row, Table, summarize

if TYPE_CHECKING:
    from lookahead_ref.experiments.compare import Comparison, Run, Settings

__all__ = [
    "FINAL",
    "by_method",
    "difference_table",
    "html",
    "learning_rates",
    "panels",
    "summary",
    "table",
]

_SPLITS = ("train", "validation")

FINAL = ("validation_accuracy", "validation_loss", "train_loss")
"""What is compared at the end of the runs."""


def by_method(runs: "Sequence[Run]") -> "Iterator[tuple[methods.Method, list[Run]]]":
    """Group runs by method.

    Parameters
    ----------
    runs : sequence of Run
        All of them.

    Yields
    ------
    tuple of Method and list of Run
        In the order of the table, and of the seeds.
    """
    for method in dict.fromkeys(run.method for run in runs):
        yield method, [r for r in runs if r.method == method]


def _final(run: "Run", quantity: str) -> float:
    value: float = getattr(run.history[-1], quantity)
    return 100 * value if quantity.endswith("accuracy") else value


def table(settings: "Settings", data: str, runs: "Sequence[Run]") -> Table:
    """Make the table in the shape of the paper's Table 1.

    Parameters
    ----------
    settings : Settings
        Of the comparison.
    data : str
        The name of the data.
    runs : sequence of Run
        All of them.

    Returns
    -------
    Table
        A row for each method.
    """
    rates = "" if _as_published(settings) else f" {learning_rates(settings)}"
    title = "Handwritten digits" if settings.data == "digits" else data
    return Table(
        title=f"{title}: final validation accuracy",
        caption=(
            f"{_over_seeds(settings)}, after {settings.epochs} epochs; best in bold. "
            f"Measured on the slow weights, or on the average.{rates}"
        ),
        stub="Optimizer",
        columns=(
            Column("Validation accuracy (%)", better="higher"),
            Column("Validation loss", better="lower", digits=4),
            Column("Training loss", better="lower", digits=5),
        ),
        rows=tuple(
            Row(
                method.title,
                tuple(summarize([_final(r, quantity) for r in of]) for quantity in FINAL),
            )
            for method, of in by_method(runs)
        ),
    )


def difference_table(settings: "Settings", runs: "Sequence[Run]") -> Table:
    """Make the table of Lookahead less its inner optimizer, seed by seed.

    Parameters
    ----------
    settings : Settings
        Of the comparison.
    runs : sequence of Run
        All of them.

    Returns
    -------
    Table
        A row for each inner optimizer.
    """
    found = {(r.method.name, r.seed): r for r in runs}
    rows = []
    for method, _ in by_method(runs):
        if method.role != "lookahead":
            continue
        inner = methods.inner_name(method.name)
        seeds = [r.seed for r in runs if r.method == method]
        cells = tuple(
            summarize(
                [
                    _final(found[method.name, seed], quantity)
                    - _final(found[inner, seed], quantity)
                    for seed in seeds
                ]
            )
            for quantity in FINAL
        )
        rows.append(Row(method.title, cells))
    return Table(
        title="What Lookahead changes: its value less that of its inner optimizer",
        caption=(
            f"{_over_seeds(settings)}. Differences are taken seed by seed: both start "
            "at the same point and see the same batches."
        ),
        stub="Lookahead less inner",
        columns=(
            Column("Validation accuracy (points)", better="neither", sign="+"),
            Column("Validation loss", better="neither", digits=4, sign="+"),
            Column("Training loss", better="neither", digits=5, sign="+"),
        ),
        rows=tuple(rows),
    )


def _as_published(settings: "Settings") -> bool:
    return (
        settings.optimizers,
        settings.learning_rates,
        settings.model,
        settings.data,
    ) == (
        (),
        (),
        "mlp",
        "digits",
    )


def learning_rates(settings: "Settings") -> str:
    """Say where the learning rates come from, and for what they were chosen.

    Parameters
    ----------
    settings : Settings
        Of the comparison.

    Returns
    -------
    str
        A few sentences of plain text.
    """
    given: list[str] = []
    own: list[str] = []
    chosen: list[str] = []
    for name in settings.inner_names:
        if settings.learning_rate(name) is not None:
            given.append(name)
        else:
            (own if is_plugin(name) else chosen).append(name)
    said = []
    if chosen:
        of = "each inner optimizer" if not (given or own) else _enumerated(chosen)
        said.append(
            f"The learning rate of {of} is the best of a grid, by validation accuracy on "
            "other seeds, and is the same alone and inside Lookahead."
        )
        if (settings.model, settings.data) != ("mlp", "digits"):
            said.append(
                "That grid was of a multilayer perceptron on the handwritten digits: for "
                "this model and these data it was not tuned."
            )
    if given:
        said.append(
            f"The learning rate of {_enumerated(given)} was given with the command, and "
            "is the same alone and inside Lookahead; nothing was tuned here."
        )
    if own:
        said.append(
            f"No learning rate was given for {_enumerated(own)}: what came with it is the "
            "same alone and inside Lookahead; nothing was tuned here."
        )
    return " ".join(said)


def _enumerated(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _over_seeds(settings: "Settings") -> str:
    if settings.seeds == 1:
        return "One seed"
    return f"Mean ± sample standard deviation over {settings.seeds} seeds"


def summary(table: Table, differences: Table) -> str:
    """Say in words what the tables hold, and what they do not show.

    Parameters
    ----------
    table, differences : Table
        From `table` and `difference_table`.

    Returns
    -------
    str
        A sentence or two of plain text.
    """
    best = [
        row.name
        for row, cells in zip(table.rows, table.cells(), strict=True)
        if cells[0].bold
    ]
    top = table.rows[[row.name for row in table.rows].index(best[0])].cells[0]
    verb = "has" if len(best) == 1 else "have"
    gains = [row.cells[0] for row in differences.rows]
    # Where two accuracies are equal, rounding may leave a difference of either sign.
    higher = sum(gain.mean > 1e-9 for gain in gains)
    text = (
        f"{_enumerated(best)} {verb} the highest mean validation accuracy, "
        f"{top.mean:.2f} %. Lookahead has a higher mean than its inner optimizer in "
        f"{higher} of {len(gains)} cases"
    )
    if top.n == 1:
        return text + "; one seed says nothing about the spread."
    # A mean of n differences spreads by their deviation over the root of n.
    clear = sum(
        abs(gain.mean) > 2 * (gain.deviation or 0.0) / gain.n**0.5 for gain in gains
    )
    return (
        f"{text}; in {clear} of {len(gains)} the difference, up or down, is more than "
        "twice its standard error."
    )


def panels(runs: "Sequence[Run]") -> list[plots.Panel]:
    """Collect the curves of training loss and validation accuracy.

    Parameters
    ----------
    runs : sequence of Run
        All of them.

    Returns
    -------
    list of lookahead_ref.report.plots.Panel
        The loss and then the accuracy, to draw together or one by one.
    """

    def curves(quantity: str, factor: float) -> tuple[plots.Curve, ...]:
        return tuple(
            plots.Curve(
                label=method.title,
                family=method.family,
                role=method.role,
                x=np.array([record.epoch for record in of[0].history]),
                values=factor
                * np.array([[getattr(x, quantity) for x in r.history] for r in of]),
            )
            for method, of in by_method(runs)
        )

    accuracy = curves("validation_accuracy", 100.0)
    return [
        plots.Panel("training loss", curves("train_loss", 1.0), scale="log"),
        plots.Panel(
            "validation accuracy (%)", accuracy, limits=plots.late_limits(accuracy)
        ),
    ]


def html(
    settings: "Settings",
    comparison: "Comparison",
    results: Mapping[str, Any],
    runs: "Sequence[Run]",
) -> str:
    """Lay out the report.

    Parameters
    ----------
    settings : Settings
        Of the comparison.
    comparison : Comparison
        The tables and the summary.
    results : mapping
        As ``results.json`` holds them.
    runs : sequence of Run
        All of them.

    Returns
    -------
    str
        A whole HTML document that refers to nothing outside.
    """
    configuration, timing = results["configuration"], results["timing"]

    def curves(panel: plots.Panel, caption: str) -> str:
        light, dark = (
            plots.png(
                plots.curves_figure([panel], x_title="epoch", columns=2, theme=theme),
                dpi=130,
            )
            for theme in ("light", "dark")
        )
        return picture(light, dark, alternative=f"Curves: {panel.title}.", caption=caption)

    loss, accuracy = panels(runs)
    band = "Line: mean over seeds; band: one sample standard deviation to each side."
    data = configuration["data"]
    sizes = [f"{data[x]} for {x.replace('train', 'training')}" for x in _SPLITS if data[x]]
    digits = settings.data == "digits"
    return page(
        f"Lookahead on {'handwritten digits' if digits else data['name']}",
        comparison.summary,
        [
            Section(
                "Final validation accuracy",
                comparison.table.html()
                + paragraph(
                    "The table has the shape of Table 1 of the paper. Its numbers do not "
                    "compare with the paper's, which are of residual networks on CIFAR."
                ),
            ),
            Section("What Lookahead changes", comparison.differences.html()),
            Section(
                "Training loss",
                curves(loss, f"Loss over the training examples, logarithmic. {band}"),
            ),
            Section(
                "Validation accuracy",
                curves(
                    accuracy,
                    f"The axis begins where the methods can be told apart. {band}",
                ),
            ),
            Section(
                "Configuration",
                definitions(
                    {
                        "Data": ", ".join([data["name"], *sizes]),
                        "Model": configuration["model"],
                        "Batch size": configuration["batch_size"],
                        "Epochs": configuration["epochs"],
                        "Seeds": ", ".join(str(seed) for seed in results["seeds"]),
                        "Backend": configuration["backend"],
                    }
                ),
            ),
            Section(
                "Optimizers",
                paragraph(learning_rates(settings))
                + definitions({m["title"]: m["optimizer"] for m in results["methods"]}),
            ),
            Section(
                "Versions",
                definitions(
                    {
                        **results["versions"],
                        "Run at": timing["started"],
                        "Took": f"{timing['seconds']:.1f} s, {timing['jobs']} processes",
                    }
                ),
            ),
            Section("Repeat it", code(results["command"])),
        ],
    )
