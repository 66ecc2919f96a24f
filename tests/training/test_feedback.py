"""Learning rates and averages that follow the validation loss or a batch's scale."""

from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref.data import Corpus
from lookahead_ref.training import NonMonotone, Plateau, train
from lookahead_ref.zoo import AWDLSTM
from support import assert_same_bits
from toys import Bigram, Keeping

TOKENS = np.random.default_rng(0).integers(0, 2, 400).astype(np.int32)
TEXT = Corpus("text", TOKENS, TOKENS[:60], TOKENS[:60], ("a", "b"), 7, random_window=True)
SETTINGS: dict[str, Any] = {"seed": 0, "epochs": 6, "batch_size": 4}


@pytest.mark.parametrize(
    ("losses", "rate"),
    [([], 8.0), ([3, 2, 2], 8.0), ([3, 2, 2, 2], 4.0), ([3, 2, 2, 1, 2, 2, 2, 2], 2.0)],
)
def test_a_rate_is_halved_after_evaluations_that_lower_nothing(
    losses: list[float], rate: float
) -> None:
    schedule = Plateau(8.0, patience=2)
    for seen in range(len(losses) + 1):
        schedule.observe(losses[:seen])
    assert schedule(0) == schedule(1000) == rate


@pytest.mark.parametrize(
    ("losses", "begun"),
    [
        ([5, 4, 3, 2, 1], False),
        ([5, 4, 3, 4], False),  # the best but for the last two is 5
        ([5, 3, 2, 2.5, 4], True),
        ([5, 3, 2, 2.5, 4, 1], True),  # for good
        ([1, 2], False),
    ],
)
def test_the_average_begins_by_algorithm_1_of_merity(
    losses: list[float], begun: bool
) -> None:
    trigger = NonMonotone(interval=2)
    trigger.observe(losses)
    assert trigger() is begun


def test_the_learning_rate_is_scaled_with_the_length_of_each_window() -> None:
    result = train(Bigram(), TEXT, la.SGD(123.0), schedule=lambda _: 0.5, **SETTINGS)
    model, params = Bigram(), Bigram().init(0)
    stream = TEXT.stream(4, np.random.SeedSequence(0).spawn(2)[1])
    for _ in range(6):
        carried = model.start(4)
        for batch in stream.epoch():
            assert batch.scale == len(batch.inputs) / 7
            gradient = la.value_and_grad(model.loss, has_aux=True)
            (_, carried), grads = gradient(params, batch, carried, None)
            optimizer = la.SGD(0.5 * batch.scale)
            params, _ = optimizer.step(params, grads, optimizer.init(params))
    assert_same_bits(result.params, params)


class Trigger:
    """An average that begins after so many evaluations."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def observe(self, losses: Any) -> None:
        self.seen.append(len(losses))

    def __call__(self) -> bool:
        return self.seen[-1] > 3


def test_a_late_average_covers_the_steps_since_its_beginning() -> None:
    trigger = Trigger()
    late = la.PolyakAveraging(la.SGD(0.3), begun=trigger)
    averaged = train(Bigram(), TEXT, late, **SETTINGS)
    assert trigger.seen == [0, 1, 2, 3, 4, 5, 6, 7]
    plain = train(Bigram(), TEXT, la.SGD(0.3), **SETTINGS).history
    assert averaged.history[:4] == plain[:4]
    assert averaged.history[4] != plain[4]

    params = {"x": np.array([0.0])}
    trigger.seen = [0]
    optimizer = la.PolyakAveraging(la.SGD(1.0), begun=trigger)
    stepper = la.Stepper(optimizer, params)
    found = []
    for step in range(6):
        trigger.seen.append(step + 1)
        stepper.step({"x": np.array([-1.0])})
        found.append(stepper.evaluation_params()["x"].item())
    # From the fourth step on the mean of 4, of 4 and 5, of 4, 5 and 6.
    assert found == [1.0, 2.0, 3.0, 4.0, 4.5, 5.0]


def test_a_continued_run_draws_the_same_masks_and_keeps_its_history() -> None:
    def run(**more: Any) -> tuple[Any, bool, float]:
        begun, schedule = NonMonotone(1), Plateau(50.0, patience=1)
        optimizer = la.PolyakAveraging(la.SGD(1.0), begun=begun)
        model = AWDLSTM(2, hidden=3, layers=2, embedding=2)
        result = train(model, TEXT, optimizer, schedule=schedule, **SETTINGS, **more)
        return result, begun(), schedule(0)

    states = Keeping(every=35)
    whole, begun, rate = run(checkpoints=states)
    assert begun
    assert rate < 50.0
    assert len(states.kept) > 3
    for _, snapshot in states.kept:
        again, *message = run(resume=snapshot)
        assert_same_bits(again.params, whole.params)
        assert (again.history, *message) == (whole.history, begun, rate)
