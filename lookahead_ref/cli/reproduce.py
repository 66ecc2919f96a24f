"""The command ``reproduce``."""

from typing import Annotated

import typer

from lookahead_ref.cli.options import AsJson, Jobs, Output, Scheduler, with_settings
from lookahead_ref.cli.terminal import (
    console,
    epilog,
    job_folder,
    print_json,
    print_report,
    reported,
)
from lookahead_ref.experiments.settings import ReproduceSettings

__all__ = ["EXAMPLES", "mount"]

EXAMPLES = {
    "reproduce": (
        "lookahead-ref reproduce fig10",
        "lookahead-ref reproduce table5 --seeds 3 --output table5",
        "lookahead-ref reproduce table1 --seeds 2 --epochs 5 --json",
    ),
}


def mount(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=epilog(EXAMPLES["reproduce"]))(with_settings(reproduce))


def _names(incomplete: str) -> list[str]:
    from lookahead_ref.experiments.paper.reproduce import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            help="table1, table2, table3, table5, fig1, fig8, fig9 or fig10.",
            autocompletion=_names,
        ),
    ],
    settings: ReproduceSettings,
    jobs: Jobs = None,
    scheduler: Scheduler = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Reproduce a table or a figure of the paper, in small or in full.

    Writes report.html, with the paper's numbers beside ours, pictures, results.json,
    results.csv and each run's result. Stopped, the same command with the same --output
    goes on where it was.
    """
    with reported():
        from lookahead_ref.experiments.paper import reproduce as reproducing
        from lookahead_ref.experiments.workers import choose_workers
        from lookahead_ref.extras import require

        require("matplotlib", "experiments", purpose="draw the pictures")
        reproducing.check(name, settings)
        workers = choose_workers(jobs, scheduler)
    with job_folder(output, name, f"reproduce {name}") as folder:
        made = reproducing.reproduce(
            name, settings, folder, workers=workers, console=console(stderr=True)
        )
    if not as_json:
        print_report(made)
        return
    summary = made.findings.summary
    print_json({"folder": str(folder), "files": list(made.files), "summary": summary})
