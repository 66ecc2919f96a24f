"""The CuPy backend, as far as it can be tested without a GPU."""

import json
import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import lookahead_ref as la
from commands import called, refused, results, succeeded
from lookahead_ref.backends.cupy import CupyBackend, compiler, kernels
from lookahead_ref.stepping.backend import BackendUnavailableError, Program, explained, load
from support import INNER, assert_same_bits, gradients, mixed_params

pytest.importorskip("cupy")

import standin
from executors import (
    Place,
    assert_agrees,
    assert_reads_before_it_writes,
    assert_updates_any_bits,
    elsewhere,
    with_each,
)
from host_cuda import OPTIMIZERS, HostCuda, programs

PACKAGE = "lookahead_ref.backends"


def every_program(
    optimizers: Iterable[Any] = OPTIMIZERS.values(), params: Any = None
) -> list[tuple[Program, str]]:
    found = [programs(each, params or mixed_params()) for each in optimizers]
    return list(dict.fromkeys(program for each in found for program in each))


def text(inner: str) -> str:
    """A kernel in float32."""
    return compiler.write(programs(INNER[inner](), mixed_params())[0][0], "float32").text


def nvrtc_is_there() -> bool:
    from cupy.cuda import nvrtc

    try:
        nvrtc.getVersion()
    except Exception:  # NVIDIA's loader may raise anything
        return False
    return True


def nvrtc_was_installed_here() -> bool:
    """Whether it is a package of this very environment, as the extra ``test`` makes it.

    Packages that a `.pth` file adds from elsewhere do not count: CuPy does not look there.
    """
    try:
        found = metadata.distribution("nvidia-cuda-nvrtc-cu12")
    except metadata.PackageNotFoundError:
        return False
    return Path(str(found.locate_file(""))).is_relative_to(sys.prefix)


# If it is installed but does not load, tests must fail, not be skipped.
needs_nvrtc = pytest.mark.skipif(
    not nvrtc_was_installed_here() and not nvrtc_is_there(), reason="NVRTC is not installed"
)


# The code for the device.


@pytest.mark.slow
@needs_nvrtc
def test_no_kernel_flushes_subnormals_or_contracts_products_into_sums() -> None:
    found = every_program()
    assert len(found) > 60
    for program, dtype in found:
        ptx = compiler.translate(
            compiler.write(program, dtype).text, 90, kind="ptx"
        ).decode()
        number = {"float32": "f32", "float64": "f64"}[dtype]
        assert f"ld.global.v{16 // np.dtype(dtype).itemsize}.{number}" in ptx
        assert ".local" not in ptx, "the table was copied to slow memory"
        arithmetic = re.findall(
            r"\b(add|sub|mul|div|sqrt|fma|mad|rcp|rsqrt)\.(\S*f\d\d)", ptx
        )
        assert arithmetic
        for operation, kind in arithmetic:
            # Without .rn the assembler would be free to contract; .ftz would stand between.
            assert (operation, kind) in {
                (each, f"rn.{number}") for each in ("add", "sub", "mul", "div", "sqrt")
            }
        assert "ftz" not in ptx
        assert "approx" not in ptx


@needs_nvrtc
def test_the_check_of_the_ptx_finds_flushing_and_fusing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiler, "OPTIONS", ("--ftz=true", "--std=c++17"))
    ptx = compiler.translate(text("adam"), 90, kind="ptx").decode()
    assert "fma.rn.ftz.f32" in ptx


@needs_nvrtc
@pytest.mark.parametrize("architecture", [60, 75, 80, 90, 120])
def test_kernels_compile_for_old_and_new_devices(architecture: int) -> None:
    from cupy.cuda import nvrtc

    if architecture not in nvrtc.getSupportedArchs():
        pytest.skip("this NVRTC does not know it")
    assert compiler.translate(text("adam"), architecture).startswith(b"\x7fELF")


@needs_nvrtc
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("body", [kernels._FORWARD, kernels._BACKWARD])
def test_kernels_of_layers_compute_in_their_dtype(body: str, dtype: str) -> None:
    ptx = compiler.translate(kernels.source(body, dtype), 90, kind="ptx").decode()
    if dtype == "float32":
        assert ".f64" not in ptx


@needs_nvrtc
def test_a_device_newer_than_nvrtc_gets_ptx() -> None:
    assert b".entry update" in compiler.translate(text("sgd"), 999)


@needs_nvrtc
def test_a_device_too_old_for_nvrtc_is_reported_in_one_line() -> None:
    message = r"capability \d+\.\d or more .* 3\.5:"
    with pytest.raises(BackendUnavailableError, match=message):
        compiler.translate(text("sgd"), 35)


@needs_nvrtc
def test_a_kernel_that_does_not_compile_is_shown_with_the_compiler_s_words() -> None:
    with pytest.raises(RuntimeError, match="no_such_type"):
        compiler.translate("no_such_type x;", 90)


@needs_nvrtc
def test_compiled_kernels_are_kept_and_a_file_that_was_cut_short_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = text("sgd")
    code = compiler.cached(kernel, 90, tmp_path)
    (file,) = tmp_path.iterdir()
    for damage in (b"", b"\n", file.read_bytes()[:-9]):
        file.write_bytes(damage)
        assert compiler.cached(kernel, 90, tmp_path) == code
    compiler.cached(kernel, 80, tmp_path)
    compiler.cached(kernel + "// edited", 90, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(compiler, "translate", None)
    assert compiler.cached(kernel, 90, tmp_path) == code


@needs_nvrtc
def test_a_cache_that_cannot_be_written_to_is_done_without(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert compiler.cached(text("sgd"), 90, blocked / "cache")


# The kernels' own arithmetic, run by the host.


@pytest.fixture
def place(cuda: HostCuda) -> Place:
    return elsewhere(CupyBackend(cuda=cuda), standin.asarray, standin.asnumpy)


@pytest.fixture(scope="module")
def _every_kernel(cuda: HostCuda) -> None:
    cuda.prepare(compiler.write(*each).text for each in every_program())


@pytest.mark.slow
@pytest.mark.usefixtures("_every_kernel")
@with_each(OPTIMIZERS)
def test_kernels_have_the_bits_of_the_pure_interface(optimizer: Any, place: Place) -> None:
    params = mixed_params()
    assert_agrees(optimizer, params, gradients(params, 40), place)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_bits_are_updated_as_by_numpy(dtype: str, cuda: HostCuda, place: Place) -> None:
    around = [
        la.Lookahead(make(), k=2, inner_state="interpolate") for make in INNER.values()
    ]
    found = every_program(around, {"x": np.ones(1, dtype)})
    cuda.prepare(compiler.write(*each).text for each in found)
    for inner in INNER:
        assert_updates_any_bits(inner, dtype, 1 << 14, place)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_length_and_alignment_is_updated_once_and_nothing_beside_it(
    dtype: str, cuda: HostCuda
) -> None:
    program = programs(INNER["sgd"](), {"x": np.zeros(1, dtype)})[0][0]
    source = compiler.write(program, dtype)
    launch = cuda.launcher(source.text)
    lengths = [0, 1, 2, 3, 5, 4095, 4096, 4097, 8192, 12289, 0, 16]
    lengths += [7] * (2 * source.arrays)
    rng = np.random.default_rng(0)
    found, expected, arrays = {}, {}, []
    for number, length in enumerate(lengths):
        x, g = (rng.standard_normal(length + 9).astype(dtype) for _ in range(2))
        # Every second array begins beside a boundary of sixteen bytes.
        part = slice(4 + number % 2, 4 + number % 2 + length)
        found |= {f"x{number}": x, f"g{number}": g}
        expected |= {f"x{number}": x.copy(), f"g{number}": g.copy()}
        expected[f"x{number}"][part] -= np.dtype(dtype).type(0.5) * g[part]
        arrays.append(([each[part].ctypes.data for each in (x, g)], length))
    launches = compiler.fill(source, arrays)
    assert len(launches) == -(-(len(lengths) - 2) // source.arrays)
    for blocks, table, _ in launches:
        table["scalars"][...] = 0.5
        launch(blocks, table)
    assert_same_bits(found, expected)


def test_a_step_is_as_few_launches_as_can_be(cuda: HostCuda, place: Place) -> None:
    params = {
        f"{dtype}{n}": np.full(n % 5, n, dtype)
        for n in range(60)
        for dtype in ("float32", "float64")
    }
    optimizer = la.Lookahead(la.Adam(0.1), k=2)
    stepper = place.stepper(optimizer, params)
    for _ in range(2):
        cuda.launches.clear()
        stepper.step(place.to(params))
        # Both dtypes; a launch has room for 78 arrays with a Lookahead's five buffers.
        assert len(cuda.launches) == 2
        assert sum(cuda.launches) == 2 * 48


def test_the_argument_of_a_kernel_fits_where_arguments_go() -> None:
    for program, dtype in every_program():
        source = compiler.write(program, dtype)
        assert source.arguments.itemsize <= 4096
        assert source.arrays >= 20


# The backend around them.


def test_a_numpy_array_is_refused_by_name(place: Place) -> None:
    with pytest.raises(TypeError, match=r"params\['x'\] must be a CuPy array.* numpy"):
        la.Stepper(la.SGD(0.1), {"x": np.zeros(2)}, backend=place.backend)


def test_a_gradient_that_is_a_parameter_is_read_before_it_is_written(place: Place) -> None:
    assert_reads_before_it_writes(place, 8)


def test_a_gradient_on_another_device_is_refused_before_any_update(place: Place) -> None:
    class Elsewhere(standin.ndarray):
        device = SimpleNamespace(id=1)

    start = {"a": np.ones(2), "b": np.ones(3)}
    stepper = place.stepper(la.SGD(0.5), start)
    there = {"a": standin.asarray(np.ones(2)), "b": Elsewhere(np.ones(3))}
    with pytest.raises(ValueError, match=r"grads must be on device 0.* on device 1"):
        stepper.step(there)
    assert_same_bits(place.back(stepper.params), start)
    stepper.step(place.to(start))
    halves = {"a": np.full(2, 0.5), "b": np.full(3, 0.5)}
    assert_same_bits(place.back(stepper.params), halves)


def test_arrays_come_from_the_host_and_go_back(place: Place) -> None:
    moving = place.backend
    host = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    device = moving.from_host(host)
    assert moving.from_host(device) is device
    assert_same_bits({"x": moving.to_host(device)}, {"x": host})
    assert moving.to_host(host) is host


def test_out_of_memory_says_how_much_was_asked_and_how_much_there_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cupy.cuda.memory import OutOfMemoryError

    fail = mock.Mock(side_effect=OutOfMemoryError(4_000_000_000, 1_000))
    starved = place.backend
    x = starved.from_host(np.zeros(3))
    monkeypatch.setattr(standin.ndarray, "copy", fail)
    monkeypatch.setattr(standin, "asarray", fail)
    message = r"4,000,000,000 bytes.*8 MiB.*2 MiB are free"
    for attempt in (
        lambda: starved.from_host(np.zeros(3)),
        lambda: starved.copy(x),
        lambda: la.Stepper(la.SGD(0.1), {"x": x}, backend=starved),
    ):
        with pytest.raises(MemoryError, match=message):
            attempt()


def test_an_error_of_the_host_s_memory_is_unchanged(place: Place) -> None:
    with pytest.raises(MemoryError, match=r"^the host's$"), explained(place.backend):
        raise MemoryError("the host's")


# Reasons why it cannot run.


def has_a_device() -> bool:
    import cupy

    try:
        return bool(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


no_device = pytest.mark.skipif(has_a_device(), reason="there is a device")


@no_device
def test_a_machine_without_a_device_is_reported_in_one_line() -> None:
    with pytest.raises(BackendUnavailableError, match="no CUDA device") as raised:
        load("cupy")
    assert "\n" not in str(raised.value)


@pytest.fixture
def without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    for name in [each for each in sys.modules if each.startswith(f"{PACKAGE}.cupy")]:
        if name != f"{PACKAGE}.cupy_autograd":
            monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("without_cupy")
def test_a_machine_without_cupy_learns_what_to_install() -> None:
    message = r"^backend 'cupy' needs CuPy: .*lookahead-ref\[cuda12\].*$"
    with pytest.raises(RuntimeError, match=message) as raised:
        load("cupy")
    assert type(raised.value) is BackendUnavailableError
    assert "\n" not in str(raised.value)


def assert_ends(command: str, message: str) -> None:
    done = called(command)
    refused(done, message)
    assert done.stdout == ""


@pytest.mark.usefixtures("without_cupy")
def test_commands_without_cupy_say_so_in_one_line() -> None:
    message = "needs CuPy: pip install 'lookahead-ref[cuda12]'"
    assert_ends("train --backend cupy", message)


@no_device
@pytest.mark.parametrize(
    "command",
    [
        "train --backend cupy",
        "compare --seeds 1 --backend cupy",
        "sweep --backend cupy",
        "reproduce fig8 --backend cupy",
        "conform cupy",
    ],
)
def test_commands_without_a_device_say_so_in_one_line(command: str, here: Path) -> None:
    assert_ends(command, "no CUDA device")
    assert not any(here.iterdir())


# Training on it, from end to end.


@pytest.mark.parametrize("command", ["train", "compare --seeds 1 --jobs 1 --optimizer sgd"])
def test_the_commands_that_train_do_so_with_kernels_of_the_device(
    command: str, device: str, cuda: HostCuda, here: Path
) -> None:
    cuda.launches.clear()
    succeeded(f"{command} --epochs 1 --backend {device} --output out")
    assert cuda.launches
    assert results(here / "out")


def test_info_names_the_devices(device: str, cuda: Any) -> None:
    found = json.loads(succeeded("info --json").stdout)["backends"]
    record = next(each for each in found if each["name"] == device)
    assert record["available"]
    assert record["devices"] == [*cuda.devices]
    assert "as if it were a device" in " ".join(succeeded("info").stdout.split())
