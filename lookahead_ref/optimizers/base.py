"""What an optimizer is, and the step that all inner optimizers share.

An inner optimizer is a rule: the names of its slots, the coefficients at step t, and the
arithmetic of one update. The functions `init`, `step` and `evaluation_params` of this
module make an optimizer of it; each inner optimizer takes them as its methods.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeAlias, runtime_checkable

from lookahead_ref import hyperparameters, trees
from lookahead_ref.elementwise import apply, round_scalars, zeros_like
from lookahead_ref.hyperparameters import Schedule
from lookahead_ref.trees import Array, Tree

WeightDecayKind: TypeAlias = Literal["l2", "decoupled"]


@runtime_checkable
class Optimizer(Protocol):
    """What every optimizer offers.

    All three methods are pure: nothing that is passed in changes.
    """

    def init(self, params: Tree) -> Any:
        """Make the state of an optimizer that has done no step yet.

        Parameters
        ----------
        params : dict
            The initial parameters: names to float32 or float64 arrays, possibly nested.

        Returns
        -------
        NamedTuple
            The state.

        Raises
        ------
        TypeError, ValueError
            If `params` cannot be optimized; the error names the parameter.
        """

    def step(self, params: Tree, grads: Tree, state: Any) -> tuple[dict[str, Any], Any]:
        """Do one update.

        Parameters
        ----------
        params : dict
            The parameters.
        grads : dict
            The gradient of the loss, like `params` in names, shapes, dtypes and library.
        state : NamedTuple
            The state, from `init` or from the last step.

        Returns
        -------
        params : dict
            The parameters after the update.
        state : NamedTuple
            The state after it.

        Raises
        ------
        TypeError, ValueError
            If `params` cannot be optimized, `grads` does not match it, or a schedule
            returns a value out of range.
        """

    def evaluation_params(self, params: Tree, state: Any) -> Tree:
        """Return the parameters to evaluate, save and report.

        Parameters
        ----------
        params : dict
            The parameters, from the last step.
        state : NamedTuple
            The state, from the last step.

        Returns
        -------
        dict
            A tree like `params`.
        """


class InnerState(NamedTuple):
    """The state of an inner optimizer.

    Attributes
    ----------
    step : int
        The number of updates done: the clock of the learning rate's schedule. Never reset.
    updates : int
        The number of updates since the slots were made: the clock of the bias correction.
    slots : dict
        Slot name to a tree like the parameters.
    """

    step: int
    updates: int
    slots: dict[str, Any]

    def synchronize(self, phi: Tree, slots: dict[str, Any]) -> Self:  # noqa: ARG002
        """Return the state with other slots, as a synchronization around this leaves it."""
        return self._replace(slots=slots)

    def restart(self) -> Self:
        """Return the state with its counts as `init` makes them; the clock runs on."""
        return self._replace(updates=0)


class UpdateRule(Protocol):
    """What an inner optimizer says of itself; all else is shared."""

    @property
    def learning_rate(self) -> float | Schedule:
        """The step size, or its schedule over the number of updates done."""

    @property
    def weight_decay(self) -> float:
        """The weight decay's coefficient."""

    @property
    def weight_decay_kind(self) -> WeightDecayKind:
        """Where weight decay enters."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the arrays kept for each parameter; they start at zero."""

    def coefficients(self, t: int) -> Mapping[str, float]:
        """Return the rule's scalars at its t-th update, counted from 1."""

    def rule(self, xp: Any) -> Any:
        """Return the arithmetic: from gradient and slots to the update and new slots."""


def check_optimizer(name: str, value: object) -> None:
    """Check that something is an optimizer.

    Parameters
    ----------
    name : str
        What it is given as, for the error.
    value : object
        What was given.

    Raises
    ------
    TypeError
        If it lacks a method of `Optimizer`, or is a class and not an instance of it.
    """
    if isinstance(value, type) or not isinstance(value, Optimizer):
        raise TypeError(
            f"{name} must be an optimizer, as lookahead_ref.SGD(learning_rate=0.1) is, "
            f"got {value!r}"
        )


def check_state(state: object, kind: type) -> None:
    """Check that a state is of the optimizer that it is given to.

    Parameters
    ----------
    state : object
        What was given.
    kind : type
        What the optimizer's `init` returns.

    Raises
    ------
    TypeError
        If it is of another type.
    """
    if not isinstance(state, kind):
        raise TypeError(
            f"state must be the {kind.__name__} that init or the last step returned, got "
            f"{type(state).__name__}"
        )


def check(rule: UpdateRule) -> None:
    """Check the hyperparameters that all inner optimizers have.

    Parameters
    ----------
    rule : UpdateRule
        The inner optimizer.

    Raises
    ------
    TypeError, ValueError
        If one is out of range.
    """
    hyperparameters.constant_or_schedule(
        "learning_rate", rule.learning_rate, hyperparameters.non_negative
    )
    hyperparameters.non_negative("weight_decay", rule.weight_decay)
    hyperparameters.option("weight_decay_kind", rule.weight_decay_kind, ("l2", "decoupled"))


def add_weight_decay(xp: Any) -> Any:  # noqa: ARG001
    """Add the gradient of half the squared norm of the parameters, times `weight_decay`."""

    def add(update: Array, theta: Array, weight_decay: float) -> Array:
        return update + weight_decay * theta

    return add


def descend(xp: Any) -> Any:  # noqa: ARG001
    """Go against the update: theta - learning_rate * update, equation (0.2)."""

    def go(theta: Array, update: Array, learning_rate: float) -> Array:
        return theta - learning_rate * update

    return go


def init(self: UpdateRule, params: Tree) -> InnerState:
    """Make the state of an optimizer that has done no step yet: slots of zeros.

    Parameters
    ----------
    params : dict
        The initial parameters: names to float32 or float64 arrays, possibly nested.

    Returns
    -------
    InnerState
        The state.

    Raises
    ------
    TypeError, ValueError
        If `params` cannot be optimized, or a hyperparameter rounds to zero in the dtype of
        one of them; the error names the parameter.
    """
    trees.check_params(params)
    scalars = {
        "learning_rate": _learning_rate(self, 0),
        "weight_decay": float(self.weight_decay),
        **self.coefficients(1),
    }
    for path, leaf in trees.flatten(params).items():
        round_scalars(scalars, path, leaf)
    return InnerState(0, 0, {slot: zeros_like(params) for slot in self.slots})


def step(
    self: UpdateRule, params: Tree, grads: Tree, state: InnerState
) -> tuple[dict[str, Any], InnerState]:
    """Do one update, equation (0.2).

    Parameters
    ----------
    params : dict
        The parameters.
    grads : dict
        The gradient of the loss, like `params` in names, shapes, dtypes and library.
    state : InnerState
        The state, from `init` or from the last step.

    Returns
    -------
    params : dict
        The parameters after the update.
    state : InnerState
        The state after it.

    Raises
    ------
    TypeError, ValueError
        If `params` cannot be optimized, `grads` does not match it, or the learning rate's
        schedule returns a value that is negative or not finite.
    """
    trees.check_params(params)
    trees.check_like(grads, params, "grads")
    check_state(state, InnerState)
    return _update(self, params, grads, state)


def _learning_rate(self: UpdateRule, step: int) -> float:
    return hyperparameters.value_at(
        "learning_rate", self.learning_rate, step, hyperparameters.non_negative
    )


def _update(
    self: UpdateRule, params: Tree, grads: Tree, state: InnerState
) -> tuple[dict[str, Any], InnerState]:
    learning_rate = _learning_rate(self, state.step)
    decays = self.weight_decay_kind if self.weight_decay else None
    if decays == "l2":
        grads = _decayed(self, grads, params)
    updates = state.updates + 1
    if state.slots.keys() != set(self.slots):
        raise ValueError(
            f"state must have the slots {', '.join(self.slots) or '(none)'}, got "
            f"{', '.join(state.slots) or '(none)'}"
        )
    # By name: what stores a state may order a dict anew.
    slots_before = [state.slots[slot] for slot in self.slots]
    update, *slots = apply(self.rule, self.coefficients(updates), grads, *slots_before)
    if decays == "decoupled":
        update = _decayed(self, update, params)
    (theta,) = apply(descend, {"learning_rate": learning_rate}, params, update)
    return theta, InnerState(
        state.step + 1, updates, dict(zip(self.slots, slots, strict=True))
    )


def _decayed(self: UpdateRule, update: Tree, params: Tree) -> dict[str, Any]:
    decay = {"weight_decay": float(self.weight_decay)}
    decayed: dict[str, Any]
    (decayed,) = apply(add_weight_decay, decay, update, params)
    return decayed


def evaluation_params(self: UpdateRule, params: Tree, state: InnerState) -> Tree:  # noqa: ARG001
    """Return the parameters to evaluate, save and report: the parameters themselves.

    Parameters
    ----------
    params : dict
        The parameters, from the last step.
    state : InnerState
        The state, from the last step.

    Returns
    -------
    dict
        `params`.
    """
    return params
