"""Runs a case as a program with some bugs does.

Without bugs, the classes here do what the oracle does. A bug changes a few words in the
source of a method or a rule. Several bugs make all their changes together; a program has
at most one bug of each ``place``.
"""

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import product
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs import helpers
from lookahead_ref.conformance.oracle import Arithmetic, Gradients, Slots, Step, Tensors

_HAS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "slots": lambda case: case["inner"]["rule"] != "sgd",
    "velocity": lambda case: case["inner"]["rule"] in ("heavy-ball", "nesterov"),
    "decay": lambda case: case["inner"]["weight_decay_kind"] != "none",
    "rates": lambda case: len(case["learning_rate"]) > 1,
    "alpha": lambda case: not _outer(case),
    "alphas": lambda case: any(len(lev.get("alpha", "")) > 1 for lev in case["lookahead"]),
    "outer": lambda case: bool(_outer(case)),
    "nested": lambda case: len(case["lookahead"]) > 1,
    "matrix": lambda case: any(len(each["shape"]) > 1 for each in case["params"]),
    "not-square": lambda case: any(len(set(each["shape"])) > 1 for each in case["params"]),
    "several": lambda case: len(case["params"]) > case.get("workers", 1),
    "workers": lambda case: "workers" in case,
    "save": lambda case: "save_after" in case,
    "evaluate": lambda case: bool(case.get("evaluate_after")),
    "not-a-number": lambda case: "not-a-number" in case["flags"],
    "no-gradient": lambda case: (
        case["problem"]["kind"] == "tape"
        and any(g is None for grads in case["problem"]["gradients"] for g in grads)
    ),
}


def _outer(case: Mapping[str, Any]) -> list[Any]:
    return [level["outer"] for level in case["lookahead"] if "outer" in level]


def has(need: str, case: Mapping[str, Any]) -> bool:
    """Return whether a case has what a bug needs to show."""
    inner, levels = case["inner"], case["lookahead"]
    if need.startswith("outer-"):  # of an outer optimizer
        of = ({**case, **outer, "inner": outer} for outer in _outer(case))
        return any(has(need.removeprefix("outer-"), each) for each in of)
    words = {level["inner_state"] for level in levels}
    words |= {inner["rule"], inner["weight_decay_kind"]}
    return need in words or (need in _HAS and _HAS[need](case))


class Bug:
    """A bug: what a program does, what that breaks in practice, and how to fix it."""

    name: ClassVar[str]  # the flag of the cases that can show it
    kind: ClassVar[Literal["bug", "variant"]] = "bug"
    clause: ClassVar[str]  # of the specification: broken, or settled by a convention
    place: ClassVar[str]  # what it changes; a program has one bug at a place
    says: ClassVar[str]  # what the program does, after "it"
    breaks: ClassVar[str]  # in practice; for a convention, where it is found
    fix: ClassVar[str]  # for a convention, what to mind
    needs: ClassVar[tuple[str, ...]] = ()  # what a case must have for the bug to show
    # Each "Class.function: right -> wrong"; in the latter, "..." stands for the former.
    edits: ClassVar[tuple[str, ...]] = ()
    mixes: ClassVar[type[Any] | None] = None  # a class, where an edit cannot say it
    lost: ClassVar[tuple[str, ...]] = ()  # what is not saved; "outer-": of the outer step
    recaptures: ClassVar[bool] = True  # takes a lost phi or anchor from what was loaded
    special: ClassVar[str] = ""  # the name of a more general bug
    causes: ClassVar[int] = 1  # two if it is a function that was edited twice
    narrow: ClassVar[bool] = False  # it rounds something to float32

    @classmethod
    def applies(cls, case: Mapping[str, Any]) -> bool:
        """Return whether it can show in a case."""
        return all(has(need, case) for need in cls.needs)

    @classmethod
    def is_case_of(cls, other: "type[Bug]") -> bool:
        """Return whether this is the other bug or a special case of it."""
        return issubclass(cls, other) or cls.special == other.name

    @classmethod
    def as_dict(cls) -> dict[str, Any]:
        """Return what a report says of it."""
        told = ("name", "kind", "clause", "says", "breaks", "fix")
        return {each: getattr(cls, each) for each in told}


class Convention(Bug):
    """What other libraries document: a program that follows it throughout passes."""

    kind = "variant"


class Mistake(Bug):
    """A bug that no case has for a flag."""

    # It shows at once in most cases, or was found after the cases were released.


PARTS = ("clause", "place", "needs", "says", "breaks", "fix")
"""What `bug` takes after the name, before the edits."""


def bug(
    name: str,
    clause: str,
    place: str,
    needs: str,
    says: str,
    breaks: str,
    fix: str,
    *edits: str,
    lost: str = "",
    kind: type[Bug] = Bug,
    **more: Any,
) -> type[Bug]:
    """Declare a bug; ``more`` are other attributes of `Bug`."""
    texts = {"name": name, "clause": clause, "place": place}
    texts |= {"says": says, "breaks": breaks, "fix": fix}
    own = {"edits": edits, "needs": tuple(needs.split()), "lost": tuple(lost.split())}
    return type(name, (kind,), {**texts, **own, **more})


class Edit(Bug):
    """A small edit of the oracle's code, without a name."""

    breaks = fix = ""
    parts: ClassVar[Mapping[type[Any], type[Any]]]  # what is put beneath a simulated class
    either: ClassVar[tuple[str, ...]] = ()  # what the inner or the outer one must have
    rank: ClassVar[int]  # how far it is from plain
    title: ClassVar[str]  # of the function that it changes
    changed: ClassVar[Callable[[], list[str]]]  # its lines, as in a diff
    fitted: ClassVar[Callable[[float], "type[Edit]"] | None] = None
    """It with a constant, which is to be found from what was observed."""
    again: ClassVar[Callable[[], Any] | None] = None  # its function, to be edited once more

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.name = f"edit of {cls.title}"

    @classmethod
    def applies(cls, case: Mapping[str, Any]) -> bool:
        either = [has(f"{of}{need}", case) for need in cls.either for of in ("", "outer-")]
        return super().applies(case) and (any(either) or not either)

    @classmethod
    def as_dict(cls) -> dict[str, Any]:
        return {**super().as_dict(), "function": cls.title, "diff": cls.changed()}


Watch: TypeAlias = Callable[[str, int, Tensors], None]
"""Called with the fast weights after each step; what it raises ends a simulation."""

Evaluated: TypeAlias = tuple[Tensors, Tensors]
"""What is evaluated, and the fast weights after that."""


class Run(NamedTuple):
    """All that is observed of a case."""

    steps: list[Step]  # from start to end without a break
    resumed: list[Step]  # after the save point, in a new process that loaded the state
    evaluations: dict[int, Tensors]  # by step, counted from 1


class SimulatedRule(oracle.OracleInner):
    """An inner or an outer optimizer."""

    def __init__(self, case: Mapping[str, Any], theta: Tensors, arithmetic: Arithmetic):
        super().__init__(case, theta, arithmetic)
        self.case = case
        self.made_anew = True
        self.other: Any = self  # of an inner optimizer the outer one, and vice versa
        self.level: Any = None  # the Lookahead that calls it


class SimulatedInner(SimulatedRule):
    """The inner optimizer."""


class Outer(SimulatedRule):
    """The outer optimizer."""


class SimulatedLookahead(oracle.OracleLookahead):
    """A Lookahead that also keeps what a program with bugs may look at."""

    outer_optimizer = Outer

    def __init__(
        self, inner: Any, level: Mapping[str, Any], theta: Tensors, arithmetic: Arithmetic
    ) -> None:
        super().__init__(inner, level, theta, arithmetic)
        # The next Lookahead within and the one around it, if there are such.
        self.below: Any = inner if isinstance(inner, SimulatedLookahead) else self
        self.above: Any = self
        self.below.above = self
        if self.below is self:
            self.innermost.level = self
        if isinstance(self.outer, Outer):
            self.outer.case = self.innermost.case | self.outer.case
            self.outer.other, self.outer.level = self.innermost, self
            self.innermost.other = self.outer
        self.calls = 0  # of step
        self.initial = self.before = theta  # what a step was given
        self.old_phi = self.given = theta  # of the last synchronization, before it
        self.grads: Gradients = ()
        self.moving = [True] * len(theta)  # which tensors a synchronization is of
        self.own_steps = [0] * len(theta)
        self.made_anew = True  # and not from a saved state
        self.number = -1  # of a worker, from 0
        # Which tensors have no phi yet in a program that captures it late.
        self.lacking = [True] * len(theta)

    @property
    def innermost(self) -> Any:
        """The inner optimizer below all Lookaheads."""
        return (
            self.inner.innermost
            if isinstance(self.inner, SimulatedLookahead)
            else self.inner
        )

    # Edits named "Around" change these two; they are compiled outside of the class then.

    def advance(self, theta: Tensors, grads: Gradients) -> Tensors:
        self.before, self.grads = theta, grads
        self.earlier = kept_of(self.innermost)
        theta = super(SimulatedLookahead, self).advance(theta, grads)  # noqa: UP008
        self.calls += 1
        return theta

    def synchronize(self, theta: Tensors) -> Tensors:
        self.old_phi, self.old_slots = self.phi, self.slots
        self.old_counts = list(self.innermost.count)
        self.innermost.left = theta
        new = super(SimulatedLookahead, self).synchronize(theta)  # noqa: UP008
        self.given = theta
        return new

    def stepped(self) -> list[bool]:
        """Return which tensors count as having done this step."""
        return [True] * len(self.grads)

    def capture(self, which: Sequence[bool], weights: Tensors) -> None:
        """Make the phi of those tensors which have none yet."""
        late = [w and x for w, x in zip(which, self.lacking, strict=True)]
        if any(late):
            self.phi = picked(late, weights, self.phi)
            self.lacking = [x and not n for x, n in zip(self.lacking, late, strict=True)]

    def undo_reset(self, slots: Slots, counts: list[int]) -> None:
        """Replace the slots and counts that a reset has made."""
        if self.inner_state == "reset":
            self.slots = self.anchor = slots
            self.innermost.count = counts


class SimulatedWorkers(oracle.OracleWorkers):
    """The workers."""

    workers: Sequence[SimulatedLookahead]

    def __init__(self, workers: Sequence[Any]) -> None:
        super().__init__(workers)
        for number, each in enumerate(workers):
            each.number = number

    def share_slots(self, shared: Callable[[list[Tensors]], Tensors]) -> None:
        """Give all workers the same slots."""
        of_each = [worker.slots for worker in self.workers]
        for name in of_each[0]:
            tensors = shared([slots[name] for slots in of_each])
            for slots in of_each:
                slots[name] = tensors


class Some(SimulatedLookahead):
    """A Lookahead that synchronizes some tensors, those that are `moving`."""

    def synchronize(self, theta: Tensors) -> Tensors:
        phi, slots, anchor = self.phi, self.slots, self.anchor
        inner, count = self.innermost, list(self.innermost.count)
        new = super().synchronize(theta)
        self.phi = picked(self.moving, self.phi, phi)
        self.slots = {n: picked(self.moving, x, slots[n]) for n, x in self.slots.items()}
        self.anchor = {n: picked(self.moving, x, anchor[n]) for n, x in self.anchor.items()}
        inner.count = picked(self.moving, inner.count, count)
        return picked(self.moving, new, theta)


def picked(which: Sequence[Any], these: list[Any], others: list[Any]) -> list[Any]:
    """Return one of these or of others: of each tensor or, where it says so, element."""
    return [_either(*each) for each in zip(which, these, others, strict=True)]


def _either(which: bool | list[bool], this: Any, other: Any) -> Any:
    if isinstance(which, bool):
        return this if which else other
    # A count is of a whole tensor.
    return picked(which, this, other) if isinstance(this, list) else other


State = list[dict[str, Any]]
"""What is saved of each Lookahead, the outermost first, and of each optimizer in them."""

_OF_TENSORS = ("own_steps", "lacking")
COUNTS = ("cycle_step", "synchronized", "syncs", "calls", "clock", "count", *_OF_TENSORS)
ARRAYS = ("phi", "slots", "anchor")
_KEPT = frozenset((*COUNTS, *ARRAYS, "old_phi", "given", "moved"))


class SimulatedProgram:
    """What is around the optimizer: what is shown, evaluated, saved and restored."""

    lost: ClassVar[tuple[str, ...]] = ()
    """What is not saved; of an outer optimizer it begins with ``outer``."""
    recaptures: ClassVar[bool] = True
    """Whether what is lost of phi and anchor is taken from what was loaded."""

    def __init__(
        self,
        case: Mapping[str, Any],
        arithmetic: Arithmetic,
        inner: type[SimulatedInner],
        lookahead: type[SimulatedLookahead],
        workers: type[SimulatedWorkers],
    ) -> None:
        self.case = case
        self.problem = oracle.GradientSource(case["problem"], arithmetic)
        self._made = arithmetic, inner, lookahead, workers

    def start(self) -> tuple[Tensors, list[Any]]:
        """Return the initial weights and new Lookaheads, the outermost first."""
        return oracle.start(self.case, *self._made)

    def fast(self, outermost: SimulatedLookahead, theta: Tensors) -> Tensors:
        """Return what is shown as the fast weights."""
        return theta

    def slow(self, level: SimulatedLookahead, theta: Tensors) -> Tensors:
        """Return what is shown as the slow weights."""
        return level.phi

    def evaluate(self, outermost: Any, theta: Tensors) -> Evaluated:
        return outermost.phi, theta

    def saved(self, then: State, now: State) -> State:
        """Return what is written at the end of the state that was taken in between."""
        return then

    def step(self, levels: list[Any], theta: Tensors, t: int) -> tuple[Step, Tensors]:
        """Do a step; return what is shown after it, and the fast weights."""
        gradients = self.problem.gradients(self.fast(levels[0], theta), t)
        theta = levels[0].step(theta, gradients)
        shown = Step(
            [level.synchronized for level in levels],
            self.fast(levels[0], theta),
            [self.slow(level, theta) for level in levels],
            levels[0].slots,
        )
        return shown, theta

    def run(self, watch: Watch | None = None) -> Run:
        """Go through the case, and from its save point to its end once more."""
        watch = watch or (lambda *_: None)
        theta, levels = self.start()
        steps, evaluations, taken = [], {}, None
        for t in range(self.case["steps"]):
            shown, theta = self.step(levels, theta, t)
            steps.append(shown)
            watch("fast weights", t + 1, shown.fast)
            if t + 1 in self.case.get("evaluate_after", ()):
                found = [self.evaluate(*each) for each in _lookaheads(levels[:1], theta)]
                evaluations[t + 1], theta = map(oracle.joined, zip(*found, strict=True))
            if t + 1 == self.case.get("save_after"):
                taken = state_of(levels, theta)
        if taken is None:
            return Run(steps, [], evaluations)
        state = self.saved(taken, state_of(levels, theta))
        _, levels = self.start()
        theta = self.restore(levels, state)
        resumed = []
        for t in range(self.case["save_after"], self.case["steps"]):
            shown, theta = self.step(levels, theta, t)
            resumed.append(shown)
            watch("fast weights after loading", t + 1, shown.fast)
        return Run(steps, resumed, evaluations)

    def restore(self, levels: list[Any], state: State) -> Tensors:
        """Put a state in; return the fast weights."""
        *states, weights = state
        theta: Tensors = weights["theta"]
        for each, kept in zip(parts_of(levels), states, strict=True):
            of = "outer-" if isinstance(each, Outer) else ""
            # Copied, as two workers may be given the same.
            found = {n: v for n, v in kept.items() if f"{of}{n}" not in self.lost}
            vars(each).update(_copied(found), made_anew=False)
        for level, own in _lookaheads(levels, theta) if self.recaptures else ():
            if "phi" in self.lost:
                level.phi = own
            if "anchor" in self.lost:
                level.anchor = level.slots
        for level, own in _lookaheads(levels[:1], weights.get("left", theta)):
            level.innermost.left = own
        each_own = _lookaheads(levels[:1], theta)
        return oracle.joined([self.loaded(*own) for own in each_own])

    def loaded(self, outermost: Any, theta: Tensors) -> Tensors:
        """Return the fast weights to go on from."""
        return theta


def _lookaheads(levels: list[Any], theta: Tensors) -> list[tuple[Any, Tensors]]:
    """Pair each Lookahead, of several levels or workers, with its fast weights."""
    if not isinstance(levels[0], SimulatedWorkers):
        return [(level, theta) for level in levels]
    workers = levels[0].workers
    return list(zip(workers, oracle.parted(theta, len(workers)), strict=True))


def parts_of(levels: list[Any]) -> list[Any]:
    """Return all Lookaheads and optimizers."""
    lookaheads = [level for level, _ in _lookaheads(levels, [])]
    inner = [each.inner for each in lookaheads if each.inner not in lookaheads]
    outer = [each.outer for each in lookaheads if each.outer is not None]
    return [*lookaheads, *inner, *outer]


def state_of(levels: list[Any], theta: Tensors) -> State:
    """Take the state."""
    return [*map(kept_of, parts_of(levels)), {"theta": theta}]


def kept_of(part: Any) -> dict[str, Any]:
    """Copy what is saved of a Lookahead or an optimizer."""
    return _copied({n: v for n, v in vars(part).items() if n in _KEPT})


def _copied(kept: Mapping[str, Any]) -> dict[str, Any]:
    # Counts of tensors are lists, which are changed in place; arrays never are.
    return {n: list(v) if isinstance(v, list) else v for n, v in kept.items()}


def arrays_of(state: State) -> State:
    return [{n: v for n, v in each.items() if n not in COUNTS} for each in state]


# Bugs in the source.

_ORIGINS: Mapping[str, tuple[Any, Any]] = {
    "Lookahead": (SimulatedLookahead, oracle.OracleLookahead),
    "Around": (SimulatedLookahead, SimulatedLookahead),
    "Inner": (SimulatedInner, oracle.OracleInner),
    "Outer": (Outer, oracle.OracleInner),
    "Workers": (SimulatedWorkers, oracle.OracleWorkers),
    "Program": (SimulatedProgram, SimulatedProgram),
}
"""A class's name in an edit: what is simulated, and where the source is."""


class IncompatibleError(Exception):
    """Two bugs change the same words."""


@cache
def source_of(function: Any) -> str:
    return textwrap.dedent(inspect.getsource(function))


@cache
def edited(origin: Any, name: str, changes: tuple[str, ...]) -> Any:
    """Return a method or a rule, compiled from its changed source."""
    source = source_of(getattr(origin, name, None) or vars(oracle)[name])
    found: dict[str, Any] = {}
    exec(
        compile(rewritten(source, changes), f"<{name}>", "exec"),
        vars(oracle) | vars(helpers) | globals(),
        found,
    )
    return found[name]


def rewritten(source: str, changes: Sequence[str]) -> str:
    """Change words of a function's source."""
    for change in changes:
        right, _, wrong = change.partition(" -> ")
        if source.count(right) != 1:
            raise IncompatibleError(f"{right!r} occurs {source.count(right)} times")
        line = source[: source.index(right)].rpartition("\n")[2]
        indent = line[: len(line) - len(line.lstrip())]
        wrong = wrong.replace("...", right).replace("\n", f"\n{indent}")
        source = source.replace(right, wrong)
    return source


def _edited_by(bugs: Sequence[type[Bug]]) -> dict[Any, list[type[Any]]]:
    """Return the edited classes, by the simulated class that they change."""
    changes: dict[tuple[str, str], list[str]] = {}
    for place, _, change in (each.partition(": ") for bug in bugs for each in bug.edits):
        of, _, name = place.partition(".")
        changes.setdefault((of, name), []).append(change)
    own: dict[str, dict[str, Any]] = {}
    for (of, name), some in changes.items():
        function = edited(_ORIGINS[of][1], name, tuple(some))
        functions = own.setdefault(of, {})
        if name in vars(oracle):
            rules = functions.setdefault("rules", dict(oracle.RULES))
            functions["rules"] = {
                each: (function if rule.__name__ == name else rule, slots)
                for each, (rule, slots) in rules.items()
            }
        else:
            functions[name] = function
    made: dict[Any, list[type[Any]]] = {}
    for of, functions in own.items():
        base, origin = _ORIGINS[of]
        made.setdefault(base, []).append(type(origin.__name__, (origin,), functions))
    return made


def _replaced(part: type[Any]) -> set[tuple[Any, str]]:
    """Name the methods that a class replaces without calling the original."""
    replaced = {(part.__base__, name) for name in vars(part) if name == "rules"}
    for name, each in vars(part).items():
        code = getattr(getattr(each, "__func__", each), "__code__", None)
        if code is not None and "__class__" not in code.co_freevars:
            replaced.add((part.__base__, name))
    return replaced


@lru_cache(maxsize=4096)
def _combined(bugs: tuple[type[Bug], ...]) -> tuple[type[Any], ...]:
    """Return the classes of a program with the bugs, and of its parts."""
    # A convention may say which tensors a bug affects.
    bugs = tuple(sorted(bugs, key=lambda each: not issubclass(each, Convention)))

    named = _edited_by(bugs)
    all_parts = [each.parts for each in bugs if issubclass(each, Edit)]

    def made(base: type[Any], **more: Any) -> type[Any]:
        every = dict.fromkeys(each.mixes for each in bugs if each.mixes)
        mixed = [each for each in every if issubclass(each, base)]
        beneath = [parts[base] for parts in all_parts if base in parts]
        own_named = named.get(base, [])
        for each, other in product(beneath, own_named):
            if _replaced(each) & _replaced(other):
                raise IncompatibleError(f"a bug and an edit of {base.__name__}")
        beneath += own_named
        own = [each for each in beneath if issubclass(each, base)]
        late = [each for each in beneath if each not in own]
        if not (mixed or beneath or more):
            return base
        return type(base.__name__, (*mixed, *own, base, *late), more)

    outer = made(Outer)
    more = {} if outer is Outer else {"outer_optimizer": outer}
    lost = {
        n: getattr(each, n) for each in bugs if each.lost for n in ("lost", "recaptures")
    }
    return (
        made(SimulatedProgram, **lost),
        made(SimulatedInner),
        made(SimulatedLookahead, **more),
        made(SimulatedWorkers),
    )


def simulate(
    case: Mapping[str, Any],
    arithmetic: Arithmetic,
    bugs: Sequence[type[Bug]] = (),
    watch: Watch | None = None,
    around: type[Any] | None = None,
) -> Run:
    """Run a case as a program with those bugs that can show, in a class around it."""
    showing = tuple(bug for bug in bugs if bug.applies(case))
    program, *parts = _combined(showing)
    program = type(around.__name__, (around, program), {}) if around else program
    found: Run = program(case, arithmetic, *parts).run(watch)
    return found
