"""Run the steps of action.yml, or of a job of a workflow, as GitHub would.

::

    .ci/steps.py FOLDER action.yml [NAME=VALUE...]
    .ci/steps.py FOLDER .github/workflows/FILE.yml:JOB [NAME=VALUE...]

The folder gets the files that GitHub names in `GITHUB_STEP_SUMMARY` and `GITHUB_OUTPUT`, as
``summary.md`` and ``output.txt``, and the artifacts. The Action runs in it. A job checks
out a clone of a clone of what is committed here, so that it can push. NAME is an input of
the Action, or what an expression of a job names, as ``vars.PUBLISH``.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = {
    "startsWith": lambda text, start: str(text).startswith(start),
    "contains": lambda text, part: part in str(text),
}
SHELLS = {  # as GitHub runs them
    None: ["bash", "-e", "-c"],
    "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"],
}


def run(
    folder: Path,
    inputs: Mapping[str, str],
    env: Mapping[str, str] = os.environ,
    *,
    install: bool = True,
) -> int:
    """Run the steps of the Action until one fails; return its exit code."""
    action = _read("action.yml")
    if unknown := inputs.keys() - action["inputs"].keys():
        raise ValueError(f"action.yml has no input {', '.join(sorted(unknown))}")
    known = {"github.action_path": str(ROOT)}
    for name, each in action["inputs"].items():
        known[f"inputs.{name}"] = inputs.get(name, each["default"])
    return _steps(action["runs"]["steps"][not install :], folder, folder, known, env)


def run_job(folder: Path, workflow: str, job: str, known: Mapping[str, str]) -> int:
    """Run the steps of a job until one fails; return its exit code."""
    place = folder / "checkout"
    place.mkdir(parents=True)
    known = {"github.ref": "refs/heads/main", "github.ref_type": "branch", **known}
    env = {name.replace(".", "_").upper(): value for name, value in known.items()}
    steps = _read(workflow)["jobs"][job]["steps"]
    return _steps(steps, place, folder, known, os.environ | env)


def _steps(
    steps: list[dict[str, Any]],
    place: Path,
    folder: Path,
    known: Mapping[str, str],
    env: Mapping[str, str],
) -> int:
    files = {"GITHUB_STEP_SUMMARY": "summary.md", "GITHUB_OUTPUT": "output.txt"}
    outside = {**env, "RUNNER_TEMP": str(folder)}
    outside |= {name: str(folder / file) for name, file in files.items()}
    for step in steps:
        if "if" in step and not _value(step["if"], known):
            continue
        given = step.get("with", step.get("env", {}))
        own = {name: _filled(str(text), known) for name, text in given.items()}
        if "uses" in step:
            code = _use(step["uses"], own, place, folder, outside)
        else:
            command = [*SHELLS[step.get("shell")], _filled(step["run"], known)]
            done = subprocess.run(command, cwd=place, env=outside | own, check=False)
            code = done.returncode
        if code:
            return code
    return 0


def _use(
    action: str, given: Mapping[str, str], place: Path, folder: Path, env: dict[str, str]
) -> int:
    match action.partition("@")[0]:
        case "./":
            return run(place, given, env)
        case "actions/checkout":
            origin = str(folder / "origin.git")
            for command in (["--bare", str(ROOT), origin], [origin, str(place)]):
                subprocess.run(["git", "clone", "--quiet", *command], check=True)
        case "actions/setup-python":
            subprocess.run([sys.executable, "-m", "venv", folder / "python"], check=True)
            env["PATH"] = f"{folder / 'python' / 'bin'}{os.pathsep}{env['PATH']}"
        case "actions/upload-artifact":
            target = folder / "artifacts" / given["name"]
            shutil.copytree(place / given["path"], target, dirs_exist_ok=True)
        case "actions/download-artifact":
            shutil.copytree(folder / "artifacts", place, dirs_exist_ok=True)
        case _:
            print(f"not run: {action}, with {given}", file=sys.stderr)
    return 0


def _read(file: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / file).read_text("utf-8"))
    return found


def _filled(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(_value(found[1], known)), text)


def _value(expression: str, known: Mapping[str, str]) -> Any:
    def named(found: re.Match[str]) -> str:
        return found[0] if found[0][0] == "'" else repr(known.get(found[0], ""))

    text = re.sub(r"'[^']*'|[a-z_]+(?:\.[\w-]+)+", named, expression.strip())
    text = text.replace("&&", " and ").replace("||", " or ")
    return eval(text, FUNCTIONS.copy())


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[3:])
    folder, (file, _, job) = Path(sys.argv[1]).resolve(), sys.argv[2].partition(":")
    sys.exit(run_job(folder, file, job, given) if job else run(folder, given))
