"""When training goes wrong: what is not finite, and weights that diverge."""

import dataclasses
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import lookahead_ref as la
from lookahead_ref import training
from lookahead_ref.data import BatchStream, Dataset, Examples
from lookahead_ref.training import NonFiniteLossError, train
from lookahead_ref.zoo.losses import Evaluation
from toys import Normalised, clouds

DATA = clouds()
OPTIMIZER = la.Lookahead(la.Adam(learning_rate=0.05), k=3, alpha=0.5)
SETTINGS: dict[str, Any] = {"seed": 3, "epochs": 3, "batch_size": 8}


def trained(
    data: Any = DATA, model: Any = None, optimizer: Any = OPTIMIZER, **options: Any
) -> Any:
    return train(model or Normalised(), data, optimizer, **SETTINGS, **options)


class Altered(Normalised):
    """Its loss is a function of what it was, and of the weight."""

    def __init__(self, alter: Callable[[Any, Any], Any]) -> None:
        self._alter = alter

    def loss(self, params: Any, *given: Any) -> Any:
        loss, carried = super().loss(params, *given)
        return self._alter(loss, params["weight"]), carried


def broken_at(*numbers: int, by: float = np.nan) -> Any:
    """Data whose batches of these numbers, counted over all epochs, hold one bad input."""

    class Broken(Dataset):
        def stream(self, batch_size: int, seed: Any) -> "BrokenStream":
            return BrokenStream(self.train, batch_size, seed)

    class BrokenStream(BatchStream):
        number = 0

        def epoch(self) -> Any:
            for batch in super().epoch():
                if self.number in numbers:
                    batch.inputs[0, 1] = by
                self.number += 1
                yield batch

        def state_dict(self) -> dict[str, Any]:
            return super().state_dict() | {"number": self.number}

        def load_state_dict(self, saved: Any) -> None:
            super().load_state_dict(saved)
            self.number = saved["number"]

    return Broken(*DATA)


CHECKED = pytest.mark.parametrize("check_every", [1, 2, 4, 50])

# An input that is this large makes a gradient of 1e24, whose square no float32 holds.
LARGE = 1e25
SLOT = "inner/slots/second_moment/weight"


@CHECKED
@pytest.mark.parametrize(
    ("by", "of", "where", "message"),
    [
        (np.nan, "batch", "weight", "the loss of the batch is nan at step 8, in epoch 2,"),
        (LARGE, "state", SLOT, f"'{SLOT}' of the optimizer's state is not finite at step"),
    ],
)
def test_a_value_that_is_not_finite_stops_the_run_and_names_the_parameter(
    by: float, of: str, where: str, message: str, check_every: int
) -> None:
    events: list[Any] = []
    with pytest.raises(NonFiniteLossError, match=message) as caught:
        trained(broken_at(8, by=by), check_every=check_every, callbacks=[events.append])
    error = caught.value
    assert (error.of, error.step, error.epoch, error.parameter) == (of, 8, 2, where)
    assert error.inputs_are_finite == (by == LARGE)
    assert [e.step for e in events if isinstance(e, training.StepTaken)] == list(range(8))
    assert isinstance(events[-1], training.RunEnded)
    assert events[-1].error == str(error)


@CHECKED
@pytest.mark.parametrize(("by", "where"), [(np.nan, "weight"), (LARGE, SLOT)])
@pytest.mark.parametrize("bad", [(), (0,), (4, 5, 6), (8, 14)])
def test_it_is_the_loop_written_out_by_hand_but_for_skipped_batches(
    check_every: int, bad: tuple[int, ...], by: float, where: str
) -> None:
    model = Normalised()
    init_seed, batch_seed, noise_seed = np.random.SeedSequence(3).spawn(3)
    params = model.init(init_seed)
    state = OPTIMIZER.init(params)
    carried, rng = model.start(8), np.random.Generator(np.random.PCG64(noise_seed))
    value_and_grad = la.value_and_grad(model.loss, has_aux=True)
    stream = DATA.stream(8, batch_seed)
    number = 0
    for _ in range(3):
        for batch in stream.epoch():
            (_, after), grads = value_and_grad(params, batch, carried, rng)
            if number not in bad:
                carried = after
                # k counts the updates that were made.
                params, state = OPTIMIZER.step(params, grads, state)
            number += 1

    events: list[Any] = []
    options: dict[str, Any] = {"check_every": check_every, "callbacks": [events.append]}
    result = trained(broken_at(*bad, by=by), on_nonfinite="skip", **options)
    phi = OPTIMIZER.evaluation_params(params, state)
    np.testing.assert_array_equal(result.params["weight"], phi["weight"])
    assert (result.steps, result.skipped) == (15 - len(bad), len(bad))
    evaluate, last = model.evaluator(phi, DATA.train), result.history[-1]
    assert last.train_loss == evaluate(DATA.train).loss
    assert last.validation_loss == evaluate(DATA.validation).loss
    assert last.skipped == len(bad)
    skipped = [event for event in events if isinstance(event, training.StepSkipped)]
    assert [event.parameter for event in skipped] == [where] * len(bad)
    taken = [event.step for event in events if isinstance(event, training.StepTaken)]
    assert taken == list(range(15 - len(bad)))


def test_a_gradient_that_is_not_finite_is_found_even_if_the_loss_is_finite() -> None:
    # Adds zero, with a gradient of infinity times zero.
    steep = Altered(lambda loss, w: loss + ((w * 0.0) ** 2).sum() ** 0.5)
    with np.errstate(divide="ignore"), pytest.raises(NonFiniteLossError) as caught:
        trained(model=steep)
    assert (caught.value.of, caught.value.step) == ("gradient", 0)
    assert np.isfinite(caught.value.loss)
    assert "the gradient of the batch is not finite (its loss is" in str(caught.value)


def test_a_state_that_became_infinite_unforeseen_cannot_be_skipped_over() -> None:
    class Cubing(la.AdaGrad):
        @staticmethod
        def rule(xp: Any) -> Any:
            return lambda g, s, epsilon: (g, s + g * g * g + epsilon)

    with pytest.raises(NonFiniteLossError) as caught:
        trained(broken_at(8, by=1e15), optimizer=Cubing(1e-30), on_nonfinite="skip")
    assert (caught.value.of, caught.value.step) == ("state", 8)


@pytest.mark.parametrize(
    ("bad", "optimizer", "advice"),
    [
        ((0,), OPTIMIZER, "the batch itself has values that are not finite"),
        ((8,), OPTIMIZER, "the batch itself has values that are not finite"),
        ((), la.SGD(1e38), "a smaller learning rate may help"),
    ],
)
def test_the_advice_is_about_the_cause(bad: Any, optimizer: Any, advice: str) -> None:
    with pytest.raises(NonFiniteLossError, match=advice):
        trained(broken_at(*bad), optimizer=optimizer)


@pytest.mark.filterwarnings("always")
def test_a_loss_that_depends_on_no_parameter_is_reported() -> None:
    with pytest.warns(UserWarning, match=r"Altered\.loss depends on no parameter"):
        trained(model=Altered(lambda loss, w: np.float32(1.0)))


@CHECKED
def test_a_sum_that_overflows_is_no_fault(check_every: int) -> None:
    # Each gradient fits a float32, their sum does not.
    large: Any = Altered(lambda loss, w: (w * np.float32(2e38)).sum())
    large.init = lambda seed: {"weight": np.zeros((2, 2), np.float32)}
    result = trained(model=large, optimizer=la.SGD(0.0), check_every=check_every)
    assert (result.steps, result.skipped) == (15, 0)


def test_weights_that_are_not_finite_cannot_be_skipped_over() -> None:
    steep = Altered(lambda loss, w: loss * 1000)
    with pytest.raises(NonFiniteLossError, match="'weight' is not finite itself") as caught:
        trained(model=steep, optimizer=la.SGD(1e38), on_nonfinite="skip")
    assert not caught.value.parameter_is_finite


def test_an_epoch_of_nothing_but_skipped_batches_stops_the_run() -> None:
    with pytest.raises(NonFiniteLossError) as caught:
        trained(broken_at(*range(5, 10)), on_nonfinite="skip")
    assert (caught.value.step, caught.value.epoch) == (5, 2)


class Repelled:
    """One weight, whose gradient leads it away from where the loss is low."""

    def init(self, seed: Any) -> Any:
        return {"far": np.ones(2, np.float32), "near": np.ones(2, np.float32)}

    def loss(self, params: Any, batch: Any) -> Any:
        return -(params["far"] ** 2).sum() - (params["near"] ** 2).sum() / 4

    def evaluate(self, params: Any, examples: Any) -> Evaluation:
        return Evaluation(float((params["far"] ** 2).sum()), 0.0)


def test_slow_weights_that_diverge_are_reported_once() -> None:
    examples = Examples(np.zeros((4, 1), np.float32), np.zeros(4, np.int64))
    data = Dataset("none", examples, examples, classes=1)
    events: list[Any] = []
    stream = io.StringIO()
    optimizer = la.Lookahead(la.SGD(learning_rate=0.1), k=2, alpha=0.5)
    with training.TrainingProgress(Console(file=stream, width=40)) as progress:
        options: dict[str, Any] = {"seed": 0, "epochs": 5, "batch_size": 2}
        callbacks = [events.append, progress]
        result = train(Repelled(), data, optimizer, **options, callbacks=callbacks)
    (message,) = [event for event in events if isinstance(event, training.Diverging)]
    assert (message.epoch, message.parameter, message.initial_loss) == (1, "far", 2.0)
    assert message.loss == result.history[1].train_loss
    # From 1 to 1.2 and 1.44, and half the way back.
    assert message.moved == pytest.approx(0.22 * 2**0.5)
    line = "the weights after epoch 1 are worse than the initial ones: loss"
    assert line in stream.getvalue()
    assert dataclasses.asdict(message).keys() >= {"parameter", "moved"}
