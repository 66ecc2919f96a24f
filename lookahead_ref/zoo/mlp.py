"""The multilayer perceptron: dense layers with an activation between them."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lookahead_ref import hyperparameters
from lookahead_ref.kernels import find
from lookahead_ref.zoo.fused import check_inputs, like
from lookahead_ref.zoo.initializers import initializer
from lookahead_ref.zoo.layers import dense
from lookahead_ref.zoo.losses import Evaluation, dense_cross_entropy, evaluate_classifier

Activation = Literal["relu", "tanh"]
Initialization = Literal["he_normal", "he_uniform", "glorot_normal", "glorot_uniform"]
Params = dict[str, dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class MLP:
    """A classifier of dense layers; the last one, without activation, gives the logits.

    Parameters are ``{"layer1": {"weight": (inputs, units), "bias": (units,)}, ...}``;
    initial biases are zero.

    Examples
    --------
    >>> model = MLP((64, 32, 10))
    >>> params = model.init(seed=0)
    >>> {name: layer["weight"].shape for name, layer in params.items()}
    {'layer1': (64, 32), 'layer2': (32, 10)}
    >>> model.apply(params, np.zeros((3, 64), dtype=np.float32)).shape
    (3, 10)
    """

    sizes: tuple[int, ...]
    """Numbers of inputs, of units in each hidden layer, and of classes."""
    activation: Activation = "relu"
    """Between the layers."""
    initialization: Initialization = "he_normal"
    """How the weights are drawn, a name in `lookahead_ref.zoo.initializers`."""
    backend: str = "numpy"

    def __post_init__(self) -> None:
        sizes = tuple(hyperparameters.count("sizes", size) for size in self.sizes)
        object.__setattr__(self, "sizes", sizes)
        if len(self.sizes) < 2:
            raise ValueError(
                f"sizes must have at least the inputs and the classes, got {self.sizes}"
            )
        hyperparameters.option("activation", self.activation, get_args(Activation))
        hyperparameters.option(
            "initialization", self.initialization, get_args(Initialization)
        )

    def init(
        self, seed: int | np.random.SeedSequence, dtype: DTypeLike = np.float32
    ) -> Params:
        """Draw initial parameters."""
        rng = np.random.default_rng(seed)
        draw = initializer(self.initialization)
        shapes = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        return {
            f"layer{number}": {
                "weight": draw(rng, shape, dtype),
                "bias": np.zeros(shape[1], dtype),
            }
            for number, shape in enumerate(shapes, start=1)
        }

    def apply(self, params: Params, x: Any) -> Any:
        """Compute the logits, shape (n, classes), of a batch of inputs, shape (n, inputs).

        Inputs are converted to the parameters' dtype.
        """
        x, last = self._hidden(params, x)
        return dense(x, **last, kernels=find(self.backend))

    def loss(self, params: Params, batch: Any) -> Any:
        """Mean cross entropy, in nats, of a batch with ``inputs`` and ``labels``.

        It has the parameters' dtype; `lookahead_ref.value_and_grad` differentiates it.
        """
        x, last = self._hidden(params, batch.inputs)
        kernels = find(self.backend)
        return dense_cross_entropy(x, **last, labels=batch.labels, kernels=kernels)

    def evaluate(self, params: Params, source: Any) -> Evaluation:
        """Evaluate weights (for Lookahead the slow ones) on examples."""
        return evaluate_classifier(
            lambda inputs: self.apply(params, inputs), source, kernels=find(self.backend)
        )

    def _hidden(self, params: Params, x: Any) -> tuple[Any, dict[str, Any]]:
        """Compute the last hidden layer; return it and the next layer's parameters."""
        check_inputs(x, (self.sizes[0],))
        x = like(params["layer1"]["weight"], x)
        kernels = find(self.backend)
        *hidden, last = (params[f"layer{number}"] for number in range(1, len(self.sizes)))
        for layer in hidden:
            x = dense(x, **layer, activation=self.activation, kernels=kernels)
        return x, last
