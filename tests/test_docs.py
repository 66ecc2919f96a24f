"""The documentation keeps its word: examples run, commands exist, lists are whole.

The blocks ``python`` of a page are run one after another in one namespace; a block
``output`` right after one is what it must have printed. Lines of shell blocks that call
``lookahead-ref`` must be commands that it takes.
"""

import contextlib
import importlib
import io
import itertools
import pkgutil
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import typer
from typer.main import get_command

import lookahead_ref as la
from commands import succeeded
from lookahead_ref.cli.app import app
from lookahead_ref.cli.theory import NAMES

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^(`{3,}|:{3,})\{?([\w-]*)")
REFERENCE = sorted(ROOT.glob("docs/reference/*.md"))


class Block(NamedTuple):
    """A fenced block: what it is in, its first line in the page, and its text."""

    language: str
    line: int
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """Yield the innermost fenced blocks of a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    fence, language, start = "", "", 0
    for number, line in enumerate(lines, start=1):
        if fence and line.strip() == fence:
            yield Block(language, start, "\n".join(lines[start - 1 : number - 1]) + "\n")
            fence = ""
        elif not fence and (found := FENCE.match(line)) and found[1].startswith("`"):
            fence, language, start = found[1], found[2], number + 1


def run(page: Path) -> dict[str, Any]:
    """Run the Python of a page; compare what it prints with what the page says."""
    namespace: dict[str, Any] = {"__name__": f"docs_{page.stem}"}
    printed = ""
    for block in blocks(page):
        if block.language == "python":
            # Line numbers of a traceback are those of the page.
            source = "\n" * (block.line - 1) + block.text
            stream = io.StringIO()
            with contextlib.redirect_stdout(stream):
                exec(compile(source, str(page), "exec"), namespace)
            printed = stream.getvalue()
        elif block.language == "output":
            assert printed == block.text, f"{page.name}, line {block.line}"
            printed = ""
        # Printed output must be shown, or nobody checks it.
        if block.language not in ("python", "output"):
            assert printed == "", f"{page.name}, before line {block.line}: not shown"
    return namespace


def commands(page: Path) -> Iterator[str]:
    """Yield the calls of ``lookahead-ref`` in the shell blocks of a page."""
    for block in blocks(page):
        if block.language in ("sh", "console", "bash"):
            for line in block.text.splitlines():
                for part in re.split(r"&&|\||;", line.partition(" #")[0]):
                    if part.split()[:1] == ["lookahead-ref"]:
                        yield part.strip()


LONG = ("resnet", "theory", "training", "zoo")
"""Pages whose examples take seconds."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page, id=page.stem, marks=[pytest.mark.slow] if page.stem in LONG else []
        )
        for page in PAGES
        if any(block.language == "python" for block in blocks(page))
    ],
)
def test_the_examples_of_the_pages_run(page: Path, here: Path) -> None:
    run(page)


@pytest.mark.parametrize("line", sorted({line for it in PAGES for line in commands(it)}))
def test_the_commands_of_the_pages_are_ones_that_the_program_takes(line: str) -> None:
    command: Any = get_command(app)
    context = typer.Context(command, info_name="lookahead-ref")
    words = shlex.split(line)[1:]
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands
        command = command.commands[words[0]]
        context = typer.Context(command, info_name=words.pop(0), parent=context)
    # Not `main`: that would run it, and install the completion where a page says so.
    given, rest, _ = command.make_parser(context).parse_args(words)
    assert rest == []
    for parameter in command.get_params(context):
        if isinstance(given.get(parameter.name), str):
            parameter.process_value(context, given[parameter.name])


def test_the_page_of_the_command_line_has_every_command() -> None:
    def names(command: Any, before: str = "") -> Iterator[str]:
        for name, each in getattr(command, "commands", {}).items():
            yield f"{before}{name}"
            yield from names(each, f"{before}{name} ")

    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```\{command\} (.+)$", page, re.MULTILINE)
    assert sorted(shown) == sorted(names(get_command(app)))


def test_readme_gives_the_two_commands() -> None:
    shell = [block.text for block in blocks(ROOT / "README.md") if block.language == "sh"]
    assert 'pip install ".[experiments]" && lookahead-ref compare\n' in shell
    assert 'pip install -e ".[test]" && pytest\n' in shell


THEORY = ("cycles", "noisy_quadratic", "outer", "planning", "quadratic", "rates")
PUBLIC = (
    "stepping.backend",
    "data",
    "optimizers",
    "optimizers.schedules",
    "training",
    "zoo",
)


@pytest.mark.parametrize("name", ["", *PUBLIC, *map("theory.{}".format, THEORY)])
def test_the_reference_lists_every_public_name(name: str) -> None:
    module = f"lookahead_ref.{name}".rstrip(".")
    listed = set()
    for page in REFERENCE:
        current = ""
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith(".. currentmodule::"):
                current = line.split()[-1]
            elif re.fullmatch(r"   [A-Za-z_][\w.]*", line):
                listed.add(f"{current}.{line.strip()}")
    objects = {id(pkgutil.resolve_name(name)) for name in listed}
    found = importlib.import_module(module)
    made_there = [
        name
        for name, value in vars(found).items()
        if getattr(value, "__module__", None) == module and not name.startswith("_")
    ]
    public = {name: getattr(found, name) for name in getattr(found, "__all__", made_there)}
    assert not [
        name
        for name, value in public.items()
        if not isinstance(value, ModuleType) and id(value) not in objects
    ]


def test_the_page_of_the_theory_shows_every_picture_with_its_command() -> None:
    text = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```\{figure\} (\S+)$", text, re.MULTILINE)
    assert sorted(shown) == sorted(f"pictures/{name}/{name}.png" for name in NAMES)
    for name in NAMES:
        assert f"`lookahead-ref theory {name}`" in text


def test_the_backend_of_the_guide_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs" / "backends.md"
    (metadata,) = [block for block in blocks(page) if block.language == "toml"]
    code = next(block for block in blocks(page) if "class " in block.text)
    points = tomllib.loads(metadata.text)["project"]["entry-points"]
    ((group, entries),) = points.items()
    ((name, target),) = entries.items()
    module = target.partition(":")[0]
    (tmp_path / f"{module}.py").write_text(code.text)
    record = tmp_path / f"{module}-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Name: {module}\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, module, raising=False)
    assert name in la.backend.names()
    assert la.backend.load(name).name == name
    monkeypatch.delitem(sys.modules, module)


@pytest.mark.slow
def test_the_pages_plugins_work_from_a_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs" / "extending.md"
    code = [block.text for block in blocks(page) if block.language == "python"]
    last = "import lookahead_ref as la\noptimizer = la.Lookahead(RMSProp(0.05), k=7)\n"
    (here / "mine.py").write_text("\n".join([code[0], code[2], code[3], last]))
    monkeypatch.setenv("COLUMNS", "80")
    shown = [block.text for block in blocks(page) if block.language == "text"]
    lines = list(commands(page))
    assert [line.split()[1] for line in lines] == ["train", "sweep", "compare"]
    for line, text in zip(lines, shown, strict=True):
        # In this process; the number of processes changes nothing.
        alone = "" if line.split()[1] == "train" else " --jobs 1"
        shown_now = succeeded(line.removeprefix("lookahead-ref ") + alone).stdout
        assert alike(shown_now, text), f"{line}\n{shown_now}"
    words = shlex.split(lines[0])[1:]
    words[words.index("--optimizer") + 1] = "mine.py:optimizer"
    place = words.index("--learning-rate")  # it has one of its own
    del words[place : place + 2]
    succeeded(shlex.join(words))


def alike(printed: str, shown: str) -> bool:
    """Compare but for seconds, and what another processor may change: digits, widths."""
    number = re.compile(r"[+-]?[0-9]+\.[0-9]+")

    def words(text: str) -> list[str]:
        text = re.sub(r"[0-9.]+ s$", "", text, flags=re.MULTILINE)
        return text.replace("─", "").split()

    pairs = list(itertools.zip_longest(words(printed), words(shown), fillvalue=""))
    return all(
        float(one) == pytest.approx(float(other), rel=0.01, abs=0.02)
        if number.fullmatch(one) and number.fullmatch(other)
        else one == other
        for one, other in pairs
    )
