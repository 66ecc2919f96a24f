"""Options that are made from declared settings, and those that several commands have."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from lookahead_ref.cli.terminal import reported
from lookahead_ref.experiments.settings import Option, options

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each setting of its parameters that are settings."""
    own = inspect.signature(command).parameters.values()
    hints = get_type_hints(command, include_extras=True)
    of_settings = [each.name for each in own if is_dataclass(hints[each.name])]
    shown: list[inspect.Parameter] = []
    for each in own:
        kind = hints[each.name]
        if each.name in of_settings:
            shown += [_parameter(kind, *found) for found in options(kind)]
        else:
            kept = inspect.Parameter.KEYWORD_ONLY
            shown.append(each.replace(kind=kept, annotation=kind))

    def called(**values: Any) -> None:
        with reported():
            for name in of_settings:
                values[name] = _settings(hints[name], values)
        command(**values)

    called.__name__ = command.__name__
    called.__doc__ = command.__doc__
    called.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    called.__annotations__ = {}
    return called


def _parameter(settings: type, field: str, option: Option) -> inspect.Parameter:
    kind = option.given or get_type_hints(settings)[field]
    name = option.name or field
    # Of a single letter Typer would make a short option.
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
        name.strip("-").replace("-", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=None if option.given else getattr(settings, field),
        annotation=Annotated[kind, made],
    )


def completing(choices: str | tuple[str, ...]) -> Callable[[str], list[str]]:
    """Return what completes a value from choices, or ``module:name`` of them."""

    def complete(incomplete: str) -> list[str]:
        found: Any = choices
        if isinstance(choices, str):
            module, _, name = choices.partition(":")
            found = getattr(importlib.import_module(module), name)
        known = found() if callable(found) else found
        return [name for name in known if name.startswith(incomplete)]

    return complete


def _settings(kind: type, values: dict[str, Any]) -> Any:
    """Take the values of settings out of all that a command was given."""
    given = {}
    for field, option in options(kind):
        value = values.pop((option.name or field).strip("-").replace("-", "_"))
        if option.given and not value:
            continue
        given[field] = option.read(value)
    return kind(**given)
