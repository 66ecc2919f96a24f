"""Derivatives of functions of device arrays, on the strict stand-in."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import autograd
import autograd.numpy as np
import numpy as onp  # noqa: ICN001 - as autograd has it
import pytest
from autograd.core import primitive_vjps, vspace
from autograd.numpy import numpy_wrapper
from autograd.test_util import check_grads

import lookahead_ref as la
from lookahead_ref import gradients

pytest.importorskip("cupy")

import standin
from lookahead_ref.backends import cupy_autograd

cupy_autograd.register(standin.ndarray)


def draw(*shape: int, dtype: Any = onp.float64, seed: int = 0) -> Any:
    values = onp.random.default_rng(seed).uniform(0.5, 1.5, shape)
    return standin.asarray(values.astype(dtype))


M, N, V = draw(3, 4), draw(4, 5, seed=1), draw(4, seed=2)
B = draw(2, 3, 4, seed=3)
S = draw(3, 3, seed=4)
MASK = M > 1.0
ROWS = standin.asarray(onp.array([2, 0, 2]))

FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "sum": (lambda x: np.sum(x), (B,)),
    "sum over an axis": (lambda x: np.sum(x, axis=-2), (B,)),
    "sum over axes, kept": (lambda x: np.sum(x, axis=(0, 2), keepdims=True), (B,)),
    "sum, the method": (lambda x: x.sum(1), (B,)),
    "mean": (lambda x: np.mean(x), (B,)),
    "mean over axes": (lambda x: np.mean(x, axis=(0, -1)), (B,)),
    "prod": (lambda x: np.prod(x, axis=1), (B,)),
    "var": (lambda x: np.var(x, axis=1, ddof=1), (B,)),
    "std": (lambda x: np.std(x, axis=(0, 1)), (B,)),
    "max": (lambda x: np.max(x), (B,)),
    "max over an axis": (lambda x: np.max(x, axis=1, keepdims=True), (B,)),
    "min over axes": (lambda x: np.min(x, axis=(0, 2)), (B,)),
    "cumsum": (lambda x: np.cumsum(x, axis=1), (M,)),
    "add, broadcast": (lambda x, y: x + y, (B, V)),
    "subtract, from a number": (lambda x: 3.0 - x, (M,)),
    "multiply, broadcast": (lambda x, y: x * y, (V, B)),
    "divide": (lambda x, y: x / y, (M, V)),
    "divide a number": (lambda x: 2.0 / x, (M,)),
    "power of a number": (lambda x: x**3, (M,)),
    "power one": (lambda x: x**1.0, (M,)),
    "power of an array": (lambda x, y: x**y, (M, V)),
    "a number to the power": (lambda x: 2.0**x, (M,)),
    "maximum": (lambda x, y: np.maximum(x, y), (M, V)),
    "maximum with a number": (lambda x: np.maximum(x, 1.0), (M,)),
    "minimum": (lambda x, y: np.minimum(x, y), (M, V)),
    "exp, log, sqrt, tanh": (lambda x: np.exp(np.sqrt(x)) + np.tanh(np.log(x)), (M,)),
    "exp2, log2, log10, log1p": (
        lambda x: np.exp2(x) + np.log2(x) * np.log10(x + 1.0) - np.log1p(x),
        (M,),
    ),
    "sin, cos, arctan": (lambda x: np.sin(x) * np.cos(x) + np.arctan(x), (M,)),
    "abs, negative, square": (lambda x: np.abs(-x) + np.square(x), (M,)),
    "clip": (lambda x: np.clip(x, 0.7, 1.2), (M,)),
    "where": (lambda x, y: np.where(MASK, x, y), (M, draw(3, 4, seed=7))),
    "where, broadcast": (lambda x, y: np.where(MASK, x, y), (V, M)),
    "where, with a number": (lambda x: np.where(MASK, x, 0.0), (M,)),
    "logaddexp": (lambda x, y: np.logaddexp(x, y), (M, V)),
    "matmul": (lambda x, y: x @ y, (M, N)),
    "matmul, batched": (lambda x, y: np.matmul(x, y), (B, N)),
    "matmul with a vector": (lambda x, y: x @ y, (B, V)),
    "matmul of a vector": (lambda x, y: x @ y, (V, N)),
    "matmul of vectors": (lambda x, y: x @ y, (V, draw(4, seed=8))),
    "dot": (lambda x, y: np.dot(x, y), (M, N)),
    "dot of vectors": (lambda x, y: np.dot(x, y), (V, draw(4, seed=8))),
    "dot with a vector": (lambda x, y: np.dot(x, y), (B, V)),
    "dot of a vector": (lambda x, y: np.dot(x, y), (V, N)),
    "dot of many dimensions": (lambda x, y: np.dot(x, y), (B, draw(2, 4, 3, seed=9))),
    "dot with a scalar": (lambda x, y: np.dot(x, y), (M, draw())),
    "inner": (lambda x, y: np.inner(x, y), (B, M)),
    "outer": (lambda x, y: np.outer(x, y), (V, draw(3, seed=5))),
    "tensordot": (lambda x, y: np.tensordot(x, y, axes=1), (B, N)),
    "tensordot over pairs": (
        lambda x, y: np.tensordot(x, y, axes=([2, 0], [0, 1])),
        (B, draw(4, 2, 5, seed=6)),
    ),
    "tensordot over everything": (
        lambda x, y: np.tensordot(x, y, axes=([0, 1], [1, 0])),
        (M, draw(4, 3, seed=6)),
    ),
    "einsum": (lambda x, y: np.einsum("bij,jk->bik", x, y), (B, N)),
    "einsum with an ellipsis": (lambda x, y: np.einsum("...j,jk->...k", x, y), (B, N)),
    "einsum that sums": (lambda x, y: np.einsum("bij,jk->k", x, y), (B, N)),
    "einsum that sums and repeats": (
        lambda x, y: np.einsum("...ij,...jk->...k", x, y),
        (draw(1, 3, 4), draw(2, 4, 5, seed=6)),
    ),
    "einsum of one": (lambda x: np.einsum("bij->jb", x), (B,)),
    "einsum, implicit": (lambda x, y: np.einsum("ij,jk", x, y), (M, N)),
    "reshape": (lambda x: np.reshape(x, (4, 6)), (B,)),
    "reshape, the method": (lambda x: x.reshape(6, 4) * x.reshape((6, 4)), (B,)),
    "ravel, flatten": (lambda x: np.ravel(x) * x.flatten(), (B,)),
    "transpose": (lambda x: np.transpose(x, (1, 2, 0)), (B,)),
    "transpose, reversed": (lambda x: x.T, (B,)),
    "swapaxes, moveaxis": (lambda x: np.moveaxis(np.swapaxes(x, 0, 1), 2, 0), (B,)),
    "expand_dims, squeeze": (lambda x: np.squeeze(np.expand_dims(x, 1)), (M,)),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 3, 4)), (V,)),
    "broadcast_to of ones": (lambda x: np.broadcast_to(x, (2, 3, 4)), (draw(3, 1),)),
    "concatenate": (lambda x, y: np.concatenate([x, y], axis=0), (M, draw(2, 4))),
    "stack": (lambda x, y: np.stack([x, y, x]), (M, draw(3, 4, seed=7))),
    "vstack, hstack": (lambda x: np.vstack([x, x]) * np.hstack([x[0], x[1, :0]]), (M,)),
    "array of scalars": (lambda x: np.array([x[0], 2.0, x[1] * x[2]]), (V,)),
    "array of an array": (lambda x: np.array(x), (V,)),
    "append": (lambda x: np.append(x, x), (V,)),
    "split": (lambda x: np.split(x, 2, axis=1)[1], (M,)),
    "repeat, tile": (lambda x: np.repeat(x, 2, axis=1) * np.tile(x, (1, 2)), (M,)),
    "roll, flip": (lambda x: np.roll(x, 1, axis=0) * np.flipud(np.fliplr(x)), (M,)),
    "pad": (lambda x: np.pad(x, ((1, 0), (0, 2)), mode="constant"), (M,)),
    "an element": (lambda x: x[1, 2], (M,)),
    "slices": (lambda x: x[..., ::2, 1:] * x[..., ::2, :-1], (B,)),
    "a new axis": (lambda x: x[:, None] * x, (V,)),
    "rows, twice": (lambda x: x[ROWS], (M,)),
    "rows and columns": (lambda x: x[ROWS, ROWS], (M,)),
    "a list of rows": (lambda x: x[[0, 0, 2]], (M,)),
    "diag": (lambda x: np.diag(x), (S,)),
    "diagonal": (lambda x: np.diagonal(x, axis1=-1, axis2=-2), (draw(2, 3, 3),)),
    "trace": (lambda x: np.trace(x), (S,)),
    "triu": (lambda x: np.triu(x), (S,)),
    "sort": (lambda x: np.sort(x), (V,)),
    "diff": (lambda x: np.diff(x, axis=0), (M,)),
    "kron": (lambda x, y: np.kron(x, y), (M, S)),
    "astype": (lambda x: x.astype(onp.float64), (M,)),
}

# Where autograd's own rule fails, or returns another shape than that of the argument.
BEYOND = {"where, broadcast", "broadcast_to", "broadcast_to of ones"}


def on_host(value: Any) -> Any:
    return value.get() if isinstance(value, standin.ndarray) else value


def host_gradients(function: Callable[..., Any], arrays: tuple[Any, ...]) -> list[Any]:
    """The same by autograd's own rules, of NumPy arrays."""
    host = [on_host(array) for array in arrays]
    places = {id(array): on_host(array) for array in (MASK, ROWS, V)}
    swapped = type(function)(
        function.__code__,
        {
            **function.__globals__,
            **{name: places[id(globals()[name])] for name in ("MASK", "ROWS", "V")},
        },
    )
    return [
        autograd.grad(lambda *a: np.sum(swapped(*a) ** 2), number)(*host)
        for number in range(len(host))
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_those_of_numpy_arrays_and_stay_on_the_device(name: str) -> None:
    function, arrays = FUNCTIONS[name]
    for number in range(len(arrays)):
        before = standin.counted()
        found = autograd.grad(lambda *a: np.sum(function(*a) ** 2), number)(*arrays)
        moved = standin.counted() - before
        assert isinstance(found, standin.ndarray)
        assert found.dtype == arrays[number].dtype
        if name != "a list of rows":  # an index on the host must get to the device
            assert moved == standin.Transfers()
        if name not in BEYOND:
            wanted = host_gradients(function, arrays)[number]
            onp.testing.assert_allclose(on_host(found), wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_and_their_derivatives_agree_with_differences(name: str) -> None:
    function, arrays = FUNCTIONS[name]
    check_grads(function, modes=["rev"], order=2)(*arrays)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_computed_in_float32_stays_in_float32(name: str) -> None:
    if name == "astype":
        return
    function, arrays = FUNCTIONS[name]
    arrays = tuple(array.astype(onp.float32) for array in arrays)
    seen: set[str] = set()
    loss = lambda *a: np.sum(function(*a))  # noqa: E731
    for number in range(len(arrays)):
        # The gradient as the rules left it, before anything is cast.
        vjp, value = autograd.make_vjp(loss, number)(*arrays)
        seen.add(str(vjp(vspace(value).ones()).dtype))
    if name not in {"where, with a number", "where, broadcast", "array of scalars"}:
        assert seen == {"float32"}


def test_autograd_s_own_rules_and_functions_stay_the_same_objects() -> None:
    program = """
import autograd.numpy as np
import numpy as onp  # noqa: ICN001 - as autograd has it
from autograd.core import VJPNode, VSpace, make_vjp, primitive_vjps
from autograd.numpy import numpy_wrapper
from autograd.tracer import Box, notrace_primitives

rules, spaces, boxes = dict(primitive_vjps), dict(VSpace.mappings), dict(Box.type_mappings)
functions, inner = dict(vars(np)), dict(vars(numpy_wrapper))
untraced = {kind: set(found) for kind, found in notrace_primitives.items()}

import standin
from lookahead_ref.backends import cupy_autograd

cupy_autograd.register(standin.ndarray)
for before, after in (
    (rules, primitive_vjps), (spaces, VSpace.mappings), (boxes, Box.type_mappings)
):
    assert before.items() <= after.items()
assert vars(np) == functions
assert {name for name in inner if getattr(numpy_wrapper, name) is not inner[name]} == {
    "concatenate_args", "array_from_args", "_array_from_scalar_or_array"
}
for kind, found in untraced.items():
    assert notrace_primitives[kind] == found

# What is traced of NumPy arrays is what autograd traces.
nodes = []
made = VJPNode.__init__

def record(self, value, function, *rest):
    nodes.append((type(self), function))
    made(self, value, function, *rest)

VJPNode.__init__ = record
x = onp.arange(6.0).reshape(2, 3)
vjp, value = make_vjp(
    lambda x: np.sum(np.concatenate([x, np.array([x[0], x[1]])]) * np.array(x[0])), x
)
assert {kind for kind, _ in nodes} == {VJPNode}
assert {function for _, function in nodes} >= {
    inner[name]
    for name in ("concatenate_args", "array_from_args", "_array_from_scalar_or_array")
}
assert vjp(1.0).tolist() == [[6.0, 12.0, 18.0], [0.0, 2.0, 4.0]]
"""
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(standin.__file__).parent)},
    )


def test_to_register_twice_changes_nothing() -> None:
    rules = dict(primitive_vjps)
    chosen = numpy_wrapper.concatenate_args
    cupy_autograd.register(standin.ndarray)
    assert rules == primitive_vjps
    assert numpy_wrapper.concatenate_args is chosen


def test_value_and_grad_learns_of_a_library_by_its_entry_point(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Array(standin.ndarray):
        pass

    asked = []

    def entries(*, group: str, name: str) -> Any:
        asked.append((group, name))
        return [SimpleNamespace(load=lambda: cupy_autograd.register)]

    Array.__module__ = "standin.arrays"
    monkeypatch.setattr(gradients, "entry_points", entries)
    x = Array(onp.ones(3))
    for _ in range(2):
        _, grads = la.value_and_grad(lambda p: np.sum(p["x"] * 2.0))({"x": x})
    assert grads["x"].tolist() == [2.0, 2.0, 2.0]
    assert asked == [("lookahead_ref.gradients", "standin")]


def test_value_and_grad_moves_nothing_and_gives_memory_to_each() -> None:
    params = {"a": draw(3, dtype=onp.float32), "b": draw(3, dtype=onp.float32, seed=1)}
    before = standin.counted()
    value, grads = la.value_and_grad(lambda p: np.sum(p["a"] + p["b"]))(params)
    assert standin.counted() - before == standin.Transfers()
    assert isinstance(value, standin.ndarray)
    assert value.shape == ()
    grads["a"] += 1
    assert grads["a"].tolist() == [2.0] * 3
    assert grads["b"].tolist() == [1.0] * 3
    assert grads["a"].dtype == onp.float32


def test_a_parameter_without_influence_has_zeros_on_the_device() -> None:
    params = {"a": draw(2), "b": draw(3)}
    _, grads = la.value_and_grad(lambda p: np.sum(p["a"]))(params)
    assert isinstance(grads["b"], standin.ndarray)
    assert grads["b"].tolist() == [0.0] * 3


def test_device_and_host_do_not_mix_by_mistake() -> None:
    with pytest.raises(TypeError, match="does not mix"):
        autograd.grad(lambda x: np.sum(x * onp.ones(3)))(draw(3))


def test_complex_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        vspace(standin.asarray(onp.array([1j])))
