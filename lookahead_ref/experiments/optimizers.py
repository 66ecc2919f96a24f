"""Optimizers by their names on the command line and in result files."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import lookahead_ref as la
from lookahead_ref import hyperparameters
from lookahead_ref.experiments import plugins
from lookahead_ref.experiments.settings import TrainSettings, assigned_once
from lookahead_ref.system import read_table
from lookahead_ref.training.feedback import NonMonotone

T = TypeVar("T")

Role = Literal["plain", "lookahead", "other"]
"""How the curve of an optimizer is drawn."""

_INNER: Mapping[str, tuple[str, type[Any]]] = {
    "sgd": ("SGD", la.SGD),
    "heavy-ball": ("Heavy ball", la.HeavyBall),
    "nesterov": ("Nesterov", la.Nesterov),
    "adagrad": ("AdaGrad", la.AdaGrad),
    "adam": ("Adam", la.Adam),
    "rmsprop": ("RMSProp", la.RMSProp),
    "amsgrad": ("AMSGrad", la.AMSGrad),
    "radam": ("RAdam", la.RAdam),
    "lion": ("Lion", la.Lion),
}
_OF_GROUPS = (
    *("optimizer", "learning_rate", "momentum", "weight_decay", "weight_decay_kind"),
    *("k", "alpha", "inner_state", "outer", "outer_learning_rate", "outer_momentum"),
)
WITH_MOMENTUM = ("heavy-ball", "nesterov")
_WITH = {
    "outer": "lookahead-NAME",
    "outer_learning_rate": "an outer optimizer",
    "outer_momentum": "an outer heavy-ball or nesterov",
}
_WRAPPERS = ("lookahead-", "snoo-", "polyak-")

SEARCHED = read_table("lookahead_ref.experiments", "learning_rates.toml")
"""Learning rates, and how they were found."""

_OF_MODELS = {
    name: each for names, each in SEARCHED["models"].items() for name in names.split()
}
LEARNING_RATES: Mapping[str, Mapping[str, float]] = {
    model: each["rates"] for model, each in _OF_MODELS.items()
}
"""Inner learning rates by model."""


def where_from(model: str) -> str:
    """Say where a model's default learning rates come from."""
    return str(_OF_MODELS[model]["found"])


NAMES: tuple[str, ...] = (
    *_INNER,
    *(wrapper + inner for wrapper in _WRAPPERS for inner in _INNER),
)
"""Every name that `build` takes, besides the user's own."""

COMPARED: tuple[str, ...] = (
    *("sgd", "heavy-ball", "nesterov", "adagrad", "adam", "polyak-sgd"),
    *("lookahead-sgd", "lookahead-heavy-ball", "lookahead-nesterov", "lookahead-adam"),
)
"""The optimizers of the main comparison, in the order of its table."""


@dataclass(frozen=True)
class Method:
    """An optimizer's names, and its place in pictures."""

    name: str
    """Its name on the command line and in result files."""
    title: str
    """Its name in tables and pictures."""
    family: str
    """Methods of a family share a panel of a picture."""
    role: Role


def method(name: str) -> Method:
    """Return the names of an optimizer, and its place in pictures."""
    wrapper, inner = _parse(name)
    title = _INNER[inner][0] if inner in _INNER else inner.rpartition(":")[2]
    family = (
        inner if inner in ("sgd", *WITH_MOMENTUM) or inner not in _INNER else "adaptive"
    )
    if wrapper in ("lookahead-", "snoo-"):
        within = title if title != "Heavy ball" else "heavy ball"
        outside = "SNOO" if wrapper == "snoo-" else "Lookahead"
        return Method(name, f"{outside} ({within})", family, "lookahead")
    if wrapper == "polyak-":
        title = "Polyak averaging" + ("" if inner == "sgd" else f" ({title})")
        return Method(name, title, family, "other")
    return Method(name, title, family, "other" if inner == "adagrad" else "plain")


def default_learning_rate(name: str, model: str) -> float | None:
    """Return the innermost optimizer's rate; None if it is the user's own."""
    inner = _parse(name)[1]
    if inner not in _INNER:
        return None
    rates = LEARNING_RATES.get(model, {})
    if inner not in rates:
        raise ValueError(
            f"learning_rate must be given for optimizer {name} and model {model}: none was "
            "measured or published for them"
        )
    return rates[inner]


def inner_name(name: str) -> str:
    """Return the name of the wrapped optimizer, or its own name if it wraps none."""
    return _parse(name)[1]


def canonical(name: str, outer: str | None) -> str:
    """Return the shorter of two names: SNOO is an outer nesterov."""
    wrapper, inner = _parse(name)
    return f"snoo-{inner}" if (wrapper, outer) == ("lookahead-", "nesterov") else name


def has(option: str, optimizer: str, outer: str | None = None) -> bool:
    """Whether an optimizer has a setting; all have most of them."""
    wrapper, inner = _parse(optimizer)
    outer = _outer_name(wrapper, outer)
    around = wrapper in ("lookahead-", "snoo-")
    of_some = {
        "hyperparameters": plugins.is_plugin(inner),
        "momentum": inner in WITH_MOMENTUM,
        "k": around,
        "inner_state": around,
        "workers": around,
        "alpha": wrapper == "lookahead-" and outer is None,
        "outer": wrapper == "lookahead-",
        "outer_learning_rate": outer is not None,
        "outer_momentum": outer in WITH_MOMENTUM,
        "nonmonotone": wrapper == "polyak-",
    }
    return of_some.get(option, True)


def alpha(settings: TrainSettings) -> float | None:
    """Return the effective step size of the slow weights, or None."""
    if not has("alpha", settings.optimizer, settings.outer):
        return None
    return 0.5 if settings.alpha is None else settings.alpha


def fitted(settings: TrainSettings) -> TrainSettings:
    """Return shared settings without the options that this optimizer lacks."""
    shared = ["hyperparameters", "nonmonotone"]
    if not settings.optimizer.startswith("lookahead-"):
        shared += ["outer", "outer_learning_rate", "outer_momentum", "workers"]
    left_out = [name for name in shared if not has(name, settings.optimizer)]
    default = TrainSettings()
    return replace(settings, **{name: getattr(default, name) for name in left_out})


def named(settings: TrainSettings) -> dict[str, str]:
    """Return the names in settings that may be the user's own, by option."""
    inner = inner_name(settings.optimizer)
    return {"optimizer": inner, "model": settings.model, "data": settings.data}


def build(settings: TrainSettings) -> Any:
    """Make the optimizer of a run whose learning rate is known."""
    if settings.groups:
        rest = replace(settings, groups=())
        groups = {
            pattern: in_group(text, build, own)
            for text, (pattern, _, own) in of_groups(settings).items()
        }
        return la.Grouped({**groups, **({} if "*" in groups else {"*": build(rest)})})
    wrapper, inner = _parse(settings.optimizer)
    _check_outer(wrapper, settings)
    if inner not in _INNER:
        optimizer = plugins.load_optimizer(
            inner, settings.learning_rate, dict(settings.hyperparameters)
        )
        with plugins.attributed_to("optimizer", inner):
            return _wrapped(wrapper, optimizer, settings)
    if settings.hyperparameters:
        raise ValueError(
            f"hyperparameter {settings.hyperparameters[0][0]} is for optimizers of your "
            f"own, got it with {settings.optimizer}"
        )
    options: dict[str, Any] = {"weight_decay": settings.weight_decay}
    if settings.weight_decay_kind is not None:
        options["weight_decay_kind"] = settings.weight_decay_kind
    made = _make(inner, settings.learning_rate, settings.momentum, **options)
    return _wrapped(wrapper, made, settings)


def of_groups(settings: TrainSettings) -> dict[str, tuple[str, list[str], TrainSettings]]:
    """Read each ``PATTERN:NAME=VALUE,...``: the pattern, the names, and all settings."""
    rest = replace(settings, groups=())
    return {text: in_group(text, _group, rest, text) for text in settings.groups}


def in_group(text: str, function: Callable[..., T], *args: Any) -> T:
    """Call a function, whose errors name a group."""
    try:
        return function(*args)
    except (TypeError, ValueError) as error:
        raise ValueError(f"group {text!r}: {error}") from error


def _group(rest: TrainSettings, text: str) -> tuple[str, list[str], TrainSettings]:
    pattern, _, assigned = text.partition(":")
    if not (pattern and assigned):
        raise ValueError("it must be PATTERN:NAME=VALUE,...")
    given = {n.replace("-", "_"): v for n, v in assigned_once(assigned.split(","), "group")}
    names = list(given)
    for name in names:
        if name not in _OF_GROUPS:
            raise ValueError(f"it can change {', '.join(_OF_GROUPS)}; got {name!r}")
    if "optimizer" in given:
        rate = default_learning_rate(given["optimizer"], rest.model)
        given.setdefault("learning_rate", rate)
    return pattern, names, replace(rest, **given)


def refuse_unused(given: Iterable[str], *settings: TrainSettings) -> None:
    """Refuse options that no optimizer of these settings has."""
    for option in given:
        if not any(has(option, each.optimizer, each.outer) for each in settings):
            name = settings[0].optimizer
            raise ValueError(f"{option} cannot be given with {name}, which has none")


def _check_outer(wrapper: str, settings: TrainSettings) -> None:
    """Refuse options of an outer optimizer that would not be used."""
    given = settings.outer
    if given is not None:
        hyperparameters.option("outer", given, tuple(_INNER))
    for name, wanted in _WITH.items():
        value = getattr(settings, name)
        usual = value == getattr(TrainSettings, name)
        if not usual and not has(name, settings.optimizer, given):
            raise ValueError(
                f"{name} must be given with {wanted}, got {value} with "
                f"{settings.optimizer}" + (f" and outer {given}" if given else "")
            )
    outer = _outer_name(wrapper, given)
    if outer is not None:
        if settings.alpha is not None:
            raise ValueError(
                "alpha and an outer optimizer cannot both be given, got alpha = "
                f"{settings.alpha} and {outer}"
            )
        if (rate := _outer_rate(outer, settings)) is None:
            raise ValueError(
                f"outer_learning_rate must be given with outer {outer}, got none"
            )
        hyperparameters.positive("outer_learning_rate", rate)
    hyperparameters.below_one("outer_momentum", settings.outer_momentum)


def _outer_name(wrapper: str, given: str | None) -> str | None:
    return {"snoo-": "nesterov", "lookahead-": given}.get(wrapper)


def _outer_rate(name: str, settings: TrainSettings) -> float | None:
    # DiLoCo's, see `lookahead_ref.diloco`; adaptive optimizers need a different one.
    default = 0.7 if name in ("sgd", *WITH_MOMENTUM) else None
    given = settings.outer_learning_rate
    return default if given is None else given


def _make(name: str, learning_rate: Any, momentum: float, **options: Any) -> Any:
    if name in WITH_MOMENTUM:
        options["momentum"] = momentum
    return _INNER[name][1](learning_rate=learning_rate, **options)


def _wrapped(wrapper: str, optimizer: Any, settings: TrainSettings) -> Any:
    n = settings.nonmonotone
    if wrapper == "polyak-":
        return la.PolyakAveraging(optimizer, begun=None if n is None else NonMonotone(n))
    if n is not None:
        raise ValueError(
            f"nonmonotone must be given with polyak-NAME, got {n} with {settings.optimizer}"
        )
    if not wrapper:
        return optimizer
    inner_state: Any = settings.inner_state  # checked by Lookahead
    name = _outer_name(wrapper, settings.outer)
    if name is None:
        return la.Lookahead(optimizer, settings.k, settings.alpha, inner_state)
    outer = _make(name, _outer_rate(name, settings), settings.outer_momentum)
    return la.Lookahead(optimizer, settings.k, inner_state=inner_state, outer=outer)


def _parse(name: str) -> tuple[str, str]:
    """Split a name into wrapper and rest; ./lookahead-file.py:name has no wrapper."""
    for wrapper in (*_WRAPPERS, ""):
        inner = name.removeprefix(wrapper)
        known = inner in _INNER or plugins.is_plugin(inner)
        if name.startswith(wrapper) and known:
            return wrapper, inner
    raise ValueError(
        f"optimizer must be one of {', '.join(NAMES)}, or your own as module:name or "
        f"file.py:name; got {name!r}{hyperparameters.close_to(name, NAMES)}"
    )
