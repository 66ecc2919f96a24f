"""Wrong Lookaheads: the worked port of the guide with a line or two changed in it.

A program is named by what a diagnosis is to say of it. The changes that make the bugs are
those of the gallery in the documentation; here are those that no case has for a flag.
"""

import sys
import tomllib
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

DOCS = Path(__file__).parents[2] / "docs"
FILES = ("inner_rules", "wrapper_plain")
SOURCES = {
    name: (DOCS / "porting" / f"{name}.py").read_text(encoding="utf-8") for name in FILES
}

Change = tuple[str, str]


def gallery() -> dict[str, list[Change]]:
    text = (DOCS / "notebooks" / "bugs.toml").read_text(encoding="utf-8")
    return {
        name: [(each["right"], each["wrong"]) for each in (bug, bug.get("also")) if each]
        for name, bug in tomllib.loads(text).items()
    }


GALLERY = gallery()
PLAIN = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))

ALPHA = "alpha = self.alpha(self.syncs)"
VELOCITY = 's["velocity"] = h["momentum"] * s["velocity"] + g'
OUTER = "phi += alpha * (theta - phi)"
PHI = "self.phi = copy.deepcopy(self.params)"
STEP = "        self.inner.step(gradients)\n"
HALF = """
        for name, phi in self.phi.items():
            phi += (old[name] - phi) / 2
"""

NARROWER = [name.removesuffix(", no more") for name in PLAIN if name.endswith("no more")]
"""Bugs of the gallery that do more there: with other rules, or to Lookaheads within."""

UNKNOWN: dict[str, list[Change]] = {
    "alpha-bent": [(ALPHA, f"{ALPHA}; alpha -= alpha ** 3 / 7")],
    "half-the-phi-loaded": [
        ("vars(self).update(saved)", f"old = self.phi; vars(self).update(saved){HALF}")
    ],
}
"""These no hypothesis of the suite covers."""

TWO_AT_ONCE = """
first-sync-at-step-1 phi-after-first-step, phi-at-first-sync alpha-swapped,
phi-starts-at-zero alpha-frozen, period-plus-one alpha-swapped,
period-minus-one inner-state-not-reset, count-not-reset checkpoint-without-phi,
reset-restarts-schedule adam-epsilon-in-root,
only-momentum-reset checkpoint-shares-memory,
checkpoint-without-step-counter evaluates-fast-weights, alpha-swapped adam-uncorrected,
interpolated-slots-aliased checkpoint-without-schedule,
phi-after-first-step decay-ignored, nested-phi-kept nesterov-ignored,
interpolated-slots-aliased single-precision, alpha-swapped double-precision,
never-synchronizes adam-count-one-ahead,
phi-not-restored outer-heavy-ball-for-nesterov,
outer-momentum-dampened checkpoint-without-outer-state
"""

CHANGES = GALLERY | UNKNOWN
CHANGES |= {name: list(map(tuple, each["changes"])) for name, each in PLAIN.items()}


def program(*names: str) -> Any:
    """Return the port, as an adapter, with what these names say made wrong in it."""
    return changed(change for name in names for change in CHANGES[name])


def changed(changes: Iterable[Change], **known: Any) -> Any:
    """Return the port, as an adapter, with changes that may use what is known by a name."""
    sources = dict(SOURCES)
    for right, wrong in changes:
        (file,) = (file for file in FILES if right in sources[file])
        assert sources[file].count(right) == 1
        sources[file] = sources[file].replace(right, wrong)
    modules = {name: types.ModuleType(name) for name in FILES}
    with mock.patch.dict(sys.modules, modules):
        for name, module in modules.items():
            vars(module).update(known)
            exec(compile(sources[name], f"changed/{name}.py", "exec"), vars(module))
    return modules["wrapper_plain"].Adapter
