"""Programs written as loops for Numba, and kept on disk by the hash of their source.

A program's loop is text: the rule, with an operation per line, inside a loop over elements,
inside a loop over pieces of work. It is written to a file in the user's cache folder, named
by the text's hash, and Numba keeps the machine code beside it. An edited rule has another
text and so another name: an old loop cannot run by mistake.

Two things keep a compiler from making such a loop as fast as memory: indices that may be
negative, as in Python, and arrays that may overlap. So elements are read and written by
address, and each access declares that it touches no other buffer. The loop is then
vectorized for any number of buffers.

Registers of 64 bytes, if a processor has them, help only loops with divisions or roots,
which are limited by computation. All others wait for memory, and there registers of 32
bytes are faster, by a tenth if two cores share no cache: NumPy aligns arrays to 16 bytes,
so that every access of 64 bytes touches two cache lines, but only every other access of 32.
"""

import hashlib
import importlib.util
import pickle
import sys
import tempfile
from contextlib import suppress
from functools import cache as memoized
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ...stepping.backend import Program
from .. import source

GATHERED = 8
"""Gradients in one call of ``gather``."""

COUNTERS = 4
"""Counters with which threads share work."""

LINE = 16
"""Distance of counters, so that two threads do not share a cache line."""

# Threads share work by counters: pieces taken, taken from the front, taken from the back,
# and done. The caller takes from the front, its helpers from the back, so that each finds
# its data of the last step nearby. The caller spins until all are done, as the last piece
# takes less time than waking up.
_TEMPLATE = '''"""Written by lookahead_ref from an update rule; safe to delete."""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

BUFFERS = {buffers}
sqrt = np.sqrt
scalar = types.{dtype}
table = types.Array(types.intp, 2, "C")
column = types.Array(types.intp, 1, "C")


def element(context, builder, address, index):
    pointer = builder.inttoptr(address, context.get_value_type(scalar).as_pointer())
    return builder.gep(pointer, [index], inbounds=True)


def alone(builder, access, number):
    module = builder.module
    domain = module.add_metadata([ir.MetaDataString(module, "buffers")])
    scopes = [
        module.add_metadata([ir.MetaDataString(module, f"buffer {{each}}"), domain])
        for each in range(BUFFERS)
    ]
    access.set_metadata("alias.scope", module.add_metadata([scopes.pop(number)]))
    if scopes:
        access.set_metadata("noalias", module.add_metadata(scopes))
    return access


@intrinsic(prefer_literal=True)
def read(typing, number, address, index):
    def generate(context, builder, signature, args):
        place = element(context, builder, *args[1:])
        return alone(builder, builder.load(place), number.literal_value)

    return scalar(number, address, index), generate


@intrinsic(prefer_literal=True)
def write(typing, number, address, index, value):
    def generate(context, builder, signature, args):
        place = element(context, builder, *args[1:3])
        alone(builder, builder.store(args[3], place), number.literal_value)
        return context.get_dummy_value()

    return types.void(number, address, index, value), generate


@intrinsic
def take(typing, address):
    def generate(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], args[0].type.as_pointer())
        return builder.atomic_rmw("add", pointer, args[0].type(1), "acq_rel")

    return types.intp(address), generate


@intrinsic
def value(typing, address):
    def generate(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], args[0].type.as_pointer())
        return builder.load_atomic(pointer, "acquire", types.intp.bitwidth // 8)

    return types.intp(address), generate


@intrinsic(prefer_literal=True)
def prefer(typing, bits):
    def generate(context, builder, signature, args):
        # Not through its own `add`, which knows of no attributes with values.
        attribute = f'"prefer-vector-width"="{{bits.literal_value}}"'
        set.add(builder.function.attributes, attribute)
        return context.get_dummy_value()

    return types.void(bits), generate


@njit
def maximum(a, b):
    return a if a > b or a != a else b


@njit
def minimum(a, b):
    return a if a < b or a != a else b


@njit
def sign(a):
    return a if a != a else np.{dtype}(a > 0) - np.{dtype}(a < 0)


@njit(
    types.void(types.intp, column, column, table, table{types}),
    error_model="numpy",
    nogil=True,
    cache=True,
)
def loop(awaited, counters, groups, segments, addresses{arguments}):
    {width}
    taken = np.intp(counters.ctypes.data)
    front, back, done = taken + {line}, taken + 2 * {line}, taken + 3 * {line}
    count = len(groups) - 1
    {scalars}
    while take(taken) < count:
        group = take(front) if awaited else count - 1 - take(back)
        for segment in range(groups[group], groups[group + 1]):
            leaf = segments[segment, 0]
            start = segments[segment, 1]
            stop = segments[segment, 2]
            {bases}
            for i in range(start, stop):
                {body}
        take(done)
    while value(done) < awaited:
        pass
'''

_GATHER = '''"""Written by lookahead_ref; safe to delete."""

from numba import njit, types

array = types.Array(types.{dtype}, 1, "C", readonly=True)


@njit(types.void(types.Array(types.intp, 2, "C"), types.intp, {types}), cache=True)
def gather(addresses, first, {arguments}):
    {body}
'''


def loop_source(program: Program, dtype: str) -> str:
    """Write a program as a loop over pieces of work."""
    scalars = [f"s{number}" for number in range(program.scalars)]
    names, results = source.expressions(program, f"np.{dtype}(0)")
    read = source.read(program)
    body = [
        f"x{number} = read({number}, b{number}, i)"
        for number in range(program.buffers)
        if number in read
    ]
    body += [f"r{number} = {value}" for number, value in enumerate(results)]
    body += [
        f"write({buffer}, b{buffer}, i, {names[register]})"
        for buffer, register in program.writes
    ]
    bases = [f"b{number} = addresses[leaf, {number}]" for number in range(program.buffers)]
    slow = any(line.operation in ("divide", "sqrt") for line in program.instructions)
    # Scalars are Python floats that are already rounded, so this is exact.
    rounded = [f"{name} = np.{dtype}({name}_)" for name in scalars]
    return _TEMPLATE.format(
        buffers=program.buffers,
        dtype=dtype,
        types=", types.float64" * program.scalars,
        arguments="".join(f", {name}_" for name in scalars),
        line=LINE * np.dtype(np.intp).itemsize,
        width="pass" if slow else "prefer(256)",
        scalars="\n    ".join(rounded or ["pass"]),
        bases="\n            ".join(bases),
        body="\n                ".join(body or ["pass"]),
    )


def gather_source(dtype: str) -> str:
    """Write the function that puts the addresses of gradients into a table."""
    names = [f"g{number}" for number in range(GATHERED)]
    return _GATHER.format(
        dtype=dtype,
        types=", ".join(["array"] * GATHERED),
        arguments=", ".join(names),
        body="\n    ".join(
            f"addresses[first + {number}, -1] = {name}.ctypes.data"
            for number, name in enumerate(names)
        ),
    )


@memoized  # one module per source
def load(text: str, cache: Path) -> Any:
    """Import a module from the cache folder, or another folder if that is read-only."""
    name = "loop_" + hashlib.sha256(text.encode()).hexdigest()[:32]
    try:
        path = cache / f"{name}.py"
        if not (path.is_file() and path.read_bytes() == text.encode()):
            source.keep(path, text.encode())
        return _import(name, path)
    except (OSError, EOFError, pickle.UnpicklingError):
        # Truncated machine code, as after a power failure, is rebuilt next time.
        for damaged in (cache / "__pycache__").glob(f"{name}.*.nb?"):
            with suppress(OSError):
                damaged.unlink()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.py"
            path.write_text(text, "utf-8")
            return _import(name, path)


def _import(name: str, path: Path) -> ModuleType:
    spec: Any = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
