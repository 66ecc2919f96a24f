"""The training loop: what it evaluates, carries and reports, where, and how it stops."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import lookahead_ref as la
from lookahead_ref import training, trees
from lookahead_ref.data import BatchStream, Corpus, Dataset, Examples
from lookahead_ref.training import EpochEnded, NonFiniteLossError, StepTaken, train
from lookahead_ref.zoo import AWDLSTM, LSTM, MLP, ResNet
from models import pictures
from support import assert_same_bits
from toys import Bigram, Elsewhere, Keeping, Normalised, clouds, text

MODEL = MLP((2, 4, 2))
CLOUDS = clouds()
DATA = CLOUDS._replace(validation=CLOUDS.train)
SETTINGS: dict[str, Any] = {"seed": 0, "epochs": 3, "batch_size": 16}
OPTIMIZERS = [la.Lookahead(la.Adam(0.01), k=2, alpha=0.5), la.Nesterov(0.05, 0.9)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["lookahead", "nesterov"])
@pytest.mark.parametrize("seed", [0, 7])
def test_it_is_the_loop_of_the_paper_written_out_by_hand(optimizer: Any, seed: int) -> None:
    init_seed, batch_seed = np.random.SeedSequence(seed).spawn(2)
    params = MODEL.init(init_seed)
    state = optimizer.init(params)
    stream = BatchStream(DATA.train, 16, batch_seed)
    for _ in range(3):
        for batch in stream.epoch():
            _, grads = la.value_and_grad(MODEL.loss)(params, batch)
            params, state = optimizer.step(params, grads, state)
    phi = optimizer.evaluation_params(params, state)
    result = train(MODEL, DATA, optimizer, **{**SETTINGS, "seed": seed})
    assert_same_bits(result.params, phi)
    assert result.history[-1].train_loss == MODEL.evaluate(phi, DATA.train).loss


def test_an_evaluation_continues_after_the_pieces_that_a_checkpoint_holds() -> None:
    seen: list[Any] = []

    class Watched(MLP):
        evaluation_piece: int | None = 4_000

        def evaluate(self, params: Any, examples: Any) -> Any:
            seen.append(examples.size)
            found = super().evaluate(params, examples)
            return found if self.evaluation_piece is None else tuple(found)

    data = clouds(18_002)
    data = data._replace(test=data.validation)

    def run(epochs: int, **more: Any) -> Any:
        job: Any = {"seed": 0, "epochs": epochs, "batch_size": 9_001}
        optimizer = la.Lookahead(la.SGD(0.5), k=2)
        found = train(Watched((2, 2)), data, optimizer, evaluate_train=False, **job, **more)
        every = found.test, *MLP((2, 2)).evaluate(found.params, data.test)[:2]
        assert every[0][:2] == pytest.approx(every[1:])
        return found.history, found.test, found.params["layer1"]["weight"].tolist()

    states = Keeping()
    whole, longer = run(1, checkpoints=states), run(2)
    assert seen[:9] == [4_000, 4_000, 1_001] * 3
    left = set()
    for _, snapshot in states.kept:
        seen.clear()
        assert run(1, resume=snapshot) == whole
        left.add(len(seen))
        assert run(2, resume=snapshot) == longer
    assert left == set(range(10))
    Watched.evaluation_piece = 3_000
    with pytest.raises(ValueError, match="must be a state of this run: pieces are others"):
        run(1, resume=states.kept[1][1])
    Watched.evaluation_piece = None  # as it is, unless a model says otherwise
    seen.clear()
    run(1)
    assert seen == [9_001] * 3


class Often(LSTM):
    evaluation_piece = 1_400


MODELS = LSTM(7, hidden=2), AWDLSTM(7, hidden=3, embedding=2), Often(7, hidden=2)


@pytest.mark.parametrize("model", MODELS)
def test_an_evaluation_of_a_text_continues_after_the_pieces_that_a_checkpoint_holds(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = np.random.default_rng(0).integers(0, 7, 7_013)
    data = Corpus("text", tokens[:50], tokens, tokens[:7_002], tuple("abcdefg"), 49)
    sizes: list[int] = []
    apply = type(model).apply

    def counting(self: Any, params: Any, inputs: Any, carried: Any) -> Any:
        sizes.append(inputs.size)
        return apply(self, params, inputs, carried)

    monkeypatch.setattr(type(model), "apply", counting)

    def run(**more: Any) -> Any:
        job: Any = {"seed": 0, "epochs": 1, "batch_size": 1, "evaluate_train": False}
        found = train(model, data, la.SGD(0.5), **job, **more)
        return found.params, found.history, found.test

    states = Keeping()
    params, *whole = run(checkpoints=states)
    assert sum(sizes) == 7_012 * 2 + 7_001
    measured = model.evaluator(params)(tokens)
    assert whole[0][-1].validation_loss == pytest.approx(measured.loss, rel=1e-12)
    assert whole[0][-1].validation_accuracy == pytest.approx(measured.accuracy, rel=1e-12)
    left = set()
    for _, snapshot in states.kept:
        sizes.clear()
        assert [*run(resume=snapshot)[1:]] == whole
        left.add(sum(sizes))
    optimizer = la.Lookahead(la.SGD(0.5), k=2)  # workers of one process keep pieces, too
    again = {"checkpoints": Keeping(), "workers": 2, "batch_size": 1, "epochs": 1}
    train(model, data, optimizer, seed=0, evaluate_train=False, **again)
    assert any(kept.record["pieces"] for _, kept in again["checkpoints"].kept)
    assert left >= {21_025, 14_025, 14_013, 7_013, 7_001, 1, 0}


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


@pytest.mark.parametrize("accumulate", [2, 3, 5, 99])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(accumulate: int) -> None:
    def trained(parts: int) -> Any:
        found = train(MODEL, DATA, la.SGD(0.5), **SETTINGS, accumulate=parts)
        return found.params, found.history[-1].batch_loss

    (whole, loss), (in_parts, its_loss) = trained(1), trained(accumulate)
    assert its_loss == pytest.approx(loss, rel=1e-5)
    for path, leaf in trees.flatten(whole).items():
        np.testing.assert_allclose(
            trees.flatten(in_parts)[path], leaf, rtol=1e-4, atol=1e-6
        )


def test_the_carried_state_goes_from_part_to_part() -> None:
    handed = []

    class Counting(Normalised):
        def loss(self, params: Any, batch: Any, carried: Any, rng: Any) -> Any:
            handed.append((int(carried["count"]), len(batch.labels)))
            return super().loss(params, batch, carried, rng)

    result = train(Counting(), DATA, la.SGD(0.1), **SETTINGS | {"epochs": 1}, accumulate=3)
    assert handed == [*enumerate([6, 5, 5, 6, 5, 5, 3, 3, 2])]
    assert result.steps == 3


def test_callbacks_receive_everything_in_order() -> None:
    events: list[Any] = []
    result = train(MODEL, DATA, la.SGD(0.1), **SETTINGS, callbacks=[events.append])
    kinds = [type(event) for event in events]
    epoch = [StepTaken] * 3 + [EpochEnded]
    assert kinds == [training.RunStarted, EpochEnded, *epoch * 3, training.RunEnded]
    assert [e.step for e in events if isinstance(e, StepTaken)] == list(range(9))
    records = tuple(e.record for e in events if isinstance(e, EpochEnded))
    assert records == result.history
    assert [(each.epoch, each.step) for each in records] == [(0, 0), (1, 3), (2, 6), (3, 9)]
    assert result.steps == 9
    assert records[0].batch_loss is None
    assert records[-1].train_loss < records[0].train_loss
    losses = [e.loss for e in events if isinstance(e, StepTaken) and e.epoch == 1]
    # With forty examples, the last batch has eight.
    mean = np.average(losses, weights=[16, 16, 8])
    assert result.history[1].batch_loss == pytest.approx(mean, rel=1e-12)
    assert events[-1].error is None


def test_an_epoch_that_evaluates_to_nan_is_in_the_history() -> None:
    inputs = np.full((40, 2), np.nan, np.float32)
    broken = DATA._replace(validation=Examples(inputs, DATA.train.labels))
    message = r"evaluated weights .* check the data"
    with pytest.raises(NonFiniteLossError, match=message) as e:
        train(MODEL, broken, la.SGD(learning_rate=0.1), **SETTINGS)
    assert np.isnan(e.value.history[-1].validation_loss)
    assert e.value.step == 0


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be a positive integer, got 0"),
        ({"epochs": 1.0}, TypeError, "epochs must be a positive integer, got 1.0"),
        ({"seed": -1}, ValueError, "seed must be an integer >= 0, got -1"),
        ({"seed": True}, TypeError, "seed must be an integer >= 0, got True"),
        ({"batch_size": 0}, ValueError, "batch_size must be a positive integer, got 0"),
    ],
)
def test_wrong_numbers_begin_no_run(wrong: Any, error: Any, message: str) -> None:
    events: list[Any] = []
    with pytest.raises(error, match=message):
        train(MODEL, DATA, la.SGD(0.1), **(SETTINGS | wrong), callbacks=[events.append])
    assert events == []


OPTIMIZER = la.Lookahead(la.Adam(learning_rate=0.05), k=3, alpha=0.5)
CARRYING: dict[str, Any] = {"seed": 3, "epochs": 2, "batch_size": 16}


def trained(
    data: Any = CLOUDS, model: Any = None, optimizer: Any = OPTIMIZER, **options: Any
) -> Any:
    """Train, by default a model that carries a state."""
    return train(model or Normalised(), data, optimizer, **(CARRYING | options))


def test_a_residual_network_is_evaluated_as_phi_with_statistics_of_its_own() -> None:
    noise, others = pictures(14, (1, 4, 4)), pictures(6, (1, 4, 4), seed=1)
    data = Dataset("noise", noise, others, classes=4)
    model = ResNet((1, 4, 4), 4, (1,), (4,))
    # Three batches an epoch, the last of two examples: epochs end between synchronizations.
    optimizer = la.Lookahead(la.SGD(learning_rate=0.3), k=4, alpha=0.5)
    result = trained(data, model, optimizer, seed=0, epochs=3, batch_size=6)
    own = model.evaluator(result.params, noise)(others)
    assert result.history[-1].validation_loss == own.loss
    assert result.steps == 9


@pytest.mark.parametrize("check_every", [1, 2, 50])
def test_the_backends_place_and_how_often_it_looks_change_nothing(check_every: int) -> None:
    elsewhere = Elsewhere()

    class Watching(Normalised):
        def loss(self, params: Any, batch: Any, carried: Any, rng: Any) -> Any:
            assert elsewhere.has(batch.inputs, batch.labels)
            assert int(carried["count"]) or elsewhere.has(carried["mean"]["of"])
            return super().loss(params, batch, carried, rng)

        def evaluator(self, params: Any, train_source: Any) -> Any:
            assert elsewhere.has(train_source.inputs)
            return super().evaluator(params, train_source)

    events: list[list[Any]] = [[], []]
    options: dict[str, Any] = {"backend": elsewhere, "check_every": check_every}
    one = trained(callbacks=[events[0].append])
    other = trained(model=Watching(), callbacks=[events[1].append], **options)
    assert_same_bits(one.params, other.params)
    assert one.history == other.history
    # All but the first, which names the backend, and the last, which has a time.
    here, there = (
        [e.record if isinstance(e, EpochEnded) else e for e in each[1:-1]]
        for each in events
    )
    assert here == there


def test_examples_taken_from_a_source_are_also_moved() -> None:
    elsewhere = Elsewhere()
    source: Any = SimpleNamespace(size=CLOUDS.train.size, take=CLOUDS.train.take)

    class InBatches(MLP):
        def evaluate(self, params: Any, examples: Any) -> Any:
            batch = examples.take(np.arange(examples.size))
            assert elsewhere.has(batch.inputs)
            return super().evaluate(params, batch)

    sources, arrays = (
        Dataset("clouds", each, each, classes=2) for each in (source, CLOUDS.train)
    )
    taken = trained(sources, InBatches((2, 4, 2)), la.SGD(0.1), backend=elsewhere)
    assert taken.history == trained(arrays, MLP((2, 4, 2)), la.SGD(0.1)).history


def test_a_test_split_is_measured_once_at_the_end() -> None:
    events: list[Any] = []
    result = trained(CLOUDS._replace(test=CLOUDS.validation), callbacks=[events.append])
    assert result.test is not None
    assert result.test.loss == result.history[-1].validation_loss
    last = events[-1]
    assert (last.test_loss, last.test_accuracy) == (result.test.loss, result.test.accuracy)
    assert trained().test is None


def test_the_training_examples_need_not_be_evaluated() -> None:
    without = trained(evaluate_train=False)
    assert {(e.train_loss, e.train_accuracy) for e in without.history} == {(None, None)}
    assert without.history[-1].validation_loss == trained().history[-1].validation_loss


def test_an_epoch_need_not_be_evaluated_but_for_the_first_and_the_last() -> None:
    often, seldom = trained(epochs=3), trained(epochs=3, evaluate_every=2)
    assert [record.epoch for record in seldom.history] == [0, 2, 3]
    assert_same_bits(seldom.params, often.params)
    two = [record.batch_loss for record in often.history[1:3]]
    assert seldom.history[1].batch_loss == pytest.approx(np.mean(two), rel=1e-12)
    assert seldom.history[2] == often.history[3]


def test_gradients_are_clipped_to_a_joint_norm() -> None:
    start = Normalised().init(np.random.SeedSequence(3).spawn(3)[0])["weight"]

    def way(**options: Any) -> float:
        result = trained(optimizer=la.SGD(1.0), **options)
        return float(np.linalg.norm(result.params["weight"] - start))

    # Six updates, each no longer than the learning rate times the limit.
    assert 0 < way(clip=1e-3) <= 6.001e-3
    assert way() > 6e-2
    with pytest.raises(ValueError, match=r"clip must be a finite number > 0, got 0\.0"):
        way(clip=0.0)


def test_the_state_carried_through_a_text_restarts_with_each_epoch() -> None:
    model = Bigram()
    trained(text(), model, la.SGD(0.1), epochs=3, batch_size=2)
    assert model.counts == [0, 1, 2, 3] * 3


@pytest.mark.parametrize(
    ("handed_on", "message"),
    [
        ({"mean": np.zeros(3)}, r"float32 of shape \(2,\), got float64 of .*3"),
        ({"mean": np.zeros((2, 1), np.float32)}, r"float32 of .*, got .* \(2, 1\)"),
        ({}, "'mean' is not"),
        ({"mean": np.zeros(2, np.float32), "more": np.zeros(1)}, "'more' is not"),
    ],
)
def test_the_carried_state_must_be_like_the_initial_one(
    handed_on: Any, message: str
) -> None:
    class Changing(Normalised):
        def start(self, batch_size: int) -> Any:
            return {"mean": np.zeros(2, np.float32)}

        def loss(self, params: Any, *_: Any) -> Any:
            return (params["weight"] ** 2).sum(), handed_on

    with pytest.raises(ValueError, match=f"carried.* as start makes it, {message}"):
        trained(model=Changing())


def test_the_carried_state_may_have_the_dtype_of_the_parameters() -> None:
    class Double(LSTM):
        def init(self, seed: Any) -> Any:  # type: ignore[override]
            return super().init(seed, np.float64)

    assert trained(text(), Double(2, 3, 1), batch_size=2).steps == 8


def test_texts_show_perplexity() -> None:
    stream = io.StringIO()
    with training.TrainingProgress(Console(file=stream)) as progress:
        options: dict[str, Any] = {"epochs": 1, "batch_size": 2, "callbacks": [progress]}
        result = trained(text(), Bigram(), la.SGD(0.5), **options)
    perplexity = np.exp(result.history[-1].validation_loss)
    assert 1 < perplexity < 2
    assert f"perplexity {perplexity:.2f}" in stream.getvalue()
