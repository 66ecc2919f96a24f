"""Derivatives of functions of device arrays, on the strict stand-in."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import autograd
import autograd.numpy as np
import numpy as onp  # noqa: ICN001 - as autograd has it
import pytest
from autograd.core import VJPNode, primitive_vjps, vspace
from autograd.numpy import numpy_wrapper
from autograd.test_util import check_grads

import lookahead_ref as la
from lookahead_ref import gradients
from lookahead_ref.kernels import GENERAL
from lookahead_ref.zoo.layers import lstm_layer

pytest.importorskip("cupy")

import standin
from functions import BEYOND, FUNCTIONS, MISSING, MOVE
from lookahead_ref.backends import cupy_autograd
from lookahead_ref.backends.cupy.kernels import CupyLayers

cupy_autograd.register(standin.ndarray)


def moved(arrays: Any, dtype: Any = onp.float64) -> tuple[Any, ...]:
    return tuple(standin.asarray(array.astype(dtype)) for array in arrays)


@pytest.mark.parametrize("dtype", [onp.float32, onp.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_those_of_numpy_arrays_and_stay_on_the_device_in_their_dtype(
    name: str, dtype: Any
) -> None:
    function, host = FUNCTIONS[name]
    arrays = moved(host, dtype)
    loss = lambda *a: np.sum(function(*a) ** 2)  # noqa: E731
    for number in range(len(arrays)):
        # The gradient as the rules left it, before anything is cast.
        with nullcontext() if name in MOVE else standin.moves():
            vjp, value = autograd.make_vjp(loss, number)(*arrays)
            found = vjp(vspace(value).ones())
        assert isinstance(found, standin.ndarray)
        assert found.dtype == dtype
        if name not in BEYOND and dtype == onp.float64:
            wanted = autograd.grad(loss, number)(*host)
            onp.testing.assert_allclose(found.get(), wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_and_their_derivatives_agree_with_differences(name: str) -> None:
    function, host = FUNCTIONS[name]
    check_grads(function, modes=["rev"], order=2)(*moved(host))


@pytest.mark.parametrize("name", MISSING)
def test_missing_derivatives_are_refused_and_exist_on_the_host(name: str) -> None:
    function, host = MISSING[name]
    loss = lambda *a: np.sum(function(*a))  # noqa: E731
    autograd.grad(loss)(*host)
    with pytest.raises((TypeError, NotImplementedError)):
        autograd.grad(loss)(*moved(host))


def test_autograds_functions_are_differentiated_or_listed_as_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: set[Any] = set()

    def record(self: Any, value: Any, function: Any, *rest: Any) -> None:
        called.add(function)
        self.parents = []

    # On the host, with autograd's list of functions.
    monkeypatch.setattr(VJPNode, "__init__", record)
    for function, host in {**FUNCTIONS, **MISSING}.values():
        for number in range(len(host)):
            autograd.make_vjp(function, number)(*host)
    by_name = {
        name: function
        for name, function in vars(np).items()
        if callable(function) and not isinstance(function, type)
    }
    differentiated = {
        name for name, function in by_name.items() if function in primitive_vjps
    }
    assert len(differentiated) > 100
    assert {name for name in differentiated if by_name[name] not in called} == set()


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


def test_a_library_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    class Array(standin.ndarray):
        pass

    entry = SimpleNamespace(load=lambda: cupy_autograd.register)
    entries = mock.Mock(return_value=[entry])
    Array.__module__ = "standin.arrays"
    monkeypatch.setattr(gradients, "entry_points", entries)
    x = Array(onp.ones(3))
    for _ in range(2):
        _, grads = la.value_and_grad(lambda p: np.sum(p["x"] * 2.0))({"x": x})
    assert grads["x"].tolist() == [2.0, 2.0, 2.0]
    entries.assert_called_once_with(group="lookahead_ref.gradients", name="standin")


def test_value_and_grad_moves_nothing_and_gives_memory_to_each() -> None:
    a, b, unused = moved([onp.ones(3)] * 3, onp.float32)
    with standin.moves():
        value, grads = la.value_and_grad(lambda p: np.sum(p["a"] + p["b"]))(
            {"a": a, "b": b, "without influence": unused}
        )
    assert isinstance(value, standin.ndarray)
    assert value.shape == ()
    grads["a"] += 1
    for name, expected in (("a", 2.0), ("b", 1.0), ("without influence", 0.0)):
        assert isinstance(grads[name], standin.ndarray)
        assert grads[name].dtype == onp.float32
        assert grads[name].tolist() == [expected] * 3


def test_wider_inputs_of_an_lstm_are_computed_in_its_weights_dtype(cuda: Any) -> None:
    # A kernel knows addresses, and reads there what it was written for.
    rng = onp.random.default_rng(0)
    shapes = [(3, 5, 4), (5, 70), (5, 70), (4, 280), (70, 280), (280,)]
    x, *weights = (rng.standard_normal(each).astype(onp.float32) for each in shapes)
    factors = onp.linspace(-1, 1, 3 * 5 * 70).reshape(3, 5, 70)

    def gradients(move: Any, kernels: Any, dtype: Any) -> Any:
        narrow, scale = [move(each) for each in weights], move(factors.astype(dtype))

        def loss(params: Any) -> Any:
            return np.sum(lstm_layer(params["x"], *narrow, kernels=kernels).outputs * scale)

        return la.value_and_grad(loss)({"x": move(x.astype(dtype))})

    wanted, expected = gradients(onp.asarray, GENERAL, onp.float32)
    found, got = gradients(standin.asarray, CupyLayers(cuda), onp.float64)
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    onp.testing.assert_allclose(got["x"].get(), expected["x"], rtol=1e-4, atol=1e-6)


def test_device_and_host_do_not_mix_by_mistake() -> None:
    with pytest.raises(TypeError, match="does not mix"):
        autograd.grad(lambda x: np.sum(x * onp.ones(3)))(*moved([onp.ones(3)]))


def test_complex_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        vspace(standin.asarray(onp.array([1j])))
