"""Optimizers, models and data of the user's own: ``module:name`` and ``file.py:name``.

The name is that of an object, or of a function or class that makes it. Modules are also
searched for in the working folder, and imports of a file in the file's folder.
"""

import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lookahead_ref.data import SOURCES, load
from lookahead_ref.experiments.settings import TrainSettings
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.optimizers.base import check_optimizer
from lookahead_ref.stepping.backend import load as load_backend
from lookahead_ref.stepping.stepper import Stepper
from lookahead_ref.system import from_home, read_file
from lookahead_ref.training.protocols import carries
from lookahead_ref.training.state import Placement, check_carried, started
from lookahead_ref.trees import check_params

_FORM = re.compile(r"(?P<where>.+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)")


class PluginError(ValueError):
    """An object of the user's own cannot be loaded or is not of the right kind."""


def is_plugin(text: str) -> bool:
    """Whether a text has the form ``module:name`` or ``file.py:name``."""
    return _FORM.fullmatch(text) is not None


def load_optimizer(
    text: str, learning_rate: float | None, hyperparameters: Mapping[str, Any] | None = None
) -> Any:
    """Load an optimizer; call a class or function with the given arguments."""
    options = dict(hyperparameters or {})
    if learning_rate is not None:
        if "learning_rate" in options:
            raise PluginError(
                f"learning_rate of {text!r} must be given once, got {learning_rate} and "
                f"hyperparameter {options['learning_rate']}"
            )
        options = {"learning_rate": learning_rate, **options}
    found = _made("optimizer", text, "evaluation_params", **options)
    try:
        check_optimizer("optimizer", found)
    except TypeError as error:
        raise PluginError(f"optimizer {text!r} is not one: {error}") from error
    return found


def load_model(text: str, data: Any) -> Any:
    """Load a model; call a class or function with the data."""
    found = _made("model", text, "loss", data)
    evaluation = "evaluator" if hasattr(found, "start") else "evaluate"
    return _having("model", text, found, ("init", "loss", evaluation))


def load_data(text: str, **options: Any) -> Any:
    """Load data of the user's own, or what `lookahead_ref.data.load` takes."""
    if not is_own("data", text):
        return load(text, **options)
    if options:
        raise PluginError(f"data {text!r} takes no options, got {', '.join(options)}")
    found = _made("data", text, "stream")
    found = _having("data", text, found, ("name", "train", "validation", "stream"))
    if not isinstance(found.name, str):
        raise PluginError(f"name of data {text!r} must be a text, got {found.name!r}")
    return found


def digest(text: str) -> str:
    """Return a digest of a user's file, without what it imports."""
    where = text.rpartition(":")[0]
    try:
        with _importing_from(Path.cwd()):
            spec = None if where.endswith(".py") else importlib.util.find_spec(where)
        path = from_home(where) if spec is None else spec.origin
        contents = read_file(Path(str(path)))
    except (ImportError, OSError, ValueError) as error:
        raise PluginError(f"{text!r} cannot be read: {_text(error)}") from error
    return hashlib.sha256(contents).hexdigest()[:16]


@contextmanager
def attributed_to(option: str, text: str) -> Iterator[None]:
    """Name the option and its value in errors of the user's own code."""
    try:
        yield
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        if not is_own(option, text):
            raise
        # The error is about a number on the command line.
        if isinstance(error, ValueError):
            error.add_note(f"{option} {text!r}")
            raise
        raise PluginError(f"{option} {text!r} fails: {_text(error)}") from error


@contextmanager
def located_in(**options: str) -> Iterator[None]:
    """Name the user's file and line in errors during a run."""
    try:
        yield
    except (Exception, SystemExit) as error:
        named = {
            (option, text): _file(text)
            for option, text in options.items()
            if is_own(option, text)
        }
        passed = [
            (Path(frame.f_code.co_filename).resolve(), line)
            for frame, line in traceback.walk_tb(error.__traceback__)
        ]
        for file, line in reversed(passed):
            blame = [f"{o} {t!r}" for (o, t), own in named.items() if own == file]
            if blame:
                raise PluginError(
                    f"{' or '.join(blame)} fails: {_text(error)} ({file.name}, line {line})"
                ) from error
        raise


def try_out(
    named: Mapping[str, str],
    settings: TrainSettings,
    model: Any,
    data: Any,
    optimizer: Any,
    batch_size: int,
) -> None:
    """Make one update, so that errors in the user's code come before a run begins."""
    own = {option for option, text in named.items() if is_own(option, text)}
    placement = Placement(load_backend(settings.backend))
    # The run reports losses and gradients that are not finite.
    with np.errstate(all="ignore"):
        with attributed_to("model", named["model"]):
            params = model.init(settings.seed)
            check_params(params)
        with attributed_to("optimizer", named["optimizer"]):
            optimizer.init(params)
            if "optimizer" in own:
                params = placement.put(params)
                stepper = Stepper(optimizer, params, backend=placement.backend)
                stepper.step(params)  # any gradient will do
                stepper.evaluation_params()
        # The library's own models with a state are slow, and need no trial.
        if not own & {"model", "data"} or (carries(model) and "model" not in own):
            return
        with attributed_to("data", named["data"]):
            batch = next(iter(data.stream(batch_size, settings.seed).epoch()))
            some = data.validation
            if hasattr(some, "take"):  # a text needs more than one token
                some = some.take(np.arange(min(100, some.size)))
        with attributed_to("model", named["model"]):
            params, batch = placement.put(params), placement.put(batch)
            differentiated = value_and_grad(model.loss, has_aux=carries(model))
            if carries(model):
                before = started(model, batch_size, placement)
                rng = np.random.default_rng(settings.seed)
                (_, after), _ = differentiated(params, batch, before, rng)
                check_carried(after, before, params)
            else:
                differentiated(params, batch)
                found = model.evaluate(params, placement.source(some))
                float(found.loss), float(found.accuracy)


def is_own(option: str, text: str) -> bool:
    """Whether an option names the user's own code."""
    # mnist:folder looks like module:name.
    named = option == "data" and text.partition(":")[0] in SOURCES
    return is_plugin(text) and not named


def _file(text: str) -> Path | None:
    where = text.rpartition(":")[0]
    if where.endswith(".py"):
        return Path(from_home(where)).resolve()
    file = getattr(sys.modules.get(where), "__file__", None)
    return None if file is None else Path(file).resolve()


def _find(option: str, text: str) -> Any:
    form = _FORM.fullmatch(text)
    if form is None:
        raise PluginError(f"{option} must be module:name or file.py:name, got {text!r}")
    where, name = form["where"], form["name"]
    try:
        if where.endswith(".py"):
            module = _from_file(Path(from_home(where)))
        else:
            with _importing_from(Path.cwd()):
                module = importlib.import_module(where)
    except (Exception, SystemExit) as error:
        # Report whatever the user's code raises.
        raise PluginError(f"{option} {text!r} cannot be loaded: {_text(error)}") from error
    if not hasattr(module, name):
        raise PluginError(f"{option} {text!r} cannot be loaded: {where} has no {name!r}")
    return getattr(module, name)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        among = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise FileNotFoundError(f"there is no file {path}{among}")
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    folder = path.resolve().parent
    with _without_namesakes(folder), _importing_from(folder):
        # Dataclasses look up their module by name.
        before = sys.modules.get(name)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        finally:
            if before is not None:
                sys.modules[name] = before
    return module


def _module_name(path: Path) -> str:
    name = path.stem
    if not name.isidentifier() or name in sys.modules:
        return name
    # A library that is imported later must not find this file instead.
    other = importlib.util.find_spec(name)
    same = other is None or Path(str(other.origin)).resolve() == path.resolve()
    return name if same else f"own_{name}"


@contextmanager
def _without_namesakes(folder: Path) -> Iterator[None]:
    # Two of the user's folders may each have a utils.py.
    importable = {folder, *(Path(entry).resolve() for entry in sys.path)}
    away = {
        top
        for top in {name.partition(".")[0] for name in sys.modules}
        if (folder / f"{top}.py").exists() or (folder / top / "__init__.py").exists()
        if (place := _place(sys.modules.get(top))) and place not in importable
    }
    hidden = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in away
    }
    for name in hidden:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.modules.update(hidden)


def _place(module: ModuleType | None) -> Path | None:
    """Return the folder from which a module or package was imported, if there is one."""
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    place = Path(file).parent
    return (place.parent if hasattr(module, "__path__") else place).resolve()


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _made(option: str, text: str, mark: str, *arguments: Any, **options: Any) -> Any:
    """Return the named object if it has an attribute; otherwise call it."""
    found = _find(option, text)
    if hasattr(found, mark) and not isinstance(found, type):
        if options:
            raise PluginError(
                f"{next(iter(options))} must be left out with {text!r}, which is an "
                f"{option} with one of its own"
            )
        return found
    if not callable(found):
        raise PluginError(
            f"{option} {text!r} must be one or make one, got {type(found).__name__}"
        )
    try:
        return found(*arguments, **options)
    except (Exception, SystemExit) as error:
        raise PluginError(f"{option} {text!r} cannot be made: {_text(error)}") from error


def _having(option: str, text: str, found: Any, names: tuple[str, ...]) -> Any:
    lacking = [name for name in names if not hasattr(found, name)]
    if lacking:
        raise PluginError(
            f"{option} {text!r} must have {', '.join(names)}; "
            f"{type(found).__name__} has no {' and no '.join(lacking)}"
        )
    return found


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
