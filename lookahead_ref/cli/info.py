"""The command ``info``."""

from typing import Any

import typer

from lookahead_ref.cli.options import AsJson
from lookahead_ref.cli.terminal import console, epilog, print_json, reported

EXAMPLES = {"info": ("lookahead-ref info", "lookahead-ref info --json")}

_DISTRIBUTIONS = (
    "numpy",
    "autograd",
    "numba",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "scikit-learn",
    "matplotlib",
    "typer",
    "rich",
)


def mount(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=epilog(EXAMPLES["info"]))(info)


def info(as_json: AsJson = False) -> None:
    """List versions, backends and devices, and why a backend is not available."""
    with reported():
        from dataclasses import asdict

        from lookahead_ref.experiments.environment import versions
        from lookahead_ref.stepping import backend
        from lookahead_ref.system import available_cores

        found = {
            "versions": versions(*_DISTRIBUTIONS),
            "cores": available_cores(),
            "backends": [asdict(record) for record in backend.describe()],
        }
    if as_json:
        print_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    backends = Table(box=None, pad_edge=False)
    for title in ("Backend", "Available", "Version", "Devices", ""):
        backends.add_column(title, overflow="fold")
    for record in found["backends"]:
        backends.add_row(
            record["name"],
            Text("yes", style="green") if record["available"] else Text("no"),
            record["version"] or "",
            ", ".join(record["devices"]),
            Text(record["reason"] or ""),
        )
    installed = Table("Installed", "Version", box=None, pad_edge=False)
    for row in {**found["versions"], "cores": str(found["cores"])}.items():
        installed.add_row(*row)
    screen = console()
    screen.print(backends)
    screen.print()
    screen.print(installed)
