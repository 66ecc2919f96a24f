"""The cases of the golden models: which exist, and why.

An id is never used again for another case, as in
`lookahead_ref.conformance.optimizer_cases`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from lookahead_ref.conformance.building import PlannedCase, noise, tensor

PROFILES = {
    "model:mlp": "A perceptron: loss and gradients of a batch.",
    "model:lstm": "A language model of LSTM layers: loss, gradients, carried state.",
}


def _perceptrons() -> Iterator[PlannedCase]:
    yield perceptron("smoke", (2, 3, 2), "tanh", 2, "begin here")
    for activation in ("tanh", "relu"):
        yield perceptron(activation, (4, 5, 3), activation, 4, "one hidden layer")
        yield perceptron(
            f"{activation}-deep", (3, 4, 5, 4), activation, 5, "two hidden layers"
        )
    yield perceptron("linear", (3, 4), "tanh", 3, "softmax regression: no hidden layer")
    yield perceptron("one-example", (3, 4, 2), "tanh", 1, "a batch of one")
    yield perceptron(
        "one-class", (3, 4, 1), "tanh", 2, "one class: loss and gradients are zero"
    )
    yield perceptron(
        "large-logits", (3, 4, 3), "tanh", 3,
        "logits whose exponentials overflow unless the largest is subtracted",
        scales={"layer2.weight": 7},
    )  # fmt: skip
    yield perceptron(
        "small-logits", (3, 4, 3), "tanh", 3, "shares that are almost equal",
        scales={"layer2.weight": -20, "layer2.bias": -20},
    )  # fmt: skip
    yield perceptron(
        "zero-weights", (3, 4, 3), "relu", 2,
        "rectifiers at exactly zero, whose slope there is 0",
        zero=("layer1.weight", "layer1.bias"),
    )  # fmt: skip


def _lstms() -> Iterator[PlannedCase]:
    yield lstm("smoke", 3, 2, 1, 2, 1, "begin here: one sequence from a state of zeros")
    yield lstm("one-layer", 5, 3, 1, 4, 2, "one layer, two sequences")
    yield lstm("two-layers", 4, 2, 2, 3, 2, "the second layer reads the first")
    yield lstm("carried", 4, 3, 1, 3, 2, "a state that was carried here", carried=True)
    yield lstm(
        "carried-two-layers", 4, 2, 2, 3, 1, "each layer carries its own", carried=True
    )
    yield lstm("tied", 5, 3, 1, 3, 2, "the output's weights are the embedding", tied=True)
    yield lstm("narrow", 4, 3, 1, 3, 1, "an embedding narrower than the layer", width=2)
    yield lstm("one-step", 4, 3, 1, 1, 2, "no time to go back through", carried=True)
    yield lstm(
        "repeated", 4, 2, 1, 4, 2, "one token again and again: its gradients add up",
        tokens=[[2, 2]] * 4,
    )  # fmt: skip
    yield lstm(
        "saturated", 4, 2, 1, 4, 1, "gates that are open or shut",
        scales={"layer1.input_weight": 4, "layer1.recurrent_weight": 4},
    )  # fmt: skip
    yield lstm("long", 3, 2, 1, 12, 1, "a dozen steps to go back through")


FILES: Mapping[str, Callable[[], Iterator[PlannedCase]]] = {
    "mlp": _perceptrons,
    "lstm": _lstms,
}
"""File, without its ending, to what yields its cases."""


def perceptron(
    name: str,
    sizes: Sequence[int],
    activation: str,
    examples: int,
    says: str,
    *,
    scales: Mapping[str, int] = {},
    zero: Sequence[str] = (),
) -> PlannedCase:
    identity = f"mlp-{name}"
    shapes: dict[str, tuple[int, ...]] = {}
    for n, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        shapes[f"layer{n}.weight"] = (inputs, outputs)
        shapes[f"layer{n}.bias"] = (outputs,)
    return {
        "id": identity,
        "profile": "model:mlp",
        "comment": says,
        "dtypes": ["float32", "float64"],
        "model": {"kind": "mlp", "layers": len(sizes) - 1, "activation": activation},
        "params": [
            tensor(identity, key, shape, scale=scales.get(key, 0), zero=key in zero)
            for key, shape in shapes.items()
        ],
        "batch": {
            "inputs": tensor(identity, "inputs", (examples, sizes[0])),
            "labels": [_pick(f"{identity}/label/{i}", sizes[-1]) for i in range(examples)],
        },
    }


def lstm(
    name: str,
    vocabulary: int,
    units: int,
    layers: int,
    steps: int,
    columns: int,
    says: str,
    *,
    width: int | None = None,
    tied: bool = False,
    carried: bool = False,
    tokens: Sequence[Sequence[int]] = (),
    scales: Mapping[str, int] = {},
) -> PlannedCase:
    """Build a case of a language model."""
    identity = f"lstm-{name}"
    return {
        "id": identity,
        "profile": "model:lstm",
        "comment": says,
        "dtypes": ["float32", "float64"],
        "model": {"kind": "lstm", "layers": layers, "tied": tied},
        "params": [
            tensor(identity, key, shape, scale=scales.get(key, -1))
            for key, shape in _shapes(vocabulary, width or units, units, layers, tied)
        ],
        "batch": {
            "inputs": tokens or _text(f"{identity}/token", steps, columns, vocabulary),
            "labels": _text(f"{identity}/label", steps, columns, vocabulary),
            "carried": [
                tensor(
                    identity,
                    f"layer{n}.{state}",
                    (columns, units),
                    scale=-1,
                    zero=not carried,
                )
                for n in range(1, layers + 1)
                for state in ("hidden", "cell")
            ],
        },
    }


def _shapes(
    vocabulary: int, width: int, units: int, layers: int, tied: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "embedding.weight", (vocabulary, width)
    for n in range(1, layers + 1):
        yield f"layer{n}.input_weight", (width if n == 1 else units, 4 * units)
        yield f"layer{n}.recurrent_weight", (units, 4 * units)
        yield f"layer{n}.bias", (4 * units,)
    if not tied:
        yield "output.weight", (units, vocabulary)
    yield "output.bias", (vocabulary,)


def _text(label: str, steps: int, columns: int, vocabulary: int) -> list[list[int]]:
    return [
        [_pick(f"{label}/{t}/{column}", vocabulary) for column in range(columns)]
        for t in range(steps)
    ]


def _pick(label: str, count: int) -> int:
    """Choose one of so many, as if at random."""
    return int(abs(noise(label, 1, scale=30)[0])) % count
