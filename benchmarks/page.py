"""Writes docs/benchmarks.md and its pictures, with targets, from asv's result file.

    python benchmarks/page.py RESULTS.json

Run it where the measurements were made, as it shows the installed versions.
"""

import ast
import json
import math
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

from lookahead_ref.report import plots
from suite.cases import elements, traffic
from suite.works import WORKS, found_in

TEMPLATE = Path(__file__).with_suffix(".md")
DOCS = Path(__file__).parents[1] / "docs"
PACKAGES = (
    *("lookahead-ref", "numpy", "numba", "cupy-cuda12x", "cupy-cuda13x", "torch", "jax"),
    *("optax", "torch_optimizer", "pytorch_optimizer", "timm"),
)
RUNS = {"mlp": 0.85, "lstm": 0.9, "awd-lstm": 1.0, "resnet18": 0.95, "resnet32": 1.0}
"""With numba; with numpy it is 1.5 for all."""
SHORT = {
    "A step of Adam over the 25.6 million parameters of a ResNet-50": (
        *("step.Step.track_seconds", "resnet-50", "adam", None),
    ),
    "The same inside Lookahead, k = 5": ("step.Step.track_seconds", "resnet-50", "adam", 5),
    "The same, divided by torch_optimizer's Lookahead over PyTorch's fused Adam": (
        *("step.Peers.track_ratio", "resnet-50", "adam", "torch_optimizer over fused"),
    ),
    "A step inside Lookahead over SGD, k = 5, 30 million parameters, in SGD's steps": (
        *("step.Cost.track_ratio", "3e7", "sgd", "k = 5"),
    ),
    "MB besides parameters, slots and slow weights, Lookahead over Adam": (
        *("memory.Peak.track_megabytes", "adam", "maintain"),
    ),
    "A whole run of training a ResNet-18 with `numba`, divided by PyTorch's": (
        *("runs.Beside.track_ratio", "resnet18", "numba", "PyTorch"),
    ),
    "A new process that imports `lookahead_ref`": (
        *("start.Start.track_seconds", "import lookahead_ref"),
    ),
}
"""A user's first questions, and the benchmarks that answer them."""

RATIOS = {
    "step.Peers.track_ratio": (
        "A step, alone or with Lookahead and k = 5, beside other implementations",
        ("parameters", "optimizer", "ours, of the time of"),
    ),
    "step.Calls.track_ratio": (
        "The cost of a call: a step of six arrays of ten, beside other implementations",
        ("optimizer", "ours, of the time of"),
    ),
    "step.Cost.track_ratio": (
        "What Lookahead adds: its step, in inner steps, beside what is counted",
        ("parameters", "optimizer", "Lookahead", "counted"),
    ),
    "step.Outer.track_cost": (
        "An outer optimizer around Adam, k = 10: its step, in inner steps",
        ("outer", "counted"),
    ),
    "step.Snoo.track_ratio": (
        "The same with Nesterov's momentum, beside SNOO as published over fused Adam",
        (),
    ),
    "step.Bandwidth.track_ratio": (
        "A step's bandwidth, beside that of loops that compute nothing",
        ("parameters", "optimizer", "k", "loop"),
    ),
    "step.NumPy.track_times_faster": (
        "NumPy in blocks: times faster than the plain functional form",
        ("parameters", "optimizer"),
    ),
    "memory.Peak.track_megabytes": (
        "Peak memory: MB besides parameters, slow weights and slots",
        ("optimizer", "slots at a synchronization"),
    ),
    "step.Growth.track_exponent": (
        "Growth: time as a power of the number of parameters, beyond the caches",
        ("optimizer",),
    ),
    "models.BesidePyTorch.track_ratio": (
        "Training steps of models, divided by PyTorch's",
        ("model", "backend"),
    ),
    "runs.Beside.track_ratio": (
        "Whole runs of training: batches, clipping and updates",
        ("model", "backend", "ours, of the time of"),
    ),
    "runs.Memory.track_ratio": (
        "Memory that a whole run adds with numba, divided by PyTorch's",
        ("model",),
    ),
    "workers.Synchronization.track_ratio": (
        "A synchronization of two ranks, beside an allreduce as large and the outer step",
        ("parameters", "reduction"),
    ),
}
LOOPS = "step.Loops.track_rate"
TIMES = {
    "step.Step.track_seconds": ("A step", ("parameters", "optimizer", "k")),
    "step.Sizes.track_seconds": ("A step, by size", ("optimizer", "parameters")),
    "step.NumPy.track_seconds": ("A step of NumPy in blocks", ("parameters", "optimizer")),
    LOOPS: ("Loops that compute nothing", ("reads and writes of",)),
    "models.Training.track_seconds": ("Training steps of models", ("model", "backend")),
    "start.Start.track_seconds": ("New processes", ("what",)),
    "start.FirstCycle.track_seconds": ("The first steps of a process", ("what",)),
}


@dataclass(frozen=True)
class Row:
    """A figure (NaN if it failed), its quartiles, and its limits."""

    benchmark: str
    case: tuple[Any, ...]
    value: float
    low: float
    high: float
    least: float = -math.inf
    most: float = math.inf

    @property
    def met(self) -> bool:
        return self.least <= self.value <= self.most

    @property
    def has_target(self) -> bool:
        return math.isfinite(self.least) or math.isfinite(self.most)


def read(path: Path) -> list[Row]:
    """Read asv's result file, without skipped benchmarks."""
    found = json.loads(path.read_text("utf-8"))
    rows = []
    for benchmark, cells in found["results"].items():
        named = dict(zip(found["result_columns"], cells, strict=False))
        cases = [tuple(map(ast.literal_eval, case)) for case in product(*named["params"])]
        columns = [
            named.get(name) or [None] * len(cases)
            for name in ("result", "stats_q_25", "stats_q_75")
        ]
        for case, value, low, high in zip(cases, *columns, strict=True):
            if value is None:
                rows.append(Row(benchmark, case, math.nan, math.nan, math.nan))
            elif not math.isnan(value):
                spread = (value, value) if low is None else (low, high)
                rows.append(Row(benchmark, case, value, *spread))
    return rows


def measured(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not math.isnan(row.value)]


def is_lookahead(peer: str) -> bool:
    return " over " in peer or "lookahead" in peer


def scaled(row: Row, scale: float, *case: Any, **target: float) -> Row:
    """Return a row in another unit, with a longer case and a target."""
    values = (scale * each for each in (row.value, row.low, row.high))
    return Row(row.benchmark, (*row.case, *case), *values, **target)


def judged(row: Row) -> Iterator[Row]:
    """Yield a row with its target, or once for each target."""
    match row.benchmark, row.case:
        case "step.Peers.track_ratio", (parameters, _, peer):
            wrapped = parameters == "1e7" and is_lookahead(peer)
            yield replace(row, most=0.8 if wrapped else 1.0)
        case "step.Calls.track_ratio", _:
            yield replace(row, most=1.0)
        case "step.Cost.track_ratio", (_, optimizer, cycle):
            k = int(cycle.removeprefix("k = ").split(",")[0])
            moved = traffic(optimizer, k, interpolated="interpolate" in cycle)
            yield scaled(row, k / (k + 1), "steps", most=1.0)
            yield scaled(row, traffic(optimizer) / moved, "bytes", most=1.05)
        case "step.Outer.track_cost", (outer,):
            counted = traffic("adam") / traffic("adam", 10, outer=outer)
            yield scaled(row, counted, "bytes", most=1.05)
        case "step.Snoo.track_ratio", _:
            yield replace(row, most=0.8)
        case "step.Bandwidth.track_ratio", (*_, loop):
            yield replace(row, least=0.85 if loop == "the library's copy" else 0.9)
        case "step.NumPy.track_times_faster", _:
            yield replace(row, least=2.5)
        case "step.Growth.track_exponent", _:
            yield replace(row, least=0.95, most=1.05)
        case "memory.Peak.track_megabytes", _:
            yield replace(row, most=1.0)
        case "models.BesidePyTorch.track_ratio", _:
            yield replace(row, most=2.0)
        case "runs.Beside.track_ratio", (model, backend, "PyTorch"):
            yield replace(row, most=RUNS[model] if backend == "numba" else 1.5)
        case "runs.Memory.track_ratio", _:
            yield replace(row, most=1.0)
        case "workers.Synchronization.track_ratio", (_, "ordered"):
            yield replace(row, most=1.15)
        case _:
            yield row


def target(row: Row) -> str:
    if math.isfinite(row.least) and math.isfinite(row.most):
        return f"{row.least:g} to {row.most:g}"
    if row.has_target:
        return f"≤ {row.most:g}" if math.isfinite(row.most) else f"≥ {row.least:g}"
    return ""


def figure(row: Row) -> str:
    """Write a figure with its quartiles, precise enough for its target; bold if missed."""
    if math.isnan(row.value):
        return "**failed**"
    digits = 2
    while digits < 9 and replace(row, value=round(row.value, digits)).met != row.met:
        digits += 1
    text = f"{row.value:.{digits}f}"
    if not row.met:
        text = f"**{text}**"
    if row.low == row.high:
        return text
    return f"{text} ({row.low:.{digits}f} to {row.high:.{digits}f})"


def outcome(row: Row) -> str:
    if not row.has_target:
        return ""
    if row.met:
        return "met"
    near = any(row.low <= bound <= row.high for bound in (row.least, row.most))
    return "missed, within the spread" if near else "**missed**"


def time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    told = [["–" if each is None else str(each) for each in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in told) + "\n"


def ratio_tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a title and a table for each kind of measured ratio."""
    for benchmark, (title, columns) in RATIOS.items():
        shown = [
            (*row.case, figure(row), target(row), outcome(row))
            for row in rows
            if row.benchmark == benchmark
        ]
        if shown:
            yield f"## {title}\n\n{table((*columns, 'measured', 'target', ''), shown)}"


def moved(row: Row) -> float:
    """Count the bytes moved by a timed step."""
    match row.benchmark, row.case:
        case "step.Step.track_seconds", (parameters, optimizer, k):
            return traffic(optimizer, k) * elements(parameters)
        case "step.Sizes.track_seconds", (optimizer, parameters):
            return traffic(optimizer) * elements(parameters)
        case "step.NumPy.track_seconds", (parameters, optimizer):
            return traffic(optimizer) * elements(parameters)
    return 0.0


def time_tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a folded table for each kind of measured time."""
    for benchmark, (title, columns) in TIMES.items():
        shown = []
        for row in rows:
            if row.benchmark != benchmark:
                continue
            if benchmark == LOOPS:
                shown.append((*row.case, "", "", f"{row.value:.1f}"))
                continue
            # With little memory, calls cost more than moving it.
            size = moved(row)
            rate = f"{size / row.value / 1e9:.1f}" if size > 1e6 else ""
            spread = f"{time(row.low)} to {time(row.high)}"
            shown.append((*row.case, time(row.value), spread, rate))
        if shown:
            text = table((*columns, "time", "quartiles", "GB/s"), shown)
            yield f"<details>\n<summary>{title}</summary>\n\n{text}\n</details>\n"


def counted(rows: Sequence[Row]) -> str:
    """Count the met targets."""
    asked = [row for row in rows if row.has_target]
    return f"**{sum(row.met for row in asked)} of {len(asked)} targets are met.**"


def missed(rows: Sequence[Row]) -> str:
    """List the missed targets."""
    shown = [
        (
            RATIOS[row.benchmark][0].split(",")[0].split(":")[0],
            ", ".join(map(str, row.case)),
            figure(row),
            target(row),
            outcome(row),
        )
        for row in rows
        if row.has_target and not row.met
    ]
    return table(("", "", "measured", "target", ""), shown) if shown else "None."


def short(rows: Sequence[Row]) -> str:
    """Answer a user's first questions."""
    found = {(row.benchmark, *row.case): row for row in rows}
    answers = []
    for question, key in SHORT.items():
        if row := found.get(key):
            seconds = row.benchmark.endswith("seconds")
            answers.append((question, time(row.value) if seconds else figure(row)))
    return table(("", ""), answers)


def points(rows: Sequence[Row]) -> dict[str, list[tuple[float, float]]]:
    """Group bytes and seconds of steps by implementation; a peer's from the ratio."""
    found: dict[str, list[tuple[float, float]]] = {"peers": [], "NumPy": [], "Stepper": []}
    steps = {row.case: row for row in rows if row.benchmark == "step.Step.track_seconds"}
    for row in rows:
        if row.benchmark == "step.Peers.track_ratio":
            parameters, optimizer, peer = row.case
            step = steps.get((parameters, optimizer, 5 if is_lookahead(peer) else None))
            if step:
                found["peers"].append((moved(step), step.value / row.value))
        elif moved(row):
            name = "NumPy" if row.benchmark == "step.NumPy.track_seconds" else "Stepper"
            found[name].append((moved(row), row.value))
    return found


def beside(rows: Sequence[Row], theme: plots.Theme = "light") -> Any:
    """Draw the time of others divided by ours, for typical uses."""
    groups: dict[str, list[tuple[str, Row]]] = {}
    for row in rows:
        match row.benchmark, row.case:
            case "step.Peers.track_ratio", ("resnet-50", "adam", peer):
                inside = "Lookahead over Adam, k = 5" if is_lookahead(peer) else "Adam"
                title = f"A step of {inside}"
                groups.setdefault(title, []).append((peer, row))
            case "runs.Beside.track_ratio", (model, "numba", "PyTorch"):
                title = "Training with numba, beside PyTorch"
                groups.setdefault(title, []).append((model, row))
    lines = len(groups) + sum(map(len, groups.values()))
    # Narrow, for telephones: names are above their points.
    size = {"width": 4.8, "height": max(0.36 * lines + 0.8, 1.2)}
    figure, ((axes,),) = plots.panels(1, 1, theme=theme, **size)
    place, ink = 0.0, plots.INK[theme]
    look = {"color": plots.PALETTE[theme][0], "markersize": 5, "fmt": "o"}
    # Over the line at 1.
    text = {"color": ink, "va": "center", "xycoords": ("axes fraction", "data")}
    text["bbox"] = {"color": plots.PAPER[theme], "pad": 1}
    for title, each in sorted(groups.items()):
        axes.annotate(title, (0, place), fontsize=11, fontweight="bold", **text)
        for name, row in each:
            place += 1
            axes.annotate(name, (0.02, place - 0.25), fontsize=10, **text)
            ends = [[1 / row.value - 1 / row.high], [1 / row.low - 1 / row.value]]
            axes.errorbar(1 / row.value, place + 0.2, xerr=ends, **look)
        place += 1.1
    axes.axvline(1, color=ink, linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 5, 10], ["0.5", "ours", "2", "5", "10"], minor=False)
    axes.minorticks_off()
    axes.set_yticks([])
    axes.set_ylim(place - 0.4, -0.5)
    axes.spines["left"].set_visible(False)
    plots.grid_lines(axes, theme, axis="x")
    plots.label(axes, theme, x="time divided by ours")
    return figure


def roofline(rows: Sequence[Row], theme: plots.Theme = "light") -> Any:
    """Draw bytes moved against time, over the limit of memory."""
    figure, ((axes,),) = plots.panels(1, 1, width=8, height=5, theme=theme)
    grouped = points(rows)
    sizes = [size for each in grouped.values() for size, _ in each]
    rates = [row.value for row in rows if row.benchmark == LOOPS]
    if sizes and rates:
        ends = [min(sizes) / 2, 2 * max(sizes)]
        axes.plot(
            ends,
            [end / max(rates) / 1e9 for end in ends],
            color=plots.INK[theme],
            linewidth=1,
            label=f"{max(rates):.0f} GB/s, a loop that only moves memory",
        )
    blue, orange, *_ = plots.PALETTE[theme]
    looks = zip(grouped.items(), (plots.GHOST[theme], orange, blue), "oso", strict=True)
    for (label, each), colour, marker in looks:
        if each:
            style = {"s": 18, "color": colour, "marker": marker, "zorder": 2}
            axes.scatter(*zip(*each, strict=True), label=label, **style)
    axes.set(xscale="log", yscale="log")
    plots.label(axes, theme, x="bytes moved by a step", y="seconds")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=plots.INK[theme])
    return figure


def versions() -> list[tuple[str, str]]:
    """List the packages that are installed, each with its version."""
    found = []
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found.append((name, metadata.version(name)))
    return found


def machine(path: Path) -> str:
    """Describe the machine and versions."""
    told = json.loads(path.read_text("utf-8"))["params"]
    installed = ", ".join(map(" ".join, versions()))
    memory = f"{float(told['ram']) / 1e9:.1f} GB"
    where = f"{told['cpu']}, {told['num_cpu']} cores, {memory}; {told['os']}"
    return f"{where}; Python {platform.python_version()}, {installed}."


def data() -> str:
    """Say what whole runs were trained on."""
    known = {"ptb": "Penn Treebank", "cifar10": "CIFAR-10", "mnist": "MNIST"}
    names = [title for name, title in known.items() if found_in(name)]
    read = f"read {' and '.join(names)}, and otherwise draw" if names else "draw"
    steps = ", ".join(f"{WORKS[name].steps} of {name}" for name in RUNS)
    return f"Whole runs {read} their data at random; steps in a turn: {steps}."


def page(path: Path) -> str:
    """Fill the template from asv's result file."""
    rows = read(path)
    asked = [each for row in rows for each in judged(row)]
    return TEMPLATE.read_text("utf-8").format(
        short=short(measured(rows)).rstrip(),
        machine=machine(path),
        data=data(),
        count=counted(asked),
        missed=missed(asked).rstrip(),
        tables="\n".join(ratio_tables(asked)).rstrip(),
        times="\n".join(time_tables(measured(rows))).rstrip(),
    )


def write(path: Path) -> None:
    (DOCS / "benchmarks.md").write_text(page(path))
    rows = measured(read(path))
    themes: tuple[plots.Theme, ...] = ("light", "dark")
    for name, draw in {"beside": beside, "roofline": roofline}.items():
        for theme in themes:
            with plots.own_look():
                picture = plots.svg(draw(rows, theme))
            (DOCS / "_static" / f"{name}-{theme}.svg").write_bytes(picture)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
