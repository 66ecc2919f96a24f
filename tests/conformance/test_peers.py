"""The suite on public implementations: found by name, diagnosed where they are there."""

import pytest

from lookahead_ref.conformance.adapters.peers import PEERS, Peer
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.running import builtin, open_target, run
from lookahead_ref.conformance.vectors import Case, cases
from lookahead_ref.extras import MissingExtraError

CAUSES = {
    "optax": {"reset-restarts-schedule"},
    "torch_optimizer": {"first-sync-at-step-1", "phi-after-first-step"},
    "pytorch_optimizer": {"only-momentum-reset", "only-momentum-interpolated"},
    "paddlepaddle": {"phi-after-first-step", "single-precision"},
    "timm": {"phi-at-first-sync", "evaluation-synchronizes"},
    "pylocron": set(),
    "torch2-look-ahead": {"only-momentum-reset", "only-momentum-interpolated"},
}
PROFILES = ("state", "schedule", "evaluation", "inner:sgd")


def chosen() -> list[Case]:
    """A part of the cases, as all of them take minutes."""
    found = [case for name in PROFILES for case in cases(name)[::2]]
    return [case for case in found if not {"subnormal", "overflow"} & set(case.flags)]


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_what_departs_in_it_is_named(name: str) -> None:
    if not PEERS[name].installed:
        pytest.skip(f"needs {name}")
    target = open_target(name)
    try:
        results = run(target, chosen(), dtypes=["float64"])
    finally:
        target.close()
    assert name in builtin()
    assert target.name.startswith(f"{name} ")
    assert not [result for result in results if result.status == "failed"]
    found = diagnose(results)
    explanations = found[0].explanations if found else [()]
    assert len(found) <= 1
    assert CAUSES[name] in [{bug.name for bug in each} for each in explanations]


def test_one_that_is_not_installed_is_told_with_the_extra_that_installs_it() -> None:
    absent = Peer("no_such_package", ("no_such_module",), "optax:Optax")
    assert not absent.installed
    with pytest.raises(MissingExtraError, match=r"no_such_module .*-ref\[peers\]"):
        absent.require()


def test_every_peer_has_an_expected_cause() -> None:
    assert CAUSES.keys() == PEERS.keys()
