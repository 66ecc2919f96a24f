"""AWD-LSTM: a language model of weight-dropped LSTM layers, as for Table 3 of the paper.

S. Merity, N. S. Keskar and R. Socher, "Regularizing and Optimizing LSTM Language Models",
ICLR 2018, arXiv:1708.02182. Default widths and rates are those of the authors' program for
the Penn Treebank, github.com/salesforce/awd-lstm-lm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import autograd.numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import DTypeLike, NDArray

from lookahead_ref import hyperparameters
from lookahead_ref.kernels import find
from lookahead_ref.zoo.fused import like
from lookahead_ref.zoo.initializers import initializer
from lookahead_ref.zoo.layers import dropout, embedding, lstm_layer
from lookahead_ref.zoo.losses import Evaluation, dense_cross_entropy
from lookahead_ref.zoo.lstm import LSTM, Carried, Params, begun, checked, evaluate

_RATES = (
    *("dropout", "input_dropout", "hidden_dropout"),
    *("embedding_dropout", "weight_dropout"),
)


@dataclass(frozen=True)
class AWDLSTM:
    """A language model of LSTM layers with several kinds of dropout.

    The last layer has the width of the embedding, whose transposed weights are also the
    output's. Parameters, by name, with their shapes::

        embedding   weight            (vocabulary, embedding)
        layer1 ...  input_weight      (width of the layer below, 4 * width)
                    recurrent_weight  (width, 4 * width)
                    bias              (4 * width,)
        output      bias              (vocabulary,)

    Each batch has new masks, the same at all of its steps. Gates, state and evaluation are
    those of `LSTM`.

    Examples
    --------
    >>> model = AWDLSTM(vocabulary=50, hidden=8, embedding=4)
    >>> params = model.init(seed=0)
    >>> [params[f"layer{n}"]["recurrent_weight"].shape for n in (1, 2, 3)]
    [(8, 32), (8, 32), (4, 16)]
    """

    vocabulary: int
    """Number of different tokens."""
    hidden: int = 1150
    """Units of each layer but the last."""
    layers: int = 3
    """Number of layers."""
    embedding: int = 400
    """Width of the embedding and of the last layer."""
    dropout: float = 0.4
    """Share of units dropped from the last layer's output."""
    input_dropout: float = 0.4
    """Share of the embedding's units dropped."""
    hidden_dropout: float = 0.25
    """Share of the units between layers dropped."""
    embedding_dropout: float = 0.1
    """Share of words whose embedding is zero throughout a batch."""
    weight_dropout: float = 0.5
    """Share of the recurrent weights dropped."""
    activation_penalty: float = 2.0
    """Weight of the mean square of the last layer's output, after its dropout."""
    temporal_penalty: float = 1.0
    """Weight of the mean square of its change between steps, before its dropout."""
    backend: str = "numpy"
    evaluation_piece = LSTM.evaluation_piece

    def __post_init__(self) -> None:
        for name in ("vocabulary", "hidden", "layers", "embedding"):
            object.__setattr__(self, name, hyperparameters.count(name, getattr(self, name)))
        for name in _RATES:
            hyperparameters.below_one(name, getattr(self, name))
        for name in ("activation_penalty", "temporal_penalty"):
            hyperparameters.non_negative(name, getattr(self, name))

    @property
    def widths(self) -> list[int]:
        """Units of each layer."""
        return [self.hidden] * (self.layers - 1) + [self.embedding]

    def init(self, seed: int | SeedSequence, dtype: DTypeLike = np.float32) -> Params:
        """Draw initial parameters.

        The embedding is uniform within 0.1, a layer within ``1 / sqrt(width)``, and its
        biases too; the output's bias is zero.
        """
        rng = default_rng(seed)
        shape = (self.vocabulary, self.embedding)
        table = initializer("uniform", scale=0.1)(rng, shape, dtype)
        params: Params = {"embedding": {"weight": table}}
        below = self.embedding
        for number, width in enumerate(self.widths, start=1):
            draw = initializer("uniform", scale=width**-0.5)
            params[f"layer{number}"] = {
                "input_weight": draw(rng, (below, 4 * width), dtype),
                "recurrent_weight": draw(rng, (width, 4 * width), dtype),
                "bias": draw(rng, (1, 4 * width), dtype)[0],
            }
            below = width
        params["output"] = {"bias": np.zeros(self.vocabulary, dtype)}
        return params

    def start(self, batch_size: int) -> Carried:
        """Make the state at the start of a text: see `LSTM.start`."""
        return begun(self.widths, batch_size, self.backend)

    def apply(self, params: Params, tokens: Any, carried: Carried) -> tuple[Any, Carried]:
        """Compute the logits of the tokens that follow: see `LSTM.apply`."""
        x, _, carried = self._read(params, tokens, carried, None)
        return x @ params["embedding"]["weight"].T + params["output"]["bias"], carried

    def loss(
        self, params: Params, batch: Any, carried: Carried, rng: Generator | None = None
    ) -> tuple[Any, Carried]:
        """Mean cross entropy of a batch and the penalties, and the state for the next one.

        Batch, state and `rng` are those of `LSTM.loss`.
        """
        rates = (getattr(self, name) for name in _RATES)
        carried = checked(self, batch, carried, rng, *rates)
        x, outputs, carried = self._read(params, batch.inputs, carried, rng)
        loss = dense_cross_entropy(
            x.reshape((-1, self.embedding)),
            params["embedding"]["weight"].T,
            params["output"]["bias"],
            batch.labels.reshape(-1),
            kernels=find(self.backend),
        )
        if self.activation_penalty:
            loss = loss + self.activation_penalty * _mean_square(x)
        if self.temporal_penalty and x.shape[0] > 1:
            loss = loss + self.temporal_penalty * _mean_square(outputs[1:] - outputs[:-1])
        return loss, carried

    def evaluator(
        self, params: Params, _train_source: Any = None
    ) -> Callable[[NDArray[Any]], Evaluation]:
        """Return a function that evaluates these weights: see `LSTM.evaluator`."""
        return partial(evaluate, self, params)

    def _read(
        self, params: Params, tokens: Any, carried: Carried, rng: Generator | None
    ) -> tuple[Any, Any, Carried]:
        """Run the layers; return the output with and without dropout, and the state."""
        kernels = find(self.backend)

        def drop(x: Any, rate: float) -> Any:
            return x if rng is None else dropout(x, rate, rng, shape=(1, *x.shape[1:]))

        table = params["embedding"]["weight"]
        x = embedding(table, tokens, kernels=kernels)
        if rng is not None and self.embedding_dropout:
            words = dropout(np.ones((self.vocabulary, 1)), self.embedding_dropout, rng)
            x = x * like(table, words)[tokens]
        x = drop(x, self.input_dropout)
        left: Carried = {}
        for number in range(1, self.layers + 1):
            name = f"layer{number}"
            weights = dict(params[name])
            if rng is not None:
                recurrent = weights["recurrent_weight"]
                weights["recurrent_weight"] = dropout(recurrent, self.weight_dropout, rng)
            out = lstm_layer(x, **carried[name], **weights, kernels=kernels)
            last = number == self.layers
            x = drop(out.outputs, self.dropout if last else self.hidden_dropout)
            left[name] = {"hidden": out.hidden, "cell": out.cell}
        return x, out.outputs, left


def _mean_square(x: Any) -> Any:
    return np.sum(x * x) / x.size
