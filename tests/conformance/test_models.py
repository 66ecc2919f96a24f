"""The golden models: the oracle, its bounds, the files, and who passes."""

import copy
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from commands import called, refused
from lookahead_ref.conformance import (
    ModelAnswer,
    ModelCase,
    UnsupportedError,
    judge_model,
    model_cases,
    models,
)
from lookahead_ref.conformance.adapters import loss_and_grads
from lookahead_ref.conformance.bounds import LEVELS, Bounding
from lookahead_ref.conformance.running import run_models
from lookahead_ref.conformance.vectors import decode
from lookahead_ref.conformance.wire import Server, encode

CASES = model_cases()
BOTH = pytest.mark.parametrize("dtype", ["float32", "float64"])
EACH = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
# Its first layer is at the rectifier's kink, where differences give half a slope.
SMOOTH = [case for case in CASES if case.id != "mlp-zero-weights"]


def case_of(identity: str) -> ModelCase:
    return next(case for case in CASES if case.id == identity)


def loss_at(case: ModelCase, toward: dict[str, Any], step: float) -> Any:
    """The loss where each parameter has gone so far in a direction."""
    data: dict[str, Any] = copy.deepcopy(dict(case.data))
    for tensor in data["params"]:
        values = decode(tensor["values"]) + step * toward[tensor["name"]]
        tensor["values"] = encode(values)
    return models.run(data).loss


@pytest.mark.parametrize("case", SMOOTH, ids=[case.id for case in SMOOTH])
def test_the_closed_forms_are_the_slopes_of_the_loss(case: ModelCase) -> None:
    gradients = models.run(case.data).gradients
    size = max(abs(g) for gradient in gradients.values() for g in gradient)
    rng = np.random.default_rng(len(case.id))
    step = 2.0**-40  # exact beside 24 bits; the difference's error is of its square
    for _ in range(3):
        # Whole numbers, none of them 0: an error in any element shows.
        toward = {
            name: rng.integers(1, 9, len(g)) * rng.choice([-1, 1], len(g))
            for name, g in gradients.items()
        }
        expected = sum(
            int(d) * g
            for name, gradient in gradients.items()
            for d, g in zip(toward[name], gradient, strict=True)
        )
        difference = loss_at(case, toward, step) - loss_at(case, toward, -step)
        assert abs(difference / (2 * step) - expected) <= 1e-17 * size


def test_the_slope_of_a_rectifier_at_zero_is_zero() -> None:
    expected = case_of("mlp-zero-weights").expected
    for name in ("weight", "bias"):
        assert (expected[f"gradient layer1.{name}"].values == 0).all()
    assert (expected["gradient layer2.bias"].values != 0).all()


def test_large_logits_overflow_in_float32_unless_the_largest_is_subtracted() -> None:
    case = case_of("mlp-large-logits")
    params, batch = case.params("float32"), case.batch("float32")
    hidden = np.tanh(batch["inputs"] @ params["layer1.weight"] + params["layer1.bias"])
    logits = hidden @ params["layer2.weight"] + params["layer2.bias"]
    with np.errstate(over="ignore"):
        assert np.isinf(np.exp(logits)).any()
    assert np.isfinite(case.expected["loss"].values)


# Who passes.


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@BOTH
@EACH
def test_the_library_s_models_pass(case: ModelCase, dtype: str, backend: str) -> None:
    params, batch = case.params(dtype), case.batch(dtype)
    answer = ModelAnswer(*loss_and_grads(case.model, params, batch, backend=backend))
    assert {np.asarray(each).dtype.name for each in answer.gradients.values()} == {dtype}
    assert len(answer.gradients) + len(answer.carried) + 1 == len(case.expected)
    assert judge_model(case, answer, dtype) == []


@BOTH
@EACH
def test_pytorch_passes(case: ModelCase, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    batch = case.batch(dtype)
    params = {
        name: torch.tensor(array, requires_grad=True)
        for name, array in case.params(dtype).items()
    }
    layers = range(1, case.model["layers"] + 1)
    carried = {}
    if case.model["kind"] == "mlp":
        x = torch.tensor(batch["inputs"])
        for n in layers:
            x = x @ params[f"layer{n}.weight"] + params[f"layer{n}.bias"]
            if n < case.model["layers"]:
                x = torch.tanh(x) if case.model["activation"] == "tanh" else torch.relu(x)
    else:
        x = torch.nn.functional.embedding(
            torch.tensor(batch["inputs"]), params["embedding.weight"]
        )
        weights = []
        for n in layers:
            weights += [
                params[f"layer{n}.{w}_weight"].T.contiguous()
                for w in ("input", "recurrent")
            ]
            weights += [
                params[f"layer{n}.bias"],
                torch.zeros_like(params[f"layer{n}.bias"]),
            ]
        states = [
            torch.stack([torch.tensor(batch["carried"][f"layer{n}.{s}"]) for n in layers])
            for s in ("hidden", "cell")
        ]
        x, *left = torch.lstm(x, states, weights, True, len(layers), 0.0, *[False] * 3)
        for n in layers:
            for s, each in zip(("hidden", "cell"), left, strict=True):
                carried[f"layer{n}.{s}"] = each[n - 1].detach().numpy()
        tied = case.model["tied"]
        x = x @ (params["embedding.weight"].T if tied else params["output.weight"])
        x = x + params["output.bias"]
    labels = torch.tensor(batch["labels"]).reshape(-1)
    loss = torch.nn.functional.cross_entropy(x.reshape(len(labels), -1), labels)
    loss.backward()
    answer = ModelAnswer(
        loss.item(), {name: p.grad.numpy() for name, p in params.items()}, carried
    )
    assert judge_model(case, answer, dtype) == []


# Who does not.


def computed(case: ModelCase, data: Any = None) -> ModelAnswer:
    """What the oracle makes of a case, or of other data of the same shapes."""
    loss, gradients, carried = models.run(data or case.data)

    def shaped(prefix: str, of: Any) -> dict[str, Any]:
        shapes = {name: case.expected[prefix + name].values.shape for name in of}
        return {name: np.array(x, float).reshape(shapes[name]) for name, x in of.items()}

    return ModelAnswer(float(loss), shaped("gradient ", gradients), shaped("", carried))


def with_gates(case: ModelCase, order: Sequence[int]) -> ModelAnswer:
    """What a program makes of the weights that takes the gates for those in this order."""
    data: dict[str, Any] = copy.deepcopy(dict(case.data))
    for tensor in data["params"]:
        if tensor["name"].startswith("layer"):
            columns = tensor["shape"][-1]
            table = np.array(tensor["values"]).reshape(-1, 4, columns // 4)
            tensor["values"] = table[:, order].reshape(-1).tolist()
    return computed(case, data)


def from_zeros(case: ModelCase) -> ModelAnswer:
    data: dict[str, Any] = copy.deepcopy(dict(case.data))
    for tensor in data["batch"]["carried"]:
        tensor["values"] = ["0" * 16] * len(tensor["values"])
    return computed(case, data)


def scaled(factor: float, only: str = "") -> Callable[[ModelCase], ModelAnswer]:
    """Give all that it computes, or one gradient only, times a factor."""

    def answer(case: ModelCase) -> ModelAnswer:
        loss, gradients, carried = computed(case)
        changed = {n: g * (factor if only in ("", n) else 1) for n, g in gradients.items()}
        return ModelAnswer(loss if only else loss * factor, changed, carried)

    return answer


WRONG: dict[str, tuple[str, Callable[[ModelCase], ModelAnswer]]] = {
    "gates-ifog": ("lstm-one-layer", lambda case: with_gates(case, [0, 1, 3, 2])),
    "gates-fiog": ("lstm-one-layer", lambda case: with_gates(case, [1, 0, 2, 3])),
    "carried-is-ignored": ("lstm-carried", from_zeros),
    "layers-share-what-is-carried": ("lstm-carried-two-layers", from_zeros),
    "steps-are-summed": ("lstm-one-layer", scaled(4)),
    "examples-are-summed": ("mlp-tanh", scaled(4)),
    "bits-for-nats": ("mlp-smoke", scaled(1 / np.log(2))),
    # Two biases are added, and both are given this one.
    "bias-twice": ("lstm-smoke", scaled(2, "layer1.bias")),
    "repeated-tokens-overwrite": ("lstm-repeated", scaled(1 / 8, "embedding.weight")),
    "tied-output-gives-no-gradient": ("lstm-tied", scaled(0, "embedding.weight")),
    "overflow": ("mlp-large-logits", scaled(np.nan)),
}


@pytest.mark.parametrize(("identity", "wrong"), WRONG.values(), ids=WRONG)
def test_wrong_programs_fail_by_far(identity: str, wrong: Any) -> None:
    case = case_of(identity)
    assert judge_model(case, computed(case), "float64") == []
    found = judge_model(case, wrong(case), "float32", "gpu")
    assert max(each.distance for each in found) >= 64


def test_a_mismatch_says_where_and_by_how_much() -> None:
    case = case_of("mlp-smoke")
    answer = computed(case)
    answer.gradients["layer1.bias"][1] += 0.5
    (mismatch,) = judge_model(case, answer, "float32")
    assert (mismatch.where, mismatch.element) == ("gradient layer1.bias", 1)
    assert mismatch.got == pytest.approx(mismatch.expected + 0.5)


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({"layer9.bias": np.zeros(3)}, "mlp-smoke has loss, .* got 'gradient layer9.bias'"),
        ({"layer1.bias": np.zeros(4)}, r"gradient layer1.bias must have the shape \(3,\)"),
    ],
)
def test_an_answer_of_another_form_is_refused(
    gradients: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        judge_model(case_of("mlp-smoke"), ModelAnswer(1.0, gradients), "float32")


# Programs.


class Wrong:
    """Has a perceptron that adds the examples up, and breaks down over an LSTM."""

    def model_loss_and_grads(self, model: Any, params: Any, batch: Any) -> Any:
        if model["kind"] == "lstm":
            raise ValueError("no gates here")
        loss, grads, carried = loss_and_grads(model, params, batch, backend="numpy")
        return loss * len(batch["labels"]), grads, carried


def test_a_python_adapter_may_have_models() -> None:
    server = Server(Wrong)  # type: ignore[arg-type]
    some = [case_of("mlp-one-example"), case_of("mlp-smoke")]
    passed, failed = run_models(server.answer, some, dtypes=["float64"])
    assert (passed.status, failed.status) == ("passed", "failed")
    assert [each.where for each in failed.mismatches] == ["loss"]


def test_an_adapter_without_models_does_not_offer_them() -> None:
    def ask(request: Any) -> Any:
        raise UnsupportedError(Server(object).answer(request)["unsupported"])  # type: ignore[arg-type]

    (result,) = run_models(ask, CASES[:1], dtypes=["float32"])
    assert (result.status, result.reason) == ("unsupported", "it has no models")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"loss": None}, "loss must hold bit strings of 16 .* got 'null'"),
        ({"loss": 0.5}, "loss must hold bit strings"),
        ({"gradients": []}, "gradients must be a list of 4 tensors"),
        ({"gradients": None}, "gradients must be a list of 4 tensors"),
        ({"gradients": [[]] * 4}, "layer1.weight must be a list of 6 bit strings"),
        ({"carried": [[]]}, "carried must be a list of 0 tensors"),
    ],
)
def test_an_impossible_answer_fails(changed: dict[str, Any], message: str) -> None:
    case = case_of("mlp-smoke")

    def ask(request: Any) -> Any:
        return {**Server(Wrong).do_model(request), **changed}

    (result,) = run_models(ask, [case], dtypes=["float32"])
    assert result.status == "error"
    assert re.search(message, result.reason)


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({"layer1.weight": np.zeros((2, 3))}, "gradients must be a dict with the tensors"),
        (dict.fromkeys(case_of("mlp-smoke").params("float32"), np.zeros(1)), "the shape"),
    ],
)
def test_answers_of_an_adapter_are_checked(gradients: Any, message: str) -> None:
    class Adapter:
        def model_loss_and_grads(self, model: Any, params: Any, batch: Any) -> Any:
            return 1.0, gradients, {}

    answered = Server(Adapter).answer(  # type: ignore[arg-type]
        {"do": "model", "dtype": "float32", "case": dict(case_of("mlp-smoke").data)}
    )
    assert message in answered["error"]


PROGRAM = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "hello":
        answer = {"version": 1, "name": "softmax"}
    elif request["do"] == "stop":
        break
    elif request["case"]["model"]["kind"] == "lstm":
        answer = {"unsupported": "LSTM"}
    elif request["case"]["id"] == "mlp-one-class":  # dies
        sys.exit(3)
    else:
        sizes = [len(p["values"]) for p in request["case"]["params"]]
        zero = "0" * 16
        answer = {"loss": zero, "gradients": [[zero] * size for size in sizes]}
    print(json.dumps(answer), flush=True)
"""


def test_the_command_reports_passes_and_failures(tmp_path: Path) -> None:
    good = called("golden", "models", "pure", "--profile", "model:lstm")
    assert good.exit_code == 0
    assert "model:lstm: 22 passed" in good.stdout
    assert "model:mlp" not in good.stdout

    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = shlex.join([sys.executable, str(program)])
    found = called("golden", "models", "--command", command, "--level", "gpu")
    assert found.exit_code == 3
    assert "model:mlp: 20 failed, 2 errors" in found.stdout
    assert "model:lstm: 22 not offered" in found.stdout
    assert "mlp-smoke in float32: loss is 0, expected 2.83" in found.stdout
    assert "mlp-smoke in float64: gradient layer1.bias[1] is 0, expected " in found.stdout
    assert "mlp-one-class in float64: ended with exit status 3" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "one of TARGET, --command"),
        (("nothing",), 2, "target must be pure"),
        (("pure", "--profile", "mlp"), 2, "one of 'model:mlp', 'model:lstm', got"),
        (("--command", "/no/such/program"), 3, "cannot be started"),
    ],
)
def test_a_wrong_command_is_reported(
    arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = called("golden", "models", *arguments)
    assert result.stdout == ""
    refused(result, message, code)


# The bounds.

singles = st.floats(-1e3, 1e3, width=32)


@given(st.lists(singles, min_size=1, max_size=20), st.randoms())
def test_a_sum_in_any_order_is_within_its_bound(terms: list[float], random: Any) -> None:
    arithmetic = Bounding("float32", "strict")
    bound = arithmetic.total([arithmetic.number(x) for x in terms])
    random.shuffle(terms)
    total = np.float32(0)
    for term in terms:
        total += np.float32(term)
    assert abs(float(total) - bound.middle) <= bound.radius


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid"])
@given(x=st.floats(-60, 60, width=32), off=st.floats(-1e-3, 1e-3))
@example(x=0.0, off=-(2.0**-24))
def test_a_function_of_a_number_that_is_off_is_within_its_bound(
    name: str, x: float, off: float
) -> None:
    if name == "log":
        x = abs(x) + 1
    wrong = np.float32(x + off)
    functions = {
        "exp": np.exp,
        "log": np.log,
        "tanh": np.tanh,
        "sigmoid": lambda x: np.float32(1) / (np.float32(1) + np.exp(-x)),
    }
    for level in LEVELS:
        arithmetic = Bounding("float32", level)
        given_ = arithmetic.number(x)
        given_.radius = abs(float(wrong) - x)
        bound = getattr(arithmetic, name)(given_)
        assert abs(float(functions[name](wrong)) - bound.middle) <= bound.radius


def test_the_tolerances_of_float32_are_a_small_share_of_what_is_expected() -> None:
    for case in CASES:
        # Logits of some hundred know their last digits only, and so the shares.
        share = 5e-3 if case.id == "mlp-large-logits" else 2e-4
        for name, expected in case.expected.items():
            size = max(np.abs(expected.values).max(), 1)
            assert (expected.tolerance["float32", "gpu"] <= share * size).all(), name


def test_a_rectifier_of_a_number_with_an_uncertain_sign_is_refused() -> None:
    arithmetic = Bounding("float32", "strict")
    small = arithmetic.number(1e-9)
    small.radius = 1e-8
    with pytest.raises(ValueError, match="the sign of a number is uncertain"):
        arithmetic.positive(small)
