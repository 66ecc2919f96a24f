"""The command ``bench``, which the command line mounts.

What it needs is imported inside it, so that ``--help`` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from lookahead_ref.cli.terminal import (
    backends,
    console,
    epilog,
    print_folder,
    print_json,
    reported,
)

__all__ = ["EXAMPLES", "mount"]

EXAMPLES = {
    "bench": (
        "lookahead-ref bench",
        "lookahead-ref bench --quick --output my-figures",
        "lookahead-ref bench --quick --only overhead --only memory --json",
        "lookahead-ref bench --backend cupy --output my-gpu",
    )
}


def mount(app: typer.Typer) -> None:
    """Add the command to the command line.

    Parameters
    ----------
    app : typer.Typer
        The command line.
    """
    app.command(epilog=epilog(EXAMPLES["bench"]))(bench)


def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="step, cost, bandwidth, numpy, overhead, memory, growth, models or first; "
            "repeat it for several; all if not given. On a GPU, not numpy, models or first."
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            help="What makes the updates: numba, or cupy for a GPU.",
            autocompletion=backends,
        ),
    ] = "numba",
    quick: Annotated[
        bool, typer.Option("--quick", help="Small parameters and few turns.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="A new or empty folder to write to.", metavar="DIR", show_default=False
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for a program to read.")
    ] = False,
) -> None:
    """Time a step beside the implementations that are installed, and beside memory.

    PyTorch, optax, torch_optimizer, pytorch_optimizer and timm are compared where they are
    installed, with --backend cupy those that run on the GPU. With --output it writes
    results.json, benchmarks.md and, with matplotlib, roofline.svg to that folder. Timings
    mean something on a machine that does nothing else.
    """
    with reported():
        from dataclasses import asdict

        from lookahead_ref.bench import apart, machine, page, place, suite
        from lookahead_ref.experiments.environment import new_folder

        where = place.find(backend)
        plan = suite.plan_for(where, quick=quick)
        suite.check(where, tuple(only or ()))
        folder = None if output is None else new_folder(output, "bench")
        names = tuple(only or suite.sections(where))
        results = apart.run(plan, names, backend, _tell)
        found = {"machine": machine.describe(where), **asdict(results)}
        if folder is not None:
            _write(found, folder)
    if as_json:
        print_json(found)
        return
    screen = console()
    for line in page.lines(found["bars"]):
        screen.print(line, highlight=False, soft_wrap=True)
    if folder is not None:
        print_folder(screen, folder, "results.json, benchmarks.md")


def _tell(what: str) -> None:
    console(stderr=True).print(what)


def _write(found: dict[str, object], folder: Path) -> None:
    from importlib.util import find_spec

    from lookahead_ref.bench import page
    from lookahead_ref.bench.picture import roofline
    from lookahead_ref.report.files import write_atomically, write_json
    from lookahead_ref.report.plots import svg

    write_json(folder / "results.json", found)
    write_atomically(folder / "benchmarks.md", page.page([found]))
    if find_spec("matplotlib") is not None:
        timings: object = found["timings"]
        assert isinstance(timings, list)
        write_atomically(folder / "roofline.svg", svg(roofline(timings)))
