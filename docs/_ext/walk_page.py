"""Puts the page on which Lookahead walks beside the pages of the documentation.

``lookahead-walk.html`` is made anew at each build, by ``walk/make.py``.
"""

import runpy
from pathlib import Path
from typing import Any


def write(app: Any, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        make = runpy.run_path(str(Path(app.srcdir) / "walk" / "make.py"))
        made = make["page"]("conformance/examples.html")
        target = Path(app.outdir) / "lookahead-walk.html"
        target.write_text(made, encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
