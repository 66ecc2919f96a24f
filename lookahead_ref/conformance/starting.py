"""Files to begin with: adapters to fill in, and a skeleton to hand out."""

from importlib.resources import files
from pathlib import Path

__all__ = ["KINDS", "begin"]

KINDS = {
    "pytorch": "lookahead-ref conform {file}:Adapter",
    "optax": "lookahead-ref conform {file}:Adapter --level gpu",  # XLA flushes subnormals
    "command": 'lookahead-ref conform --command "python {file}"',
    "student": "lookahead-ref conform {file}:MyLookahead --explain",
}
"""Kind to the command that runs the suite on the file."""


def begin(kind: str, path: Path) -> str:
    """Write a file to begin with.

    Parameters
    ----------
    kind : {"pytorch", "optax", "command", "student"}
        An adapter for PyTorch or Optax, a program that speaks JSON lines, homework.
    path : path
        Where; there must be nothing yet.

    Returns
    -------
    str
        The command that runs the suite on it.

    Raises
    ------
    ValueError
        If there is no such kind.
    OSError
        If the file is there already, or cannot be written.
    """
    if kind not in KINDS:
        raise ValueError(f"--init must be one of {', '.join(KINDS)}, got {kind!r}")
    content = files(__package__).joinpath("templates", f"{kind}.py.txt").read_text("utf-8")
    with path.open("x", encoding="utf-8") as file:
        file.write(content.replace("FILE", path.name))
    return KINDS[kind].format(file=path)
