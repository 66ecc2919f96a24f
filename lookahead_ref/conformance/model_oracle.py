"""A perceptron and an LSTM in 50-digit arithmetic, with their gradients in closed form.

Where the expected values of the golden models come from. This file shares no code with
the library; it is meant to be read beside the page of the golden models
(``docs/conformance/models.md``) and to be right by inspection. That the closed forms are
the gradients of the loss is tested by central differences.

It reads a case as the files hold it. A vector is a list of numbers, a matrix the list of
its elements row by row. The arithmetic is a parameter, as in
`lookahead_ref.conformance.oracle`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from lookahead_ref.conformance.oracle import Number, context, value

Vector: TypeAlias = list[Number]


class ModelArithmetic(Protocol):
    """The numbers to compute with: they know ``+ - * /``."""

    def number(self, value: float) -> Number:
        """Make a number of the value that a tensor holds."""

    def total(self, terms: Sequence[Number]) -> Number:
        """Add numbers, in an order that nobody knows."""

    def largest(self, values: Sequence[Number]) -> Number:
        """Return the largest number."""

    def exp(self, value: Number) -> Number:
        """Take the exponential."""

    def log(self, value: Number) -> Number:
        """Take the natural logarithm."""

    def tanh(self, value: Number) -> Number:
        """Take the hyperbolic tangent."""

    def sigmoid(self, value: Number) -> Number:
        """1 / (1 + exp(-x))."""

    def positive(self, value: Number) -> bool:
        """Whether a number is above zero."""


class ModelExact:
    """Numbers of 50 digits."""

    number, total = staticmethod(context.mpf), staticmethod(context.fsum)
    exp, log = staticmethod(context.exp), staticmethod(context.log)
    tanh = staticmethod(context.tanh)

    def largest(self, values: Sequence[Number]) -> Number:
        """Return the largest number."""
        return max(values)

    def sigmoid(self, value: Number) -> Number:
        """1 / (1 + exp(-x))."""
        return 1 / (1 + self.exp(-value))

    def positive(self, value: Number) -> bool:
        """Whether a number is above zero."""
        return bool(value > 0)


class LossAndGradients(NamedTuple):
    """What a case computes."""

    loss: Number  # mean cross entropy, in nats
    gradients: dict[str, Vector]  # by parameter
    carried: dict[str, Vector]  # what an LSTM hands on; empty for a perceptron


def run(
    case: Mapping[str, Any], arithmetic: ModelArithmetic | None = None
) -> LossAndGradients:
    """Compute a case; in 50 digits, if nothing else is said."""
    model = _Perceptron if case["model"]["kind"] == "mlp" else _Lstm
    return model(case, arithmetic or ModelExact()).run()


class _Layers:
    """What both models are made of."""

    def __init__(self, case: Mapping[str, Any], arithmetic: ModelArithmetic) -> None:
        self.case = case
        self.params = {
            p["name"]: [arithmetic.number(value(bits)) for bits in p["values"]]
            for p in case["params"]
        }
        self.shapes = {p["name"]: p["shape"] for p in case["params"]}
        self.arithmetic = arithmetic
        self.total = arithmetic.total
        # A gradient is a sum over examples or places in a text; these are its terms.
        self.terms: dict[str, list[list[Number]]] = {
            name: [[] for _ in values] for name, values in self.params.items()
        }

    def read(self, tensor: Mapping[str, Any]) -> list[Vector]:
        """Read a matrix as its rows."""
        rows, columns = tensor["shape"]
        numbers = [self.arithmetic.number(value(bits)) for bits in tensor["values"]]
        return [numbers[i * columns : (i + 1) * columns] for i in range(rows)]

    def column(self, weight: Vector, j: int, inputs: int) -> Vector:
        """Return column j of a matrix with that many rows."""
        outputs = len(weight) // inputs
        return [weight[i * outputs + j] for i in range(inputs)]

    def products(self, x: Vector, weight: Vector, j: int) -> list[Number]:
        """Return the terms of element j of x @ weight."""
        column = self.column(weight, j, len(x))
        return [a * w for a, w in zip(x, column, strict=True)]

    def back(self, delta: Vector, weight: Vector) -> Vector:
        """Delta @ weight.T."""
        outputs = len(delta)
        return [
            self.total([d * w for d, w in zip(delta, weight[i : i + outputs], strict=True)])
            for i in range(0, len(weight), outputs)
        ]

    def add_outer(self, name: str, x: Vector, delta: Vector) -> None:
        """Add the outer product of x and delta to the gradient of a matrix."""
        for i, a in enumerate(x):
            for j, d in enumerate(delta):
                self.terms[name][i * len(delta) + j].append(a * d)

    def add(self, name: str, delta: Vector) -> None:
        """Add a vector to the gradient of a bias."""
        for terms, d in zip(self.terms[name], delta, strict=True):
            terms.append(d)

    def cross_entropy(
        self, logits: Vector, label: int, count: int
    ) -> tuple[Number, Vector]:
        """Return the loss of one row, and the gradient of the mean over `count` rows."""
        # Changes neither, and keeps an exponential from overflowing.
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
            name: [self.total(terms) for terms in each] for name, each in self.terms.items()
        }
        return LossAndGradients(self.total(losses) / len(losses), gradients, carried)


class _Perceptron(_Layers):
    """activation(x @ weight + bias), layer after layer; the last one without it."""

    def run(self) -> LossAndGradients:
        labels = self.case["batch"]["labels"]
        layers = self.case["model"]["layers"]
        losses = []
        for x, label in zip(self.read(self.case["batch"]["inputs"]), labels, strict=True):
            reached = [x]
            for n in range(1, layers + 1):
                weight = self.params[f"layer{n}.weight"]
                bias = self.params[f"layer{n}.bias"]
                y = [
                    self.total([*self.products(reached[-1], weight, j), b])
                    for j, b in enumerate(bias)
                ]
                reached.append(y if n == layers else [self.activate(each) for each in y])
            loss, delta = self.cross_entropy(reached[-1], label, len(labels))
            losses.append(loss)
            for n in range(layers, 0, -1):
                self.add_outer(f"layer{n}.weight", reached[n - 1], delta)
                self.add(f"layer{n}.bias", delta)
                if n > 1:
                    delta = self.back(delta, self.params[f"layer{n}.weight"])
                    delta = [
                        d * self.slope(a)
                        for d, a in zip(delta, reached[n - 1], strict=True)
                    ]
        return self.result(losses, {})

    def activate(self, x: Number) -> Number:
        if self.case["model"]["activation"] == "tanh":
            return self.arithmetic.tanh(x)
        return x if self.arithmetic.positive(x) else self.arithmetic.number(0.0)

    def slope(self, a: Number) -> Number:
        """Return the activation's derivative from its value; the rectifier's is 0 at 0."""
        if self.case["model"]["activation"] == "tanh":
            return 1 - a * a
        return self.arithmetic.number(1.0 if self.arithmetic.positive(a) else 0.0)


class _Step(NamedTuple):
    """A step of a layer of long short-term memory, as the way back needs it."""

    x: Vector
    hidden_before: Vector
    cell_before: Vector
    gates: list[Vector]  # input, forget, candidate, output
    squashed: Vector  # tanh of the new cells


class _Lstm(_Layers):
    """Embedding, layers of long short-term memory, softmax; one column after another."""

    def run(self) -> LossAndGradients:
        batch = self.case["batch"]
        steps, columns = len(batch["inputs"]), len(batch["inputs"][0])
        carried = {p["name"]: self.read(p) for p in batch["carried"]}
        left: dict[str, Vector] = {name: [] for name in carried}
        losses = []
        for column in range(columns):
            tokens = [row[column] for row in batch["inputs"]]
            labels = [row[column] for row in batch["labels"]]
            before = {name: rows[column] for name, rows in carried.items()}
            some, after = self.read_text(tokens, labels, before, steps * columns)
            losses += some
            for name, state in after.items():
                left[name] += state
        return self.result(losses, left)

    def read_text(
        self, tokens: list[int], labels: list[int], before: dict[str, Vector], count: int
    ) -> tuple[list[Number], dict[str, Vector]]:
        """Read a column, and add its part to the gradients."""
        layers = self.case["model"]["layers"]
        width = self.shapes["embedding.weight"][1]
        table = self.params["embedding.weight"]
        xs = [table[token * width : (token + 1) * width] for token in tokens]
        after: dict[str, Vector] = {}
        passes = []
        for n in range(1, layers + 1):
            hidden, cell = before[f"layer{n}.hidden"], before[f"layer{n}.cell"]
            made, outputs = [], []
            for x in xs:
                step, hidden, cell = self.forward(n, x, hidden, cell)
                made.append(step)
                outputs.append(hidden)
            after[f"layer{n}.hidden"], after[f"layer{n}.cell"] = hidden, cell
            passes.append(made)
            xs = outputs

        losses = []
        deltas = []
        for x, label in zip(xs, labels, strict=True):
            loss, delta = self.output(x, label, count)
            losses.append(loss)
            deltas.append(delta)
        for n in range(layers, 0, -1):
            deltas = self.backward(n, passes[n - 1], deltas)
        for token, delta in zip(tokens, deltas, strict=True):
            for i, d in enumerate(delta):
                self.terms["embedding.weight"][token * width + i].append(d)
        return losses, after

    def forward(
        self, n: int, x: Vector, hidden: Vector, cell: Vector
    ) -> tuple[_Step, Vector, Vector]:
        """Do a step: c <- f c + i g, h <- o tanh(c)."""
        units = len(hidden)
        inputs, recurrent, bias = (
            self.params[f"layer{n}.{name}"]
            for name in ("input_weight", "recurrent_weight", "bias")
        )
        sums = [
            self.total(
                [*self.products(x, inputs, j), *self.products(hidden, recurrent, j), b]
            )
            for j, b in enumerate(bias)
        ]
        sigmoid, tanh = self.arithmetic.sigmoid, self.arithmetic.tanh
        i, f, g, o = (
            [squash(s) for s in sums[gate * units : (gate + 1) * units]]
            for gate, squash in enumerate((sigmoid, sigmoid, tanh, sigmoid))
        )
        new = [f[u] * cell[u] + i[u] * g[u] for u in range(units)]
        squashed = [tanh(c) for c in new]
        out = [o[u] * squashed[u] for u in range(units)]
        return _Step(x, hidden, cell, [i, f, g, o], squashed), out, new

    def backward(self, n: int, made: list[_Step], deltas: list[Vector]) -> list[Vector]:
        """Go back through time: from the outputs' gradients to the inputs'."""
        zero = self.arithmetic.number(0.0)
        units = len(made[0].hidden_before)
        later_hidden, later_cell = [zero] * units, [zero] * units
        of_inputs: list[Vector] = []
        for step, delta in zip(reversed(made), reversed(deltas), strict=True):
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
            self.add_outer(f"layer{n}.input_weight", step.x, flat)
            self.add_outer(f"layer{n}.recurrent_weight", step.hidden_before, flat)
            self.add(f"layer{n}.bias", flat)
            later_hidden = self.back(flat, self.params[f"layer{n}.recurrent_weight"])
            of_inputs.append(self.back(flat, self.params[f"layer{n}.input_weight"]))
        return of_inputs[::-1]

    def output(self, x: Vector, label: int, count: int) -> tuple[Number, Vector]:
        """Return the loss of a place in the text, and the gradient of what led to it."""
        bias = self.params["output.bias"]
        tied = self.case["model"]["tied"]
        weight = self.params["embedding.weight" if tied else "output.weight"]
        if tied:  # the embedding, transposed
            weight = [
                weight[v * len(x) + i] for i in range(len(x)) for v in range(len(bias))
            ]
        logits = [self.total([*self.products(x, weight, j), b]) for j, b in enumerate(bias)]
        loss, delta = self.cross_entropy(logits, label, count)
        self.add("output.bias", delta)
        if tied:
            self.add_outer("embedding.weight", delta, x)
        else:
            self.add_outer("output.weight", x, delta)
        return loss, self.back(delta, weight)
