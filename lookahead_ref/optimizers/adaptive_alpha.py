"""Proposition 1 on any loss: the slow weights' step size from a curvature estimate."""

import math
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from lookahead_ref import hyperparameters
from lookahead_ref.trees import Array, Tree, evaluate


@dataclass(frozen=True)
class AdaptiveAlpha:
    """Choose alpha at each synchronization, for the least loss along the cycle's line.

    ``Lookahead(Adam(), alpha=AdaptiveAlpha())`` estimates alpha by Proposition 1 of the
    paper; the inner optimizer must keep a second moment of the gradients, as `Adam` and
    `AdaGrad` do. Near an optimum the mean square of the gradient, the empirical Fisher,
    approximates the diagonal of the Hessian A. With d = theta_{t,k} - theta_{t,0} and the
    gradient g, equation (0.3) is alpha* = 1 - g'd / (d'Ad), clipped to [alpha_low, 1], and
    1 where d'Ad is not positive.

    Two more things are approximate: g is the gradient of the cycle's last step, one update
    before theta_{t,k}, and the bias-corrected second moment averages earlier steps. The
    square of a mini-batch's mean gradient is about 1 / (batch size) of the mean square of
    single gradients: `scale`, the batch size, corrects this.

    The products are sums in float64 over each parameter: on NumPy arrays and in a `Stepper`
    on NumPy or Numba alpha has the same bits, elsewhere it agrees to rounding. A stepper
    does a cycle's last inner step twice: once to know alpha, once to write.
    """

    scale: float = 1.0
    alpha_low: float = 0.2

    def __post_init__(self) -> None:
        hyperparameters.positive("scale", self.scale)
        hyperparameters.step_size("alpha_low", self.alpha_low)

    def estimate(
        self, phi: Tree, theta: Tree, grads: Tree, curvature: Tree, factor: float
    ) -> float:
        """Return alpha*, with `factor` times the tree `curvature` as the second moment."""
        parts = evaluate(_products, phi, theta, grads, curvature)
        slope = sum(part[0] for part in parts)
        bend = sum(part[1] for part in parts) * (float(self.scale) * factor)
        alpha = 1.0 - slope / bend if bend > 0.0 else 1.0
        return min(max(alpha, float(self.alpha_low)), 1.0) if math.isfinite(alpha) else 1.0


def _products(phi: Array, theta: Array, g: Array, v: Array) -> tuple[float, float]:
    """Return g'd and d'vd of one parameter."""
    xp: Any = array_namespace(phi)
    phi, theta, g, v = (xp.astype(each, xp.float64) for each in (phi, theta, g, v))
    d = theta - phi
    return float(xp.sum(g * d)), float(xp.sum(v * d * d))
