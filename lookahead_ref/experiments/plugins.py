"""Optimizers, models and data of the user's own: ``module:name`` and ``file.py:name``.

What is named is the thing itself or makes it when it is called. Modules are looked for in
the working folder too, and what a file imports in its own.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from lookahead_ref.optimizers.base import check_optimizer

__all__ = ["PluginError", "is_plugin", "load_data", "load_model", "load_optimizer"]

_FORM = re.compile(r"(?P<where>.+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)")


class PluginError(ValueError):
    """What a user named cannot be loaded, or is not what it has to be."""


def is_plugin(text: str) -> bool:
    """Tell whether a text has the form ``module:name`` or ``file.py:name``.

    Parameters
    ----------
    text : str
        The value of an option.

    Returns
    -------
    bool
        Whether it has.

    Examples
    --------
    >>> is_plugin("my/optimizers.py:RMSProp"), is_plugin("lookahead-adam")
    (True, False)
    """
    return _FORM.fullmatch(text) is not None


def load_optimizer(text: str, learning_rate: float | None) -> Any:
    """Load an optimizer.

    Parameters
    ----------
    text : str
        Where it is.
    learning_rate : float, optional
        What a function or class is called with, as ``learning_rate``, if it is given.

    Returns
    -------
    Optimizer
        The optimizer.

    Raises
    ------
    PluginError
        If it cannot be loaded.
    """
    found = _find("optimizer", text)
    if isinstance(found, type) or not hasattr(found, "evaluation_params"):
        options = {} if learning_rate is None else {"learning_rate": learning_rate}
        found = _call("optimizer", text, found, **options)
    elif learning_rate is not None:
        raise PluginError(
            f"learning_rate must be left out with {text!r}, which is an optimizer with "
            "one of its own"
        )
    try:
        check_optimizer("optimizer", found)
    except TypeError as error:
        raise PluginError(str(error)) from error
    return found


def load_model(text: str, data: Any) -> Any:
    """Load a model.

    Parameters
    ----------
    text : str
        Where it is.
    data : Dataset or Corpus
        What a function or class is called with.

    Returns
    -------
    Model
        The model.

    Raises
    ------
    PluginError
        If it cannot be loaded.
    """
    found = _find("model", text)
    if isinstance(found, type) or not hasattr(found, "loss"):
        found = _call("model", text, found, data)
    evaluation = "evaluator" if hasattr(found, "start") else "evaluate"
    return _having("model", text, found, ("init", "loss", evaluation))


def load_data(text: str) -> Any:
    """Load data.

    Parameters
    ----------
    text : str
        Where it is.

    Returns
    -------
    Data
        The data.

    Raises
    ------
    PluginError
        If it cannot be loaded.
    """
    found = _find("data", text)
    if isinstance(found, type) or not hasattr(found, "stream"):
        found = _call("data", text, found)
    return _having("data", text, found, ("name", "train", "validation", "stream"))


def _find(option: str, text: str) -> Any:
    form = _FORM.fullmatch(text)
    if form is None:
        raise PluginError(f"{option} must be module:name or file.py:name, got {text!r}")
    where, name = form["where"], form["name"]
    try:
        module = _from_file(Path(where)) if where.endswith(".py") else _from_module(where)
    except Exception as error:
        # Whatever the user's code raises is for the user to read.
        raise PluginError(f"{option} {text!r} cannot be loaded: {_told(error)}") from error
    if not hasattr(module, name):
        raise PluginError(f"{option} {text!r} cannot be loaded: {where} has no {name!r}")
    return getattr(module, name)


def _from_module(name: str) -> ModuleType:
    with _importing_from(Path.cwd()):
        return importlib.import_module(name)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    with _importing_from(path.resolve().parent):
        # Dataclasses look their module up by its name.
        before = sys.modules.get(path.stem)
        sys.modules[path.stem] = module
        try:
            spec.loader.exec_module(module)
        finally:
            if before is not None:
                sys.modules[path.stem] = before
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _call(option: str, text: str, found: Any, *arguments: Any, **options: Any) -> Any:
    if not callable(found):
        raise PluginError(
            f"{option} {text!r} must be one or make one, got {type(found).__name__}"
        )
    try:
        return found(*arguments, **options)
    except Exception as error:
        raise PluginError(f"{option} {text!r} cannot be made: {_told(error)}") from error


def _having(option: str, text: str, found: Any, names: tuple[str, ...]) -> Any:
    lacking = [name for name in names if not hasattr(found, name)]
    if lacking:
        raise PluginError(
            f"{option} {text!r} must have {', '.join(names)}; "
            f"{type(found).__name__} has no {' and no '.join(lacking)}"
        )
    return found


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
