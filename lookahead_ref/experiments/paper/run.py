"""A reproduction from request to report."""

import csv
import importlib
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from rich.console import Console

from lookahead_ref.experiments import single
from lookahead_ref.experiments.environment import machine, versions
from lookahead_ref.experiments.paper.arms import Outcome, run
from lookahead_ref.experiments.paper.plan import Findings, Plan, Request
from lookahead_ref.experiments.pool import Workers
from lookahead_ref.report import plots
from lookahead_ref.report.files import write_atomically, write_json
from lookahead_ref.report.page import (
    Section,
    code,
    definitions,
    page,
    paragraph,
    picture,
)
from lookahead_ref.training import reporter

__all__ = ["NAMES", "Reproduction", "check", "reproduce"]

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "table1": "classifiers at the end of training",
        "table2": "top-1 and top-5 accuracy on a shortened schedule",
        "table3": "language models",
        "table5": "several k and alpha",
        "fig1": "the path of the weights over the accuracy around them",
        "fig8": "other inner learning rates and momenta",
        "fig9": "training loss for several k and alpha",
        "fig10": "accuracy within the inner loops",
    }
)
"""What can be reproduced, and what it is of."""


@dataclass(frozen=True)
class Reproduction:
    """What a reproduction leaves behind."""

    folder: Path
    """Where everything is."""
    findings: Findings
    """The tables, and what was found in words."""
    files: tuple[str, ...]
    """The names of the files in the folder."""


def check(name: str, request: Request) -> None:
    """Try everything that can be wrong, before anything is trained or written.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    request : Request
        What the user asks for.

    Raises
    ------
    TypeError, ValueError
        If there is no such reproduction, or the data or the backend cannot be used.
    lookahead_ref.extras.MissingExtraError
        If something that it needs is not installed.
    lookahead_ref.stepping.backend.BackendUnavailableError
        If the backend cannot run here.
    """
    for arm in _module(name).plan(request).arms:
        single.prepare(arm.settings)


def reproduce(
    name: str,
    request: Request,
    folder: Path,
    *,
    workers: Workers,
    command: str,
    console: Console,
) -> Reproduction:
    """Do all runs of a reproduction that are not done yet, and write its report.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    request : Request
        What the user asks for.
    folder : pathlib.Path
        To hold ``results.json``, ``results.csv``, ``report.html``, pictures as PNG and SVG,
        and in ``trials`` the result of each run as it came.
    workers : Workers
        Who does the runs.
    command : str
        What repeats it.
    console : rich.console.Console
        Where to show progress.

    Returns
    -------
    Reproduction
        The findings, and where they are.

    Raises
    ------
    ValueError
        If there is no such reproduction, or the request does not fit.
    lookahead_ref.experiments.trials.TrialsLostError
        If the workers of some runs died whenever they were tried.
    ArithmeticError
        If every run diverged.
    """
    module = _module(name)
    plan: Plan = module.plan(request)
    started = datetime.now().astimezone()
    clock = time.perf_counter()
    seeds = range(plan.seeds)
    with reporter(len(plan.arms) * plan.seeds, "runs", console) as progress:
        outcomes = run(
            plan.arms, seeds, folder / "trials", workers, progress, measure=plan.measure
        )
    if all(outcome.diverged == len(outcome.runs) for outcome in outcomes):
        raise ArithmeticError(
            "every run diverged, there is nothing to compare: try a smaller learning rate"
        )
    findings: Findings = module.find(plan, outcomes)
    results = {
        "format": "lookahead-ref reproduce",
        "format_version": 1,
        "name": name,
        "title": module.TITLE,
        "command": command,
        "request": asdict(request),
        "setting": dict(plan.setting),
        "differs_from_the_paper": list(plan.differs),
        "summary": findings.summary,
        "tables": [table.markdown() for table in findings.tables],
        "machine": machine(),
        "versions": versions("numpy", "autograd", "numba", "scikit-learn", "matplotlib"),
        "timing": {
            "started": started.isoformat(timespec="seconds"),
            "seconds": time.perf_counter() - clock,
        },
        "arms": [
            {
                "title": outcome.arm.title,
                "settings": asdict(outcome.arm.settings),
                "runs": [
                    {"seed": seed, **each}
                    for seed, each in zip(seeds, outcome.runs, strict=True)
                ],
            }
            for outcome in outcomes
        ],
    }
    console.print("drawing the pictures, writing the report")
    write_json(folder / "results.json", results)
    write_atomically(folder / "results.csv", _csv(outcomes))
    pictures = []
    for picture_name, (_, draw) in findings.pictures.items():
        write_atomically(folder / f"{picture_name}.png", plots.png(draw("light")))
        write_atomically(folder / f"{picture_name}.svg", plots.svg(draw("light")))
        pictures += [f"{picture_name}.png", f"{picture_name}.svg"]
    write_atomically(folder / "report.html", _html(module.TITLE, findings, plan, results))
    files = ("report.html", *pictures, "results.json", "results.csv")
    return Reproduction(folder, findings, files)


def _module(name: str) -> ModuleType:
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}; got {name!r}")
    return importlib.import_module(f"lookahead_ref.experiments.paper.{name}")


def _csv(outcomes: Sequence[Outcome]) -> str:
    """One line for each epoch of each run, or for each step that was looked at."""
    lines = [
        {"arm": outcome.arm.title, "seed": seed, **record}
        for outcome in outcomes
        for seed, each in enumerate(outcome.runs)
        for record in _records(each)
    ]
    text = io.StringIO(newline="")
    names = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _records(each: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    if "history" in each:
        records: Sequence[Mapping[str, Any]] = each["history"]
        return records
    if "visits" in each:
        visits: Sequence[Mapping[str, Any]] = each["visits"]
        return visits
    return [
        {"weights": name, "x": x, "y": y, "accuracy": accuracy}
        for name in ("theta", "phi")
        for x, y, accuracy in each[name]
    ]


def _html(title: str, findings: Findings, plan: Plan, results: Mapping[str, Any]) -> str:
    shown = [
        picture(
            plots.png(draw("light"), dpi=130),
            plots.png(draw("dark"), dpi=130),
            alternative=caption,
            caption=caption,
        )
        for caption, draw in findings.pictures.values()
    ]
    timing = results["timing"]
    return page(
        title,
        findings.summary,
        [
            *(Section(table.title, table.html()) for table in findings.tables),
            Section("Pictures", "\n".join(shown)),
            Section(
                "What differs from the paper",
                "\n".join(paragraph(sentence) for sentence in plan.differs),
            ),
            Section("Setting", definitions({**plan.setting, "Seeds": plan.seeds})),
            Section(
                "Machine and versions",
                definitions(
                    {
                        **results["machine"],
                        **results["versions"],
                        "Run at": timing["started"],
                        "Took": f"{timing['seconds']:.0f} s",
                    }
                ),
            ),
            Section("Repeat it", code(results["command"])),
        ],
    )
