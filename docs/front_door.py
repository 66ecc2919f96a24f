"""What README and the home page show: the picture, tables, links, and figures in words.

::

    lookahead-ref reproduce fig8 --output FIG8
    lookahead-ref compare --output COMPARE
    python docs/front_door.py FIG8 COMPARE

draws `_static/front/why-light.svg` and `why-dark.svg` from the first folder, and rewrites
the blocks between ``<!-- made: NAME -->`` and ``<!-- end -->`` in README and on the page of
public implementations. What needs a folder, or timm for the diagnosis, stays without it.
"""

import importlib.util
import json
import re
import runpy
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

import lookahead_ref as la
from lookahead_ref.conformance.bugs import BUGS, MISTAKES, PRECISIONS
from lookahead_ref.report import plots

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
PAGE = DOCS / "conformance" / "implementations.md"
SURVEY = DOCS / "conformance" / "implementations.json"
SHOWN = {
    "authors-pytorch": "PyTorch",
    "optax": "JAX",
    "pytorch_optimizer": "PyTorch",
    "timm": "PyTorch",
    "torch_optimizer": "PyTorch",
}
WORDS = runpy.run_path(str(DOCS / "_ext" / "survey_words.py"))
VERDICTS = {name: word for name, (_, word, *_) in WORDS["VERDICTS"].items()}
ASKED = ("timm", "--explain", "--profile", "wrapper")
RATE, K, ALPHA, CYCLES = 1.97, 5, 0.5, 6
"""Of the two paths: five steps, an odd number, end on the other side of the valley."""
HELD = {
    "learning rate": "at momentum 0.9\nk = 5, alpha = 0.8",
    "momentum": "at learning rate 0.2\nk = 5, alpha = 0.8",
}
"""What `reproduce fig8` keeps fixed."""


def table() -> str:
    """Return the table of public implementations, in Markdown, and a line below it."""
    # SNOO is published as a listing, which this project wrote out.
    those = [each for each in _surveyed() if each["version"] != "from its paper"]
    named = {each["name"]: each for each in those}
    lines = ["| Implementation | Verdict | In one sentence |", "| --- " * 3 + "|"]
    for name, framework in SHOWN.items():
        title, *said = _cells(named[name], "docs/conformance/implementations.md")
        title += f" ({framework})" * (framework not in title)
        lines.append(f"| {' | '.join([title, *said])} |")
    counts = [sum(each["verdict"] == verdict for each in those) for verdict in VERDICTS]
    told = ", ".join(map("{} *{}*".format, counts, VERDICTS.values()))
    right = sorted(
        (each["title"] for each in those if each["verdict"] == "right"), key=str.lower
    )
    known = len({each.name for each in (*BUGS, *MISTAKES, *PRECISIONS)})
    latest = max(each["date"] for each in those)
    below = (
        f"{len(those)} implementations were run on {latest}: {told}. Right: "
        f"{'; '.join(right)}. "
        f"The suite knows {known} mistakes by name."
    )
    return "\n".join([*lines, "", below])


def report() -> str:
    """Return a line for each implementation, the authors' first, in Markdown."""
    those = _surveyed()
    most, latest = (max(each[what] for each in those) for what in ("cases", "date"))
    ran = f"{len(those)} implementations, up to {most} cases each, in float32 and float64"
    lines = [
        f"{ran}; last run on {latest}.",
        "",
        "| Implementation | Verdict | In one sentence | Clause |",
        "| --- " * 4 + "|",
    ]
    for one in sorted(those, key=_order):
        clause = WORDS["clause"](one)
        shown = f"[{clause}](../spec.md#{clause.lower()})" if clause else ""
        lines.append(f"| {' | '.join(_cells(one))} | {shown} |")
    return "\n".join(lines)


def _cells(one: dict[str, Any], page: str = "") -> tuple[str, str, str]:
    """Name an implementation, with a link to its section; its verdict; its first cause."""
    sign, word, *_ = WORDS["VERDICTS"][one["verdict"]]
    title = f"[{one['title']}]({page}#{one['name'].lower()}) {one['version']}"
    return title, f"{sign} {word}", WORDS["sentence"](one).replace("|", "\\|")


def _order(one: dict[str, Any]) -> tuple[bool, str]:
    return not one["name"].startswith("authors"), one["title"].casefold()


def _surveyed() -> list[dict[str, Any]]:
    found: dict[str, Any] = json.loads(SURVEY.read_text(encoding="utf-8"))
    return list(found["implementations"])


def play() -> str:
    """Return links to the pages that run in a browser, on the site of the documentation."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    site = project["project"]["urls"]["Documentation"]
    return (
        f"**Play with it:** [watch it walk]({site}/lookahead-walk.html), with sliders, or\n"
        f"[run the quick start in your browser]({site}/quickstart.html). Until they are\n"
        "published, `python docs/walk/make.py walk.html` writes the first in a clone."
    )


def explained() -> str | None:
    """Run the suite on timm and return what it says, None where that is not installed."""
    if importlib.util.find_spec("timm") is None:
        return None
    command = [sys.executable, "-m", "lookahead_ref", "conform", *ASKED]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    lines = "\n".join(line.rstrip() for line in said.splitlines())
    first, *more = lines.split("\n\n")
    told = [each for each in more if each.startswith(("Your program", "What that breaks"))]
    shown = "\n...\n".join([first, "\n".join(told)])
    return f"```console\n$ lookahead-ref conform {' '.join(ASKED)}\n{shown.strip()}\n```"


def seen(results: dict[str, Any]) -> str:
    """Say what the losses in the picture show."""
    arms = {arm["title"]: arm for arm in results["arms"]}

    def pair(setting: str) -> tuple[Any, Any]:
        return arms[f"SGD, {setting}"], arms[f"Lookahead, {setting}"]

    failed, inside = (
        sum(not run["history"][-1]["validation_accuracy"] >= 0.5 for run in arm["runs"])
        for arm in pair("learning rate 0.4")
    )
    runs = len(pair("learning rate 0.4")[0]["runs"])
    worse = ("learning rate 0.05", "learning rate 0.1", "momentum 0.8")
    times = [
        np.median(_losses(around)) / np.median(_losses(alone))
        for alone, around in map(pair, worse)
    ]
    return wrapped(
        f"At a learning rate of 0.4, {failed} of {runs} runs of SGD fail (they stay below "
        f"50 % validation accuracy), and {inside} of Lookahead's. At the best rate, 0.2, "
        "the two hardly differ. At lower rates, and at momentum 0.8, Lookahead is *worse*: "
        "its median "
        f"loss is {min(times):.1f} to {max(times):.1f} times as high. So use it where you "
        "cannot tune the learning rate; where you can, expect little from it on this task."
    )


def compared(results: dict[str, Any]) -> str:
    """Quote what `compare` says first."""
    first = re.match(r".* inside\.", results["summary"])
    assert first is not None
    return wrapped(first[0], "> ")


def wrapped(text: str, before: str = "") -> str:
    """Wrap as Markdown here is, a number beside its percent sign."""
    held = text.replace(" %", "\0%")
    return textwrap.fill(
        held, 112, initial_indent=before, subsequent_indent=before
    ).replace("\0", " ")


def fill(text: str, **blocks: str | None) -> str:
    """Put blocks between their marks; those that are None stay as they are."""
    for name, block in blocks.items():
        if block is not None:
            form = rf"(<!-- made: {name} -->\n).*?(<!-- end -->)"
            text = re.sub(
                form, lambda m, b=block: f"{m[1]}\n{b}\n\n{m[2]}", text, flags=re.S
            )
    return text


def picture(results: dict[str, Any], theme: plots.Theme) -> Any:
    """Draw two paths, and the losses that learning rates and momenta lead to."""
    figure, ((paths, rates, momenta),) = plots.panels(
        1, 3, width=12, height=4.4, theme=theme, width_ratios=(5, 4, 3)
    )
    _draw_paths(paths, theme)
    _draw_losses(rates, results, "learning rate", theme)
    _draw_losses(momenta, results, "momentum", theme)
    momenta.sharey(rates)
    return figure


def descend(optimizer: Any, curvature: Any, start: Any, steps: int) -> Any:
    """Return the weights after each step on a quadratic, the start included."""
    params, path = {"x": start}, [start]
    state = optimizer.init(params)
    for _ in range(steps):
        params, state = optimizer.step(params, {"x": curvature * params["x"]}, state)
        path.append(params["x"])
    return np.array(path)


def _draw_paths(axes: Any, theme: plots.Theme) -> None:
    blue, orange, green, *_ = plots.PALETTE[theme]
    curvature, ink = np.array([1.0, 0.1]), plots.INK[theme]
    inner = la.SGD(learning_rate=RATE)
    alone = descend(inner, curvature, np.ones(2), CYCLES * K)
    around = la.Lookahead(inner, k=K, alpha=ALPHA)
    slow = descend(around, curvature, np.ones(2), CYCLES * K)[::K]
    fast = [descend(inner, curvature, each, K) for each in slow[:-1]]
    across, along = np.meshgrid(np.linspace(-1.1, 1.15, 120), np.linspace(-0.12, 1.1, 90))
    height = curvature[0] * across**2 + curvature[1] * along**2
    axes.contour(
        across, along, height, levels=np.geomspace(2e-3, 1, 8), colors=plots.GHOST[theme]
    )
    first, last = (0.5 * curvature @ path[-1] ** 2 for path in (alone, slow))
    axes.plot(
        *alone.T,
        "--",
        color=orange,
        linewidth=1.1,
        label=f"SGD: loss {first:.2g} at the end",
    )
    axes.plot(
        *slow.T,
        "o-",
        color=blue,
        linewidth=2.6,
        zorder=4,
        label=f"slow weights: loss {last:.1g}",
    )
    for number, (path, back) in enumerate(zip(fast, slow[1:], strict=True)):
        named = {"label": "fast weights"} if number == 0 else {}
        axes.plot(*path.T, color=green, linewidth=1.0, **named)
        named = {"label": "drawn back"} if number == 0 else {}
        axes.plot(*np.array([path[-1], back]).T, ":", color=green, linewidth=1.2, **named)
    axes.plot(*alone[-1], "o", color=orange, markersize=7, zorder=4)
    axes.plot(1, 1, "s", color=ink, markersize=6, zorder=5, label="start")
    axes.plot(0, 0, "x", color=ink, markersize=9, mew=2, zorder=5, label="minimum")
    axes.set(xticks=[], yticks=[], aspect="equal")
    plots.legend_above(axes, theme, ncols=2, columnspacing=1.2)
    held = f"SGD with learning rate {RATE:g}; k = {K}, alpha = {ALPHA:g}"
    plots.label(axes, theme, x=f"across a steep valley\n{held}", y="along it")


def _draw_losses(axes: Any, results: dict[str, Any], of: str, theme: plots.Theme) -> None:
    blue, orange, *_ = plots.PALETTE[theme]
    looks = {
        "SGD": (orange, "--", "SGD with momentum"),
        "Lookahead": (blue, "-", "Lookahead"),
    }
    for method, (colour, line, title) in looks.items():
        found = {
            float(arm["title"].split()[-1]): _losses(arm)
            for arm in results["arms"]
            if arm["title"].startswith(f"{method}, {of} ")
        }
        places = np.arange(len(found))
        for place, losses in zip(places, found.values(), strict=True):
            across = np.full(len(losses), place)
            axes.scatter(across, losses, s=14, color=colour, alpha=0.6, linewidth=0)
        medians = [np.median(losses) for losses in found.values()]
        axes.plot(places, medians, line, color=colour, linewidth=2, label=title)
        axes.set_xticks(places, [f"{value:g}" for value in found])
    axes.set_yscale("log")
    axes.margins(x=0.1)
    plots.grid_lines(axes, theme, axis="y")
    plots.legend_above(axes, theme)
    plots.label(axes, theme, x=f"{of}\n{HELD[of]}", y="training loss at the end")


def _losses(arm: dict[str, Any]) -> list[float]:
    runs = (run["history"][-1]["train_loss"] for run in arm["runs"])
    return sorted(float(loss) for loss in runs)


def main() -> None:
    """Make what is asked for."""
    picked, comparison, *_ = [_results(Path(each)) for each in sys.argv[1:]] + [None, None]
    blocks = {
        "play": play(),
        "survey": table(),
        "explain": explained(),
        "seen": picked and seen(picked),
        "compared": comparison and compared(comparison),
    }
    for file, made in ((README, blocks), (PAGE, {"report": report()})):
        file.write_text(fill(file.read_text(encoding="utf-8"), **made), encoding="utf-8")
    if picked:
        (DOCS / "_static" / "front").mkdir(exist_ok=True)
        themes: tuple[plots.Theme, ...] = ("light", "dark")
        for theme in themes:
            with plots.own_look():
                drawn = plots.svg(picture(picked, theme))
            (DOCS / "_static" / "front" / f"why-{theme}.svg").write_bytes(drawn)


def _results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text("utf-8"))


if __name__ == "__main__":
    main()
