"""A job's numbers and pictures, and a page that shows them all."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from lookahead_ref.experiments import trials
from lookahead_ref.experiments.environment import machine, versions
from lookahead_ref.experiments.options import command
from lookahead_ref.experiments.parallel import Pool
from lookahead_ref.experiments.statistics import LOSSES, training_loss
from lookahead_ref.experiments.train import Prepared
from lookahead_ref.experiments.trials import Arm, Outcome, Plan, Speed
from lookahead_ref.report import plots
from lookahead_ref.report.files import stamp, write_atomically, write_json
from lookahead_ref.report.page import Section, code, definitions, page, paragraph, picture
from lookahead_ref.report.tables import Table
from lookahead_ref.report.words import duration


@dataclass(frozen=True)
class Picture:
    """A picture for light and dark pages."""

    caption: str
    draw: "Callable[[plots.Theme], plots.Figure]"


@dataclass(frozen=True)
class Findings:
    """The results of a plan."""

    summary: str
    """A few sentences: whether there is an effect, and how clear it is."""
    tables: tuple[Table, ...]
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    """Pictures by file name without extension."""


@dataclass(frozen=True)
class Job:
    """A checked plan, and how its results are reported."""

    name: str
    """The command, such as ``"reproduce fig9"``."""
    title: str
    settings: Any
    plan: Plan
    prepared: Sequence[Prepared]
    """A run of each arm."""
    find: Callable[[Sequence[Outcome]], Findings]
    order: Callable[[Outcome], Any] = lambda _: 0
    """The sort key of arms in the results; by default they stay in the plan's order."""
    line: Callable[[Outcome, int], Mapping[str, Any]] | None = None
    """A run's line in ``results.csv``; None: a line for each of its records."""
    more: Callable[[Sequence[Outcome]], Mapping[str, Any]] = lambda _: {}
    """Further entries of ``results.json``."""
    begin: Callable[[Path], None] = lambda _: None
    """Called with the folder before anything is trained."""
    logs: Callable[[Arm], Mapping[str, Any]] | None = None
    """An arm's labels in ``train.jsonl``; None: no such file."""
    speed: Speed | None = None
    """The speed of its runs, if it was measured."""


@dataclass(frozen=True)
class Report:
    """The folder and findings of a finished job."""

    folder: Path
    findings: Findings
    files: tuple[str, ...]
    """Names of the files in the folder."""


def do(job: Job, folder: Path, workers: Pool, console: Console) -> Report:
    """Do a job's remaining runs; write its numbers, pictures and page."""
    began = datetime.now().astimezone()
    kept = folder / "trials"
    job.begin(folder)
    try:
        outcomes = trials.run(job.plan, kept, workers=workers, console=console)
        outcomes.sort(key=job.order)
        findings = job.find(outcomes)
        console.print("writing the report")
        results = _results(job, outcomes, findings, began)
        write_json(folder / "results.json", results)
        write_atomically(folder / "results.csv", _csv(job, outcomes))
        files, shown = [], []
        for name, each in findings.pictures.items():
            with plots.own_look():
                light = plots.write_picture(folder, name, each.draw("light"))
                dark = plots.png(each.draw("dark"))
            files += [f"{name}.png", f"{name}.svg"]
            shown.append(picture(light, dark, each.caption))
        write_atomically(folder / "report.html", _html(job, findings, results, shown))
    finally:
        if job.logs is not None:
            write_atomically(folder / "train.jsonl", _log(job.plan, kept, job.logs))
    logs = [] if job.logs is None else ["train.jsonl"]
    written = ("report.html", *files, "results.json", "results.csv", *logs)
    return Report(folder, findings, written)


def _results(
    job: Job, outcomes: Sequence[Outcome], findings: Findings, began: datetime
) -> dict[str, Any]:
    plan = job.plan
    first = job.prepared[0]
    names = getattr(first.data, "class_names", ())
    classes = {"Classes": "; ".join(names)} if 0 < len(names) <= 20 else {}
    parts = {"training": first.data.train, first.settings.evaluated: first.data.validation}
    counts = [f"{x.size:,} for {what}" for what, x in parts.items() if hasattr(x, "size")]
    of = "Tokens" if hasattr(first.data, "vocabulary") else "Examples"
    sizes = {of: ", ".join(counts)} if counts else {}
    return {
        **stamp(f"lookahead-ref {job.name.split()[0]}"),
        "title": job.title,
        "command": command(job.name, job.settings),
        "request": asdict(job.settings),
        "setting": {**plan.setting, **sizes, **classes},
        "notes": dict(plan.notes),
        "summary": findings.summary,
        **job.more(outcomes),
        "tables": [table.markdown() for table in findings.tables],
        "seeds": list(plan.seeds),
        "arms": [outcome.recorded(plan.seeds) for outcome in outcomes],
        "machine": machine(),
        "versions": versions("numpy", "autograd", "numba", "scikit-learn", "matplotlib"),
        "timing": {
            "started": began.isoformat(timespec="seconds"),
            "seconds": (datetime.now().astimezone() - began).total_seconds(),
            "runs": [
                {"arm": outcome.arm.title, "seed": seed, "seconds": run.get("seconds")}
                for outcome in outcomes
                for seed, run in zip(plan.seeds, outcome.runs, strict=True)
            ],
        },
    }


def _records(run: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the records of a run: its epochs, its visited steps, or its path."""
    path = [
        {"weights": name, "x": x, "y": y, "accuracy": accuracy}
        for name in ("theta", "phi")
        for x, y, accuracy in run.get(name, ())
    ]
    return path or run.get("history") or run.get("visits", ())


def _csv(job: Job, outcomes: Sequence[Outcome]) -> str:
    lines: list[Mapping[str, Any]] = []
    for outcome in outcomes:
        for place, seed in enumerate(job.plan.seeds):
            if job.line is not None:
                lines.append(job.line(outcome, place))
                continue
            whose = {"arm": outcome.arm.title, "seed": seed}
            lines += [{**whose, **each} for each in _records(outcome.runs[place])]
    text = io.StringIO(newline="")
    names = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _log(plan: Plan, folder: Path, label: Callable[[Arm], Mapping[str, Any]]) -> str:
    """Join the logs of all finished runs."""
    lines = []
    for arm, trial in plan.trials():
        found = trial.found(folder) or {"log": ()}
        labels = {**label(arm), "seed": trial.settings.seed}
        for event in found["log"]:
            line = {"event": event["event"], **labels, **event}
            lines.append(json.dumps(line, allow_nan=False) + "\n")
    return "".join(lines)


def _html(
    job: Job, findings: Findings, results: Mapping[str, Any], pictures: Sequence[str]
) -> str:
    plan, timing = job.plan, results["timing"]
    seeds = ", ".join(map(str, plan.seeds))
    computed = {
        **results["machine"],
        **results["versions"],
        "Run at": timing["started"],
        "Took": duration(timing["seconds"]),
    }
    return page(
        job.title,
        findings.summary,
        [
            *(Section(table.title, table.html()) for table in findings.tables),
            *([Section("Pictures", "\n".join(pictures))] if pictures else []),
            *(
                Section(heading, "\n".join(map(paragraph, sentences)))
                for heading, sentences in plan.notes.items()
            ),
            Section("Setting", definitions({**results["setting"], "Seeds": seeds})),
            Section("Machine and versions", definitions(computed)),
            Section("Repeat it", code(results["command"])),
        ],
    )


def training_curves(outcomes: Sequence[Outcome], *, columns: int = 4) -> Picture:
    """Make the picture of training loss and validation accuracy or loss."""
    of, text = outcomes[0].arm.settings.evaluated, outcomes[0].of_text
    quantity, title = "validation_accuracy", f"{of} accuracy (%)"
    caption = f"Training loss, logarithmic, and {of} accuracy."
    if text:
        quantity, title = "validation_loss", f"{of} loss"
        caption = "Loss in nats a token, the logarithm of the perplexity."
    found, limits = curves(outcomes, quantity), None
    if len(found[0].x) > 3:  # otherwise there is little else than the start
        limits = plots.late_limits(found, higher=not text)
        caption += " The lower panels begin where the methods can be told apart."
    panels = [training_panel(outcomes), plots.Panel(title, found, limits=limits)]
    return drawn(panels, caption, columns=columns)


def training_panel(outcomes: Sequence[Outcome]) -> plots.Panel:
    """Collect the curves of the training loss, or of the batch loss if not measured."""
    loss = training_loss(outcomes)
    return plots.Panel(LOSSES[loss], curves(outcomes, loss), scale="log")


def curves(outcomes: Sequence[Outcome], quantity: str) -> tuple[plots.Curve, ...]:
    """Collect the curves of a quantity for all arms with a complete run."""
    factor = 100.0 if "accuracy" in quantity else 1.0
    found = []
    for outcome in outcomes:
        # There is no batch loss at the start.
        measured = outcome.measured[1:] if quantity == "batch_loss" else outcome.measured
        values = factor * outcome.history(quantity)[:, measured]
        whole = values[np.isfinite(values).all(axis=1)]
        if len(whole):
            arm = outcome.arm
            epochs = np.array(measured)
            found.append(plots.Curve(arm.title, arm.family, arm.role, epochs, whole))
    return tuple(found)


def drawn(panels: Sequence[plots.Panel], caption: str, *, columns: int = 4) -> Picture:
    """Make a picture of curves over the epochs."""
    return Picture(
        caption, lambda theme: plots.curves_figure(panels, columns=columns, theme=theme)
    )
