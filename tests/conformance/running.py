"""How tests take programs through the suite: in this process, or by the command."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

from typer.testing import CliRunner
from typer.testing import Result as Done

from lookahead_ref.cli.app import app
from lookahead_ref.conformance import Case
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.running import Target, run


def conform(*arguments: str) -> Done:
    return called("conform", *arguments)


def called(*arguments: str) -> Done:
    """Call lookahead-ref; it may exit, but not raise."""
    done = CliRunner().invoke(app, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def refused(done: Done, says: str, code: int = 2) -> None:
    """A command that cannot be done says so in one line."""
    assert (done.exit_code, done.stderr.count("\n")) == (code, 1)
    assert says in done.stderr


def taken(
    target: Target, chosen: Sequence[Case], dtypes: Sequence[str] | None = None
) -> list[Result]:
    """Take cases through an opened target, and close it."""
    with closing(target):
        return run(target, chosen, dtypes=dtypes) if dtypes else run(target, chosen)


def statuses(results: Iterable[Result]) -> set[str]:
    return {result.status for result in results}


def named(explanations: Iterable[Iterable[Any]]) -> set[frozenset[str]]:
    """The causes that each explanation of a diagnosis names."""
    return {frozenset(each.name for each in explanation) for explanation in explanations}
