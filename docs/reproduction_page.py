"""The documentation's page of results, brought up to date from folders of reproductions.

::

    python docs/reproduction_page.py FOLDER...

Pictures are copied to ``docs/results/NAME``, where NAME is the folder's name, and if the
data is not bundled so are the numbers of every run: that copy can be given as FOLDER later.
In it, ``note.txt`` says what the results do not, as where the data came from. Sections of
other reproductions stay: repeating those on bundled data takes minutes, and the folders of
some older ones are gone.
"""

import argparse
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lookahead_ref.experiments.paper.classifiers import DIFFERS
from lookahead_ref.experiments.paper.reproduce import NAMES, plan
from lookahead_ref.experiments.settings import ReproduceSettings, TrainSettings
from lookahead_ref.report.files import checked
from lookahead_ref.report.words import duration, several

__all__ = ["page"]

_HEAD = """\
# The paper's experiments, repeated

Each of the paper's tables and figures is a command, `lookahead-ref reproduce NAME`, with a
full setting (`--full`, on your own data), a small one that takes minutes and one between;
see [how to repeat them](reproducing.md). This page shows results of small and middle
settings, on the paper's data first, where it was run; ResNet-50 and AWD-LSTM are the full
models, for one or two epochs. Each section took from seconds to ten hours of two cores,
with a smaller model or fewer epochs than the paper's; so accuracies are far from those in
the paper, and only the differences between methods can be compared. A program writes each
section from the folder of its runs, and leaves the others as they are: those of 2026-11-28
and 2026-11-29 have an older, shorter form. Where a section ends with a link to all numbers,
[its folder is kept](reproducing.md#one-table-or-figure); those of the others are not. On
the same data, Table 5 and Figure 9 are of the same runs.

What a section says of the paper is from its slides and [a few other
sources](reproducing.md#the-papers-settings).

Where the command of a section has `--epochs`, its runs were cut. The settings have, for
pictures, 30 epochs in small and middle (Figures 1 and 10: 10) and 200 in full (Table 2,
Figures 1 and 10: 60); for texts they have 12, 40 and 500 (the family: 4).

Each section names a claim of the paper and says whether it was seen here. Differences are
taken seed by seed. If the 95 % interval of the mean difference, by Student's t, excludes
zero, the effect is *seen*, or, if the difference has the other sign, *not seen*. If the
interval includes zero, the effect is *not decided*.

## Lookahead at a glance

What the sections below say of Lookahead, where more than one seed was run on the paper's
data or the like; results on the bundled data (the digits and Python's help) are only in
their sections. In brackets is the 95 % interval of the mean difference, of accuracies in
points and of losses in nats: a negative difference in loss is better. Of sections that show
the same runs, only the first is listed. If nothing had an effect, on average about one
comparison in forty would still be *seen*.

{rows}
"""


HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
_BUNDLED = ("handwritten digits", "Python's help")


def page(
    results: Sequence[Mapping[str, Any]], kept: Sequence[Path] = (), before: str = ""
) -> str:
    """Write the page, in Markdown, from ``results.json`` of reproductions and as it was.

    `kept` are their folders in ``docs/results``, if any.
    """
    sections = _sections(before)
    for each, folder in zip(results, kept or [None] * len(results), strict=True):
        section = _section(each, folder)
        sections[section.partition("\n")[0]] = section.removesuffix("\n")
    order = sorted(sections, key=_place)
    head = _HEAD.format(rows=_at_a_glance([sections[head] for head in order]))
    return "\n## ".join([head, *(sections[head].strip() + "\n" for head in order)])


def _sections(text: str) -> dict[str, str]:
    """Return the sections of a page by their headings."""
    sections = {each.partition("\n")[0]: each for each in text.split("\n## ")[1:]}
    sections.pop("Lookahead at a glance", None)
    return sections


_CLAIM = re.compile(
    r"^- Here, by 95 % intervals over \d+ seeds, (an? .*?) is (.*)\.$", re.M
)
_VERDICT = re.compile(r"(?:^|; )(seen|not seen|not decided|not known, as .*?,) for ")


def _at_a_glance(sections: Sequence[str]) -> str:
    """Make a table of what sections on the paper's kind of data say of Lookahead."""
    rows = dict[tuple[str, ...], str]()  # the first of those that are of the same runs
    for section in sections:
        heading = section.partition("\n")[0]
        title, _, data = heading.partition(", on ")
        if data.startswith(_BUNDLED):
            continue
        anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for effect, said in _CLAIM.findall(section):
            parts = _VERDICT.split(said)[1:]
            arms = dict(zip(parts[::2], map(_lookahead, parts[1::2]), strict=True))
            cells = [arms.get(each, "") for each in ("seen", "not seen", "not decided")]
            if any(cells):
                name = f"[{title.partition(':')[0]}, {data}](#{anchor})"
                rows.setdefault((data, effect, *cells), name)
    table = ["| On | Effect | Seen | Not seen | Not decided |", "| --- " * 5 + "|"]
    table += [f"| {' | '.join([name, *row[1:]])} |" for row, name in rows.items()]
    return "\n".join(table)


def _lookahead(arms: str) -> str:
    """Keep, of arms with their intervals, those of Lookahead."""
    each = re.split(r"(?<=\)), ", arms)
    return "; ".join(
        arm for arm in each if re.match("Lookahead|k = |learning|momentum", arm)
    )


def _place(heading: str) -> tuple[int, bool]:
    title, _, data = heading.partition(", on ")
    return [*NAMES.values()].index(title), data.startswith(_BUNDLED)


def usual_epochs(found: Mapping[str, Any]) -> int:
    """Return how many epochs a reproduction's setting has, unless others are asked for."""
    asked = {**found["request"], "epochs": None, "budget": None}
    asked["data"] = asked["data"] or "digits"  # which the full setting must not lack
    request = ReproduceSettings(**{**asked, "base": TrainSettings(**asked["base"])})
    return plan(found["name"], request).arms[0].settings.epochs


def in_short(setting: Mapping[str, str], usual: int) -> str:
    """Say in a line what decides most, and whether it was cut."""
    model, pairs = setting["Model"], setting["k and alpha"]
    pairs = re.sub(r"(\d+) and ([\d.]+)", r"(\1, \2)", pairs).replace(";", ",")
    count = int(setting["Epochs"])
    of = f" of the setting's {usual}" if count < usual else ""
    return (
        f"{model[0].upper()}{model[1:]}; {several(count, 'epoch')}{of}; "
        f"{several(int(setting['Seeds']), 'seed')}; (k, alpha) = {pairs}."
    )


def _heading(found: Mapping[str, Any]) -> str:
    # Besides a scaled run on the same data.
    model = found["setting"]["Model"].partition(",")[0]
    model = f", with {model}" if found["request"]["full"] else ""
    return f"{found['title']}, on {found['setting']['Data']}{model}"


def _section(found: Mapping[str, Any], folder: Path | None) -> str:
    machine, timing = found["machine"], found["timing"]
    short = in_short(found["setting"], usual_epochs(found))
    tables = "\n\n".join(found["tables"])
    files = {} if folder is None else {file.name: file for file in folder.iterdir()}
    links = {name: f"results/{file.parent.name}/{name}" for name, file in files.items()}
    note = [files["note.txt"].read_text("utf-8").strip()] if "note.txt" in files else []
    sentences = [*found["notes"][DIFFERS], *note]
    differs = "\n".join(f"- {sentence}" for sentence in sentences)
    # Not that of the command, which may only have written the report again.
    seconds = sum(run["seconds"] or 0 for run in timing["runs"])
    took = f": {duration(seconds)}, all runs together" if seconds else ""
    drawn = "".join(
        f"![{found['title']}]({links[name]})\n\n"
        for name in sorted(links)
        if name.endswith(".svg")
    )
    numbers = f" [All numbers]({links['results.json']})." if "results.json" in links else ""
    setting = "; ".join(f"{name} {value}" for name, value in found["setting"].items())
    summary = found["summary"].replace(" Here, ", "\n\n- Here, ")
    return (
        f"{_heading(found)}\n\n{short}\n\n{summary}\n\n{drawn}{tables}\n\n"
        f"What differs from the paper:\n\n{differs}\n\n"
        f"Setting: {setting}.\n\n"
        f"```sh\n{found['command']}\n```\n\n"
        f"On {timing['started'][:10]}, {machine['Processor']}, "
        f"{machine['Cores']} cores{took}.{numbers}\n"
    )


def check(folder: Path, found: Mapping[str, Any], before: str) -> None:
    """Refuse what would leave a section without its pictures, or tell a private path."""
    if not re.fullmatch(r"[\w-]+", folder.name):
        raise ValueError(
            f"a folder's name must be of letters, digits, _ and -, got {folder}"
        )
    for heading, section in _sections(before).items():
        names = set(re.findall(r"\]\(results/(.*?)/", section))
        if (heading == _heading(found)) != (folder.name in names):
            raise ValueError(
                f"the section {heading!r} is of the folder {' '.join(names)!r}, got "
                f"{folder.name!r} for {_heading(found)!r}: rename the folder"
            )
    data = found["request"]["data"] or ""
    if not re.fullmatch(r"[\w-]*|[\w-]+:\w[\w.-]*(/\w[\w.-]*)*", data):
        raise ValueError(f"--data must be a relative path, without .. or ~, got {data!r}")


def keep(folder: Path, found: Mapping[str, Any], results: Path = RESULTS) -> Path:
    """Copy what the page shows, and all its runs if the data is not bundled."""
    copy = results / folder.name
    if copy == folder:
        return copy
    for old in copy.rglob("*"):
        if old.is_file() and old.name != "note.txt":
            old.unlink()
    data, files = found["request"]["data"] or "", [*folder.glob("*.svg")]
    if ":" in data:
        files += [folder / "kind.txt", folder / "results.json"]
        trials = {
            file: json.loads(file.read_bytes()) for file in folder.glob("trials/*.json")
        }
        # Others were done with the data elsewhere.
        files += [file for file, each in trials.items() if each["trial"]["data"] == data]
    for file in files:
        to = copy / file.relative_to(folder)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to)
    return copy


def main() -> None:
    """Bring the page up to date from the folders of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    folders = [folder.resolve() for folder in parser.parse_args().folders]
    texts = [(folder / "results.json").read_text(encoding="utf-8") for folder in folders]
    results = [checked(json.loads(text), "lookahead-ref reproduce") for text in texts]
    written = HERE / "reproduction.md"
    before = written.read_text(encoding="utf-8")
    for each in zip(folders, results, strict=True):
        check(*each, before)
    kept = [keep(*each) for each in zip(folders, results, strict=True)]
    written.write_text(page(results, kept, before), encoding="utf-8")


if __name__ == "__main__":
    main()
