"""Statements about every executor of update rules, on any device."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref import trees
from lookahead_ref.kernels import GENERAL
from support import DECOUPLED, INNER, INNER_STATES, L2, assert_same_bits, saved

Wrap = Callable[[Any], Any]


def nested(k: int, inner: str, outer: str) -> Wrap:
    """A Lookahead of k = 2 in another one, with these inner states."""
    return lambda made: la.Lookahead(la.Lookahead(made, 2, 0.3, inner), k, 0.6, outer)


SINGLE: dict[str, Wrap] = {"plain": lambda inner: inner} | {
    kind: partial(la.Lookahead, k=4, alpha=0.3, inner_state=kind) for kind in INNER_STATES
}
MORE: dict[str, Wrap] = {
    "scheduled": lambda inner: la.Lookahead(
        la.with_learning_rate(inner, la.schedules.Cosine(0.1, steps=300, final=0.01)),
        k=3,
        alpha=lambda clock: 0.8 / (1.0 + 0.1 * clock),
        inner_state="interpolate",
    ),
    "nested, a multiple": nested(4, "maintain", "reset"),
    "nested, not a multiple": nested(3, "interpolate", "interpolate"),
    "mean": la.PolyakAveraging,
    "exponential": partial(la.PolyakAveraging, decay=0.97),
    "mean of a Lookahead": lambda inner: la.PolyakAveraging(SINGLE["interpolate"](inner)),
    "exponential of a nested Lookahead": lambda inner: la.PolyakAveraging(
        nested(3, "reset", "maintain")(inner), decay=0.97
    ),
}
FAMILY: dict[str, Any] = {
    "AMSGrad, SNOO": la.snoo(la.AMSGrad(0.02), 2, learning_rate=0.9, momentum=0.6),
    "Lion, reset, outer Adam": la.Lookahead(
        la.Lion(0.01, **DECOUPLED), 3, None, "reset", la.Adam(0.03)
    ),
    "RMSProp, interpolate, outer SGD": la.Lookahead(
        la.RMSProp(0.02, **L2),
        2,
        None,
        "interpolate",
        la.SGD(lambda sync: 1.3 / (1 + sync)),
    ),
    "RAdam, outer heavy ball": la.Lookahead(
        la.RAdam(0.02), 3, outer=la.HeavyBall(0.7, 0.6, **L2)
    ),
    "SlowMo of a schedule": la.slowmo(
        la.SGD(la.schedules.Cosine(0.1, steps=300, final=0.01)), 2, momentum=0.7
    ),
    "SNOO in a Lookahead that resets": la.Lookahead(
        la.snoo(la.SGD(0.05), 2, learning_rate=0.7, momentum=0.6), 2, 0.3, "reset"
    ),
    "groups": la.Grouped(
        {
            "*scale": la.Lookahead(la.SGD(0.05), 3, 0.4),
            "double/*": la.PolyakAveraging(la.Adam(0.02, **DECOUPLED)),
            "*": la.snoo(la.Nesterov(0.03, **L2), 2, learning_rate=0.9, momentum=0.6),
        }
    ),
}
"""The optimizers and outer optimizers that are not in `INNER`, each once."""

DECAYS: dict[str, dict[str, Any]] = {"": {}, " with L2": L2, " decoupled": DECOUPLED}


def made(wraps: dict[str, Wrap], *decays: str) -> dict[str, Any]:
    """Every inner optimizer with each decay in each of the wraps, by name."""
    return {
        f"{name}{decay}, {wrapped}": wrap(make(**DECAYS[decay]))
        for name, make in INNER.items()
        for decay in decays
        for wrapped, wrap in wraps.items()
    }


def with_each(optimizers: dict[str, Any]) -> Any:
    """Run a test once with each of the optimizers."""
    return pytest.mark.parametrize("optimizer", optimizers.values(), ids=optimizers)


class Place(NamedTuple):
    """A backend, and how trees of NumPy arrays get to it and back."""

    backend: Any
    to: Callable[[Any], Any] = lambda tree: tree
    back: Callable[[Any], Any] = lambda tree: tree

    def stepper(self, optimizer: Any, params: Any) -> la.Stepper:
        return la.Stepper(optimizer, self.to(params), backend=self.backend)


def elsewhere(backend: Any, asarray: Callable[..., Any], asnumpy: Any) -> Place:
    """Where arrays of another library than NumPy are."""
    return Place(
        backend,
        lambda tree: trees.map(lambda leaf: asarray(np.asarray(leaf)), tree),
        lambda tree: {
            path: leaf if isinstance(leaf, int) else asnumpy(leaf)
            for path, leaf in trees.flatten(tree).items()
        },
    )


def assert_agrees(
    optimizer: Any,
    params: Any,
    grads: Iterable[Any],
    *places: Place,
    checked: Callable[[int], bool] = lambda _: False,
) -> None:
    """Compare params, what is evaluated and all of the state with the pure interface.

    That is done after the last step, and after those that are `checked`.
    """
    state = optimizer.init(params)
    steppers = [(place, place.stepper(optimizer, params)) for place in places]

    def compare() -> None:
        evaluated = optimizer.evaluation_params(params, state)
        for place, stepper in steppers:
            assert_same_bits(place.back(stepper.params), trees.flatten(params))
            shown = place.back(stepper.evaluation_params())
            assert_same_bits(shown, trees.flatten(evaluated))
            assert_same_bits(place.back(stepper.state_dict()), saved(params, state))

    with np.errstate(all="ignore"):
        for step, given in enumerate(grads):
            params, state = optimizer.step(params, given, state)
            for place, stepper in steppers:
                stepper.step(place.to(given))
            if checked(step):
                compare()
    compare()


def assert_updates_any_bits(inner: str, dtype: str, size: int, place: Place) -> None:
    """Every pattern is as likely: of each exponent, subnormal, infinite, no number."""
    rng = np.random.default_rng(0)
    kind: Any = {"float32": np.uint32, "float64": np.uint64}[dtype]

    def draw() -> Any:
        most = np.iinfo(kind).max
        return {"x": rng.integers(0, most, size, kind, endpoint=True).view(dtype)}

    optimizer = la.Lookahead(INNER[inner](), k=2, inner_state="interpolate")
    assert_agrees(optimizer, draw(), [draw() for _ in range(4)], place)


def assert_reads_before_it_writes(place: Place, size: int) -> None:
    # A gradient may be the parameter itself, as that of half the squared norm is.
    x = np.arange(1.0, size + 1)
    optimizer: Any = INNER["sgd"]()
    stepper = place.stepper(optimizer, {"x": x})
    stepper.step(stepper.params)
    first, state = optimizer.step({"x": x}, {"x": x}, optimizer.init({"x": x}))
    assert_same_bits(place.back(stepper.params), first)
    # Reversed, each element is read after another is written.
    stepper.step({"x": stepper.params["x"][::-1]})
    second, _ = optimizer.step(first, {"x": first["x"][::-1]}, state)
    assert_same_bits(place.back(stepper.params), second)
    # A gradient may be another parameter, as that of the product of both is.
    params = {"a": x, "b": x + 4.0}
    optimizer = la.Lookahead(INNER["sgd"](), k=2)
    stepper, state = place.stepper(optimizer, params), optimizer.init(params)
    for _ in range(4):
        shown = stepper.params  # whichever is written first, the other one reads it
        stepper.step({"a": shown["b"], "b": shown["a"]})
        params, state = optimizer.step(params, {"a": params["b"], "b": params["a"]}, state)
        assert_same_bits(place.back(stepper.params), params)
        assert_same_bits(place.back(stepper.evaluation_params()), state.phi)


def assert_layers_agree(
    kernel: Callable[..., Any],
    name: str,
    host: Sequence[Any],
    rtol: float,
    atol: float,
    to: Callable[[Any], Any] = np.copy,
    back: Callable[[Any], Any] = np.asarray,
    **options: Any,
) -> None:
    """Compare what a kernel returns, and leaves in its arguments, with the general one."""
    there = [each if each is None else to(each) for each in host]
    found, wanted = kernel(*there, **options), getattr(GENERAL, name)(*host, **options)
    got = found if isinstance(found, tuple) else (found,)
    many = wanted if isinstance(wanted, tuple) else (wanted,)
    for one, other in zip([*got, *there], [*many, *host], strict=True):
        if other is not None:
            assert one.dtype == other.dtype
            np.testing.assert_allclose(back(one), other, rtol=rtol, atol=atol)
