"""Shared by backends that compile: programs as expressions, and cached files."""

import tempfile
from pathlib import Path

from ..stepping.backend import Program

_OPERATORS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}


def expressions(program: Program, zero: str) -> tuple[list[str], list[str]]:
    """Name every register x, s or r with a number, and write each r's expression."""
    names = [f"x{number}" for number in range(program.buffers)]
    names += [f"s{number}" for number in range(program.scalars)]
    values = []
    for number, line in enumerate(program.instructions):
        operands = [names[operand] for operand in line.operands]
        if line.operation == "zero":
            values.append(zero)
        elif line.operation in _OPERATORS:
            values.append(f" {_OPERATORS[line.operation]} ".join(operands))
        else:
            values.append(f"{line.operation}({', '.join(operands)})")
        names.append(f"r{number}")
    return names, values


def read(program: Program) -> set[int]:
    """Return the registers that a program reads."""
    operands = {operand for line in program.instructions for operand in line.operands}
    return operands | {register for _, register in program.writes}


def keep(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, even if others write the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)
