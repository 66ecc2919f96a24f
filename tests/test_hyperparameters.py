"""What hyperparameters may be: each check by itself, and by which each field is checked."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref import hyperparameters as h
from lookahead_ref import trees
from lookahead_ref.optimizers import schedules
from support import INNER, assert_same_bits, one, run

NON_NEGATIVE, POSITIVE = "a finite number >= 0", "a finite number > 0"
BELOW_ONE, STEP_SIZE = "a number in [0, 1)", "a number in (0, 1]"
COUNT = "a positive integer"
NAN, INFINITY = float("nan"), float("inf")
NO_NUMBERS = [
    *("0.1", None, True, 0.1j, [0.1], np.array([0.1]), np.True_, Decimal("0.1")),
    *(np.complex128(1j), np.array("0.1"), np.array(1j), lambda: 0.1),
]
OPTIMIZERS: list[Any] = [la.SGD, la.HeavyBall, la.Nesterov, la.AdaGrad, la.Adam]


@contextmanager
def refused(name: str, wanted: str, value: Any, error: Any = ValueError) -> Iterator[None]:
    """The block raises an error that says just this."""
    with pytest.raises(error) as raised:
        yield
    kind = f" ({type(value).__name__})" if error is TypeError else ""
    assert str(raised.value) == f"{name} must be {wanted}, got {value!r}{kind}"


# The checks.


@pytest.mark.parametrize(
    ("check", "wanted", "good", "bad"),
    [
        (h.non_negative, NON_NEGATIVE, [0.0, 5e-324, 1e300], [-1e-9, -1]),
        (h.positive, POSITIVE, [5e-324, 1], [0.0, -0.0, -1.0]),
        (h.below_one, BELOW_ONE, [0, 0.999], [-1e-9, 1.0, 1, 1.5]),
        (h.step_size, STEP_SIZE, [1e-9, 1], [0.0, -0.5, 1.0000001, 2]),
    ],
)
def test_a_number_must_lie_in_the_range(
    check: Any, wanted: str, good: list[Any], bad: list[Any]
) -> None:
    assert [check("x", value) for value in good] == good
    for value in [*bad, NAN, INFINITY, -INFINITY, np.float32("nan")]:
        with refused("x", wanted, value):
            check("x", value)
    for value in NO_NUMBERS:
        with refused("x", wanted, value, TypeError):
            check("x", value)


def test_a_count_must_be_an_integer_from_the_least_on() -> None:
    assert h.count("n", np.int32(3), least=0) == 3
    for value in (0, -3):
        with refused("n", COUNT, value):
            h.count("n", value)
    with refused("n", "an integer >= 2", 1):
        h.count("n", 1, least=2)
    for bad in (2.5, 5.0, True, "5", NAN, None, [5]):
        with refused("n", COUNT, bad, TypeError):
            h.count("n", bad)


@pytest.mark.parametrize("value", ["L2", "", None, "adamw", ["l2"], np.array(["l2", ""])])
def test_an_option_must_exist(value: Any) -> None:
    assert h.option("kind", "l2", ("l2", "decoupled")) == "l2"
    with refused("kind", "one of 'l2', 'decoupled'", value):
        h.option("kind", value, ("l2", "decoupled"))


@pytest.mark.parametrize(
    ("allowed", "good", "bad", "message"),
    [
        (h.FINITE, [-1e300, 0.0], NAN, "finite, got nan"),
        (h.NON_NEGATIVE, [0.0, 1.0], -1.0, ">= 0, got -1.0"),
        (h.POSITIVE, [5e-324], 0.0, "> 0, got 0.0"),
        (h.BELOW_ONE, [0.0, 0.5], 1.0, r"in \[0, 1\), got 1.0"),
        (h.STEP_SIZE, [0.5, 1.0], 0.0, r"in \(0, 1\], got 0.0"),
        (h.at_least(2), [2, 3], 1, ">= 2, got 1"),
    ],
)
def test_every_element_of_an_array_must_lie_in_the_range(
    allowed: Any, good: list[Any], bad: Any, message: str
) -> None:
    array = np.array(good)
    assert h.every("x", array, allowed) is array
    for wrong in (np.array([*good, bad]), np.array(bad)):
        with pytest.raises(ValueError, match=f"x must be {message}"):
            h.every("x", wrong, allowed)


def test_a_number_too_large_for_a_float_is_out_of_range() -> None:
    with pytest.raises(ValueError, match="x must be a finite number >= 0, got an integer"):
        h.non_negative("x", 10**400)


# The fields: which check each has.

RANGES: dict[str, tuple[str, Any]] = {
    **dict.fromkeys(
        ["learning_rate", "weight_decay", "epsilon", "value", "initial", "factor", "final"],
        (NON_NEGATIVE, -0.5),
    ),
    **dict.fromkeys(["scale", "max_norm"], (POSITIVE, 0.0)),
    **dict.fromkeys(["momentum", "beta1", "beta2", "decay"], (BELOW_ONE, 1.0)),
    **dict.fromkeys(["alpha", "alpha_low"], (STEP_SIZE, 1.5)),
    **dict.fromkeys(["k", "steps", "steps_per_epoch"], (COUNT, 0)),
    "after": (NON_NEGATIVE, -0.5),
    "weight_decay_kind": ("one of 'l2', 'decoupled'", "L2"),
    "inner_state": ("one of 'maintain', 'reset', 'interpolate'", "kept"),
}
MADE: list[tuple[Any, dict[str, Any]]] = [
    *[(make, {"learning_rate": 0.1}) for make in OPTIMIZERS],
    (la.Lookahead, {"inner": la.SGD(0.1)}),
    (la.PolyakAveraging, {"inner": la.SGD(0.1)}),
    (la.AdaptiveAlpha, {}),
    (schedules.Constant, {}),
    (schedules.StepDecay, {"initial": 0.1, "boundaries": [1], "factor": 0.5}),
    (schedules.Cosine, {"initial": 0.1, "steps": 10}),
    (schedules.WarmUp, {"steps": 3, "after": 0.1}),
    (schedules.cifar_step_decay, {"initial": 0.1, "steps_per_epoch": 10}),
    (la.clip_by_global_norm, {"grads": one(1.0)}),
]
FIELDS = [
    (make, given, name)
    for make, given in MADE
    for name in inspect.signature(make).parameters
    if name in RANGES
]


@pytest.mark.parametrize(("make", "given", "name"), FIELDS)
def test_fields_are_checked_and_named(make: Any, given: dict[str, Any], name: str) -> None:
    wanted, bad = RANGES[name]
    with refused(name, wanted, bad):
        make(**given | {name: bad})


@pytest.mark.parametrize("bad", [la.SGD, None, "sgd", 0.1])
def test_what_is_wrapped_or_run_must_be_an_optimizer(bad: Any) -> None:
    for around in (la.Lookahead, la.PolyakAveraging, partial(la.slowmo, k=3, momentum=0.9)):
        with pytest.raises(TypeError, match="inner must be an optimizer"):
            around(bad)
    for use, given in ((la.Stepper, one(1.0)), (la.with_learning_rate, 0.1)):
        with pytest.raises(TypeError, match="optimizer must be an optimizer"):
            use(bad, given)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "value", [0.125, Fraction(1, 8), np.float32(0.125), np.float16(0.125), np.array(0.125)]
)
def test_any_kind_of_real_number_gives_the_same(value: Any, dtype: Any) -> None:
    start, grads = one(1.0, 2.0, dtype=dtype), one(0.3, -0.4, dtype=dtype)
    for make in OPTIMIZERS:
        optimizer = la.Lookahead(make(value), k=1, alpha=value)
        got, _ = run(optimizer, start, [grads] * 3)
        want, _ = run(la.Lookahead(make(0.125), k=1, alpha=0.125), start, [grads] * 3)
        assert_same_bits(got, want)
        # A strict array accepts only Python's number of these.
        there = (trees.map(strict.asarray, each) for each in (start, grads))
        got, _ = run(optimizer, next(there), [next(there)] * 3)
        assert_same_bits(trees.map(np.asarray, got), want)
        stepper = la.Stepper(optimizer, start)
        for _ in range(3):
            stepper.step(grads)
        assert_same_bits(stepper.params, want)


# Schedules, at each of their values.


def late(clock: int) -> float:
    return 0.1 if clock < 2 else -0.1


@pytest.mark.parametrize(
    ("optimizer", "name", "wanted"),
    [
        *[
            (la.with_learning_rate(make(), late), "learning_rate", NON_NEGATIVE)
            for make in INNER.values()
        ],
        (la.Lookahead(la.SGD(0.1), k=1, alpha=late), "alpha", STEP_SIZE),
    ],
)
def test_a_schedule_is_checked_at_each_step(optimizer: Any, name: str, wanted: str) -> None:
    params, state = run(optimizer, one(1.0), [one(1.0)] * 2)
    with refused(f"{name} (its schedule at 2)", wanted, -0.1):
        optimizer.step(params, one(1.0), state)


def test_alpha_s_schedule_is_checked_by_init() -> None:
    with refused("alpha (its schedule at 0)", STEP_SIZE, 1.5):
        la.Lookahead(la.SGD(0.1), alpha=lambda t: 1.5).init(one(1.0))


def test_a_schedule_must_return_a_number() -> None:
    optimizer: Any = la.SGD(lambda step: None)  # type: ignore[arg-type, return-value]
    with refused("learning_rate (its schedule at 0)", NON_NEGATIVE, None, TypeError):
        optimizer.init(one(1.0))
    with refused("after (its schedule at 2)", NON_NEGATIVE, "x", TypeError):
        schedules.WarmUp(4, after=lambda step: "x")(2)  # type: ignore[arg-type, return-value]


# Rounding to the dtype of a parameter.


@pytest.mark.parametrize(
    ("make", "given", "name"),
    [each for each in FIELDS if each[0] in OPTIMIZERS and each[2][-4:] != "kind"]
    + [(la.Lookahead, {"inner": la.SGD(0.1)}, "alpha")],
)
def test_a_hyperparameter_that_rounds_to_zero_is_an_error(
    make: Any, given: dict[str, Any], name: str
) -> None:
    optimizer = make(**given | {name: 1e-60})
    optimizer.init(one(1.0))
    message = rf"{name} \(for params\['a/b'\]\) = 1e-60 rounds to 0 in float32"
    with pytest.raises(ValueError, match=message):
        optimizer.init({"a": {"b": np.zeros(1, np.float32)}})


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [
        (la.SGD(lambda step: 10.0 ** (-20 * (step + 1))), "learning_rate"),
        (la.Lookahead(la.SGD(0.1), 1, lambda syncs: 10.0 ** (-30 * syncs)), "alpha"),
    ],
)
def test_a_schedule_that_falls_until_zero_is_an_error(optimizer: Any, name: str) -> None:
    start = one(1.0, dtype=np.float32)
    params, state = run(optimizer, start, [start, start])
    with pytest.raises(ValueError, match=f"{name}.* = 1e-60 rounds to 0 in float32"):
        optimizer.step(params, start, state)


def test_a_hyperparameter_that_is_too_large_for_the_dtype_is_an_error() -> None:
    with pytest.raises(ValueError, match="= 1e\\+60 rounds to infinity in float32"):
        la.SGD(1e60).init(one(1.0, dtype=np.float32))


@pytest.mark.parametrize("value", [0.1, 1e-45, 0.0, 1 / 3, 3.4e38, 1.0000000596046448])
def test_scalars_are_rounded_to_float32_as_numpy_rounds_them(value: float) -> None:
    for dtype in ("float32", "torch.float32"):
        rounded = h.round_to(dtype, "x", value)
        assert type(rounded) is float
        assert rounded == float(np.float32(value))
    assert h.round_to("float64", "x", value) == value


def test_with_learning_rate_reaches_the_innermost_optimizer_and_keeps_the_rest() -> None:
    inner = la.Adam(0.1, beta1=0.5)
    optimizer = la.PolyakAveraging(la.Lookahead(la.Lookahead(inner, k=2), k=3), decay=0.5)
    changed = la.with_learning_rate(optimizer, 0.25)
    assert changed == la.PolyakAveraging(
        la.Lookahead(la.Lookahead(la.Adam(0.25, beta1=0.5), k=2), k=3), decay=0.5
    )
    assert inner.learning_rate == 0.1
    with refused("learning_rate", NON_NEGATIVE, -1.0):
        la.with_learning_rate(optimizer, -1.0)
