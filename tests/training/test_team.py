"""MPI ranks without MPI or a GPU: threads, and strict stand-ins for arrays."""

import importlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lookahead_ref.optimizers.workers import mean
from lookahead_ref.training import workers
from lookahead_ref.training.workers import Ranks, cuda_aware
from support import assert_same_bits


class EndedError(Exception):
    """What a rank meets with that waits until another has ended all."""


class Comm:
    """What `Ranks` asks of a communicator, for ranks that are threads."""

    def __init__(self, rank: int, here: threading.Barrier, board: list[Any]) -> None:
        self.rank, self.size, self.here, self.board = rank, len(board), here, board
        self.buffers: list[Any] = []
        self.barriers = 0

    def allgather(self, value: Any) -> list[Any]:
        self.board[self.rank] = value
        self.here.wait(10.0)
        found = list(self.board)
        self.here.wait(10.0)
        return found

    def Barrier(self) -> None:  # noqa: N802 - mpi4py's names
        self.barriers += 1
        if self.barriers > 1:
            raise EndedError

    def Alltoallv(self, sent: Any, received: Any) -> None:  # noqa: N802
        self.buffers += [sent[0], received[0]]
        for place, (array, counts) in enumerate(self.allgather(sent)):
            first = sum(counts[: self.rank])
            end = first + counts[self.rank]
            received[0][place] = array.reshape(-1)[first:end]

    def Allgatherv(self, sent: Any, received: Any) -> None:  # noqa: N802
        array, counts = received
        self.buffers += [sent, array]
        flat, first = array.reshape(-1), 0
        for segment, count in zip(self.allgather(sent), counts, strict=True):
            flat[first : first + count] = segment
            first += count

    def Allreduce(self, sent: Any, received: Any) -> None:  # noqa: N802
        self.buffers += [sent, received]
        received[...] = sum(self.allgather(sent))


def on_ranks(count: int, work: Callable[[Comm], Any]) -> tuple[list[Any], list[Comm]]:
    """Do something on ranks at once; return a future of each, and their communicators."""
    here, board = threading.Barrier(count), [None] * count
    comms = [Comm(rank, here, board) for rank in range(count)]
    with ThreadPoolExecutor(count) as pool:
        return [pool.submit(work, comm) for comm in comms], comms


@pytest.mark.parametrize("reduction", ["ordered", "allreduce"])
@pytest.mark.parametrize("library", ["numpy", "standin"])
def test_arrays_are_averaged_on_their_device(library: str, reduction: str) -> None:
    if library == "standin":
        pytest.importorskip("cupy")
    xp, count = importlib.import_module(library), 3
    rng = np.random.default_rng(0)
    shapes = {"weight": (5, 7), "one": (), "few": (2,)}
    drawn = [
        {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
        for _ in range(count)
    ]

    def work(comm: Comm) -> Any:
        own = {name: xp.asarray(array) for name, array in drawn[comm.rank].items()}
        return Ranks(comm, reduction).mean([own])

    found, comms = on_ranks(count, work)
    for comm in comms:
        assert {type(buffer) for buffer in comm.buffers} == {xp.ndarray}
    host = getattr(xp, "asnumpy", np.asarray)
    for each in found:
        on_the_host = {name: host(array) for name, array in each.result().items()}
        if reduction == "ordered":
            assert_same_bits(on_the_host, mean(drawn))
        for name, array in mean(drawn).items():
            np.testing.assert_allclose(on_the_host[name], array, rtol=1e-6)


def test_mpi_gets_an_array_when_its_device_has_computed_it() -> None:
    waited: list[int] = []
    device = SimpleNamespace(synchronize=lambda: waited.append(1))
    for array in (SimpleNamespace(device=device), np.zeros(2), SimpleNamespace()):
        assert workers._settled(array) is array
    assert waited == [1]


# The MPI's own statements.


def supported(_: int, found: Any) -> None:
    found._obj.value = 1


@pytest.mark.parametrize(
    ("kinds", "functions", "aware"),
    [
        ("system,cuda:device,mpi", {}, True),
        ("system,mpi:alloc_mem", {}, False),
        ("system,rocm", {"MPIX_Query_cuda_support": lambda: 0}, False),
        (None, {"MPIX_Query_cuda_support": lambda: 1}, True),
        (None, {"MPIX_Query_cuda_support": lambda: 0}, False),
        (None, {"MPIX_GPU_query_support": supported}, True),
        (None, {"MPIX_GPU_query_support": lambda *_: None}, False),
        (None, {}, False),
    ],
)
def test_an_mpi_is_cuda_aware_if_it_says_so(
    kinds: str | None, functions: Any, aware: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.ctypes, "CDLL", lambda _: SimpleNamespace(**functions))
    info = {} if kinds is None else {"mpi_memory_alloc_kinds": kinds}
    world = SimpleNamespace(Get_info=lambda: info)
    assert cuda_aware(SimpleNamespace(COMM_WORLD=world, __file__="MPI.so")) is aware


# Faults.


@pytest.mark.parametrize("failing", [(), (1, 2)])
def test_the_first_failing_rank_raises_and_notifies_the_others(
    failing: tuple[int, ...],
) -> None:
    heard: dict[int, str] = {}

    def work(comm: Comm) -> None:
        with Ranks(comm).together(lambda why: heard.update({comm.rank: why})):
            if comm.rank in failing:
                raise ValueError(f"of rank {comm.rank}")

    errors = [type(future.exception()) for future in on_ranks(3, work)[0]]
    if failing:
        assert errors == [EndedError, ValueError, EndedError]
    else:
        assert errors == [type(None)] * 3
    assert heard == {rank: "of rank 1" for rank in (0, 2) if failing}
