"""The side-by-side comparison on a device, which the host stands in for.

What is measured here means nothing; that all of it is measured, in arrays of the device's
alone and by the device's clock, is what the tests show.
"""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from plans import TINY_DEVICE
from typer.testing import CliRunner

import lookahead_ref as la
from lookahead_ref.bench import apart, cases, contestants, peers, place, suite
from lookahead_ref.bench.page import page
from lookahead_ref.bench.turns import Contestant, take_turns, wall
from lookahead_ref.cli.app import app

pytest.importorskip("cupy")

import host_cuda
import standin
from lookahead_ref.backends.cupy import CupyBackend


@pytest.fixture(autouse=True)
def without_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing them takes longer than all of these tests."""
    for name in ("torch", "jax", "optax"):
        monkeypatch.setitem(sys.modules, name, None)


class Listing(host_cuda.HostCuda):
    """Runs nothing, and lists what it would have compiled."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.texts: list[str] = []

    def launcher(self, text: str) -> Any:
        self.texts.append(text)
        return lambda blocks, table: None


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> host_cuda.HostCuda:
    """A device with every kernel compiled that the measurements need."""
    listing = Listing(tmp_path_factory.mktemp("none"))
    there = CupyBackend(cuda=listing)
    where = place.Place(there, there.seconds, there.peak, on_device=True)
    suite.run(TINY_DEVICE, ("cost", "bandwidth"), lambda _: None, where)
    made = host_cuda.HostCuda(tmp_path_factory.mktemp("kernels"))
    made.prepare(listing.texts)
    return made


@pytest.fixture
def device(cuda: host_cuda.HostCuda, monkeypatch: pytest.MonkeyPatch) -> place.Place:
    """That device, in the place of the CuPy backend's."""
    backend = CupyBackend(cuda=cuda)
    monkeypatch.setattr(place.backend, "load", lambda name: {"cupy": backend}[name])
    return place.find("cupy")


@host_cuda.needs_compiler
@pytest.mark.parametrize(
    "section", ["step", "cost", "bandwidth", "overhead", "memory", "growth"]
)
def test_each_section_measures_on_a_device(section: str, device: place.Place) -> None:
    assert section in suite.sections(device)
    found = suite.run(TINY_DEVICE, (section,), lambda _: None, device)
    assert found.timings or section == "memory"
    assert found.bars or section in ("step", "overhead")  # without peers
    assert all(each.seconds > 0 for each in found.timings)
    assert all(math.isfinite(each.value) for each in found.bars)


@host_cuda.needs_compiler
def test_nothing_moves_between_host_and_device_in_a_step(device: place.Place) -> None:
    grads = device.arrays("tiny", 1)
    every = [
        contestants.ours(device.backend, "adam", "tiny", grads, k=2),
        contestants.limit(device.backend, "adam", grads, synchronized=True),
        contestants.library_copy(device.backend, grads),
    ]
    before = standin.counted()
    for each in every:
        for _ in range(2):
            each.step()
    assert standin.counted() - before == standin.Transfers()


def test_the_library_s_copy_copies(tmp_path: Path) -> None:
    made = []

    class Noting(CupyBackend):
        def from_host(self, array: Any) -> Any:
            made.append(super().from_host(array))
            return made[-1]

    source = host_cuda.on_device(cases.arrays("tiny", 1))
    there = Noting(cuda=host_cuda.HostCuda(tmp_path))
    copied = contestants.library_copy(there, source)
    copied.step()
    assert copied.bytes_moved == 8 * 60
    for target, each in zip(made, source.values(), strict=True):
        assert (target.get() == each.get()).all()


def test_the_place_s_clock_is_what_times() -> None:
    waited = []

    def clock(run: Any) -> float:
        run()
        waited.append(None)
        return 0.5

    times = take_turns(
        {"a": Contestant("a", int, "plain", 1.0)}, repeats=3, seconds=1, clock=clock
    )
    assert times == {"a": [0.25] * 3}
    assert len(waited) == 4


def test_every_section_uses_the_place_s_clock_and_memory() -> None:
    pytest.importorskip("numba")
    told = {"clock": 0, "peak": 0}

    def clock(run: Any) -> float:
        told["clock"] += 1
        return wall(run)

    def peak(run: Any) -> int:
        told["peak"] += 1
        return place.traced(run)

    where = place.Place(la.backend.load("numba"), clock, peak)
    for section in ("step", "cost", "bandwidth", "numpy", "overhead", "growth"):
        suite.run(TINY_DEVICE, (section,), lambda _: None, where)
        assert told["clock"], section
        told["clock"] = 0
    suite.run(TINY_DEVICE, ("memory",), lambda _: None, where)
    assert told == {"clock": 0, "peak": 4 * len(cases.OPTIMIZERS)}


def test_pytorch_s_peers_run_where_the_gradients_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = []

    class Tensor(SimpleNamespace):
        def to(self, device: str) -> "Tensor":
            moved.append(device)
            return Tensor(device=device)

        def requires_grad_(self) -> "Tensor":
            return self

    made: list[Any] = []

    def sgd(tensors: Any, rate: float, **how: Any) -> Any:
        made.append((tensors, how))
        return SimpleNamespace(step=lambda: None)

    torch = SimpleNamespace(
        from_dlpack=lambda array: Tensor(device="cuda:0", of=array),
        from_numpy=lambda array: Tensor(device="cpu"),
        optim=SimpleNamespace(SGD=sgd),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    grads = cases.arrays("tiny", 1)
    found = [each.method for each in peers.peers("sgd", "tiny", grads)]
    assert found == ["PyTorch, fused", "PyTorch, foreach"]
    assert set(moved) == {"cuda:0"}
    tensors, how = made[0]
    assert how == {"fused": True}
    assert [
        each.grad.of is array for each, array in zip(tensors, grads.values(), strict=True)
    ]
    assert all(each.device == "cuda:0" for each in tensors)


@host_cuda.needs_compiler
def test_the_command_writes_what_a_device_reached(
    device: place.Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "QUICK_DEVICE", TINY_DEVICE)

    def here(plan: suite.Plan, only: tuple[str, ...], _: str, told: Any) -> Any:
        return suite.run(plan, only, told, device)  # other processes know no stand-in

    monkeypatch.setattr(apart, "run", here)
    folder = tmp_path / "out"
    arguments = ["bench", "--backend", "cupy", "--quick", "--output", str(folder)]
    done = CliRunner().invoke(app, [*arguments, "--only", "bandwidth", "--only", "memory"])
    assert done.exit_code == 0, done.stderr
    found = json.loads((folder / "results.json").read_text())
    assert found["machine"]["devices"] == ["the host, as if it were a device"]
    assert found["machine"]["versions"]["cupy"]
    written = (folder / "benchmarks.md").read_text()
    assert "the host, as if it were a device" in written
    assert "device's own events" in written
    assert "that of the library's copy" in written
    assert page([found]) == written
    assert "Stepper, cupy" in (folder / "roofline.svg").read_text()


@host_cuda.needs_compiler
def test_what_is_of_the_host_alone_is_not_measured_on_a_device(
    cuda: host_cuda.HostCuda, device: place.Place
) -> None:
    for section in ("numpy", "first"):
        done = CliRunner().invoke(app, ["bench", "--backend", "cupy", "--only", section])
        assert done.exit_code == 2
        assert "only must be one of step, cost, bandwidth, overhead" in done.stderr


@pytest.mark.parametrize("backend", ["numpy", "no-such"])
def test_a_backend_that_cannot_be_measured_is_refused_by_name(
    backend: str, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    done = CliRunner().invoke(app, ["bench", "--backend", backend, "--output", str(folder)])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "'numba'" in done.stderr
    assert f"got '{backend}'" in done.stderr
    assert not folder.exists()
