"""The numbers of the paper beside which the reproductions stand.

Source: M. R. Zhang, J. Lucas, G. Hinton and J. Ba, "Lookahead Optimizer: k steps forward, 1
step back", NeurIPS 2019, Tables 1, 2, 3 and 5, by the names that the reproductions give to
what is in a row.
"""

from collections.abc import Mapping
from types import MappingProxyType

from lookahead_ref.report.tables import MISSING, Summary

__all__ = ["TABLE_1", "TABLE_2", "TABLE_3", "TABLE_5"]


def _reported(mean: float, deviation: float | None = None) -> Summary:
    # Over how many runs, the tables do not say.
    return Summary(mean, deviation, 1)


TABLE_1: Mapping[str, tuple[Summary, Summary]] = MappingProxyType(
    {
        "SGD": (_reported(95.23, 0.19), _reported(78.24, 0.18)),
        "Polyak": (_reported(95.26, 0.04), _reported(77.99, 0.42)),
        "Adam": (_reported(94.84, 0.16), _reported(76.88, 0.39)),
        "Lookahead": (_reported(95.27, 0.06), _reported(78.34, 0.05)),
    }
)
"""Final validation accuracy in percent on CIFAR-10 and on CIFAR-100."""

TABLE_2: Mapping[str, tuple[Summary, Summary, Summary, Summary]] = MappingProxyType(
    {
        "SGD": (_reported(74.43), _reported(92.15), _reported(75.15), _reported(92.56)),
        "Lookahead": (
            _reported(75.13),
            _reported(92.22),
            _reported(75.49),
            _reported(92.53),
        ),
    }
)
"""Top-1 and top-5 accuracy in percent on ImageNet, after epoch 50 and after epoch 60."""

TABLE_3: Mapping[str, tuple[Summary, Summary, Summary]] = MappingProxyType(
    {
        "SGD": (_reported(43.62), _reported(66.0), _reported(63.90)),
        "Lookahead (SGD)": (_reported(35.02), _reported(65.10), _reported(63.04)),
        "Adam": (_reported(33.54), _reported(61.64), _reported(59.33)),
        "Lookahead (Adam)": (_reported(31.92), _reported(60.28), _reported(57.72)),
        "Polyak": (MISSING, _reported(61.18), _reported(58.79)),
    }
)
"""Perplexity on Penn Treebank: training, validation, test."""

TABLE_5: Mapping[str, Summary] = MappingProxyType(
    {
        "SGD": _reported(77.72),
        "k = 5, alpha = 0.5": _reported(78.24, 0.02),
        "k = 5, alpha = 0.8": _reported(78.27, 0.04),
        "k = 10, alpha = 0.5": _reported(78.19, 0.22),
        "k = 10, alpha = 0.8": _reported(77.94, 0.22),
    }
)
"""Final validation accuracy in percent on CIFAR-100; that of SGD is from its caption."""
