"""Several workers around one outer step: Local SGD, FedAvg, FedOpt and DiLoCo."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lookahead_ref.hyperparameters import count
from lookahead_ref.optimizers.adaptive_alpha import AdaptiveAlpha
from lookahead_ref.optimizers.base import check_state
from lookahead_ref.optimizers.lookahead import Lookahead, LookaheadState
from lookahead_ref.trees import Tree, apply


@dataclass(frozen=True)
class Workers:
    """M workers, each with its own fast weights, that share one outer step.

    Each does k inner steps, with its own inner state and on its own share of the data. Then
    their pseudo-gradients phi - theta are averaged, `lookahead.outer` (or alpha) does one
    step with the mean, and all restart at the new phi: A. Douillard et al., "DiLoCo", 2023,
    arXiv 2311.08105, Algorithm 1. One worker is `lookahead` itself, to the bit.

    It is the reference in one process, as pure as every optimizer, but its methods take
    sequences with an entry for each worker. In training, ``workers`` of
    `lookahead_ref.training.train` does the same, in one process or several.

    Parameters
    ----------
    lookahead : Lookahead
        The optimizer of each worker; its alpha cannot be an `AdaptiveAlpha`.
    count : int
        The number of workers M.

    Notes
    -----
    Pseudo-gradients are added in the order of the workers, then divided by M. Nothing else
    is averaged: each worker keeps its own inner slots.

    Examples
    --------
    >>> import numpy as np
    >>> import lookahead_ref as la
    >>> workers = la.Workers(la.Lookahead(la.SGD(1.0), k=1, alpha=0.5), count=2)
    >>> params = [{"x": np.array([8.0])}] * 2
    >>> states = workers.init(params[0])
    >>> grads = [{"x": np.array([1.0])}, {"x": np.array([3.0])}]
    >>> params, states = workers.step(params, grads, states)
    >>> [each["x"] for each in params]  # 8 - 0.5 * (1 + 3) / 2
    [array([7.]), array([7.])]
    """

    lookahead: Lookahead
    count: int
    several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        Worker(self.lookahead)
        count("count", self.count)

    def init(self, params: Tree) -> tuple[LookaheadState, ...]:
        """Make the workers' states; all of them start from the same parameters."""
        return (self.lookahead.init(params),) * self.count

    def step(
        self,
        params: Sequence[Tree],
        grads: Sequence[Tree],
        states: Sequence[LookaheadState],
    ) -> tuple[tuple[dict[str, Any], ...], tuple[LookaheadState, ...]]:
        for name, given in (("params", params), ("grads", grads), ("states", states)):
            if len(given) != self.count:
                raise ValueError(
                    f"{name} must have an entry for each of {self.count} workers, "
                    f"got {len(given)}"
                )
        for state in states:
            check_state(state, LookaheadState)
        if len({(state.cycle_step, state.syncs) for state in states}) > 1:
            raise ValueError(
                "states must be at the same step of the same cycle, got cycle_step "
                f"{[state.cycle_step for state in states]} and syncs "
                f"{[state.syncs for state in states]}"
            )
        worker = Worker(self.lookahead)
        stepped = [worker.step(*own) for own in zip(params, grads, states, strict=True)]
        if worker.waits(stepped[0][1]):
            average = mean([pseudo_gradient for pseudo_gradient, _ in stepped])
            stepped = [worker.step(unused, average, state) for unused, state in stepped]
        return tuple(theta for theta, _ in stepped), tuple(state for _, state in stepped)

    def evaluation_params(
        self, params: Sequence[Tree], states: Sequence[LookaheadState]
    ) -> Tree:
        """Return the slow weights phi, which all workers share."""
        return states[0].phi


@dataclass(frozen=True)
class Worker:
    """One worker: `Lookahead`, split where it waits for the others."""

    # The k-th step of a cycle returns the pseudo-gradient instead of parameters. The next
    # call takes the mean of all workers' pseudo-gradients as `grads`, and returns the new
    # phi.

    lookahead: Lookahead

    def __post_init__(self) -> None:
        if not isinstance(self.lookahead, Lookahead):
            raise TypeError(
                "workers must each have a Lookahead, whose outer step they share, got "
                f"{type(self.lookahead).__name__}"
            )
        if isinstance(self.lookahead.alpha, AdaptiveAlpha):
            raise TypeError(
                "alpha must be a number or a schedule with several workers, got an "
                "AdaptiveAlpha, which estimates for one worker"
            )

    def init(self, params: Tree) -> LookaheadState:
        return self.lookahead.init(params)

    def waits(self, state: LookaheadState) -> bool:
        """Return whether the next call takes the mean of the pseudo-gradients."""
        return state.cycle_step == self.lookahead.k

    def step(
        self, params: Tree, grads: Tree, state: LookaheadState
    ) -> tuple[dict[str, Any], LookaheadState]:
        if self.waits(state):
            return self.lookahead.back(state, grads)
        theta, state = self.lookahead.forward(params, grads, state)
        if self.waits(state):
            theta = self.lookahead.pseudo_gradient(state, theta)
        return theta, state

    def evaluation_params(self, params: Tree, state: LookaheadState) -> Tree:
        return state.phi


def mean(values: Sequence[Tree]) -> dict[str, Any]:
    """Average trees leaf by leaf, adding them in order."""
    total = values[0]
    for value in values[1:]:
        (total,) = apply(add, {}, total, value)
    return apply(divide, {"workers": float(len(values))}, total)[0]


def add(xp: Any) -> Any:
    """Add two arrays."""
    return lambda total, value: total + value


def divide(xp: Any) -> Any:
    """Divide a sum by the number of workers."""
    return lambda total, workers: total / workers
