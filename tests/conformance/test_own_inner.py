"""The outer update alone is judged, around an inner optimizer that no case knows."""

import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conformance.running import conform, named, statuses
from conformance.wrong import DOCS, program

from lookahead_ref.conformance import Inner, cases, observe
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.own_inner import own_cases
from lookahead_ref.conformance.running import run


def taken(
    *bugs: str, rate: float = 1.0, decay: float = 0.0, offers: Any = ("own-inner",)
) -> list[Result]:
    """Run the profile on the port with bugs, around its own Adam."""

    class Own(program(*bugs)):  # type: ignore[misc]
        def start(self, setup: Any) -> None:
            setup.only(rules={"own"})
            adam = {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "weight_decay": decay}
            own = rate * setup.inner.learning_rate[0]
            super().start(replace(setup, inner=Inner("adam", adam, "decoupled", (own,))))

    Own.offers = offers
    target: Any = SimpleNamespace(observe=lambda c, d: observe(c, d, Own(), Own))
    return run(target, [*own_cases(), *cases("inner:sgd")[:2]])


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_right_outer_update_passes_around_any_inner_optimizer(decay: float) -> None:
    *own, _, _, _, not_own = taken(decay=decay)
    judged = [not decay or each.case.save_after is None for each in own]
    assert [each.status == "passed" for each in own] == judged
    assert len(own) == len(own_cases()) == 14
    assert max(r.verdict.largest for r in own if r.verdict) < 0.7  # in any order of sums
    assert not_own.status == "unsupported"


@pytest.mark.parametrize(
    "bugs",
    [
        ("first-sync-at-step-1",),
        ("alpha-swapped",),
        ("first-sync-at-step-1", "phi-after-first-step"),
        ("checkpoint-without-step-counter", "alpha-swapped"),
        ("evaluates-fast-weights",),
    ],
)
def test_a_wrong_one_fails_and_its_bugs_are_named(bugs: tuple[str, ...]) -> None:
    for some, decay in ((bugs, 0.0), (bugs[-1:], 0.1)):
        (found,) = diagnose(taken(*some, decay=decay))
        assert {*some} in named(found.explanations)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"rate": 1e3}, "its steps are too large"),
        ({"rate": 1e-20}, "its steps are too small"),
        ({"offers": ()}, "an inner optimizer of its own"),
    ],
)
def test_unsuitable_inner_optimizers_count_as_not_offered(changed: Any, says: str) -> None:
    results = taken(**changed)[:14]
    assert statuses(results) == {"unsupported"}
    assert all(says in each.reason for each in results)


@pytest.mark.parametrize(
    "package", ["pytorch_optimizer", "torch_optimizer", "pytorch_ranger"]
)
def test_ranger_of_packages_is_judged_by_the_adapter_of_the_page(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec(package) is None:
        pytest.skip(f"needs {package}")
    page = (DOCS / "conformance" / "harness.md").read_text(encoding="utf-8")
    (adapter,) = re.findall(r"```{code-block} python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    source = f"import torch\nfrom {package} import Ranger\n{adapter}"
    tmp_path.joinpath("ranger.py").write_text(source)
    done = conform("ranger.py:Adapter", "--profile", "own-inner", "--json")
    assert done.exit_code == 0, done.stdout
