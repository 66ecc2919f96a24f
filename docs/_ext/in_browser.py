"""Lets a page's examples run in the browser: the directive ``run-in-browser``, a button.

The library's core is pure Python and needs NumPy alone. `pack` packs it, with
array-api-compat and autograd, for Pyodide to unpack; `try.js` does the rest. Pyodide and
NumPy come from Pyodide's own server, when the button is pressed and not before.
"""

import importlib
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

PARTS = {
    "lookahead-ref": (
        *("lookahead_ref", "lookahead_ref.optimizers", "lookahead_ref.stepping"),
        *("lookahead_ref.theory", "lookahead_ref.backends"),
    ),
    "array-api-compat": (
        *("array_api_compat", "array_api_compat.common", "array_api_compat.numpy"),
    ),
    "autograd": ("autograd", "autograd.numpy"),
}
"""Distributions, and the packages of each whose modules are packed."""


def pack(target: Path) -> None:
    """Write the archive; the same files give the same bytes."""
    files: dict[str, str] = {}
    for name, packages in PARTS.items():
        found = distribution(name)
        record = f"{name.replace('-', '_')}-{found.version}.dist-info"
        for kind in ("METADATA", "entry_points.txt"):
            files[f"{record}/{kind}"] = found.read_text(kind) or ""
        for package in packages:
            (folder,) = importlib.import_module(package).__path__
            for path in Path(folder).glob("*.py"):
                place = f"{package.replace('.', '/')}/{path.name}"
                files[place] = path.read_text(encoding="utf-8")
    with zipfile.ZipFile(target, "w") as archive:
        for place, text in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(place), text, zipfile.ZIP_DEFLATED)


def finish(app: Any, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        pack(Path(app.outdir) / "_static" / "lookahead_ref.zip")


def setup(app: Any) -> dict[str, Any]:
    # Here, so that the tests can pack without Sphinx.
    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    class RunInBrowser(SphinxDirective):
        def run(self) -> list[nodes.Node]:
            button = '<button type="button" id="try">Run this page</button>'
            told = "<span>in your browser; the examples can then be edited.</span>"
            script = '<script defer src="_static/try.js"></script>'
            text = f'<p class="try">{button} {told}</p>{script}'
            return [nodes.raw("", text, format="html")]

    app.add_directive("run-in-browser", RunInBrowser)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True}
