"""The LookAhead of PaddlePaddle, as its users use it.

The inner optimizers are PaddlePaddle's own. A checkpoint is the state of the parameters,
the wrapper and the inner optimizer, which the wrapper's state lacks.
"""

import copy
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import paddle

from lookahead_ref.conformance.protocol import (
    Array,
    Inner,
    Setup,
    Tensors,
    UnsupportedError,
)

_SLOTS = {
    "velocity": "velocity",
    "moment": "sum_of_squares",
    "moment1": "first_moment",
    "moment2": "second_moment",
}


class Paddle:
    """An adapter for ``paddle.incubate.LookAhead``."""

    def start(self, setup: Setup) -> None:
        setup.only(inner_states=["maintain"])
        (level,) = setup.levels
        # A checkpoint finds its tensors by generated names: count from the start, as a new
        # process does.
        paddle.utils.unique_name.switch()
        self._params = {
            name: paddle.create_parameter(
                list(array.shape),
                str(array.dtype),
                default_initializer=paddle.nn.initializer.Assign(array),
            )
            for name, array in setup.params.items()
        }
        # Its own tensors, including the learning rate, have the default dtype.
        paddle.set_default_dtype(str(next(iter(setup.params.values())).dtype))
        self._inner = _inner(setup.inner, list(self._params.values()))
        self._optimizer = paddle.incubate.LookAhead(
            self._inner, alpha=level.alpha[0], k=level.k
        )
        self._rate = setup.inner.learning_rate_at
        self._steps = 0

    def step(self, gradients: Mapping[str, Array | None]) -> None:
        """Do one step, at the learning rate that a scheduler would have set."""
        for name, param in self._params.items():
            found = gradients[name]
            param.grad = None if found is None else paddle.to_tensor(found)
        self._inner.set_lr(self._rate(self._steps))
        self._optimizer.step()
        self._steps += 1

    def fast(self) -> Tensors:
        return {name: _array(param) for name, param in self._params.items()}

    def slow(self) -> Sequence[Tensors]:
        """Return phi, once there is one for every parameter."""
        found = self._of_every_parameter(self._optimizer, "slow")
        return [] if found is None else [found]

    def slots(self) -> Mapping[str, Tensors]:
        """Return the inner optimizer's accumulators, once every parameter has them."""
        found = {
            ours: self._of_every_parameter(self._inner, theirs)
            for theirs, ours in _SLOTS.items()
        }
        return {name: each for name, each in found.items() if each is not None}

    def evaluation(self) -> Tensors:
        """Refuse, as the package has no way."""
        raise UnsupportedError("there is nothing to evaluate the slow weights with")

    def snapshot(self) -> Any:
        states = [self._optimizer.state_dict(), self._inner.state_dict()]
        return copy.deepcopy((self._params, states, self._steps))

    def dump(self, snapshot: Any) -> bytes:
        params, states, steps = snapshot
        plain = [{name: _array(each) for name, each in state.items()} for state in states]
        return pickle.dumps(({name: _array(p) for name, p in params.items()}, plain, steps))

    def load(self, state: bytes) -> None:
        params, states, self._steps = pickle.loads(state)
        for name, param in self._params.items():
            param.set_value(params[name])
        for optimizer, saved in zip((self._optimizer, self._inner), states, strict=True):
            optimizer.set_state_dict(
                {name: paddle.to_tensor(array) for name, array in saved.items()}
            )

    def _of_every_parameter(self, optimizer: Any, accumulator: str) -> Tensors | None:
        # There is no other way to see them by parameter.
        found = optimizer._accumulators.get(accumulator, {})  # noqa: SLF001
        if any(param.name not in found for param in self._params.values()):
            return None
        return {name: _array(found[param.name]) for name, param in self._params.items()}


def _array(tensor: Any) -> Array:
    found: Array = tensor.numpy().copy()
    return found


def _inner(inner: Inner, params: list[Any]) -> Any:
    h = dict(inner.hyperparameters)
    rate = inner.learning_rate[0]
    decay = h.get("weight_decay", 0.0)
    common = {"parameters": params, "weight_decay": decay}
    if inner.weight_decay_kind == "decoupled" and inner.rule != "adam":
        raise UnsupportedError(f"there is no decoupled weight decay for {inner.rule}")
    if inner.rule == "adam":
        decoupled = inner.weight_decay_kind == "decoupled"
        kind = paddle.optimizer.AdamW if decoupled else paddle.optimizer.Adam
        return kind(rate, h["beta1"], h["beta2"], h["epsilon"], **common)
    if inner.rule == "adagrad":
        return paddle.optimizer.Adagrad(rate, h["epsilon"], **common)
    if inner.rule == "sgd":
        return paddle.optimizer.SGD(rate, **common)
    nesterov = inner.rule == "nesterov"
    return paddle.optimizer.Momentum(rate, h["momentum"], use_nesterov=nesterov, **common)
