"""What test files share: trees to optimize, gradients, runs, and comparison of bits."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lookahead_ref as la
from lookahead_ref import trees

INNER: dict[str, Callable[..., Any]] = {
    "sgd": lambda **options: la.SGD(0.05, **options),
    "heavy-ball": lambda **options: la.HeavyBall(0.03, momentum=0.85, **options),
    "nesterov": lambda **options: la.Nesterov(0.03, momentum=0.85, **options),
    "adagrad": lambda **options: la.AdaGrad(0.1, **options),
    "adam": lambda **options: la.Adam(0.02, beta1=0.85, beta2=0.97, **options),
}
"""Every inner optimizer, with hyperparameters that no dtype holds exactly."""

OWN = Path(__file__).with_name("own.py.txt").read_text("utf-8")
"""A user's code: an optimizer, a model and data."""

INNER_STATES = ("maintain", "reset", "interpolate")

on_every_backend = pytest.mark.parametrize("backend", ["numpy", "numba"])
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

L2 = {"weight_decay": 0.013, "weight_decay_kind": "l2"}
DECOUPLED = {"weight_decay": 0.013, "weight_decay_kind": "decoupled"}

_BITS = {"float32": np.uint32, "float64": np.uint64}


def bits(array: Any) -> NDArray[Any]:
    """The bits of the elements; what is not a number has many, all of them taken as one.

    IEEE 754 leaves open which payload a result takes from its operands, and compilers use
    that.
    """
    values = np.array(array, order="C")
    values[np.isnan(values)] = np.nan
    return values.reshape(-1).view(_BITS[values.dtype.name])


def assert_same_bits(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare two trees of arrays and counts, to the bit."""
    got, wanted = trees.flatten(actual), trees.flatten(expected)
    if got.keys() != wanted.keys():
        raise AssertionError(f"{sorted(got)} are not {sorted(wanted)}")
    for path, want in wanted.items():
        have = got[path]
        if isinstance(want, int):
            if type(have) is not int or have != want:
                raise AssertionError(f"{path}: {have!r} is not {want!r}")
            continue
        if np.shape(have) != np.shape(want) or str(have.dtype) != str(want.dtype):
            raise AssertionError(f"{path}: {have!r} is not like {want!r}")
        differ = np.flatnonzero(bits(have) != bits(want))
        if differ.size:
            first = differ[0]
            pair = f"{np.ravel(have)[first]!r} is not {np.ravel(want)[first]!r}"
            message = f"{path}: {differ.size} elements differ, the first at {first}: {pair}"
            raise AssertionError(message)


def named(state: Any, prefix: str = "") -> dict[str, Any]:
    """The counts and arrays of a state by their place in it, as a state dict names them."""
    found: dict[str, Any] = {}
    parts = state.items() if isinstance(state, Mapping) else state._asdict().items()
    for name, value in parts:
        if isinstance(value, Mapping) or hasattr(value, "_fields"):
            found |= named(value, f"{prefix}{name}/")
        elif value is not None:
            found[prefix + name] = value
    return found


def saved(params: Mapping[str, Any], state: Any) -> dict[str, Any]:
    """What a stepper's `state_dict` must hold where the pure interface is at this point."""
    return named({"params": params}) | named(state)


def frozen(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in read-only memory: writing to it raises."""

    def freeze(leaf: NDArray[Any]) -> NDArray[Any]:
        copy = np.array(leaf)
        copy.flags.writeable = False
        return copy

    return trees.map(freeze, values)


def mixed_params() -> dict[str, Any]:
    """Both dtypes, nested, with leaves of no dimensions and of no elements."""
    rng = np.random.default_rng(0)
    return frozen(
        {
            "single": {
                "weight": rng.standard_normal((3, 5)).astype(np.float32),
                "scale": np.float32(rng.standard_normal()),
            },
            "double": {
                "weight": rng.standard_normal((3, 5)),
                "scale": np.array(rng.standard_normal()),
                "empty": np.zeros((0, 2)),
            },
        }
    )


def gradients(like: Mapping[str, Any], steps: int, seed: int = 1) -> Iterator[Any]:
    """Gradients of all magnitudes for a tree: ordinary, subnormal, huge and zero.

    In the last tenth of the steps some elements are infinite or not a number.
    """
    rng = np.random.default_rng(seed)

    def draw(leaf: NDArray[Any], special: bool) -> NDArray[Any]:
        info = np.finfo(leaf.dtype)
        values = np.array(rng.standard_normal(leaf.shape))
        if leaf.ndim and leaf.size:
            columns = values.reshape(-1, leaf.shape[-1])
            columns[:, 0] *= float(info.smallest_subnormal) * 1000
            columns[:, 1] *= float(info.max) ** 0.5 / 1000
            columns[:, 2] *= rng.integers(0, 2)
            if special:
                columns[0, 3] = rng.choice([np.inf, -np.inf, np.nan])
        return values.astype(leaf.dtype)

    for step in range(steps):
        special = step >= steps - steps // 10
        yield frozen(trees.map(lambda leaf: draw(leaf, special), like))  # noqa: B023


def trajectory(optimizer: Any, params: Any, grads: Iterable[Any]) -> list[tuple[Any, Any]]:
    """The pure interface over given gradients: params and state at first, after each."""
    points = [(params, optimizer.init(params))]
    for grad in grads:
        params, state = points[-1]
        points.append(optimizer.step(params, grad, state))
    return points


def run(optimizer: Any, params: Any, grads: Iterable[Any]) -> tuple[Any, Any]:
    """The last of these."""
    return trajectory(optimizer, params, grads)[-1]


def one(*values: float, dtype: Any = np.float64) -> dict[str, Any]:
    """A tree of one leaf."""
    return {"x": np.array(values, dtype)}


def normal(count: int, size: int) -> list[dict[str, Any]]:
    """So many trees of one leaf of normal numbers."""
    return [{"x": row} for row in np.random.default_rng(0).standard_normal((count, size))]


@contextmanager
def left_as_it_was(stepper: la.Stepper, error: Any, message: Any = None) -> Iterator[None]:
    """The block raises an error that says so, and the stepper has the bits it had."""
    before = stepper.state_dict()
    with pytest.raises(error, match=message):
        yield
    assert_same_bits(stepper.state_dict(), before)


def in_threads(work: Callable[[Any], object], items: Sequence[Any]) -> None:
    """Call a function for each item in separate threads, and wait for all."""
    threads = [threading.Thread(target=work, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def done_in_a_fork(work: Callable[[], object], meanwhile: Callable[[], object]) -> bool:
    """Whether a forked child does this without an error, and in a minute."""
    child = os.fork()
    if child == 0:
        # A child must never return into the test's process.
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    deadline = threading.Timer(60.0, os.kill, (child, signal.SIGKILL))
    deadline.start()
    meanwhile()
    _, status = os.waitpid(child, 0)
    deadline.cancel()
    return status == 0


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A program that has ended, one way or the other, where the block ends."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def opened(page: Path, settings: str) -> str:
    """A page as headless Chromium has it after its scripts have run."""
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser")))
    if (chromium := next(found, None)) is None:
        pytest.skip("needs chromium")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    options += ["--allow-file-access-from-files"]  # a page may look into a frame
    options += [f"--user-data-dir={page.parent / 'profile'}"]
    command = [chromium, *options, f"{page.as_uri()}#{settings}"]
    return subprocess.check_output(command, stderr=subprocess.PIPE, text=True, timeout=90)
