"""Algorithm 1 of the paper: k steps forward, 1 step back; and its family.

The slow weights' update phi <- phi + alpha (theta - phi) is a step of SGD, with learning
rate alpha, on the *pseudo-gradient* phi - theta. Another optimizer in its place makes
SlowMo, SNOO and DiLoCo (`lookahead_ref.optimizers.family`).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self, cast, get_args

from lookahead_ref import hyperparameters, trees
from lookahead_ref.hyperparameters import (
    InnerStateKind,
    Schedule,
    count,
    non_negative,
    option,
    positive,
    step_size,
    value_at,
)
from lookahead_ref.optimizers import base
from lookahead_ref.optimizers.adaptive_alpha import AdaptiveAlpha
from lookahead_ref.optimizers.base import InnerState, Optimizer
from lookahead_ref.trees import Tree, apply, interpolate, zeros_like


class LookaheadState(NamedTuple):
    """The state of `Lookahead`: slow weights, the inner optimizer's state, two counts."""

    phi: dict[str, Any]  # the slow weights
    inner: Any  # the inner optimizer's state
    cycle_step: int  # steps since the last synchronization
    syncs: int  # synchronizations: the clock of alpha's schedule, never reset
    anchor: dict[str, Any] | None  # with interpolation: the slots of the last one
    outer: InnerState | None = None  # the outer optimizer's state, if there is one

    @property
    def slots(self) -> Any:
        """The slots of the innermost optimizer."""
        return self.inner.slots

    def synchronize(self, phi: dict[str, Any], slots: dict[str, Any]) -> Self:
        """Return the state after a synchronization around this optimizer."""
        # Its old phi would pull the next cycle back to abandoned weights.
        return self._replace(
            phi=phi,
            inner=self.inner.synchronize(phi, slots),
            anchor=None if self.anchor is None else slots,
        )

    def restart(self) -> Self:
        """Return the state with its counts as `init` makes them; the clocks run on."""
        outer = self.outer
        if outer is not None:
            slots = {slot: zeros_like(values) for slot, values in outer.slots.items()}
            outer = outer.synchronize(self.phi, slots).restart()
        return self._replace(cycle_step=0, inner=self.inner.restart(), outer=outer)


@dataclass(frozen=True)
class Lookahead:
    """Lookahead around any optimizer: k steps forward, 1 step back.

    The inner optimizer takes k steps on the fast weights theta; then the slow weights phi
    move a fraction alpha towards them, and the fast weights restart there: M. R. Zhang,
    J. Lucas, G. Hinton and J. Ba, "Lookahead Optimizer", NeurIPS 2019, Algorithm 1.

    After a synchronization the new fast weights *are* the slow weights (theta_{t,0} <-
    phi_{t-1}): the same arrays, not a copy. Do not write to arrays that `step` returned.

    Parameters
    ----------
    inner : Optimizer
        The inner optimizer A. If it is a `Lookahead`, the inner synchronization comes
        first; the outer one then replaces phi and slots on every level below.
    k : int, default: 5
        The synchronization period, in calls of `step`.
    alpha : float, callable or AdaptiveAlpha, default: 0.5
        The slow weights' step size, in (0, 1]; or its schedule over the number of
        synchronizations done; or an estimator. `alpha=a` gives the bits of `outer=SGD(a)`;
        only one of the two can be given.
    inner_state : {"maintain", "reset", "interpolate"}, default: "maintain"
        What a synchronization does to the inner slots. *maintain* leaves them. *reset*
        makes them, and the count that bias correction uses, as `init` does. *interpolate*
        moves them like the weights, from their values after the last synchronization;
        counts run on. The fraction is alpha or the outer learning rate, at most 1.
    outer : inner optimizer, optional
        Updates phi, at each synchronization, from the pseudo-gradient phi - theta. Its
        learning rate may exceed 1, and its schedule counts synchronizations. `inner_state`
        does not concern its slots and counts, but an enclosing `Lookahead` that resets
        resets them too.

    Examples
    --------
    >>> import numpy as np
    >>> from lookahead_ref import SGD
    >>> optimizer = Lookahead(SGD(learning_rate=1.0), k=2, alpha=0.5)
    >>> params = {"x": np.array([8.0])}
    >>> state = optimizer.init(params)
    >>> for _ in range(3):
    ...     params, state = optimizer.step(params, {"x": np.array([1.0])}, state)
    ...     print(params["x"], optimizer.evaluation_params(params, state)["x"])
    [7.] [8.]
    [7.] [7.]
    [6.] [7.]
    """

    inner: Optimizer
    k: int = 5
    alpha: float | Schedule | AdaptiveAlpha | None = None
    inner_state: InnerStateKind = "maintain"
    outer: Any = None

    def __post_init__(self) -> None:
        base.check_inner(self.inner)
        count("k", self.k)
        if self.outer is not None:
            _check_outer(self.outer, self.alpha)
        elif self.alpha is None:
            object.__setattr__(self, "alpha", 0.5)
        elif isinstance(self.alpha, AdaptiveAlpha):
            own, _ = innermost(self.inner)
            if not hasattr(own, "curvature"):
                raise TypeError(
                    "inner must keep a second moment of the gradients for an adaptive "
                    "alpha and offer it as curvature, as Adam and AdaGrad do, got "
                    f"{type(own).__name__}"
                )
        else:
            hyperparameters.constant_or_schedule("alpha", self.alpha, step_size)
        option("inner_state", self.inner_state, get_args(InnerStateKind))

    def init(self, params: Tree) -> LookaheadState:
        inner = self.inner.init(params)
        lacking = [n for n in ("slots", "restart", "synchronize") if not hasattr(inner, n)]
        if lacking:
            raise TypeError(
                "inner must have a state with slots, restart and synchronize, as "
                f"lookahead_ref.optimizers.InnerState is, got {type(inner).__name__} "
                f"without {' and '.join(lacking)}"
            )
        anchor = inner.slots if self.inner_state == "interpolate" else None
        with base.belonging_to("outer"):
            outer = None if self.outer is None else self.outer.init(params)
        if self.alpha is not None:
            if isinstance(self.alpha, AdaptiveAlpha):
                least = self.alpha.alpha_low
            else:
                least = value_at("alpha", self.alpha, 0, step_size)
            scalars = {"alpha": least}
            for path, leaf in trees.flatten(params).items():
                hyperparameters.round_scalars(scalars, path, leaf)  # must not become zero
        return LookaheadState(trees.copy(params), inner, 0, 0, anchor, outer)

    def step(
        self, params: Tree, grads: Tree, state: LookaheadState
    ) -> tuple[dict[str, Any], LookaheadState]:
        theta, state = self.forward(params, grads, state)
        if state.cycle_step < self.k:
            return theta, state
        alpha = None
        if isinstance(self.alpha, AdaptiveAlpha):
            own, its_state = innermost(self.inner, state.inner)
            curvature, factor = own.curvature(its_state)
            alpha = self.alpha.estimate(state.phi, theta, grads, curvature, factor)
        return self.back(state, self.pseudo_gradient(state, theta), alpha)

    def forward(
        self, params: Tree, grads: Tree, state: LookaheadState
    ) -> tuple[dict[str, Any], LookaheadState]:
        """Do one of the k inner steps."""
        base.check_state(state, LookaheadState)
        if (state.outer is None) != (self.outer is None):
            raise ValueError(
                f"state.outer must be that of outer = {self.outer!r}, got {state.outer!r}"
            )
        if state.cycle_step >= self.k:  # from another k, and would never synchronize
            raise ValueError(
                f"state.cycle_step must be below k = {self.k}, got {state.cycle_step}"
            )
        theta, inner = self.inner.step(params, grads, state.inner)  # (0.2)
        return theta, state._replace(inner=inner, cycle_step=state.cycle_step + 1)

    def pseudo_gradient(self, state: LookaheadState, theta: Tree) -> dict[str, Any]:
        """Subtract the fast weights from the slow ones."""
        return apply(subtract, {}, state.phi, theta)[0]

    def back(
        self, state: LookaheadState, pseudo_gradient: Tree, alpha: float | None = None
    ) -> tuple[dict[str, Any], LookaheadState]:
        """Do the outer step, and restart from the new phi; `alpha` is the estimate."""
        outer = None
        if self.outer is not None:
            with base.belonging_to("outer"):
                phi, outer = self.outer.step(state.phi, pseudo_gradient, state.outer)
        else:
            if alpha is None:
                alpha = value_at("alpha", cast("Any", self.alpha), state.syncs, step_size)
            (phi,) = apply(step_back, {"alpha": alpha}, state.phi, pseudo_gradient)

        inner, slots = state.inner, state.inner.slots
        if self.inner_state == "reset":
            slots = {slot: zeros_like(values) for slot, values in slots.items()}
            inner = inner.restart()
        elif state.anchor is not None:
            if alpha is None:  # there is an outer optimizer
                rate = self.outer.learning_rate
                rate = value_at(
                    "the learning rate of outer", rate, state.syncs, non_negative
                )
                alpha = min(rate, 1.0)
            slots = {
                slot: apply(interpolate, {"alpha": alpha}, state.anchor[slot], values)[0]
                for slot, values in slots.items()
            }
        inner = inner.synchronize(phi, slots)
        anchor = None if state.anchor is None else slots
        return phi, LookaheadState(phi, inner, 0, state.syncs + 1, anchor, outer)

    def evaluation_params(self, params: Tree, state: LookaheadState) -> Tree:
        """Return the slow weights phi."""
        return state.phi


def subtract(xp: Any) -> Any:
    """Subtract the fast weights from the slow ones: the pseudo-gradient."""
    return lambda slow, fast: slow - fast


def step_back(xp: Any) -> Any:
    """Do a step of SGD on the pseudo-gradient."""
    return lambda slow, pseudo_gradient, alpha: slow - alpha * pseudo_gradient


def _check_outer(outer: Any, alpha: Any) -> None:
    if alpha is not None:
        raise ValueError(
            f"alpha and outer cannot both be given, got alpha = {alpha!r} and outer = "
            f"{outer!r}: alpha = a is short for outer = SGD(a); to replace alpha by an "
            "outer optimizer, also set alpha to None"
        )
    base.check_optimizer("outer", outer)
    if not hasattr(outer, "learning_rate"):
        raise TypeError(
            "outer must be an optimizer with a learning rate, such as SGD or Nesterov, got "
            f"{type(outer).__name__}"
        )
    hyperparameters.constant_or_schedule(
        "the learning rate of outer", outer.learning_rate, positive
    )


def innermost(optimizer: Any, state: Any = None) -> tuple[Any, Any]:
    """Return the optimizer below all others, and its part of a state."""
    while hasattr(optimizer, "inner"):
        optimizer, state = optimizer.inner, getattr(state, "inner", None)
    return optimizer, state
