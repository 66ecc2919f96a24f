"""The documentation's page of results, made of the folders of reproductions.

::

    python docs/reproduction_page.py FOLDER... >docs/reproduction.md
"""

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lookahead_ref.experiments.paper.classifiers import DIFFERS
from lookahead_ref.experiments.paper.reproduce import NAMES
from lookahead_ref.report.files import checked

__all__ = ["page"]

_HEAD = """\
# The paper's experiments, repeated

Each of the paper's tables and figures is a command, `lookahead-ref reproduce NAME`, with a
full setting (`--full`, on data of yours) and a small one that takes minutes; see
[how to repeat them](reproducing.md). This page shows what the small ones gave on one
machine. A program writes it from their folders.

Not every effect of the paper appears at this scale; if one does not, the summary says so.
Differences are taken seed by seed. An effect is *seen* if the 95 % interval of its mean, by
Student's t, excludes zero; otherwise it is *not decided*.
"""


PICTURES = "_static/reproduction"


def page(
    results: Sequence[Mapping[str, Any]], pictures: Sequence[Sequence[str]] = ()
) -> str:
    """Write the page, in Markdown, from what ``results.json`` of reproductions hold."""
    parts = [_HEAD]
    shown = list(zip(results, pictures or [()] * len(results), strict=True))
    for each, names in sorted(shown, key=lambda pair: [*NAMES].index(pair[0]["name"])):
        machine, timing = each["machine"], each["timing"]
        tables = "\n\n".join(each["tables"])
        differs = "\n".join(f"- {sentence}" for sentence in each["notes"][DIFFERS])
        seconds = max(timing["seconds"], sum(run["seconds"] or 0 for run in timing["runs"]))
        drawn = "".join(f"![{each['title']}]({PICTURES}/{name})\n\n" for name in names)
        # Where the data was on that machine is nobody's concern.
        command = re.sub(r"(--data [\w-]+):\S+", r"\1:PATH", each["command"])
        setting = "; ".join(f"{name} {value}" for name, value in each["setting"].items())
        parts.append(
            f"## {each['title']}, on {each['setting']['Data']}\n\n"
            f"{each['summary']}\n\n{drawn}{tables}\n\n"
            f"What differs from the paper:\n\n{differs}\n\n"
            f"Setting: {setting}.\n\n"
            f"```sh\n{command}\n```\n\n"
            f"On {timing['started'][:10]}, {machine['Processor']}, "
            f"{machine['Cores']} cores: {seconds:.0f} s, all runs together.\n"
        )
    return "\n".join(parts)


def main() -> None:
    """Print the page that the folders of the command line make."""
    folders = [Path(name) for name in sys.argv[1:]]
    texts = [(folder / "results.json").read_text(encoding="utf-8") for folder in folders]
    results = [checked(json.loads(text), "lookahead-ref reproduce") for text in texts]
    target = Path(__file__).parent / PICTURES
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    pictures = []
    for folder in folders:
        files = sorted(folder.glob("*.svg"))
        pictures.append([f"{folder.name}-{file.name}" for file in files])
        for file, name in zip(files, pictures[-1], strict=True):
            shutil.copy(file, target / name)
    print(page(results, pictures), end="")  # noqa: T201


if __name__ == "__main__":
    main()
