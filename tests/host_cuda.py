"""The CuPy backend without a GPU: its kernels, compiled for the host, run block by block.

The source of a kernel is compiled as it is, by a C++ compiler that may not contract ``a * b
+ c``, with a few words of CUDA's defined before it; each thread runs to its end before the
next one begins, which kernels whose threads share nothing cannot tell. What this shows: the
arithmetic that was written, the cutting into tiles, and everything around the kernels. What
the device's compiler makes of the same source, the tests of its PTX show.
"""

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lookahead_ref as la
import standin
from executors import DECAYS, FAMILY, SINGLE, made, nested
from lookahead_ref.backends import cupy_autograd
from lookahead_ref.backends.cupy import CupyBackend, compiler
from lookahead_ref.backends.numpy import NumpyBackend
from lookahead_ref.stepping import backend as registry
from lookahead_ref.stepping.backend import Program
from support import DECOUPLED, INNER

COMPILER = next((each for each in ("g++", "clang++") if shutil.which(each)), None)

_BEFORE = """
#include <cmath>
using std::abs;
using std::sqrt;
using std::tanh;
static struct { int x; } threadIdx, blockIdx;
#define __device__
#define __global__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(threads)
"""

_ONE = """
namespace kernel_{number} {{
#define {entry} update_{number}
{text}
#undef {entry}
}}
extern "C" void run_{number}(int blocks, const void *table) {{
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < {threads}; ++threadIdx.x)
            update_{number}(*static_cast<const kernel_{number}::Table *>(table));
}}
"""


OPTIMIZERS: dict[str, Any] = made(SINGLE, *DECAYS) | {
    **made({"averaged": la.PolyakAveraging}, ""),
    "a Lookahead, averaged": la.PolyakAveraging(la.Lookahead(INNER["sgd"](), k=2)),
    **dict(list(FAMILY.items())[:4]),
    "a Lookahead in another": la.Lookahead(la.Lookahead(INNER["heavy-ball"](), k=2), k=3),
    "the longest": la.PolyakAveraging(
        nested(3, "interpolate", "interpolate")(INNER["adam"](**DECOUPLED))
    ),
}


class HostCuda:
    """In the place of `lookahead_ref.backends.cupy.backend.Cuda`.

    Parameters
    ----------
    folder : pathlib.Path
        Where kernels are compiled, and found by whoever compiles the same.
    """

    library = standin
    devices = ("the host, as if it were a device",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kernels: dict[str, Callable[[int, Any], None]] = {}
        self.launches: list[int] = []

    def prepare(self, texts: Iterable[str]) -> None:
        """Compile many kernels at once: most of the time goes into starting a compiler."""
        new = [text for text in dict.fromkeys(texts) if text not in self._kernels]
        if not new:
            return
        pieces = [
            _ONE.format(
                number=number, text=text, entry=compiler.ENTRY, threads=compiler.THREADS
            )
            for number, text in enumerate(new)
        ]
        if COMPILER is None:
            pytest.skip("there is no C++ compiler")
        text = "\n".join([_BEFORE, *pieces])
        library = self._folder / f"{hashlib.sha256(text.encode()).hexdigest()}.so"
        if not library.exists():
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                source, made = Path(folder, "kernels.cpp"), Path(folder, "kernels.so")
                source.write_text(text)
                options = ["-std=c++17", "-O1", "-ffp-contract=off", "-w", "-shared"]
                command = [COMPILER, *options, "-fPIC", str(source), "-o", str(made)]
                subprocess.run(command, check=True)
                made.replace(library)
        loaded = ctypes.CDLL(str(library))
        for number, text in enumerate(new):
            run = loaded[f"run_{number}"]
            run.argtypes = [ctypes.c_int, ctypes.c_void_p]
            run.restype = None
            self._kernels[text] = run

    def launcher(self, text: str) -> Callable[[int, Any], None]:
        self.prepare([text])

        def launch(blocks: int, table: Any) -> None:
            self.launches.append(blocks)
            self._kernels[text](blocks, table.ctypes.data)

        return launch

    @staticmethod
    def memory() -> str:
        return "device 0 has 8 MiB, of which 2 MiB are free"


class Recorder(NumpyBackend):
    """NumPy's backend, and a record of what it was asked to compile."""

    def __init__(self) -> None:
        self.programs: dict[tuple[Program, str], None] = {}

    def compile(self, program: Program, dtype: str) -> Any:  # type: ignore[override]
        self.programs[program, dtype] = None
        return NumpyBackend.compile(program, dtype)


def programs(optimizer: Any, params: Any, steps: int = 13) -> list[tuple[Program, str]]:
    """Every program that an optimizer's steps are made of."""
    recorder = Recorder()
    stepper = la.Stepper(optimizer, params, backend=recorder)
    for _ in range(steps):
        stepper.step(params)
    return list(recorder.programs)


def register(cuda: HostCuda, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the CuPy backend on the host a name that `la.backend.load` knows.

    Functions of its arrays can be differentiated.
    """
    cupy_autograd.register(standin.ndarray)
    found = registry.entry_points

    def entries(*, group: str) -> Any:
        made = SimpleNamespace(name="standin", load=lambda: lambda: CupyBackend(cuda=cuda))
        return [*found(group=group), made]

    monkeypatch.setattr(registry, "entry_points", entries)
    return "standin"
