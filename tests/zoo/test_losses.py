"""Softmax cross entropy and accuracy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo.losses import accuracy, softmax_cross_entropy, top_accuracy

Case = tuple[NDArray[Any], NDArray[Any]]


@st.composite
def logits_and_labels(draw: st.DrawFn, largest: float = 30.0) -> Case:
    n, classes = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    elements = st.floats(-largest, largest, width=32)
    logits = draw(hnp.arrays(np.float64, (n, classes), elements=elements))
    labels = draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    return logits, labels


def differentiated(logits: NDArray[Any], labels: NDArray[Any]) -> Any:
    loss = value_and_grad(lambda p: softmax_cross_entropy(p["logits"], labels))
    return loss({"logits": logits})


@given(logits_and_labels(), st.sampled_from([np.float32, np.float64]))
def test_it_is_minus_the_mean_log_softmax_with_its_gradient(case: Case, dtype: Any) -> None:
    logits, labels = case
    rows = np.arange(len(labels))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(softmax[rows, labels]).mean()
    assert softmax_cross_entropy(logits, labels) == pytest.approx(expected, abs=1e-12)
    _, grads = differentiated(logits.astype(dtype), labels)
    softmax[rows, labels] -= 1
    np.testing.assert_allclose(
        grads["logits"], softmax / len(labels), atol=8 * np.finfo(dtype).eps
    )


@given(logits_and_labels(largest=float(np.float32(1e37))))
@settings(max_examples=50)
def test_huge_logits_overflow_neither_value_nor_gradient(case: Case) -> None:
    value, grads = differentiated(case[0].astype(np.float32), case[1])
    assert np.isfinite(value)
    assert value >= 0
    assert value.dtype == np.float32
    assert np.isfinite(grads["logits"]).all()


def test_a_nan_logit_makes_the_loss_nan() -> None:
    logits = np.array([[np.nan, 0.0]], dtype=np.float32)
    assert np.isnan(softmax_cross_entropy(logits, np.array([1])))


def test_top_accuracy_counts_labels_among_the_highest_scores() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((200, 12))
    labels = rng.integers(12, size=200)
    for count in (1, 5, 12):
        best = np.argsort(-logits, axis=1)[:, :count]
        expected = np.mean([label in row for label, row in zip(labels, best, strict=True)])
        assert top_accuracy(logits, labels, count) == expected
    assert top_accuracy(logits, labels, 1) == accuracy(logits, labels)


def test_a_score_that_is_not_a_number_is_no_right_answer() -> None:
    assert top_accuracy(np.full((2, 9), np.nan), np.array([0, 8]), 5) == 0
