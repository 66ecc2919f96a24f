"""Make the page on which Lookahead walks over a loss surface, in one file.

``python docs/walk/make.py OUT.html``. The optimizer in it is that of the harness in
JavaScript, which ``conform --init javascript`` writes, word for word; with it come some
cases of the golden suite, which the page runs through itself when it is opened.
"""

import json
import sys
from importlib.resources import files
from pathlib import Path

from lookahead_ref.conformance import cases

HERE = Path(__file__).parent
HARNESS = files("lookahead_ref.conformance").joinpath("templates", "lookahead.js")

CASES = (
    "smoke-wrapper",
    "smoke-alpha",
    "smoke-reset",
    "wrapper-coupled-k5-alpha0.8",
    "wrapper-wells-k2-alpha0.5",
    "state-heavy-ball-interpolate-k2-alpha0.5",
    "inner-nesterov-lookahead",
    "inner-adam-alone",
)


def part(source: str, start: str, end: str) -> str:
    """Return what stands between two of the comments that divide the harness."""
    return source[source.index(f"// --- {start}") : source.index(f"// --- {end}")]


def page(example: str | None = None) -> str:
    """Return the page.

    Parameters
    ----------
    example : str, optional
        Where the harness is shown; a page that stands alone refers to nothing.
    """
    told = "JavaScript harness"
    harness = HARNESS.read_text(encoding="utf-8")
    optimizer = part(harness, "Numbers", "The protocol")
    whole = part(harness + "// --- End", "Without a runner", "End")
    gradients = whole[: whole.index("\nfunction record")]
    chosen = {case.id: case for case in cases() if case.id in CASES}
    parts = {
        "style": (HERE / "page.css").read_text(encoding="utf-8"),
        "harness": told if example is None else f'<a href="{example}">{told}</a>',
        "cases": json.dumps([chosen[name].data for name in CASES], separators=(",", ":")),
        "optimizer": optimizer + gradients,
        "walk": (HERE / "walk.js").read_text(encoding="utf-8"),
    }
    made = (HERE / "page.html").read_text(encoding="utf-8")
    for name, text in parts.items():
        made = made.replace(f"{{{{{name}}}}}", text)
    return made


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
