"""The cases of the golden suite: which exist, and why.

An id is never reused for another case: a case that changes takes a new id, and the id of
one that goes is added to `RETIRED`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from lookahead_ref.conformance.building import (
    PAIR,
    SEVERAL,
    SINGLE,
    Case,
    Inner,
    Level,
    adagrad,
    adam,
    build,
    diagonal,
    double_well,
    given_tape,
    heavy_ball,
    nesterov,
    quadratic,
    sgd,
)

RETIRED: tuple[str, ...] = (
    "inner-heavy-ball-decoupled",
    "inner-heavy-ball-decoupled-moving",
    "inner-nesterov-decoupled",
    "inner-nesterov-decoupled-moving",
)
"""Ids of cases that there were."""

PROFILES = {
    "wrapper": "Lookahead around SGD: start, period, outer update.",
    "state": "What a synchronization does to the inner optimizer's state.",
    "resume": "Saving, loading in a new process, going on; a saved state does not change.",
    "evaluation": "What is evaluated, and that evaluating leaves no trace.",
    "nesting": "Lookahead around Lookahead.",
    "schedule": "Learning rates and alphas that change, and their clocks.",
    "inner:sgd": "Stochastic gradient descent with weight decay.",
    "inner:heavy-ball": "Heavy ball.",
    "inner:nesterov": "Nesterov's momentum.",
    "inner:adagrad": "AdaGrad.",
    "inner:adam": "Adam, and Adam with L2 weight decay.",
    "inner:adamw": "Adam with decoupled weight decay.",
}

WARM_UP = [0.02, 0.04, 0.06, 0.08, 0.1]
DECAY = [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.0125]
MOVING = [0.1, 0.08, 0.12, 0.05, 0.15, 0.02, 0.11, 0.07, 0.03, 0.09, 0.13, 0.01]

# A valley that is not aligned with the axes; a well that is.
COUPLED = quadratic(
    [[2.0, 0.5, -0.25, 0.5, 1.0, 0.125, -0.25, 0.125, 0.5]], [[0.5, -1.0, 2.0]]
)
SEPARATE = quadratic([diagonal(2.0, 0.5, 0.125)], [[0.0, 1.0, -1.0]])
WELLS = double_well([[0.5, 1.0, 0.25]])
BESIDE = [[1.5, -0.25, 0.5]]


def cases() -> dict[str, list[Case]]:
    """Build all cases.

    Returns
    -------
    dict
        File name, without its ending, to its cases.
    """
    files: dict[str, list[Case]] = {
        "smoke": list(_smoke()),
        "wrapper": list(_wrapper()),
        "state": list(_state()),
        "resume": list(_resume()),
        "evaluation": list(_evaluation()),
        "nesting": list(_nesting()),
        "schedule": list(_schedule()),
    }
    for profile in PROFILES:
        if profile.startswith("inner:"):
            files[profile.replace(":", "-")] = list(_inner(profile))
    return files


def _smoke() -> Iterator[Case]:
    yield build("smoke-wrapper", "wrapper", "LA-5", Level(2, 0.5), sgd(), 4)
    yield build("smoke-alpha", "wrapper", "LA-5", Level(3, 0.8), sgd(), 7, shapes=SEVERAL)
    yield build("smoke-reset", "state", "LA-12", Level(2, 0.5, "reset"), adam(), 5)
    yield build(
        "smoke-resume", "resume", "LA-24", Level(3, 0.5), heavy_ball(), 7, save_after=4
    )
    yield build(
        "smoke-evaluation", "evaluation", "LA-9", Level(3, 0.5), sgd(), 5,
        evaluate_after=[2, 3, 4],
    )  # fmt: skip


def _wrapper() -> Iterator[Case]:
    steps = {1: 4, 2: 7, 5: 11, 7: 15}
    for k in (1, 2, 5, 7):
        for alpha in (0.2, 0.5, 0.8, 1.0):
            # Half of them end on a synchronization.
            less = 0 if alpha in (0.2, 1.0) else 1
            yield build(
                f"wrapper-k{k}-alpha{alpha}", "wrapper", "LA-5",
                Level(k, alpha), sgd(), steps[k] - less,
            )  # fmt: skip

    def case(name: str, clause: str, says: str, **rest: Any) -> Case:
        level = rest.pop("level", Level(5, 0.5))
        inner = rest.pop("inner", sgd())
        steps = rest.pop("steps", 11)
        return build(
            f"wrapper-{name}", "wrapper", clause, level, inner, steps, says=says, **rest
        )

    yield case("no-sync", "LA-8", "the run ends before the first synchronization",
               level=Level(7, 0.5), steps=6)  # fmt: skip
    yield case("one-cycle", "LA-3", "the run ends on the first synchronization", steps=5)
    yield case("start", "LA-1", "one step, from which phi must be theta_0", steps=1)
    yield case("several", "LA-30", "matrix, vector and scalar", shapes=SEVERAL,
               level=Level(2, 0.8), steps=5)  # fmt: skip
    yield case("single", "LA-30", "one element", shapes=SINGLE,
               level=Level(2, 0.2), steps=5)  # fmt: skip
    yield case("large", "LA-5", "large weights and gradients", scale=50,
               gradient_scale=52, level=Level(5, 0.2))  # fmt: skip
    yield case("small", "LA-5", "small weights and gradients", scale=-50,
               gradient_scale=-50, level=Level(5, 0.8))  # fmt: skip
    yield case("large-beside-small", "LA-6", "updates near the last digit",
               scale=10, gradient_scale=-12, level=Level(2, 0.5), steps=5)  # fmt: skip
    yield case("cancelling", "LA-6",
               "weights that cross zero: ulps of the result are no yardstick",
               initial=[[0.5, -0.25, 0.125]],
               problem=given_tape([[[1.25, -0.625, 0.3125]]] * 11))  # fmt: skip
    zeros = [[[0.0, 0.0, 0.0]]]
    ones = [[[1.0, -2.0, 0.5]]]
    yield case("zero-gradients", "LA-5", "nothing moves",
               problem=given_tape(zeros * 11))  # fmt: skip
    yield case("zero-then-gradients", "LA-5", "the first cycle does not move",
               problem=given_tape(zeros * 5 + ones * 6))  # fmt: skip
    yield case("zero-weights", "LA-1", "weights that start at zero",
               initial=[[0.0, -0.0, 0.0]])  # fmt: skip
    yield case("subnormal", "LA-32", "subnormal weights",
               initial=[[2.0**-140, -(2.0**-135), 3 * 2.0**-149]],
               problem=given_tape([[[2.0**-137, 2.0**-136, -(2.0**-138)]]] * 11),
               conditions=["subnormal"])  # fmt: skip
    yield case("overflow", "LA-32", "weights that overflow",
               initial=[[-(2.0**127), 2.0**127, 1.0]],
               inner=sgd(4.0), level=Level(5, 0.5), steps=4,
               problem=given_tape([[[2.0**126, -(2.0**126), 0.5]]] * 4),
               conditions=["overflow"], dtypes=["float32"])  # fmt: skip
    for kind, problem, initial in (
        ("coupled", COUPLED, None), ("separate", SEPARATE, None), ("wells", WELLS, BESIDE),
    ):  # fmt: skip
        for k, alpha in ((2, 0.5), (5, 0.8), (5, 0.2)):
            yield case(f"{kind}-k{k}-alpha{alpha}", "LA-2", "closed loop",
                       problem=problem, initial=initial,
                       level=Level(k, alpha), inner=sgd(0.2))  # fmt: skip
    for when, missing in _MISSING.items():
        yield case(f"no-gradient-{when}", "LA-25",
                   f"no gradient {when} a synchronization",
                   shapes=PAIR, missing={"second": missing}, level=Level(3, 0.5), steps=10,
                   conditions=["no-gradient"])  # fmt: skip


_MISSING = {
    "before": (2,),
    "at": (3,),
    "after": (4,),
    "throughout": (4, 5, 6),
    "first": (1, 2),
}


_AT_SYNC = {"maintain": "LA-11", "reset": "LA-12", "interpolate": "LA-13"}


def _state() -> Iterator[Case]:
    inners = {
        "heavy-ball": heavy_ball(),
        "nesterov": nesterov(),
        "adagrad": adagrad(),
        "adam": adam(),
    }
    for name, inner in inners.items():
        for inner_state in ("maintain", "reset", "interpolate"):
            for k, alpha, steps in ((2, 0.5, 6), (5, 0.8, 11), (5, 0.2, 12), (1, 0.5, 4)):
                yield build(
                    f"state-{name}-{inner_state}-k{k}-alpha{alpha}", "state",
                    _AT_SYNC[inner_state],
                    Level(k, alpha, inner_state), inner, steps,
                )  # fmt: skip
    for inner_state in ("maintain", "reset", "interpolate"):
        level = Level(3, 0.5, inner_state)
        yield build(
            f"state-several-{inner_state}", "state", "LA-30", level, adam(), 7,
            says="matrix, vector and scalar", shapes=SEVERAL,
        )  # fmt: skip
        yield build(
            f"state-coupled-{inner_state}", "state", "LA-2", level,
            heavy_ball(0.05), 8, says="closed loop", problem=COUPLED,
        )  # fmt: skip
        yield build(
            f"state-wells-{inner_state}", "state", "LA-2", level, adam(0.05), 8,
            says="closed loop", problem=WELLS, initial=BESIDE,
        )  # fmt: skip
        yield build(
            f"state-decay-{inner_state}", "state", "LA-27", level,
            adam(decay=0.1, kind="decoupled"), 7, says="with decoupled weight decay",
        )  # fmt: skip
    for when, missing in _MISSING.items():
        yield build(
            f"state-no-gradient-{when}", "state", "LA-25",
            Level(3, 0.5), heavy_ball(), 8,
            says=f"no gradient {when} a synchronization", shapes=PAIR,
            missing={"second": missing}, conditions=["no-gradient"],
        )  # fmt: skip


def _resume() -> Iterator[Case]:
    def around(
        name: str, level: Level | Sequence[Level], inner: Inner, at: Sequence[int]
    ) -> Iterator[Case]:
        for s in at:
            yield build(
                f"resume-{name}-after{s}", "resume", "LA-24", level, inner, 11,
                says=f"saved after step {s}", save_after=s,
            )  # fmt: skip

    places = (4, 5, 6)
    yield from around("sgd", Level(5, 0.8), sgd(), (1, 2, *places, 9))
    yield from around("several", Level(5, 0.5), sgd(), (3,))
    for inner_state in ("maintain", "reset", "interpolate"):
        level = Level(5, 0.5, inner_state)
        yield from around(f"heavy-ball-{inner_state}", level, heavy_ball(), places)
        yield from around(f"adam-{inner_state}", level, adam(), places)
    yield from around("adagrad", Level(5, 0.5), adagrad(), (4, 6))
    yield from around("schedule", Level(5, 0.5), sgd(DECAY), (4, 6))
    yield from around("schedule-reset", Level(5, 0.5, "reset"), adam(WARM_UP), (3, 6))
    yield from around("alphas", Level(2, [0.2, 0.5, 0.8, 1.0, 0.3]), sgd(), (4, 5))
    yield from around("nested", [Level(4, 0.5), Level(2, 0.8)], sgd(), (3, 4, 5))
    yield from around(
        "nested-interpolate",
        [Level(4, 0.5, "interpolate"), Level(3, 0.8)],
        heavy_ball(),
        (3, 5),
    )


def _evaluation() -> Iterator[Case]:
    every = list(range(1, 12))
    for name, level, inner, when in (
        ("sgd-every", Level(5, 0.5), sgd(), every),
        ("sgd-before-sync", Level(5, 0.8), sgd(), [4, 9]),
        ("sgd-at-sync", Level(5, 0.2), sgd(), [5, 10]),
        ("sgd-after-sync", Level(5, 0.5), sgd(), [1, 6, 11]),
        ("heavy-ball-every", Level(3, 0.5), heavy_ball(), every),
        ("adam-every", Level(3, 0.8, "reset"), adam(), every),
        ("interpolate-every", Level(3, 0.5, "interpolate"), heavy_ball(), every),
        ("k1", Level(1, 0.5), sgd(), every),
    ):
        yield build(
            f"evaluation-{name}", "evaluation", "LA-10" if when == every else "LA-9",
            level, inner, 11,
            evaluate_after=when,
        )  # fmt: skip
    yield build(
        "evaluation-wells", "evaluation", "LA-9", Level(4, 0.5), sgd(0.2), 10,
        says="closed loop", problem=WELLS, initial=BESIDE, evaluate_after=[2, 6, 7],
    )  # fmt: skip
    yield build(
        "evaluation-nested", "evaluation", "LA-9",
        [Level(4, 0.5), Level(2, 0.5)], sgd(), 9,
        says="the outermost phi counts", evaluate_after=[2, 3, 4, 5, 6, 9],
    )  # fmt: skip


def _nesting() -> Iterator[Case]:
    for outer, inner in ((4, 2), (5, 2), (2, 5), (6, 3), (3, 3)):
        yield build(
            f"nesting-{outer}-{inner}", "nesting", "LA-17" if outer % inner else "LA-18",
            [Level(outer, 0.5), Level(inner, 0.8)], sgd(), 13,
        )  # fmt: skip
    yield build(
        "nesting-three", "nesting", "LA-19",
        [Level(8, 0.5), Level(4, 0.8), Level(2, 0.2)], sgd(), 17,
    )  # fmt: skip
    states = ("maintain", "reset", "interpolate")
    for outer_state in states:
        for inner_state in states:
            yield build(
                f"nesting-{outer_state}-{inner_state}", "nesting", "LA-20",
                [Level(5, 0.5, outer_state), Level(2, 0.8, inner_state)], heavy_ball(), 11,
            )  # fmt: skip
    for outer_state in ("reset", "interpolate"):
        yield build(
            f"nesting-adam-{outer_state}", "nesting", "LA-21",
            [Level(5, 0.5, outer_state), Level(2, 0.8)], adam(), 11,
        )  # fmt: skip
    yield build(
        "nesting-alphas", "nesting", "LA-16",
        [Level(5, [0.5, 0.2]), Level(2, [0.8, 0.6, 0.4, 0.2])], sgd(), 13,
        says="each alpha sees the synchronizations of its own level",
    )  # fmt: skip


def _schedule() -> Iterator[Case]:
    for name, rate in (("warm-up", WARM_UP), ("decay", DECAY), ("moving", MOVING)):
        yield build(
            f"schedule-sgd-{name}", "schedule", "LA-14", Level(5, 0.5), sgd(rate), 12
        )
        for inner_state in ("maintain", "reset", "interpolate"):
            yield build(
                f"schedule-heavy-ball-{name}-{inner_state}", "schedule", "LA-14",
                Level(3, 0.5, inner_state), heavy_ball(rate), 10,
            )  # fmt: skip
        yield build(
            f"schedule-adam-{name}-reset", "schedule", "LA-14",
            Level(3, 0.8, "reset"), adam(rate), 10,
        )  # fmt: skip
    yield build("schedule-zero", "schedule", "LA-14", Level(3, 0.5), sgd([0.0, 0.1]), 7,
                says="the first learning rate is 0")  # fmt: skip
    yield build(
        "schedule-alpha", "schedule", "LA-16",
        Level(2, [0.2, 0.5, 0.8, 1.0]), sgd(), 11, says="alpha rises, then stays",
    )  # fmt: skip
    yield build(
        "schedule-alpha-interpolate", "schedule", "LA-16",
        Level(2, [0.8, 0.5, 0.2], "interpolate"), heavy_ball(), 9, says="alpha falls",
    )  # fmt: skip


def _inner(profile: str) -> Iterator[Case]:
    name = profile.removeprefix("inner:")

    def case(part: str, inner: Inner, says: str = "", **rest: Any) -> Case:
        level = rest.pop("level", Level(7, 0.5))
        steps = rest.pop("steps", 6)
        clause = _CLAUSES.get(f"{name}-{part}") or _CLAUSES.get(part, rule)
        return build(
            f"inner-{name}-{part}", profile, clause, level, inner, steps, says=says, **rest
        )

    rule, make, others = _INNERS[name]
    plain = make()
    yield case("alone", plain, "no synchronization: the rule itself")
    yield case(
        "k1", plain, "k = 1 and alpha = 1 change nothing", level=Level(1, 1.0), steps=5
    )
    yield case("lookahead", plain, level=Level(2, 0.5), steps=7)
    yield case("several", plain, "matrix, vector and scalar", shapes=SEVERAL)
    yield case("large", plain, "large gradients", gradient_scale=58, scale=56)
    yield case("small", plain, "small gradients", gradient_scale=-50)
    zeros, ones = [[[0.0, 0.0, 0.0]]], [[[1.0, -2.0, 0.5]]]
    yield case("zero-first", plain, "gradients of zero before any other",
               problem=given_tape(zeros * 3 + ones * 3))  # fmt: skip
    yield case("zero-later", plain, "gradients of zero after others",
               problem=given_tape(ones * 3 + zeros * 3))  # fmt: skip
    for part, inner in others.items():
        yield case(part, inner)
    yield case("separate", make(0.05), "closed loop", problem=SEPARATE, steps=8,
               level=Level(5, 0.5))  # fmt: skip
    if name != "adamw":
        yield case("l2", make(decay=0.1, kind="l2"), "weight decay added to the gradient")
    # With a velocity these are of version 2: in version 1 a variant of them had no decay.
    again = "-again" if name in ("heavy-ball", "nesterov") else ""
    yield case(f"decoupled{again}", make(decay=0.1, kind="decoupled"),
               "decoupled weight decay")  # fmt: skip
    yield case(f"decoupled-moving{again}", make(MOVING, decay=0.2, kind="decoupled"),
               "decoupled weight decay follows the learning rate")  # fmt: skip
    if name in ("adam", "adamw"):
        yield case("near-epsilon", plain, "gradients near epsilon: where it stands shows",
                   gradient_scale=-27)  # fmt: skip
        yield case("overflow", plain, "second moments that overflow: the weights stay",
                   problem=given_tape([[[2.0**80, -(2.0**90), 2.0**100]]] * 4), steps=4,
                   conditions=["overflow"], dtypes=["float32"])  # fmt: skip
    if name in ("heavy-ball", "nesterov"):
        yield case("subnormal", plain, "subnormal velocities",
                   initial=[[2.0**-130, -(2.0**-133), 2.0**-128]],
                   problem=given_tape([[[2.0**-135, 2.0**-140, -(2.0**-132)]]] * 6),
                   conditions=["subnormal"])  # fmt: skip


def _adamw(
    rate: float | Sequence[float] = 0.1, decay: float = 0.01, kind: str = "decoupled"
) -> Inner:
    return adam(rate, decay=decay, kind=kind)


_CLAUSES = {
    "rate": "IN-1",
    "zero-first": "IN-2",
    "l2": "IN-3",
    "l2-strong": "IN-3",
    "decoupled": "IN-4",
    "decoupled-moving": "IN-4",
    "decoupled-again": "IN-4",
    "decoupled-moving-again": "IN-4",
    "strong": "IN-4",
    "epsilon": "IN-11",
    "adagrad-epsilon": "IN-13",
    "betas": "IN-9",
    "beta1-0": "IN-9",
    "several": "LA-30",
    "overflow": "LA-32",
    "subnormal": "LA-32",
}
"""Part of an inner optimizer's case to its clause, where that is not the rule's."""

_INNERS: dict[str, tuple[str, Any, dict[str, Inner]]] = {
    "sgd": ("IN-5", sgd, {"rate": sgd(0.003), "l2-strong": sgd(0.1, 0.5, "l2")}),
    "heavy-ball": (
        "IN-6",
        heavy_ball,
        {"momentum0": heavy_ball(momentum=0.0), "momentum0.5": heavy_ball(momentum=0.5)},
    ),
    "nesterov": (
        "IN-7",
        nesterov,
        {"momentum0": nesterov(momentum=0.0), "momentum0.5": nesterov(momentum=0.5)},
    ),
    "adagrad": (
        "IN-8",
        adagrad,
        {"epsilon": adagrad(epsilon=0.01), "rate": adagrad(0.5)},
    ),
    "adam": (
        "IN-10",
        adam,
        {
            "epsilon": adam(epsilon=0.01),
            "betas": adam(beta1=0.5, beta2=0.75),
            "beta1-0": adam(beta1=0.0),
            "rate": adam(0.001),
        },
    ),
    "adamw": (
        "IN-4",
        _adamw,
        {
            "strong": _adamw(0.1, 0.5),
            "epsilon": adam(epsilon=0.01, decay=0.05, kind="decoupled"),
        },
    ),
}
