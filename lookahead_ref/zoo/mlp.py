"""The multilayer perceptron: dense layers with an activation between them."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lookahead_ref import hyperparameters
from lookahead_ref.kernels import find
from lookahead_ref.zoo.arrays import check_inputs, like
from lookahead_ref.zoo.dense import dense
from lookahead_ref.zoo.evaluation import (
    Evaluation,
    ExampleSource,
    LabelledInputs,
    evaluate_classifier,
)
from lookahead_ref.zoo.initializers import INITIALIZERS
from lookahead_ref.zoo.losses import dense_cross_entropy

__all__ = ["MLP"]

Activation = Literal["relu", "tanh"]
Initialization = Literal["he_normal", "he_uniform", "glorot_normal", "glorot_uniform"]
Params = dict[str, dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class MLP:
    """A classifier made of dense layers.

    It computes ``activation(x @ weight + bias)``, layer after layer; the last one has no
    activation and gives the logits.

    Parameters
    ----------
    sizes : tuple of int
        Number of inputs, of units of each hidden layer, and of classes.
    activation : {"relu", "tanh"}
        Between the layers; there is none after the last.
    initialization : str
        How the weights are drawn, by a name in `lookahead_ref.zoo.initializers`. Biases
        are zero at first.
    backend : str, default "numpy"
        Where the kernels of the layers come from. It changes how fast things are computed,
        and results by rounding only.

    Raises
    ------
    ValueError
        If there are fewer than two sizes, one of them is not positive, or a name is
        not known.
    TypeError
        If a size is not an int.

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
    activation: Activation = "relu"
    initialization: Initialization = "he_normal"
    backend: str = "numpy"

    def __post_init__(self) -> None:
        sizes = tuple(hyperparameters.count("sizes", size) for size in self.sizes)
        object.__setattr__(self, "sizes", sizes)
        if len(self.sizes) < 2:
            raise ValueError(
                f"sizes must give at least the inputs and the classes, got {self.sizes}"
            )
        _check_name("activation", self.activation, get_args(Activation))
        _check_name("initialization", self.initialization, get_args(Initialization))

    def init(
        self, seed: int | np.random.SeedSequence, dtype: DTypeLike = np.float32
    ) -> Params:
        """Draw initial parameters.

        Parameters
        ----------
        seed : int or numpy.random.SeedSequence
            The same seed gives the same parameters.
        dtype : dtype, default float32
            Of every parameter.

        Returns
        -------
        dict
            ``{"layer1": {"weight": (inputs, units), "bias": (units,)}, ...}``.
        """
        rng = np.random.default_rng(seed)
        draw = INITIALIZERS[self.initialization]
        return {
            f"layer{number}": {
                "weight": draw(rng, (fan_in, fan_out), dtype),
                "bias": np.zeros(fan_out, dtype),
            }
            for number, (fan_in, fan_out) in enumerate(
                zip(self.sizes[:-1], self.sizes[1:], strict=True), start=1
            )
        }

    def apply(self, params: Params, x: Any) -> Any:
        """Compute the logits.

        Parameters
        ----------
        params : dict
            As `init` makes them.
        x : array, shape (n, inputs)
            A batch of inputs; made of the parameters' dtype if it is of another.

        Returns
        -------
        array, shape (n, classes)
            Unnormalised log-probabilities.

        Raises
        ------
        ValueError
            If the inputs are of another shape.
        """
        hidden = self._hidden(params, x)
        last = params[f"layer{len(self.sizes) - 1}"]
        kernels = find(self.backend)
        return dense(hidden, last["weight"], last["bias"], kernels=kernels)

    def _hidden(self, params: Params, x: Any) -> Any:
        """Compute the values of the last hidden layer."""
        check_inputs(x, (self.sizes[0],))
        x = like(params["layer1"]["weight"], x)
        for number in range(1, len(self.sizes) - 1):
            layer = params[f"layer{number}"]
            kernels = find(self.backend)
            x = dense(
                x,
                layer["weight"],
                layer["bias"],
                activation=self.activation,
                kernels=kernels,
            )
        return x

    def loss(self, params: Params, batch: LabelledInputs) -> Any:
        """Mean cross entropy of a batch, in nats.

        Parameters
        ----------
        params : dict
            As `init` makes them.
        batch : object with attributes ``inputs`` and ``labels``
            Shapes (n, inputs) and (n,).

        Returns
        -------
        scalar
            Of the parameters' dtype; differentiable by `lookahead_ref.value_and_grad`.

        Raises
        ------
        ValueError, TypeError
            If inputs or labels do not fit the model, or each other.
        """
        last = params[f"layer{len(self.sizes) - 1}"]
        return dense_cross_entropy(
            self._hidden(params, batch.inputs),
            last["weight"],
            last["bias"],
            batch.labels,
            kernels=find(self.backend),
        )

    def evaluate(self, params: Params, source: ExampleSource) -> Evaluation:
        """Measure loss and accuracy.

        Parameters
        ----------
        params : dict
            The weights to evaluate: for Lookahead, the slow ones.
        source : ExampleSource
            Examples, such as `lookahead_ref.data.Examples`; taken a part at a time.

        Returns
        -------
        Evaluation
            Mean cross entropy in nats, and accuracy from 0 to 1.
        """
        return evaluate_classifier(
            lambda inputs: self.apply(params, inputs),
            source,
            kernels=find(self.backend),
        )


def _check_name(parameter: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        names = ", ".join(repr(name) for name in known)
        raise ValueError(f"{parameter} must be one of {names}, got {value!r}")
