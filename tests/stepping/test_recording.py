"""Rules written down as programs."""

from typing import Any

import array_api_strict
import numpy as np
import pytest

from lookahead_ref import trees
from lookahead_ref.stepping.backend import Instruction, Program
from lookahead_ref.stepping.recording import Call, Symbol, Tape, compile_calls
from support import assert_same_bits


def every_operation(xp: Any) -> Any:
    def rule(x: Any, y: Any, c: Any) -> Any:
        total = x + y
        return xp.sqrt(total * c), x - y / total

    return rule


def test_a_rule_records_its_operations_in_order() -> None:
    call = Call(every_operation, (0, 1), ("c",))
    program = compile_calls(2, [call], [(0, 2), (1, 3)])
    # Registers 0 and 1 are the buffers, 2 the scalar; results follow.
    assert program == Program(
        buffers=2,
        scalars=1,
        instructions=(
            Instruction("add", (0, 1)),
            Instruction("multiply", (3, 2)),
            Instruction("sqrt", (4,)),
            Instruction("divide", (1, 3)),
            Instruction("subtract", (0, 6)),
        ),
        writes=((0, 5), (1, 7)),
    )


def test_calls_are_joined_with_scalars_of_their_own() -> None:
    def move(xp: Any) -> Any:
        return lambda x, y, c: x + c * y

    program = compile_calls(
        2,
        [Call(move, (0, 1), ("c",)), Call(None, (), ()), Call(move, (2, 3), ("c",))],
        [(0, 4), (1, 3)],
    )
    assert (program.buffers, program.scalars) == (2, 2)
    assert program.instructions == (
        Instruction("multiply", (2, 1)),
        Instruction("add", (0, 4)),
        Instruction("zero", ()),
        Instruction("multiply", (3, 6)),
        Instruction("add", (5, 7)),
    )
    assert program.writes == ((0, 8), (1, 6))


def test_an_unchanged_buffer_is_not_written() -> None:
    program = compile_calls(3, [], [(0, 1), (1, 1), (2, 0)])
    assert program == Program(3, 0, (), ((0, 1), (2, 0)))


def test_a_tape_computes_only_with_an_evaluator() -> None:
    with pytest.raises(TypeError, match="without an evaluator"):
        Tape(1).evaluate(float, [])


def test_a_tape_records_calls_coefficients_and_zeros() -> None:
    tape = Tape(2)
    x, y = Symbol(tape, 0), Symbol(tape, 1)
    root, rest = tape.record(every_operation, [x, y], {"c": 0.5})
    zero = tape.zero()
    (last,) = tape.record(lambda xp: lambda a, b, d: a * b * d, [root, zero], {"d": 0.25})
    assert [s.number for s in (root, rest, zero, last)] == [2, 3, 4, 5]
    assert [call.operands for call in tape.calls] == [(0, 1), (), (2, 4)]
    assert tape.scalars == [0.5, 0.25]


OTHER = r"test_recording\.py, line \d+: a rule can use \+ - \* / and sqrt, abs, maximum"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda xp: lambda x: 2.0 * x, "a rule must hold no literals, got 2.0 in multiply"),
        (lambda xp: lambda x: x + 1, "a rule must hold no literals, got 1 in add"),
        (lambda xp: lambda x: 1 - x, "a rule must hold no literals, got 1 in subtract"),
        (lambda xp: lambda x: x / 3, "a rule must hold no literals, got 3 in divide"),
        (lambda xp: lambda x: xp.sqrt(2.0), "must hold no literals, got 2.0 in sqrt"),
        (lambda xp: lambda x: -x if x else x, "a rule must not branch on values"),
        (lambda xp: lambda x: 0.0, "a rule must return arrays, got 0.0"),
        (lambda xp: lambda x: xp.exp(x), OTHER),
        (lambda xp: lambda x: np.exp(x), OTHER),
        (lambda xp: lambda x: x**2, OTHER),
        (lambda xp: lambda x: -x, OTHER),
        (lambda xp: lambda x: x[0], OTHER),
        (lambda xp: lambda x: x.sum(), OTHER),
        (lambda xp: lambda x: x.T, OTHER),
    ],
)
def test_a_rule_with_literals_branches_or_other_operations_is_refused(
    rule: Any, message: str
) -> None:
    tape = Tape(1)
    error = (AttributeError, TypeError) if message is OTHER else TypeError
    with pytest.raises(error, match=message):
        tape.record(rule, [Symbol(tape, 0)], {})


def test_the_pure_interface_offers_a_rule_the_same_functions() -> None:
    says = "line .* a rule can use .* sign, got exp"
    with pytest.raises(AttributeError, match=says):
        trees.apply(lambda xp: lambda x: xp.exp(x), {}, {"x": np.zeros(2)})


def test_functions_take_coefficients_for_arrays_in_any_library() -> None:
    def rule(xp: Any) -> Any:
        return lambda x, c: xp.sqrt(c) * x + xp.abs(c) * xp.sign(c) / xp.maximum(c, x)

    x = np.array([0.5, -3.0, 0.1], np.float32)
    for asarray in (np.asarray, array_api_strict.asarray):
        (found,) = trees.apply(rule, {"c": 0.3}, {"x": asarray(x)})
        c = np.float32(0.3)
        expected = np.sqrt(c) * x + c / np.maximum(c, x)
        assert_same_bits({"x": np.asarray(found["x"])}, {"x": expected})


def test_functions_of_python_that_mean_the_same_are_recorded() -> None:
    call = Call(lambda xp: lambda x, y: xp.maximum(abs(x), xp.sign(y)), (0, 1), ())
    operations = [
        each.operation for each in compile_calls(2, [call], [(0, 2)]).instructions
    ]
    assert operations == ["abs", "sign", "maximum"]
