"""One self-contained HTML page, for a phone too."""

import base64
import html
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import NamedTuple


class Section(NamedTuple):
    """A heading and its content."""

    title: str
    body: str
    """HTML from `paragraph`, `definitions`, `picture` or `Table.html`."""


def page(title: str, summary: str, sections: Sequence[Section]) -> str:
    """Make an HTML document, light or dark like the reader's system."""
    escape = html.escape
    body = "\n".join(
        f"<section>\n<h2>{escape(section.title)}</h2>\n{section.body}\n</section>"
        for section in sections
    )
    template = Template(files(__package__).joinpath("page.html").read_text("utf-8"))
    return template.substitute(title=escape(title), summary=escape(summary), body=body)


def paragraph(text: str) -> str:
    """Return plain text as a paragraph."""
    return f"<p>{html.escape(text)}</p>"


def code(text: str) -> str:
    """Return plain text as a block of code."""
    return f"<pre><code>{html.escape(text)}</code></pre>"


def definitions(items: Mapping[str, object]) -> str:
    """Return names and values as a list, in the given order."""
    entries = "\n".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd></div>"
        for name, value in items.items()
    )
    return f"<dl>\n{entries}\n</dl>"


def picture(light: bytes, dark: bytes, caption: str) -> str:
    """Embed a PNG file for a light page and one for a dark page."""
    caption = html.escape(caption)
    return f"""<figure>
<div class="wide"><picture>
<source media="(prefers-color-scheme: dark)" srcset="{_data_uri(dark)}">
<img src="{_data_uri(light)}" alt="{caption}">
</picture></div>
<figcaption>{caption}</figcaption>
</figure>"""


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
