"""What is installed here and what can be used: what ``lookahead-ref info`` shows."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lookahead_ref.experiments.environment import versions
from lookahead_ref.experiments.pool import available_cores
from lookahead_ref.stepping import backend

__all__ = ["collect", "show"]


def collect() -> dict[str, Any]:
    """Find out versions, cores, and the state of each backend.

    Returns
    -------
    dict
        ``versions`` (name to version), ``cores`` (int), and ``backends``, a list of
        what `lookahead_ref.stepping.backend.describe` says of each.
    """
    return {
        "versions": versions(
            "numpy",
            "autograd",
            "numba",
            "cupy-cuda12x",
            "cupy-cuda13x",
            "scikit-learn",
            "matplotlib",
            "typer",
            "rich",
        ),
        "cores": available_cores(),
        "backends": [asdict(record) for record in backend.describe()],
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print what `collect` found, for a person.

    Parameters
    ----------
    found : dict
        From `collect`.
    console : rich.console.Console
        Where to print it.
    """
    table = Table(box=None, pad_edge=False)
    for title in ("Backend", "Available", "Version", "Devices", ""):
        table.add_column(title)
    for record in found["backends"]:
        table.add_row(
            record["name"],
            Text("yes", style="green") if record["available"] else Text("no"),
            record["version"] or "",
            ", ".join(record["devices"]),
            Text(record["reason"] or ""),
        )
    console.print(table)
    console.print()
    table = Table(box=None, pad_edge=False)
    table.add_column("Installed")
    table.add_column("Version")
    for name, version in found["versions"].items():
        table.add_row(name, version)
    table.add_row("cores", str(found["cores"]))
    console.print(table)
