"""The commands that train, on a device that the host stands in for, from end to end."""

import json
from pathlib import Path
from typing import Any

import pytest

from commands import results, succeeded

pytest.importorskip("cupy")

import host_cuda
import standin
from lookahead_ref.backends import cupy, cupy_autograd

cupy_autograd.register(standin.ndarray)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> host_cuda.HostCuda:
    """The device that the backend of the name ``cupy`` finds."""
    cuda = host_cuda.HostCuda(tmp_path)
    made = cupy.CupyBackend

    def loaded(**options: Any) -> cupy.CupyBackend:
        return made(cuda=cuda, **options)

    monkeypatch.setattr(cupy, "CupyBackend", loaded)
    return cuda


@pytest.mark.parametrize("command", ["train", "compare --seeds 1 --jobs 1 --optimizer sgd"])
def test_the_commands_that_train_do_so_with_kernels_of_the_device(
    command: str, device: host_cuda.HostCuda, here: Path
) -> None:
    succeeded(f"{command} --epochs 1 --backend cupy --output out")
    assert device.launches
    assert results(here / "out")


def test_info_names_the_devices(device: host_cuda.HostCuda) -> None:
    found = json.loads(succeeded("info --json").stdout)["backends"]
    record = next(each for each in found if each["name"] == "cupy")
    assert record["available"]
    assert record["devices"] == [*device.devices]
    assert "as if it were a device" in " ".join(succeeded("info").stdout.split())
