"""The directive ``command``: usage, options and examples, read off the command line itself.

Its argument is a command of ``lookahead-ref``, such as ``theory alpha``; without one it
describes the options that stand before a command.
"""

from typing import Any

import typer
from docutils import nodes
from rich.text import Text
from sphinx.util.docutils import SphinxDirective
from typer.main import get_command

from lookahead_ref.cli.app import EXAMPLES, app


class CommandReference(SphinxDirective):
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0] if self.arguments else ""
        command: Any = get_command(app)
        context = typer.Context(command, info_name="lookahead-ref")
        for word in name.split():
            if word not in command.commands:
                raise self.error(f"lookahead-ref has no command {name!r}")
            command = command.commands[word]
            context = typer.Context(command, info_name=word, parent=context)
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        return [
            *[nodes.paragraph("", _plain(each)) for each in command.help.split("\n\n")],
            _code(usage, "text"),
            _options(command, context),
            nodes.paragraph("", "Examples:"),
            _code("\n".join(EXAMPLES[name]), "sh"),
        ]


def _options(command: Any, context: Any) -> nodes.definition_list:
    options = nodes.definition_list(classes=["options"])
    for parameter in command.get_params(context):
        declaration, told = parameter.get_help_record(context)
        told = told.replace(parameter.help, _plain(parameter.help))
        options += nodes.definition_list_item(
            "",
            nodes.term("", "", nodes.literal("", declaration)),
            nodes.definition("", nodes.paragraph("", told)),
        )
    return options


def _code(text: str, language: str) -> nodes.literal_block:
    return nodes.literal_block(text, text, language=language)


def _plain(text: str) -> str:
    return Text.from_markup(" ".join(text.split())).plain


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("command", CommandReference)
    return {"parallel_read_safe": True}
