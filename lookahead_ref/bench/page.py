"""What was measured, as text: tables for a terminal and the page of the documentation."""

from collections.abc import Iterator, Sequence
from typing import Any

_TITLES = {
    "step": "A step, beside other implementations",
    "cost": "What Lookahead adds",
    "bandwidth": "Beside what memory allows",
    "numpy": "NumPy in blocks",
    "overhead": "The cost of a call",
    "memory": "Peak memory",
    "growth": "Growth",
    "first": "The first steps of a process",
}

_HEAD = """# Benchmarks

<!-- Written by benchmarks/page.py from what lookahead-ref bench measured. -->

```sh
lookahead-ref bench                    # all of it: minutes
lookahead-ref bench --quick            # a glance
lookahead-ref bench --only overhead    # one section
```

Contestants take turns in one process: a pause, a cycle that is not timed, then the steps
that are. A time is the median over the turns, with the quartiles. A ratio is taken turn
by turn, so that what slows the machine for a while slows both sides of it; shown is the
median, for each run.
"""

_CLOCK = " Times are those of the device's own events."

_MODEL = """## The traffic model

An optimizer's arithmetic is cheap beside the memory that it moves. For each float32
parameter an update reads the gradient (4 bytes), and reads and writes the parameter (8)
and each slot (8): 12 bytes for SGD, 20 for heavy ball, Nesterov and AdaGrad, 28 for Adam.
A synchronization reads and writes the slow weights (8 more), and with
`inner_state="interpolate"` the slots of the last one (8 for each slot). Done in the same
pass as the last inner step, it moves nothing else: the fast weights are at hand, and
become the slow ones without a copy. A cycle of k steps of an inner optimizer that moves b
bytes thus costs (k b + 8) / (k b) inner steps: 1.67 for SGD at k = 1, 1.13 at k = 5, 1.06
for Adam at k = 5; the paper's count, an outer update for as dear as a step, is (k + 1) /
k.
"""

_WHY = """## Where a bar is missed, and why

**Lookahead over PyTorch's fused optimizers, one large tensor, at most 0.8.** Those
steps run at the speed of memory, too, and so only the bytes of a synchronization are
left to save. A wrapper that interpolates in place reads two arrays and writes one (12
bytes), then copies one to the other (8): at k = 5 the least that bytes allow is (5 b +
8) / (5 b + 20), which is 0.85 for SGD, 0.90 for heavy ball and Nesterov and 0.925 for
Adam, unless the wrapper moves more.

**Plain steps, at most 1.0 of the fastest.** Where both sides reach what memory allows,
as the rows of the same reads and writes show, the ratio is 1 but for chance, and chance
decides on which side of the bar it falls.

**SGD, k = 1 and 2, at most 1.05 of the bytes counted.** The model counts bytes and
knows no cache. Of the two arrays of a step of SGD more stays in the last level than of
the three of a synchronization. The loop of the same reads and writes without arithmetic
shows the same ratio between its two rows.

**Growth.** A machine that does other things at some sizes and not at others bends the
line.
"""


def lines(bars: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each bar, for a terminal.

    Parameters
    ----------
    bars : sequence of dict
        What `Bar` holds, by name.

    Yields
    ------
    str
        A line.
    """
    for bar in bars:
        sign, mark = ">=" if bar["least"] else "<=", "met" if _met(bar) else "NOT MET"
        where = " ".join(part for part in (bar["parameters"], bar["optimizer"]) if part)
        yield (
            f"{mark:8} {bar['value']:7.3f} {sign} {bar['bar']:4.2f}  "
            f"{bar['section']}: {where}: {bar['measure']}"
        )


def page(runs: Sequence[dict[str, Any]]) -> str:
    """Write the page from the results of runs, each whole or in parts.

    Parameters
    ----------
    runs : sequence of dict
        What the command wrote to ``results.json``.

    Returns
    -------
    str
        The page, in Markdown.
    """
    machine = runs[-1]["machine"]
    told = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = "; ".join(
        [
            machine["processor"],
            f"{machine['cores']} cores, {machine['cache']}, {machine['memory_gb']} GB",
            machine["system"],
            *machine.get("devices", ()),
        ]
    )
    parts = [
        _HEAD,
        f"Measured on: {where}; {told}.{_CLOCK if 'devices' in machine else ''}\n",
        _summary(runs),
        "![Bytes moved by a step against its time](_static/roofline.svg)\n",
        _MODEL,
        *([_WHY] if len(runs) > 1 else []),
        *tables(runs),
    ]
    return "\n".join(parts).rstrip() + "\n"


def tables(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield what the page says of each section that was measured.

    Parameters
    ----------
    runs : sequence of dict
        As for `page`.

    Yields
    ------
    str
        Title and tables, in Markdown.
    """
    for section, title in _TITLES.items():
        text = _bars(section, runs) + _timings(section, runs)
        if text:
            yield f"## {title}\n\n{text}"


def _met(bar: dict[str, Any]) -> bool:
    if bar["least"]:
        return bool(bar["value"] >= bar["bar"])
    return bool(bar["value"] <= bar["bar"])


def _summary(runs: Sequence[dict[str, Any]]) -> str:
    bars = [bar for run in runs for bar in run["bars"]]
    met = sum(map(_met, bars))
    return f"Of {len(bars)} comparisons with a bar, {met} met it.\n"


def _bars(section: str, runs: Sequence[dict[str, Any]]) -> str:
    rows: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in runs:
        for bar in run["bars"]:
            if bar["section"] == section:
                key = tuple(bar[name] for name in ("parameters", "optimizer", "measure"))
                rows.setdefault(key, []).append(bar)
    if not rows:
        return ""
    text = "| parameters | optimizer | measure | measured, each run | bar | |\n"
    text += "|---|---|---|---|---|---|\n"
    for (parameters, optimizer, measure), bars in rows.items():
        values = ", ".join(f"{bar['value']:.2f}" for bar in bars)
        sign = "≥" if bars[0]["least"] else "≤"
        met = sum(map(_met, bars))
        mark = "met" if met == len(bars) else f"**met in {met} of {len(bars)}**"
        text += f"| {parameters} | {optimizer} | {measure} | {values} | "
        text += f"{sign} {bars[0]['bar']:g} | {mark} |\n"
    return text + "\n"


def _timings(section: str, runs: Sequence[dict[str, Any]]) -> str:
    last = [run for run in runs if any(t["section"] == section for t in run["timings"])]
    if not last:
        return ""
    text = "| parameters | optimizer | method | a step | quartiles | GB/s |\n"
    text += "|---|---|---|---|---|---|\n"
    for row in last[-1]["timings"]:
        if row["section"] == section:
            rate = row["bytes_moved"] / row["seconds"] / 1e9
            text += f"| {row['parameters']} | {row['optimizer']} | {row['method']} | "
            text += (
                f"{_time(row['seconds'])} | {_time(row['low'])} to {_time(row['high'])} | "
            )
            # Of little memory, calls cost more than moving it.
            text += f"{rate:.1f} |\n" if row["bytes_moved"] > 1e6 else "|\n"
    return f"The times of the last run:\n\n{text}\n"


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
