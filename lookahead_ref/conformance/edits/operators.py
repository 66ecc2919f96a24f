"""Operators: each changes a function's tree, yields, and undoes its change when resumed."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.simulation import SimulatedLookahead, SimulatedProgram
from lookahead_ref.conformance.edits.grammar import (
    KINDS,
    NEW,
    NUMBERS,
    RETURN_NUMBERS,
    SCALED,
    STATEMENTS,
    UNASKED,
    VARIANTS,
    WORDS,
    Place,
    Said,
)


def _parsed(node: str | ast.expr) -> ast.expr:
    """Return an expression whose nodes have places in a source."""
    text = node if isinstance(node, str) else ast.unparse(node)
    return ast.parse(text, mode="eval").body


def _told(node: ast.AST | str) -> str:
    """Put an expression into words or, failing these, quote it."""
    text = node if isinstance(node, str) else ast.unparse(node)
    text = text.replace("outermost.", "self.")
    return (WORDS | NEW).get(text, f"`{text}`")


def _does(statement: ast.stmt) -> str:
    """Put what a statement does into words, without its subject."""
    if (text := ast.unparse(statement)) in UNASKED:
        return UNASKED[text]
    if isinstance(statement, ast.AugAssign):
        return f"raise {_told(statement.target)}"
    if isinstance(statement, ast.Assign):
        return f"set {_told(statement.targets[0])} to {_told(statement.value)}"
    return f"do `{_first(statement)}`"


def _expressions(tree: ast.FunctionDef) -> list[tuple[Any, str, int | None, ast.expr]]:
    """List what is computed, and where in the tree it is."""
    found: list[tuple[Any, str, int | None, ast.expr]] = []
    for parent in ast.walk(tree):
        if parent in (tree.args, tree.returns) or isinstance(parent, ast.arguments):
            continue
        for field, value in ast.iter_fields(parent):
            if field in ("annotation", "returns", "args") and parent is tree:
                continue
            each = value if isinstance(value, list) else [value]
            for index, node in enumerate(each):
                if isinstance(node, ast.expr) and isinstance(
                    getattr(node, "ctx", ast.Load()), ast.Load
                ):
                    place = index if isinstance(value, list) else None
                    found.append((parent, field, place, node))
    return found


def _put(parent: Any, field: str, index: int | None, node: Any) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _others(node: ast.expr, numbers: Sequence[str]) -> Iterator[tuple[ast.expr, Said]]:
    """Yield what may stand in the place of an expression."""
    text = ast.unparse(node)
    for kind in KINDS:
        if (general := text.replace("outermost.", "self.")) in kind:
            for other in kind:
                if other != general:
                    other = (
                        other.replace("self.", "outermost.") if general != text else other
                    )
                    new = _parsed(other)
                    yield new, (0, f"uses {_told(other)} where {_told(text)} is due")
    if isinstance(node, ast.BinOp):
        for kept, lost in ((node.left, node.right), (node.right, node.left)):
            yield kept, (0, f"leaves {_told(lost)} out of {_told(node)}")
        turned = _parsed(ast.BinOp(node.right, node.op, node.left))
        if isinstance(node.op, (ast.Sub, ast.Div, ast.Pow)):
            yield turned, (0, f"has {_told(turned)} for {_told(node)}")
        signs: dict[type, ast.operator] = {ast.Add: ast.Sub(), ast.Sub: ast.Add()}
        if type(node.op) in signs:
            other_sign = _parsed(ast.BinOp(node.left, signs[type(node.op)], node.right))
            yield other_sign, (0, f"has {_told(other_sign)} for {_told(node)}")
    if isinstance(node, ast.Compare):
        for operator in (ast.GtE(), ast.Gt(), ast.NotEq()):
            if type(operator) is not type(node.ops[0]):
                new = _parsed(ast.Compare(node.left, [operator], node.comparators))
                yield new, (1, f"asks whether {_told(new)}")
    if _is_number(node) or text in ("self.k", "self.syncs", "self.cycle_step", "t"):
        for sign, word in (("+", "one more than"), ("-", "one less than")):
            new = _parsed(f"({text}) {sign} 1")
            yield new, (1 + _is_number(node), f"uses {word} {_told(text)}")
        if text == "self.k":
            new = _parsed("-(-self.k // len(self.phi))")
            yield new, (1, "counts a step for each parameter: divides k by their number")
    if _scales(node):
        for number in (*numbers, "C"):
            told = f"{_told(text)} by {_told(number)}"
            yield _parsed(f"scaled({text}, {number})"), (2, f"multiplies {told}")
            if number not in ("-1", "C"):
                new = _parsed(f"scaled({text}, 1 / ({number}))")
                yield new, (2, f"divides {told}")


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def _scales(node: ast.expr) -> bool:
    """Return whether it is a number, or tensors, that can be of another size."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in RETURN_NUMBERS
    if isinstance(node, (ast.BinOp, ast.Call, ast.Subscript)):
        return True
    return ast.unparse(node) in SCALED


def _blocks(tree: ast.FunctionDef) -> list[list[ast.stmt]]:
    return [
        block
        for node in ast.walk(tree)
        for block in (getattr(node, "body", None), getattr(node, "orelse", None))
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt)
    ]


def _statement_edits(tree: ast.FunctionDef, added: Iterable[str]) -> Iterator[Said]:
    """Leave statements out, swap them, move them into a loop or a block, add some."""
    blocks = _blocks(tree)
    for block in blocks:
        before = list(block)
        for i, each in enumerate(before):
            if isinstance(each, (ast.FunctionDef, ast.Expr)) and i == 0:
                continue
            if not isinstance(each, (ast.Return, ast.FunctionDef)):
                block[i] = ast.parse("pass").body[0]
                yield 0, f"does not {_does(each)}"
                block[:] = before
            if i + 1 < len(before) and not isinstance(before[i + 1], ast.Return):
                block[i : i + 2] = before[i + 1], each
                yield 1, f"does `{_first(before[i + 1])}` before `{_first(each)}`"
                block[:] = before
    for loop in (node for node in ast.walk(tree) if isinstance(node, ast.For)):
        outside = next((b for b in blocks if loop in b), None)
        if outside is None or loop.body is outside:
            continue
        before, inside = list(outside), list(loop.body)
        end = before.index(loop)
        for start in range(end):
            for stop in (start + 1, start + 2):
                moved = before[start:stop]
                if stop > end or any(isinstance(s, ast.Expr) for s in moved):
                    continue
                outside[:] = before[:start] + before[stop:]
                loop.body[:] = [*moved, *inside]
                told = " and ".join(_does(each) for each in moved)
                each_one = ast.unparse(loop.target).rpartition(" ")[2].strip("()")
                of = {"worker": "worker"}.get(each_one, "parameter")
                yield 1, f"does this once for each {of}: {told}"
                outside[:], loop.body[:] = before, inside
    for block in blocks:
        for i, each in enumerate(list(block)):
            if isinstance(each, ast.Assign) and isinstance(
                each.targets[0], (ast.Name, ast.Attribute)
            ):
                target = ast.unparse(each.targets[0])
                block.insert(i, ast.parse(f"old = {target}").body[0])
                for parent, field, index, node in _expressions(tree):
                    if ast.unparse(node) == target and node is not block[i].value:  # type: ignore[attr-defined]
                        _put(parent, field, index, _parsed("old"))
                        yield 1, f"uses {_told(target)} from before it is set"
                        _put(parent, field, index, node)
                del block[i]
    for text in added:
        (new,) = ast.parse(text).body
        for block in blocks:
            before = list(block)
            last = len(block) - isinstance(block[-1], ast.Return)
            first = isinstance(block[0], ast.Expr) and block is tree.body
            for place in sorted({int(first), last}):
                block.insert(place, new)
                yield 1 + len(text) // 40, _said(_does(new))
                block[:] = before


def _said(words: str) -> str:
    verb, _, rest = words.partition(" ")
    return f"{verb}{'es' if verb == 'do' else 's'} {rest}"


def _first(statement: ast.stmt) -> str:
    return ast.unparse(statement).splitlines()[0]


def _expression_edits(tree: ast.FunctionDef, numbers: Sequence[str]) -> Iterator[Said]:
    for parent, field, index, node in _expressions(tree):
        for new, said in _others(node, numbers):
            _put(parent, field, index, new)
            yield said
            _put(parent, field, index, node)
        if isinstance(parent, ast.If) and field == "test":
            for value in (True, False):
                _put(parent, field, index, _parsed(str(value)))
                told = "whether or not" if value else "never, even if"
                yield 1, f"does `{_first(parent.body[0])}` {told} {_told(node)}"
                _put(parent, field, index, node)
    counts = [
        each
        for each in ast.walk(tree)
        if isinstance(each, ast.Subscript) and ast.unparse(each) == "self.count[i]"
    ]
    for each in counts:
        each.slice = _parsed("0")
    if counts:
        yield 0, "keeps one count for all parameters and raises it for each"
    for each in counts:
        each.slice = _parsed("i")


def every_edit(tree: ast.FunctionDef, place: Place) -> Iterator[Said]:
    """Do all edits of a function, one after the other."""
    family, _, _ = place.clause.partition("-")
    base = place.beneath[0] if place.beneath else SimulatedLookahead
    level = "outermost." if base is SimulatedProgram else "self."
    own = SimulatedLookahead if base is SimulatedProgram else base
    added = STATEMENTS[own] if place.is_method else ()
    added = tuple(text.replace("self.", level) for text in added)
    numbers = NUMBERS[family]
    if place.function is oracle.OracleInner.element:
        numbers = tuple(each.replace("h[", "self.h[") for each in numbers)
    yield from _expression_edits(tree, numbers)
    yield from _variants(tree, place.title)
    yield from _statement_edits(tree, added)


def _variants(tree: ast.FunctionDef, title: str) -> Iterator[Said]:
    """Do what takes several changes at once."""
    for says, changes in VARIANTS.get(title, {}).items():
        text, body = ast.unparse(tree), tree.body
        for right, wrong in changes:
            text = text.replace(right, wrong)
        (other,) = ast.parse(text).body
        assert isinstance(other, ast.FunctionDef)
        tree.body = other.body
        yield 1, says
        tree.body = body
