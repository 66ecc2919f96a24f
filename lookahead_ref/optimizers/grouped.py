"""Parameter groups: different optimizers for parameters, by their paths."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar, NamedTuple

from lookahead_ref import trees
from lookahead_ref.optimizers import base
from lookahead_ref.optimizers.base import Optimizer
from lookahead_ref.trees import Array, Tree


class GroupedState(NamedTuple):
    """The states of the groups, by their patterns."""

    groups: dict[str, Any]


@dataclass(frozen=True)
class Grouped:
    """Several optimizers, each for the parameters whose paths match its pattern.

    A parameter belongs to the first pattern that its path matches. Groups are independent,
    so that they may differ in everything: weight decay, learning rate, k and alpha, or the
    method.

    Parameters
    ----------
    groups : dict
        From patterns to optimizers. In a pattern ``*`` stands for any characters, ``/``
        included, ``?`` for one and ``[ab]`` for a or b. Every parameter must match a
        pattern; every pattern other than ``*`` must be some parameter's first match.

    Examples
    --------
    >>> import numpy as np
    >>> import lookahead_ref as la
    >>> decayed = la.Lookahead(la.SGD(0.5, weight_decay=0.1))
    >>> optimizer = la.Grouped({"*bias": la.Lookahead(la.SGD(0.5)), "*": decayed})
    >>> params = {"layer": {"weight": np.array([2.0]), "bias": np.array([2.0])}}
    >>> grads = {"layer": {"weight": np.array([1.0]), "bias": np.array([1.0])}}
    >>> params, state = optimizer.step(params, grads, optimizer.init(params))
    >>> params
    {'layer': {'weight': array([1.4]), 'bias': array([1.5])}}
    """

    groups: Mapping[str, Optimizer]
    outermost: ClassVar[bool] = True

    def __post_init__(self) -> None:
        given: Any = self.groups
        if not isinstance(given, Mapping) or not given:
            raise TypeError(
                f"groups must be a dict from patterns of paths to optimizers, got {given!r}"
            )
        for pattern, optimizer in given.items():
            if not isinstance(pattern, str):
                raise TypeError(f"the patterns of groups must be strings, got {pattern!r}")
            name = f"groups[{pattern!r}]"
            base.check_optimizer(name, optimizer)
            if isinstance(optimizer, Grouped):
                raise TypeError(f"{name} must not be Grouped itself: list its groups here")
        object.__setattr__(self, "groups", dict(given))

    def members(self, params: Tree) -> dict[str, dict[str, Array]]:
        """Return the parameters of each nonempty group by path."""
        found: dict[str, dict[str, Array]] = {pattern: {} for pattern in self.groups}
        for path, leaf in trees.flatten(params).items():
            matches = (each for each in self.groups if fnmatchcase(path, each))
            if (pattern := next(matches, None)) is None:
                raise ValueError(
                    f"groups must have a pattern for each parameter, got none for "
                    f"{path!r}: end with '*' for all others"
                )
            found[pattern][path] = leaf
        for pattern, own in found.items():
            if not own and pattern != "*":
                raise ValueError(
                    f"groups[{pattern!r}] must be the first match of a parameter, got none "
                    f"of {', '.join(trees.flatten(params))}"
                )
        return {pattern: own for pattern, own in found.items() if own}

    def init(self, params: Tree) -> GroupedState:
        trees.check_params(params)
        members = self.members(params).items()
        return GroupedState({each: self.groups[each].init(own) for each, own in members})

    def step(
        self, params: Tree, grads: Tree, state: GroupedState
    ) -> tuple[dict[str, Any], GroupedState]:
        trees.check_params(params)
        gradients = trees.check_like(grads, params, "grads")
        stepped: dict[str, Array] = {}
        after: dict[str, Any] = {}
        for pattern, own, before in self._with_states(params, state):
            own_gradients = {path: gradients[path] for path in own}
            own, after[pattern] = self.groups[pattern].step(own, own_gradients, before)
            stepped |= own
        return trees.unflatten(params, stepped), GroupedState(after)

    def evaluation_params(self, params: Tree, state: GroupedState) -> Tree:
        """Return the groups' evaluation parameters."""
        evaluated: dict[str, Array] = {}
        for pattern, own, its_state in self._with_states(params, state):
            evaluated |= self.groups[pattern].evaluation_params(own, its_state)
        return trees.unflatten(params, evaluated)

    def _with_states(
        self, params: Tree, state: GroupedState
    ) -> list[tuple[str, dict[str, Array], Any]]:
        base.check_state(state, GroupedState)
        members = self.members(params)
        if members.keys() != state.groups.keys():
            raise ValueError(
                f"state must be of the groups {', '.join(members)}, got "
                f"{', '.join(state.groups)}"
            )
        return [(each, own, state.groups[each]) for each, own in members.items()]
