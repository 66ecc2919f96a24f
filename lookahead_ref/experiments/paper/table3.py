"""Table 3: perplexity of LSTM language models on Penn Treebank."""

import math
from collections.abc import Sequence
from dataclasses import replace

from lookahead_ref.experiments import single
from lookahead_ref.experiments.methods import Method
from lookahead_ref.experiments.paper import paper
from lookahead_ref.experiments.paper.arms import Arm, Outcome, curves
from lookahead_ref.experiments.paper.findings import against, differences_from, drawn
from lookahead_ref.experiments.paper.plan import Findings, Plan, Request
from lookahead_ref.report import plots
from lookahead_ref.report.tables import Column, Row, Summary, Table, summarize

__all__ = ["TITLE", "find", "plan"]

TITLE = "Table 3: language models"

_LAPTOP = single.Settings(
    model="lstm",
    data="pydoc-chars",
    hidden=64,
    layers=1,
    dropout=0.0,
    schedule="step",
    epochs=12,
    batch_size=20,
    clip=0.25,
)
_FULL = single.Settings(
    model="lstm",
    hidden=200,
    layers=2,
    dropout=0.2,
    schedule="step",
    epochs=40,
    batch_size=20,
    clip=0.25,
)
"""The "small" model on this data; the paper's is that of Merity et al., with more layers
and several kinds of dropout that are not in this library."""

_METHODS = (
    Method("sgd", "SGD", "SGD", "plain"),
    Method("lookahead-sgd", "Lookahead (SGD)", "SGD", "lookahead"),
    Method("adam", "Adam", "Adam", "plain"),
    Method("lookahead-adam", "Lookahead (Adam)", "Adam", "lookahead"),
    Method("polyak-sgd", "Polyak", "SGD", "other"),
)

_LAPTOP_RATES = {
    "sgd": 30.0,
    "lookahead-sgd": 30.0,
    "adam": 0.02,
    "lookahead-adam": 0.04,
    "polyak-sgd": 30.0,
}
"""Each the best of a grid, on seed 1000 over six epochs: for SGD, its average and Lookahead
around it 10, 30, 100; for Adam and Lookahead around it 0.005, 0.01, 0.02, 0.04."""

_FULL_RATES = {
    "sgd": 30.0,
    "lookahead-sgd": 30.0,
    "adam": 0.003,
    "lookahead-adam": 0.003,
    "polyak-sgd": 30.0,
}
"""Of SGD the one of Merity et al. (2018); Adam's was not searched for."""


def plan(request: Request) -> Plan:
    """Plan the runs.

    Parameters
    ----------
    request : Request
        What the user asks for.

    Returns
    -------
    Plan
        SGD and Adam, alone and inside Lookahead, and the running average of SGD.
    """
    base = _FULL if request.full else _LAPTOP
    base = replace(
        base,
        data=request.data or base.data,
        epochs=request.epochs or base.epochs,
        backend=request.backend,
        evaluate_train=True,
        k=5,
        alpha=0.5,
    )
    rates = dict(_FULL_RATES if request.full else _LAPTOP_RATES)
    if request.learning_rate is not None:
        rates |= {name: request.learning_rate for name in rates if name.endswith("sgd")}
    arms = tuple(
        Arm(
            method.title,
            replace(base, optimizer=method.name, learning_rate=rates[method.name]),
            method.family,
            method.role,
        )
        for method in _METHODS
    )
    model = f"LSTM, {base.layers} layer(s) of {base.hidden}, dropout {base.dropout:g}"
    differs = [
        (
            "The paper's model is the three-layer LSTM of Merity et al. (2018), with "
            "several kinds of dropout and a schedule that waits for the validation loss; "
            f"this is an LSTM of {base.layers} layer(s) whose learning rate is divided by "
            "five three times."
        ),
        "Polyak is the running mean of all iterates; Merity et al. begin to average late.",
    ]
    if not request.full:
        differs.append(
            "The paper's text is Penn Treebank, by words; this one is short, and by "
            "default read by characters, so that perplexities do not compare."
        )
    return Plan(
        arms=arms,
        seeds=request.seeds or 3,
        setting={
            "Model": model,
            "Data": base.data,
            "Epochs": str(base.epochs),
            "Batch size": str(base.batch_size),
            "Gradient clipping": f"at norm {base.clip:g}",
            "Learning rate": ", ".join(f"{rate:g} for {n}" for n, rate in rates.items()),
            "Backend": base.backend,
        },
        differs=tuple(differs),
    )


def find(plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
    """Make the table beside the paper's, and the curves.

    Parameters
    ----------
    plan : Plan
        From `plan`.
    outcomes : sequence of Outcome
        Of its arms.

    Returns
    -------
    Findings
        What came out.
    """
    table = Table(
        title="Perplexity at the end of training",
        caption=(
            f"Here: mean ± sample standard deviation over {plan.over}, measured on "
            "the slow weights, or on the average. Paper: Table 3, on Penn Treebank."
        ),
        stub="Optimizer",
        columns=tuple(
            Column(f"{where}, {split}", better="lower")
            for where in ("Here", "Paper")
            for split in ("training", "validation", "test")
        ),
        rows=tuple(
            Row(
                outcome.arm.title,
                (
                    _perplexity(outcome.final("train_loss")),
                    _perplexity(outcome.final("validation_loss")),
                    _perplexity(outcome.test("loss")),
                    *paper.TABLE_3[outcome.arm.title],
                ),
            )
            for outcome in outcomes
        ),
    )
    found = {outcome.arm.title: outcome for outcome in outcomes}
    losses = {"validation_loss": 1.0, "train_loss": 1.0}
    of_sgd = differences_from(
        found["SGD"], [found["Lookahead (SGD)"], found["Polyak"]], losses
    )
    of_adam = differences_from(found["Adam"], [found["Lookahead (Adam)"]], losses)
    validation = curves(outcomes, "validation_loss")
    return Findings(
        summary=(
            "In the paper Lookahead lowers all three perplexities of both inner "
            "optimizers. "
            + " ".join(against(table, "validation loss") for table in (of_sgd, of_adam))
        ),
        tables=(table, of_sgd, of_adam),
        pictures={
            "curves": (
                (
                    "Loss in nats a token, the logarithm of the perplexity. Line: mean "
                    "over seeds; band: one sample standard deviation to each side."
                ),
                drawn(
                    [
                        plots.Panel("training loss", curves(outcomes, "train_loss")),
                        plots.Panel("validation loss", validation),
                    ],
                    x_title="epoch",
                ),
            )
        },
    )


def _perplexity(losses: Sequence[float]) -> Summary:
    return summarize([math.exp(loss) for loss in losses])
