"""Run the suite in this environment, and write docs/benchmarks.md from what asv found.

``--quick`` runs everything at a small size and writes no page of the documentation.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import page

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".asv"


def run(bench: str = ".", *, backend: str = "numba", quick: bool = False) -> Path:
    """Run benchmarks, and return asv's result file, which keeps other results."""
    folder = KEPT / (f"quick-{backend}" if quick else f"measured-{backend}")
    if bench == ".":
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    settings = json.loads((ROOT / "benchmarks" / "asv.conf.json").read_text("utf-8"))
    settings |= {
        "repo": str(ROOT),
        "benchmark_dir": str(ROOT / "benchmarks" / "suite"),
        "results_dir": str(folder / "results"),
    }
    config = folder / "asv.conf.json"
    config.write_text(json.dumps(settings))
    asv = [sys.executable, "-m", "asv"]
    subprocess.run(
        [*asv, "machine", "--yes", "--config", str(config)],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    subprocess.run(
        [
            *(*asv, "run", "--config", str(config), "--python", "same", "--show-stderr"),
            *("--set-commit-hash", "HEAD", "--bench", bench, *["--quick"] * quick),
        ],
        env={
            **os.environ,
            "LOOKAHEAD_BENCHMARK_BACKEND": backend,
            "LOOKAHEAD_BENCHMARK_QUICK": "1" if quick else "",
        },
        check=False,  # failures are on the page
    )
    found = folder.glob("results/*/*-existing-*.json")
    return max(found, key=lambda path: path.stat().st_mtime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", default=".", help="a regular expression")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    found = run(options.bench, quick=options.quick)
    if options.quick:
        print(page.page(found))
    else:
        page.write(found)


if __name__ == "__main__":
    main()
