"""The profile ``jax``: a Lookahead for Optax as its users run it.

Compiled, with donated buffers, and after saving, it must give the same weights as
uncompiled.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lookahead_ref.conformance.adapters.profiles import (
    SAVED,
    STEPS,
    Checks,
    Found,
    Make,
    Wrong,
    lookahead_of,
)

CHECKS = Checks()


def begun(make: Make) -> tuple[Any, Any]:
    """Return a step, and parameters with the state of the transformation."""
    transformation = make(optax.adam(0.1))
    params: Any = {"w": jnp.linspace(-2, 2, 6).reshape(2, 3), "b": jnp.ones(3)}
    if make.target == "optax:lookahead":  # its parameters are a pair
        params = optax.LookaheadParams.init_synced(params)

    def step(number: Any, carried: Any) -> Any:
        params, state = carried
        fast = getattr(params, "fast", params)
        gradients = jax.tree.map(lambda p: 0.5 * p - jnp.sin(number), fast)
        updates, state = transformation.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return step, (params, transformation.init(params))


def stepped(step: Any, carried: Any, first: int = 0) -> Any:
    for number in range(first, STEPS):
        carried = step(jnp.asarray(number, "float32"), carried)
    return carried


def same(got: Any, make: Make, says: str) -> None:
    """Compare parameters with those of an uncompiled run."""
    expected = stepped(*begun(make))[0]
    apart = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), got, expected)
    if not (largest := max(jax.tree.leaves(apart))) < 1e-5:
        raise Wrong(f"{says}: the weights are {largest:.2g} apart")


@CHECKS.enter(
    "choose by jnp.where, and keep counts in the state: a plain number is a constant"
)
def compiled(make: Make) -> None:
    step, carried = begun(make)
    traced = []

    def noted(number: Any, carried: Any) -> Any:
        traced.append(number)
        return step(number, carried)

    same(stepped(jax.jit(noted), carried)[0], make, "when compiled, it gives other weights")
    if len(traced) > 2:
        raise Wrong(f"{len(traced)} of {STEPS} steps are recompiled")


@CHECKS.enter("in init, copy what goes into the state, above all phi: use jnp.copy")
def donated(make: Make) -> None:
    step, carried = begun(make)
    compiled = jax.jit(step, donate_argnums=1)
    says = "with donated arguments, it gives other weights"
    same(stepped(compiled, carried)[0], make, says)


@CHECKS.enter("keep the shapes and types that init gives the state")
def scanned(make: Make) -> None:
    step, carried = begun(make)
    numbers = jnp.arange(STEPS, dtype="float32")
    ended, _ = jax.lax.scan(lambda c, n: (step(n, c), None), carried, numbers)
    same(ended[0], make, "in lax.scan, it gives other weights")


@CHECKS.enter("keep everything that changes in the state, as arrays")
def saved(make: Make) -> None:
    step, carried = begun(make)
    for number in range(SAVED):
        carried = step(jnp.asarray(number, "float32"), carried)
    kept = [np.asarray(leaf) for leaf in jax.tree.leaves(carried)]
    again, fresh = begun(make)
    loaded = jax.tree.unflatten(jax.tree.structure(fresh), map(jnp.asarray, kept))
    says = "loaded from its leaves, it gives other weights"
    same(stepped(again, loaded, SAVED)[0], make, says)


def checked(target: str) -> list[Found]:
    """Run all checks on a target."""
    return CHECKS.taken(lookahead_of(target))
