"""Run the steps of action.yml as GitHub would: ``.ci/action.py FOLDER NAME=VALUE...``.

The folder is where they run, with the files that GitHub names in `GITHUB_STEP_SUMMARY` and
`GITHUB_OUTPUT` as ``summary.md`` and ``output.txt``; the rest are inputs.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def run(folder: Path, inputs: Mapping[str, str], *, install: bool = True) -> int:
    """Run the steps until one fails; return its exit code."""
    action: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    if unknown := inputs.keys() - action["inputs"].keys():
        raise ValueError(f"action.yml has no input {', '.join(sorted(unknown))}")
    known = {"github.action_path": str(ROOT)}
    for name, each in action["inputs"].items():
        known[f"inputs.{name}"] = inputs.get(name, each["default"])
    files = {"GITHUB_STEP_SUMMARY": "summary.md", "GITHUB_OUTPUT": "output.txt"}
    outside = {name: str(folder / file) for name, file in files.items()}
    for step in action["runs"]["steps"][not install :]:
        own = {name: _filled(text, known) for name, text in step["env"].items()}
        script = _filled(step["run"], known)
        done = subprocess.run(
            # As GitHub runs `shell: bash`.
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=folder,
            env={**os.environ, "RUNNER_TEMP": str(folder), **outside, **own},
            check=False,
        )
        if done.returncode:
            return done.returncode
    return 0


def _filled(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$\{\{ *([\w.]+) *\}\}", lambda found: known[found[1]], text)


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[2:])
    sys.exit(run(Path(sys.argv[1]), given))
