"""Programs written as CUDA C, compiled to give the bits of the CPU.

One kernel updates many arrays: its only argument is a table, passed by value, with the
addresses of each array's buffers, the division of the work into tiles, and the scalars. A
launch uploads nothing, and another learning rate compiles nothing.

CuPy appends ``-ftz=true`` to the options of `cupy.fuse`, `cupy.ElementwiseKernel` and
`cupy.RawModule`, which flushes subnormals. So NVRTC is called directly here, and the
machine code is kept in the user's cache folder.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from ...stepping.backend import BackendUnavailableError, Program
from .. import source

OPTIONS = (
    # The CPU rounds a product before it adds, and keeps subnormals.
    "--fmad=false",
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
    "--std=c++17",
)

ENTRY = "update"
THREADS = 256
TILE = 4096

# Bytes of a kernel's arguments that every device accepts.
_ARGUMENT_BYTES = 4096

TYPES = {"float32": "float", "float64": "double"}


@dataclass(frozen=True)
class KernelSource:
    """A program as CUDA C."""

    text: str
    arguments: np.dtype[Any]
    arrays: int


@lru_cache(maxsize=1024)
def write(program: Program, dtype: str) -> KernelSource:
    """Write a program as a kernel."""
    arrays, arguments = _layout(program, dtype)
    buffers = range(program.buffers)
    names, results = source.expressions(program, "scalar(0)")
    read, written = source.read(program), {buffer for buffer, _ in program.writes}

    per_element = [f"const scalar x{n} = p{n}.lane[i];" for n in buffers if n in read]
    per_element += [f"const scalar r{n} = {value};" for n, value in enumerate(results)]
    per_element += [f"p{buffer}.lane[i] = {names[reg]};" for buffer, reg in program.writes]

    used = [n for n in buffers if n in read | written]
    values = {
        "scalar": TYPES[dtype],
        "arrays": arrays,
        "buffers": program.buffers,
        "bytes": arguments.itemsize,
        "scalars": f"scalar scalars[{program.scalars}];" if program.scalars else "",
        "threads": THREADS,
        "tile": TILE,
        "entry": ENTRY,
        "addresses": _lines(
            4,
            [f"scalar *const b{n} = (scalar *)table.address[array][{n}];" for n in used]
            + [f"const scalar s{n} = table.scalars[{n}];" for n in range(program.scalars)],
        ),
        "loads": _lines(
            8,
            [
                f"Pack<WIDTH> p{n} = *(const Pack<WIDTH> *)(b{n} + place);"
                if n in read
                else f"Pack<WIDTH> p{n};"
                for n in used
            ],
        ),
        "elements": _lines(12, per_element),
        "stores": _lines(
            8, [f"*(Pack<WIDTH> *)(b{n} + place) = p{n};" for n in used if n in written]
        ),
        "together": " | ".join(f"table.address[array][{n}]" for n in used) or "0",
    }
    template = Path(__file__).with_name("update.cu").read_text(encoding="utf-8")
    return KernelSource(Template(template).substitute(values), arguments, arrays)


def _layout(program: Program, dtype: str) -> tuple[int, np.dtype[Any]]:
    """Lay out the table: how many arrays fit, and the place of each entry."""

    def table(arrays: int) -> np.dtype[Any]:
        fields: list[Any] = [
            ("address", np.uint64, (arrays, program.buffers)),
            ("length", np.int64, (arrays,)),
            ("scalars", np.dtype(dtype), (program.scalars,)),
            ("first_tile", np.int32, (arrays,)),
            ("arrays", np.int32),
        ]
        # C has no arrays without elements.
        return np.dtype([f for f in fields if f[-1] != (0,)], align=True)

    arrays = _ARGUMENT_BYTES // (8 * program.buffers + 12)
    while table(arrays).itemsize > _ARGUMENT_BYTES:
        arrays -= 1
    return arrays, table(arrays)


def _lines(indent: int, lines: Sequence[str]) -> str:
    return ("\n" + " " * indent).join(lines)


def fill(
    written: KernelSource, arrays: Sequence[tuple[Sequence[int], int]]
) -> list[tuple[int, Any, tuple[int, ...]]]:
    """Return blocks, table without scalars, and arrays' places, of the fewest launches."""
    launches = []
    filled = [place for place, (_, length) in enumerate(arrays) if length]
    for begin in range(0, len(filled), written.arrays):
        places = tuple(filled[begin : begin + written.arrays])
        table = np.zeros((), written.arguments)
        count = len(places)
        table["address"][:count] = [arrays[place][0] for place in places]
        lengths = np.array([arrays[place][1] for place in places])
        table["length"][:count] = lengths
        past = np.cumsum((lengths + TILE - 1) // TILE)
        table["first_tile"][1:count] = past[:-1]
        table["arrays"] = count
        launches.append((int(past[-1]), table, places))
    return launches


def translate(text: str, architecture: int, *, kind: str = "code") -> bytes:
    """Compile a kernel by NVRTC, which needs no device."""
    from cupy.cuda import nvrtc

    known = nvrtc.getSupportedArchs()
    if architecture < min(known):
        version = ".".join(map(str, nvrtc.getVersion()))
        raise BackendUnavailableError(
            f"backend 'cupy' needs a device of compute capability {min(known) / 10} or "
            f"more with NVRTC {version}, got one of {architecture / 10}: try another CUDA"
        )
    newest = max(each for each in known if each <= architecture)
    exact = newest == architecture and kind == "code"
    arch = f"--gpu-architecture={'sm' if exact else 'compute'}_{newest}"
    compiled = nvrtc.createProgram(text, f"{ENTRY}.cu", (), ())
    try:
        nvrtc.compileProgram(compiled, (*OPTIONS, arch))
        code: bytes = (nvrtc.getCUBIN if exact else nvrtc.getPTX)(compiled)
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(compiled)
        raise RuntimeError(f"NVRTC cannot compile a kernel: {error}\n{log}") from error
    finally:
        nvrtc.destroyProgram(compiled)
    return code


def cached(text: str, architecture: int, folder: Path) -> bytes:
    """Compile a kernel, or take it from the cache folder."""
    from cupy.cuda import nvrtc

    key = repr((text, architecture, OPTIONS, nvrtc.getVersion()))
    name = "update_" + hashlib.sha256(key.encode()).hexdigest()[:32]
    path = folder / f"{name}.cubin"
    with suppress(OSError):
        digest, _, code = path.read_bytes().partition(b"\n")
        if digest == _digest(code):
            return code
    code = translate(text, architecture)
    with suppress(OSError):
        source.keep(path, _digest(code) + b"\n" + code)
    return code


def _digest(code: bytes) -> bytes:
    return hashlib.sha256(code).hexdigest().encode()
