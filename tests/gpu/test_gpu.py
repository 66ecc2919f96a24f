"""What only a GPU can show; run with ``pytest -m gpu``."""

import gc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from conformance.running import results

import lookahead_ref as la
from lookahead_ref import trees
from lookahead_ref.conformance import cases
from support import INNER, assert_same_bits, gradients, mixed_params

pytest.importorskip("cupy")

import cupy
import cupyx

from executors import (
    assert_agrees,
    assert_reads_before_it_writes,
    assert_updates_any_bits,
    elsewhere,
    with_each,
)
from functions import BEYOND, FUNCTIONS
from host_cuda import OPTIMIZERS
from models import MODELS, assert_trains_as_on_the_host

# A device is rarely at hand: a warning of CuPy's must not hide what is to be found out.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]


@pytest.fixture(autouse=True)
def _one_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()


PLACE = elsewhere("cupy", cupy.asarray, cupy.asnumpy)


@with_each(OPTIMIZERS)
def test_updates_have_the_bits_of_the_cpu(optimizer: Any) -> None:
    params = mixed_params()
    assert_agrees(optimizer, params, gradients(params, 200), PLACE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("inner", INNER)
def test_any_bits_at_all_are_updated_as_on_the_cpu(inner: str, dtype: str) -> None:
    assert_updates_any_bits(inner, dtype, 1 << 20, PLACE)


def test_a_gradient_that_is_a_parameter_is_read_before_it_is_written() -> None:
    assert_reads_before_it_writes(PLACE, 100_000)


@pytest.mark.parametrize("profile", sorted({case.profile for case in cases()}))
def test_the_golden_suite_passes(profile: str) -> None:
    from lookahead_ref.conformance.adapters import Stepped

    found = results(lambda: Stepped("cupy"), cases(profile))
    assert [each for each in found if each.status != "passed"] == []


def test_many_arrays_of_odd_lengths_and_alignments_are_updated() -> None:
    rng = np.random.default_rng(0)
    whole = [rng.standard_normal(n % 37 + 4100 * (n % 3) + 1) for n in range(300)]
    params = {str(n): each[n % 2 :] for n, each in enumerate(whole)}
    grads = {name: each * 0.5 for name, each in params.items()}
    device_grads = {
        name: cupy.asarray(np.concatenate([np.zeros(n % 3), each]))[n % 3 :]
        for n, (name, each) in enumerate(grads.items())
    }
    optimizer = INNER["nesterov"]()
    expected, _ = optimizer.step(params, grads, optimizer.init(params))
    stepper = PLACE.stepper(optimizer, params)
    stepper.step(device_grads)
    assert_same_bits(PLACE.back(stepper.params), expected)


def test_a_gradient_that_another_library_made_of_the_parameters_is_read_first() -> None:
    start = {"a": np.arange(1.0, 100_001.0), "b": np.arange(5.0, 100_005.0)}
    stepper = PLACE.stepper(la.SGD(0.5), start)
    shown = stepper.params
    stepper.step({"a": cupy.from_dlpack(shown["b"]), "b": cupy.from_dlpack(shown["a"])})
    wanted = {"a": start["a"] - 0.5 * start["b"], "b": start["b"] - 0.5 * start["a"]}
    assert_same_bits(PLACE.back(stepper.params), wanted)


def test_updates_run_on_the_current_stream() -> None:
    x = np.ones(1 << 22, np.float32)
    stepper = PLACE.stepper(la.SGD(0.5), {"x": x})
    cupy.cuda.Device().synchronize()  # the other stream does not wait for this one
    with cupy.cuda.Stream(non_blocking=True) as stream:
        grad = cupy.ones_like(stepper.params["x"])
        for _ in range(20):
            grad = grad * 1  # written on this stream just before it is read there
            stepper.step({"x": grad})
        stream.synchronize()
        assert_same_bits(PLACE.back(stepper.params), {"x": x - np.float32(10)})


def test_compiled_programs_are_loaded_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lookahead_ref.backends.cupy import CupyBackend, compiler

    x = PLACE.to({"x": np.ones(3)})
    for translate in (compiler.translate, None):
        monkeypatch.setattr(compiler, "translate", translate)
        la.Stepper(la.SGD(0.5), x, backend=CupyBackend(cache=tmp_path)).step(x)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", [each for each in FUNCTIONS if each not in BEYOND])
def test_derivatives_are_those_of_numpy_arrays(name: str) -> None:
    function, host = FUNCTIONS[name]
    arrays = tuple(cupy.asarray(array) for array in host)
    la.value_and_grad(lambda p: anp.sum(p["x"]))({"x": arrays[0]})  # registers CuPy
    for number in range(len(arrays)):
        gradient = autograd.grad(lambda *a: anp.sum(function(*a) ** 2), number)
        found = gradient(*arrays)
        assert isinstance(found, cupy.ndarray)
        wanted = gradient(*host)
        np.testing.assert_allclose(cupy.asnumpy(found), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_a_step_of_training_is_numpys_and_waits_for_nothing(name: str) -> None:
    # CuPy raises where something is copied to the host; kernels compile the first time.
    unmoved = partial(cupyx.allow_synchronize, False)
    assert_trains_as_on_the_host(name, PLACE, unmoved, 2e-4, 2e-5)


def test_memory_holds_params_and_state_once_and_a_step_takes_none() -> None:
    pool = cupy.get_default_memory_pool()
    count = 1 << 22
    params = {"x": cupy.zeros(count, cupy.float32)}
    grads = {"x": cupy.ones(count, cupy.float32)}
    before = pool.used_bytes()
    stepper = la.Stepper(la.Lookahead(la.Adam(0.01), k=2), params, backend="cupy")
    # Params, slow weights, two moments.
    assert pool.used_bytes() - before == 4 * 4 * count
    pool.free_all_blocks()
    held = pool.total_bytes()
    for _ in range(4):
        stepper.step(grads)
    assert pool.total_bytes() == held


def test_out_of_memory_says_how_much_was_asked_and_how_much_there_is() -> None:
    pool = cupy.get_default_memory_pool()
    limit = pool.get_limit()
    params = {"x": cupy.zeros(1 << 22, cupy.float32)}
    pool.set_limit(size=pool.total_bytes() + (1 << 24))
    try:
        with pytest.raises(MemoryError, match=r"allocating [\d,]+ bytes.* MiB are free"):
            la.Stepper(la.Adam(0.01), params, backend="cupy")
    finally:
        pool.set_limit(size=limit)


def test_training_on_the_gpu_comes_out_as_on_the_cpu() -> None:
    from lookahead_ref.data import load_digits
    from lookahead_ref.training import train
    from lookahead_ref.zoo import MLP

    results = [
        train(
            MLP((64, 32, 10), backend=backend),
            load_digits(),
            la.Lookahead(la.Adam(0.003), k=5),
            seed=0,
            epochs=3,
            batch_size=64,
            backend=backend,
        )
        for backend in ("numpy", "cupy")
    ]
    losses = [result.history[-1].validation_loss for result in results]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert all(
        isinstance(leaf, np.ndarray) for leaf in trees.flatten(results[1].params).values()
    )
