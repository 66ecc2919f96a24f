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
    "models": "Training steps of models, beside PyTorch",
    "first": "The first steps of a process",
}

_HEAD = """# Benchmarks

<!-- Written by benchmarks/page.py from what lookahead-ref bench measured. -->

```sh
lookahead-ref bench                    # all of it: minutes
lookahead-ref bench --quick            # a glance
lookahead-ref bench --only overhead    # one section
```

Each section has a process of its own, in which contestants take turns: a pause, a cycle
that is not timed, then the steps that are. A time is the median over the turns, with the
quartiles. A ratio is taken turn by turn, so that what slows the machine for a while slows
both sides of it. Shown is the median, for each run, and the quartiles. A bar is met where
the median meets it. One that lies between the quartiles of every run that missed it was
missed within the spread. A figure has as many digits as tell it from its bar. Beside a bar
that was missed stands, where it may say why, how long a line of the cache took from one
core to the other meanwhile: tens of nanoseconds where they share the last level of cache,
and hundreds where they do not.
"""

_PICTURE = """The line is the fastest of the loops that move memory and compute nothing, in
the last run. Points below it are of arrays that the cache holds, or of a moment in which
memory was faster.
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

**Plain steps of 10 M, at most 1.0 of the fastest.** Steps that wait for memory come in
two speeds here, for every contestant at once, and change from one to the other at any
moment: plain SGD takes 1.5 ms or 0.86 ms. It is the distance of the two cores that
decides, which the hypervisor chooses. A loop of SGD's reads and writes in C, 500 times in 4
minutes, took 1.53 ms (1.45 to 1.62) the 392 times that a line of the cache took 40 to 85
ns from core to core, and 0.89 ms (0.78 to 1.01) the 102 times that it took 200 to 258
ns: cores so far apart have a cache and a way to memory each. Near each other, all reach
what the one way to memory allows. Apart, what counts is how a core fills its own:
registers of 32 bytes instead of 64, and pieces of work that shrink to where threads meet,
took SGD from 1.04 ms to 0.90 ms, where PyTorch took 0.93 ms (170 turns of each). What is
left of the difference is Python: between two steps it runs for 0.1 ms, 0.01 ms if nothing
had driven it out of the cache, and the second thread, which has to be woken, begins 0.04 ms
later than the first. A thread that spins between steps, as those of OpenMP do, would save
that, and take a core from what computes the gradients.

**10 M, k = 1 and 2, at most 1.05 of the bytes counted; interpolated slots, steps counted.**
The model counts bytes and knows no cache. Of the arrays of a plain step more stays in the
last level than of those of a synchronization, which are more. At 30 M, where next to
nothing stays, the same code meets every one of these bars.

**MLP on `numpy`.** Where it missed, all took longer, PyTorch and `numba` by a fifth to a
third. With cores near each other, 35 to 58 ns before and after, it was 0.97 to 0.99 ten
times in a row. That it is the cores' distance, too, is likely, and was not measured.

**ResNet-18 on `numpy`.** [NumPy's own BLAS](resnet.md) computes here with vectors of half
the processor's width, and all but the matrix products runs on one thread, where PyTorch's
runs on all. With one thread each it takes 1.91 of PyTorch's time.
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
            f"{mark:8} {bar['value']:7.{_digits(bar, 3)}f} {sign} {bar['bar']:4.2f}  "
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
        _PICTURE,
        _MODEL,
        *([_WHY] if len(runs) > 1 else []),
        *tables(runs),
    ]
    return "\n".join(parts).rstrip() + "\n"


def tables(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield what the page says of each section that was measured, then all times.

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
        if text := _bars(section, runs):
            yield f"## {title}\n\n{text}"
    if times := "".join(_timings(section, runs) for section in _TITLES):
        yield f"## Times of the last run\n\n{times}"


def _met(bar: dict[str, Any]) -> bool:
    if bar["least"]:
        return bool(bar["value"] >= bar["bar"])
    return bool(bar["value"] <= bar["bar"])


def _within_the_spread(bar: dict[str, Any]) -> bool:
    return bool(bar["low"] <= bar["bar"] <= bar["high"])


def _rows(runs: Sequence[dict[str, Any]]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Gather what was measured of each bar, in the order of the runs."""
    rows: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in runs:
        for bar in run["bars"]:
            key = tuple(bar[n] for n in ("section", "parameters", "optimizer", "measure"))
            rows.setdefault(key, []).append(bar)
    return rows


def _summary(runs: Sequence[dict[str, Any]]) -> str:
    rows = _rows(runs)
    if not rows:
        return ""
    missed = {key: bars for key, bars in rows.items() if not all(map(_met, bars))}
    counts = sorted({len(bars) for bars in rows.values()})
    times = " or ".join(map(str, counts)) + (" time" if counts == [1] else " times")
    text = f"{len(rows)} bars, each measured {times}, one run after the other: "
    text += f"**{len(rows) - len(missed)} were met every time.**"
    if missed:
        text += (
            " Those that were not:\n\n| | measured, each run | bar | |\n|---|---|---|---|"
        )
    for (section, parameters, optimizer, measure), bars in missed.items():
        named = (_TITLES[section], parameters, optimizer, measure)
        where = ", ".join(part for part in named if part)
        text += f"\n| {where} | {'; '.join(map(_told, bars))} | {_asked(bars[0])} | "
        text += f"{_outcome(bars)} |"
    return text + "\n"


def _bars(section: str, runs: Sequence[dict[str, Any]]) -> str:
    rows = {key[1:]: bars for key, bars in _rows(runs).items() if key[0] == section}
    reasons = [run.get("left_out", {}).get(section) for run in runs]
    text = "".join(f"Left out: {reason}.\n\n" for reason in {*reasons} if reason)
    if not rows:
        return text
    count = max(map(len, rows.values()))
    head = ["parameters", "optimizer", "measure"]
    head += [f"run {number + 1}" for number in range(count)] + ["bar", ""]
    text += f"| {' | '.join(head)} |\n{'|---' * len(head)}|\n"
    for key, bars in rows.items():
        cells = [*map(_cell, bars), *[""] * (count - len(bars))]
        text += f"| {' | '.join([*key, *cells, _asked(bars[0]), _outcome(bars)])} |\n"
    text += "\n"
    named = {
        key: [bar["beside"] for bar in bars]
        for key, bars in rows.items()
        if any(bar.get("beside") for bar in bars)
    }
    if named:
        told = [
            f"{' '.join(key[:2])}: {', '.join(dict.fromkeys(beside))}"
            for key, beside in named.items()
        ]
        text += f"The fastest peer was, for {'; '.join(told)}.\n\n"
    return text


def _asked(bar: dict[str, Any]) -> str:
    return f"{'≥' if bar['least'] else '≤'} {bar['bar']:g}"


def _digits(bar: dict[str, Any], digits: int) -> int:
    """Return how many digits, or more, tell a figure from its bar."""
    while digits < 9 and _met({**bar, "value": round(bar["value"], digits)}) != _met(bar):
        digits += 1
    return digits


def _cell(bar: dict[str, Any]) -> str:
    digits = _digits(bar, 2)
    text = f"{bar['value']:.{digits}f}"
    if not _met(bar):
        text = f"**{text}**"
    if bar["low"] == bar["high"]:
        return text
    return f"{text} ({bar['low']:.{digits}f} to {bar['high']:.{digits}f})"


def _told(bar: dict[str, Any]) -> str:
    latency = bar.get("core_latency")
    return _cell(bar) + ("" if latency is None else f", cores {_time(latency)} apart")


def _outcome(bars: Sequence[dict[str, Any]]) -> str:
    missed = [bar for bar in bars if not _met(bar)]
    if not missed:
        return "met"
    text = f"met in {len(bars) - len(missed)} of {len(bars)}"
    if all(map(_within_the_spread, missed)):
        return f"{text}, within the spread"
    return f"**{text}**"


def _timings(section: str, runs: Sequence[dict[str, Any]]) -> str:
    last = [run for run in runs if any(t["section"] == section for t in run["timings"])]
    if not last:
        return ""
    text = (
        "| parameters | optimizer | method | a step | quartiles | GB/s | core to core |\n"
    )
    text += "|---|---|---|---|---|---|---|\n"
    for row in last[-1]["timings"]:
        if row["section"] == section:
            rate = row["bytes_moved"] / row["seconds"] / 1e9
            text += f"| {row['parameters']} | {row['optimizer']} | {row['method']} | "
            text += (
                f"{_time(row['seconds'])} | {_time(row['low'])} to {_time(row['high'])} | "
            )
            # Of little memory, calls cost more than moving it.
            text += f"{rate:.1f} | " if row["bytes_moved"] > 1e6 else "| "
            latency = row.get("core_latency")
            text += "|\n" if latency is None else f"{_time(latency)} |\n"
    summary = f"<summary>{_TITLES[section]}</summary>"
    return f"<details>\n{summary}\n\n{text}\n</details>\n\n"


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
