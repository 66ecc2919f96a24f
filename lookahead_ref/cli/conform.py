"""The commands of the golden suite."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookahead_ref.cli.options import AsJson, Choices, completing
from lookahead_ref.cli.profiles import PROFILES as USES
from lookahead_ref.cli.profiles import judge
from lookahead_ref.cli.terminal import USAGE, console, epilog, failed, print_json, reported
from lookahead_ref.hyperparameters import option
from lookahead_ref.system import read_table, uncollected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from lookahead_ref.conformance.findings import Diagnosis
    from lookahead_ref.conformance.judging import Result
    from lookahead_ref.conformance.running import Target
    from lookahead_ref.conformance.vectors import Case

EXAMPLES = {
    "conform": (
        "lookahead-ref conform pure",
        "lookahead-ref conform numpy --profile wrapper --json",
        "lookahead-ref conform pure --case smoke-wrapper --case smoke-resume",
        "lookahead-ref conform --init command --output my_lookahead.py",
    ),
    "golden": ("lookahead-ref golden generate --output vectors",),
    "golden models": ("lookahead-ref golden models numba --profile model:lstm",),
    "golden make-vectors": ("lookahead-ref golden make-vectors --output .",),
    "golden survey": (
        "lookahead-ref golden survey",
        "lookahead-ref golden survey docs/conformance/adapters/*.py --output survey.json",
    ),
    "golden generate": ("lookahead-ref golden generate --output vectors",),
}

_TEMPLATES = files("lookahead_ref") / "conformance" / "templates"
STARTS = read_table("lookahead_ref", "conformance/templates/starts.toml")
"""Kinds of first adapters: their commands and files."""

TITLES = {
    "wrapper": "Lookahead itself",
    "state": "inner state",
    "resume": "checkpoints",
    "schedule": "schedules",
}
"""Names of profiles as headings."""

golden = typer.Typer(no_args_is_help=True)

_LISTED = 20


def mount(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(epilog=epilog(EXAMPLES["conform"]))(conform)
    app.add_typer(golden, name="golden")


def _targets() -> list[str]:
    from lookahead_ref.conformance.adapters import builtin

    own = [
        f"{file}:{name}"
        for file in sorted(filter(Path.is_file, Path().glob("*.py")))
        for name in re.findall(r"^class (\w+)", file.read_text("utf-8", "replace"), re.M)
    ]
    return [*builtin(), *own]


def _profiles() -> list[str]:
    from lookahead_ref.conformance.vectors import profiles

    return [*profiles(), *USES]


def _cases() -> list[str]:
    from lookahead_ref.conformance.own_inner import own_cases
    from lookahead_ref.conformance.vectors import cases

    return [each.id for each in (*cases(), *own_cases())]


def _option(help: str, *names: str, among: Choices = (), **more: Any) -> Any:  # noqa: A002
    more["autocompletion"] = completing(among) if among else None
    return typer.Option(*names, help=help, show_default=False, **more)


TargetName = Annotated[
    str | None,
    typer.Argument(
        help="A built-in name, module:Class or file.py:Class.",
        show_default=False,
        autocompletion=completing(_targets),
    ),
]
LEVELS = ("strict", "gpu")
LevelName = Annotated[
    str, typer.Option(help="Tolerances: strict or gpu.", autocompletion=completing(LEVELS))
]
DTYPES = ("float32", "float64")
Dtype = Annotated[
    str | None, _option("Test only this precision, float32 or float64.", among=DTYPES)
]
Harness = Annotated[
    str | None,
    _option("A program that speaks JSON lines, with its arguments.", metavar="COMMAND"),
]


def conform(
    target: TargetName = None,
    command: Harness = None,
    recorded: Annotated[Path | None, _option("A recording that a program wrote.")] = None,
    case: Annotated[
        list[str] | None,
        _option("Only this case; may be repeated.", metavar="ID", among=_cases),
    ] = None,
    profile: Annotated[
        list[str] | None,
        _option(
            "Only this profile; may be repeated: "
            + ", ".join(f"{name} ({title})" for name, title in TITLES.items())
            + ", evaluation, nesting, outer, workers, inner:sgd, inner:heavy-ball, "
            "inner:nesterov, inner:adagrad, inner:adam, inner:adamw, own-inner. "
            f"Or, alone, {', '.join(USES)}: use TARGET as its users do.",
            metavar="PROFILE",
            among=_profiles,
        ),
    ] = None,
    dtype: Dtype = None,
    level: LevelName = "strict",
    expect: Annotated[Path | None, _option("A list of known failures.")] = None,
    write_expect: Annotated[
        Path | None, _option("Write such a list, of all that fails now.")
    ] = None,
    as_json: AsJson = False,
    html: Annotated[Path | None, _option("Write an HTML page.")] = None,
    junit: Annotated[Path | None, _option("Write JUnit XML.")] = None,
    markdown: Annotated[Path | None, _option("Write Markdown.")] = None,
    startup_timeout: Annotated[
        float, typer.Option(help="Seconds to start up, import and compile.", min=0.01)
    ] = 60.0,
    step_timeout: Annotated[
        float, typer.Option(help="Seconds for each answer.", min=0.01)
    ] = 10.0,
    run_timeout: Annotated[
        float, typer.Option(help="Seconds for the whole run.", min=0.01)
    ] = 3600.0,
    line_limit: Annotated[int, typer.Option(help="Bytes per answer.", min=64)] = 2**20,
    explain: Annotated[
        bool, typer.Option("--explain", help="Explain in plain words what is wrong.")
    ] = False,
    hide_expected: Annotated[
        bool, typer.Option("--hide-expected", help="Hide expected values.")
    ] = False,
    init: Annotated[
        str | None,
        _option(
            f"Write a first adapter: {', '.join(STARTS)}.",
            metavar="KIND",
            among=tuple(STARTS),
        ),
    ] = None,
    output: Annotated[
        Path | None, _option("The file that --init writes.", metavar="FILE")
    ] = None,
) -> None:
    """Test an implementation of Lookahead with the golden suite.

    Prints a verdict for each profile, each failure, and what explains them.

    Exit code:
    0, if everything that it offers passes;
    1, if a check fails, or passes although it was expected to fail;
    2, if the command was wrong;
    3, if the program stopped with an error;
    4, if nothing is wrong, but some answers did not come in time;
    5, if it offers none of the checks.
    """
    if init is not None:
        _begin(init, output)
        return
    with reported():
        for each in profile or ():
            option("--profile", each, tuple(_profiles()))
    if profile and len(profile) == 1 and profile[0] in USES:
        judge(target, profile[0], as_json=as_json)
        return
    with reported(), uncollected():
        from lookahead_ref.conformance.adapters import check_name
        from lookahead_ref.extras import require

        if target is not None:
            check_name(target)
        require("mpmath", "conform", purpose="look for the cause of a failure")
        from lookahead_ref.conformance.known_failures import read_expectations
        from lookahead_ref.conformance.own_inner import own_cases
        from lookahead_ref.conformance.reports import in_plain_words
        from lookahead_ref.conformance.running import Limits, open_target, passes_alone
        from lookahead_ref.conformance.summary import hidden, summarize

        option("--level", level, LEVELS)
        asked = _asked(dtype)
        _check_folders(html, junit, markdown, write_expect)
        known = [] if expect is None else read_expectations(expect)
        limits = Limits(startup_timeout, step_timeout, line_limit, run_timeout)
        # A command is started once for the whole suite; Python targets are cheap.
        together = target is None or case
        dtypes = [asked] if together else [(each,) for each in asked]
        start = partial(
            open_target, target, command=command, recorded=recorded, limits=limits
        )
        with ThreadPoolExecutor(len(dtypes)) as pool, ExitStack() as stack:
            starting = [pool.submit(start) for _ in dtypes]
            stack.callback(_close, starting, pool)
            # Starting them takes about as long as reading the vectors.
            chosen = _chosen(case or [], profile or [])
            with _started():
                opened = [each.result() for each in starting]
            if not case and not profile and "own-inner" in getattr(opened[0], "offers", ()):
                chosen += own_cases()
            results = _run(dict(zip(dtypes, opened, strict=True)), chosen, level)
        diagnoses: list[Diagnosis] = []
        if any(result.status == "failed" for result in results):
            # What looks for causes is imported only where something fails.
            from lookahead_ref.conformance.diagnosis import diagnose
            from lookahead_ref.conformance.findings import left_over

            diagnoses = diagnose(results)
            left = left_over(results, diagnoses)
            if left and recorded is None and passes_alone(start, left[0], level):
                diagnoses = [replace(each, alone=left[0].case.id) for each in diagnoses]
        summary = summarize(opened[0].name, results, diagnoses, known, level=level)
        if hide_expected:
            summary = hidden(summary)
        try:
            _write(summary, results, html, junit, markdown, write_expect)
        except OSError as error:  # not 1, which says that a check fails
            raise failed(error, USAGE) from error
        if as_json:
            print_json(summary)
        elif explain:
            for paragraph in in_plain_words(summary):
                console().print(f"{paragraph}\n", markup=False, highlight=False)
        else:
            _print(summary, listed=None if case else _LISTED)
        if summary["exit_code"]:
            raise typer.Exit(summary["exit_code"])


def _begin(kind: str, output: Path | None) -> None:
    """Write a first adapter, and print the next command."""
    try:
        start = STARTS[option("--init", kind, tuple(STARTS))]
        program = start.get("file")
        path = output or Path(program or f"my_{kind}.py")
        content = (_TEMPLATES / (program or f"{kind}.py.txt")).read_text("utf-8")
        if program is None:
            content = re.sub(r"(?<=conform )\w+(?=\.py:Adapter)", path.stem, content)
            content = content.replace("FILE", path.name)
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
        written = [str(path)]
        for name, template in start.get("beside", {}).items():
            if not (beside := path.with_name(name)).exists():
                beside.write_bytes((_TEMPLATES / template).read_bytes())
                written.append(str(beside))
    except (OSError, ValueError) as error:
        raise failed(error, USAGE) from error
    advice = "Put yours where it says so" if start.get("yours") else "Make this port yours"
    typer.echo(f"Written: {', '.join(written)}. {advice}; then:")
    for command in start["commands"]:
        typer.echo(f"  {command.format(file=path)}")


@contextmanager
def _started() -> "Iterator[None]":
    """Exit with the right code if a program cannot be started, or not in time."""
    from subprocess import TimeoutExpired

    from lookahead_ref.conformance.running import HungError, StartError
    from lookahead_ref.conformance.summary import ERROR, UNJUDGED

    try:
        yield
    except StartError as error:
        raise failed(error, ERROR) from error
    except (HungError, TimeoutExpired) as error:
        raise failed(error, UNJUDGED) from error


def _close(starting: "Sequence[Future[Target]]", pool: ThreadPoolExecutor) -> None:
    opened = [each.result() for each in starting if each.exception() is None]
    # In parallel, as each takes a while to end.
    list(pool.map(lambda target: target.close(), opened))


def _check_folders(*files: Path | None) -> None:
    """Refuse what cannot be written, before what may take an hour."""
    for path in files:
        if path is not None and not path.parent.is_dir():
            raise ValueError(f"{path} must be in an existing folder")


def _asked(dtype: str | None) -> tuple[str, ...]:
    return DTYPES if dtype is None else (option("--dtype", dtype, DTYPES),)


def _chosen(ids: "Sequence[str]", names: "Sequence[str]") -> "list[Case]":
    from lookahead_ref.conformance.own_inner import PROFILE, own_cases
    from lookahead_ref.conformance.vectors import Suite, cases

    if not ids and not names:
        return cases()
    suite = Suite({}, [*cases(), *own_cases()])
    found = [suite.case(identity) for identity in ids]
    for name in names:
        if name in USES:
            raise ValueError(f"--profile {name} must be given alone, got {list(names)}")
        found += own_cases() if name == PROFILE else cases(name)
    return list({each.id: each for each in found}.values())


def _run(
    targets: "Mapping[Any, Target]", chosen: "Sequence[Case]", level: str
) -> "list[Result]":
    """Run cases on targets in parallel; each target takes some of the precisions."""
    from lookahead_ref.conformance.running import run
    from lookahead_ref.report.progress import reporter

    asked = [dtype for dtypes in targets for dtype in dtypes]
    total = sum(dtype in case.dtypes for case in chosen for dtype in asked)
    if not total:
        raise ValueError(f"--dtype must be one that the cases are for, got {asked[0]!r}")
    with (
        reporter(total, "checks", console(stderr=True)) as progress,
        ThreadPoolExecutor(len(targets)) as pool,
    ):
        runs = [
            pool.submit(
                run,
                target,
                chosen,
                dtypes=dtypes,
                level=level,
                progress=lambda result: progress.advance(message=result.case.id),
            )
            for dtypes, target in targets.items()
        ]
        try:
            results = [result for each in runs for result in each.result()]
        except BaseException:
            # Threads cannot be interrupted, but the targets that they wait for can.
            for target in targets.values():
                target.abort()
            raise
    place = {each.id: number for number, each in enumerate(chosen)}
    results.sort(key=lambda result: (place[result.case.id], result.dtype))
    return results


def _write(
    summary: dict[str, Any],
    results: "Sequence[Result]",
    html: Path | None,
    junit: Path | None,
    markdown: Path | None,
    write_expect: Path | None,
) -> None:
    from lookahead_ref.conformance import reports
    from lookahead_ref.conformance.known_failures import first_list
    from lookahead_ref.report.files import write_atomically

    if html is not None:
        write_atomically(html, reports.to_html(summary))
    if markdown is not None:
        write_atomically(markdown, reports.to_markdown(summary))
    if junit is not None:
        checks = [(r.case.profile, r.case.id, r.dtype) for r in results]
        write_atomically(junit, reports.to_junit(summary, checks))
    if write_expect is not None:
        first = first_list(results, "fails for now; say why here")
        write_atomically(write_expect, json.dumps(first, indent=1) + "\n")


def _print(summary: dict[str, Any], listed: int | None) -> None:
    import rich.box
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from lookahead_ref.conformance import reports

    to = console()
    table = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    columns = zip(reports.COLUMNS, *reports.matrix_rows(summary), strict=True)
    head, *rows = zip(*(column for column in columns if any(column[1:])), strict=True)
    for place, column in enumerate(head):
        table.add_column(column, justify="left" if place < 2 else "right")
    styles = {"passes": "green", "fails": "bold red", "error": "bold red"}
    for name, verdict, *counts in rows:
        table.add_row(name, Text(verdict, styles.get(verdict, "yellow")), *counts)
    to.print(table)
    for title, entries in reports.lists(summary):
        to.print(Text(title, "bold"))
        for each in entries[:listed]:
            to.print(Padding(Text(each), (0, 0, 0, 2)))
        if listed is not None and len(entries) > listed:
            to.print(f"  and {len(entries) - listed} more; --json lists all")
        to.print()
    if summary["diagnosis"]:
        to.print(Text("Diagnosis", "bold"))
        for depth, text in reports.diagnosis_lines(summary):
            to.print(Padding(Text(text), (0, 0, 0, 2 + 2 * depth)))
        to.print()
    to.print(Text(reports.headline(summary)))


@golden.command(epilog=epilog(EXAMPLES["golden models"]))
def models(
    target: TargetName = None,
    command: Harness = None,
    profile: Annotated[str | None, _option("model:mlp or model:lstm.")] = None,
    dtype: Dtype = None,
    level: LevelName = "strict",
) -> None:
    """Compare the loss and gradients of a program's models with the golden ones."""
    with reported(), ExitStack() as stack:
        from lookahead_ref.conformance import reports, running, summary
        from lookahead_ref.conformance.vectors import model_cases

        option("--level", level, LEVELS)
        asked = _asked(dtype)
        cases = model_cases(profile)
        # The first step may compile kernels.
        limits = running.Limits(step=running.Limits.startup)
        with _started():
            program = running.open_target(target, command=command, limits=limits)
        stack.callback(program.close)
        assert isinstance(program, running.ProgramTarget)  # not a recording
        results = running.run_models(program.ask, cases, dtypes=asked, level=level)
        for line in reports.report_lines(program.name, results):
            typer.echo(line)
        if code := summary.exit_code({result.status for result in results}):
            raise typer.Exit(code)


@golden.callback(epilog=epilog(EXAMPLES["golden"]))
def _golden() -> None:
    """Build the golden suite's vectors, test models, and survey implementations."""


@golden.command(epilog=epilog(EXAMPLES["golden generate"]))
def generate(
    output: Annotated[
        Path | None, _option("The folder; default: the package's own.", metavar="DIR")
    ] = None,
) -> None:
    """Build the vector files from 50-digit arithmetic, byte for byte the same each time."""
    with reported():
        from lookahead_ref.extras import require

        require("mpmath", "conform", purpose="compute in 50 digits")
        from lookahead_ref.conformance import generate as files

        folder = Path(files.__file__).parent / "vectors" if output is None else output
        changed = files.write(folder)
        for name in changed:
            typer.echo(name)
        typer.echo(f"{len(changed)} files changed in {folder}", err=True)


@golden.command(epilog=epilog(EXAMPLES["golden survey"]))
def survey(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            help="Public implementations, or files of adapters with a dict ABOUT; default: "
            "all that are installed.",
            show_default=False,
        ),
    ] = None,
    python: Annotated[
        list[str] | None,
        _option("An interpreter for adapters that need another; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None,
        _option("Update this file, and keep its entries of other implementations."),
    ] = None,
) -> None:
    """Run the suite on public implementations, and write the findings as JSON.

    Exit code 4, if some could not be run here; their entries stay as they were.
    """
    with reported():
        from lookahead_ref.conformance import survey as surveys
        from lookahead_ref.conformance.adapters import PEERS
        from lookahead_ref.conformance.summary import UNJUDGED

        for each in name or ():
            if not each.endswith(".py"):
                option("name", each, tuple(PEERS))
        chosen = name or [each for each, peer in PEERS.items() if peer.installed]
        _check_folders(output)
        found = surveys.load(output) if output else {}  # now, not after an hour
        skipped, ran = None, False
        for one in dict.fromkeys(chosen):
            typer.echo(surveys.described(one)["name"], err=True)
            try:
                with _started():
                    now = surveys.surveyed(one, python or ())
            except ModuleNotFoundError as error:
                skipped = failed(error, USAGE)
            except typer.Exit as error:
                skipped = error
            else:  # one at a time, to keep what may have taken an hour
                ran = True
                if output is None:
                    found = surveys.entered(found, now)
                else:
                    surveys.enter(output, now)
        if output is None:
            print_json(found)
        if skipped is not None:
            raise typer.Exit(UNJUDGED) if ran else skipped


@golden.command("make-vectors", epilog=epilog(EXAMPLES["golden make-vectors"]))
def make_vectors(
    output: Annotated[Path, typer.Option(help="The folder.", metavar="DIR")] = Path(),
    record: Annotated[
        bool, typer.Option("--record", help="Give changed vectors the next number.")
    ] = False,
) -> None:
    """Write the vectors as an archive, the same byte for byte each time."""
    with reported():
        from lookahead_ref.conformance import vectors

        if record and (number := vectors.record_release()) is not None:
            typer.echo(f"release {number}", err=True)
        try:
            typer.echo(str(vectors.make_archive(output)))
        except OSError as error:
            raise failed(error, USAGE) from error
