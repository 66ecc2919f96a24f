"""One HTML page that holds everything: it opens with no network, on a phone too."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Section", "code", "definitions", "page", "paragraph", "picture"]


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    body: str
    """HTML, such as `paragraph`, `definitions`, `picture` and `Table.html` make it."""


def page(title: str, summary: str, sections: Sequence[Section]) -> str:
    """Lay out a whole HTML document, light or dark as the reader's system is."""
    escape = html.escape
    body = "\n".join(
        f"<section>\n<h2>{escape(section.title)}</h2>\n{section.body}\n</section>"
        for section in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p class="summary">{escape(summary)}</p>
{body}
</main>
</body>
</html>
"""


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


def picture(light: bytes, dark: bytes, *, alternative: str, caption: str) -> str:
    """Embed a PNG file for a light page and one for a dark, with words for both."""
    return f"""<figure>
<div class="wide"><picture>
<source media="(prefers-color-scheme: dark)" srcset="{_data_uri(dark)}">
<img src="{_data_uri(light)}" alt="{html.escape(alternative)}">
</picture></div>
<figcaption>{html.escape(caption)}</figcaption>
</figure>"""


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


_STYLE = """\
:root {
  --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff; --tint: #f3f5f7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e9ec; --soft: #a2abb5; --line: #3a424b; --paper: #14171b; --tint: #1f242a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
main { max-width: 54rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0 .75rem; }
h2 {
  font-size: 1.2rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line);
}
.summary { font-size: 1.08rem; }
p { max-width: 44rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
td { white-space: nowrap; }
th:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
figure { margin: 0 0 1.5rem; }
figcaption { color: var(--soft); font-size: .88rem; padding-top: .6rem; }
.wide { overflow-x: auto; }
.wide img { display: block; width: 100%; min-width: 34rem; height: auto; }
pre {
  overflow-x: auto; background: var(--tint); border-radius: 6px; padding: .75rem 1rem;
  font: .88rem/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
}
dl { margin: 0; }
dl div {
  display: grid; grid-template-columns: 13rem 1fr; gap: .25rem 1rem; padding: .35rem 0;
  border-bottom: 1px solid var(--line);
}
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 38rem) {
  main { padding: 1rem .9rem 3rem; }
  dl div { grid-template-columns: 1fr; gap: 0; }
  th, td { padding: .4rem .35rem; font-size: .92rem; }
}
@media print { .wide img { min-width: 0; } }
"""
