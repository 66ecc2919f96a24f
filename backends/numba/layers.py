"""Layers compiled by Numba, in float32, without their matrix products.

NumPy passes over memory once for each operation; here each layer passes once. The
exponential function is ours, because the vectorizer cannot see into the C library's: range
reduction by multiples of ln 2 in two parts, and a polynomial of degree 6. Its error is at
most 1.1 units in the last place from -87.33 to 0; below, it returns the value at -87.33,
1.2e-38. The logistic function and the hyperbolic tangent are made from it, with errors of
at most 3 units.
"""

from typing import Any

import numpy as np
from numba import njit

BLOCK = 128  # rows summed at once

_ZERO, _ONE, _TWO = (np.float32(value) for value in (0, 1, 2))
_LOWEST = np.float32(-87.33)  # its exponential is a normal number
_PER_LN_2 = np.float32(1.4426950408889634)
# ln 2 in two parts: multiples of the first, up to 127, are exact.
_LN_2_HIGH, _LN_2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
# Adding it leaves a number's integer part in the last bits.
_ROUND = np.float32(12582912.0)
# (exp(r) - 1 - r) / r**2 for |r| < ln(2) / 2, by Chebyshev; the lowest power first.
_C0, _C1, _C2, _C3, _C4 = (
    np.float32(value)
    for value in (
        0.5,
        0.16666576845993977,
        0.04166655443768594,
        0.008363202971575855,
        0.0013926213466332444,
    )
)
_BIAS_OF_EXPONENTS, _BITS_OF_MANTISSA = np.int32(127), np.int32(23)
_SIGN_BIT, _ALL_BUT_SIGN = np.int32(31), np.int32(0x7FFFFFFF)


# Affects single operations only by fusing a product and a sum.
_elementwise = njit(cache=True, error_model="numpy", fastmath={"contract"}, nogil=True)
# Sums of vectors' lanes in any order.
_reduction = njit(
    cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"}, nogil=True
)


@_elementwise
def _exponential_parts(x: Any) -> Any:
    """Find p and s such that ``exp(x) = s * (1 + p)``, for x from -87.33 to 0."""
    shifted = x * _PER_LN_2 + _ROUND
    n = shifted - _ROUND
    r = (x - n * _LN_2_HIGH) - n * _LN_2_LOW
    p = (((_C4 * r + _C3) * r + _C2) * r + _C1) * r + _C0
    bits = np.int32(np.float32(shifted).view(np.int32) + _BIAS_OF_EXPONENTS)
    scale = np.int32(bits << _BITS_OF_MANTISSA).view(np.float32)
    return p * r * r + r, scale


@_elementwise
def _exp(x: Any) -> Any:
    """Compute exp(x) for x <= 0; NaN stays NaN."""
    p, scale = _exponential_parts(max(x, _LOWEST))
    return scale * (_ONE + p)


@_elementwise
def _logistic(x: Any) -> Any:
    e = _exp(-abs(x))
    y = _ONE / (_ONE + e)
    return e * y if x < _ZERO else y


@_elementwise
def _tanh(x: Any) -> Any:
    # By exp(-2|x|) - 1, without cancellation near 0.
    p, scale = _exponential_parts(max(-_TWO * abs(x), _LOWEST))
    e = scale * p + (scale - _ONE)
    y = e / (_TWO + e)
    return y if x < _ZERO else -y


@_elementwise
def activate(start: int, stop: int, y: Any, bias: Any, activation: int) -> None:
    for i in range(start, stop):
        for j in range(y.shape[1]):
            value = y[i, j] + bias[j]
            if activation == 2:
                value = _tanh(value)
            elif activation == 1:
                # Keep NaN.
                value = _ZERO if value < _ZERO else value
            y[i, j] = value


@_elementwise
def activate_gradient(
    start: int, stop: int, g: Any, y: Any, activation: int, product: Any, sums: Any
) -> None:
    for block in range(start, stop):
        for i in range(block * BLOCK, min((block + 1) * BLOCK, y.shape[0])):
            for j in range(y.shape[1]):
                value = g[i, j]
                if activation == 2:
                    value *= _ONE - y[i, j] * y[i, j]
                elif activation == 1:
                    value = value if y[i, j] > _ZERO else _ZERO
                if activation > 0:
                    product[i, j] = value
                sums[block, j] += value


@_elementwise
def _in_order(bits: Any) -> Any:
    """Map the bits of a float to an integer with the same order, and back."""
    return np.int32(bits ^ np.int32((bits >> _SIGN_BIT) & _ALL_BUT_SIGN))


@_reduction
def cross_entropy(
    start: int, stop: int, logits: Any, bias: Any, labels: Any, gradient: bool, losses: Any
) -> None:
    count = np.float32(logits.shape[0])
    for i in range(start, stop):
        # Processors find the maximum of many integers at once, even with NaN among them,
        # which then makes the sum NaN.
        largest = _in_order(np.float32(-np.inf).view(np.int32))
        for j in range(logits.shape[1]):
            value = logits[i, j] + bias[j]
            logits[i, j] = value
            largest = max(largest, _in_order(np.float32(value).view(np.int32)))
        top = np.int32(_in_order(largest)).view(np.float32)
        chosen = logits[i, labels[i]] - top
        total = _ZERO
        for j in range(logits.shape[1]):
            value = _exp(logits[i, j] - top)
            logits[i, j] = value
            total += value
        losses[i] = np.log(total) - chosen
        if gradient:
            factor = _ONE / (total * count)
            for j in range(logits.shape[1]):
                logits[i, j] *= factor
            logits[i, labels[i]] -= _ONE / count


@_elementwise
def scatter(indices: Any, rows: Any, sums: Any) -> None:
    for i in range(rows.shape[0]):
        index = indices[i]
        for j in range(rows.shape[1]):
            sums[index, j] += rows[i, j]


@_elementwise
def lstm_cell(
    start: int,
    stop: int,
    gates: Any,
    recurrent: Any,
    cell: Any,
    next_cell: Any,
    squashed: Any,
    hidden: Any,
) -> None:
    units = cell.shape[1]
    for i in range(start, stop):
        for j in range(2 * units):
            gates[i, j] = _logistic(gates[i, j] + recurrent[i, j])
        for j in range(units):
            k = 2 * units + j
            gates[i, k] = _tanh(gates[i, k] + recurrent[i, k])
        for j in range(units):
            k = 3 * units + j
            gates[i, k] = _logistic(gates[i, k] + recurrent[i, k])
        # Loops over few arrays each, as the compiler limits the checks for overlap before a
        # vectorized loop.
        for j in range(units):
            kept = gates[i, units + j] * cell[i, j]
            next_cell[i, j] = kept + gates[i, j] * gates[i, 2 * units + j]
        for j in range(units):
            squashed[i, j] = _tanh(next_cell[i, j])
        for j in range(units):
            hidden[i, j] = gates[i, 3 * units + j] * squashed[i, j]


@_elementwise
def lstm_cell_gradient(
    start: int,
    stop: int,
    gates: Any,
    cell: Any,
    squashed: Any,
    output_gradient: Any,
    hidden_gradient: Any,
    cell_gradient: Any,
) -> None:
    units = cell.shape[1]
    for i in range(start, stop):
        for j in range(units):
            entry, forget = gates[i, j], gates[i, units + j]
            candidate, exit_ = gates[i, 2 * units + j], gates[i, 3 * units + j]
            tangent = squashed[i, j]
            dh = output_gradient[i, j] + hidden_gradient[i, j]
            dc = cell_gradient[i, j] + dh * exit_ * (_ONE - tangent * tangent)
            kept = dc * forget
            gates[i, j] = dc * candidate * entry * (_ONE - entry)
            gates[i, units + j] = kept * (_ONE - forget) * cell[i, j]
            gates[i, 2 * units + j] = dc * entry * (_ONE - candidate * candidate)
            gates[i, 3 * units + j] = dh * tangent * exit_ * (_ONE - exit_)
            cell_gradient[i, j] = kept
