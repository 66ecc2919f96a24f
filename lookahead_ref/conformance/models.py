"""Golden models: loss and gradients of small networks, to the last digit that can be asked.

An optimizer can be right and its model wrong. The cases here give weights and a batch, and
what loss, gradients and carried state must come of them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.conformance import wire
from lookahead_ref.conformance.judging import Mismatch, distances
from lookahead_ref.conformance.protocol import TargetError, UnsupportedError
from lookahead_ref.conformance.vectors import (
    MODELS,
    AnyCase,
    Expected,
    check_profile,
    decode,
    read_files,
)

__all__ = [
    "ModelAdapter",
    "ModelAnswer",
    "ModelCase",
    "ModelResult",
    "answer",
    "judge_model",
    "model_cases",
    "report_lines",
    "run_models",
]

Arrays = Mapping[str, NDArray[Any]]
Message = Mapping[str, Any]


class ModelCase(AnyCase):
    """A model with weights and a batch, and what comes of them.

    Parameters
    ----------
    data : dict
        The case as the file holds it.

    Examples
    --------
    >>> case = model_cases("model:lstm")[0]
    >>> case.id, case.model["kind"], list(case.params("float32"))[:2]
    ('lstm-smoke', 'lstm', ['embedding.weight', 'layer1.input_weight'])
    """

    @property
    def model(self) -> Mapping[str, Any]:
        """``kind``, ``layers``, and ``activation`` or ``tied``."""
        model: Mapping[str, Any] = self.data["model"]
        return model

    def params(self, dtype: str) -> dict[str, NDArray[Any]]:
        """Make the parameters: name, such as ``layer1.weight``, to a new array."""
        return {p["name"]: _array(p, dtype) for p in self.data["params"]}

    def batch(self, dtype: str) -> dict[str, Any]:
        """Make the batch: ``inputs`` and ``labels``; for an LSTM ``carried``, too."""
        batch = self.data["batch"]
        labels = np.array(batch["labels"], np.int64)
        if self.model["kind"] == "mlp":
            return {"inputs": _array(batch["inputs"], dtype), "labels": labels}
        return {
            "inputs": np.array(batch["inputs"], np.int64),
            "labels": labels,
            "carried": {p["name"]: _array(p, dtype) for p in batch["carried"]},
        }

    @property
    def expected(self) -> dict[str, Expected]:
        """Quantities by name: ``loss``, ``gradient layer1.bias``, ``layer1.cell``, ..."""
        expected = self.data["expected"]
        tensors = [*self.data["params"], *self.data["batch"].get("carried", [])]
        shapes = {tensor["name"]: tensor["shape"] for tensor in tensors}

        def named(of: str, prefix: str = "") -> dict[str, Expected]:
            return {
                f"{prefix}{each['name']}": _expected(each, shapes[each["name"]])
                for each in expected[of]
            }

        loss = {"loss": _expected(expected["loss"], ())}
        return loss | named("gradients", "gradient ") | named("carried")


def _array(tensor: Mapping[str, Any], dtype: str) -> NDArray[Any]:
    return decode(tensor["values"]).astype(dtype).reshape(tensor["shape"])


def _expected(quantity: Mapping[str, Any], shape: Any) -> Expected:
    return Expected(
        decode(quantity["expected"]).reshape(shape),
        {
            (dtype, level): np.array(values).reshape(shape)
            for dtype, levels in quantity["tolerance"].items()
            for level, values in levels.items()
        },
    )


def model_cases(
    profile: str | None = None, *, folder: Traversable | None = None
) -> list[ModelCase]:
    """List the golden models, to parametrize a test with.

    Parameters
    ----------
    profile : {"model:mlp", "model:lstm"}, optional
        The profile to list; both if not given.
    folder : path, optional
        The folder of the files; that of this package if not given.

    Returns
    -------
    list of ModelCase
        The cases. Pytest names a test after their ids.

    Raises
    ------
    ValueError
        If there is no such profile.
    VectorFileError
        If a file is missing, of a later version, truncated or edited; the message names it.

    Examples
    --------
    >>> [case.id for case in model_cases("model:mlp")][:3]
    ['mlp-smoke', 'mlp-tanh', 'mlp-tanh-deep']
    """
    if folder is None:
        folder = files(__package__).joinpath("vectors", "models")
    index, found = read_files(folder, MODELS)
    check_profile(profile, index)
    cases = [ModelCase(each) for each in found]
    return [case for case in cases if profile in (None, case.profile)]


class ModelAnswer(NamedTuple):
    """What a model makes of a golden case."""

    loss: Any
    """A number."""
    gradients: Arrays
    """Array by the parameter's name; those that are not there are not compared."""
    carried: Arrays = MappingProxyType({})
    """Array by name, such as ``layer1.cell``; likewise."""


def judge_model(
    case: ModelCase, answer: ModelAnswer, dtype: str, level: str = "strict"
) -> list[Mismatch]:
    """Compare an answer with a golden case.

    Parameters
    ----------
    case : ModelCase
        The case.
    answer : ModelAnswer
        What the model computed from `ModelCase.params` and `ModelCase.batch`.
    dtype : {"float32", "float64"}
        The precision that it worked in.
    level : {"strict", "gpu"}
        The tolerances.

    Returns
    -------
    list of Mismatch
        Of each quantity that fails, the element that is farthest off.

    Raises
    ------
    ValueError
        If an array has a name or shape that the case does not have.

    Examples
    --------
    >>> case = model_cases("model:mlp")[0]
    >>> right = ModelAnswer(case.expected["loss"].values, {})
    >>> judge_model(case, right, "float64")
    []
    """
    answered = {
        "loss": answer.loss,
        **{f"gradient {name}": array for name, array in answer.gradients.items()},
        **answer.carried,
    }
    known = case.expected
    found = []
    for name, array in answered.items():
        if name not in known:
            raise ValueError(f"{case.id} has {', '.join(known)}; got {name!r}")
        got, expected = np.asarray(array, np.float64), known[name].values
        if got.shape != expected.shape:
            raise ValueError(
                f"{name} must have the shape {expected.shape}, got {got.shape}"
            )
        apart = distances(got, expected, known[name].tolerance[dtype, level])
        element = int(np.argmax(apart))
        values = [float(each.reshape(-1)[element]) for each in (expected, got, apart)]
        if values[-1] > 1.0:
            found.append(Mismatch(name, 1, element, *values))
    return found


class ModelAdapter(Protocol):
    """What a Python adapter offers besides `Adapter`'s methods, if it has models."""

    def model_loss_and_grads(
        self, model: Mapping[str, Any], params: Arrays, batch: Mapping[str, Any]
    ) -> tuple[Any, Arrays, Arrays]:
        """Compute loss and gradients of a batch.

        Parameters
        ----------
        model : dict
            ``kind``, ``"mlp"`` or ``"lstm"``; ``layers``; ``activation`` of a perceptron,
            ``tied`` of an LSTM.
        params : dict
            Name, such as ``layer1.weight``, to an array of the precision to work in.
        batch : dict
            ``inputs`` and ``labels``; of an LSTM ``carried`` too.

        Returns
        -------
        loss : number
            The mean cross entropy in nats.
        gradients : dict
            Array by the parameter's name.
        carried : dict
            Array by its name in ``batch["carried"]``; empty for a perceptron.
        """


@dataclass(frozen=True)
class ModelResult:
    """What became of a case in one precision."""

    case: ModelCase
    dtype: str
    status: Literal["passed", "departed", "failed", "unsupported"]
    mismatches: tuple[Mismatch, ...] = ()
    reason: str = ""
    """Why it failed or is not offered."""


def run_models(
    ask: wire.Ask,
    cases: Iterable[ModelCase],
    *,
    dtypes: Sequence[str] = ("float32", "float64"),
    level: str = "strict",
) -> list[ModelResult]:
    """Take a program through golden models.

    Parameters
    ----------
    ask : callable
        Sends a request to the program and returns its answer, such as
        `lookahead_ref.conformance.running.Program.ask`.
    cases : iterable of ModelCase
        The cases.
    dtypes : sequence of str
        The precisions.
    level : {"strict", "gpu"}
        The tolerances.

    Returns
    -------
    list of ModelResult
        One for each case and precision, in their order.
    """
    return [
        _judged(ask, case, dtype, level)
        for case in cases
        for dtype in dtypes
        if dtype in case.dtypes
    ]


def _judged(ask: wire.Ask, case: ModelCase, dtype: str, level: str) -> ModelResult:
    try:
        mismatches = judge_model(case, _observed(ask, case, dtype), dtype, level)
    except UnsupportedError as error:
        return ModelResult(case, dtype, "unsupported", reason=str(error))
    except TargetError as error:
        return ModelResult(case, dtype, "failed", reason=str(error))
    status: Literal["passed", "departed"] = "departed" if mismatches else "passed"
    return ModelResult(case, dtype, status, tuple(mismatches))


def _observed(ask: wire.Ask, case: ModelCase, dtype: str) -> ModelAnswer:
    """Ask a program for loss and gradients of a case, and check what it says."""
    data = case.data
    asked = {name: data[name] for name in ("id", "model", "params", "batch")}
    said = ask({"do": "model", "dtype": dtype, "case": asked})
    (loss,) = decode(wire.elements("loss", [said.get("loss")], 1))
    # Only what a program hands on itself can be left out.
    carried = data["batch"].get("carried", []) if "carried" in said else []
    return ModelAnswer(
        float(loss),
        wire.tensors("gradients", said.get("gradients"), data["params"]),
        wire.tensors("carried", said.get("carried", []), carried),
    )


def answer(make: Callable[[], Any], request: Message) -> dict[str, Any]:
    """Answer a program's request for a model from a Python adapter, as bit strings."""
    compute = getattr(make(), "model_loss_and_grads", None)
    if compute is None:
        raise UnsupportedError("it has no models")
    case, dtype = ModelCase(request["case"]), request["dtype"]
    loss, gradients, carried = compute(case.model, case.params(dtype), case.batch(dtype))
    return {
        "loss": wire.encode(loss)[0],
        "gradients": _encoded("gradients", gradients, case.data["params"]),
        "carried": _encoded("carried", carried, case.data["batch"].get("carried", [])),
    }


def _encoded(what: str, arrays: Any, tensors: Sequence[Message]) -> list[list[str]]:
    names = [tensor["name"] for tensor in tensors]
    if set(arrays) != set(names):
        raise TargetError(f"{what} must have the tensors {names}, got {list(arrays)}")
    for tensor in tensors:
        shape = np.shape(arrays[tensor["name"]])
        if list(shape) != tensor["shape"]:
            wanted = tuple(tensor["shape"])
            raise TargetError(
                f"{what}: {tensor['name']} must have the shape {wanted}, got {shape}"
            )
    return [wire.encode(np.asarray(arrays[name], np.float64)) for name in names]


def report_lines(name: str, results: Sequence[ModelResult]) -> Iterator[str]:
    """Say how many cases passed by profile, and what failed."""
    counts: dict[str, Counter[str]] = {}
    for result in results:
        status = "not offered" if result.status == "unsupported" else result.status
        counts.setdefault(result.case.profile, Counter())[status] += 1
    yield f"{name}:"
    for profile, found in counts.items():
        said = ", ".join(f"{count} {status}" for status, count in found.items())
        yield f"  {profile}: {said}"
    for result in results:
        told = [_line(result.case, each) for each in result.mismatches]
        if result.status == "failed":
            told.append(result.reason)
        for each in told:
            yield f"{result.case.id} in {result.dtype}: {each}"


def _line(case: ModelCase, mismatch: Mismatch) -> str:
    shape = case.expected[mismatch.where].values.shape
    place = np.unravel_index(mismatch.element, shape)
    at = f"[{', '.join(map(str, place))}]" if shape else ""
    return (
        f"{mismatch.where}{at} is {mismatch.got:.9g}, expected {mismatch.expected:.9g}: "
        f"{mismatch.distance:.3g} tolerances off"
    )
