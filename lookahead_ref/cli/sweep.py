"""The command ``sweep``."""

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
from lookahead_ref.experiments.settings import SweepSettings

__all__ = ["EXAMPLES", "mount"]

EXAMPLES = {
    "sweep": (
        "lookahead-ref sweep --optimizer lookahead-sgd --k 5 --k 10 --alpha 0.5 --epochs 3",
        "lookahead-ref sweep --optimizer sgd --optimizer adam --seeds 2 --output my-sweep",
    ),
}


def mount(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=epilog(EXAMPLES["sweep"]))(with_settings(sweep))


def sweep(
    settings: SweepSettings,
    jobs: Jobs = None,
    scheduler: Scheduler = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Train every combination of some settings, on this machine or on a Dask cluster.

    Writes report.html, results.json, results.csv and each run's result to a folder.
    Stopped, the same command with the same --output goes on where it was; with more values
    it trains what is new.
    """
    with reported():
        from lookahead_ref.experiments import engine
        from lookahead_ref.experiments import sweep as sweeping
        from lookahead_ref.experiments.workers import choose_workers

        engine.check(sweeping.plan(settings))
        workers = choose_workers(jobs, scheduler)
    with job_folder(output, "sweep", "sweep") as folder:
        made = sweeping.sweep(
            settings, folder, workers=workers, console=console(stderr=True)
        )
    if not as_json:
        print_report(made)
        return
    rows = made.findings.tables[0].rows
    print_json(
        {
            "folder": str(folder),
            "results": str(folder / "results.json"),
            "best": rows[0].name,
            "trials": {row.name: row.cells[0]._asdict() for row in rows},
        }
    )
