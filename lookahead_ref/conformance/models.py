"""The golden models: their cases, and a perceptron and an LSTM in 50-digit arithmetic.

This file computes the expected loss and gradients, and shares no code with the library.
Read it beside the page of the golden models (``docs/conformance/models.md``): it should be
right by inspection. Central differences test the gradients. An id is never reused.

It reads cases from the vector files. A vector is a list of numbers, a matrix a list of
rows. The arithmetic is a parameter, as in `lookahead_ref.conformance.oracle`.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, TypeAlias

from lookahead_ref.conformance.oracle import Number, context, noise, tensor, value

# The cases.

PROFILES = {
    "model:mlp": "A perceptron: loss and gradients of a batch.",
    "model:lstm": "A language model of LSTM layers: loss, gradients, carried state.",
}


def _perceptrons() -> Iterator[dict[str, Any]]:
    case = perceptron_case
    yield case("smoke", (2, 3, 2), "tanh", 2, "begin here")
    for name in ("tanh", "relu"):
        yield case(name, (4, 5, 3), name, 4, "one hidden layer")
        yield case(f"{name}-deep", (3, 4, 5, 4), name, 5, "two hidden layers")
    yield case("linear", (3, 4), "tanh", 3, "softmax regression: no hidden layer")
    yield case("one-example", (3, 4, 2), "tanh", 1, "a batch of one")
    yield case("one-class", (3, 4, 1), "tanh", 2, "one class: loss and gradients are zero")
    yield case("large-logits", (3, 4, 3), "tanh", 3,
               "logits whose exponentials overflow unless the largest is subtracted",
               scales={"layer2.weight": 7})  # fmt: skip
    yield case("small-logits", (3, 4, 3), "tanh", 3, "shares that are almost equal",
               scales={"layer2.weight": -20, "layer2.bias": -20})  # fmt: skip
    yield case("zero-weights", (3, 4, 3), "relu", 2,
               "rectifiers at exactly zero, whose slope there is 0",
               zero=("layer1.weight", "layer1.bias"))  # fmt: skip


def _lstms() -> Iterator[dict[str, Any]]:
    case = lstm_case
    yield case("smoke", 3, 2, 1, 2, 1, "begin here: one sequence from a state of zeros")
    yield case("one-layer", 5, 3, 1, 4, 2, "one layer, two sequences")
    yield case("two-layers", 4, 2, 2, 3, 2, "the second layer reads the first")
    yield case("carried", 4, 3, 1, 3, 2, "a state that was carried here", carried=True)
    yield case("carried-two-layers", 4, 2, 2, 3, 1, "each layer carries its own",
               carried=True)  # fmt: skip
    yield case("tied", 5, 3, 1, 3, 2, "the output's weights are the embedding", tied=True)
    yield case("narrow", 4, 3, 1, 3, 1, "an embedding narrower than the layer", width=2)
    yield case("one-step", 4, 3, 1, 1, 2, "no time to go back through", carried=True)
    yield case("repeated", 4, 2, 1, 4, 2, "one token again and again: its gradients add up",
               tokens=[[2, 2]] * 4)  # fmt: skip
    yield case("saturated", 4, 2, 1, 4, 1, "gates that are open or shut",
               scales={"layer1.input_weight": 4, "layer1.recurrent_weight": 4},
               )  # fmt: skip
    yield case("long", 3, 2, 1, 12, 1, "a dozen steps to go back through")


FILES = {"mlp": _perceptrons, "lstm": _lstms}
"""File name without ending to the function that yields its cases."""


def perceptron_case(
    name: str,
    sizes: Sequence[int],
    activation: str,
    examples: int,
    says: str,
    *,
    scales: Mapping[str, int] = {},
    zero: Sequence[str] = (),
) -> dict[str, Any]:
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


def lstm_case(
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
) -> dict[str, Any]:
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
                tensor(identity, name, (columns, units), scale=-1, zero=not carried)
                for n in range(1, layers + 1)
                for name in (f"layer{n}.hidden", f"layer{n}.cell")
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
    """Choose a number below `count`, as if at random."""
    return int(abs(noise(label, 1, scale=30)[0])) % count


# The models.

CaseData: TypeAlias = Mapping[str, Any]
Vector: TypeAlias = list[Number]
Matrix: TypeAlias = list[Vector]


class _Arithmetic(Protocol):
    """Numbers to compute with: they have ``+ - * /``."""

    def number(self, value: float) -> Number: ...
    def total(self, terms: Sequence[Number]) -> Number: ...  # in any order
    def largest(self, values: Sequence[Number]) -> Number: ...
    def exp(self, value: Number) -> Number: ...
    def log(self, value: Number) -> Number: ...
    def tanh(self, value: Number) -> Number: ...
    def sigmoid(self, value: Number) -> Number: ...
    def positive(self, value: Number) -> bool: ...


class ModelExact:
    """Numbers of 50 digits."""

    number, total = staticmethod(context.mpf), staticmethod(context.fsum)
    exp, log = staticmethod(context.exp), staticmethod(context.log)
    tanh = staticmethod(context.tanh)

    def largest(self, values: Sequence[Number]) -> Number:
        return max(values)

    def sigmoid(self, value: Number) -> Number:
        return 1 / (1 + self.exp(-value))

    def positive(self, value: Number) -> bool:
        return bool(value > 0)


class LossAndGradients(NamedTuple):
    """The results of a case."""

    loss: Number  # mean cross entropy, in nats
    gradients: dict[str, Vector]  # by parameter, its elements row by row
    carried: dict[str, Vector]  # an LSTM's state; empty for a perceptron


def run(case: CaseData, arithmetic: _Arithmetic | None = None) -> LossAndGradients:
    """Compute a case, by default in 50 digits."""
    model = perceptron if case["model"]["kind"] == "mlp" else lstm
    return model(case, Parameters(case, arithmetic or ModelExact()))


class Parameters:
    """The parameters of a case, and the terms of their gradients."""

    def __init__(self, case: CaseData, arithmetic: _Arithmetic) -> None:
        self.arithmetic = arithmetic
        self.total = arithmetic.total
        self.values = {p["name"]: self.read(p) for p in case["params"]}
        # A gradient is a sum over examples or positions in a text.
        self.terms: dict[str, list[list[list[Number]]]] = {
            name: [[[] for _ in row] for row in rows] for name, rows in self.values.items()
        }

    def read(self, tensor: Mapping[str, Any]) -> Matrix:
        """Read a matrix, or a vector as a matrix of one row."""
        numbers = [self.arithmetic.number(value(bits)) for bits in tensor["values"]]
        columns = tensor["shape"][-1]
        return [numbers[i : i + columns] for i in range(0, len(numbers), columns)]

    def affine(self, bias: str, *inputs: tuple[Vector, Matrix]) -> Vector:
        """Add x @ weight for each of the inputs, and the bias."""
        return [
            self.total(
                [a * row[j] for x, w in inputs for a, row in zip(x, w, strict=True)] + [b]
            )
            for j, b in enumerate(self.values[bias][0])
        ]

    def back(self, delta: Vector, weight: Matrix) -> Vector:
        return [
            self.total([d * w for d, w in zip(delta, row, strict=True)]) for row in weight
        ]

    def add(self, name: str, delta: Vector, row: int = 0) -> None:
        """Add a vector to the gradient of a bias, or of a row of a matrix."""
        for terms, d in zip(self.terms[name][row], delta, strict=True):
            terms.append(d)

    def add_outer(self, name: str, x: Vector, delta: Vector) -> None:
        """Add the outer product of x and delta to the gradient of a matrix."""
        for i, a in enumerate(x):
            self.add(name, [a * d for d in delta], i)

    def cross_entropy(
        self, logits: Vector, label: int, count: int
    ) -> tuple[Number, Vector]:
        """Return the loss of one row, and the gradient of the mean over `count` rows."""
        # Changes neither result, and prevents overflow.
        largest = self.arithmetic.largest(logits)
        z = [logit - largest for logit in logits]
        powers = [self.arithmetic.exp(each) for each in z]
        normalizer = self.total(powers)
        loss = self.arithmetic.log(normalizer) - z[label]
        shares = [power / normalizer for power in powers]
        shares[label] = shares[label] - 1
        return loss, [share / count for share in shares]

    def result(self, losses: list[Number], carried: dict[str, Vector]) -> LossAndGradients:
        """Take the mean of the losses and add up the gradients."""
        gradients = {
            name: [self.total(terms) for row in rows for terms in row]
            for name, rows in self.terms.items()
        }
        return LossAndGradients(self.total(losses) / len(losses), gradients, carried)


def perceptron(case: CaseData, params: Parameters) -> LossAndGradients:
    """activation(x @ weight + bias), layer after layer; the last one without it."""
    arithmetic = params.arithmetic
    is_tanh = case["model"]["activation"] == "tanh"

    def activate(x: Number) -> Number:
        if is_tanh:
            return arithmetic.tanh(x)
        return x if arithmetic.positive(x) else arithmetic.number(0.0)

    def slope(a: Number) -> Number:  # from the activation's value; a rectifier's is 0 at 0
        if is_tanh:
            return 1 - a * a
        return arithmetic.number(1.0 if arithmetic.positive(a) else 0.0)

    labels, layers = case["batch"]["labels"], case["model"]["layers"]
    losses = []
    for x, label in zip(params.read(case["batch"]["inputs"]), labels, strict=True):
        reached = [x]
        for n in range(1, layers + 1):
            weight = params.values[f"layer{n}.weight"]
            y = params.affine(f"layer{n}.bias", (reached[-1], weight))
            reached.append(y if n == layers else [activate(each) for each in y])
        loss, delta = params.cross_entropy(reached[-1], label, len(labels))
        losses.append(loss)
        for n in range(layers, 0, -1):
            params.add_outer(f"layer{n}.weight", reached[n - 1], delta)
            params.add(f"layer{n}.bias", delta)
            if n > 1:
                delta = params.back(delta, params.values[f"layer{n}.weight"])
                delta = [d * slope(a) for d, a in zip(delta, reached[n - 1], strict=True)]
    return params.result(losses, {})


def lstm(case: CaseData, params: Parameters) -> LossAndGradients:
    """Embedding, layers of long short-term memory, softmax; column by column."""
    batch = case["batch"]
    layers = range(1, case["model"]["layers"] + 1)
    carried = {p["name"]: params.read(p) for p in batch["carried"]}
    left: dict[str, Vector] = {name: [] for name in carried}
    losses = []
    columns = len(batch["inputs"][0])
    for column in range(columns):
        tokens = [row[column] for row in batch["inputs"]]
        labels = [row[column] for row in batch["labels"]]
        xs = [params.values["embedding.weight"][token] for token in tokens]
        passes = []
        for n in layers:
            hidden = carried[f"layer{n}.hidden"][column]
            cell = carried[f"layer{n}.cell"][column]
            steps = []
            for x in xs:
                steps.append(_forward(params, n, x, hidden, cell))
                hidden, cell = steps[-1].hidden, steps[-1].cell
            left[f"layer{n}.hidden"] += hidden
            left[f"layer{n}.cell"] += cell
            passes.append(steps)
            xs = [step.hidden for step in steps]

        deltas = []
        for x, label in zip(xs, labels, strict=True):
            count = len(tokens) * columns
            loss, delta = _output(params, case["model"]["tied"], x, label, count)
            losses.append(loss)
            deltas.append(delta)
        for n in reversed(layers):
            deltas = _backward(params, n, passes[n - 1], deltas)
        for token, delta in zip(tokens, deltas, strict=True):
            params.add("embedding.weight", delta, token)
    return params.result(losses, left)


class _LstmStep(NamedTuple):
    """A step of a layer of long short-term memory, kept for the backward pass."""

    x: Vector
    hidden_before: Vector
    cell_before: Vector
    gates: list[Vector]  # input, forget, candidate, output
    squashed: Vector  # tanh of the new cells
    hidden: Vector
    cell: Vector


def _forward(
    params: Parameters, n: int, x: Vector, hidden: Vector, cell: Vector
) -> _LstmStep:
    """Do a step: c <- f c + i g, h <- o tanh(c)."""
    units = range(len(hidden))
    sums = params.affine(
        f"layer{n}.bias",
        (x, params.values[f"layer{n}.input_weight"]),
        (hidden, params.values[f"layer{n}.recurrent_weight"]),
    )
    sigmoid, tanh = params.arithmetic.sigmoid, params.arithmetic.tanh
    i, f, g, o = (
        [squash(s) for s in sums[gate * len(hidden) : (gate + 1) * len(hidden)]]
        for gate, squash in enumerate((sigmoid, sigmoid, tanh, sigmoid))
    )
    new = [f[u] * cell[u] + i[u] * g[u] for u in units]
    squashed = [tanh(c) for c in new]
    out = [o[u] * squashed[u] for u in units]
    return _LstmStep(x, hidden, cell, [i, f, g, o], squashed, out, new)


def _backward(
    params: Parameters, n: int, steps: list[_LstmStep], deltas: list[Vector]
) -> list[Vector]:
    """Backpropagate through time, from the outputs' gradients to the inputs'."""
    zero = params.arithmetic.number(0.0)
    units = len(steps[0].hidden)
    later_hidden, later_cell = [zero] * units, [zero] * units
    of_inputs: list[Vector] = []
    for step, delta in zip(reversed(steps), reversed(deltas), strict=True):
        i, f, g, o = step.gates
        dsums: list[Vector] = [[], [], [], []]
        for u in range(units):
            dh = delta[u] + later_hidden[u]
            t = step.squashed[u]
            dc = later_cell[u] + dh * o[u] * (1 - t * t)
            dsums[0].append(dc * g[u] * (i[u] * (1 - i[u])))
            dsums[1].append(dc * step.cell_before[u] * (f[u] * (1 - f[u])))
            dsums[2].append(dc * i[u] * (1 - g[u] * g[u]))
            dsums[3].append(dh * t * (o[u] * (1 - o[u])))
            later_cell[u] = dc * f[u]
        flat = [d for gate in dsums for d in gate]
        params.add_outer(f"layer{n}.input_weight", step.x, flat)
        params.add_outer(f"layer{n}.recurrent_weight", step.hidden_before, flat)
        params.add(f"layer{n}.bias", flat)
        later_hidden = params.back(flat, params.values[f"layer{n}.recurrent_weight"])
        of_inputs.append(params.back(flat, params.values[f"layer{n}.input_weight"]))
    return of_inputs[::-1]


def _output(
    params: Parameters, tied: bool, x: Vector, label: int, count: int
) -> tuple[Number, Vector]:
    """Return the loss at a position, and the gradient of the hidden state there."""
    if tied:  # the embedding, transposed
        weight = [list(row) for row in zip(*params.values["embedding.weight"], strict=True)]
    else:
        weight = params.values["output.weight"]
    logits = params.affine("output.bias", (x, weight))
    loss, delta = params.cross_entropy(logits, label, count)
    params.add("output.bias", delta)
    if tied:
        params.add_outer("embedding.weight", delta, x)
    else:
        params.add_outer("output.weight", x, delta)
    return loss, params.back(delta, weight)
