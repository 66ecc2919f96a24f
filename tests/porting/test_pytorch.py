"""What PyTorch's users do with an optimizer: right in the port, and judged in any class."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conformance.running import PORTING, broken, conform, named, port, results

from lookahead_ref.conformance import adapters, load
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.protocol import setup

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
FILE = PORTING / "wrapper_pytorch.py"

STEP = "    def step(self, closure"
ZERO_GRAD = "def zero_grad(self, **_): self.inner.zero_grad()"
NARROW = ("detach().clone() for p in self._p", "detach().float() for p in self._p")
UNPICKLED = ("def __getstate__", "def getstate")
KEPT = "groups = self.__dict__.setdefault('kept', "
GROUPS = "groups: list[dict[str, Any]] = self.inner.param_groups"
COUNT = "        self.cycle_step += 1\n"
RANK = "torch.distributed.is_initialized() and torch.distributed.get_rank()"
LOAD = "self.inner.load_state_dict("

USED_WRONGLY = {
    "closure": ("return loss", "return None"),
    "zero-grad": (STEP, f"    def zero_grad(self, set_to_none=True): ...\n\n{STEP}"),
    "set-to-none": (STEP, f"    {ZERO_GRAD}\n\n{STEP}"),
    "groups": ('from group["params"]', 'from group["params"]\n            return'),
    "groups-of-their-own": (
        "self.alpha = alpha",
        "self.alpha = alpha; [g.update(k=k, alpha=alpha) for g in inner.param_groups]",
    ),
    "scheduler": (GROUPS, "groups = [dict(group) for group in self.inner.param_groups]"),
    "scheduler-after-loading": (GROUPS, f"{KEPT}self.inner.param_groups)"),
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
INNER = "loss = self.inner.step(closure)"
AT_ONE_RATE = INNER, f"[g.update(lr=0.1) for g in self.inner.param_groups]; {INNER}"
WRONGLY = [(name, *change) for name, change in USED_WRONGLY.items()]
WRONGLY += [("load-twice", LOAD, f"self.state or {LOAD}")]
WRONGLY += [(name, *AT_ONE_RATE) for name in USED_WRONGLY if name.startswith("scheduler")]
PAIRS = "zip(self.inner.param_groups, self.param_groups)"
OWNED = {
    GROUPS: f"""{KEPT}[])
        groups += [dict(group) for group in self.inner.param_groups[len(groups) :]]""",
    INNER: f"[inner.update(lr=own['lr']) for inner, own in {PAIRS}]; {INNER}",
    LOAD: f"self.__dict__.pop('kept'); {LOAD}",
}
"""Groups of its own, whose rates it hands to the inner optimizer: right too."""
STALE = dict([USED_WRONGLY["scheduler-after-loading"]])
"""Its groups are the inner optimizer's, until that has new ones: after loading."""


def judged(target: str) -> tuple[int, dict[str, Any]]:
    done = conform(target, "--profile", "pytorch", "--json")
    checks = json.loads(done.stdout)["checks"]
    return done.exit_code, {each["name"]: each for each in checks}


@pytest.mark.parametrize("changes", [{}, OWNED], ids=["shared-groups", "own-groups"])
def test_a_right_port_holds_in_every_way_of_use(
    changes: dict[str, str], tmp_path: Path
) -> None:
    port("wrapper_pytorch", "torch")
    code, found = judged(f"{broken(FILE, changes, tmp_path)}:Lookahead")
    others = {name: each["verdict"] for name, each in found.items() if each["says"]}
    assert others == {"groups-of-their-own": "not offered"}
    assert code == 0
    assert found.keys() == USED_WRONGLY.keys()


@pytest.mark.parametrize(("name", "right", "wrong"), WRONGLY)
def test_a_way_of_use_that_is_broken_is_named(
    name: str, right: str, wrong: str, tmp_path: Path
) -> None:
    port("wrapper_pytorch", "torch")
    from lookahead_ref.conformance.adapters import pytorch_profile

    file = broken(FILE, {right: wrong}, tmp_path)
    make = pytorch_profile.lookahead_of(f"{file}:Lookahead")
    with pytest.raises(Exception):  # noqa: B017, PT011
        pytorch_profile.CHECKS.by_name[name].run(make)
    if name == "state-dict":  # what is lost is not changed
        pytorch_profile.CHECKS.by_name["load-unchanged"].run(make)


@pytest.mark.parametrize(
    ("changes", "causes"),
    [(OWNED, []), (STALE, [{frozenset({"schedule-frozen-after-loading"})}])],
    ids=["own-groups", "stale-groups"],
)
def test_rates_are_written_where_a_scheduler_of_pytorch_writes(
    changes: dict[str, str], causes: list[Any], tmp_path: Path
) -> None:
    port("wrapper_pytorch", "torch")
    import torch

    from lookahead_ref.conformance.adapters.pytorch import PyTorch

    file = broken(FILE, changes, tmp_path)
    wrapper: Any = adapters.adapter(f"{file}:Lookahead")

    def wrap(inner: Any, level: Any) -> Any:
        return wrapper(inner, level.k, level.alpha[0])

    names = ("schedule-sgd-decay", "resume-schedule-after4", "resume-schedule-after6")
    decay = [load().case(name) for name in names]
    found = diagnose(results(lambda: PyTorch(wrap, lambda *_: None), decay, "float64"))
    assert [named(each.explanations) for each in found] == causes
    # The case's learning rates are those of a real scheduler.
    rates = setup(decay[0], "float64").inner.learning_rate
    optimizer = wrapper(torch.optim.SGD([torch.zeros(1)], rates[0]), 5, 0.5)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    for rate in rates:
        optimizer.step()
        assert optimizer.inner.param_groups[0]["lr"] == rate
        schedule.step()


@pytest.mark.parametrize("place", ["meta", "float64"])
def test_a_state_is_loaded_to_the_device_and_dtype_of_the_parameters(place: str) -> None:
    wrapper = port("wrapper_pytorch", "torch")
    import torch

    def stepped(p: Any, steps: int, saved: Any = None) -> Any:
        p.grad = torch.ones_like(p)
        inner = torch.optim.SGD([p], momentum=0.9)
        optimizer = wrapper.Lookahead(inner, k=2, inner_state="interpolate")
        if saved:
            optimizer.load_state_dict(saved)
        for _ in range(steps):
            optimizer.step()
        return optimizer

    saved = stepped(torch.ones(3), 2).state_dict()
    p = torch.ones(3).to(getattr(torch, place, place))
    loaded = stepped(p, 1, saved)
    kept = [loaded.phi[p], *loaded.anchor[p].values(), *loaded.state[p].values()]
    assert {(each.device, each.dtype) for each in kept} == {(p.device, p.dtype)}


def test_a_package_that_people_use_is_judged() -> None:
    port("wrapper_pytorch", "torch", "torch_optimizer")
    code, found = judged("torch_optimizer")
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
        assert "such as torch_optimizer:Lookahead or optax:lookahead, that" in done.stderr
