"""Count the lines of the project by package, and find docstrings that nobody reads.

``python .ci/lines.py`` prints the table. It fails where the library or the tests have grown
past their limit, where a docstring of more than two lines stands on something that no
reference page shows, or where a class has the name of another class or of a type. Only
files that git tracks count.
"""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOUSE = {"library and backends": 26_681, "all tests": 16_565}
"""What the house may have, without what was built into it since."""
BUILT: dict[str, tuple[int, int]] = {
    "outer optimizers, five more inner ones, theory, golden profile": (1_040, 830),
    "workers, in one process and on MPI": (580, 525),
    "trials that are continued, estimates, evaluation that can be interrupted": (450, 390),
    "a hundred more causes, own-inner, profiles of frameworks, the survey": (1_670, 1_305),
    "golden profile of workers": (550, 360),
    "AWD-LSTM, parameter groups, every option in every command": (960, 945),
    "random crops, ImageNet, budgets, held-out examples, profile of Keras": (930, 500),
    "edits of the oracle as hypotheses, every option of reproduce": (1_785, 451),
    "convolutions of 3 by 3 with fewer products": (235, 25),
}
"""What a capability may have added since, in the library and in the tests."""
PORTED = ("optimizers/lookahead", "optimizers/base", "optimizers/inner", "trees")
"""What a porter reads."""
EXCEPTIONS: dict[str, str] = {}
"""``file:name`` of private docstrings that are longer, each with its reason."""
SHARED_NAMES: dict[str, str] = {}
"""Names of a class that are those of a type too, each with its reason."""

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [Path(name) for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def shown() -> set[str]:
    """Return the names that the reference pages list."""
    pages = (ROOT / "docs" / "reference").glob("*.md")
    listed = (
        re.findall(r"^   ([A-Za-z_][\w.]*)$", page.read_text(), re.M) for page in pages
    )
    return {name.rpartition(".")[2] for names in listed for name in names}


def documented(tree: ast.Module) -> Iterator[tuple[str, Documented, ast.Expr]]:
    """Yield the name, node and docstring of everything that has one."""

    def walk(node: ast.AST, name: str) -> Iterator[tuple[str, Documented, ast.Expr]]:
        if isinstance(node, Documented) and ast.get_docstring(node) is not None:
            first = node.body[0]
            assert isinstance(first, ast.Expr)
            yield name, node, first
        for child in ast.iter_child_nodes(node):
            inner = f"{name}.{child.name}".lstrip(".") if hasattr(child, "name") else name
            yield from walk(child, inner)

    yield from walk(tree, "")


def count(path: Path, public: set[str]) -> tuple[tuple[int, int, int], list[str]]:
    """Return a file's lines of code, docstring and blank, and its findings."""
    text = (ROOT / path).read_text(encoding="utf-8")
    lines: set[int] = set()
    findings = []
    for name, node, docstring in documented(ast.parse(text)):
        span = range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1)
        lines.update(span)
        owner, _, method = name.partition(".")
        is_shown = isinstance(node, ast.Module) or (
            owner in public and not method.startswith("_")
        )
        is_command = path.parts[:2] == ("lookahead_ref", "cli")  # they are help texts
        key = f"{path.as_posix()}:{name}"
        if len(span) > 2 and not is_shown and not is_command and key not in EXCEPTIONS:
            findings.append(f"{path}:{docstring.lineno}: {name} has {len(span)} lines")
    rows = text.splitlines()
    blank = sum(not row.strip() for at, row in enumerate(rows, 1) if at not in lines)
    return (len(rows) - len(lines) - blank, len(lines), blank), findings


def types(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Yield the name of each class and alias of a type, and whether it is a class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.name, True
    for node in tree.body:
        if isinstance(node, ast.AnnAssign | ast.Assign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            name = target.id if isinstance(target, ast.Name) else ""
            if name.strip("_")[:1].isupper() and not name.isupper():
                yield name, False


def same_names(paths: Iterable[Path]) -> Iterator[str]:
    """Say which classes have the name of another class or type of the library."""
    found: defaultdict[str, list[tuple[Path, bool]]] = defaultdict(list)
    for path in paths:
        for name, is_class in types(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            found[name].append((path, is_class))
    for name, places in found.items():
        if len(places) > 1 and any(x for _, x in places) and name not in SHARED_NAMES:
            yield f"{name} is a class, and more: {', '.join(str(x) for x, _ in places)}"


def main() -> int:
    public = shown()
    totals: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    findings = []
    for path in tracked():
        top = path.parts[0]
        if top not in ("lookahead_ref", "backends", "tests", "benchmarks"):
            continue
        of_library = top in ("lookahead_ref", "backends")
        counted, found = count(path, public)
        findings += found if of_library else []
        package = "/".join(path.parts[: min(len(path.parts), 3) - 1]) or top
        names = [package, "library and backends" if of_library else f"all {top}"]
        if path.with_suffix("").as_posix().removeprefix("lookahead_ref/") in PORTED:
            names.append("what a porter reads")
        for name in names:
            for column, number in enumerate((1, *counted)):
                totals[name][column] += number
    library = [path for path in tracked() if path.parts[0] in ("lookahead_ref", "backends")]
    findings += same_names(library)
    print(f"{'package':32}{'files':>7}{'lines':>8}{'code':>8}{'docstring':>11}{'blank':>7}")
    for name, (files, *counted) in sorted(totals.items()):
        code, docstring, blank = counted
        print(f"{name:32}{files:7}{sum(counted):8}{code:8}{docstring:11}{blank:7}")
    for at, (name, house) in enumerate(HOUSE.items()):
        lines = sum(totals[name][1:])
        limit = house + sum(added[at] for added in BUILT.values())
        if lines > limit:
            findings.append(f"{name}: {lines} lines, at most {limit}")
    print(*findings, sep="\n")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
