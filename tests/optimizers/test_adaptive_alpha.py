"""AdaptiveAlpha: Proposition 1 with a curvature estimate, in training."""

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from executors import Place, assert_agrees
from lookahead_ref import trees
from lookahead_ref.theory import quadratic
from support import INNER_STATES, gradients, mixed_params, on_every_backend, one

INNER = {"adam": lambda: la.Adam(0.05, beta2=0.97), "adagrad": lambda: la.AdaGrad(0.3)}


def flat(values: Any) -> Any:
    """Every parameter in one vector, in float64."""
    leaves = trees.flatten(values).values()
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in leaves])


def alpha_of(before: Any, after: Any, theta: Any) -> float:
    """The alpha that a synchronization took, from where it led."""
    start, end, fast = flat(before), flat(after), flat(theta)
    place = np.argmax(np.abs(fast - start))
    return float((end - start)[place] / (fast - start)[place])


class Recorded(la.AdaptiveAlpha):
    """It, with what it has estimated."""

    @cached_property
    def seen(self) -> list[float]:
        return []

    def estimate(self, *arguments: Any) -> float:
        self.seen.append(super().estimate(*arguments))
        return self.seen[-1]


def turning(params: Any, step: int, period: int) -> Any:
    """Gradients that turn round in the last step of a cycle, so that alpha is below 1."""
    generator = np.random.default_rng(step)
    sign = -1.0 if step % period == period - 1 else 1.0
    return trees.map(
        lambda leaf: np.asarray(sign * generator.uniform(0.5, 1.5, leaf.shape), leaf.dtype),
        params,
    )


def taken_and_predicted(inner: str, scale: float) -> Iterator[tuple[float, float]]:
    """Each alpha, and that of the theory, which shares no code with the optimizer."""
    generator = np.random.default_rng(5)
    curvature = generator.uniform(0.1, 2.0, 6)
    params: Any = {"w": generator.standard_normal((2, 2)), "b": np.ones(2)}
    optimizer = la.Lookahead(INNER[inner](), k=4, alpha=la.AdaptiveAlpha(scale, 0.1))
    state = optimizer.init(params)
    for step in range(1, 25):
        noisy = flat(params) * curvature + 0.3 * generator.standard_normal(6)
        grads = {"w": noisy[:4].reshape(2, 2), "b": noisy[4:]}
        theta, after = optimizer.inner.step(params, grads, state.inner)
        phi = state.phi
        params, state = optimizer.step(params, grads, state)
        if step % 4:
            continue
        if inner == "adam":
            moment = flat(after.slots["second_moment"]) / (1.0 - 0.97**step)
        else:
            moment = flat(after.slots["sum_of_squares"]) / step
        predicted = quadratic.curvature_alpha(
            flat(phi), flat(theta), noisy, moment, scale=scale, alpha_low=0.1
        )
        yield alpha_of(phi, state.phi, theta), predicted


@pytest.mark.parametrize("inner", INNER)
def test_a_synchronization_takes_the_alpha_of_the_theory(inner: str) -> None:
    found = [
        each for scale in (0.3, 3.0, 40.0) for each in taken_and_predicted(inner, scale)
    ]
    taken, predicted = np.transpose(found)
    assert len(taken) == 18
    np.testing.assert_allclose(taken, predicted, rtol=1e-12)
    # Both bounds, and what is between them.
    assert {0.1, 1.0} < set(np.round(taken, 12))


def assert_a_stepper_agrees(
    backend: str, inner: Any, scale: float, params: Any, *inner_state: Any, period: int = 3
) -> None:
    """Compare parameters, state and alpha, to the bit, after each step."""
    adaptive = Recorded(scale, alpha_low=0.05)
    optimizer = la.Lookahead(inner, 3, adaptive, *inner_state)
    grads = [turning(params, step, period) for step in range(12)]
    assert_agrees(optimizer, params, grads, Place(backend), checked=lambda _: True)
    pure, in_place = adaptive.seen[::2], adaptive.seen[1::2]
    assert pure == in_place
    # Neither bound, or nothing would be compared.
    assert sum(0.05 < alpha < 1.0 for alpha in pure) >= 2


@on_every_backend
@pytest.mark.parametrize("inner_state", INNER_STATES)
@pytest.mark.parametrize(("inner", "scale"), [("adam", 60.0), ("adagrad", 10.0)])
def test_the_stepper_has_the_bits_of_the_pure_interface(
    inner: str, scale: float, inner_state: Any, backend: str
) -> None:
    assert_a_stepper_agrees(backend, INNER[inner](), scale, mixed_params(), inner_state)


@on_every_backend
@pytest.mark.parametrize("size", [100, 20_000, 140_001])
def test_the_order_of_memory_does_not_change_the_bits(size: int, backend: str) -> None:
    generator = np.random.default_rng(1)
    made = generator.standard_normal((size // 10, 10)).astype(np.float32)
    params = {"f": np.asfortranarray(made), "r": made[:, 0][::-1], "s": made[:, 3]}
    assert_a_stepper_agrees(backend, la.Adam(0.05), 60.0, params)


@on_every_backend
def test_nested_lookaheads_may_adapt_too(backend: str) -> None:
    inner = la.Lookahead(la.Adam(0.05), 2, la.AdaptiveAlpha(40.0, 0.1), "interpolate")
    assert_a_stepper_agrees(backend, inner, 30.0, mixed_params(), period=6)


@on_every_backend
def test_gradients_of_all_magnitudes_lead_to_the_same_bits(backend: str) -> None:
    params = mixed_params()
    optimizer = la.Lookahead(la.Adam(0.05), 3, la.AdaptiveAlpha())
    assert_agrees(optimizer, params, gradients(params, 20), Place(backend))


def synchronized(grads: list[float], alpha: la.AdaptiveAlpha) -> tuple[Any, Any]:
    """Phi after one cycle of one step, and where the fast weights were."""
    optimizer = la.Lookahead(la.Adam(0.1), k=1, alpha=alpha)
    params: Any = one(*np.ones(len(grads)).tolist())
    state = optimizer.init(params)
    theta, _ = optimizer.inner.step(params, one(*grads), state.inner)
    params, _ = optimizer.step(params, one(*grads), state)
    return params["x"], theta["x"]


@pytest.mark.parametrize(
    "grads",
    [
        pytest.param([0.0, 0.0], id="nothing has moved"),
        # A first step of Adam goes against the gradient: g'd < 0, so alpha* > 1.
        pytest.param([2.0, -3.0], id="the step still goes downhill"),
    ],
)
def test_alpha_is_one_where(grads: list[float]) -> None:
    phi, theta = synchronized(grads, la.AdaptiveAlpha(alpha_low=0.3))
    assert phi.tolist() == theta.tolist()
    assert (phi == 1.0).all() != any(grads)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_values_that_are_not_finite_stay_visible_and_raise_nothing(broken: float) -> None:
    with np.errstate(invalid="ignore"):
        phi, _ = synchronized([broken, 1.0], la.AdaptiveAlpha())
    assert not np.isfinite(phi[0])


def test_tiny_float32_moves_do_not_vanish() -> None:
    """The products would underflow in float32: d'Ad is of the order of 1e-60."""
    phi = {"x": np.zeros(2, np.float32)}
    theta = {"x": np.array([1e-20, -1e-20], np.float32)}
    curvature = {"x": np.full(2, 1e-20, np.float32)}
    g = {"x": np.array([5e-41, -5e-41], np.float32)}
    found = la.AdaptiveAlpha().estimate(phi, theta, g, curvature, 1.0)
    assert found == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("inner", [la.SGD(0.1), la.HeavyBall(0.1), la.Lookahead(la.SGD(1))])
def test_an_optimizer_without_second_moment_is_refused(inner: Any) -> None:
    with pytest.raises(TypeError, match=r"inner must keep a second moment .* got"):
        la.Lookahead(inner, alpha=la.AdaptiveAlpha())
