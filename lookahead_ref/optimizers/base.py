"""The protocol of optimizers, and the step that all inner optimizers share.

An inner optimizer is an `UpdateRule` whose methods `init`, `step` and `evaluation_params`
are the functions of this module.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeAlias, runtime_checkable

from lookahead_ref import hyperparameters, trees
from lookahead_ref.hyperparameters import Schedule, non_negative, value_at
from lookahead_ref.trees import Tree, apply

WeightDecayKind: TypeAlias = Literal["l2", "decoupled"]


@runtime_checkable
class Optimizer(Protocol):
    """Three pure methods, which never change their arguments.

    *Parameters* are a dict of names to float32 or float64 arrays, possibly nested;
    gradients are like them in names, shapes, dtypes and library. A state is a NamedTuple.
    Arguments that cannot be optimized or do not match are a TypeError or ValueError that
    names them. So is a hyperparameter of a wrong type or out of range, when the optimizer
    is made or, with a schedule, when its value is used. `Lookahead` has an example.
    """

    def init(self, params: Tree) -> Any:
        """Make the initial state."""

    def step(self, params: Tree, grads: Tree, state: Any) -> tuple[dict[str, Any], Any]:
        """Do one update: return the next parameters and state."""

    def evaluation_params(self, params: Tree, state: Any) -> Tree:
        """Return the parameters to evaluate, save and report, at any time."""


class UpdateRule(Protocol):
    """An inner optimizer: a rule, from the gradient and slots to an update and new slots.

    `slots` names the arrays, zero at first, that are kept for each parameter.
    `learning_rate` is the step size, or its schedule over the number of updates done.
    `weight_decay` times the parameters is added, as `weight_decay_kind` says, to the
    gradient ("l2") or to the update ("decoupled", with Adam: AdamW). Decoupled weight decay
    is multiplied by the learning rate, as PyTorch's and Optax's.
    """

    @property
    def slots(self) -> tuple[str, ...]: ...
    @property
    def learning_rate(self) -> float | Schedule: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def weight_decay_kind(self) -> WeightDecayKind: ...

    def coefficients(self, t: int) -> Mapping[str, float]:
        """Return the rule's scalars, by name, at its t-th update, counted from 1."""

    def rule(self, xp: Any) -> Any:
        """Return the arithmetic, a function of the gradient, the slots and the scalars."""


class InnerState(NamedTuple):
    """The state of an inner optimizer: two counts of updates, and slots by name."""

    step: int  # all updates: the clock of the schedule, never reset
    updates: int  # since the slots were made: the clock of the bias correction
    slots: dict[str, Any]  # for each name a tree like the parameters

    def synchronize(self, phi: Tree, slots: dict[str, Any]) -> Self:
        """Return the state with the slots that an enclosing synchronization makes."""
        return self._replace(slots=slots)

    def restart(self) -> Self:
        """Return the state with its counts as `init` makes them; the clock runs on."""
        return self._replace(updates=0)


def init(self: UpdateRule, params: Tree) -> InnerState:
    """Make the state before the first step, with slots of zeros."""
    trees.check_params(params)
    scalars = {
        "learning_rate": value_at("learning_rate", self.learning_rate, 0, non_negative),
        "weight_decay": float(self.weight_decay),
        **self.coefficients(1),
    }
    for path, leaf in trees.flatten(params).items():
        hyperparameters.round_scalars(scalars, path, leaf)  # must not become zero
    return InnerState(0, 0, {slot: trees.zeros_like(params) for slot in self.slots})


def step(
    self: UpdateRule, params: Tree, grads: Tree, state: InnerState
) -> tuple[dict[str, Any], InnerState]:
    """Do one update, equation (0.2)."""
    if trees.tape_of(params) is None:
        trees.check_params(params)
        trees.check_like(grads, params, "grads")
    check_state(state, InnerState)
    if state.slots.keys() != set(self.slots):
        raise ValueError(
            f"state must have the slots {', '.join(self.slots) or '(none)'}, got "
            f"{', '.join(state.slots) or '(none)'}"
        )
    slots = [state.slots[slot] for slot in self.slots]  # in any stored order
    rate = value_at("learning_rate", self.learning_rate, state.step, non_negative)
    decay = {"weight_decay": float(self.weight_decay)}
    kind = self.weight_decay_kind if self.weight_decay else None
    t = state.updates + 1

    if kind == "l2":
        (grads,) = apply(add_weight_decay, decay, grads, params)
    update, *slots = apply(self.rule, self.coefficients(t), grads, *slots)
    if kind == "decoupled":
        (update,) = apply(add_weight_decay, decay, update, params)
    (theta,) = apply(descend, {"learning_rate": rate}, params, update)
    return theta, InnerState(state.step + 1, t, dict(zip(self.slots, slots, strict=True)))


def evaluation_params(self: UpdateRule, params: Tree, state: InnerState) -> Tree:
    """Return `params`."""
    return params


def add_weight_decay(xp: Any) -> Any:
    """Add the gradient of half the squared norm of the parameters, times `weight_decay`."""
    return lambda update, theta, weight_decay: update + weight_decay * theta


def descend(xp: Any) -> Any:
    """Go against the update, equation (0.2)."""
    return lambda theta, update, learning_rate: theta - learning_rate * update


def check(optimizer: UpdateRule, **checks: Callable[[str, Any], float]) -> None:
    """Check shared hyperparameters and others: ``check(self, momentum=below_one)``."""
    rate, kind = optimizer.learning_rate, optimizer.weight_decay_kind
    hyperparameters.constant_or_schedule("learning_rate", rate, non_negative)
    non_negative("weight_decay", optimizer.weight_decay)
    hyperparameters.option("weight_decay_kind", kind, ("l2", "decoupled"))
    for name, check_one in checks.items():
        check_one(name, getattr(optimizer, name))


def check_optimizer(name: str, value: object) -> None:
    """Check that the argument `name` is an optimizer, not a class."""
    if isinstance(value, type) or not isinstance(value, Optimizer):
        raise TypeError(
            f"{name} must be an optimizer, such as lookahead_ref.SGD(learning_rate=0.1), "
            f"got {value!r}"
        )
    if getattr(value, "several", False):
        raise TypeError(
            f"{name} must be the optimizer of one worker, got {type(value).__name__}: "
            "lookahead_ref.training.train makes a stepper for each of its workers"
        )


@contextmanager
def belonging_to(name: str) -> Iterator[None]:
    """Add to an error which of several optimizers it is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {error}") from error


def check_inner(value: object) -> None:
    """Check that the argument `inner` is an optimizer that can be wrapped."""
    check_optimizer("inner", value)
    if getattr(value, "outermost", False):
        raise TypeError(
            f"inner must be an optimizer that can be wrapped, got "
            f"{type(value).__name__}: put it around everything else instead"
        )


def check_state(state: object, kind: type) -> None:
    """Check that a state belongs to the optimizer."""
    if not isinstance(state, kind):
        raise TypeError(
            f"state must be the {kind.__name__} that init or the last step returned, got "
            f"{type(state).__name__}"
        )
