"""The oracle with its behaviour bent: a case as a program with a named departure sees it.

A departure is a *switch* set to something. The classes here are the oracle's own, with one
method overridden for each place where programs differ; with no switch set they are the
oracle, which the tests check. Departures with different switches can be combined.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.oracle import (
    Arithmetic,
    Gradients,
    Number,
    Step,
    Tensors,
    Update,
)

Switches = Mapping[str, Any]


class Run(NamedTuple):
    """All that is observed of a case.

    Attributes
    ----------
    steps : list of Step
        What is to be seen after each step, from start to end without a break.
    resumed : list of Step
        The same after the save point, seen by a new process that loaded the saved state;
        empty where the case saves nothing.
    evaluations : dict
        Step, counted from 1, to the weights that the program evaluates there.
    """

    steps: list[Step]
    resumed: list[Step]
    evaluations: dict[int, Tensors]


def _adam(h: Mapping[str, Number], t: int, sqrt: Any, form: str) -> Update:
    rest1, rest2 = 1 - h["beta1"], 1 - h["beta2"]
    bias1, bias2 = 1 - h["beta1"] ** t, 1 - h["beta2"] ** t

    def update(g: Number, m: Number, v: Number) -> tuple[Number, ...]:
        m = h["beta1"] * m + rest1 * g
        v = h["beta2"] * v + rest2 * (g * g)
        if form == "uncorrected":
            return m / (sqrt(v) + h["epsilon"]), m, v
        if form == "second-only":
            return m / (sqrt(v / bias2) + h["epsilon"]), m, v
        if form == "epsilon-in-root":
            return (m / bias1) / sqrt(v / bias2 + h["epsilon"]), m, v
        return m * sqrt(bias2) / bias1 / (sqrt(v) + h["epsilon"]), m, v  # epsilon-hat

    return update


def _adagrad_in_root(h: Mapping[str, Number], t: int, sqrt: Any) -> Update:  # noqa: ARG001
    def update(g: Number, s: Number) -> tuple[Number, ...]:
        s = s + g * g
        return g / sqrt(s + h["epsilon"]), s

    return update


def _forgotten(h: Mapping[str, Number], t: int, sqrt: Any) -> Update:  # noqa: ARG001
    def update(g: Number, v: Number) -> tuple[Number, ...]:  # noqa: ARG001
        return g, g

    return update


def _dampened(h: Mapping[str, Number], t: int, sqrt: Any) -> Update:  # noqa: ARG001
    def update(g: Number, v: Number) -> tuple[Number, ...]:
        v = h["momentum"] * v + (1 - h["momentum"]) * g
        return v, v

    return update


class Inner(oracle.Inner):
    """The inner optimizer, bent by the switches whose names its methods read."""

    switches: ClassVar[Switches] = {}

    def __init__(
        self, case: Mapping[str, Any], theta: Tensors, arithmetic: Arithmetic
    ) -> None:
        super().__init__(case, theta, arithmetic)
        momentum = self.switches.get("momentum")
        if momentum == "dampened" and self.rule is oracle.heavy_ball:
            self.rule = _dampened
        if momentum == "forgotten" and self.rule is oracle.heavy_ball:
            self.rule = _forgotten
        if momentum == "not-nesterov" and self.rule is oracle.nesterov:
            self.rule = oracle.heavy_ball
        form = self.switches.get("adam")
        if form == "betas-swapped" and self.rule is oracle.adam:
            self.h["beta1"], self.h["beta2"] = self.h["beta2"], self.h["beta1"]
        elif form is not None and self.rule is oracle.adam:
            self.rule = (
                (lambda h, t, sqrt: oracle.adam(h, t + 1, sqrt))
                if form == "count-ahead"
                else (lambda h, t, sqrt: _adam(h, t, sqrt, form))
            )
        if "adagrad" in self.switches and self.rule is oracle.adagrad:
            self.rule = _adagrad_in_root
        decay = self.switches.get("decay")
        self.given_decay = self.decay_kind
        if self.decay_kind != "none":
            if decay == "l2" or decay == "decoupled":
                self.decay_kind = decay
            if decay == "ignored":
                self.decay_kind = "none"
        rate = self.switches.get("rate")
        if rate == "frozen":
            self.learning_rate = self.learning_rate[:1]
        if rate == "negative":
            self.learning_rate = [-each for each in self.learning_rate]
        if rate == "one-ahead":
            self.clock = 1

    def step(self, theta: Tensors, grads: Gradients) -> Tensors:
        """Do one update."""
        if self.switches.get("no_gradient") == "zero-gradient":
            zero = self.arithmetic.number(0.0)
            grads = [
                [zero] * len(x) if g is None else g
                for x, g in zip(theta, grads, strict=True)
            ]
        return super().step(theta, grads)

    def element(
        self, update: Update, gamma: Number, x: Number, g: Number, *slots: Number
    ) -> tuple[Number, ...]:
        """Update one element."""
        if "velocity" in self.switches and self.names == ("velocity",):
            return self._rate_in_velocity(gamma, x, g, *slots)
        decay = self.switches.get("decay") if self.given_decay == "decoupled" else None
        if decay in ("after", "without-rate"):
            direction, *slots_after = update(g, *slots)
            moved = x - gamma * direction
            if decay == "after":
                return moved - gamma * self.h["weight_decay"] * moved, *slots_after
            return moved - self.h["weight_decay"] * x, *slots_after
        return super().element(update, gamma, x, g, *slots)

    def _rate_in_velocity(
        self, gamma: Number, x: Number, g: Number, v: Number
    ) -> tuple[Number, ...]:
        if self.decay_kind == "l2":
            g = g + self.h["weight_decay"] * x
        v = self.h["momentum"] * v - gamma * g
        moved = x + v
        if self.rule is oracle.nesterov:
            moved = x + self.h["momentum"] * v - gamma * g
        if self.decay_kind == "decoupled":
            moved = moved - gamma * self.h["weight_decay"] * x
        return moved, v


class Lookahead(oracle.Lookahead):
    """Lookahead, bent by the switches whose names its methods read."""

    switches: ClassVar[Switches] = {}

    def __init__(
        self,
        inner: Any,
        level: Mapping[str, Any],
        theta: Tensors,
        arithmetic: Arithmetic,
    ) -> None:
        super().__init__(inner, level, theta, arithmetic)
        self.arithmetic = arithmetic
        self.calls = 0
        period = self.switches.get("period", 0)
        fixed = {"one": 1, "five": 5}.get(period)
        self.k = max(1, self.k + period) if fixed is None else fixed
        self.cycle_step = self._first()
        if self.switches.get("capture") == "zero":
            self.phi = [[arithmetic.number(0.0)] * len(x) for x in theta]
        alpha = self.switches.get("alpha")
        if alpha == "swapped":
            self.alpha = [1 - each for each in self.alpha]
        if alpha == "one":
            self.alpha = [arithmetic.number(1.0)]
        if alpha == "half":
            self.alpha = [arithmetic.number(0.5)]
        if alpha == "frozen":
            self.alpha = self.alpha[:1]
        if self.switches.get("state") == "reset" and self.inner_state == "maintain":
            self.inner_state = "reset"
        self.own = [0] * len(theta)  # each tensor's own count of steps
        self.captured = [0] * len(theta)  # whether its phi has been captured

    def _first(self) -> int:
        return self.k - 1 if self.switches.get("first") == 1 else 0

    def _innermost(self) -> Any:
        inner: Any = self.inner
        while isinstance(inner, Lookahead):
            inner = inner.inner
        return inner

    def step(self, theta: Tensors, grads: Gradients) -> Tensors:
        """Do one step."""
        if self.switches.get("order") == "before-step" and self.cycle_step + 1 == self.k:
            self.cycle_step += 1
            self.synchronized = True
            self.calls += 1
            theta = self.synchronize(self._captured(theta, theta, grads))
            return self.inner.step(theta, grads)
        if self.switches.get("no_gradient") in ("own-clock", "skip-sync"):
            return self._step_by_tensor(theta, grads)
        before = self.cycle_step
        start, theta = theta, self.inner.step(theta, grads)
        self.calls += 1
        theta = self._captured(start, theta, grads)
        counts = True
        if "cycles" in self.switches and isinstance(self.inner, Lookahead):
            counts = self.inner.synchronized
        self.cycle_step = before + counts
        self.synchronized = self._due(before)
        if self.switches.get("outer") == "every-step":
            self.phi = oracle.interpolate(
                self.phi, theta, oracle.at(self.alpha, self.syncs)
            )
        if not self.synchronized:
            return theta
        return self.synchronize(start if self.switches.get("order") == "stale" else theta)

    def _due(self, before: int) -> bool:
        first = self.switches.get("first")
        if first == "once":
            return bool(self.calls == self.k)
        if first == "from-k":
            return bool(self.calls >= self.k)
        if first == "never":
            return False
        return bool(self.cycle_step == self.k and self.cycle_step != before)

    def _captured(self, start: Tensors, theta: Tensors, grads: Gradients) -> Tensors:
        capture = self.switches.get("capture")
        if self.calls == 1 and capture == "after-first-step":
            self.phi = theta
        if capture == "alias" or (capture == "alias-after-sync" and self.syncs):
            self.phi = theta
        if self.calls == 1 and capture == "first-gradient":
            self.phi = [
                list(x) if g is None else list(g) for x, g in zip(start, grads, strict=True)
            ]
        return theta

    def _step_by_tensor(self, theta: Tensors, grads: Gradients) -> Tensors:
        theta = self.inner.step(theta, grads)
        self.cycle_step += 1
        self.calls += 1
        due = []
        for i, g in enumerate(grads):
            self.own[i] += g is not None
            clock = (
                self.own[i]
                if self.switches["no_gradient"] == "own-clock"
                else self.cycle_step
            )
            due.append(g is not None and clock % self.k == 0)
        self.synchronized = any(due)
        capture = self.switches.get("capture")
        own_clock = self.switches["no_gradient"] == "own-clock"
        if capture in ("first-gradient", "after-first-step") and own_clock:
            seen = grads if capture == "first-gradient" else theta
            self.phi = [
                p if g is None or own > 1 or s is None else s
                for s, p, g, own in zip(seen, self.phi, grads, self.own, strict=True)
            ]
        if capture == "after-first-step" and not own_clock and self.calls == 1:
            # A slot that is made with the first gradient holds zeros until then.
            zero = self.arithmetic.number(0.0)
            self.phi = [
                [zero] * len(x) if g is None else x
                for x, g in zip(theta, grads, strict=True)
            ]
        if capture == "first-sync":
            first = [d and not c for d, c in zip(due, self.captured, strict=True)]
            self.phi = [
                x if f else p for x, p, f in zip(theta, self.phi, first, strict=True)
            ]
            self.captured = [c or d for c, d in zip(self.captured, due, strict=True)]
        moved = oracle.interpolate(self.phi, theta, oracle.at(self.alpha, self.syncs))
        self.phi = [m if d else p for m, p, d in zip(moved, self.phi, due, strict=True)]
        return [m if d else x for m, x, d in zip(moved, theta, due, strict=True)]

    def synchronize(self, theta: Tensors) -> Tensors:
        """Do the outer update."""
        innermost = self._innermost()
        if self.syncs == 0 and self.switches.get("capture") == "first-sync":
            self.phi = theta
        if self.switches.get("alpha") == "sees-steps":
            self.syncs = self.calls - 1
        before, phi = self.slots, self.phi
        counts, anchor = list(innermost.count), self.anchor
        alpha = oracle.at(self.alpha, self.syncs)
        if "interpolation" in self.switches and self.inner_state == "interpolate":
            first = self.switches["interpolation"] == "late-anchor" and self.syncs == 0
            velocity = innermost.names == ("velocity",)
            skips = self.switches["interpolation"] == "momentum-only" and not velocity
            if first or skips or self.switches["interpolation"] == "aliased":
                self.anchor = before
        new = super().synchronize(self._reached(theta))
        if self.inner_state == "reset":
            self._bend_reset(before, counts, innermost)
        if self.inner_state == "interpolate":
            self._bend_interpolation(before, anchor, alpha)
        if self.switches.get("rate") == "sees-syncs":
            innermost.clock = self.syncs
        if self.switches.get("first") == "recount":
            self.cycle_step = 1
        if "tensors" in self.switches:
            place = 0 if self.switches["tensors"] == "first" else len(new) - 1
            self.phi = [*phi[:place], new[place], *phi[place + 1 :]]
            new = [*theta[:place], new[place], *theta[place + 1 :]]
        write = self.switches.get("write")
        if write == "slow-kept":
            self.phi = phi
        if write == "slow-takes-fast":
            self.phi = theta
        return theta if write == "fast-kept" else new

    def _reached(self, theta: Tensors) -> Tensors:
        """Return what phi is to be moved towards."""
        outer = self.switches.get("outer")
        if outer == "every-step":  # there already
            return self.phi
        if outer == "backwards":
            return oracle.interpolate(theta, self.phi, self.arithmetic.number(2.0))
        if outer == "adds":
            return [
                [p + x for p, x in zip(a, b, strict=True)]
                for a, b in zip(self.phi, theta, strict=True)
            ]
        return theta

    def _bend_interpolation(
        self, before: oracle.Slots, anchor: oracle.Slots, alpha: Number
    ) -> None:
        bend = self.switches.get("interpolation")
        if bend == "swapped":
            self.slots = {
                name: oracle.interpolate(anchor[name], tensors, 1 - alpha)
                for name, tensors in before.items()
            }
            self.anchor = self.slots
            self.inner.follow(self.phi)
        if bend == "raw-anchor":
            self.anchor = before

    def _bend_reset(self, before: oracle.Slots, counts: list[int], innermost: Any) -> None:
        bend = self.switches.get("reset")
        if bend == "schedule":
            innermost.clock = 0
        only_velocity = bend == "momentum-only" and innermost.names != ("velocity",)
        if bend == "kept" or only_velocity:
            self.slots = before
        if bend in ("kept", "slots-only") or only_velocity:
            innermost.count = counts
        if bend == "count-only":
            self.slots = before
        if bend is not None:
            self.anchor = self.slots

    def restart(self, theta: Tensors) -> None:
        """Be reset by a Lookahead around this one."""
        super().restart(theta)
        self.cycle_step = self._first()

    def follow(self, phi: Tensors) -> None:
        """Take the weights that a Lookahead around this one arrived at."""
        if self.switches.get("nested") == "phi-kept":
            phi_before = self.phi
            super().follow(phi)
            self.phi = phi_before
        else:
            super().follow(phi)


@lru_cache(maxsize=4096)
def _kinds(items: tuple[tuple[str, Any], ...]) -> tuple[type[Inner], type[Lookahead]]:
    switches = dict(items)
    return (
        type("Inner", (Inner,), {"switches": switches}),
        type("Lookahead", (Lookahead,), {"switches": switches}),
    )


_LISTS = ("own", "captured")
_TENSORS = ("phi", "slots", "anchor")


def _save(levels: list[oracle.Lookahead]) -> list[dict[str, Any]]:
    objects: list[Any] = [*levels, levels[-1].inner]
    kept = ("phi", "anchor", "cycle_step", "syncs", "calls", "count", "clock", *_LISTS)
    saved = []
    for each in objects:
        state = {name: getattr(each, name) for name in kept if hasattr(each, name)}
        counts = ("count", *_LISTS)
        saved.append({n: list(v) if n in counts else v for n, v in state.items()})
    saved[-1]["slots"] = objects[-1].slots
    return saved


def _load(
    levels: list[oracle.Lookahead], saved: list[dict[str, Any]], theta: Tensors, lost: Any
) -> None:
    for each, state in zip([*levels, levels[-1].inner], saved, strict=True):
        vars(each).update({name: v for name, v in state.items() if name not in lost})
        if isinstance(each, Lookahead) and "phi" in lost:
            each.phi = theta
    for level in levels:
        if "anchor" in lost:
            level.anchor = level.slots


_LOST = {
    "phi": ("phi",),
    "cycle": ("cycle_step", "calls"),
    "count": ("count",),
    "slots": ("slots", "count"),
    "clock": ("clock",),
    "anchor": ("anchor",),
    "syncs": ("syncs",),
}


def simulate(
    case: Mapping[str, Any], arithmetic: Arithmetic, switches: Switches | None = None
) -> Run:
    """Run a case as a program with some departures would, save points included.

    Parameters
    ----------
    case : dict
        A case as the vector files hold it.
    arithmetic : Arithmetic
        The numbers to compute with.
    switches : dict, optional
        What departs; nothing if not given.

    Returns
    -------
    Run
        All that is observed.
    """
    switches = {} if switches is None else switches
    inner, lookahead = _kinds(tuple(switches.items()))
    problem = oracle.Problem(case["problem"], arithmetic)
    theta, levels = oracle.start(case, arithmetic, inner, lookahead)
    save_after = case.get("save_after", -1)
    evaluated = set(case.get("evaluate_after", ()))
    evaluations: dict[int, Tensors] = {}
    steps: list[Step] = []
    shown = switches.get("shown")

    def go_on(
        levels: list[oracle.Lookahead], theta: Tensors, t: int
    ) -> tuple[Step, Tensors]:
        at = levels[0].phi if shown == "slow-for-fast" else theta
        theta = levels[0].step(theta, problem.gradients(at, t))
        marks = [level.synchronized for level in levels]
        slow = [theta if shown == "fast-for-slow" else level.phi for level in levels]
        fast = slow[0] if shown == "slow-for-fast" else theta
        return Step(marks, fast, slow, levels[0].slots), theta

    saved = None
    for t in range(case["steps"]):
        step, theta = go_on(levels, theta, t)
        steps.append(step)
        if t + 1 in evaluated:
            way = switches.get("evaluation")
            if way == "synchronizes":
                counted = levels[0].cycle_step
                levels[0].synchronize(theta)
                levels[0].cycle_step = counted
            evaluations[t + 1] = theta if way == "fast" else levels[0].phi
            if way in ("not-restored", "synchronizes"):
                theta = levels[0].phi
        if t + 1 == save_after:
            saved = (theta, _save(levels))
    if saved is None:
        return Run(steps, [], evaluations)

    checkpoint = switches.get("checkpoint")
    if checkpoint == "live":
        saved = (theta, _save(levels))
    if (
        checkpoint == "shared"
    ):  # the arrays are those of the running program; counts are copied
        latest = _save(levels)
        for before, after in zip(saved[1], latest, strict=True):
            before.update({name: after[name] for name in _TENSORS if name in after})
        saved = (theta, saved[1])
    theta, state = saved
    _, levels = oracle.start(case, arithmetic, inner, lookahead)
    _load(levels, state, theta, _LOST.get(str(checkpoint), ()))
    resumed = []
    for t in range(save_after, case["steps"]):
        step, theta = go_on(levels, theta, t)
        resumed.append(step)
    return Run(steps, resumed, evaluations)
