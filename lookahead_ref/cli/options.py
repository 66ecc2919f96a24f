"""Makes a command's options from declared settings; and options that commands share."""

import importlib
import inspect
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from typing import Annotated, Any, get_type_hints

import typer

from lookahead_ref.cli.terminal import reported
from lookahead_ref.experiments.options import Option, options, parameter_name

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]
Choices = str | tuple[str, ...] | Callable[[], list[str]]


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameters that are settings by an option for each setting."""
    own = inspect.signature(command).parameters.values()
    hints = get_type_hints(command, include_extras=True)
    of_settings = [each.name for each in own if is_dataclass(hints[each.name])]
    shown: list[inspect.Parameter] = []
    for each in own:
        kind = hints[each.name]
        if each.name in of_settings:
            shown += [_parameter(kind, *found) for found in options(kind())]
        else:
            kept = inspect.Parameter.KEYWORD_ONLY
            shown.append(each.replace(kind=kept, annotation=kind))

    def called(**values: Any) -> None:
        with reported():
            for name in of_settings:
                values[name] = _settings(hints[name], values)
        command(**values)

    called.__name__ = command.__name__
    # Typer keeps the line breaks of all but the first paragraph.
    called.__doc__ = re.sub(r"(?<=\S)\n *(?=\S)", " ", command.__doc__ or "")
    called.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    called.__annotations__ = {}
    return called


def _parameter(
    settings: type, place: str, option: Option, default: Any
) -> inspect.Parameter:
    *outer, field = place.split(".")
    for name in outer:
        settings = get_type_hints(settings)[name]
    kind = option.given or get_type_hints(settings)[field]
    name = option.name or field
    # Typer would turn a single letter into a short option.
    spelled = f"--{name}" if len(name) == 1 else name
    made = typer.Option(
        *([spelled] if spelled.startswith("--") else []),
        help=option.help,
        rich_help_panel=option.panel,
        min=option.least,
        metavar=option.metavar,
        show_default=option.show_default,
        autocompletion=completing(option.choices) if option.choices else None,
    )
    return inspect.Parameter(
        parameter_name(place, option),
        inspect.Parameter.KEYWORD_ONLY,
        default=None if option.given else default,
        annotation=Annotated[kind, made],
    )


def completing(choices: Choices) -> Callable[[str], list[str]]:
    """Return a completer for choices, those of a function, or those at ``module:name``."""

    def complete(incomplete: str) -> list[str]:
        found: Any = choices
        if isinstance(choices, str):
            module, _, name = choices.partition(":")
            found = getattr(importlib.import_module(module), name)
        known = found() if callable(found) else found
        return [name for name in known if name.startswith(incomplete)]

    return complete


def _settings(kind: type, values: dict[str, Any]) -> Any:
    """Pick the values of settings from a command's arguments."""
    usual = kind()
    given: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for place, option, _ in options(usual):
        value = values.pop(parameter_name(place, option))
        if option.given and not value:
            continue
        outer, _, field = place.rpartition(".")
        given[outer][field] = option.read(value)
    own = given.pop("", {})
    inner = {name: replace(getattr(usual, name), **each) for name, each in given.items()}
    return kind(**own, **inner)
