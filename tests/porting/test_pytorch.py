"""What PyTorch's users do with an optimizer: right in the port, and judged in any class."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conformance.running import PORTING, broken, conform, port

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
FILE = PORTING / "wrapper_pytorch.py"

STEP = "    def step(self, closure"
NARROW = (
    "p.detach().clone() for p in self._params()}",
    "p.detach().float() for p in self._params()}",
)
UNPICKLED = ("def __getstate__", "def getstate")
GROUPS = "groups: list[dict[str, Any]] = self.inner.param_groups"
COUNT = "        self.cycle_step += 1\n"
RANK = "torch.distributed.is_initialized() and torch.distributed.get_rank()"
LOAD = "self.inner.load_state_dict("

USED_WRONGLY = {
    "closure": ("return loss", "return None"),
    "zero-grad": (
        STEP,
        f"    def zero_grad(self, set_to_none=True):\n        pass\n\n{STEP}",
    ),
    "groups": ('from group["params"]', 'from group["params"]\n            return'),
    "groups-of-their-own": (
        "self.alpha = alpha",
        "self.alpha = alpha; [g.update(k=k, alpha=alpha) for g in inner.param_groups]",
    ),
    "scheduler": (GROUPS, "groups = [dict(group) for group in self.inner.param_groups]"),
    "scheduler-after-loading": (
        GROUPS,
        'groups = self.__dict__.setdefault("kept", self.inner.param_groups)',
    ),
    "state-dict": ('"cycle_step": self.cycle_step', '"cycle_step": 0'),
    "load-twice": ("p: phi.to(p)", "p: self.__dict__.setdefault(str(id(p)), phi)"),
    "load-unchanged": ("copy.deepcopy(saved)\n        own", "dict(saved)\n        own"),
    "weights-only": ('"syncs": self.syncs,', '"syncs": self.syncs, "path": slice(0),'),
    "pickled": UNPICKLED,
    "deepcopied": UNPICKLED,
    "add-param-group": ("setdefault(p, p.detach()", "setdefault(p, 0 * p.detach()"),
    "hooks": ("self.__setstate__(", "self.__dict__.update("),
    "grad-scaler": (STEP, f"    _step_supports_amp_scaling = True\n\n{STEP}"),
    "bfloat16": NARROW,
    "half": NARROW,
    "compiled": ("    @torch.compiler.disable", "    #"),
    "distributed": (COUNT, f"{COUNT}        self.k = 3 + int({RANK})\n"),
}
"""Check to a change of the port that it is to name."""
OF_THE_INNER = ("load-twice", LOAD, f"self.state or {LOAD}")


def judged(target: str) -> tuple[int, dict[str, Any]]:
    done = conform(target, "--profile", "pytorch", "--json")
    return done.exit_code, {
        each["name"]: each for each in json.loads(done.stdout)["checks"]
    }


def test_the_port_holds_in_every_way_of_use() -> None:
    port("wrapper_pytorch", "torch")
    code, found = judged(f"{FILE}:Lookahead")
    others = {name: each["verdict"] for name, each in found.items() if each["says"]}
    assert others == {"groups-of-their-own": "not offered"}
    assert code == 0


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [*((name, *change) for name, change in USED_WRONGLY.items()), OF_THE_INNER],
)
def test_a_way_of_use_that_is_broken_is_named(
    name: str, right: str, wrong: str, tmp_path: Path
) -> None:
    port("wrapper_pytorch", "torch")
    from lookahead_ref.conformance.adapters import pytorch_profile

    file = broken(FILE, right, wrong, tmp_path)
    make = pytorch_profile.lookahead_of(f"{file}:Lookahead")
    with pytest.raises(Exception):  # noqa: B017, PT011
        pytorch_profile.CHECKS.by_name[name].run(make)


def test_every_way_of_use_has_a_change_that_breaks_it() -> None:
    port("wrapper_pytorch", "torch")
    from lookahead_ref.conformance.adapters import pytorch_profile

    assert USED_WRONGLY.keys() == pytorch_profile.CHECKS.by_name.keys()


def test_a_package_that_people_use_is_judged() -> None:
    port("wrapper_pytorch", "torch", "torch_optimizer")
    code, found = judged("torch_optimizer:Lookahead")
    assert code == 1
    fails = {name for name, each in found.items() if each["verdict"] == "fails"}
    assert fails >= {"pickled", "deepcopied", "scheduler-after-loading"}
    assert all(found[name]["fix"] and found[name]["says"] for name in fails)


def test_groups_that_step_by_their_own_k_and_alpha_pass() -> None:
    port("wrapper_pytorch", "torch", "timm")
    spec: Any = find_spec("timm")
    file = Path(spec.origin).parent / "optim" / "lookahead.py"  # all of it needs more
    _, found = judged(f"{file}:Lookahead")
    assert found["groups-of-their-own"]["verdict"] == "passes"


def test_only_wrappers_are_accepted() -> None:
    port("wrapper_pytorch", "torch")
    for target in (f"{FILE}:Adapter", "optax"):
        done = conform(target, "--profile", "pytorch")
        assert done.exit_code == 2
        assert "needs a class, such as torch_optimizer:Lookahead" in done.stderr
