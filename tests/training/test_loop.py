"""The training loop: what it evaluates, what it reports, and how it stops."""

import pickle
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref.data import BatchStream, Examples
from lookahead_ref.training import (
    EpochEnded,
    NonFiniteLossError,
    RunEnded,
    RunStarted,
    StepTaken,
    train,
)
from lookahead_ref.zoo import MLP
from toys import clouds

MODEL = MLP((2, 4, 2))
DATA = clouds()._replace(validation=clouds().train)
SETTINGS: dict[str, Any] = {"seed": 0, "epochs": 3, "batch_size": 16}


def test_it_is_the_loop_of_the_paper_written_out_by_hand() -> None:
    optimizer = la.Lookahead(la.Adam(learning_rate=0.01), k=2, alpha=0.5)
    init_seed, batch_seed = np.random.SeedSequence(7).spawn(2)
    params = MODEL.init(init_seed)
    state = optimizer.init(params)
    stream = BatchStream(DATA.train, 16, batch_seed)
    for _ in range(3):
        for batch in stream.epoch():
            _, grads = la.value_and_grad(MODEL.loss)(params, batch)
            params, state = optimizer.step(params, grads, state)
    phi = optimizer.evaluation_params(params, state)
    result = train(MODEL, DATA, optimizer, **{**SETTINGS, "seed": 7})
    for name, layer in phi.items():
        for part, leaf in layer.items():
            np.testing.assert_array_equal(result.params[name][part], leaf)
    assert result.history[-1].train_loss == MODEL.evaluate(phi, DATA.train).loss


def test_slow_weights_that_have_not_moved_are_evaluated_as_they_are() -> None:
    optimizer = la.Lookahead(la.SGD(learning_rate=0.1), k=1000, alpha=0.5)
    history = train(MODEL, DATA, optimizer, **SETTINGS).history
    assert {record.train_loss for record in history} == {history[0].train_loss}
    assert history[-1].batch_loss != history[1].batch_loss


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    optimizer = la.Nesterov(learning_rate=0.05, momentum=0.9)
    first = train(MODEL, DATA, optimizer, **SETTINGS)
    same = train(MODEL, DATA, optimizer, **SETTINGS)
    other = train(MODEL, DATA, optimizer, **{**SETTINGS, "seed": 1})
    assert first.history == same.history
    assert first.history[-1] != other.history[-1]


def test_optimizers_start_at_the_same_point_and_see_the_same_first_batch() -> None:
    first_losses = []
    for optimizer in (la.SGD(learning_rate=0.1), la.Adam(learning_rate=0.1)):
        steps: list[Any] = []
        train(MODEL, DATA, optimizer, **SETTINGS, callbacks=[steps.append])
        first_losses.append(next(e.loss for e in steps if isinstance(e, StepTaken)))
    assert first_losses[0] == first_losses[1]


def test_a_schedule_of_the_global_step_takes_the_place_of_the_innermost_rate() -> None:
    seen: set[int] = set()

    def schedule(step: int) -> float:
        seen.add(step)
        return 0.1 / (step + 1)

    def history(rate: Any, **options: Any) -> Any:
        optimizer = la.Lookahead(la.SGD(learning_rate=rate), k=2, alpha=0.5)
        return train(MODEL, DATA, optimizer, **SETTINGS, **options).history

    assert history(123.0, schedule=schedule) == history(schedule)
    assert seen == set(range(9))


def test_callbacks_are_told_of_everything_in_order() -> None:
    events: list[Any] = []
    result = train(
        MODEL, DATA, la.SGD(learning_rate=0.1), **SETTINGS, callbacks=[events.append]
    )
    kinds = [type(event) for event in events]
    epoch = [StepTaken] * 3 + [EpochEnded]
    assert kinds == [RunStarted, EpochEnded, *epoch * 3, RunEnded]
    assert [e.step for e in events if isinstance(e, StepTaken)] == list(range(9))
    records = tuple(e.record for e in events if isinstance(e, EpochEnded))
    assert records == result.history
    assert [(record.epoch, record.step) for record in records] == [
        *((0, 0), (1, 3), (2, 6), (3, 9))
    ]
    assert result.steps == 9
    assert records[0].batch_loss is None
    assert records[-1].train_loss < records[0].train_loss
    losses = [e.loss for e in events if isinstance(e, StepTaken) and e.epoch == 1]
    assert result.history[1].batch_loss == pytest.approx(sum(losses) / 3)
    assert events[-1].error is None


def test_an_epoch_that_evaluates_to_nan_stands_in_the_history() -> None:
    inputs = np.full((40, 2), np.nan, np.float32)
    broken = DATA._replace(validation=Examples(inputs, DATA.train.labels))
    with pytest.raises(
        NonFiniteLossError, match=r"evaluated weights .* look at the data"
    ) as e:
        train(MODEL, broken, la.SGD(learning_rate=0.1), **SETTINGS)
    assert np.isnan(e.value.history[-1].validation_loss)
    assert e.value.step == 0


def test_the_error_survives_the_way_between_processes() -> None:
    error = NonFiniteLossError("batch", 3, 1, float("inf"), [])
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.step, copy.epoch) == (str(error), 3, 1)


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ({"epochs": 0}, ValueError, "epochs must be a positive integer, got 0"),
        ({"epochs": 1.0}, TypeError, "epochs must be a positive integer, got 1.0"),
        ({"seed": -1}, ValueError, "seed must be an integer >= 0, got -1"),
        ({"seed": True}, TypeError, "seed must be an integer >= 0, got True"),
        ({"batch_size": 0}, ValueError, "batch_size must be a positive integer, got 0"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_reported(
    wrong: dict[str, Any], error: type[Exception], told: str
) -> None:
    events: list[Any] = []
    with pytest.raises(error, match=told):
        train(
            MODEL,
            DATA,
            la.SGD(learning_rate=0.1),
            **{**SETTINGS, **wrong},
            callbacks=[events.append],
        )
    assert events == []
