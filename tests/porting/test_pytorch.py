"""What PyTorch's users do with an optimizer: right in the port, and judged in any class."""

import json
from pathlib import Path
from typing import Any

import pytest
from conformance.running import conform
from porting.taking import PORTING, departures, port

pytestmark = pytest.mark.slow
FILE = PORTING / "wrapper_pytorch.py"

USED_WRONGLY = {
    "closure": ("return loss", "return None"),
    "no-gradient": ("p.copy_(phi)  # LA-7", "p.copy_(phi + 1e-3)"),
    "groups": (
        'yield from group["params"]',
        'yield from group["params"][:1]\n            return',
    ),
    "scheduler": (
        "        return groups\n",
        "        return [dict(group) for group in groups]\n",
    ),
    "state-dict": ('"cycle_step": self.cycle_step', '"cycle_step": 0'),
    "load-twice": ("p: phi.to(p)", "p: self.__dict__.setdefault(str(id(p)), phi)"),
    "weights-only": ('"syncs": self.syncs,', '"syncs": self.syncs, "path": Path(),'),
    "pickled": ("def __getstate__", "def getstate"),
    "deepcopied": ("def __getstate__", "def getstate"),
    "add-param-group": (
        "self.phi.setdefault(p, p.detach()",
        "self.phi.setdefault(p, 0 * p.detach()",
    ),
    "hooks": ("self.__setstate__(", "self.__dict__.update("),
    "bfloat16": (
        "p.detach().clone() for p in self._params()}",
        "p.detach().float() for p in self._params()}",
    ),
}
"""Check to a change of the port that it is to name."""


def judged(target: str) -> tuple[int, dict[str, Any]]:
    done = conform(target, "--profile", "pytorch", "--json")
    return done.exit_code, {
        each["name"]: each for each in json.loads(done.stdout)["checks"]
    }


def test_the_port_passes_the_suite_and_every_way_of_use() -> None:
    wrapper = port("wrapper_pytorch", "torch")
    assert departures(wrapper.Adapter)[0] == set()
    code, found = judged(f"{FILE}:Lookahead")
    assert {name: each["says"] for name, each in found.items() if each["says"]} == {}
    assert code == 0


@pytest.mark.parametrize("name", USED_WRONGLY)
def test_a_way_of_use_that_is_broken_is_named(name: str, tmp_path: Path) -> None:
    port("wrapper_pytorch", "torch")
    from lookahead_ref.conformance.adapters import pytorch_use

    right, wrong = USED_WRONGLY[name]
    source = FILE.read_text(encoding="utf-8")
    assert source.count(right) == 1
    file = tmp_path / f"wrong_{name.replace('-', '_')}.py"
    file.write_text("from pathlib import Path\n" + source.replace(right, wrong))
    make = pytorch_use.lookahead_of(f"{file}:Lookahead")
    with pytest.raises(Exception):  # noqa: B017, PT011
        pytorch_use.CHECKS[name].run(make)


def test_a_package_that_people_use_is_judged() -> None:
    port("wrapper_pytorch", "torch", "torch_optimizer")
    code, found = judged("torch_optimizer:Lookahead")
    assert code == 1
    departs = {name for name, each in found.items() if each["verdict"] == "departs"}
    assert departs >= {"pickled", "deepcopied", "scheduler-after-loading"}
    assert all(found[name]["fix"] and found[name]["says"] for name in departs)


def test_what_is_no_wrapper_is_refused() -> None:
    port("wrapper_pytorch", "torch")
    for target, says in (
        (f"{FILE}:Adapter", "needs a class that takes an optimizer"),
        ("optax", "needs a wrapper of PyTorch"),
    ):
        done = conform(target, "--profile", "pytorch")
        assert (done.exit_code, says in done.stderr) == (2, True)
