"""The library's models under the golden ones."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.gradients import value_and_grad
from lookahead_ref.stepping.backend import load

__all__ = ["loss_and_grads"]

Tensors = Mapping[str, NDArray[Any]]


class Batch(NamedTuple):
    """Inputs and labels."""

    inputs: Any
    labels: Any


def loss_and_grads(
    model: Mapping[str, Any], params: Tensors, batch: Mapping[str, Any], *, backend: str
) -> tuple[Any, Tensors, Tensors]:
    """Compute loss and gradients with a model of the zoo.

    Parameters
    ----------
    model, params, batch : dict
        As `lookahead_ref.conformance.models.ModelAdapter` is given them.
    backend : str
        Where the layers' kernels come from, and in whose memory they compute.

    Returns
    -------
    loss : number
        The loss.
    gradients, carried : dict
        Name to array, in host memory.
    """
    # Autograd and the zoo are of no use to an optimizer's cases.
    from lookahead_ref.zoo import LSTM, MLP

    memory = load(backend)
    here = {name: memory.from_host(array) for name, array in params.items()}
    given = Batch(memory.from_host(batch["inputs"]), memory.from_host(batch["labels"]))
    if model["kind"] == "mlp":
        weights = [params[f"layer{n}.weight"] for n in range(1, model["layers"] + 1)]
        sizes = (len(weights[0]), *(weight.shape[1] for weight in weights))
        perceptron = MLP(sizes, activation=model["activation"], backend=backend)
        loss, grads = value_and_grad(perceptron.loss)(_nested(here), given)
        carried: Mapping[str, Any] = {}
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
        before = {name: memory.from_host(a) for name, a in batch["carried"].items()}
        (loss, carried), grads = value_and_grad(lstm.loss, has_aux=True)(
            _nested(here), given, _nested(before)
        )

    def host(tree: Mapping[str, Any]) -> Tensors:
        return {
            f"{layer}.{part}": memory.to_host(array)
            for layer, parts in tree.items()
            for part, array in parts.items()
        }

    return np.asarray(float(loss)), host(grads), host(carried)


def _nested(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for name, array in flat.items():
        layer, _, part = name.partition(".")
        nested.setdefault(layer, {})[part] = array
    return nested
