"""The commands that train, on a device that the host stands in for, from end to end."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lookahead_ref.cli.app import app

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


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--epochs", "1"],
        [
            "compare",
            *("--seeds", "1", "--epochs", "1", "--jobs", "1", "--optimizer", "sgd"),
        ],
    ],
)
def test_the_commands_that_train_do_so_with_kernels_of_the_device(
    command: list[str], device: host_cuda.HostCuda, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    options = ["--backend", "cupy", "--output", str(folder)]
    done = CliRunner().invoke(app, [*command, *options])
    assert done.exit_code == 0, done.stderr
    assert device.launches
    assert json.loads((folder / "results.json").read_text())


def test_info_names_the_devices(device: host_cuda.HostCuda) -> None:
    found = json.loads(CliRunner().invoke(app, ["info", "--json"]).stdout)["backends"]
    record = next(each for each in found if each["name"] == "cupy")
    assert record["available"]
    assert record["devices"] == [*device.devices]
    shown = " ".join(CliRunner().invoke(app, ["info"]).stdout.split())
    assert "as if it were a device" in shown
