"""Puts the repository's address, from ``pyproject.toml``, where a page has OWNER's."""

from typing import Any

from docutils import nodes

PLACEHOLDER = "OWNER/lookahead-ref"


def complete(app: Any, doctree: nodes.document) -> None:
    owned = app.config.repository.removeprefix("https://github.com/")
    for text in [each for each in doctree.findall(nodes.Text) if PLACEHOLDER in each]:
        parent = text.parent
        parent.replace(text, nodes.Text(text.replace(PLACEHOLDER, owned)))
        parent.rawsource = parent.astext()  # a block that differs from it has no colours
    for link in doctree.findall(nodes.reference):
        if PLACEHOLDER in link.get("refuri", ""):
            link["refuri"] = link["refuri"].replace(PLACEHOLDER, owned)


def setup(app: Any) -> dict[str, Any]:
    app.add_config_value("repository", "", "env")
    app.connect("doctree-read", complete)
    return {"parallel_read_safe": True}
