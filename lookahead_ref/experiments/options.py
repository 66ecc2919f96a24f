"""What makes a field of settings an option of a command, and settings a command line."""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from keyword import iskeyword
from typing import Any


@dataclass(frozen=True)
class Option:
    """A setting's option on the command line."""

    help: str
    name: str | None = None
    """Its name, if that is not the field's."""
    panel: str | None = None
    """Its heading in the help."""
    least: int | None = None
    metavar: str | None = None
    choices: str | tuple[str, ...] = ()
    """Values for completion in a shell, or ``module:name`` of them."""
    given: Any = None
    """Its type on the command line, if that is not the field's."""
    read: Callable[[Any], Any] = lambda value: value
    """Converts a value on the command line to the field's."""
    show_default: bool | str = True


def setting(default: Any, text: str, **more: Any) -> Any:
    """Declare a field with an option, by its help text."""
    return field(default=default, metadata={"option": Option(text, **more)})


def several(kind: type, text: str, **more: Any) -> Any:
    """Declare a field that is a tuple, with an option that may be repeated."""
    more = {"show_default": False, "read": tuple, **more}
    return setting((), text, given=list[kind] | None, **more)  # type: ignore[valid-type]


def options(settings: Any) -> Iterator[tuple[str, Option, Any]]:
    """Yield each option's place, such as ``base.epochs``, its declaration and value."""
    own = [each for each in fields(settings) if "option" in each.metadata]
    beside = {parameter_name(each.name, each.metadata["option"]) for each in own}
    for each in fields(settings):
        value = getattr(settings, each.name)
        if "option" in each.metadata:
            yield each.name, each.metadata["option"], value
        for name, option, inner in options(value) if "shared" in each.metadata else ():
            if (
                name in each.metadata["shared"]
                and parameter_name(name, option) not in beside
            ):
                yield f"{each.name}.{name}", option, inner


def parameter_name(place: str, option: Option) -> str:
    """Return the name of an option as a command's parameter."""
    name = (option.name or place.rpartition(".")[2]).strip("-").replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def command(name: str, settings: Any) -> str:
    """Return the command line for settings, without defaults."""
    words = ["lookahead-ref", *name.split()]
    usual = {place: value for place, _, value in options(type(settings)())}
    for place, option, value in options(settings):
        word = f"--{parameter_name(place, option).strip('_').replace('_', '-')}"
        if value == usual[place]:
            continue
        if isinstance(value, tuple):
            words += [part for each in value for part in _repeated(word, each)]
        elif value is True:
            words.append(word)
        elif value is False and not (option.name or "").startswith("--"):
            words.append(f"--no-{word.strip('-')}")
        elif value is not None and value is not False:
            words += [word, str(value)]
    return shlex.join(words)


def _repeated(word: str, value: Any) -> list[str]:
    if not isinstance(value, tuple):
        return [word, str(value)]
    name, assigned = value
    each = assigned if isinstance(assigned, tuple) else (assigned,)
    return [part for one in each for part in (word, f"{name}={one}" if name else str(one))]
