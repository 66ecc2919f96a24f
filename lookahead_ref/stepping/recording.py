"""Update rules as programs: all executors run what is recorded from the rule itself.

A *rule* is built from ``+ - * /`` and `lookahead_ref.trees.RULE_FUNCTIONS` alone. Called on
arrays it is the reference. Called on the registers of this module it records itself as a
`Program`, which a backend compiles into one pass over memory.

A whole optimizer step is recorded the same way: `lookahead_ref.stepping.stepper` calls the
optimizer's own ``step`` on a `Symbol` and receives, on its `Tape`, the sequence of rules
that the step applies.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeAlias

from lookahead_ref.stepping.backend import Instruction, Program
from lookahead_ref.trees import RULE_FUNCTIONS, SOLE, Rule, RuleNamespace, rule_place


class Call(NamedTuple):
    """A rule applied to symbols by their numbers, with its coefficients' names."""

    rule: Rule | None  # None: zero
    operands: tuple[int, ...]
    names: tuple[str, ...]


class Symbol:
    """Stands for every leaf of a tree at once, and records the rules applied to it."""

    __slots__ = ("number", "tape", "tree")
    # It follows the array API's protocol, so that it passes the checks of arrays.
    shape = ()
    dtype = "symbol"
    float32 = float64 = "symbol"

    def __init__(self, tape: "Tape", number: int) -> None:
        self.tape = tape
        self.number = number
        self.tree = {SOLE: self}

    def __array_namespace__(self, api_version: str | None = None) -> type["Symbol"]:
        return Symbol


Evaluator: TypeAlias = Callable[["Tape", Callable[..., Any], Sequence[int]], list[Any]]
"""Calls a function for each leaf with the values of numbered symbols."""


class Tape:
    """The record of one optimizer step at a time."""

    def __init__(self, buffers: int, evaluator: Evaluator | None = None) -> None:
        # Symbols 0, 1, ... stand for the buffers, the arrays that a step may read.
        self.buffers = buffers
        self.evaluator = evaluator
        # For each call its key on the tape: equal calls have equal keys.
        self.numbers: list[int] = []
        # The coefficients of the calls, in order, in float64.
        self.scalars: list[float] = []
        # A step repeats the previous one, or the one a cycle before.
        self._known: dict[Call, tuple[int, int]] = {}
        self._symbols = [Symbol(self, number) for number in range(buffers)]
        self._made = buffers

    @property
    def symbols(self) -> list[Symbol]:
        """The symbols of the buffers."""
        return self._symbols[: self.buffers]

    @property
    def calls(self) -> list[Call]:
        """The recorded calls."""
        known = list(self._known)
        return [known[number] for number in self.numbers]

    def restart(self) -> None:
        """Begin the record of another step."""
        self.numbers = []
        self.scalars = []
        self._made = self.buffers

    def record(
        self,
        rule: Rule | None,
        operands: Sequence[Symbol],
        coefficients: Mapping[str, float],
    ) -> list[Symbol]:
        """Record the application of a rule, and return its results."""
        call: Any = (rule, tuple([each.number for each in operands]), tuple(coefficients))
        known = self._known.get(call)
        if known is None:
            results = len(_recorded(rule, len(operands), call[2]).results)
            known = self._known[Call(*call)] = (len(self._known), results)
        number, results = known
        self.numbers.append(number)
        self.scalars += coefficients.values()
        return self._new(results)

    def zero(self) -> Symbol:
        """Record an array of zeros."""
        return self.record(None, [], {})[0]

    def evaluate(
        self, function: Callable[..., Any], operands: Sequence[Symbol]
    ) -> list[Any]:
        """Call a function for each leaf with the symbols' values, without recording."""
        if self.evaluator is None:
            raise TypeError("a tape without an evaluator has no values")
        return self.evaluator(self, function, [each.number for each in operands])

    def _new(self, count: int) -> list[Symbol]:
        first = self._made
        self._made = last = first + count
        while len(self._symbols) < last:
            self._symbols.append(Symbol(self, len(self._symbols)))
        return self._symbols[first:last]


def compile_calls(
    buffers: int,
    calls: Sequence[Call],
    results: Sequence[tuple[int, int]],
    *,
    scratch: int = 0,
) -> Program:
    """Join the rules of a step into one program, with the calls' coefficients."""
    # `results` has each buffer's symbol after the step; unchanged buffers are not written.
    # `scratch` is the number of further buffers, which are only written.
    scalars = sum(len(call.names) for call in calls)
    registers = list(range(buffers))  # of each symbol
    instructions: list[Instruction] = []
    first_scalar = buffers + scratch
    for call in calls:
        base = buffers + scratch + scalars + len(instructions)
        written = _recorded(call.rule, len(call.operands), call.names)
        inputs = [registers[number] for number in call.operands]
        inputs += range(first_scalar, first_scalar + len(call.names))
        first_scalar += len(call.names)
        places = [*inputs, *range(base, base + len(written.instructions))]
        instructions += [
            Instruction(line.operation, tuple(places[number] for number in line.operands))
            for line in written.instructions
        ]
        registers += [places[number] for number in written.results]
    writes = [(buffer, registers[symbol]) for buffer, symbol in results]
    return Program(
        buffers + scratch,
        scalars,
        tuple(instructions),
        tuple((buffer, register) for buffer, register in writes if buffer != register),
    )


class _Recorded(NamedTuple):
    """A recorded rule; numbers count inputs, then the results of instructions."""

    instructions: tuple[Instruction, ...]
    results: tuple[int, ...]


@lru_cache(maxsize=1024)
def _recorded(rule: Rule | None, arrays: int, names: tuple[str, ...]) -> _Recorded:
    if rule is None:
        return _Recorded((Instruction("zero", ()),), (0,))
    inputs = arrays + len(names)
    lines: list[Instruction] = []
    registers = [_Register(lines, inputs, number) for number in range(inputs)]
    scalars = dict(zip(names, registers[arrays:], strict=True))
    result = rule(_REGISTERS)(*registers[:arrays], **scalars)
    results = result if isinstance(result, tuple) else (result,)
    for each in results:
        if not isinstance(each, _Register):
            raise TypeError(f"a rule must return arrays, got {each!r}")
    return _Recorded(tuple(lines), tuple(each.number for each in results))


def _operators(operation: str) -> tuple[Any, Any]:
    """Return the methods of an operation: with the register first, and second."""
    return (
        lambda self, other: _record(operation, self, other),
        lambda self, other: _record(operation, other, self),
    )


class _Register:
    """A value that records the operations of a rule."""

    __slots__ = ("inputs", "lines", "number")

    def __init__(self, lines: list[Instruction], inputs: int, number: int) -> None:
        self.lines = lines
        self.inputs = inputs
        self.number = number

    __add__, __radd__ = _operators("add")
    __sub__, __rsub__ = _operators("subtract")
    __mul__, __rmul__ = _operators("multiply")
    __truediv__, __rtruediv__ = _operators("divide")

    def __abs__(self) -> "_Register":
        return _record("abs", self)

    def __bool__(self) -> bool:
        raise TypeError(f"{rule_place()}a rule must not branch on values")

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"{rule_place()}a rule can use + - * / and {', '.join(RULE_FUNCTIONS)}: write "
            "powers as products, -x as a coefficient times x, comparisons as maximum, and "
            "functions as xp.sqrt"
        )

    __pow__ = __rpow__ = __neg__ = __lt__ = __le__ = __gt__ = __ge__ = __mod__ = _refuse
    __array_ufunc__ = __getitem__ = __float__ = _refuse

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python or NumPy ask of any object
            raise AttributeError(name)
        self._refuse()


def _record(operation: str, *operands: Any) -> _Register:
    for operand in operands:
        if not isinstance(operand, _Register):
            raise TypeError(
                f"{rule_place()}a rule must hold no literals, got {operand!r} in "
                f"{operation}: make it a coefficient, which is rounded once to the "
                "parameter's dtype"
            )
    lines, inputs = operands[0].lines, operands[0].inputs
    lines.append(Instruction(operation, tuple(operand.number for operand in operands)))
    return _Register(lines, inputs, inputs + len(lines) - 1)


_REGISTERS = RuleNamespace(**{name: partial(_record, name) for name in RULE_FUNCTIONS})
