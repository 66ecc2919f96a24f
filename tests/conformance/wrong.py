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

DUE = "if self.cycle_step == self.k:"
ALPHA = "alpha = self.alpha(self.syncs)"
VELOCITY = 's["velocity"] = h["momentum"] * s["velocity"] + g'
SLOTS = "slots.update(zeros(inner.inner.rule, self.phi[name]))"
OUTER = "phi += alpha * (theta - phi)"
INTERPOLATION = "start + alpha * (slots[slot] - start)"
FAST = "fast = copy.deepcopy(self.params)"
RESETS = """self.inner, self.k = inner, k
        self.inner_state = inner_state.replace("interpolate", "reset")
"""
NOTHING_DONE = "self.cycle_step = 0  # nothing done yet"
PHI = "self.phi = copy.deepcopy(self.params)"
LOADED = "        vars(self).update(saved)\n        if self.outer:\n"
STEP = "        self.inner.step(gradients)\n"
BEFORE = "        self.before = copy.deepcopy(self.params)\n"
WHOLE_STEP = f"""{STEP}        self.cycle_step += 1
        if self.cycle_step == self.k:
            self.synchronize()
"""
OUTERMOST_FIRST = """        level, due = self, []
        while isinstance(level, Lookahead):
            level.cycle_step += 1
            due += [level] * (level.cycle_step == level.k)
            level = level.inner
        level.step(gradients)
        for each in due:
            each.synchronize()
"""
HALF = """
        for name, phi in self.phi.items():
            phi += (old[name] - phi) / 2
"""
ROWS = """rows = len(phi) if phi.ndim > 1 else 1
            end = (rows - 1) * rows + phi.size // rows
            theta, phi = theta.reshape(-1)[:end], phi.reshape(-1)[:end]"""
READ = """{n: x if x is None else x.reshape(-1).reshape(x.shape, order="F")
            for n, x in (%s).items()}"""
COUNT = """            if self.inner_state == "interpolate":
                start = vars(self).setdefault("counts", {}).get(name, 0)
                inner.count[name] = start + alpha * (inner.count[name] - start)
                self.counts[name] = inner.count[name]
"""
EACH_TENSOR = f"""{STEP}        for name, theta in self.params.items():
            self.cycle_step += 1
            if self.cycle_step % self.k == 0:
                self.phi[name] += self.alpha(self.syncs) * (theta - self.phi[name])
                theta[...] = self.phi[name]
"""
FROM_PHI = f"""        fast = copy.deepcopy(self.params)
        for name, theta in self.params.items():
            theta[...] = self.phi[name]
{STEP}        for name, theta in self.params.items():
            theta += fast[name] - self.phi[name]
"""
SUMMED = """        for name, theta in self.params.items():
            sums = vars(self).setdefault("sums", {})
            sums[name] = sums.get(name, 0) + theta
"""
AT_OWN_FIRST_STEP = """        for name, g in gradients.items():
            if g is not None and not vars(self).setdefault(f"has {name}", False):
                self.phi[name] = self.params[name].copy()
                vars(self)[f"has {name}"] = True
"""
AFTER_DECAY = """        inner, clock = self.innermost.inner, self.innermost.clock
        if not clock and inner.weight_decay_kind == "decoupled":
            decay = at(inner.learning_rate, 0) * inner.hyperparameters["weight_decay"]
            for name, phi in self.phi.items():
                phi -= decay * phi
"""
EVERY_STEP = """
        for name, theta in self.params.items():
            self.phi[name] += self.alpha(self.syncs) * (theta - self.phi[name])
"""

MISTAKES: dict[str, list[Change]] = {
    "k-fixed": [(DUE, "if self.cycle_step == 5:")],
    "synchronizes-once": [(DUE, "if self.cycle_step == self.k and not self.syncs:")],
    "synchronizes-from-k-on": [(DUE, "if self.cycle_step == self.k or self.syncs:")],
    "outer-update-adds": [(OUTER, "phi += alpha * theta")],
    "phi-moves-every-step": [
        ("self.cycle_step += 1\n", f"self.cycle_step += 1{EVERY_STEP}"),
        (OUTER, "pass"),
    ],
    "alpha-fixed": [(ALPHA, "alpha = 0.5")],
    "checkpoint-of-inner-alone": [(LOADED, "        if False:\n")],
    "checkpoint-of-inner-alone-phi-anew": [
        (LOADED, f"        {PHI}\n        self.keep_anchor()\n        if False:\n")
    ],
    "decay-from-phi": [(STEP, FROM_PHI)],
    "phi-towards-mean": [
        (STEP, f"{STEP}{SUMMED}"),
        ("(theta - phi)", "(self.sums.pop(name) / self.k - phi)"),
    ],
    "phi-moves-fast": [
        (STEP, f"{BEFORE}{STEP}"),
        (OUTER, "old = phi.copy(); phi += alpha * (theta - phi)"),
        ("theta[...] = phi\n", "phi += self.before[name] - old; theta[...] = phi\n"),
    ],
    "delta-from-fast": [
        (STEP, f"{BEFORE}{STEP}"),
        ("theta[...] = phi\n", "theta[...] = self.before[name] + (phi - theta)\n"),
    ],
    "delta-and-phi-from-fast": [
        (STEP, f"{BEFORE}{STEP}"),
        ("theta[...] = phi\n", "phi += self.before[name] - theta; theta[...] = phi\n"),
    ],
    "reset-for-interpolation": [
        ("self.inner, self.k, self.inner_state = inner, k, inner_state", RESETS)
    ],
    "count-interpolated": [
        ("slots in inner.slots.items():\n", f"slots in inner.slots.items():\n{COUNT}")
    ],
    "counts-tensors": [(WHOLE_STEP, EACH_TENSOR)],
    "evaluation-counts": [
        ("fast = copy.deepcopy(self.params)", f"self.cycle_step += 1; {FAST}"),
        (DUE, "if self.cycle_step >= self.k:"),
    ],
    "slots-scaled-by-alpha": [(INTERPOLATION, "alpha * slots[slot]")],
    "slots-scaled-by-one-minus-alpha": [(INTERPOLATION, "(1 - alpha) * slots[slot]")],
    "interpolated-slots-aliased-in-place": [
        (
            INTERPOLATION,
            f"alpha * (2 - alpha) * slots[slot] if self.syncs else {INTERPOLATION}",
        )
    ],
    "first-sync-one-late": [(NOTHING_DONE, "self.cycle_step = -1")],
    "phi-at-own-first-step": [
        (STEP, f"{STEP}{AT_OWN_FIRST_STEP}"),
        (
            '"cycle_step", "syncs")',
            '"cycle_step", "syncs", *(n for n in vars(self) if n[:4] == "has "))',
        ),
    ],
    "phi-after-decay": [(STEP, f"{AFTER_DECAY}{STEP}")],
    "outer-sync-first": [(WHOLE_STEP, OUTERMOST_FIRST)],
    "read-column-by-column": [
        ("setup.split(setup.params)", f"setup.split({READ % 'setup.params'})"),
        ("setup.split(gradients)", f"setup.split({READ % 'gradients'})"),
    ],
    "synchronizes-no-sgd": [(DUE, f"{DUE[:-1]} and self.innermost.inner.rule != 'sgd':")],
    "stride-of-rows": [(OUTER, f"{ROWS}; {OUTER}")],
}

NARROWER: dict[str, list[Change]] = {
    "slots-not-reset": [(SLOTS, f'inner.inner.rule == "adam" or {SLOTS}')],
    "momentum-dampened": [
        (
            '"heavy-ball": heavy_ball',
            '"heavy-ball": lambda g, s, t: heavy_ball((1 - h["momentum"]) * g, s, t)',
        )
    ],
    "phi-not-stored": [
        (OUTER, "phi = phi + alpha * (theta - phi)"),
        ("follow(self.phi,", "follow(self.phi if level is self else self.params,"),
    ],
}
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
interpolated-slots-aliased single-precision, never-synchronizes adam-count-one-ahead,
phi-not-restored outer-heavy-ball-for-nesterov,
outer-momentum-dampened checkpoint-without-outer-state
"""

CHANGES = GALLERY | MISTAKES | UNKNOWN
CHANGES |= {name: list(map(tuple, each["changes"])) for name, each in PLAIN.items()}
CHANGES |= {f"{name}, no more": changes for name, changes in NARROWER.items()}


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
