"""Programs run by a CUDA device, on CuPy arrays.

Each program is one kernel (`compiler`), launched on CuPy's current stream over as many
arrays at once as fit into its argument. Updates have the bits of the CPU's, subnormals
included.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from ...stepping.backend import BackendUnavailableError, Kernel, Program, explained
from . import compiler
from .kernels import CupyLayers

try:
    import cupy
    import platformdirs
except ImportError as error:
    # CuPy lists possible causes in many lines; the last ones have the actual error.
    told = [line.strip() for line in str(error).splitlines() if line.strip(" =\n")]
    raise BackendUnavailableError(
        "backend 'cupy' needs CuPy: pip install 'lookahead-ref[cuda12]' or "
        f"'lookahead-ref[cuda13]' ({told[-1] if told else type(error).__name__})"
    ) from error

_ALLOCATED = (
    cupy.cuda.memory.Memory,
    cupy.cuda.memory.MemoryAsync,
    cupy.cuda.memory.PooledMemory,
)

DeviceArray: TypeAlias = Any
"""A CuPy array; CuPy has no types to check."""

Launcher: TypeAlias = Callable[[int, Any], None]
"""Runs a kernel: called with the number of blocks and the argument."""


class Cuda:
    """CuPy's devices, and loading and running kernels there."""

    library: Any = cupy

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        try:
            self.devices = tuple(
                _described(number) for number in range(cupy.cuda.runtime.getDeviceCount())
            )
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise BackendUnavailableError(
                f"backend 'cupy' finds no CUDA device to run on: {error}"
            ) from error
        if not self.devices:
            raise BackendUnavailableError("backend 'cupy' finds no CUDA device to run on")
        try:
            cupy.cuda.nvrtc.getVersion()
        except (ImportError, OSError, RuntimeError) as error:
            raise BackendUnavailableError(
                "backend 'cupy' cannot load NVRTC, which compiles its kernels: pip install "
                "'lookahead-ref[cuda12]' or 'lookahead-ref[cuda13]' "
                f"({type(error).__name__})"
            ) from error
        self._functions: dict[tuple[str, int], Any] = {}

    def launcher(self, text: str) -> Launcher:
        """Make a kernel ready for the current device."""
        device = cupy.cuda.Device()
        key = (text, device.id)
        if key not in self._functions:
            module = cupy.cuda.function.Module()
            module.load(compiler.cached(text, int(device.compute_capability), self._cache))
            self._functions[key] = module.get_function(compiler.ENTRY)
        function = self._functions[key]
        return lambda blocks, table: function((blocks,), (compiler.THREADS,), (table,))

    @staticmethod
    def memory() -> str:
        """Say how much memory the current device has."""
        device = cupy.cuda.Device()
        free, total = device.mem_info
        kept = cupy.get_default_memory_pool().free_bytes()
        return (
            f"device {device.id} has {_mebibytes(total)}, of which "
            f"{_mebibytes(free + kept)} are free"
        )


class CupyBackend:
    """Fused kernels on a CUDA device, over CuPy arrays."""

    name = "cupy"
    version: str = cupy.__version__

    def __init__(self, cache: Path | None = None, cuda: Any = None) -> None:
        folder = platformdirs.user_cache_path("lookahead-ref") if cache is None else cache
        self._cuda = Cuda(Path(folder)) if cuda is None else cuda
        self._library = self._cuda.library
        self.layers = CupyLayers(self._cuda)
        self.devices: Sequence[str] = self._cuda.devices

    def from_host(self, array: Any) -> DeviceArray:
        with explained(self):
            return self._library.asarray(array)

    def to_host(self, array: Any) -> Any:
        return self._library.asnumpy(array)

    def own(self, name: str, array: Any, taken: Sequence[DeviceArray]) -> DeviceArray:
        if not isinstance(array, self._library.ndarray):
            library = type(array).__module__.partition(".")[0]
            raise TypeError(
                f"{name} must be a CuPy array for this backend, got one of {library}"
            )
        with explained(self):
            # CuPy's ascontiguousarray adds a dimension to an array without any.
            owned = self._library.ascontiguousarray(array).reshape(array.shape)
            if any(self._library.may_share_memory(owned, each) for each in taken):
                return owned.copy()
            return owned

    def copy(self, array: DeviceArray) -> DeviceArray:
        with explained(self):
            return array.copy(order="C")

    @staticmethod
    def assign(target: DeviceArray, values: Any) -> None:
        target[...] = values

    @staticmethod
    def readonly(array: DeviceArray) -> DeviceArray:
        return array.view()

    @staticmethod
    def flatten(array: DeviceArray) -> DeviceArray:
        return array.reshape(-1)

    def gradient(self, array: Any, owned: Mapping[int, DeviceArray]) -> DeviceArray:
        # A kernel that reads unreachable memory makes the device unusable.
        there, here = array.data, next(iter(owned.values()), array).data
        if there.device_id != here.device_id:
            raise ValueError(
                f"grads must be on device {here.device_id}, like the parameters, got an "
                f"array of shape {array.shape} on device {there.device_id}"
            )
        with explained(self):
            root = array
            while root.base is not None:
                root = root.base
            flat = self._library.ascontiguousarray(array).reshape(-1)
            # CuPy's own memory is shared with ours only if it is ours; memory of another
            # library may be.
            if id(root) not in owned and isinstance(root.data.mem, _ALLOCATED):
                return flat
            start, stop = _range(flat)
            for each in owned.values():
                first, past = _range(each)
                if start < past and first < stop:
                    return flat.copy()
            return flat

    def compile(self, program: Program, dtype: str) -> Kernel:
        source = compiler.write(program, dtype)

        def kernel(buffers: Sequence[DeviceArray], scalars: Sequence[float]) -> None:
            *held, last = buffers
            _Bound(source, [held], self._cuda)([last], scalars)

        return kernel

    def bind(
        self, program: Program, dtype: str, leaves: Sequence[Sequence[DeviceArray]]
    ) -> Callable[[Sequence[DeviceArray], Sequence[float]], None]:
        return _Bound(compiler.write(program, dtype), leaves, self._cuda)

    def memory(self, error: MemoryError) -> str | None:
        """Say how much memory the device has."""
        if not isinstance(error, cupy.cuda.memory.OutOfMemoryError):
            return None
        return str(self._cuda.memory())


class _Bound:
    """A kernel and the tables of its launches, except for what changes in a step."""

    def __init__(
        self,
        source: compiler.KernelSource,
        leaves: Sequence[Sequence[DeviceArray]],
        cuda: Any,
    ) -> None:
        self._leaves = leaves  # kept alive, as the tables have only addresses
        self._launches = []
        by_device: dict[int, list[int]] = {}
        for place, buffers in enumerate(leaves):
            by_device.setdefault(buffers[0].device.id, []).append(place)
        for there in by_device.values():
            device = leaves[there[0]][0].device
            with device:
                run = cuda.launcher(source.text)
            # The last address, the gradient's, is not known yet.
            arrays = [
                ([*(buffer.data.ptr for buffer in leaves[place]), 0], leaves[place][0].size)
                for place in there
            ]
            for blocks, table, places in compiler.fill(source, arrays):
                chosen = [there[place] for place in places]
                addresses = table["address"][: len(chosen), -1]
                scalars = table["scalars"] if "scalars" in table.dtype.names else None
                launch = partial(run, blocks, table)
                self._launches.append((device, launch, chosen, addresses, scalars))

    def __call__(self, gradients: Sequence[DeviceArray], scalars: Sequence[float]) -> None:
        for device, launch, places, addresses, values in self._launches:
            addresses[:] = [gradients[place].data.ptr for place in places]
            if values is not None:
                values[:] = scalars
            with device:
                launch()


def _range(array: DeviceArray) -> tuple[int, int]:
    """Return the start and end of a contiguous array's memory."""
    begin = array.data.ptr
    return begin, begin + array.nbytes


def _described(number: int) -> str:
    properties = cupy.cuda.runtime.getDeviceProperties(number)
    capability = f"{properties['major']}.{properties['minor']}"
    memory = _mebibytes(properties["totalGlobalMem"])
    return f"{properties['name'].decode()}, compute capability {capability}, {memory}"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
