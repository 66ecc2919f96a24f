"""What ``lookahead-ref golden models`` does and prints."""

from collections import Counter

import typer

from lookahead_ref.conformance.bounds import LEVELS
from lookahead_ref.conformance.models.running import ModelResult, run_models
from lookahead_ref.conformance.models.vectors import model_cases
from lookahead_ref.conformance.process import Limits, StartError
from lookahead_ref.conformance.running import PYTHON_STARTUP, Program, open_target
from lookahead_ref.conformance.vectors import VectorFileError
from lookahead_ref.extras import MissingExtraError

__all__ = ["report"]

_DEPARTED, _USAGE, _FAILED = 1, 2, 3

_SAID = {
    "passed": "passed",
    "departed": "departed",
    "failed": "failed",
    "unsupported": "not offered",
}


def report(target: str | None, command: str | None, profile: str | None, level: str) -> int:
    """Run the golden models on a program, and print what is found.

    Parameters
    ----------
    target : str or None
        A built-in program, ``module:Class`` or ``file.py:Class``.
    command : str or None
        A harness and its arguments, as in a shell.
    profile : str or None
        ``model:mlp`` or ``model:lstm``; both if not given.
    level : {"strict", "gpu"}
        The tolerances.

    Returns
    -------
    int
        The exit code, as that of ``lookahead-ref conform``.
    """
    try:
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
        cases = model_cases(profile)
        # A step may have to compile its kernels first.
        limits = Limits(startup=PYTHON_STARTUP, step=PYTHON_STARTUP)
        program = open_target(target, command=command, limits=limits)
    except StartError as error:
        typer.echo(f"lookahead-ref: {error}", err=True)
        return _FAILED
    except (ValueError, VectorFileError, MissingExtraError) as error:
        typer.echo(f"lookahead-ref: {error}", err=True)
        return _USAGE
    assert isinstance(program, Program)  # a recording was not asked for
    try:
        results = run_models(program.ask, cases, level=level)
    finally:
        program.close()
    _print(program.name, results)
    statuses = {result.status for result in results}
    if "failed" in statuses:
        return _FAILED
    return _DEPARTED if "departed" in statuses else 0


def _print(name: str, results: list[ModelResult]) -> None:
    counts: dict[str, Counter[str]] = {}
    for result in results:
        counts.setdefault(result.case.profile, Counter())[result.status] += 1
    typer.echo(f"{name}:")
    for profile, found in counts.items():
        said = ", ".join(f"{count} {_SAID[status]}" for status, count in found.items())
        typer.echo(f"  {profile}: {said}")
    for result in results:
        where = f"{result.case.id} in {result.dtype}"
        for departure in result.departures:
            typer.echo(f"{where}: {departure}")
        if result.status == "failed":
            typer.echo(f"{where}: {result.reason}")
