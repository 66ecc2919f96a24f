"""Programs run by NumPy in blocks: no result overwrites what is still to be read."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lookahead_ref.backends.numpy import NumpyBackend
from lookahead_ref.stepping.backend import Instruction, Program

SAME = ("add", "subtract", "multiply", "divide", "sqrt", "abs", "sign")
OPERATIONS = {name: getattr(np, name) for name in SAME} | {
    "maximum": lambda a, b: np.where((a > b) | (a != a), a, b),
    "minimum": lambda a, b: np.where((a < b) | (a != a), a, b),
}


def one_at_a_time(program: Program, buffers: list[Any], scalars: list[Any]) -> list[Any]:
    """Return the final buffers, with separate memory for every result."""
    registers = [buffer.copy() for buffer in buffers] + list(scalars)
    for line in program.instructions:
        if line.operation == "zero":
            registers.append(np.zeros_like(buffers[0]))
        else:
            operands = [registers[number] for number in line.operands]
            registers.append(OPERATIONS[line.operation](*operands))
    after = [buffer.copy() for buffer in buffers]
    for buffer, register in program.writes:
        after[buffer][...] = registers[register]
    return after


@st.composite
def programs(draw: st.DrawFn) -> Program:
    buffers, scalars = draw(st.integers(1, 4)), draw(st.integers(0, 2))
    registers = buffers + scalars
    instructions = []
    arrays = list(range(buffers))  # registers that hold arrays
    for number in range(draw(st.integers(0, 8))):
        operation = draw(st.sampled_from([*OPERATIONS, "zero"]))
        count = {"zero": 0, "sqrt": 1, "abs": 1, "sign": 1}.get(operation, 2)
        anything = st.integers(0, registers + number - 1)
        # One operand is an array, as a rule's always is.
        operands = [draw(st.sampled_from(arrays))] if count else []
        if count == 2:
            operands.insert(draw(st.integers(0, 1)), draw(anything))
        instructions.append(Instruction(operation, tuple(operands)))
        arrays.append(registers + number)
    written = draw(st.lists(st.integers(0, buffers - 1), unique=True))
    # A written value may be a result or another buffer's old value.
    writes = [
        (buffer, draw(st.sampled_from([each for each in arrays if each != buffer] or [0])))
        for buffer in written
    ]
    writes = [(buffer, register) for buffer, register in writes if buffer != register]
    return Program(buffers, scalars, tuple(instructions), tuple(writes))


@given(programs(), st.sampled_from(["float32", "float64"]), st.sampled_from([0, 1, 5]))
def test_any_program_gives_what_its_operations_give_one_at_a_time(
    program: Program, dtype: str, size: int
) -> None:
    rng = np.random.default_rng(0)
    buffers = [rng.standard_normal(size).astype(dtype) for _ in range(program.buffers)]
    scalars = [float(np.dtype(dtype).type(x)) for x in rng.standard_normal(program.scalars)]
    with np.errstate(all="ignore"):
        expected = one_at_a_time(
            program, buffers, [np.dtype(dtype).type(scalar) for scalar in scalars]
        )
        NumpyBackend.compile(program, dtype)(buffers, scalars)
    for have, want in zip(buffers, expected, strict=True):
        np.testing.assert_array_equal(have, want)


def test_the_blocks_of_a_program_fit_the_cache_together() -> None:
    small = Program(2, 1, (Instruction("multiply", (0, 2)),), ((1, 3),))
    large = Program(9, 1, (Instruction("multiply", (0, 9)),), ((1, 10),))
    blocks: list[Any] = [NumpyBackend.compile(each, "float32") for each in (small, large)]
    for program, kernel in zip((small, large), blocks, strict=True):
        assert 1_000_000 < 4 * program.buffers * kernel.block < 2_000_000
