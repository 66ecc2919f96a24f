"""The library's models under the golden ones."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.gradients import value_and_grad
from lookahead_ref.stepping.backend import load
from lookahead_ref.trees import flatten

__all__ = ["loss_and_grads"]

Tensors = Mapping[str, NDArray[Any]]


def loss_and_grads(
    model: Mapping[str, Any], params: Tensors, batch: Mapping[str, Any], *, backend: str
) -> tuple[Any, Tensors, Tensors]:
    """Compute what `ModelAdapter` asks for, with a model of the zoo on a backend."""
    # Autograd and the zoo are of no use to an optimizer's cases.
    from lookahead_ref.zoo import LSTM, MLP

    memory = load(backend)

    def there(flat: Tensors) -> dict[str, dict[str, Any]]:
        nested: dict[str, dict[str, Any]] = {}
        for name, array in flat.items():
            layer, _, part = name.partition(".")
            nested.setdefault(layer, {})[part] = memory.from_host(array)
        return nested

    def host(tree: Mapping[str, Any]) -> Tensors:
        return {
            path.replace("/", "."): memory.to_host(array)
            for path, array in flatten(tree).items()
        }

    given = SimpleNamespace(
        inputs=memory.from_host(batch["inputs"]), labels=memory.from_host(batch["labels"])
    )
    carried: Mapping[str, Any] = {}
    if model["kind"] == "mlp":
        weights = [params[f"layer{n}.weight"] for n in range(1, model["layers"] + 1)]
        sizes = (len(weights[0]), *(weight.shape[1] for weight in weights))
        perceptron = MLP(sizes, activation=model["activation"], backend=backend)
        loss, grads = value_and_grad(perceptron.loss)(there(params), given)
    else:
        vocabulary, width = params["embedding.weight"].shape
        lstm = LSTM(
            vocabulary,
            hidden=len(params["layer1.recurrent_weight"]),
            layers=model["layers"],
            embedding=width,
            tied=model["tied"],
            backend=backend,
        )
        (loss, carried), grads = value_and_grad(lstm.loss, has_aux=True)(
            there(params), given, there(batch["carried"])
        )
    return np.asarray(float(loss)), host(grads), host(carried)
