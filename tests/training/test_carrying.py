"""The loop with models that carry something, with text, on a backend of its own memory."""

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import lookahead_ref as la
from lookahead_ref.data import Dataset, Examples
from lookahead_ref.training import EpochEnded, TrainingProgress, train
from lookahead_ref.zoo import MLP, ResNet
from toys import Bigram, Elsewhere, Normalised, Text, clouds

DATA = clouds()
OPTIMIZER = la.Lookahead(la.Adam(learning_rate=0.05), k=3, alpha=0.5)
SETTINGS: dict[str, Any] = {"seed": 3, "epochs": 2, "batch_size": 16}


def trained(
    data: Any = DATA, model: Any = None, optimizer: Any = OPTIMIZER, **options: Any
) -> Any:
    return train(model or Normalised(), data, optimizer, **(SETTINGS | options))


def test_a_residual_network_is_evaluated_as_phi_with_statistics_of_its_own() -> None:
    rng = np.random.default_rng(0)
    train_part, validation = (
        Examples(rng.standard_normal((n, 1, 4, 4), np.float32), rng.integers(0, 2, n))
        for n in (14, 6)
    )
    data = Dataset("noise", train=train_part, validation=validation, classes=2)
    model = ResNet((1, 4, 4), 2, (1,), (4,))
    # Three batches an epoch, the last of two examples: epochs end between synchronizations.
    optimizer = la.Lookahead(la.SGD(learning_rate=0.3), k=4, alpha=0.5)
    result = trained(data, model, optimizer, seed=0, epochs=3, batch_size=6)
    own = model.evaluator(result.params, train_part)(validation)
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

    here: list[Any] = []
    there: list[Any] = []
    options: dict[str, Any] = {"backend": elsewhere, "check_every": check_every}
    one = trained(callbacks=[here.append])
    other = trained(model=Watching(), callbacks=[there.append], **options)
    np.testing.assert_array_equal(one.params["weight"], other.params["weight"])
    assert one.history == other.history

    def told(events: list[Any]) -> list[Any]:
        # All but the first, which names the backend, and the last, which has a time.
        return [e.record if isinstance(e, EpochEnded) else e for e in events[1:-1]]

    assert told(here) == told(there)


def test_examples_that_are_taken_from_a_source_are_moved_too() -> None:
    elsewhere = Elsewhere()

    class Source:
        size = DATA.train.size

        def take(self, indices: Any) -> Examples:
            return DATA.train.take(indices)

    class InBatches(MLP):
        def evaluate(self, params: Any, examples: Any) -> Any:
            batch = examples.take(np.arange(examples.size))
            assert elsewhere.has(batch.inputs)
            return super().evaluate(params, batch)

    sources, arrays = (
        Dataset("clouds", each, each, classes=2) for each in (Source(), DATA.train)
    )
    taken = trained(sources, InBatches((2, 4, 2)), la.SGD(0.1), backend=elsewhere)
    assert taken.history == trained(arrays, MLP((2, 4, 2)), la.SGD(0.1)).history


def test_a_test_split_is_measured_once_at_the_end() -> None:
    data = DATA._replace(test=DATA.validation)
    events: list[Any] = []
    result = trained(data, callbacks=[events.append])
    assert result.test is not None
    assert result.test.loss == result.history[-1].validation_loss
    assert events[-1].test_loss == result.test.loss
    assert events[-1].test_accuracy == result.test.accuracy
    assert trained().test is None


def test_the_training_examples_need_not_be_evaluated() -> None:
    without = trained(evaluate_train=False)
    assert {record.train_loss for record in without.history} == {None}
    assert {record.train_accuracy for record in without.history} == {None}
    assert without.history[-1].validation_loss == trained().history[-1].validation_loss


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


def test_what_is_carried_through_a_text_starts_anew_with_each_epoch() -> None:
    model = Bigram()
    trained(Text(), model, la.SGD(0.1), epochs=3, batch_size=2)
    assert model.counts == [0, 1, 2] * 3


def test_of_a_text_the_perplexity_is_shown() -> None:
    stream = io.StringIO()
    with TrainingProgress(Console(file=stream)) as progress:
        options: dict[str, Any] = {"epochs": 1, "batch_size": 2, "callbacks": [progress]}
        result = trained(Text(), Bigram(), la.SGD(0.5), **options)
    perplexity = np.exp(result.history[-1].validation_loss)
    assert 1 < perplexity < 2
    assert f"perplexity {perplexity:.2f}" in stream.getvalue()
