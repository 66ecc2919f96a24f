"""What holds for every test."""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# How long an example takes says more about the machine's other work than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# There are as many processes of pytest-xdist as cores: threads beside them would only spin.
# Before NumPy is imported, so that it is heard of.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Else each process of the tests, and each program that they start, would compile anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

LIMIT = 600
"""How many seconds a test, or its set-up, may take: none waits for ever."""

# In the background of a shell some signals are ignored, and would be by every program that
# a test starts, which a handler is not. This one changes nothing for the tests themselves.
for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)

# CuPy cannot be imported where it cannot make a folder for its own use.
if not os.access(Path("~").expanduser(), os.W_OK):
    os.environ.setdefault("CUPY_CACHE_DIR", f"{tempfile.gettempdir()}/cupy-{os.getuid()}")


def _too_long(*_: object) -> None:
    raise TimeoutError(f"a test takes longer than {LIMIT} s")


def pytest_collection_finish() -> None:
    # What is imported and collected stays: no need to look through it again and again.
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[Any]:
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT)
    try:
        return (yield)
    finally:
        signal.alarm(0)


pytest_runtest_call = pytest_runtest_teardown = pytest_runtest_setup


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the test works."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    """A program that imports once, then forks a process for each run that is killed."""
    import killing

    with killing.Program() as started:
        yield started


@pytest.fixture(scope="session")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What compiles kernels for the host, and keeps them for all tests."""
    import host_cuda

    base = tmp_path_factory.getbasetemp()
    # The folders of the processes that pytest-xdist starts lie side by side.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "kernels"
    folder.mkdir(exist_ok=True)
    return host_cuda.HostCuda(folder)


@pytest.fixture
def device(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a backend that is the CuPy backend on the host."""
    import host_cuda

    return host_cuda.register(cuda, monkeypatch)
