"""Every name of CuPy's that the library uses is there; to look needs no GPU."""

import ast
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pytest

pytest.importorskip("cupy")

import cupy
from array_api_compat import cupy as compatible

import device
import lookahead_ref
from lookahead_ref import backends

SOURCES = [
    *Path(device.__file__).parent.rglob("*.py"),
    *Path(lookahead_ref.__file__).parent.rglob("*.py"),
    *Path(backends.__file__).parent.rglob("*.py"),
]

# Where an array's own namespace goes by these names, and how it is asked for.
NAMESPACES = {"xp", "_xp", "_library"}
ASKED = {"namespace", "array_namespace", "_library"}

# Looked up only once an array is known to be NumPy's.
OF_NUMPY_ALONE = {"memmap"}

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

# Written for NumPy, and for it alone.
HOST = {"conformance", "data", "experiments", "report", "theory", "training"}


def cupy_s_own(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            place, *words = ast.unparse(node).split(".")
            if place == "cupy" and all(word.isidentifier() for word in words):
                yield ".".join(words)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cupy"):
            place = (node.module or "").split(".")[1:]
            yield from (".".join([*place, each.name]) for each in node.names)


def of_a_namespace(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            called = isinstance(owner, ast.Call)
            word = ast.unparse(owner.func if called else owner).rpartition(".")[2]
            if word in (ASKED if called else NAMESPACES):
                yield node.attr


def parsed() -> Iterator[tuple[Path, ast.AST]]:
    for path in SOURCES:
        if not HOST & set(path.parts):
            yield path, ast.parse(path.read_text("utf-8"))


def test_the_backend_uses_names_that_cupy_has() -> None:
    used = {name for _, tree in parsed() for name in cupy_s_own(tree)}
    assert {"cuda.Device", "cuda.nvrtc", "cuda.runtime.getDeviceCount"} <= used
    for name in used:
        reduce(getattr, name.split("."), cupy)


@pytest.mark.parametrize("place", OF_OBJECTS)
def test_the_used_parts_of_cupy_exist(place: str) -> None:
    found = reduce(getattr, place.split("."), cupy)
    assert OF_OBJECTS[place] <= set(dir(found))


def test_models_and_rules_use_names_that_cupy_s_namespaces_have() -> None:
    used = {name: path for path, tree in parsed() for name in of_a_namespace(tree)}
    assert {"sqrt", "zeros_like", "matmul", "take", "ascontiguousarray"} <= used.keys()
    assert "copyto" in used
    missing = {
        name: str(path)
        for name, path in used.items()
        if not hasattr(cupy, name)
        and not hasattr(compatible, name)
        and not name.startswith("__")
        and name not in OF_NUMPY_ALONE
    }
    assert missing == {}


def test_a_missing_name_would_be_found() -> None:
    tree = ast.parse("cupy.cuda.NoSuch; namespace(x).no_such(xp.nor_this)")
    assert list(cupy_s_own(tree)) == ["cuda.NoSuch", "cuda"]
    assert set(of_a_namespace(tree)) == {"no_such", "nor_this"}
