"""Powers of 1 - x, accurate even if x is near 0 or 2.

SGD's error shrinks by 1 - x with x = gamma a. In flat directions of a loss this is so near
to 1 that powers of a rounded 1 - x would be wrong. Here x and n are not negative, results
are accurate to a few roundings, and inf beyond the range of numbers.
"""

import numpy as np

from lookahead_ref.theory.checks import Counts, Numbers, Reals, quiet


@quiet
def power(x: Reals, n: Counts) -> Reals:
    """Return (1 - x)^n."""
    magnitude = np.exp(_log(x, n))
    return np.asarray(np.where(_negative(x, n), -magnitude, magnitude))


@quiet
def one_minus_power(x: Numbers, n: Counts) -> Numbers:
    """Return 1 - (1 - x)^n, for complex x too."""
    if np.iscomplexobj(x):
        log, angle = _log(_below(x), n) / 2.0, n * np.angle(1.0 - x)
        real = 2.0 * np.sin(angle / 2.0) ** 2 - np.expm1(log) * np.cos(angle)
        return np.asarray(real - 1j * np.exp(log) * np.sin(angle))
    log = _log(x, n)
    return np.where(_negative(x, n), 1.0 + np.exp(log), -np.expm1(log))


@quiet
def one_plus_power(x: Reals, n: Counts) -> Reals:
    """Return 1 + (1 - x)^n."""
    log = _log(x, n)
    return np.where(_negative(x, n), -np.expm1(log), 1.0 + np.exp(log))


@quiet
def geometric(x: Numbers, n: Counts) -> Reals:
    """Return sum_{i<n} |1 - x|^{2i}, for complex x too."""
    below = _below(x)
    level = below == 0.0  # each term is 1
    total = one_minus_power(below, n) / np.where(level, 1.0, below)
    return np.where(level, n, total)


def _below(x: Numbers) -> Reals:
    """Return 1 - |1 - x|^2."""
    return np.asarray(x.real * (2.0 - x.real) - x.imag**2)


@quiet
def _log(x: Reals, n: Counts) -> Reals:
    near_0 = np.log1p(-np.minimum(x, 1.0))
    near_2 = np.log1p(np.maximum(x, 1.0) - 2.0)
    return np.where(n == 0, 0.0, n * np.where(x < 1.0, near_0, near_2))


def _negative(x: Reals, n: Counts) -> Reals:
    """Return whether (1 - x)^n is negative."""
    return np.asarray((x > 1.0) & (n % 2 == 1))
