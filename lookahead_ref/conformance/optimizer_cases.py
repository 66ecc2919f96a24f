"""The cases of optimizers in the golden suite.

An id is never reused: a changed case gets a new id, and the id of a removed one is added to
`RETIRED`. A new profile is an entry of `PROFILES` and a function in `FILES`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from math import nan
from typing import Any, TypeAlias

from lookahead_ref.conformance.case_building import (
    DUO,
    NOT_SQUARE,
    PAIR,
    SEVERAL,
    SINGLE,
    PlannedCase,
    Shapes,
    adagrad,
    adam,
    build,
    double_well,
    given_tape,
    heavy_ball,
    lookahead,
    nesterov,
    quadratic,
    sgd,
    with_outer,
)
from lookahead_ref.conformance.protocol import Inner, Level

Cases: TypeAlias = Iterator[PlannedCase]

RETIRED = (
    "inner-heavy-ball-decoupled",
    "inner-heavy-ball-decoupled-moving",
    "inner-nesterov-decoupled",
    "inner-nesterov-decoupled-moving",
)
"""Ids of removed cases."""

PROFILES = {
    "wrapper": "Lookahead around SGD: start, period, outer update.",
    "state": "What a synchronization does to the inner optimizer's state.",
    "resume": "Saving, loading in a new process, going on; a saved state does not change.",
    "evaluation": "What is evaluated, and that evaluating leaves no trace.",
    "nesting": "Lookahead around Lookahead.",
    "schedule": "Learning rates and alphas that change, and their clocks.",
    "outer": "An outer optimizer in the place of alpha.",
    "workers": "Several workers and one outer step.",
    "inner:sgd": "Stochastic gradient descent with weight decay.",
    "inner:heavy-ball": "Heavy ball.",
    "inner:nesterov": "Nesterov's momentum.",
    "inner:adagrad": "AdaGrad.",
    "inner:adam": "Adam, and Adam with L2 weight decay.",
    "inner:adamw": "Adam with decoupled weight decay.",
}


AT_SYNC = {"maintain": "LA-11", "reset": "LA-12", "interpolate": "LA-13"}
"""The treatment of the inner optimizer's state at a synchronization, and its clause."""

WARM_UP = [0.02, 0.04, 0.06, 0.08, 0.1]
DECAY = [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.0125]
MOVING = [0.1, 0.08, 0.12, 0.05, 0.15, 0.02, 0.11, 0.07, 0.03, 0.09, 0.13, 0.01]

ZEROS = [[[0.0, 0.0, 0.0]]]
ONES = [[[1.0, -2.0, 0.5]]]

# A valley that is not aligned with the axes; a well that is.
COUPLED: dict[str, Any] = {
    "says": "closed loop",
    "problem": quadratic(
        [[2.0, 0.5, -0.25, 0.5, 1.0, 0.125, -0.25, 0.125, 0.5]], [[0.5, -1.0, 2.0]]
    ),
}
SEPARATE: dict[str, Any] = {
    "says": "closed loop",
    "problem": quadratic(
        [[2.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.125]], [[0.0, 1.0, -1.0]]
    ),
}
WELLS: dict[str, Any] = {
    "says": "closed loop",
    "problem": double_well([[0.5, 1.0, 0.25]]),
    "initial": [[1.5, -0.25, 0.5]],
}

MISSING = {
    "before": (2,),
    "at": (3,),
    "after": (4,),
    "throughout": (4, 5, 6),
    "first": (1, 2),
}
"""Steps without a gradient, by their place relative to a synchronization at step 3."""


def _without_gradients() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield common arguments of cases in which a parameter has no gradient."""
    for when, missing in MISSING.items():
        says = f"no gradient {when} a synchronization"
        more = {"shapes": PAIR, "missing": {"second": missing}}
        yield f"no-gradient-{when}", {"says": says, "conditions": ["no-gradient"], **more}


def _smoke() -> Cases:
    case = partial(build, profile="wrapper")
    yield case("smoke-wrapper", "LA-5", lookahead(2, 0.5), sgd(), 4)
    yield case("smoke-alpha", "LA-5", lookahead(3, 0.8), sgd(), 7, shapes=SEVERAL)
    yield build(
        "smoke-reset", "LA-12", lookahead(2, 0.5, "reset"), adam(), 5, profile="state"
    )
    yield build(
        "smoke-resume", "LA-24", lookahead(3, 0.5), heavy_ball(), 7,
        profile="resume", save_after=4,
    )  # fmt: skip
    yield build(
        "smoke-evaluation", "LA-9", lookahead(3, 0.5), sgd(), 5,
        profile="evaluation", evaluate_after=[2, 3, 4],
    )  # fmt: skip


def _wrapper() -> Cases:
    for k, steps in ((1, 4), (2, 7), (5, 11), (7, 15)):
        for alpha, less in ((0.2, 0), (0.5, 1), (0.8, 1), (1.0, 0)):
            # Half of them end on a synchronization.
            level = lookahead(k, alpha)
            yield build(f"wrapper-k{k}-alpha{alpha}", "LA-5", level, sgd(), steps - less)

    plain = sgd()

    def case(
        name: str, clause: str, says: str, k: int = 5, alpha: float = 0.5, steps: int = 11,
        inner: Inner = plain, **rest: Any,
    ) -> PlannedCase:  # fmt: skip
        level, rest["says"] = lookahead(k, alpha), says
        return build(f"wrapper-{name}", clause, level, inner, steps, **rest)

    yield case("no-sync", "LA-8", "the run ends before the first synchronization",
               k=7, steps=6)  # fmt: skip
    yield case("one-cycle", "LA-3", "the run ends on the first synchronization", steps=5)
    yield case("start", "LA-1", "one step, from which phi must be theta_0", steps=1)
    yield case("several", "LA-30", "matrix, vector and scalar", 2, 0.8, 5, shapes=SEVERAL)
    yield case("single", "LA-30", "one element", 2, 0.2, 5, shapes=SINGLE)
    yield case("large", "LA-5", "large weights and gradients", alpha=0.2,
               scale=50, gradient_scale=52)  # fmt: skip
    yield case("small", "LA-5", "small weights and gradients", alpha=0.8,
               scale=-50, gradient_scale=-50)  # fmt: skip
    yield case("large-beside-small", "LA-6", "updates near the last digit", k=2, steps=5,
               scale=10, gradient_scale=-12)  # fmt: skip
    yield case("cancelling", "LA-6",
               "weights that cross zero: ulps of the result are no yardstick",
               initial=[[0.5, -0.25, 0.125]],
               problem=given_tape([[[1.25, -0.625, 0.3125]]] * 11))  # fmt: skip
    yield case("zero-gradients", "LA-5", "nothing moves", problem=given_tape(ZEROS * 11))
    yield case("zero-then-gradients", "LA-5", "the first cycle does not move",
               problem=given_tape(ZEROS * 5 + ONES * 6))  # fmt: skip
    yield case("zero-weights", "LA-1", "weights that start at zero",
               initial=[[0.0, -0.0, 0.0]])  # fmt: skip
    yield case("subnormal", "LA-32", "subnormal weights", conditions=["subnormal"],
               initial=[[2.0**-140, -(2.0**-135), 3 * 2.0**-149]],
               problem=given_tape([[[2.0**-137, 2.0**-136, -(2.0**-138)]]] * 11),
               )  # fmt: skip
    yield case("overflow", "LA-32", "weights that overflow", inner=sgd(4.0), steps=4,
               initial=[[-(2.0**127), 2.0**127, 1.0]],
               problem=given_tape([[[2.0**126, -(2.0**126), 0.5]]] * 4),
               conditions=["overflow"], dtypes=["float32"])  # fmt: skip
    for name, loop in (("coupled", COUPLED), ("separate", SEPARATE), ("wells", WELLS)):
        for k, alpha in ((2, 0.5), (5, 0.8), (5, 0.2)):
            yield case(f"{name}-k{k}-alpha{alpha}", "LA-2", k=k, alpha=alpha,
                       inner=sgd(0.2), **loop)  # fmt: skip
    for name, missing in _without_gradients():
        yield case(name, "LA-25", k=3, steps=10, **missing)


def _state() -> Cases:
    for inner in (heavy_ball(), nesterov(), adagrad(), adam()):
        for at_sync, clause in AT_SYNC.items():
            for k, alpha, steps in ((2, 0.5, 6), (5, 0.8, 11), (5, 0.2, 12), (1, 0.5, 4)):
                name = f"state-{inner.rule}-{at_sync}-k{k}-alpha{alpha}"
                yield build(name, clause, lookahead(k, alpha, at_sync), inner, steps)
    for at_sync in AT_SYNC:
        level = lookahead(3, 0.5, at_sync)
        yield build(f"state-several-{at_sync}", "LA-30", level, adam(), 7,
                    says="matrix, vector and scalar", shapes=SEVERAL)  # fmt: skip
        inner = heavy_ball(0.05)
        yield build(f"state-coupled-{at_sync}", "LA-2", level, inner, 8, **COUPLED)
        yield build(f"state-wells-{at_sync}", "LA-2", level, adam(0.05), 8, **WELLS)
        yield build(f"state-decay-{at_sync}", "LA-27", level, adam(decoupled=0.1), 7,
                    says="with decoupled weight decay")  # fmt: skip
    for name, missing in _without_gradients():
        level = lookahead(3, 0.5)
        yield build(f"state-{name}", "LA-25", level, heavy_ball(), 8, **missing)


def _first_gradient_late() -> Cases:
    """Yield cases of a parameter that synchronizes before it has a gradient."""
    # Version 2 had such cases only for SGD and heavy ball, with `maintain`.
    # Such a small epsilon makes no difference anywhere.
    sums, moments = adagrad(l2=0.1, epsilon=1e-30), adam(epsilon=1e-30)
    both: Shapes = {"first": (1,), "second": (1,)}
    for at_sync, name, inner in (
        *(("maintain", each.rule, each) for each in (sums, nesterov(), moments)),
        *product(("reset", "interpolate"), ("heavy-ball",), (heavy_ball(),)),
        *product(("reset", "interpolate"), ("adam",), (moments,)),
    ):
        yield build(f"first-gradient-late-{name}-{at_sync}", "LA-25",
                    lookahead(2, 0.8, at_sync), inner, 5, profile="state",
                    says="the first gradient comes after a synchronization",
                    conditions=["no-gradient"], shapes=both,
                    missing={"second": (1, 2, 3)})  # fmt: skip
    for name, inner, lacks in (
        ("later-adam", moments, "second"), ("before-another", sgd(), "first"),
    ):  # fmt: skip
        yield build(f"no-gradient-{name}", "LA-25", lookahead(2, 0.8), inner, 5,
                    profile="state", says="no gradient at a synchronization and after it",
                    conditions=["no-gradient"], shapes=both,
                    missing={lacks: (2, 3)})  # fmt: skip


def _shapes() -> Cases:
    """Yield cases of a matrix that is not square, and of two parameters."""
    # In all other cases matrices are square, and those with a schedule, a second level,
    # saving or evaluation have only one tensor.
    yield build("wrapper-not-square", "LA-30", lookahead(2, 0.8), sgd(), 5,
                says="matrix with more columns than rows", shapes=NOT_SQUARE)  # fmt: skip

    def pair(
        identity: str, clause: str, levels: Any, inner: Inner, **rest: Any
    ) -> PlannedCase:
        return build(f"{identity}-pair", clause, levels, inner, 9,
                     says="two parameters", shapes=PAIR, **rest)  # fmt: skip

    rising = [0.2, 0.5, 0.8, 1.0]
    level = lookahead(3, 0.5)
    yield pair("schedule", "LA-14", level, sgd(WARM_UP))
    yield pair("schedule-alpha", "LA-16", lookahead(2, rising), sgd())
    yield build("schedule-alpha-reset", "LA-16", lookahead(2, rising, "reset"),
                heavy_ball(), 9, says="a reset leaves alpha's clock")  # fmt: skip
    yield pair("nesting", "LA-17", [lookahead(4, 0.5), lookahead(2, 0.8)], sgd())
    yield pair("resume", "LA-24", level, heavy_ball(), save_after=4)
    yield pair("evaluation", "LA-9", level, heavy_ball(), evaluate_after=[2, 4, 6])
    yield pair("outer", "OU-6", with_outer(2, nesterov(RATES)), sgd(WARM_UP))


def _resume() -> Cases:
    def around(name: str, levels: Any, inner: Inner, at: Sequence[int]) -> Cases:
        for s in at:
            yield build(f"resume-{name}-after{s}", "LA-24", levels, inner, 11,
                        says=f"saved after step {s}", save_after=s)  # fmt: skip

    level = lookahead(5, 0.5)
    yield from around("sgd", lookahead(5, 0.8), sgd(), (1, 2, 4, 5, 6, 9))
    yield from around("several", level, sgd(), (3,))
    for at_sync in AT_SYNC:
        treated = lookahead(5, 0.5, at_sync)
        yield from around(f"heavy-ball-{at_sync}", treated, heavy_ball(), (4, 5, 6))
        yield from around(f"adam-{at_sync}", treated, adam(), (4, 5, 6))
    yield from around("adagrad", level, adagrad(), (4, 6))
    yield from around("schedule", level, sgd(DECAY), (4, 6))
    yield from around("schedule-reset", lookahead(5, 0.5, "reset"), adam(WARM_UP), (3, 6))
    alphas = lookahead(2, [0.2, 0.5, 0.8, 1.0, 0.3])
    yield from around("alphas", alphas, sgd(), (4, 5))
    nested = [lookahead(4, 0.5), lookahead(2, 0.8)]
    yield from around("nested", nested, sgd(), (3, 4, 5))
    nested = [lookahead(4, 0.5, "interpolate"), lookahead(3, 0.8)]
    yield from around("nested-interpolate", nested, heavy_ball(), (3, 5))


def _evaluation() -> Cases:
    every = list(range(1, 12))
    for name, level, inner, when in (
        ("sgd-every", lookahead(5, 0.5), sgd(), every),
        ("sgd-before-sync", lookahead(5, 0.8), sgd(), [4, 9]),
        ("sgd-at-sync", lookahead(5, 0.2), sgd(), [5, 10]),
        ("sgd-after-sync", lookahead(5, 0.5), sgd(), [1, 6, 11]),
        ("heavy-ball-every", lookahead(3, 0.5), heavy_ball(), every),
        ("adam-every", lookahead(3, 0.8, "reset"), adam(), every),
        ("interpolate-every", lookahead(3, 0.5, "interpolate"), heavy_ball(), every),
        ("k1", lookahead(1, 0.5), sgd(), every),
    ):
        clause = "LA-10" if when == every else "LA-9"
        yield build(f"evaluation-{name}", clause, level, inner, 11, evaluate_after=when)
    yield build("evaluation-wells", "LA-9", lookahead(4, 0.5), sgd(0.2), 10,
                evaluate_after=[2, 6, 7], **WELLS)  # fmt: skip
    nested = [lookahead(4, 0.5), lookahead(2, 0.5)]
    yield build("evaluation-nested", "LA-9", nested, sgd(), 9,
                says="the outermost phi counts", evaluate_after=[2, 3, 4, 5, 6, 9],
                )  # fmt: skip


def _nesting() -> Cases:
    for outer, inner in ((4, 2), (5, 2), (2, 5), (6, 3), (3, 3)):
        levels = [lookahead(outer, 0.5), lookahead(inner, 0.8)]
        clause = "LA-17" if outer % inner else "LA-18"
        yield build(f"nesting-{outer}-{inner}", clause, levels, sgd(), 13)
    levels = [lookahead(8, 0.5), lookahead(4, 0.8), lookahead(2, 0.2)]
    yield build("nesting-three", "LA-19", levels, sgd(), 17)
    for outermost in AT_SYNC:
        for below in AT_SYNC:
            levels = [lookahead(5, 0.5, outermost), lookahead(2, 0.8, below)]
            yield build(f"nesting-{outermost}-{below}", "LA-20", levels, heavy_ball(), 11)
    for outermost in ("reset", "interpolate"):
        levels = [lookahead(5, 0.5, outermost), lookahead(2, 0.8)]
        yield build(f"nesting-adam-{outermost}", "LA-21", levels, adam(), 11)
    levels = [lookahead(5, [0.5, 0.2]), lookahead(2, [0.8, 0.6, 0.4, 0.2])]
    yield build("nesting-alphas", "LA-16", levels, sgd(), 13,
                says="each alpha sees the synchronizations of its own level")  # fmt: skip


def _schedule() -> Cases:
    for name, rate in (("warm-up", WARM_UP), ("decay", DECAY), ("moving", MOVING)):
        yield build(f"schedule-sgd-{name}", "LA-14", lookahead(5, 0.5), sgd(rate), 12)
        for at_sync in AT_SYNC:
            yield build(f"schedule-heavy-ball-{name}-{at_sync}", "LA-14",
                        lookahead(3, 0.5, at_sync), heavy_ball(rate), 10)  # fmt: skip
        yield build(f"schedule-adam-{name}-reset", "LA-14",
                    lookahead(3, 0.8, "reset"), adam(rate), 10)  # fmt: skip
    yield build("schedule-zero", "LA-14", lookahead(3, 0.5), sgd([0.0, 0.1]), 7,
                says="the first learning rate is 0")  # fmt: skip
    yield build("schedule-alpha", "LA-16", lookahead(2, [0.2, 0.5, 0.8, 1.0]), sgd(), 11,
                says="alpha rises, then stays")  # fmt: skip
    falling = lookahead(2, [0.8, 0.5, 0.2], "interpolate")
    yield build("schedule-alpha-interpolate", "LA-16", falling, heavy_ball(), 9,
                says="alpha falls")  # fmt: skip


_adamw = partial(adam, decoupled=0.01)

INNERS: Mapping[str, tuple[str, Callable[..., Inner]]] = {
    "sgd": ("IN-5", sgd),
    "heavy-ball": ("IN-6", heavy_ball),
    "nesterov": ("IN-7", nesterov),
    "adagrad": ("IN-8", adagrad),
    "adam": ("IN-10", adam),
    "adamw": ("IN-4", _adamw),
}
"""Inner optimizer to the clause of its rule, and the function that makes it."""

OTHERS: Mapping[str, Sequence[tuple[str, str, Inner]]] = {
    "sgd": [("rate", "IN-1", sgd(0.003)), ("l2-strong", "IN-3", sgd(l2=0.5))],
    "heavy-ball": [
        ("momentum0", "IN-6", heavy_ball(momentum=0.0)),
        ("momentum0.5", "IN-6", heavy_ball(momentum=0.5)),
    ],
    "nesterov": [
        ("momentum0", "IN-7", nesterov(momentum=0.0)),
        ("momentum0.5", "IN-7", nesterov(momentum=0.5)),
    ],
    "adagrad": [
        ("epsilon", "IN-13", adagrad(epsilon=0.01)),
        ("rate", "IN-1", adagrad(0.5)),
    ],
    "adam": [
        ("epsilon", "IN-11", adam(epsilon=0.01)),
        ("betas", "IN-9", adam(beta1=0.5, beta2=0.75)),
        ("beta1-0", "IN-9", adam(beta1=0.0)),
        ("rate", "IN-1", adam(0.001)),
    ],
    "adamw": [
        ("strong", "IN-4", _adamw(decoupled=0.5)),
        ("epsilon", "IN-11", adam(epsilon=0.01, decoupled=0.05)),
    ],
}
"""Part of a case's id, clause and optimizer with unusual hyperparameters."""


def _inner(name: str) -> Cases:
    rule, make = INNERS[name]
    plain = make()

    def case(
        part: str, clause: str, says: str = "", inner: Inner = plain, k: int = 7,
        alpha: float = 0.5, steps: int = 6, **rest: Any,
    ) -> PlannedCase:  # fmt: skip
        return build(
            f"inner-{name}-{part}", clause, lookahead(k, alpha), inner, steps,
            says=says, profile=f"inner:{name}", **rest,
        )  # fmt: skip

    yield case("alone", rule, "no synchronization: the rule itself")
    yield case("k1", rule, "k = 1 and alpha = 1 change nothing", k=1, alpha=1.0, steps=5)
    yield case("lookahead", rule, k=2, steps=7)
    yield case("several", "LA-30", "matrix, vector and scalar", shapes=SEVERAL)
    yield case("large", rule, "large gradients", gradient_scale=58, scale=56)
    yield case("small", rule, "small gradients", gradient_scale=-50)
    yield case("zero-first", "IN-2", "gradients of zero before any other",
               problem=given_tape(ZEROS * 3 + ONES * 3))  # fmt: skip
    yield case("zero-later", rule, "gradients of zero after others",
               problem=given_tape(ONES * 3 + ZEROS * 3))  # fmt: skip
    for part, clause, other in OTHERS[name]:
        yield case(part, clause, inner=other)
    yield case("separate", rule, inner=make(0.05), k=5, steps=8, **SEPARATE)
    if name != "adamw":
        yield case("l2", "IN-3", "weight decay added to the gradient", make(l2=0.1))
    # With a velocity these were added in version 2; in version 1 one variant lacked decay.
    again = "-again" if name in ("heavy-ball", "nesterov") else ""
    yield case(f"decoupled{again}", "IN-4", "decoupled weight decay", make(decoupled=0.1))
    yield case(f"decoupled-moving{again}", "IN-4",
               "decoupled weight decay follows the learning rate",
               make(MOVING, decoupled=0.2))  # fmt: skip
    if name in ("adam", "adamw"):
        yield case("near-epsilon", rule, "gradients near epsilon: where it stands shows",
                   gradient_scale=-27)  # fmt: skip
        yield case("overflow", "LA-32", "second moments that overflow: the weights stay",
                   problem=given_tape([[[2.0**80, -(2.0**90), 2.0**100]]] * 4), steps=4,
                   conditions=["overflow"], dtypes=["float32"])  # fmt: skip
    if name in ("heavy-ball", "nesterov"):
        yield case("subnormal", "LA-32", "subnormal velocities", conditions=["subnormal"],
                   initial=[[2.0**-130, -(2.0**-133), 2.0**-128]],
                   problem=given_tape([[[2.0**-135, 2.0**-140, -(2.0**-132)]]] * 6),
                   )  # fmt: skip


RATES = [0.7, 1.2, 0.4, 0.9, 0.3]
"""Outer learning rates, over synchronizations."""


def _outer() -> Cases:
    plain = sgd()

    def case(
        part: str, clause: str, k: int, outer: Inner, steps: int, inner: Inner = plain,
        inner_state: str = "maintain", **rest: Any,
    ) -> PlannedCase:  # fmt: skip
        level = with_outer(k, outer, inner_state)
        return build(f"outer-{part}", clause, level, inner, steps, **rest)

    momentum = heavy_ball(0.7, momentum=0.6)
    diloco = nesterov(0.7)
    for k, steps in ((1, 4), (3, 10), (5, 15)):
        yield case(f"sgd-k{k}", "OU-3", k, sgd(0.8), steps)
        yield case(f"heavy-ball-k{k}", "OU-4", k, momentum, steps)
        yield case(f"nesterov-k{k}", "OU-1", k, diloco, steps)
    yield case("sgd-long", "OU-6", 3, sgd(1.5), 10, says="a learning rate above 1")
    yield case("nesterov-weak", "OU-4", 3, nesterov(0.7, momentum=0.3), 10)
    yield case("adagrad", "OU-4", 3, adagrad(0.05), 10)
    yield case("adam", "OU-4", 3, adam(0.05), 10)
    yield case("no-sync", "LA-8", 7, momentum, 6, says="no synchronization comes")
    yield case("start", "OU-2", 2, momentum, 2, says="one synchronization")
    yield case("several", "LA-30", 2, diloco, 5, shapes=SEVERAL)
    yield case("large", "OU-1", 3, momentum, 7, scale=50, gradient_scale=52)
    yield case("coasting", "OU-5", 2, diloco, 8, says="phi goes on when theta has stopped",
               problem=given_tape(ONES * 4 + ZEROS * 4))  # fmt: skip
    yield case("coupled", "LA-2", 3, momentum, 10, **COUPLED)
    yield case("wells", "LA-2", 3, diloco, 10, **WELLS)
    for at_sync in AT_SYNC:
        rest = {"inner_state": at_sync}
        yield case(f"{at_sync}-heavy-ball", "OU-5", 3, momentum, 10, heavy_ball(), **rest)
        yield case(f"{at_sync}-adam", "OU-5", 3, diloco, 10, adam(), **rest)
    yield case("interpolate-long", "OU-8", 3, sgd(1.5), 7, heavy_ball(), "interpolate",
               says="slots move all the way, and no farther")  # fmt: skip
    for kind in ("l2", "decoupled"):
        yield case(f"{kind}-sgd", "OU-7", 3, sgd(0.8, **{kind: 0.1}), 10)
        yield case(f"{kind}-nesterov", "OU-7", 3, nesterov(0.7, **{kind: 0.1}), 10)
    yield case("decoupled-adam", "OU-7", 3, adam(0.05, decoupled=0.5), 10, adam())
    for outer in (sgd(RATES), heavy_ball(RATES), nesterov(RATES)):
        yield case(f"schedule-{outer.rule}", "OU-6", 2, outer, 11)
    yield case("schedule-interpolate", "OU-8", 2, sgd(RATES), 9, heavy_ball(),
               "interpolate")  # fmt: skip
    cycles = [0.1] * 3 + [0.05] * 3 + [0.2]
    yield case("slow", "OU-11", 3, momentum, 10, sgd(cycles),
               says="a learning rate for each cycle")  # fmt: skip
    yield case("warm-up", "OU-6", 3, diloco, 10, adam(WARM_UP), "reset",
               says="each learning rate has its clock")  # fmt: skip
    for name, outer, saved in (
        ("sgd", sgd(RATES), (3, 4)), ("heavy-ball", momentum, (3, 4, 5)),
        ("nesterov", nesterov(RATES), (4,)), ("adam", adam(0.05), (4,)),
    ):  # fmt: skip
        for s in saved:
            yield case(f"{name}-after{s}", "OU-10", 2, outer, 9,
                       says=f"saved after step {s}", save_after=s)  # fmt: skip
    yield case("evaluation", "LA-9", 3, diloco, 8, evaluate_after=[2, 3, 4, 6, 7])
    below = with_outer(2, momentum)
    for outermost in AT_SYNC:
        levels = [lookahead(5, 0.5, outermost), below]
        yield build(f"outer-below-{outermost}", "OU-9", levels, heavy_ball(), 11)
    levels = [with_outer(4, diloco), lookahead(2, 0.5)]
    yield build("outer-around", "LA-19", levels, sgd(), 13)


def with_workers(
    part: str, clause: str, level: Level, steps: int, inner: Inner | None = None,
    count: int = 2, apart: bool = False, shapes: Shapes = DUO, **rest: Any,
) -> PlannedCase:  # fmt: skip
    """Build a case of several workers."""
    of_all = {f"{m + 1}/{n}": s for m in range(count) for n, s in shapes.items()}
    identity, rest["workers"] = f"workers-{part}", count
    planned = build(identity, clause, level, inner or sgd(), steps, shapes=of_all, **rest)
    for place, each in enumerate(planned["params"]):
        if not apart:
            each["values"] = planned["params"][place % len(shapes)]["values"]
    planned["comment"] += f" {count} workers."
    return planned


def _workers() -> Cases:
    case, plain = with_workers, sgd()
    momentum = with_outer(2, heavy_ball(0.7, momentum=0.6))
    diloco = with_outer(2, nesterov(0.7))
    yield case("start", "WO-2", momentum, 4, apart=True, says="each has drawn its own")
    yield case("start-alpha", "WO-2", lookahead(3, 0.8), 6, count=3, apart=True)
    yield case("no-sync", "WO-1", with_outer(5, sgd(0.8)), 3, says="they go apart")
    yield case("alpha", "WO-4", lookahead(2, 0.5), 5)
    yield case("local-sgd", "WO-4", lookahead(4, 1.0), 9, says="the mean of the weights")
    yield case("three", "WO-4", with_outer(3, sgd(1.5)), 7, count=3)
    yield case("four", "WO-4", diloco, 5, count=4, shapes=SINGLE)
    yield case("several", "LA-30", diloco, 5, shapes={"a": (1,), "b": (2,), "c": ()})
    yield case("k1", "WO-3", with_outer(1, heavy_ball(0.7, momentum=0.6)), 3)
    yield case("k4", "WO-3", with_outer(4, heavy_ball(0.7, momentum=0.6)), 9)
    yield case("schedule", "OU-6", with_outer(2, nesterov(RATES)), 9, sgd(WARM_UP))
    for outer in (adagrad(0.05), adam(0.05), adam(0.05, decoupled=0.5)):
        part = f"{outer.rule}-decay" if len(outer.hyperparameters) > 3 else outer.rule
        yield case(part, "WO-5", with_outer(2, outer), 7,
                   says="the outer step is not linear")  # fmt: skip
    loop: dict[str, Any] = {"says": "closed loop", "problem": quadratic(
        [[2.0, 0.5, 0.5, 1.0], [0.5, 0.0, 0.0, 2.0]], [[0.5, -1.0], [-2.0, 1.0]]
    )}  # fmt: skip
    yield case("valleys", "WO-1", diloco, 8, sgd(0.2), **loop)
    for at_sync in AT_SYNC:
        level = with_outer(2, nesterov(0.7), at_sync)
        yield case(f"{at_sync}-heavy-ball", "WO-7", level, 7, heavy_ball())
    yield case("maintain-adam", "WO-7", diloco, 7, adam())
    for name, inner, saved in (
        ("sgd", plain, 3), ("heavy-ball", heavy_ball(), 4), ("adam", adam(WARM_UP), 3),
    ):  # fmt: skip
        yield case(f"{name}-after{saved}", "WO-8", diloco, 7, inner,
                   says=f"saved after step {saved}", save_after=saved)  # fmt: skip


def _together() -> Cases:
    """Yield cases of what older ones have one at a time."""
    more: dict[str, Any] = {"says": "a learning rate that changes within a cycle"}
    more["shapes"] = SINGLE
    outer = heavy_ball(0.7, momentum=0.6)
    yield build("outer-slow-within", "OU-11", with_outer(3, outer), sgd(MOVING), 7, **more)
    levels = [lookahead(3, 0.5, "reset"), lookahead(2, 0.8)]
    yield build("nesting-schedule", "LA-14", levels, heavy_ball(MOVING), 7, **more)
    more["says"] = "a reset from outside leaves the schedules within as they are"
    levels = [lookahead(3, 0.5, "reset"), lookahead(2, [0.8, 0.6, 0.4, 0.2])]
    yield build("nesting-reset-alphas", "LA-16", levels, sgd(), 5, **more)
    levels = [lookahead(3, 0.5, "reset"), with_outer(2, sgd(RATES))]
    yield build("outer-below-schedule", "OU-9", levels, sgd(), 5, **more)
    both: Shapes = {"first": (1,), "second": (1,)}
    more = {"says": "learning rate and alpha change", "shapes": both}
    level = lookahead(2, [0.2, 0.5, 0.8])
    yield build("evaluation-schedules", "LA-10", level, heavy_ball(MOVING), 6,
                evaluate_after=[1, 2, 5], **more)  # fmt: skip
    levels = [lookahead(4, [0.5, 0.2], "interpolate"), lookahead(3, [0.8, 0.6, 0.4])]
    yield build("resume-nested-schedules", "LA-24", levels, heavy_ball(MOVING), 9,
                save_after=5, **more)  # fmt: skip
    level = with_outer(2, nesterov(0.7), "interpolate")
    yield with_workers("evaluation", "LA-9", level, 4, heavy_ball(), shapes=SINGLE,
                       evaluate_after=[1, 2, 3])  # fmt: skip
    yield with_workers("interpolate-after3", "WO-8", level, 6, heavy_ball(), shapes=SINGLE,
                       says="saved after step 3", save_after=3)  # fmt: skip
    yield build("wrapper-not-a-number", "LA-32", lookahead(2, 0.2), sgd(), 5,
                says="a gradient is not a number in the step that synchronizes",
                problem=given_tape([*ONES, [[1.0, nan, 0.5]], *ONES * 3]),
                conditions=["not-a-number"])  # fmt: skip


FILES: Mapping[str, Callable[[], Cases]] = {
    "smoke": _smoke,
    "wrapper": _wrapper,
    "state": _state,
    "resume": _resume,
    "evaluation": _evaluation,
    "nesting": _nesting,
    "schedule": _schedule,
    **{f"inner-{name}": partial(_inner, name) for name in INNERS},
    "outer": _outer,
    "workers": _workers,
    "first-gradient-late": _first_gradient_late,
    "shapes": _shapes,
    "together": _together,
}
"""File name without ending to the function that yields its cases."""
