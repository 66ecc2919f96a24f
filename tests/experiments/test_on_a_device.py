"""The commands that train, on a device that the host stands in for, from end to end."""

import json
from pathlib import Path
from typing import Any

import pytest

from commands import results, succeeded

pytest.importorskip("cupy")

import standin
from lookahead_ref.backends import cupy_autograd

cupy_autograd.register(standin.ndarray)


@pytest.mark.parametrize("command", ["train", "compare --seeds 1 --jobs 1 --optimizer sgd"])
def test_the_commands_that_train_do_so_with_kernels_of_the_device(
    command: str, device: str, cuda: Any, here: Path
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
