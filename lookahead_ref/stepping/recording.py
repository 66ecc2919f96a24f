"""Update rules as programs: what every executor runs is read off the rule itself.

A *rule* is a function of an array namespace that returns a function of arrays and scalars,
built from ``+ - * /`` and ``sqrt`` alone. Called on arrays it is the reference. Called on
the symbols of this module it writes itself down, as a `Program` that a backend compiles
into one pass over memory.

A whole optimizer step is recorded the same way: `lookahead_ref.stepping.stepper` calls the
optimizer's own ``step`` on a `Symbol` and receives, on its `Tape`, the sequence of rules
that the step applies.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from lookahead_ref.stepping.backend import Instruction, Program
from lookahead_ref.trees import SOLE, Rule


class _Register:
    """A value on which a rule writes itself down."""

    __slots__ = ("_instructions", "_number")

    def __init__(
        self, instructions: list[tuple[str, tuple["_Register", ...]]], number: int
    ):
        self._instructions = instructions
        self._number = number

    def _record(self, operation: str, *operands: Any) -> "_Register":
        for operand in operands:
            if not isinstance(operand, _Register):
                raise TypeError(
                    f"a rule must hold no literals, got {operand!r} in {operation}: make "
                    "it a coefficient, which is rounded once to the parameter's dtype"
                )
        self._instructions.append((operation, operands))
        return _Register(self._instructions, len(self._instructions) - 1)

    def __add__(self, other: Any) -> "_Register":
        return self._record("add", self, other)

    def __radd__(self, other: Any) -> "_Register":
        return self._record("add", other, self)

    def __sub__(self, other: Any) -> "_Register":
        return self._record("subtract", self, other)

    def __rsub__(self, other: Any) -> "_Register":
        return self._record("subtract", other, self)

    def __mul__(self, other: Any) -> "_Register":
        return self._record("multiply", self, other)

    def __rmul__(self, other: Any) -> "_Register":
        return self._record("multiply", other, self)

    def __truediv__(self, other: Any) -> "_Register":
        return self._record("divide", self, other)

    def __rtruediv__(self, other: Any) -> "_Register":
        return self._record("divide", other, self)

    def __bool__(self) -> bool:
        raise TypeError("a rule must not branch on values: it is one straight line")


class _RegisterNamespace:
    """The array namespace that a rule sees while it is written down."""

    @staticmethod
    def sqrt(x: Any) -> _Register:
        if not isinstance(x, _Register):
            raise TypeError(f"sqrt in a rule takes an array or a coefficient, got {x!r}")
        return x._record("sqrt", x)  # noqa: SLF001


class _Written(NamedTuple):
    """A rule written down: an operand is an input, or past their number a result."""

    instructions: tuple[Instruction, ...]
    results: tuple[int, ...]


@lru_cache(maxsize=1024)
def _write_down(rule: Rule, arrays: int, names: tuple[str, ...]) -> _Written:
    lines: list[tuple[str, tuple[_Register, ...]]] = []
    inputs = arrays + len(names)
    registers = [_Register(lines, -1 - position) for position in range(inputs)]

    def place(register: _Register) -> int:
        number = register._number  # noqa: SLF001
        return inputs + number if number >= 0 else -1 - number

    scalars = dict(zip(names, registers[arrays:], strict=True))
    result = rule(_RegisterNamespace)(*registers[:arrays], **scalars)
    results = result if isinstance(result, tuple) else (result,)
    for result in results:
        if not isinstance(result, _Register):
            raise TypeError(f"a rule must return arrays, got {result!r}")
    return _Written(
        tuple(
            Instruction(operation, tuple(place(operand) for operand in operands))
            for operation, operands in lines
        ),
        tuple(place(result) for result in results),
    )


class Symbol:
    """A stand-in for every leaf of a tree at once, which records what is done with it.

    It answers the array API's protocol, so that the checks made of arrays hold for it.

    Parameters
    ----------
    tape : Tape
        Where it is recorded.
    number : int
        Its number there.

    Attributes
    ----------
    tape : Tape
        The tape.
    number : int
        The number.
    tree : dict
        A tree of nothing but this symbol, made once.
    """

    __slots__ = ("number", "tape", "tree")
    shape = ()
    dtype = "symbol"
    float32 = float64 = "symbol"

    def __init__(self, tape: "Tape", number: int) -> None:
        self.tape = tape
        self.number = number
        self.tree = {SOLE: self}

    def __array_namespace__(self, api_version: str | None = None) -> type["Symbol"]:
        """Return the namespace that the array API's protocol asks for."""
        return Symbol


class Call(NamedTuple):
    """A rule applied to symbols.

    Attributes
    ----------
    rule : callable
        The rule; None stands for zero.
    operands : tuple of int
        The numbers of the symbols that it was applied to.
    names : tuple of str
        The names of its coefficients.
    """

    rule: Rule | None
    operands: tuple[int, ...]
    names: tuple[str, ...]


Evaluator: TypeAlias = Callable[["Tape", Callable[..., Any], Sequence[int]], list[Any]]
"""Calls a function with the values of symbols, given by their numbers, of each leaf."""


class Tape:
    """The record of one optimizer step, and then of the next.

    Parameters
    ----------
    buffers : int
        The number of arrays that the step may read: symbols 0, 1, ...
    evaluator : callable, optional
        What computes the values of symbols, where a step needs them.

    Attributes
    ----------
    buffers : int
        The number of arrays.
    evaluator : callable or None
        The evaluator.
    numbers : list of int
        What was recorded: for each call the number under which the tape knows it. Equal
        numbers are equal calls, in every step.
    scalars : list of float
        The coefficients of the calls, in order, in float64.
    """

    def __init__(self, buffers: int, evaluator: Evaluator | None = None) -> None:
        self.buffers = buffers
        self.evaluator = evaluator
        self.numbers: list[int] = []
        self.scalars: list[float] = []
        # A step does what the one before did, or the one a cycle before.
        self._known: dict[Call, tuple[int, int]] = {}
        self._symbols = [Symbol(self, number) for number in range(buffers)]
        self._made = buffers

    @property
    def symbols(self) -> list[Symbol]:
        """The symbols of the arrays that the step may read."""
        return self._symbols[: self.buffers]

    @property
    def calls(self) -> list[Call]:
        """The calls that were recorded."""
        known = list(self._known)
        return [known[number] for number in self.numbers]

    def restart(self) -> None:
        """Begin the record of another step."""
        self.numbers = []
        self.scalars = []
        self._made = self.buffers

    def record(
        self, rule: Rule, operands: Sequence[Symbol], coefficients: Mapping[str, float]
    ) -> list[Symbol]:
        """Record that a rule is applied.

        Parameters
        ----------
        rule : callable
            The rule.
        operands : sequence of Symbol
            What it is applied to.
        coefficients : dict
            Its scalars by name.

        Returns
        -------
        list of Symbol
            Its results.
        """
        call: Any = (rule, tuple([each.number for each in operands]), tuple(coefficients))
        known = self._known.get(call)
        if known is None:
            results = len(_write_down(rule, len(operands), call[2]).results)
            known = self._known[Call(*call)] = (len(self._known), results)
        number, results = known
        self.numbers.append(number)
        self.scalars += coefficients.values()
        return self._new(results)

    def zero(self) -> Symbol:
        """Record an array of zeros.

        Returns
        -------
        Symbol
            The zeros.
        """
        number, _ = self._known.setdefault(Call(None, (), ()), (len(self._known), 1))
        self.numbers.append(number)
        return self._new(1)[0]

    def evaluate(
        self, function: Callable[..., Any], operands: Sequence[Symbol]
    ) -> list[Any]:
        """Compute what symbols stand for, and call a function with it.

        Nothing is recorded, and nothing that the step may read is changed.

        Parameters
        ----------
        function : callable
            A function of arrays of one dimension.
        operands : sequence of Symbol
            What it is to be called with.

        Returns
        -------
        list
            What it returns, for each leaf that a symbol stands for.

        Raises
        ------
        TypeError
            If there is nothing to compute with.
        """
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
    """Join the rules that a step applied into one program.

    Parameters
    ----------
    buffers : int
        The number of buffers that symbols stand for.
    calls : sequence of Call
        What a tape has recorded.
    results : sequence of (int, int)
        Buffer and symbol: what each buffer holds after the step. A buffer that keeps what
        it held is not written.
    scratch : int, default: 0
        The number of further buffers, which are only written to.

    Returns
    -------
    Program
        The program; its scalars are the coefficients of the calls, in order.
    """
    scalars = sum(len(call.names) for call in calls)
    registers = list(range(buffers))  # where each symbol is
    instructions: list[Instruction] = []
    first_scalar = buffers + scratch
    for call in calls:
        base = buffers + scratch + scalars + len(instructions)
        if call.rule is None:
            instructions.append(Instruction("zero", ()))
            registers.append(base)
            continue
        written = _write_down(call.rule, len(call.operands), call.names)
        inputs = [registers[number] for number in call.operands]
        inputs += range(first_scalar, first_scalar + len(call.names))
        first_scalar += len(call.names)

        def place(number: int, inputs: list[int] = inputs, base: int = base) -> int:
            return inputs[number] if number < len(inputs) else base + number - len(inputs)

        instructions += [
            Instruction(line.operation, tuple(place(number) for number in line.operands))
            for line in written.instructions
        ]
        registers += [place(number) for number in written.results]
    return Program(
        buffers + scratch,
        scalars,
        tuple(instructions),
        tuple(
            (buffer, registers[symbol])
            for buffer, symbol in results
            if buffer != registers[symbol]
        ),
    )
