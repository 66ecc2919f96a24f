"""The outer update alone is judged, around an inner optimizer that no case knows."""

from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conformance.running import conform, named, statuses

from lookahead_ref.conformance import cases, observe
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.own_inner import own_cases
from lookahead_ref.conformance.running import run

FIRST, LATE, SWAPPED = "first-sync-at-step-1", "phi-after-first-step", "alpha-swapped"


class Fused:
    """Signs of a momentum and Lookahead in one step, as Ranger has it; perhaps wrong."""

    offers = ("own-inner",)
    decay, rate = 0.0, 1.0

    def __init__(self, *bugs: str) -> None:
        self.bugs = bugs

    def start(self, setup: Any) -> None:
        setup.only(rules={"own"})
        (level,) = setup.levels
        self.k, self.alpha = level.k, level.alpha[0]
        if SWAPPED in self.bugs:
            self.alpha = 1 - self.alpha
        self.learning_rate = self.rate * setup.inner.learning_rate_at(0)
        self.params = {name: [w, 0 * w, w.copy()] for name, w in setup.params.items()}
        self.count = 0

    def step(self, gradients: Any) -> None:
        self.count += 1
        due = self.count % self.k == (1 % self.k if FIRST in self.bugs else 0)
        for name, (w, m, phi) in self.params.items():
            m = m + (gradients[name] - m) / 5
            step = np.sqrt(np.abs(m)) * np.sign(m) + self.decay * w
            w = (w - w.dtype.type(self.learning_rate) * step).astype(w.dtype)
            if LATE in self.bugs and self.count == 1:
                phi = w
            if due:
                phi = w = (phi + self.alpha * (w - phi)).astype(w.dtype)
            self.params[name] = [w, m, phi]

    def fast(self) -> Any:
        return {name: w for name, (w, _, _) in self.params.items()}

    def evaluation(self) -> Any:
        return {name: phi for name, (_, _, phi) in self.params.items()}

    def snapshot(self) -> Any:
        return dict(self.params), 0 if "counter" in self.bugs else self.count

    def dump(self, snapshot: Any) -> Any:
        return snapshot

    def load(self, state: Any) -> None:
        self.params, self.count = state


def taken(make: Any) -> list[Result]:
    target: Any = SimpleNamespace(observe=lambda c, d: observe(c, d, make(), make))
    return run(target, own_cases())


def test_a_right_outer_update_passes_around_any_inner_optimizer() -> None:
    results = taken(Fused)
    assert statuses(results) == {"passed"}
    assert len(results) == len(own_cases()) == 14
    # Not by a hair: whatever order it computes in.
    assert max(r.verdict.largest for r in results if r.verdict) < 0.7


@pytest.mark.parametrize(
    "bugs", [(FIRST,), (SWAPPED,), (FIRST, LATE), ("counter",), ("counter", SWAPPED)]
)
def test_a_wrong_one_departs_and_its_bugs_are_named(bugs: tuple[str, ...]) -> None:
    results = taken(lambda: Fused(*bugs))
    assert "departed" in statuses(results)
    expected = {b if b != "counter" else "checkpoint-without-step-counter" for b in bugs}
    (found,) = diagnose(results)
    assert expected in named(found.explanations)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"decay": 0.1}, "its steps depend on the weights"),
        ({"rate": 1e3}, "its steps are too large"),
        ({"rate": 1e-20}, "its steps are too small"),
        ({"offers": ()}, "an inner optimizer of its own"),
    ],
)
def test_what_cannot_be_judged_so_is_not_offered(changed: Any, says: str) -> None:
    results = taken(type("Changed", (Fused,), changed))
    assert statuses(results) == {"unsupported"}
    assert all(says in each.reason for each in results)


def test_one_that_is_fused_has_nothing_else_and_is_not_asked_for_it() -> None:
    target: Any = SimpleNamespace(observe=lambda c, d: observe(c, d, Fused()))
    assert statuses(run(target, cases("inner:sgd")[:2])) == {"unsupported"}


RANGER = """
import numpy, torch
from {package} import Ranger


class Adapter:
    offers = ("own-inner",)

    def start(self, setup):
        setup.only(rules={{"own"}})
        (level,) = setup.levels
        given = {{name: torch.tensor(each) for name, each in setup.params.items()}}
        self.params = {{name: torch.nn.Parameter(each) for name, each in given.items()}}
        rate = setup.inner.learning_rate_at(0)
        self.it = Ranger(self.params.values(), lr=rate, k=level.k, alpha=level.alpha[0])

    def step(self, gradients):
        for name, param in self.params.items():
            param.grad = torch.tensor(gradients[name])
        self.it.step()

    def fast(self):
        return {{name: p.detach().numpy().copy() for name, p in self.params.items()}}
"""


@pytest.mark.parametrize(
    "package", ["pytorch_optimizer", "torch_optimizer", "pytorch_ranger"]
)
def test_ranger_of_packages_is_judged(
    package: str, tmp_path: Any, monkeypatch: Any
) -> None:
    if find_spec(package) is None:
        pytest.skip(f"needs {package}")
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("ranger.py").write_text(RANGER.format(package=package))
    done = conform("ranger.py:Adapter", "--profile", "own-inner", "--json")
    assert done.exit_code == 0, done.stdout
