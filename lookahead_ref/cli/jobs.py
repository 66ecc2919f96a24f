"""The commands of many runs: ``compare``, ``sweep`` and ``reproduce``."""

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookahead_ref.cli.options import completing, with_settings
from lookahead_ref.cli.terminal import (
    MEASURING,
    console,
    epilog,
    job_folder,
    preparing,
    print_json,
    print_report,
    reported,
)
from lookahead_ref.experiments.options import command
from lookahead_ref.experiments.settings import (
    CompareSettings,
    JobOptions,
    ReproduceSettings,
    SweepSettings,
)

if TYPE_CHECKING:
    from lookahead_ref.experiments.report import Job, Report
    from lookahead_ref.training.workers import Team

EXAMPLES = {
    "compare": (
        "lookahead-ref compare",
        "lookahead-ref compare --seeds 2 --epochs 5 --output my-comparison",
        "lookahead-ref compare --seeds 2 --epochs 5 --json",
        "lookahead-ref compare --optimizer adam --learning-rate 0.003 --seeds 2 --epochs 2",
    ),
    "sweep": (
        "lookahead-ref sweep --optimizer lookahead-sgd --k 5 --k 10 --alpha 0.5 --epochs 3",
        "lookahead-ref sweep --optimizer sgd --optimizer adam --seeds 2 --output my-sweep",
    ),
    "reproduce": (
        "lookahead-ref reproduce fig10",
        "lookahead-ref reproduce table5 --seeds 3 --output table5",
        "lookahead-ref reproduce table1 --seeds 2 --epochs 5 --json",
    ),
}


def mount(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for job in (compare, sweep, reproduce):
        app.command(epilog=epilog(EXAMPLES[job.__name__]))(with_settings(job))


def compare(settings: CompareSettings, options: JobOptions) -> None:
    """Compare optimizers, alone and inside Lookahead, on handwritten digits or other data.

    Prints the table and writes report.html, pictures, results.json, results.csv and
    train.jsonl to a folder, by default runs/compare-DATE-TIME. If it is stopped, the same
    command with the same --output continues.
    """
    with _joined(settings) as (settings, team):
        with reported(), preparing():
            from lookahead_ref.experiments import compare as comparing
            from lookahead_ref.report import plots

            plots.library()  # before anything is trained or written
            job = comparing.prepare(settings)
        made = _done(job, options, team)
    if options.as_json:
        _print_json(
            made,
            report=str(made.folder / "report.html"),
            summary=made.findings.summary,
            **{f"{settings.base.evaluated}_accuracy_percent": _accuracies(made)},
        )


def sweep(settings: SweepSettings, options: JobOptions) -> None:
    """Train every combination of some settings, on this machine or on a Dask cluster.

    Writes report.html, results.json, results.csv and each run's result to a folder. If it
    is stopped, the same command with the same --output continues; with more values it
    trains only the new ones.
    """
    with _joined(settings) as (settings, team):
        with reported(), preparing():
            from lookahead_ref.experiments import sweep as sweeping

            job = sweeping.prepare(settings)
        made = _done(job, options, team)
    if options.as_json:
        found = _accuracies(made)
        _print_json(made, best=next(iter(found)), trials=found)


def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            help="table1, table2, table3, table5, fig1, fig8, fig9, fig10; or family, for "
            "SlowMo, SNOO and DiLoCo.",
            autocompletion=completing("lookahead_ref.experiments.paper.reproduce:NAMES"),
        ),
    ],
    settings: ReproduceSettings,
    options: JobOptions,
) -> None:
    """Reproduce a table or a figure of the paper, at a small, a middle or the full scale.

    Writes report.html, with the paper's numbers beside ours, pictures, results.json,
    results.csv and each run's result. If it is stopped, it prints the command that
    continues.
    """
    more = " of each setting, to measure its speed" if settings.budget else ""
    with reported(), preparing(more):
        from lookahead_ref.experiments.paper import reproduce as reproducing
        from lookahead_ref.report import plots

        plots.library()
        job = reproducing.prepare(name, settings, _at_once(options), options.output)
        if settings.budget is not None:
            typer.echo(reproducing.choice(name, settings, job.settings), err=True)
    made = _done(job, options)
    if options.as_json:
        _print_json(made, files=list(made.files), summary=made.findings.summary)


@contextmanager
def _joined(settings: Any) -> Iterator[tuple[Any, "Team"]]:
    """Join the workers: MPI's first rank continues, and the others serve it."""
    with ExitStack() as stack:
        with reported():
            from lookahead_ref.experiments.trials import serve
            from lookahead_ref.training.workers import started

            given = asdict(settings)
            given = {**given.pop("base"), **given}
            team = started(stack, settings.workers, given)
            if not team.leads:
                serve(team)
                raise typer.Exit
        yield replace(settings, workers=team.size), team


def _at_once(options: JobOptions) -> int:
    """Return how many runs are done in parallel."""
    from lookahead_ref.system import available_cores

    # A cluster's number of workers is unknown.
    return 1 if options.scheduler else options.jobs or available_cores()


def _done(job: "Job", options: JobOptions, team: "Team | None" = None) -> "Report":
    """Run a job in its folder with the requested workers, and print the results."""
    with reported():
        from lookahead_ref.experiments import report
        from lookahead_ref.experiments.estimate import unfinished, work_left
        from lookahead_ref.experiments.parallel import choose_workers

        workers = choose_workers(options.jobs, options.scheduler, team)
        left = unfinished(job, options.output)
        if left and job.speed is None:
            typer.echo(MEASURING, err=True)
        if options.dry_run:
            arms, in_all = work_left(job, _at_once(options), left)
            if options.as_json:
                print_json({"arms": arms, "in_all": in_all})
            else:
                typer.echo("\n".join([*arms, in_all]))
            raise typer.Exit
    # Not the command as typed, but with the settings chosen for its --budget.
    words = shlex.split(
        command(job.name, job.settings) + command("", options).removeprefix("lookahead-ref")
    )
    with job_folder(options.output, job.name.split()[-1], job.name, words) as folder:
        typer.echo(work_left(job, _at_once(options), left)[1], err=True)
        made = report.do(job, folder, workers, console(stderr=True))
    if not options.as_json:
        print_report(made)
    return made


def _print_json(made: "Report", **more: Any) -> None:
    results = str(made.folder / "results.json")
    print_json({"folder": str(made.folder), "results": results, **more})


def _accuracies(made: "Report") -> dict[str, Any]:
    rows = made.findings.tables[0].rows
    return {row.name: row.cells[0]._asdict() for row in rows}
