"""Optimizers by the names that the command line and the result files use."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import lookahead_ref as la
from lookahead_ref.experiments import plugins

__all__ = [
    "COMPARED",
    "LEARNING_RATES",
    "LEARNING_RATES_OF",
    "NAMES",
    "Method",
    "build",
    "default_learning_rate",
    "inner_name",
    "method",
]

_INNER: Mapping[str, tuple[str, type[Any]]] = MappingProxyType(
    {
        "sgd": ("SGD", la.SGD),
        "heavy-ball": ("Heavy ball", la.HeavyBall),
        "nesterov": ("Nesterov", la.Nesterov),
        "adagrad": ("AdaGrad", la.AdaGrad),
        "adam": ("Adam", la.Adam),
    }
)
_WRAPPERS = ("lookahead-", "polyak-")

LEARNING_RATES: Mapping[str, float] = MappingProxyType(
    {"sgd": 0.3, "heavy-ball": 0.1, "nesterov": 0.1, "adagrad": 0.1, "adam": 0.01}
)
"""Inner learning rates, chosen by `lookahead_ref.experiments.learning_rates`."""

_PUBLISHED = MappingProxyType({"heavy-ball": 0.05, "nesterov": 0.05, "adam": 3e-4})
LEARNING_RATES_OF: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "lstm": MappingProxyType(
            {"sgd": 30.0, "heavy-ball": 3.0, "nesterov": 3.0, "adagrad": 0.1, "adam": 0.03}
        ),
        "resnet18": _PUBLISHED,
        "resnet32": _PUBLISHED,
        "resnet50": _PUBLISHED,
    }
)
"""Inner learning rates for other models.

For the LSTM, those of the lowest validation loss in ``train --model lstm --data pydoc
--hidden 64 --layers 1 --epochs 2 --seed 1000``, one run each, of 1, 3, 10, 30 and 100
for SGD, 0.3, 1, 3, 10 and 30 for heavy ball and Nesterov (3 and 10 differ by less than
a thousandth: the smaller is taken), 0.03, 0.1 and 0.3 for AdaGrad, and 0.003, 0.01,
0.03 and 0.1 for Adam. Longer runs of wider models may want smaller ones. For residual
networks, those that a public re-implementation of the paper's CIFAR experiments uses.
"""

NAMES: tuple[str, ...] = (
    *_INNER,
    *(wrapper + inner for wrapper in _WRAPPERS for inner in _INNER),
)
"""Every name that `build` takes, but for those of the user's own."""


@dataclass(frozen=True)
class Method:
    """How a method is called and drawn."""

    name: str
    """On the command line and in result files."""
    title: str
    """In tables and pictures."""
    family: str
    """Methods that belong in one panel of a picture."""
    role: Literal["plain", "lookahead", "other"]
    """How its curve is drawn."""


def method(name: str) -> Method:
    """Describe a method.

    Parameters
    ----------
    name : str
        One of `NAMES`; or an optimizer of the user's own, as
        `lookahead_ref.experiments.plugins` takes it, with or without ``lookahead-`` or
        ``polyak-`` before it. A file whose name begins so is ``./lookahead-file.py``.

    Returns
    -------
    Method
        How it is called and drawn.

    Raises
    ------
    ValueError
        If there is no such method.

    Examples
    --------
    >>> method("lookahead-heavy-ball").title
    'Lookahead (heavy ball)'
    >>> method("lookahead-mine.py:RMSProp").title
    'Lookahead (RMSProp)'
    """
    wrapper, inner = _parse(name)
    title = _INNER[inner][0] if inner in _INNER else inner.rpartition(":")[2]
    family = "adaptive" if inner in ("adagrad", "adam") else inner
    if wrapper == "lookahead-":
        within = title if title != "Heavy ball" else "heavy ball"
        return Method(name, f"Lookahead ({within})", family, "lookahead")
    if wrapper == "polyak-":
        title = "Polyak averaging" + ("" if inner == "sgd" else f" ({title})")
        return Method(name, title, family, "other")
    return Method(name, title, family, "other" if inner == "adagrad" else "plain")


def default_learning_rate(name: str, model: str = "mlp") -> float | None:
    """Return the learning rate of the innermost optimizer that is used if none is given.

    Parameters
    ----------
    name : str
        As for `method`.
    model : str, default "mlp"
        The model that is to be trained, by the name of the command line.

    Returns
    -------
    float or None
        As `compare` uses it, for the MLP; of `LEARNING_RATES_OF` for others. None for an
        optimizer of the user's own, which may have one.

    Raises
    ------
    ValueError
        If there is no such method, or no rate that was measured or published for it.

    Examples
    --------
    >>> default_learning_rate("lookahead-adam"), default_learning_rate("adam", "resnet18")
    (0.01, 0.0003)
    """
    inner = _parse(name)[1]
    if inner not in _INNER:
        return None
    rates = LEARNING_RATES if model == "mlp" else LEARNING_RATES_OF.get(model, {})
    if inner not in rates:
        raise ValueError(
            f"learning_rate must be given for optimizer {name} and model {model}: none was "
            "measured or published for them"
        )
    return rates[inner]


def inner_name(name: str) -> str:
    """Return the name of what a method wraps; its own if it wraps nothing.

    Parameters
    ----------
    name : str
        As for `method`.

    Returns
    -------
    str
        The name.

    Raises
    ------
    ValueError
        If there is no such method.

    Examples
    --------
    >>> inner_name("polyak-sgd"), inner_name("lookahead-mine.py:RMSProp")
    ('sgd', 'mine.py:RMSProp')
    """
    return _parse(name)[1]


def build(
    name: str,
    *,
    learning_rate: float | None = None,
    k: int = 5,
    alpha: float = 0.5,
    inner_state: str = "maintain",
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    weight_decay_kind: str = "l2",
    hyperparameters: Mapping[str, Any] | None = None,
) -> Any:
    """Make an optimizer.

    Parameters
    ----------
    name : str
        As for `method`. Averaging is the running mean.
    learning_rate : float, optional
        Of the innermost optimizer; by default the one of the main comparison, or its own
        where it is the user's.
    k, alpha, inner_state
        As for `lookahead_ref.Lookahead`; without effect on other methods.
    momentum : float, default 0.9
        Where there is any.
    weight_decay, weight_decay_kind
        Of the innermost optimizer: see `lookahead_ref.SGD`. Without effect on the user's
        own, as `momentum` is.
    hyperparameters : mapping, optional
        What the user's own is made with, besides the learning rate.

    Returns
    -------
    Optimizer
        Of this library.

    Raises
    ------
    TypeError, ValueError
        If a name or a number is not one that the optimizer takes.
    lookahead_ref.experiments.plugins.PluginError
        If the user's own cannot be loaded, or does not go inside what is to wrap it.

    Examples
    --------
    >>> build("lookahead-sgd", learning_rate=0.1, k=6).k
    6
    """
    wrapper, inner = _parse(name)
    if inner not in _INNER:
        optimizer = plugins.load_optimizer(inner, learning_rate, hyperparameters)
        with plugins.blamed("optimizer", inner):
            return _wrapped(wrapper, optimizer, k, alpha, inner_state)
    if hyperparameters:
        raise ValueError(
            f"hyperparameter {next(iter(hyperparameters))} is of optimizers of your own, "
            f"got it for {name}"
        )
    rate = default_learning_rate(name) if learning_rate is None else learning_rate
    options = {"weight_decay": weight_decay, "weight_decay_kind": weight_decay_kind}
    if inner in ("heavy-ball", "nesterov"):
        options["momentum"] = momentum
    made = _INNER[inner][1](learning_rate=rate, **options)
    return _wrapped(wrapper, made, k, alpha, inner_state)


def _wrapped(wrapper: str, optimizer: Any, k: int, alpha: float, inner_state: str) -> Any:
    if wrapper == "lookahead-":
        return la.Lookahead(optimizer, k=k, alpha=alpha, inner_state=inner_state)  # type: ignore[arg-type]  # checked by Lookahead
    if wrapper == "polyak-":
        return la.PolyakAveraging(optimizer)
    return optimizer


def _parse(name: str) -> tuple[str, str]:
    for wrapper in (*_WRAPPERS, ""):
        inner = name.removeprefix(wrapper)
        known = inner in _INNER or plugins.is_plugin(inner)
        if name.startswith(wrapper) and known:
            return wrapper, inner
    raise ValueError(
        f"optimizer must be one of {', '.join(NAMES)}, or your own as module:name or "
        f"file.py:name; got {name!r}"
    )


COMPARED: tuple[Method, ...] = tuple(
    method(name)
    for name in (
        "sgd",
        "heavy-ball",
        "nesterov",
        "adagrad",
        "adam",
        "polyak-sgd",
        "lookahead-sgd",
        "lookahead-heavy-ball",
        "lookahead-nesterov",
        "lookahead-adam",
    )
)
"""The methods of the main comparison, in the order of its table."""
