"""The workers of a run: all in this process, or one on each MPI rank."""

import ctypes
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast

from array_api_compat import array_namespace

from lookahead_ref import hyperparameters, trees
from lookahead_ref.extras import require
from lookahead_ref.optimizers import workers
from lookahead_ref.stopping import StoppedError
from lookahead_ref.training.protocols import Data
from lookahead_ref.trees import Tree

REDUCTIONS = ("ordered", "allreduce")
"""How MPI adds up pseudo-gradients."""

OnError = Callable[[str], None]
"""Called with the error of another rank."""

_BLOCK = 2**17  # elements averaged at once, to stay in a cache


class Team:
    """Workers that take turns in this process."""

    on_devices = False
    """Whether `mean` takes and returns arrays on a device."""

    def __init__(self, size: int) -> None:
        self.size = hyperparameters.count("workers", size)
        self.here: Sequence[int] = range(size)
        """The numbers of the workers in this process."""

    @property
    def leads(self) -> bool:
        """Whether this process has the first worker, which evaluates and writes."""
        return 0 in self.here

    def mean(self, values: Sequence[Tree]) -> Tree:
        """Average the workers' values, added in their order."""
        return workers.mean(values)

    def gather(self, values: Sequence[Any]) -> list[Any]:
        """Return all workers' values, given those in this process."""
        return list(values)

    def broadcast(self, value: Any) -> Any:
        """Return the value of the first worker's process."""
        return value

    @contextmanager
    def together(self, on_error: OnError | None = None) -> Iterator[None]:  # noqa: ARG002
        """Fail everywhere if the block, which must not communicate, fails anywhere."""
        yield

    @contextmanager
    def ending(self) -> Iterator[None]:
        """End all processes if the block fails in this one."""
        yield


class Ranks(Team):
    """One worker on each rank of an MPI communicator."""

    def __init__(
        self, comm: Any, reduction: str = "ordered", on_devices: bool = False
    ) -> None:
        super().__init__(comm.size)
        self.on_devices = on_devices
        self.here = (comm.rank,)
        self._comm = comm
        self._mean = {"ordered": self._ordered, "allreduce": self._allreduce}[
            hyperparameters.option("reduction", reduction, REDUCTIONS)
        ]

    def mean(self, values: Sequence[Tree]) -> Tree:
        """Average the ranks' values, in NumPy arrays or, on devices, CuPy arrays."""
        (own,) = values

        def averaged(leaf: Any) -> Any:
            xp = array_namespace(leaf)
            return self._mean(xp, xp.ascontiguousarray(leaf)).reshape(leaf.shape)

        return trees.map(averaged, own)

    def _ordered(self, xp: Any, own: Any) -> Any:
        # Each rank averages one segment over all ranks in order.
        least, more = divmod(own.size, self.size)
        counts = [least + (rank < more) for rank in range(self.size)]
        mine = counts[self._comm.rank]
        received = xp.empty((self.size, mine), dtype=own.dtype)
        self._comm.Alltoallv([_settled(own), counts], [received, [mine] * self.size])
        segment = received[0]
        for start in range(0, mine, _BLOCK):
            block = received[:, start : start + _BLOCK]
            segment[start : start + _BLOCK] = workers.mean([{"": row} for row in block])[""]
        result = xp.empty_like(own)
        self._comm.Allgatherv(_settled(segment), [result, counts])
        return result

    def _allreduce(self, xp: Any, own: Any) -> Any:
        total = xp.empty_like(own)
        self._comm.Allreduce(_settled(own), total)
        total /= self.size
        return total

    def gather(self, values: Sequence[Any]) -> list[Any]:
        """Return the values of all ranks."""
        (own,) = values
        return list(self._comm.allgather(own))

    def broadcast(self, value: Any) -> Any:
        """Return the value of rank 0."""
        return self._comm.bcast(value)

    @contextmanager
    def together(self, on_error: OnError | None = None) -> Iterator[None]:
        """Fail on all ranks if one fails; the first of these raises its own error."""
        failed = None
        try:
            yield
        except Exception as error:
            failed = error
        failures = self.gather([None if failed is None else str(failed)])
        first = next((n for n, why in enumerate(failures) if why is not None), None)
        if first is None:
            return
        if on_error is not None and first != self._comm.rank:
            on_error(failures[first])
        self._comm.Barrier()  # until all ranks know
        if first == self._comm.rank:
            raise cast("Exception", failed)
        self._comm.Barrier()  # until the raising rank ends all

    @contextmanager
    def ending(self) -> Iterator[None]:
        """End all ranks if the block fails on this one."""
        try:
            yield
        except StoppedError as error:  # on all ranks, after saving
            sys.exit(128 + (error.signal or signal.SIGTERM))
        except BaseException as error:
            code = getattr(error, "exit_code", 1)
            if code and not isinstance(error.__cause__, StoppedError):
                sys.stderr.flush()
                time.sleep(2.0)  # or mpirun may drop the last output
                self._comm.Abort(code)
            raise


def join(size: int | str, reduction: str = "ordered") -> Team:
    """Return a team of workers in this process or, for "mpi", on the ranks."""
    if size != "mpi":
        if reduction != "ordered":
            raise ValueError(
                f"reduction must be 'ordered' unless workers are mpi, got {reduction!r}"
            )
        return Team(cast("int", size))
    require("mpi4py", "mpi", purpose="run with workers mpi")
    try:
        mpi: Any = importlib.import_module("mpi4py.MPI")
    except RuntimeError as error:
        raise ValueError(f"workers mpi needs an installed MPI: {error}") from error
    if not mpi.Is_initialized() or mpi.Is_finalized():
        state = "finalized" if mpi.Is_finalized() else "not initialized"
        raise ValueError(f"workers mpi needs an initialized MPI, and it is {state}")
    return Ranks(mpi.COMM_WORLD, reduction, cuda_aware(mpi))


def cuda_aware(mpi: Any) -> bool:
    """Return whether MPI accepts pointers to a GPU's memory."""
    # MPI 4.1 has a standard way; before, Open MPI and MPICH have their own functions.
    kinds = mpi.COMM_WORLD.Get_info().get("mpi_memory_alloc_kinds") or ""
    if "cuda" in [kind.partition(":")[0] for kind in kinds.split(",")]:
        return True
    library = ctypes.CDLL(mpi.__file__)
    if hasattr(library, "MPIX_Query_cuda_support"):
        return bool(library.MPIX_Query_cuda_support())
    found = ctypes.c_int(0)
    if hasattr(library, "MPIX_GPU_query_support"):
        library.MPIX_GPU_query_support(0, ctypes.byref(found))  # 0: CUDA
    return bool(found.value)


def _settled(array: Any) -> Any:
    """Wait until an array's device, if any, has computed it, which MPI does not."""
    wait = getattr(getattr(array, "device", None), "synchronize", None)
    if wait is not None:
        wait()
    return array


def started(stack: ExitStack, workers: int | str, given: Mapping[str, Any]) -> Team:
    """Join the team of a command, which has the same options on all ranks, for a stack."""
    of_mpich = os.environ.get("PMI_SIZE", "1")
    ranks = os.environ.get("OMPI_COMM_WORLD_SIZE", of_mpich)
    # If a rank ends before joining, the others and mpirun may wait for ever.
    team = join(workers if ranks == "1" else "mpi")
    stack.enter_context(team.ending())  # there, an error has been reported before
    with team.together():  # without mpi, they would all do the same job
        if workers != "mpi" and ranks != "1":
            raise ValueError(
                f"workers must be mpi under mpirun with {ranks} ranks, got {workers}"
            )
    with team.together():
        first, *others = team.gather([dict(given)])
        for rank, other in enumerate(others, start=1):
            for name in first:
                if other[name] != first[name]:
                    raise ValueError(
                        f"{name} must be the same on all ranks, got {first[name]!r} on "
                        f"rank 0 and {other[name]!r} on rank {rank}"
                    )
    return team


def check_stops(team: Team, on_nonfinite: str) -> None:
    """Refuse to skip batches with several workers."""
    if team.size > 1 and on_nonfinite != "stop":
        raise ValueError(
            "on_nonfinite must be 'stop' with several workers, whose cycles end "
            f"together, got {on_nonfinite!r}"
        )


def share(data: Data, number: int, count: int, batch_size: int) -> Data:
    """Return the data of one of several workers."""
    if count == 1:
        return data
    if not hasattr(data, "share"):
        raise ValueError(
            f"workers must be 1 with data {data.name}, which has no method share, got "
            f"{count}"
        )
    shared: Data = data.share(number, count)
    try:
        shared.stream(batch_size, 0)
    except ValueError as error:
        raise ValueError(
            f"workers must be few enough for each to have a batch, got {count}: {error}"
        ) from error
    return shared
