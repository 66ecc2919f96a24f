"""Mismatched arguments are refused by name, on every backend, before the computation.

Compiled kernels trust shapes and dtypes. Where NumPy would broadcast or convert, they would
read past the end or misread numbers.
"""

import re
from functools import partial
from typing import Any

import numpy as np
import pytest

from lookahead_ref.kernels import find
from lookahead_ref.zoo.layers import dense, embedding, lstm_layer
from lookahead_ref.zoo.losses import (
    accuracy,
    dense_cross_entropy,
    softmax_cross_entropy,
    top_accuracy,
)
from lookahead_ref.zoo.picture_layers import batch_norm, convolution, fixed_norm, max_pool
from support import on_every_backend

LABELS = np.array([0, 2, 1, 0])


def zeros(*shape: int, dtype: Any = np.float32) -> Any:
    return np.zeros(shape, dtype)


DENSE = (zeros(4, 2), zeros(2, 3), zeros(3))
PICTURES, FLAT, KERNEL = zeros(1, 5, 5, 2), zeros(1, 5, 5, 3), zeros(3, 3, 2, 2)
NORM = (zeros(2, 4, 4, 3), zeros(3), zeros(3))
LSTM = (zeros(5, 2, 3), zeros(2, 4), zeros(2, 4), zeros(3, 16), zeros(4, 16), zeros(16))


def changed(arrays: tuple[Any, ...], place: int, array: Any) -> tuple[Any, ...]:
    return (*arrays[:place], array, *arrays[place + 1 :])


STRIDE = "stride must be at least 1 and padding at least 0, got"
ROOM = "kernel of 3 rows and 3 columns must fit into pictures of 5 by 2"
NO_ROWS, NO_PICTURES = (zeros(0, 3), np.zeros(0, int)), zeros(0, 4, 4, 3)
ONE_STATE, ONE_PICTURE = changed(LSTM, 1, zeros(1, 4)), zeros(1, 4, 4, 3)
DTYPE = "must be of dtype float32"
WIDE_ROWS, WIDE, WIDE_KERNEL = np.zeros((4, 2)), np.zeros(3), np.zeros((3, 3, 2, 2))
ONE_BIAS = (*changed(DENSE, 2, zeros(1)), LABELS)
MOMENTS = {"mean": zeros(1), "variance": zeros(3)}
FIXED = partial(fixed_norm, **MOMENTS, epsilon=1.0, rectify=False)
POOL = partial(max_pool, size=6, stride=1)


@on_every_backend
@pytest.mark.parametrize(
    ("message", "layer", "arrays"),
    [
        ("x must have shape (4, 2), got (4, 5)", dense, changed(DENSE, 0, zeros(4, 5))),
        ("bias must have shape (3,), got (1,)", dense, changed(DENSE, 2, zeros(1))),
        ("bias must have shape (3,), got (1,)", dense_cross_entropy, ONE_BIAS),
        ("labels must hold at least one", softmax_cross_entropy, NO_ROWS),
        ("tokens must be from 0 to 3, got -1", embedding, (zeros(4, 2), np.array([[-1]]))),
        ("hidden must have shape (2, 4), got (1, 4)", lstm_layer, ONE_STATE),
        ("bias must have shape (16,), got (1,)", lstm_layer, changed(LSTM, 5, zeros(1))),
        ("residual must have shape (2, 4, 4, 3), got", batch_norm, (*NORM, ONE_PICTURE)),
        ("scale must have shape (3,), got (1,)", batch_norm, changed(NORM, 1, zeros(1))),
        ("x must hold at least one picture", batch_norm, changed(NORM, 0, NO_PICTURES)),
        ("mean must have shape (3,), got (1,)", FIXED, (*NORM, None)),
        (f"{STRIDE} 0 and 0", partial(convolution, stride=0), (PICTURES, KERNEL)),
        (f"{STRIDE} 1 and -1", partial(convolution, padding=-1), (PICTURES, KERNEL)),
        ("x must have the kernel's 2 channels, last, got", convolution, (FLAT, KERNEL)),
        (ROOM, convolution, (zeros(1, 5, 2, 2), KERNEL)),
        ("x must hold at least one picture", convolution, (zeros(0, 5, 5, 2), KERNEL)),
        ("size 6 must fit into pictures of 5 by 7", POOL, (zeros(1, 5, 7, 1),)),
        (f"x {DTYPE}", dense, changed(DENSE, 0, WIDE_ROWS)),
        (f"bias {DTYPE}", dense, changed(DENSE, 2, WIDE)),
        (f"x {DTYPE}", dense_cross_entropy, (*changed(DENSE, 0, WIDE_ROWS), LABELS)),
        ("kernel must be of x's dtype float32", convolution, (PICTURES, WIDE_KERNEL)),
        (f"scale {DTYPE}", batch_norm, changed(NORM, 1, WIDE)),
    ],
)
def test_unfit_operands_are_named(
    message: str, layer: Any, arrays: Any, backend: str
) -> None:
    error = TypeError if "dtype" in message else ValueError
    with pytest.raises(error, match=re.escape(message)):
        layer(*arrays, kernels=find(backend))


@on_every_backend
@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        *(
            (np.zeros(shape, int), ValueError, r"labels must have shape \(4,\), got ")
            for shape in ((1,), (3,), (5,), (4, 1))
        ),
        (np.array([0, 3, 0, 0]), ValueError, "labels must be from 0 to 2, got 3"),
        (np.array([-1, 0, 0, 0]), ValueError, "labels must be from 0 to 2, got -1"),
        (np.array([0.0, 1, 0, 0]), TypeError, "labels must be an array of integers"),
    ],
)
def test_labels_must_be_classes_one_for_each_row(
    backend: str, labels: Any, error: type[Exception], message: str
) -> None:
    kernels = find(backend)
    with pytest.raises(error, match=message):
        softmax_cross_entropy(zeros(4, 3), labels, kernels=kernels)
    with pytest.raises(error, match=message):
        dense_cross_entropy(*DENSE, labels, kernels=kernels)
    if labels.shape != (4,):
        for measure in (accuracy, lambda *given: top_accuracy(*given, 2)):
            with pytest.raises(error, match=message):
                measure(zeros(4, 3), labels)


def test_compiled_kernels_of_another_dtype_give_way_to_the_general_ones() -> None:
    single = find("numba")
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal((4, 3))
    found = softmax_cross_entropy(logits, LABELS, kernels=single)
    assert found == softmax_cross_entropy(logits, LABELS)
    x, weight, bias = rng.standard_normal((4, 2)), rng.standard_normal((2, 3)), zeros(3)
    given = (x, weight, bias.astype(np.float64))
    np.testing.assert_array_equal(
        dense(*given, activation="tanh", kernels=single), dense(*given, activation="tanh")
    )
