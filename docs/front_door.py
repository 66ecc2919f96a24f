"""What README and the home page show: the picture, and the table of implementations.

::

    lookahead-ref reproduce fig8 --output FIG8
    python docs/front_door.py FIG8

draws `_static/front/why-light.svg` and `why-dark.svg` from a reproduction's folder; without
one only the blocks of README between ``<!-- made: NAME -->`` and ``<!-- end -->`` are made
anew. Where timm is installed, the suite is run on it for what README shows of a diagnosis.
"""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import lookahead_ref as la
from lookahead_ref.report import plots

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
SURVEY = DOCS / "conformance" / "implementations.json"
SHOWN = ("optax", "pytorch_optimizer", "timm", "torch_optimizer", "paddlepaddle")
PROFILES = {
    "wrapper": "Lookahead itself",
    "state": "inner state",
    "resume": "checkpoints",
    "schedule": "schedules",
}
ASKED = ("timm", "--explain", "--profile", "wrapper")


def table() -> str:
    """Return the table of public implementations, in Markdown."""
    found = json.loads(SURVEY.read_text(encoding="utf-8"))
    named = {each["name"]: each for each in found["implementations"]}
    lines = [["", *PROFILES.values(), "named by the suite"], ["---"] * (len(PROFILES) + 2)]
    for name in SHOWN:
        rows = {row["name"]: row for row in named[name]["profiles"]}
        causes = [f"`{cause['name']}`" for cause in next(iter(named[name]["causes"]), [])]
        lines.append(
            [
                f"{named[name]['title']} {named[name]['version']}",
                *(_cell(rows[each]) for each in PROFILES),
                *[", ".join(causes)],
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(row: dict[str, Any]) -> str:
    if row["verdict"] == "not offered":
        return "–"
    judged = sum(
        row[each] for each in row if each not in ("name", "verdict", "unsupported")
    )
    return "passes" if row["passed"] == judged else f"{row['passed']} of {judged}"


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


def fill(text: str, **blocks: str | None) -> str:
    """Put blocks between their marks; those that are None stay as they are."""
    for name, block in blocks.items():
        if block is not None:
            form = rf"(<!-- made: {name} -->\n).*?(<!-- end -->)"
            text = re.sub(
                form, lambda m, b=block: f"{m[1]}\n{b}\n\n{m[2]}", text, flags=re.S
            )
    return text


def walk(optimizer: Any, curvature: Any, steps: int) -> tuple[Any, Any]:
    """Return fast and slow weights after each step on a quadratic, from (1, 1)."""
    params = {"x": np.ones(2)}
    state = optimizer.init(params)
    fast, slow = [params["x"]], [params["x"]]
    for _ in range(steps):
        params, state = optimizer.step(params, {"x": curvature * params["x"]}, state)
        fast.append(params["x"])
        slow.append(optimizer.evaluation_params(params, state)["x"])
    return np.array(fast), np.array(slow)


def picture(results: dict[str, Any], theme: plots.Theme) -> Any:
    """Draw two paths, and the losses that learning rates and momenta lead to."""
    figure, ((paths, rates, momenta),) = plots.panels(
        1, 3, width=11, height=3.7, theme=theme, width_ratios=(5, 4.4, 3)
    )
    _draw_paths(paths, theme)
    _draw_losses(rates, results, "learning rate", theme)
    _draw_losses(momenta, results, "momentum", theme)
    momenta.sharey(rates)
    plots.label(rates, theme, y="training loss at the end")
    return figure


def _draw_paths(axes: Any, theme: plots.Theme) -> None:
    blue, orange, green, *_ = plots.PALETTE[theme]
    curvature, steps, k = np.array([1.0, 0.02]), 30, 5
    inner = la.SGD(learning_rate=1.95)
    alone, _ = walk(inner, curvature, steps)
    fast, slow = walk(la.Lookahead(inner, k=k, alpha=0.5), curvature, steps)
    across, along = np.meshgrid(np.linspace(-1.1, 1.1, 120), np.linspace(0, 1.06, 90))
    height = curvature[0] * across**2 + curvature[1] * along**2
    axes.contour(
        across, along, height, levels=np.geomspace(2e-3, 1, 9), colors=plots.GHOST[theme]
    )
    axes.plot(*alone.T, "--", color=orange, linewidth=1.1, label="SGD")
    axes.plot(*fast.T, color=blue, linewidth=0.9, alpha=0.75, label="fast weights")
    axes.plot(*slow[::k].T, "o-", color=green, linewidth=2.4, label="slow weights")
    axes.set(xticks=[], yticks=[])
    plots.legend_above(axes, theme, ncols=3, columnspacing=1.2)
    plots.label(axes, theme, x="across a steep valley", y="along it")


def _draw_losses(axes: Any, results: dict[str, Any], of: str, theme: plots.Theme) -> None:
    blue, orange, *_ = plots.PALETTE[theme]
    looks = {"SGD": (orange, "--", -1), "Lookahead": (blue, "-", 1)}
    for method, (colour, line, side) in looks.items():
        found = {
            float(arm["title"].split()[-1]): _losses(arm)
            for arm in results["arms"]
            if arm["title"].startswith(f"{method}, {of} ")
        }
        places = np.arange(len(found))
        for place, losses in zip(places, found.values(), strict=True):
            spread = np.linspace(0.06, 0.2, len(losses)) * side
            axes.scatter(place + spread, losses, s=9, color=colour, alpha=0.65, linewidth=0)
        medians = [np.median(losses) for losses in found.values()]
        axes.plot(places, medians, line, color=colour, linewidth=2, label=f"{method}")
        axes.set_xticks(places, [f"{value:g}" for value in found])
    axes.set_yscale("log")
    plots.grid_lines(axes, theme, axis="y")
    plots.legend_above(axes, theme, ncols=2)
    plots.label(axes, theme, x=of)


def _losses(arm: dict[str, Any]) -> list[float]:
    runs = (run["history"][-1]["train_loss"] for run in arm["runs"])
    return sorted(float(loss) for loss in runs)


def main() -> None:
    """Make what is asked for."""
    blocks = {"survey": table(), "explain": explained()}
    README.write_text(fill(README.read_text(encoding="utf-8"), **blocks), encoding="utf-8")
    if len(sys.argv) > 1:
        results = json.loads((Path(sys.argv[1]) / "results.json").read_text("utf-8"))
        (DOCS / "_static" / "front").mkdir(exist_ok=True)
        themes: tuple[plots.Theme, ...] = ("light", "dark")
        for theme in themes:
            with plots.own_look():
                drawn = plots.svg(picture(results, theme))
            (DOCS / "_static" / "front" / f"why-{theme}.svg").write_bytes(drawn)


if __name__ == "__main__":
    main()
