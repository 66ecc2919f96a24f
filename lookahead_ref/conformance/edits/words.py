"""An edit in words: expressions and statements of the oracle as a sentence has them."""

import ast

from lookahead_ref.conformance.edits.grammar import ASKS, CALLS, DOES, WORDS

UNSAID = "\0"
"""Stands for code that has no words; the diff shows it."""

_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "^"}


def told(node: ast.AST | str) -> str:
    """Put an expression into words."""
    if isinstance(node, str):
        node = ast.parse(node, mode="eval").body
    text = ast.unparse(node).replace("outermost.", "self.")
    if text in WORDS:
        return WORDS[text]
    match node:
        case ast.Name():
            return text
        case ast.Constant(value=value) if not isinstance(value, str):
            return text
        case ast.Constant(value=value):
            return str(value)
        case ast.UnaryOp(op=ast.USub()):
            return f"-{told(node.operand)}"
        case ast.UnaryOp(op=ast.Not()):
            return f"not {told(node.operand)}"
        case ast.BoolOp():
            word = " and " if isinstance(node.op, ast.And) else " or "
            return word.join(map(told, node.values))
        case ast.BinOp(op=op) if type(op) in _SIGNS:
            left, right = map(_grouped, (node.left, node.right))
            return f"{left} {_SIGNS[type(op)]} {right}"
        case ast.Tuple(elts=some):
            return " and ".join(map(told, some))
        case ast.Starred(value=value) | ast.ListComp(elt=value) | ast.DictComp(value=value):
            return told(value)
        case ast.List(elts=[value]):
            return told(value)
        case ast.Compare(ops=[op]) if type(op).__name__ in ASKS:
            asks = ASKS[type(op).__name__]
            return f"{told(node.left)} {asks} {told(node.comparators[0])}"
        case ast.Call(func=ast.Name(id=name)) if name in CALLS:
            words = told if name == "sqrt" else _grouped
            return CALLS[name].format(*map(words, node.args))
    return UNSAID


def _grouped(node: ast.expr) -> str:
    words = told(node)
    has_name = ast.unparse(node) in WORDS or not isinstance(node, ast.BinOp)
    return words if has_name or " " not in words else f"({words})"


def does(statement: ast.stmt) -> str:
    """Put what a statement does into words, without its subject."""
    text = ast.unparse(statement).replace("outermost.", "self.")
    if text in DOES:
        return DOES[text]
    match statement:
        case ast.AugAssign(value=ast.Constant(value=1)):
            return f"raise {told(statement.target)}"
        case ast.Assign(targets=[target], value=ast.Call(func=ast.Name(id="single"))):
            return f"round {told(target)} to float32"
        case (
            ast.Assign(targets=[target], value=ast.expr() as value)
            | ast.AnnAssign(target=target, value=ast.expr() as value)
        ):
            new = told(value)
            is_said = told(target) in new and f"{told(target)} from" not in new
            return f"set {told(target)}" + ("" if is_said else f" to {new}")
        case ast.Return(value=ast.expr() as value):
            return f"return {told(value)}"
        case ast.Continue():
            return "go on with the next parameter"
        case ast.For(target=target, body=body) if len(body) > 2:
            return f"go through the {told(target)}s"
        case ast.For(target=target, body=body):
            return f"for each {told(target)}: {' and '.join(map(does, body))}"
        case ast.Expr(value=ast.Call() as value):
            return f"do {told(value)}"
        case ast.If():
            test = told(statement.test).removeprefix("whether ")
            return " and ".join(map(does, statement.body)) + f" if {test}"
    return UNSAID


def said(words: str) -> str:
    """Give a verb the third person."""
    verb, _, rest = words.partition(" ")
    return f"{verb}{'es' if verb == 'do' else 's'} {rest}"
