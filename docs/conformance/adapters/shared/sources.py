"""What adapters of this folder share: files of a clone, and what several packages do alike.

``LOOKAHEAD_SOURCES`` is the folder of clones, by default ``sources``: ``clone.sh`` puts
``https://github.com/owner/name`` in ``owner/name``, at the revision in ``ABOUT``.
"""

import importlib.util
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path


def file_of(about):
    """Find the file of a clone in which an implementation is, at its revision."""
    folder = Path(os.environ.get("LOOKAHEAD_SOURCES", "sources"))
    clone = folder.joinpath(*about["home"].split("/")[-2:])
    command = ["git", "-C", str(clone), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    if not found.startswith(about["revision"]):
        got = found.strip() or "no clone"
        raise ValueError(f"{clone} must be at {about['revision']}, got {got}: see clone.sh")
    return clone / about["file"]


def module_of(about):
    """Import the one file of a clone that an implementation is, at its revision."""
    path = file_of(about)
    known = sys.modules.get(f"source_{path.stem}")
    if known is not None and known.__file__ == str(path):
        return known  # a class is pickled by its name
    sys.path.insert(0, str(path.parent))  # its neighbours
    spec = importlib.util.spec_from_file_location(f"source_{path.stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PULLBACK = {"maintain": "none", "reset": "reset", "interpolate": "pullback"}
"""What the authors call the inner state, and whoever started from their file."""


@contextmanager
def evaluated(wrapper):
    """Evaluate phi as the authors' file does."""
    wrapper._backup_and_load_cache()
    yield
    wrapper._clear_and_load_backup()


def kept(name):
    """Find phi in the wrapper's state of a parameter."""
    return lambda wrapper, _, param: wrapper.state[param].get(name)


def pullback(build):
    """Adapt the authors' file, or a copy; `build` takes its arguments in their order."""
    # Only a process that has PyTorch comes here.
    from lookahead_ref.conformance.adapters.pytorch import PyTorch

    def wrap(inner, level):
        return build(inner, level.k, level.alpha[0], PULLBACK[level.inner_state])

    return PyTorch(wrap, kept("cached_params"), evaluated, tuple(PULLBACK))
