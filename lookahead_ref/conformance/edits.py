"""Small edits of the oracle's own code: hypotheses where no bug with a name explains all.

A place is a function of the oracle. The operators below change one expression or statement
of it: they leave it out, put another of its kind there, scale it, or add a statement. An
edit is a `Bug` like any other, so that it goes together with those that have a name.
"""

import ast
import difflib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import combinations
from typing import Any

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs import simulation
from lookahead_ref.conformance.bugs.simulation import (
    Edit,
    Outer,
    SimulatedInner,
    SimulatedLookahead,
    SimulatedProgram,
    SimulatedWorkers,
)

Said = tuple[int, str]
"""How far from plain an edit is, and what it does in words."""


@dataclass(frozen=True)
class Place:
    """A function of the oracle, and where an edited one takes effect."""

    function: Any
    clause: str
    words: str
    beneath: tuple[type[Any], ...] = ()  # the simulated classes; () for a helper
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()  # of a helper: the methods of a Lookahead that call it

    @property
    def title(self) -> str:
        """Name it as a reader finds it."""
        return str(self.function.__qualname__)


_RULES = (SimulatedInner, Outer)
_OF_LOOKAHEAD, _OF_WORKERS = (SimulatedLookahead,), (SimulatedWorkers,)
_OF_PROGRAM = (SimulatedProgram,)
_INNER, _LOOKAHEAD, _WORKERS = (
    oracle.OracleInner,
    oracle.OracleLookahead,
    oracle.OracleWorkers,
)
PLACES = (
    Place(_LOOKAHEAD.synchronize, "LA-5", "a synchronization", _OF_LOOKAHEAD),
    Place(_LOOKAHEAD.advance, "LA-3", "counting the steps", _OF_LOOKAHEAD),
    Place(_LOOKAHEAD.step, "LA-4", "a step", _OF_LOOKAHEAD),
    Place(_LOOKAHEAD.__init__, "LA-1", "the start", _OF_LOOKAHEAD),
    Place(_LOOKAHEAD.outer_step, "OU-2", "the outer step", _OF_LOOKAHEAD, ("outer",)),
    Place(
        _LOOKAHEAD.pseudo_gradient,
        "OU-1",
        "the pseudo-gradient",
        _OF_LOOKAHEAD,
        ("outer",),
    ),
    Place(_LOOKAHEAD.restart, "LA-21", "a reset from outside", _OF_LOOKAHEAD, ("nested",)),
    Place(_LOOKAHEAD.follow, "LA-19", "the levels below", _OF_LOOKAHEAD, ("nested",)),
    Place(oracle.adam, "IN-9", "Adam", _RULES, ("adam",)),
    Place(oracle.heavy_ball, "IN-6", "heavy ball", _RULES, ("heavy-ball",)),
    Place(oracle.nesterov, "IN-7", "Nesterov's momentum", _RULES, ("nesterov",)),
    Place(oracle.adagrad, "IN-8", "AdaGrad", _RULES, ("adagrad",)),
    Place(_INNER.element, "IN-1", "the update of an element", _RULES),
    Place(_INNER.step, "LA-2", "the inner step", _RULES),
    Place(_INNER.__init__, "LA-27", "the inner optimizer's start", _RULES),
    Place(_INNER.restart, "LA-12", "making slots anew", _RULES),
    Place(_WORKERS.synchronize, "WO-4", "the workers' mean", _OF_WORKERS, ("workers",)),
    Place(_WORKERS.step, "WO-1", "the workers' step", _OF_WORKERS, ("workers",)),
    Place(_WORKERS.__init__, "WO-2", "making workers", _OF_WORKERS, ("workers",)),
    Place(SimulatedProgram.evaluate, "LA-9", "an evaluation", _OF_PROGRAM, ("evaluate",)),
    Place(SimulatedProgram.loaded, "LA-24", "loading a state", _OF_PROGRAM, ("save",)),
    Place(oracle.interpolate, "LA-5", "interpolation", uses=("synchronize",)),
)

# What may stand for what: the source of each, and its name in a sentence.

_HYPERPARAMETERS = ("weight_decay", "epsilon", "momentum", "beta1", "beta2")
_SLOTS = ("first_moment", "second_moment")
_WITHIN = "getattr(self.inner, 'phi', self.phi)"
_WORDS = {
    "theta": "the fast weights",
    "self.phi": "phi",
    _WITHIN: "phi of the Lookahead within",
    "self.before": "the fast weights from before the step",
    "self.initial": "the initial weights",
    "self.slots": "the slots",
    "self.anchor": "the slots of the last synchronization",
    "self.cycle_step": "the count of steps since a synchronization",
    "self.syncs": "the count of synchronizations",
    "self.calls": "the count of steps",
    "self.clock": "the clock of the learning rate",
    "self.innermost.clock": "the clock of the learning rate",
    "self.count[i]": "the parameter's count",
    "self.innermost.count": "the counts of the parameters",
    "t": "the count",
    "h['beta1']": "beta1",
    "h['beta2']": "beta2",
    "h['momentum']": "momentum",
    **{f"self.h[{name!r}]": name.replace("_", " ") for name in _HYPERPARAMETERS},
    "h['epsilon']": "epsilon",
    "gamma": "the learning rate",
    "self.k": "k",
    "C": "C",
    "len(theta)": "the number of parameters",
    "len(self.workers)": "the number of workers",
    "minus(self.phi, theta)": "the pseudo-gradient",
    "self.pseudo_gradient(theta)": "the pseudo-gradient",
}
_ALPHA = "at(self.alpha, self.syncs)"
_CLAUSES = {
    "the clock of the learning rate": "LA-14",
    "the count of synchronizations": "LA-16",
    "alpha's schedule": "LA-16",
    "the counts of the parameters": "LA-15",
    "the slots": "LA-13",
    "the outer": "OU-5",
}
"""What an edit of a Lookahead says, and the clause that it breaks then."""
_NEW = {
    "zeros(theta)": "zeros",
    "self.initial": "the initial weights",
    f"interpolate(self.phi, theta, {_ALPHA})": "phi + alpha (theta - phi)",
    f"interpolate(theta, self.phi, {_ALPHA})": "theta + alpha (phi - theta)",
}
_TENSORS = ("theta", "self.phi", "self.before", "self.initial")
_KINDS: tuple[tuple[str, ...], ...] = (
    (*_TENSORS, *_NEW, _WITHIN),
    ("self.slots", "self.anchor"),
    ("self.cycle_step", "self.syncs", "self.calls", "self.innermost.clock"),
    ("self.cycle_step", "self.clock", "self.count[i]", "self.count[0]", "max(self.count)"),
    ("h['beta1']", "h['beta2']"),
    ("rest1", "rest2"),
    ("bias1", "bias2"),
    ("h['momentum']", "h['epsilon']"),
    ("m", "v", "g", "s"),
    ("x", "g", "direction"),
    ("'l2'", "'decoupled'", "'none'"),
    ("'reset'", "'interpolate'", "'maintain'"),
)
_NUMBERS = {
    "LA": ("self.k", "alpha", "1 - alpha", "len(theta)", "self.syncs", "-1", "2"),
    "OU": ("self.k", "len(theta)", "self.alpha[0]", "-1", "2"),
    "IN": (
        *("h['momentum']", "1 - h['momentum']", "h['beta1']", "1 - h['beta1']"),
        *("1 - h['beta2']", "gamma", "t", "-1", "2"),
    ),
    "WO": ("len(self.workers)", "-1"),
}
_BY_TENSOR = f"interpolate([a], [b], {_ALPHA[:-1]} + i))[0]"
_VARIANTS = {
    "OracleLookahead.synchronize": {
        "raises the clock of alpha's schedule once a parameter": (
            (
                "interpolate(self.phi, theta, alpha)",
                f"[{_BY_TENSOR} for i, (a, b) in enumerate(zip(self.phi, theta))]",
            ),
            ("self.syncs += 1", "self.syncs += len(theta)"),
        ),
    },
}
# What is defined in some functions only; where it is not, there is nothing to edit.
_OWN = {
    *(
        "theta",
        "grads",
        "thetas",
        "gamma",
        "direction",
        "found",
        "x",
        "g",
        "m",
        "v",
        "s",
        "t",
    ),
    *("rest1", "rest2", "bias1", "bias2"),
}
_RETURN_NUMBERS = {"interpolate", "minus", "at", "sqrt", "update", "mean", "total"}
_SCALED = {
    *("alpha", "gamma", "g", "x", "m", "v", "s", "theta", "found", "direction"),
    *("self.phi", "self.slots", "self.anchor", "rest1", "rest2", "bias1", "bias2"),
}
_STALE = (
    "grads = self.latest = [old if g is None else g "
    "for old, g in zip(vars(self).get('latest', grads), grads)]"
)
_UNASKED = {
    f"if inner['rule'] == '{rule}' and self.decay_kind == 'none':\n"
    f"    self.h['weight_decay'], self.decay_kind = (C, '{kind}')": (
        f"decay the weights by C ({kind}) though {rule} was to have no weight decay"
    )
    for kind in ("decoupled", "l2")
    for rule in oracle.RULES
}
_STATEMENTS = {
    SimulatedLookahead: (
        *("self.cycle_step = 0", "self.cycle_step = 1", "self.cycle_step = -1"),
        *("self.cycle_step += 1", "self.syncs = 0", "self.syncs += 1"),
        *("self.innermost.clock = 0", "self.innermost.clock += 1"),
        *("self.innermost.clock = self.syncs", "self.innermost.clock = self.calls"),
        "self.innermost.count = [0] * len(theta)",
        "self.innermost.count = [n + 1 for n in self.innermost.count]",
        *(f"self.phi = {new}" for new in (*_TENSORS[:1], *_TENSORS[2:], *_NEW)),
        *(f"theta = {new}" for new in (*_TENSORS[1:], *_NEW)),
        "self.slots = {name: zeros(tensors) for name, tensors in self.slots.items()}",
        *("self.slots = self.anchor", "self.anchor = self.slots"),
        "self.anchor = {name: zeros(tensors) for name, tensors in self.slots.items()}",
        *("self.outer.restart(theta)", "self.outer.clock = 0", "self.outer.clock += 1"),
        *("self.innermost.restart(theta)", "self.inner.follow(self.phi)"),
        "grads = [None if g is None else [0 * x for x in g] for g in grads]",
        "self.alpha = self.alpha[:1]",
    ),
    SimulatedInner: (
        *("self.clock = 0", "self.clock += 1", "self.clock -= 1"),
        *("self.count = [n + 1 for n in self.count]", "self.count = [0] * len(theta)"),
        "self.count = [max(self.count)] * len(theta)",
        "self.learning_rate = self.learning_rate[:1]",
        "self.rule = self.rules['nesterov'][0]",
        "self.rule = self.rules['heavy-ball'][0]",
        *_UNASKED,
        *(f"self.h[{name!r}] = C" for name in _HYPERPARAMETERS),
        "self.decay_kind = 'l2'",
        "self.decay_kind = 'decoupled'",
        "self.decay_kind = 'none'",
        "grads = [[0.0] * len(x) if g is None else g for x, g in zip(theta, grads)]",
        _STALE,
        *(
            f"self.slots = {{n: zeros(x) if n == {name!r} else x "
            "for n, x in self.slots.items()}"
            for name in _SLOTS
        ),
    ),
    SimulatedWorkers: (
        "for each in workers: each.inner = workers[0].inner",
        "for each in workers: each.outer = workers[0].outer",
        "for each in self.workers[1:]: each.slots = self.workers[0].slots",
        "thetas = [thetas[0] for _ in thetas]",
        "thetas = [mean(thetas) for _ in thetas]",
    ),
}


def zeros(tensors: oracle.Tensors) -> oracle.Tensors:
    """Return tensors of zeros."""
    return [[0.0] * len(each) for each in tensors]


def scaled(value: Any, by: Any) -> Any:
    """Multiply a number, tensors, or slots."""
    if isinstance(value, dict):
        return {name: scaled(each, by) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [scaled(each, by) for each in value]
    return value and value * by


def _parsed(node: str | ast.expr) -> ast.expr:
    """Return an expression whose nodes have places in a source."""
    text = node if isinstance(node, str) else ast.unparse(node)
    return ast.parse(text, mode="eval").body


def _told(node: ast.AST | str) -> str:
    """Put an expression into words or, failing these, quote it."""
    text = node if isinstance(node, str) else ast.unparse(node)
    text = text.replace("outermost.", "self.")
    return (_WORDS | _NEW).get(text, f"`{text}`")


def _does(statement: ast.stmt) -> str:
    """Put what a statement does into words, without its subject."""
    if (text := ast.unparse(statement)) in _UNASKED:
        return _UNASKED[text]
    if isinstance(statement, ast.AugAssign):
        return f"raise {_told(statement.target)}"
    if isinstance(statement, ast.Assign):
        return f"set {_told(statement.targets[0])} to {_told(statement.value)}"
    return f"do `{_first(statement)}`"


# Operators. Each changes the tree, yields, and undoes its change when it is resumed.


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
    for kind in _KINDS:
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
        return node.func.id in _RETURN_NUMBERS
    if isinstance(node, (ast.BinOp, ast.Call, ast.Subscript)):
        return True
    return ast.unparse(node) in _SCALED


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


def _edits(tree: ast.FunctionDef, place: Place) -> Iterator[Said]:
    """Do all edits of a function, one after the other."""
    family, _, _ = place.clause.partition("-")
    base = place.beneath[0] if place.beneath else SimulatedLookahead
    level = "outermost." if base is SimulatedProgram else "self."
    own = SimulatedLookahead if base is SimulatedProgram else base
    added = _STATEMENTS[own] if _is_method(place) else ()
    added = tuple(text.replace("self.", level) for text in added)
    numbers = _NUMBERS[family]
    if place.function is _INNER.element:
        numbers = tuple(each.replace("h[", "self.h[") for each in numbers)
    yield from _expression_edits(tree, numbers)
    yield from _variants(tree, place.title)
    yield from _statement_edits(tree, added)


def _variants(tree: ast.FunctionDef, title: str) -> Iterator[Said]:
    """Do what takes several changes at once."""
    for says, changes in _VARIANTS.get(title, {}).items():
        text, body = ast.unparse(tree), tree.body
        for right, wrong in changes:
            text = text.replace(right, wrong)
        (other,) = ast.parse(text).body
        assert isinstance(other, ast.FunctionDef)
        tree.body = other.body
        yield 1, says
        tree.body = body


def _is_method(place: Place) -> bool:
    return "." in place.title


# From an edited function to a hypothesis.


@lru_cache(maxsize=64)
def edits_of(place: Place) -> tuple[type[Edit], ...]:
    """Return the edits of a place, the plainest first."""
    tree, found, seen = _tree(place), [], set()
    for number, (rank, says) in enumerate(_edits(tree, place)):
        try:
            code = compile(_module(tree), "<edited>", "exec")
        except (SyntaxError, ValueError, TypeError):
            continue
        key = _contents(code)
        if key in seen or not _OWN.isdisjoint(_names(code.co_consts[0])):
            continue
        seen.add(key)
        found += [
            _edit(place, number, (rank, says), code, onto) for onto in _targets(place)
        ]
    return tuple(sorted(found, key=lambda each: each.rank))


def _filled(text: str, constant: float | None) -> str:
    return text if constant is None else re.sub(r"\bC\b", f"{constant:.6g}", text)


def _names(code: Any) -> Iterator[str]:
    """Yield the names, of attributes too, that are not its own."""
    yield from code.co_names
    for const in code.co_consts:
        if hasattr(const, "co_code"):
            yield from _names(const)


def _namespace(place: Place) -> dict[str, Any]:
    """Return what an edited function finds outside of itself."""
    found = dict(vars(inspect.getmodule(place.function)))
    found |= {"zeros": zeros, "scaled": scaled, "at": oracle.at}
    return found | {"interpolate": oracle.interpolate, "mean": oracle.mean}


def _contents(code: Any) -> object:
    """Return all of some code but its line numbers."""
    consts = (_contents(c) if hasattr(c, "co_code") else repr(c) for c in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, *consts


def _targets(place: Place) -> list[tuple[type[Any], ...]]:
    """Say whether it is wrong in the inner optimizer, in the outer one, or in both."""
    if place.beneath != _RULES:
        return [place.beneath]
    return [_RULES, _RULES[:1], _RULES[1:]]


def _tree(place: Place) -> ast.FunctionDef:
    source = textwrap.dedent(inspect.getsource(place.function))
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.FunctionDef)
    tree.returns = None
    for each in ast.walk(tree):
        if isinstance(each, ast.arg):
            each.annotation = None
    return tree


def _module(tree: ast.FunctionDef) -> ast.Module:
    return ast.Module([tree], [])


def _edit(
    place: Place,
    number: int,
    said: Said,
    code: Any,
    onto: tuple[type[Any], ...],
    constant: float | None = None,
) -> type[Edit]:
    rank, says = said
    namespace = _namespace(place) | {"C": 1.0 if constant is None else constant}
    exec(code, namespace)
    name = place.function.__name__
    function = namespace[name]
    parts = {}
    for base in onto or _OF_LOOKAHEAD:
        origin: Any = (
            next(
                each for each in base.__mro__ if place.title.startswith(f"{each.__name__}.")
            )
            if _is_method(place)
            else (oracle.OracleInner if onto else oracle.OracleLookahead)
        )
        if _is_method(place):
            own = {name: function}
        elif onto:
            rules = {
                each: (function if rule is place.function else rule, slots)
                for each, (rule, slots) in oracle.RULES.items()
            }
            own = {"rules": rules}
        else:
            own = {}
            for method in place.uses:
                original = getattr(oracle.OracleLookahead, method)
                within = {**vars(oracle), name: function}
                own[method] = type(original)(original.__code__, within, method)
        parts[base] = type(origin.__name__, (origin,), own)
    where = " of the outer optimizer" if onto == _RULES[1:] else ""
    needs = place.needs
    if onto == _RULES[1:]:
        needs = ("outer", *(f"outer-{each}" for each in place.needs))
    both = onto == _RULES and bool(place.needs)
    made: Any = type(
        "Edit",
        (Edit,),
        {
            "clause": next(
                (clause for word, clause in _CLAUSES.items() if word in says),
                place.clause,
            )
            if place.beneath == _OF_LOOKAHEAD
            else place.clause,
            "place": f"edit of {place.title}",
            "says": _filled(f"{says}, in {place.words}{where}", constant),
            "breaks": "",
            "fix": "",
            "needs": () if both else needs,
            "either": place.needs if both else (),
            "parts": parts,
            "rank": rank,
            "title": place.title,
            "changed": staticmethod(
                lambda: [_filled(each, constant) for each in changed(place, number)]
            ),
            "fitted": staticmethod(partial(_edit, place, number, said, code, onto))
            if constant is None and "C" in _names(code.co_consts[0])
            else None,
        },
    )
    made.name = made.place
    found: type[Edit] = made
    return found


@dataclass(frozen=True)
class When:
    """A condition under which alone an edit takes effect."""

    words: str
    holds: Callable[[Any], bool]  # of a Lookahead, of an optimizer or, in a rule, of t
    of: Any = SimulatedLookahead
    needs: tuple[str, ...] = ()


def _nests(level: Any) -> bool:
    return isinstance(level.inner, SimulatedLookahead)


_CONDITIONS = (
    When("after a state is loaded", lambda x: not x.made_anew, needs=("save",)),
    When("from the second cycle on", lambda x: x.syncs > 0),
    When("in the first cycle", lambda x: x.syncs == 0),
    When("where the inner optimizer keeps no slots", lambda x: not x.slots, needs=("sgd",)),
    When("in the outermost Lookahead", _nests, needs=("nested",)),
    When("in a Lookahead within", lambda x: not _nests(x), needs=("nested",)),
    When("in the first worker", lambda x: x.number == 0, needs=("workers",)),
    When("in all workers but the first", lambda x: x.number > 0, needs=("workers",)),
    When("if it maintains", lambda x: x.inner_state == "maintain", needs=("maintain",)),
    When("if it resets", lambda x: x.inner_state == "reset", needs=("reset",)),
    When(
        *("if it interpolates", lambda x: x.inner_state == "interpolate"),
        needs=("interpolate",),
    ),
    When("after a state is loaded", lambda x: not x.made_anew, SimulatedInner, ("save",)),
    When("from the second step on", lambda x: x.clock > 0, SimulatedInner),
    When("in the first step", lambda x: x.clock == 0, SimulatedInner),
    When("from the second step on", lambda x: x.clock > 1, "element"),
    When("in the first step", lambda x: x.clock == 1, "element"),
    When("from the second update on", lambda t: t > 1, None),
    When("in the first update", lambda t: t == 1, None),
)


def only(edit: type[Edit], when: When) -> type[Edit]:
    """Return an edit that takes effect under a condition alone."""
    parts = {}
    for base, part in edit.parts.items():
        origin: Any = part.__bases__[0]
        own = {}
        for name, made in vars(part).items():
            if name == "rules" and when.of is None:
                own[name] = {
                    each: (_either(when.holds, rule, origin.rules[each][0], 1), slots)
                    for each, (rule, slots) in made.items()
                }
            elif name == "rules":
                own |= {name: made, "step": _ruled(when.holds, made, origin.step)}
            elif not name.startswith("__"):
                own[name] = _either(when.holds, made, vars(origin)[name], 0)
        parts[base] = type(part.__name__, (origin,), own)
    return _made(
        edit,
        says=f"{edit.says}, {when.words}",
        needs=(*edit.needs, *when.needs),
        parts=parts,
        rank=edit.rank + 3,
    )


def _either(holds: Callable[[Any], bool], edited: Any, right: Any, of: int) -> Any:
    def function(*arguments: Any) -> Any:
        return (edited if holds(arguments[of]) else right)(*arguments)

    return function


# Which tensors an edit is of, in cases that have several.

_WHICH: dict[str, tuple[str, Callable[[list[Any]], list[bool]]]] = {
    "of the first parameter alone": ("several", lambda s: [i == 0 for i in range(len(s))]),
    "of all parameters but the first": (
        "several",
        lambda s: [i > 0 for i in range(len(s))],
    ),
    "of matrices alone": ("matrix", lambda s: [len(shape) > 1 for shape in s]),
    "of vectors and scalars alone": ("several", lambda s: [len(shape) < 2 for shape in s]),
}
_PARTED = ("synchronize", "follow", "step", "restart", "evaluate")


def of_some(edit: type[Edit], words: str) -> type[Edit]:
    """Return an edit that is of some tensors alone."""
    need, chosen = _WHICH[words]
    parts = {}
    for base, part in edit.parts.items():
        origin: Any = part.__bases__[0]
        own = {
            name: _picking(chosen, made, getattr(origin, name))
            for name, made in vars(part).items()
            if not name.startswith("__")
        }
        parts[base] = type(part.__name__, (origin,), own)
    return _made(
        edit,
        says=f"{edit.says}, {words}",
        needs=(*edit.needs, need),
        parts=parts,
        rank=edit.rank + 2,
    )


def _picking(chosen: Callable[[list[Any]], list[bool]], edited: Any, right: Any) -> Any:
    def function(this: Any, *arguments: Any) -> Any:
        level = arguments[0] if isinstance(this, SimulatedProgram) else this
        holders = _holders(level)
        before = [_copied(each) for each in holders]
        given = edited(this, *arguments)
        after = [_copied(each) for each in holders]
        for each, kept in zip(holders, before, strict=True):
            vars(each).update(kept)
        new = right(this, *arguments)
        case = holders[-1].case
        shapes = [each["shape"] for each in case["params"]]
        which = chosen(shapes[: len(shapes) // case.get("workers", 1)])
        for each, found in zip(holders, after, strict=True):
            vars(each).update(
                {
                    name: _mixed(which, found[name], kept)
                    for name, kept in _copied(each).items()
                }
            )
        return _mixed(which, given, new)

    return function


def _holders(level: Any) -> list[Any]:
    """Return what holds state: Lookaheads, outer optimizers and, last, the inner one."""
    if not isinstance(level, SimulatedLookahead):
        return [level]
    return [level, *([level.outer] if level.outer else ()), *_holders(level.inner)]


def _copied(holder: Any) -> dict[str, Any]:
    kept = (*simulation.COUNTS, *simulation.ARRAYS)
    return {
        n: list(v) if isinstance(v, list) else v
        for n, v in vars(holder).items()
        if n in kept
    }


def _mixed(which: list[bool], these: Any, others: Any) -> Any:
    if isinstance(these, dict):
        return {n: _mixed(which, each, others[n]) for n, each in these.items()}
    if isinstance(these, tuple):
        return tuple(_mixed(which, *each) for each in zip(these, others, strict=True))
    if isinstance(these, list):
        return simulation.picked(which, these, others)
    return others


def _ruled(holds: Callable[[Any], bool], rules: Any, step: Any) -> Any:
    right = {rule: oracle.RULES[name][0] for name, (rule, _) in rules.items()}

    def function(this: Any, *arguments: Any) -> Any:
        edited = this.rule
        if not holds(this):
            this.rule = right[edited]
        new = step(this, *arguments)
        this.rule = edited
        return new

    return function


def _made(edit: type[Edit], **attributes: Any) -> type[Edit]:
    made: Any = type("Edit", (edit,), attributes)
    made.name = edit.name
    found: type[Edit] = made
    return found


def _conditions(edit: type[Edit]) -> Iterator[When]:
    base = next(iter(edit.parts))
    if edit.title.endswith("__init__") or not issubclass(base, (*_OF_LOOKAHEAD, *_RULES)):
        return
    places: tuple[Any, ...] = (SimulatedLookahead,)
    if base is not SimulatedLookahead:
        places = ("element",) if edit.title.endswith("element") else (SimulatedInner,)
        places += () if "." in edit.title else (None,)
    yield from (each for each in _CONDITIONS if each.of in places)


def edits_for(case: Mapping[str, Any]) -> Iterator[tuple[type[Edit], ...]]:
    """Yield the edits that can show in a case, the plainest first."""
    places = [
        place
        for place in PLACES
        if all(
            simulation.has(need, case) or simulation.has(f"outer-{need}", case)
            for need in place.needs
        )
    ]
    found = [edit for place in places for edit in edits_of(place) if edit.applies(case)]
    if not simulation.has("outer", case):
        found = [edit for edit in found if edit.parts.keys() != {SimulatedInner}]
    found.sort(key=lambda edit: edit.rank)
    yield from ((edit,) for edit in found if edit.fitted is None)
    yield from _moved(found)
    if simulation.has("save", case):
        saved = [edit for edit in _SAVED if edit.applies(case)]
        yield from ((edit,) for edit in saved)
        yield from (two for two in combinations(saved, 2) if two[0].place != two[1].place)
    for words, (need, _) in _WHICH.items() if simulation.has("several", case) else ():
        if simulation.has(need, case):
            for edit in found:
                if edit.rank < 2 and edit.title.endswith(_PARTED) and edit.fitted is None:
                    yield (of_some(edit, words),)
    yield from ((edit,) for edit in found if edit.fitted is not None)
    for edit in (edit for edit in found if edit.fitted is None):
        for when in _conditions(edit):
            if all(simulation.has(need, case) for need in when.needs):
                yield (only(edit, when),)


def _moved(edits: Sequence[type[Edit]]) -> Iterator[tuple[type[Edit], ...]]:
    """Yield what is left out at one place and done at another."""
    for lost in edits:
        what = lost.says.partition("does not raise ")[2].partition(",")[0]
        for done in edits if what else ():
            if f"raises {what}, " in done.says and done.place != lost.place:
                yield lost, done


# What is saved and loaded, piece by piece.

_PIECES = {
    "phi": ("phi", ()),
    "the slots of the last synchronization": ("anchor", ("interpolate",)),
    "the count of steps since a synchronization": ("cycle_step", ()),
    "the count of synchronizations": ("syncs", ("alphas",)),
    "the slots": ("slots", ("slots",)),
    "the clock of the learning rate": ("clock", ("rates",)),
    "the counts of the parameters": ("count", ("adam",)),
    "the fast weights": ("theta", ()),
}


def _saved() -> Iterator[type[Edit]]:
    anew, live = "stay as the new program made them", "are those of the end"
    for words, (piece, needs) in _PIECES.items():
        some = {words: (), **{f"{words} {of}": (of,) for of in _WHICH}}
        for each, of in some.items():
            for says, function in (
                (f"does not load {each}", _lost),
                (f"saves {each} too late", _live),
            ):
                yield _new(
                    clause="LA-22",
                    place=f"edit of what is saved: {piece}",
                    says=f"{says}: they {anew if function is _lost else live}",
                    needs=("save", *needs, *(_WHICH[name][0] for name in of)),
                    parts={SimulatedProgram: function(piece, *of)},
                    rank=1 + len(of),
                    title="what is saved",
                    changed=staticmethod(list),
                )


def _replaced(
    case: Mapping[str, Any],
    state: simulation.State,
    by: simulation.State,
    name: str,
    of: str,
) -> simulation.State:
    """Take a piece from another state, perhaps of some tensors."""
    shapes = [each["shape"] for each in case["params"]]
    found = []
    for each, other in zip(state, by, strict=True):
        piece = {n: v for n, v in other.items() if n == name}
        if of and name in piece:
            count = case.get("workers", 1)
            which = _WHICH[of][1](shapes[: len(shapes) // count])
            which = which * count if name == "theta" else which
            piece = {name: _mixed(which, piece[name], each[name])}
        found.append({**each, **piece})
    return found


def _lost(piece: str, of: str = "") -> type[Any]:
    class Loses(SimulatedProgram):
        def restore(self, levels: list[Any], state: simulation.State) -> oracle.Tensors:
            theta, anew = self.start()
            fresh = simulation.state_of(anew, theta)
            return super().restore(levels, _replaced(self.case, state, fresh, piece, of))

    return Loses


def _live(piece: str, of: str = "") -> type[Any]:
    class Shares(SimulatedProgram):
        def saved(self, then: simulation.State, now: simulation.State) -> simulation.State:
            return _replaced(self.case, super().saved(then, now), now, piece, of)

    return Shares


def _new(**attributes: Any) -> type[Edit]:
    made: Any = type("Edit", (Edit,), {"breaks": "", "fix": "", **attributes})
    made.name = made.place
    found: type[Edit] = made
    return found


_SAVED = tuple(_saved())


def changed(place: Place, number: int) -> list[str]:
    """Return the lines that an edit changes, as a unified diff has them."""
    tree = _tree(place)
    before = ast.unparse(tree).splitlines()
    for each, _ in enumerate(_edits(tree, place)):
        if each == number:
            after = ast.unparse(tree).splitlines()
            lines = difflib.unified_diff(before, after, lineterm="", n=1)
            return [line for line in lines if line[:3] not in ("---", "+++", "@@ ")]
    raise IndexError(number)
