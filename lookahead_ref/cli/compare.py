"""The command ``compare``."""

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
from lookahead_ref.experiments.settings import CompareSettings

__all__ = ["EXAMPLES", "mount"]

EXAMPLES = {
    "compare": (
        "lookahead-ref compare",
        "lookahead-ref compare --seeds 2 --epochs 5 --output my-comparison",
        "lookahead-ref compare --seeds 2 --epochs 5 --json",
        "lookahead-ref compare --optimizer adam --learning-rate 0.003 --seeds 2 --epochs 2",
    ),
}


def mount(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=epilog(EXAMPLES["compare"]))(with_settings(compare))


def compare(
    settings: CompareSettings,
    jobs: Jobs = None,
    scheduler: Scheduler = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Compare optimizers, alone and inside Lookahead, on handwritten digits or other data.

    Prints the table and writes report.html, pictures, results.json, results.csv and
    train.jsonl to a folder, runs/compare-DATE-TIME if --output is not given. Stopped, the
    same command with the same --output goes on where it was.
    """
    with reported():
        from lookahead_ref.experiments import compare as comparing
        from lookahead_ref.experiments.workers import choose_workers
        from lookahead_ref.extras import require

        # Before anything is trained or written.
        require("matplotlib", "experiments", purpose="draw the curves")
        if settings.data == "digits":
            require("sklearn", "experiments", purpose="load the digits")
        comparison = comparing.prepare(settings)
        workers = choose_workers(jobs, scheduler)
    with job_folder(output, "compare", "compare") as folder:
        made = comparing.compare(
            comparison, folder, workers=workers, console=console(stderr=True)
        )
    if not as_json:
        print_report(made)
        return
    accuracy = {row.name: row.cells[0]._asdict() for row in made.findings.tables[0].rows}
    print_json(
        {
            "folder": str(folder),
            "results": str(folder / "results.json"),
            "report": str(folder / "report.html"),
            "summary": made.findings.summary,
            "validation_accuracy_percent": accuracy,
        }
    )
