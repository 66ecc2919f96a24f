"""CuPy has every name that the library uses; checking that needs no GPU."""

import ast
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pytest

pytest.importorskip("cupy")

import cupy

import device
import lookahead_ref
from lookahead_ref import backends

SOURCES = [
    *Path(device.__file__).parent.rglob("*.py"),
    *Path(lookahead_ref.__file__).parent.rglob("*.py"),
    *Path(backends.__file__).parent.rglob("*.py"),
]

# What is used of objects that CuPy makes.
OF_OBJECTS = {
    "cuda.Device": {"id", "compute_capability", "mem_info", "__enter__", "__exit__"},
    "cuda.Event": {"record", "synchronize"},
    "cuda.MemoryPointer": {"mem", "ptr"},
    "cuda.MemoryPool": {"free_bytes", "free_all_blocks", "total_bytes", "used_bytes"},
    "cuda.function.Module": {"load", "get_function"},
    "cuda.nvrtc.NVRTCError": {"add_note"},
    "ndarray": {"base", "data", "nbytes", "device", "copy", "reshape", "view", "get"},
}


def cupy_s_own(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            place, *words = ast.unparse(node).split(".")
            if place == "cupy" and all(word.isidentifier() for word in words):
                yield ".".join(words)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cupy"):
            place = (node.module or "").split(".")[1:]
            yield from (".".join([*place, each.name]) for each in node.names)


def test_the_backend_uses_names_that_cupy_has() -> None:
    trees = (ast.parse(path.read_text("utf-8")) for path in SOURCES)
    used = {name for tree in trees for name in cupy_s_own(tree)}
    assert {"cuda.Device", "cuda.nvrtc", "cuda.runtime.getDeviceCount"} <= used
    for name in used:
        reduce(getattr, name.split("."), cupy)


@pytest.mark.parametrize("place", OF_OBJECTS)
def test_the_used_parts_of_cupy_exist(place: str) -> None:
    found = reduce(getattr, place.split("."), cupy)
    assert OF_OBJECTS[place] <= set(dir(found))


def test_a_missing_name_would_be_found() -> None:
    tree = ast.parse("cupy.cuda.NoSuch")
    assert list(cupy_s_own(tree)) == ["cuda.NoSuch", "cuda"]
