"""Hyperparameters of every optimizer: what each may be, and what the error says."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref import hyperparameters
from lookahead_ref.trees import round_to
from support import one, run

NON_NEGATIVE = "a finite number >= 0"
BELOW_ONE = r"a number in [0, 1)"
HYPERPARAMETERS = [
    (make, name, BELOW_ONE if name in ("momentum", "beta1", "beta2") else NON_NEGATIVE)
    for make, names in (
        (la.SGD, ()),
        (la.HeavyBall, ("momentum",)),
        (la.Nesterov, ("momentum",)),
        (la.AdaGrad, ("epsilon",)),
        (la.Adam, ("beta1", "beta2", "epsilon")),
    )
    for name in ("learning_rate", "weight_decay", *names)
]
OPTIMIZERS = [la.SGD, la.HeavyBall, la.Nesterov, la.AdaGrad, la.Adam]


def said(name: str, wanted: str, value: Any) -> str:
    return f"{name} must be {wanted}, got {value!r}"


@pytest.mark.parametrize(
    "value", [-1e-9, -1, float("nan"), float("inf"), float("-inf"), np.float32("nan")]
)
@pytest.mark.parametrize(("make", "name", "wanted"), HYPERPARAMETERS)
def test_numbers_out_of_range_are_refused(
    make: Any, name: str, wanted: str, value: Any
) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
        make(**{"learning_rate": 0.1, name: value})
    assert str(raised.value) == said(name, wanted, value)


@pytest.mark.parametrize(
    "value", ["0.1", None, True, 0.1j, [0.1], np.array([0.1]), np.True_, Decimal("0.1")]
)
@pytest.mark.parametrize(("make", "name", "wanted"), HYPERPARAMETERS)
def test_what_is_not_a_number_is_refused(
    make: Any, name: str, wanted: str, value: Any
) -> None:
    with pytest.raises(TypeError) as raised:
        make(**{"learning_rate": 0.1, name: value})
    assert str(raised.value) == f"{said(name, wanted, value)} ({type(value).__name__})"


@pytest.mark.parametrize("value", [np.complex128(1j), np.array("0.1"), np.array(1j)])
def test_arrays_of_no_dimensions_must_be_real_numbers(value: Any) -> None:
    with pytest.raises(TypeError, match="learning_rate must be a finite number >= 0, got"):
        la.SGD(value)


@pytest.mark.parametrize(
    ("make", "name"), [case[:2] for case in HYPERPARAMETERS if case[2] == BELOW_ONE]
)
@pytest.mark.parametrize("value", [1.0, 1, 1.5])
def test_decay_rates_must_be_below_one(make: Any, name: str, value: float) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
        make(**{"learning_rate": 0.1, name: value})
    assert str(raised.value) == said(name, BELOW_ONE, value)


@pytest.mark.parametrize("value", ["L2", "", None, "adamw", ["l2"], np.array(["l2", ""])])
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_the_kind_of_weight_decay_must_be_known(make: Any, value: Any) -> None:
    with pytest.raises(
        ValueError, match="weight_decay_kind must be one of 'l2', 'decoupled', got"
    ) as raised:
        make(0.1, weight_decay_kind=value)
    assert repr(value) in str(raised.value)


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_an_unknown_hyperparameter_is_refused_by_name(make: Any) -> None:
    with pytest.raises(TypeError, match="momentun"):
        make(0.1, momentun=0.9)


@pytest.mark.parametrize(
    "value",
    [0.125, Fraction(1, 8), np.float32(0.125), np.float16(0.125), np.array(0.125)],
)
def test_any_kind_of_real_number_gives_the_same(value: Any) -> None:
    for make in OPTIMIZERS:
        for dtype in (np.float32, np.float64):
            start, grads = one(1.0, 2.0, dtype=dtype), one(0.3, -0.4, dtype=dtype)
            got, _ = run(la.Lookahead(make(value), k=1, alpha=value), start, [grads] * 3)
            want, _ = run(la.Lookahead(make(0.125), k=1, alpha=0.125), start, [grads] * 3)
            assert got["x"].dtype == dtype
            assert got["x"].tolist() == want["x"].tolist()
            stepper = la.Stepper(make(value), start)
            stepper.step(grads)
            alone, _ = run(make(0.125), start, [grads])
            assert stepper.params["x"].tolist() == alone["x"].tolist()


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_a_schedule_is_checked_at_each_value(make: Any, value: float) -> None:
    optimizer = make(lambda step: 0.1 if step < 2 else value)
    params, state = run(optimizer, one(1.0), [one(1.0)] * 2)
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
        optimizer.step(params, one(1.0), state)
    assert str(raised.value) == said(
        "learning_rate (its schedule at 2)", NON_NEGATIVE, value
    )


def test_a_schedule_must_return_a_number() -> None:
    optimizer: Any = la.SGD(lambda step: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(
        TypeError, match=r"learning_rate \(its schedule at 0\) must be a finite number >= 0"
    ):
        optimizer.init(one(1.0))


@pytest.mark.parametrize(
    ("make", "name"),
    [case[:2] for case in HYPERPARAMETERS],
)
def test_a_hyperparameter_that_rounds_to_zero_is_an_error(make: Any, name: str) -> None:
    optimizer = make(**{"learning_rate": 0.1, name: 1e-60})
    optimizer.init(one(1.0))
    with pytest.raises(
        ValueError, match=rf"{name} \(for params\['a/b'\]\) = 1e-60 rounds to 0 in float32"
    ):
        optimizer.init({"a": {"b": np.zeros(1, np.float32)}})


def test_a_learning_rate_that_falls_until_it_rounds_to_zero_is_an_error() -> None:
    optimizer = la.SGD(lambda step: 10.0 ** (-20 * (step + 1)))
    start = one(1.0, dtype=np.float32)
    params, state = run(optimizer, start, [start, start])
    message = "learning_rate.* rounds to 0 in float32"
    with pytest.raises(ValueError, match=message):
        optimizer.step(params, start, state)
    stepper = la.Stepper(optimizer, start)
    stepper.step(start)
    stepper.step(start)
    with pytest.raises(ValueError, match=message):
        stepper.step(start)
    assert stepper.state_dict()["step"] == 2


def test_a_hyperparameter_that_is_too_large_for_the_dtype_is_an_error() -> None:
    with pytest.raises(ValueError, match="= 1e\\+60 rounds to infinity in float32"):
        la.SGD(1e60).init(one(1.0, dtype=np.float32))
    with pytest.raises(ValueError, match="learning_rate must be a finite number >= 0, got"):
        la.SGD(10**400)


@pytest.mark.parametrize("value", [0.1, 1e-45, 0.0, 1 / 3, 3.4e38, 1.0000000596046448])
def test_scalars_are_rounded_to_float32_as_numpy_rounds_them(value: float) -> None:
    rounded = round_to("float32", "x", value)
    assert type(rounded) is float
    assert rounded == float(np.float32(value))
    assert round_to("float64", "x", value) == value


def test_counts_may_start_elsewhere_than_at_one() -> None:
    assert hyperparameters.count("n", np.int32(3), least=0) == 3
    with pytest.raises(ValueError, match="n must be an integer >= 2, got 1"):
        hyperparameters.count("n", 1, least=2)
    with pytest.raises(TypeError, match=r"n must be a positive integer, got 1.0 \(float\)"):
        hyperparameters.count("n", 1.0)


def test_with_learning_rate_reaches_the_innermost_optimizer_and_keeps_the_rest() -> None:
    inner = la.Adam(0.1, beta1=0.5)
    optimizer = la.PolyakAveraging(la.Lookahead(la.Lookahead(inner, k=2), k=3), decay=0.5)
    changed = la.with_learning_rate(optimizer, 0.25)
    assert changed == la.PolyakAveraging(
        la.Lookahead(la.Lookahead(la.Adam(0.25, beta1=0.5), k=2), k=3), decay=0.5
    )
    assert inner.learning_rate == 0.1
    with pytest.raises(ValueError, match="learning_rate must be a finite number >= 0"):
        la.with_learning_rate(optimizer, -1.0)
    for bad in (None, la.SGD):
        with pytest.raises(TypeError, match="optimizer must be an optimizer"):
            la.with_learning_rate(bad, 0.1)
