"""The registry of backends: what is there, what is not, and why."""

from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref.stepping import backend

PARAMS = {"x": np.zeros(2)}


NO_DEVICE = backend.BackendUnavailableError("backend 'broken': no device was found")
NO_CUPYX = ModuleNotFoundError("No module named 'cupyx'", name="cupyx")
LOADS: dict[str, Any] = {
    "broken": lambda: mock.Mock(side_effect=NO_DEVICE),
    "faulty": lambda: mock.Mock(side_effect=ValueError("a fault of its own")),
    # As CuPy does where it cannot make a folder.
    "homeless": mock.Mock(side_effect=FileNotFoundError("No such file: '/home/nobody'")),
    "missing": mock.Mock(side_effect=NO_CUPYX),
    "odd": lambda: mock.Mock(side_effect=RuntimeError()),
}


@pytest.fixture
def more_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    registered = backend.entry_points(group="lookahead_ref.backends")
    more = [SimpleNamespace(name=name, load=load) for name, load in LOADS.items()]
    monkeypatch.setattr(backend, "entry_points", lambda group: [*registered, *more])


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_the_backends_of_this_package_follow_the_protocol(name: str) -> None:
    found = backend.load(name)
    assert isinstance(found, backend.Backend)
    assert found.name == name
    assert found.version[0].isdigit()
    assert found.devices


def test_another_package_can_add_one(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = type(backend.load("numpy"))
    mine = type("Mine", (numpy,), {"name": "mine"})
    entry = SimpleNamespace(name="mine", load=lambda: mine)
    groups = {"lookahead_ref.backends": [entry]}
    monkeypatch.setattr(backend, "entry_points", lambda group: groups[group])
    assert backend.names() == ("mine",)
    stepper = la.Stepper(la.SGD(1.0), PARAMS, backend="mine")
    stepper.step({"x": np.ones(2)})
    assert stepper.params["x"].tolist() == [-1.0, -1.0]


def test_without_any_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "entry_points", lambda group: [])
    with pytest.raises(ValueError, match="one of none: reinstall the package, got 'any'"):
        backend.load("any")


@pytest.mark.usefixtures("more_backends")
@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("nunpy", ValueError, "backend must be one of 'broken', 'cupy', .*, got 'nunpy'"),
        ("missing", la.BackendUnavailableError, "not available: No module named 'cupyx'"),
        ("broken", la.BackendUnavailableError, "no device was found"),
        ("faulty", ValueError, "a fault of its own"),
    ],
)
def test_a_backend_that_cannot_run_says_why(name: str, error: Any, reason: str) -> None:
    with pytest.raises(error, match=reason):
        la.Stepper(la.SGD(0.1), PARAMS, backend=name)


@pytest.mark.usefixtures("more_backends")
def test_describe_reports_each_and_why_it_is_not_available() -> None:
    records = {record.name: record for record in backend.describe()}
    assert list(records) == [
        *("broken", "cupy", "faulty", "homeless", "missing", "numba", "numpy", "odd")
    ]
    available = [name for name, record in records.items() if record.available]
    assert [name for name in available if name != "cupy"] == ["numba", "numpy"]
    assert records["numpy"].version == np.__version__
    assert records["numpy"].reason == ""
    assert records["numpy"].devices == tuple(backend.load("numpy").devices)
    reasons = [records[name].reason for name in ("broken", "faulty", "odd")]
    assert reasons == [str(NO_DEVICE), "a fault of its own", "RuntimeError"]
    assert "No module named 'cupyx'" in records["missing"].reason
    assert (records["broken"].version, records["broken"].devices) == ("", ())


@pytest.mark.parametrize("bad", [None, 5, np, b"numpy", type(backend.load("numpy"))])
def test_a_backend_is_a_name_or_follows_the_protocol(bad: Any) -> None:
    message = "backend must be a backend or its name, got"
    with pytest.raises(TypeError, match=message):
        la.Stepper(la.SGD(0.1), PARAMS, backend=bad)
