"""Draws the pictures of the theory before the pages are read, with the program's commands.

They go to the folder ``pictures`` beside the pages, which is not under version control, and
are drawn again when the code that makes them has changed.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from sphinx.util import logging

import lookahead_ref
from lookahead_ref.cli.theory import NAMES

logger = logging.getLogger(__name__)


def draw(app: Any) -> None:
    package = Path(lookahead_ref.__file__).parent
    sources = [
        *package.glob("theory/*.py"),
        *package.glob("experiments/theory/*.py"),
        package / "report" / "plots.py",
    ]
    changed = max(path.stat().st_mtime for path in sources)
    for name in NAMES:
        folder = Path(app.srcdir) / "pictures" / name
        # The numbers are written last.
        numbers = folder / f"{name}.json"
        if numbers.exists() and numbers.stat().st_mtime >= changed:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        command = ["lookahead_ref", "theory", name, "--output", str(folder)]
        logger.info("drawing: lookahead-ref theory %s", name)
        subprocess.run(
            [sys.executable, "-m", *command], check=True, stdout=subprocess.DEVNULL
        )


def setup(app: Any) -> dict[str, Any]:
    app.connect("builder-inited", draw)
    return {"parallel_read_safe": True}
