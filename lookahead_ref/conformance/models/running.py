"""Take a program through the golden models."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.conformance import wire
from lookahead_ref.conformance.models.judging import Departure, ModelAnswer, judge_model
from lookahead_ref.conformance.models.vectors import ModelCase
from lookahead_ref.conformance.protocol import TargetError, UnsupportedError
from lookahead_ref.conformance.vectors import decode

__all__ = ["ModelAdapter", "ModelResult", "answer", "observe_model", "run_models"]

Arrays = Mapping[str, NDArray[Any]]
Message = Mapping[str, Any]


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
    departures: tuple[Departure, ...] = ()
    reason: str = ""
    """Why it failed or is not offered."""


def run_models(
    ask: Callable[[Message], Mapping[str, Any]],
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
        if dtype in case.data["dtypes"]
    ]


def _judged(
    ask: Callable[[Message], Mapping[str, Any]], case: ModelCase, dtype: str, level: str
) -> ModelResult:
    try:
        departures = judge_model(case, observe_model(ask, case, dtype), dtype, level)
    except UnsupportedError as error:
        return ModelResult(case, dtype, "unsupported", reason=str(error))
    except TargetError as error:
        return ModelResult(case, dtype, "failed", reason=str(error))
    status: Literal["passed", "departed"] = "departed" if departures else "passed"
    return ModelResult(case, dtype, status, tuple(departures))


def observe_model(
    ask: Callable[[Message], Mapping[str, Any]], case: ModelCase, dtype: str
) -> ModelAnswer:
    """Ask a program for loss and gradients of a case.

    Parameters
    ----------
    ask : callable
        As for `run_models`.
    case : ModelCase
        The case.
    dtype : {"float32", "float64"}
        The precision.

    Returns
    -------
    ModelAnswer
        All that it showed.

    Raises
    ------
    UnsupportedError
        If it does not offer the model.
    TargetError
        If it fails, or answers what cannot be an answer.
    """
    data = case.data
    asked = {name: data[name] for name in ("id", "model", "params", "batch")}
    said = ask({"do": "model", "dtype": dtype, "case": asked})
    (loss,) = decode(wire.elements("loss", [said.get("loss")], 1))
    carried = data["batch"].get("carried", [])
    # Only what a program hands on itself can be left out.
    shown = carried if "carried" in said else []
    return ModelAnswer(
        float(loss),
        _tensors("gradients", said.get("gradients"), data["params"]),
        _tensors("carried", said.get("carried", []), shown),
    )


def answer(make: Callable[[], Any], request: Message) -> dict[str, Any]:
    """Answer a request for a model from a Python adapter.

    Parameters
    ----------
    make : callable
        Makes the adapter.
    request : dict
        What `observe_model` asked.

    Returns
    -------
    dict
        ``loss``, ``gradients`` and ``carried``, as bit strings.

    Raises
    ------
    UnsupportedError
        If the adapter has no models.
    TargetError
        If it returned other names or shapes.
    """
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


def _tensors(what: str, value: Any, tensors: Sequence[Message]) -> dict[str, Any]:
    if not isinstance(value, list) or len(value) != len(tensors):
        raise TargetError(
            f"{what} must be a list of {len(tensors)} tensors, got {wire.shown(value)}"
        )
    return {
        tensor["name"]: decode(
            wire.elements(f"{what}: {tensor['name']}", values, prod(tensor["shape"]))
        ).reshape(tensor["shape"])
        for tensor, values in zip(tensors, value, strict=True)
    }
