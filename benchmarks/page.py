"""Write docs/benchmarks.md and its picture from the results of ``lookahead-ref bench``.

    python benchmarks/page.py RESULTS.json ...

Each file is a run, or the part of one that ``--only`` chose.
"""

import json
import sys
from pathlib import Path

from lookahead_ref.bench.page import page
from lookahead_ref.bench.picture import roofline
from lookahead_ref.report.plots import svg

DOCS = Path(__file__).parents[1] / "docs"

if __name__ == "__main__":
    runs = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    (DOCS / "benchmarks.md").write_text(page(runs))
    newest = {row["section"]: run for run in runs for row in run["timings"]}
    rows = [
        row
        for section, run in newest.items()
        for row in run["timings"]
        if row["section"] == section
    ]
    (DOCS / "_static" / "roofline.svg").write_bytes(svg(roofline(rows)))
