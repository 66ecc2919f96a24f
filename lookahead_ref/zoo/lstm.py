"""A language model of long short-term memory, as for the Penn Treebank.

Tokens are embedded, go through layers of long short-term memory, and the last layer's
hidden state gives the logits of the next token. Dropout is on the connections between
layers, never on those through time (W. Zaremba, I. Sutskever and O. Vinyals, "Recurrent
Neural Network Regularization", arXiv:1409.2329, 2014). The state is carried from batch to
batch, so that the model reads the text as a whole, but gradients stop at the start of a
batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lookahead_ref import hyperparameters, trees
from lookahead_ref.kernels import find, namespace
from lookahead_ref.stepping.backend import load
from lookahead_ref.zoo.fused import check
from lookahead_ref.zoo.initializers import Initialization, initializer
from lookahead_ref.zoo.layers import dropout, embedding, lstm_layer
from lookahead_ref.zoo.losses import (
    Evaluation,
    accuracy,
    dense_cross_entropy,
    softmax_cross_entropy,
)

Params = dict[str, dict[str, NDArray[Any]]]
Carried = dict[str, dict[str, Any]]

_EVALUATED_TOGETHER = 20
_EVALUATION_WINDOW = 35
_EVALUATION_STEP = _EVALUATED_TOGETHER * _EVALUATION_WINDOW


@dataclass(frozen=True)
class LSTM:
    """A language model: embedding, layers of long short-term memory, softmax.

    Parameters of the model, by name, with their shapes::

        embedding   weight            (vocabulary, embedding)
        layer1      input_weight      (embedding, 4 * hidden)
                    recurrent_weight  (hidden, 4 * hidden)
                    bias              (4 * hidden,)
        layer2 ...  input_weight      (hidden, 4 * hidden), and so on
        output      weight            (hidden, vocabulary), unless tied
                    bias              (vocabulary,)

    The order of the gates in the columns is that of `lookahead_ref.zoo.layers.lstm_layer`.
    Each gate has one bias, where PyTorch has a sum of two.

    Examples
    --------
    >>> model = LSTM(vocabulary=50, hidden=8, layers=1)
    >>> params = model.init(seed=0)
    >>> {name: weight.shape for name, weight in params["layer1"].items()}
    {'input_weight': (8, 32), 'recurrent_weight': (8, 32), 'bias': (32,)}
    >>> logits, carried = model.apply(params, np.zeros((5, 2), int), model.start(2))
    >>> logits.shape, carried["layer1"]["cell"].shape
    ((5, 2, 50), (2, 8))
    """

    vocabulary: int
    """Number of different tokens."""
    hidden: int = 200
    """Units of each layer."""
    layers: int = 2
    """Number of layers."""
    embedding: int | None = None
    """Width of the embedding; by default `hidden`."""
    dropout: float = 0.0
    """Share of units dropped in training, from the embedding and each layer's output."""
    tied: bool = False
    """Whether the output's weights are the embedding, transposed; its width is `hidden`."""
    initialization: Initialization = "uniform"
    """How each gate's weights are drawn, a name in `lookahead_ref.zoo.initializers`.
    Initial biases are zero, except the forget gate's."""
    scale: float = 0.1
    """The limit of ``uniform`` or the standard deviation of ``normal``. With another
    `initialization` the embedding is ``uniform`` within it."""
    forget_bias: float = 0.0
    """The initial bias of the forget gate."""
    backend: str = "numpy"
    evaluation_piece = 10 * _EVALUATION_STEP

    def __post_init__(self) -> None:
        for name in ("vocabulary", "hidden", "layers"):
            object.__setattr__(self, name, hyperparameters.count(name, getattr(self, name)))
        width = self.hidden if self.embedding is None else self.embedding
        object.__setattr__(self, "embedding", hyperparameters.count("embedding", width))
        hyperparameters.below_one("dropout", self.dropout)
        hyperparameters.positive("scale", self.scale)
        if self.tied and self.embedding != self.hidden:
            raise ValueError(
                "embedding must equal hidden with tied weights, got "
                f"{self.embedding} and {self.hidden}"
            )
        initializer(self.initialization)  # refuses unknown names

    def init(
        self, seed: int | np.random.SeedSequence, dtype: DTypeLike = np.float32
    ) -> Params:
        """Draw initial parameters."""
        rng = np.random.default_rng(seed)
        draw = initializer(self.initialization, scale=self.scale)
        flat = self.initialization in ("uniform", "normal")
        table = draw if flat else initializer("uniform", scale=self.scale)
        width = self.embedding or self.hidden

        def gates(fan_in: int) -> NDArray[Any]:
            drawn = [draw(rng, (fan_in, self.hidden), dtype) for _ in range(4)]
            return np.concatenate(drawn, axis=1)

        params: Params = {
            "embedding": {"weight": table(rng, (self.vocabulary, width), dtype)}
        }
        for number in range(1, self.layers + 1):
            bias = np.zeros((4, self.hidden), dtype)
            bias[1] = self.forget_bias
            params[f"layer{number}"] = {
                "input_weight": gates(width if number == 1 else self.hidden),
                "recurrent_weight": gates(self.hidden),
                "bias": bias.reshape(-1),
            }
        params["output"] = {"bias": np.zeros(self.vocabulary, dtype)}
        if not self.tied:
            params["output"]["weight"] = draw(rng, (self.hidden, self.vocabulary), dtype)
        return params

    def start(self, batch_size: int) -> Carried:
        """Make the state at the start of a text: float32 zeros in the backend's memory.

        It is ``{"layer1": {"hidden": (batch, hidden), "cell": (batch, hidden)}, ...}``.
        """
        return begun([self.hidden] * self.layers, batch_size, self.backend)

    def apply(self, params: Params, tokens: Any, carried: Carried) -> tuple[Any, Carried]:
        """Compute the logits of the next tokens, without dropout.

        For tokens of shape (steps, batch) they have the shape (steps, batch, vocabulary).
        The state comes from `start` or the last call; the next one is returned too.
        """
        x, carried = self._read(params, tokens, carried, None)
        weight, bias = self._output(params)
        return x @ weight + bias, carried

    def loss(
        self,
        params: Params,
        batch: Any,
        carried: Carried,
        rng: np.random.Generator | None = None,
    ) -> tuple[Any, Carried]:
        """Mean cross entropy of a batch, in nats a token, and the state for the next one.

        Inputs are tokens, labels the next ones, both of shape (steps, batch). If an
        attribute ``first`` of the batch is true, the state starts anew. No gradient flows
        through the state. `rng` draws the dropout, and may be None without dropout.
        """
        carried = checked(self, batch, carried, rng, self.dropout)
        x, carried = self._read(params, batch.inputs, carried, rng)
        x, labels = x.reshape((-1, self.hidden)), batch.labels.reshape(-1)
        weight, bias = self._output(params)
        loss = dense_cross_entropy(x, weight, bias, labels, kernels=find(self.backend))
        return loss, carried

    def evaluator(
        self, params: Params, _train_source: Any = None
    ) -> Callable[[NDArray[Any]], Evaluation]:
        """Return a function that evaluates these weights (for Lookahead the slow ones).

        It maps a text, an array of int of shape (n,), to an `Evaluation` of its n - 1
        transitions; perplexity is the exponential of the loss. The text is read in 20
        parallel parts, each from a state of zeros, without dropout.
        """
        return partial(evaluate, self, params)

    def _read(
        self, params: Params, tokens: Any, carried: Carried, rng: np.random.Generator | None
    ) -> tuple[Any, Carried]:
        """Run the layers; return the last output and the state."""
        table = params["embedding"]["weight"]
        kernels = find(self.backend)

        def drop(x: Any) -> Any:
            return x if rng is None else dropout(x, self.dropout, rng)

        x = embedding(table, tokens, kernels=kernels)
        left: Carried = {}
        for number in range(1, self.layers + 1):
            name = f"layer{number}"
            out = lstm_layer(drop(x), **carried[name], **params[name], kernels=kernels)
            x = out.outputs
            left[name] = {"hidden": out.hidden, "cell": out.cell}
        return drop(x), left

    def _output(self, params: Params) -> tuple[Any, Any]:
        bias = params["output"]["bias"]
        if self.tied:
            return params["embedding"]["weight"].T, bias
        return params["output"]["weight"], bias


def begun(widths: Sequence[int], batch_size: int, backend: str) -> Carried:
    """Make the state at the start of a text, for layers of these widths."""
    batch_size = hyperparameters.count("batch_size", batch_size)
    from_host = load(backend).from_host
    return {
        f"layer{number}": {
            name: from_host(np.zeros((batch_size, width), np.float32))
            for name in ("hidden", "cell")
        }
        for number, width in enumerate(widths, start=1)
    }


def checked(model: Any, batch: Any, carried: Carried, rng: Any, *rates: float) -> Carried:
    """Refuse a batch that is not a window of a text; return its initial state."""
    if any(rates) and rng is None:
        raise TypeError("rng must be a numpy Generator with dropout, got None")
    if len(batch.inputs.shape) != 2:
        raise ValueError(f"inputs must have shape (steps, batch), got {batch.inputs.shape}")
    check("labels", batch.labels, batch.inputs.shape)
    first = getattr(batch, "first", False)
    return model.start(batch.inputs.shape[1]) if first else carried


def evaluate(model: Any, params: Params, source: Any) -> Evaluation:
    """Evaluate weights on a text, or on a piece of it: see `LSTM.evaluator`."""
    tokens = getattr(source, "source", source)
    transitions = len(tokens) - 1
    if transitions < 1:
        raise ValueError(f"a text must have at least two tokens, got {len(tokens)}")
    columns = min(_EVALUATED_TOGETHER, transitions)
    steps, first, last = transitions // columns, 0, transitions
    carried = model.start(columns)
    if tokens is not source:
        first, last = source.start, source.start + source.size
        if first % _EVALUATION_STEP:
            message = f"evaluation_piece must be a multiple of {_EVALUATION_STEP}"
            raise ValueError(f"{message}, got a piece that begins at {first}")
        if source.carried:
            carried = trees.unflatten(carried, source.carried)
    rows = np.arange(first // columns, last // columns)[:, None]
    whole = rows + steps * np.arange(columns)
    windows = np.split(whole, range(_EVALUATION_WINDOW, len(rows), _EVALUATION_WINDOW))
    # The rest, which does not fill all columns, continues the last one.
    rest = np.arange(steps * columns, last)[:, None]
    asarray = namespace(params["embedding"]["weight"]).asarray
    loss = right = 0.0
    for places in [*windows, rest]:
        if not places.size:
            continue
        if places is rest:
            carried = trees.map(lambda state: state[-1:], carried)
        logits, carried = model.apply(params, asarray(tokens[places]), carried)
        logits = logits.reshape((-1, model.vocabulary))
        labels = asarray(tokens[places + 1].reshape(-1))
        entropy = softmax_cross_entropy(logits, labels, kernels=find(model.backend))
        loss += places.size * float(entropy)
        right += places.size * accuracy(logits, labels)
    if tokens is not source:
        source.carried = trees.flatten(carried)
    return Evaluation(loss / (last - first), right / (last - first))
