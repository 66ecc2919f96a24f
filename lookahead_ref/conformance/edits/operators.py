"""Operators: each changes a function's tree, yields, and undoes its change when resumed."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs.simulation import SimulatedLookahead, SimulatedProgram
from lookahead_ref.conformance.edits.grammar import (
    BESIDES,
    COUNTS,
    DOES,
    KINDS,
    LATE,
    NUMBERS,
    RETURN_NUMBERS,
    SCALED,
    STATEMENTS,
    TOWARDS,
    VARIANTS,
    Place,
    Said,
)
from lookahead_ref.conformance.edits.words import UNSAID, does, said, told

_Other = Iterator[tuple[ast.expr | str, Said]]


def _parsed(node: str | ast.expr) -> ast.expr:
    """Return an expression whose nodes have places in a source."""
    return _expression(node if isinstance(node, str) else ast.unparse(node))


@cache
def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


@cache
def _statement(text: str) -> ast.stmt:
    return ast.parse(text).body[0]


def _expressions(tree: ast.FunctionDef) -> list[tuple[Any, str, int | None, ast.expr]]:
    """List what is computed, and where in the tree it is."""
    found: list[tuple[Any, str, int | None, ast.expr]] = []
    for parent in ast.walk(tree):
        if parent in (tree.args, tree.returns) or isinstance(parent, ast.arguments):
            continue
        for field, value in ast.iter_fields(parent):
            if field in ("annotation", "returns") or (field == "args" and parent is tree):
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


# What may stand in the place of an expression.


def _others(node: ast.expr, numbers: Sequence[str]) -> _Other:
    text = ast.unparse(node)
    yield from _of_its_kind(text)
    if isinstance(node, ast.BinOp):
        yield from _of_operands(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        yield from _of_arguments(node, node.func.id)
    if isinstance(node, ast.Compare):
        yield from _of_a_comparison(node)
    yield from _of_a_count(node, text)
    yield from _of_another_size(node, text, numbers)


def _of_its_kind(text: str) -> _Other:
    general = text.replace("outermost.", "self.")
    for kind in KINDS:
        for other in kind if general in kind else ():
            other = other.lstrip("=")
            if other != general and told(other) != told(text):
                new = other.replace("self.", "outermost.") if general != text else other
                yield new, (0, f"uses {told(other)} instead of {told(text)}")


def _of_operands(node: ast.BinOp) -> _Other:
    left, right = node.left, node.right
    for kept, lost in ((left, right), (right, left)):
        yield kept, (0, f"leaves {told(lost)} out of {told(node)}")
    turned = isinstance(node.op, (ast.Sub, ast.Div, ast.Pow))
    others: dict[type, tuple[ast.operator, ...]] = {
        ast.Add: (ast.Sub(),),
        ast.Sub: (ast.Add(),),
        ast.Mult: (ast.Div(),),
        ast.Div: (ast.Mult(),),
        ast.Pow: (ast.Mult(),),
    }
    new = [ast.BinOp(right, node.op, left)] if turned else []
    new += [ast.BinOp(left, op, right) for op in others.get(type(node.op), ())]
    for each in map(_parsed, new):
        yield each, (0, f"has {told(each)} instead of {told(node)}")
    if isinstance(node.op, ast.Add):
        larger = f"max({ast.unparse(left)}, {ast.unparse(right)})"
        yield larger, (1, f"takes {told(larger)} instead of their sum")
    for one, other, turn in ((left, right, False), (right, left, True)):
        if isinstance(one, ast.Call) and ast.unparse(one.func) == "sqrt":
            both = (other, one.args[0]) if turn else (one.args[0], other)
            inside = f"sqrt({ast.unparse(ast.BinOp(both[0], node.op, both[1]))})"
            yield inside, (0, f"has {told(inside)} instead of {told(node)}")


def _of_arguments(node: ast.Call, name: str) -> _Other:
    if name in ("min", "max"):
        for kept in node.args:
            yield kept, (0, f"takes {told(kept)} instead of {told(node)}")
    if name == "sqrt":
        yield node.args[0], (0, f"leaves the root out of {told(node)}")
        if isinstance(each := node.args[0], ast.BinOp):
            root = [f"sqrt({ast.unparse(side)})" for side in (each.left, each.right)]
            for left, right in ((root[0], each.right), (each.left, root[1])):
                outside = ast.BinOp(_parsed(left), each.op, _parsed(right))
                yield outside, (0, f"has {told(_parsed(outside))} instead of {told(node)}")
    if name == "at":
        table, clock = map(ast.unparse, node.args)
        wrapped = f"{table}[{clock} % len({table})]"
        yield wrapped, (1, f"begins the table of {told(node)} again at its end")
        for index in ("0", "-1"):
            which = "last" if index == "-1" else "first"
            yield (
                f"{table}[{index}]",
                (0, f"takes the {which} entry instead of {told(node)}"),
            )
    if name == "interpolate":
        turned = ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], [])
        yield turned, (0, f"has {told(_parsed(turned))} instead of {told(node)}")


def _of_a_comparison(node: ast.Compare) -> _Other:
    other = node.comparators[0]
    is_text = isinstance(other, ast.Constant) and isinstance(other.value, str)
    for operator in (ast.NotEq(),) if is_text else (ast.GtE(), ast.Gt(), ast.NotEq()):
        if type(operator) is not type(node.ops[0]):
            new = _parsed(ast.Compare(node.left, [operator], node.comparators))
            yield new, (1, f"asks whether {told(new)}")
    if more := BESIDES.get(ast.unparse(node)):
        new = _parsed(f"{ast.unparse(node)} and {more}")
        yield new, (1, f"asks whether {told(new)}")


def _of_a_count(node: ast.expr, text: str) -> _Other:
    is_number = isinstance(node, ast.Constant) and type(node.value) is int
    if is_number or text in COUNTS:
        for by, word in ((1, "one more than"), (-1, "one less than")):
            of = f"{word} {told(text)}"
            of = f"{int(text) + by} instead of {text}" if is_number else of
            yield f"({text}) + {by}", (1 + is_number, f"uses {of}")
    if text == "self.k":
        per_parameter = "counts a step for each parameter: divides k by their number"
        yield "-(-self.k // len(self.phi))", (1, per_parameter)


def _of_another_size(node: ast.expr, text: str, numbers: Sequence[str]) -> _Other:
    if text in LATE:
        yield f"late(self, {text!r}, {text})", (2, f"uses {told(text)} of the time before")
    if text in TOWARDS:
        by_alpha = f"interpolate(self.phi, {text}, at(self.alpha, self.syncs))"
        yield by_alpha, (1, f"moves phi by alpha towards {told(text)}")
    if not _scales(node, text):
        return
    yield f"single({text})", (1, f"rounds {told(node)} to float32")
    plain = text in SCALED or isinstance(node, ast.Call)
    for number in (*(numbers if plain else ()), "-1", "C"):
        by = f"{told(node)} by {told(number)}"
        yield f"scaled({text}, {number})", (2, f"multiplies {by}")
        if number not in ("-1", "C"):
            yield f"scaled({text}, 1 / ({number}))", (2, f"divides {by}")


def _scales(node: ast.expr, text: str) -> bool:
    """Return whether it is a number, or tensors, that can be of another size."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in RETURN_NUMBERS
    if isinstance(node, (ast.BinOp, ast.Call, ast.Subscript)):
        return UNSAID not in told(node)
    return text in SCALED


def _expression_edits(tree: ast.FunctionDef, numbers: Sequence[str]) -> Iterator[Said]:
    everything = _expressions(tree)
    aims = {
        node: told(each.targets[0])
        for each in ast.walk(tree)
        if isinstance(each, ast.Assign)
        for node in ast.walk(each.value)
    }
    texts = [(ast.unparse(each[-1]), each) for each in everything]
    counts = Counter(text for text, _ in texts)
    for text, (parent, field, index, node) in texts:
        # Which one it is, where it is used for several things.
        aim = f" to set {aims[node]}" if counts[text] > 1 and node in aims else ""
        for new, (rank, words) in _others(node, numbers):
            _put(parent, field, index, _parsed(new))
            yield rank, words + aim
            _put(parent, field, index, node)
        if isinstance(parent, ast.If) and field == "test":
            for value in ("True", "False"):
                _put(parent, field, index, _parsed(value))
                how = "whether or not" if value == "True" else "never, even if"
                yield 1, f"{said(does(parent.body[0]))} {how} {told(node)}"
                _put(parent, field, index, node)
        if isinstance(parent, ast.Call) and isinstance(node, ast.ListComp):
            for part, which in (("[1:]", "first"), ("[:-1]", "last")):
                _put(parent, field, index, _parsed(f"({ast.unparse(node)}){part}"))
                yield 1, f"leaves the {which} of them out"
                _put(parent, field, index, node)
    # An expression wherever it stands: another of its kind, or both exchanged.
    for kind in KINDS:
        some = {text for text, _ in texts if text in kind}
        for one in sorted(some):
            for other in sorted({each.lstrip("=") for each in kind} - {one}):
                for swaps in (False, True) if other in some else (False,):
                    changes = {one: other, other: one} if swaps else {one: other}
                    places = [(text, *each) for text, each in texts if text in changes]
                    for text, parent, field, index, _ in places:
                        _put(parent, field, index, _parsed(changes[text]))
                    if len(places) > 1 and told(one) != told(other):
                        both = f"{told(one)} and {told(other)}"
                        uses = f"uses {told(other)} instead of {told(one)} throughout"
                        yield 1, f"exchanges {both}" if swaps else uses
                    for _, parent, field, index, node in places:
                        _put(parent, field, index, node)
    own = [
        each
        for each in ast.walk(tree)
        if isinstance(each, ast.Subscript) and ast.unparse(each) == "self.count[i]"
    ]
    for each in own:
        each.slice = _parsed("0")
    if own:
        yield 0, "keeps one count for all parameters and raises it for each"
    for each in own:
        each.slice = _parsed("i")


# What may become of statements.


def _blocks(tree: ast.FunctionDef) -> list[list[ast.stmt]]:
    return [
        block
        for node in ast.walk(tree)
        for block in (getattr(node, "body", None), getattr(node, "orelse", None))
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt)
    ]


def _statement_edits(tree: ast.FunctionDef, added: Iterable[str]) -> Iterator[Said]:
    """Leave statements out, move them, also into a loop, use old values, add some."""
    blocks = _blocks(tree)
    for block in blocks:
        before = list(block)
        for i, each in enumerate(before):
            if isinstance(each, (ast.FunctionDef, ast.Return)) or (
                isinstance(each, ast.Expr) and i == 0
            ):
                continue
            block[i] = _statement("pass")
            yield 0, f"does not {does(each)}"
            if isinstance(each, ast.Continue):
                block[i] = _statement("break")
                yield 0, "ends the loop where it should go on with the next parameter"
            if isinstance(each, ast.Assign) and isinstance(each.value, ast.Call):
                block[i] = _statement(ast.unparse(each.value))
                yield 1, f"ignores {told(each.value)}"
            block[i : i + 1] = each, each
            yield 1, f"does this twice: {does(each)}"
            for j in range(len(before) - isinstance(before[-1], ast.Return)):
                block[:] = before
                if j not in (i, i - 1) and not (j == 0 and isinstance(before[0], ast.Expr)):
                    block.insert(j, block.pop(i))
                    later = "later" if j > i else "earlier"
                    yield 1, f"does this {later} than it should: {does(each)}"
            block[:] = before
    for loop in (node for node in ast.walk(tree) if isinstance(node, ast.For)):
        yield from _into_a_loop(blocks, loop)
        yield from _of_some(loop)
    for block in blocks:
        for i, each in enumerate(list(block)):
            if isinstance(each, ast.Assign) and isinstance(
                each.targets[0], (ast.Name, ast.Attribute)
            ):
                target = ast.unparse(each.targets[0])
                block.insert(i, _statement(f"old = {target}"))
                for parent, field, index, node in _expressions(tree):
                    if ast.unparse(node) == target and parent is not block[i]:
                        _put(parent, field, index, _parsed("old"))
                        yield 1, f"uses {told(target)} from before it is set"
                        _put(parent, field, index, node)
                del block[i]
    for text in added:
        new = _statement(text)
        for block in blocks:
            before = list(block)
            last = len(block) - isinstance(block[-1], ast.Return)
            first = isinstance(block[0], ast.Expr) and block is tree.body
            for place in sorted({int(first), last}):
                block.insert(place, new)
                yield 1 if text in DOES else 1 + len(text) // 40, said(does(new))
                block[:] = before


def _into_a_loop(blocks: Sequence[list[ast.stmt]], loop: ast.For) -> Iterator[Said]:
    outside = next((block for block in blocks if loop in block), None)
    if outside is None or loop.body is outside:
        return
    before, inside = list(outside), list(loop.body)
    of = _each_one(loop)
    ahead = before[: before.index(loop)]
    for moved in [[each] for each in ahead] + [list(two) for two in pairwise(ahead)]:
        if not any(isinstance(each, ast.Expr) for each in moved):
            outside[:] = [each for each in before if each not in moved]
            loop.body[:] = [*moved, *inside]
            yield 1, f"does this once for each {of}: {' and '.join(map(does, moved))}"
            outside[:], loop.body[:] = before, inside


def _each_one(loop: ast.For) -> str:
    name = ast.unparse(loop.target).rpartition(" ")[2].strip("()")
    return {"worker": "worker", "values": "slot"}.get(name, "parameter")


def _of_some(loop: ast.For) -> Iterator[Said]:
    """Leave the first or the last out of a loop, or do the first alone."""
    all_of, of = loop.iter, _each_one(loop)
    parts = {"[1:]": f"all {of}s but the first", "[:-1]": f"all {of}s but the last"}
    for part, which in (parts | {"[:1]": f"the first {of} alone"}).items():
        loop.iter = _parsed(f"[*{ast.unparse(all_of)}]{part}")
        yield 1, f"goes through {which}"
    loop.iter = all_of


def every_edit(tree: ast.FunctionDef, place: Place) -> Iterator[Said]:
    """Do all edits of a function, one after the other."""
    family, _, _ = place.clause.partition("-")
    base = place.beneath[0] if place.beneath else SimulatedLookahead
    level = "outermost." if base is SimulatedProgram else "self."
    own = SimulatedLookahead if base is SimulatedProgram else base
    added = [each.replace("self.", level) for each in STATEMENTS[own] if place.is_method]
    numbers = NUMBERS[family]
    if place.function is oracle.OracleInner.element:
        numbers = [each.replace("h[", "self.h[") for each in numbers]
    yield from _expression_edits(tree, numbers)
    yield from _variants(tree, place.title)
    yield from _statement_edits(tree, added)


def _variants(tree: ast.FunctionDef, title: str) -> Iterator[Said]:
    """Do what takes several changes at once."""
    for variant in (each for each in VARIANTS if each["of"] == title):
        text, body = ast.unparse(tree), tree.body
        if not all(right in text for right, _ in variant["changes"]):
            continue  # a convention, or the same in other words, has others there
        for right, wrong in variant["changes"]:
            text = text.replace(right, wrong)
        try:
            (other,) = ast.parse(text).body
        except SyntaxError:
            continue
        assert isinstance(other, ast.FunctionDef)
        arguments, tree.args, tree.body = tree.args, other.args, other.body
        yield 0, variant["says"]
        tree.args, tree.body = arguments, body
