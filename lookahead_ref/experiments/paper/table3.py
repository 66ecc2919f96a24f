"""Table 3: perplexity of LSTM language models on Penn Treebank."""

from collections.abc import Sequence
from dataclasses import replace

from lookahead_ref.experiments.optimizers import SEARCHED, Method
from lookahead_ref.experiments.paper.classifiers import (
    DIFFERS,
    WORDS,
    asked,
    compared,
    differing,
    shown,
    stated,
)
from lookahead_ref.experiments.report import Findings
from lookahead_ref.experiments.settings import ReproduceSettings, TrainSettings
from lookahead_ref.experiments.statistics import differences_from, perplexities
from lookahead_ref.experiments.trials import Arm, Outcome, Plan
from lookahead_ref.report.tables import Column, Row, Table
from lookahead_ref.report.words import several

PAPER = stated("table3")

_SMALL = TrainSettings(
    model="lstm",
    data="pydoc-chars",
    hidden=64,
    layers=1,
    dropout=0.0,
    schedule="step",
    epochs=12,
    batch_size=20,
    clip=0.25,
    evaluate_train=True,
)
_OF_SIZES = {
    "small": _SMALL,
    "middle": replace(
        _SMALL, hidden=200, layers=2, dropout=0.2, epochs=40, evaluate_train=None
    ),
    # With it the program of Merity et al. (2018) reaches 61.2 and 58.8, says its README; so
    # does Polyak averaging in Table 3.
    "full": TrainSettings(
        model="awd-lstm",
        schedule="plateau",
        weight_decay=1.2e-6,
        epochs=500,
        batch_size=20,
        clip=0.25,
    ),
}

_METHODS = (
    Method("sgd", "SGD", "SGD", "plain"),
    Method("lookahead-sgd", "Lookahead (SGD)", "SGD", "lookahead"),
    Method("adam", "Adam", "Adam", "plain"),
    Method("lookahead-adam", "Lookahead (Adam)", "Adam", "lookahead"),
    Method("polyak-sgd", "Polyak", "SGD", "other"),
)


def plan(request: ReproduceSettings) -> Plan:
    base = asked(replace(_OF_SIZES[request.size], k=5, alpha=0.5), request)
    words = request.size == "small" and base.data.startswith("ptb:")
    found = SEARCHED["table3"]["words" if words else request.size]
    arms = []
    for method in _METHODS:
        rate = found["rates"][method.name]
        if method.family == "SGD":
            rate = request.learning_rate or rate
        settings = replace(base, optimizer=method.name, learning_rate=rate)
        if request.full and method.name == "polyak-sgd":
            # A stalled loss starts the averaging and nothing else.
            settings = replace(settings, nonmonotone=5, schedule="constant")
        arms.append(Arm(method.title, settings, method.family, method.role))
    count = request.seeds or 3
    begun = "begun as in NT-ASGD, n = 5, at a constant rate"
    averaging = begun if request.full else "the running mean of all iterates"
    given = {} if request.learning_rate is None else {"SGD": "given on the command line"}
    sources = {**found["found"], **given}
    searched = "; ".join(f"for {family}, {text}" for family, text in sources.items())
    setting = shown(arms, count, searched, Averaging=averaging)
    small_model = f"LSTM, {several(base.layers or 1, 'layer')} of {base.hidden}"
    authors = WORDS["authors"] if request.full else {}
    setting["Model"] = WORDS["paper"]["table3"]["Model"] if request.full else small_model
    notes = {DIFFERS: differing(setting, WORDS["paper"]["table3"], authors)}
    return Plan(tuple(arms), range(count), setting, notes)


def find(plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
    table = Table(
        title="Perplexity at the end of training",
        caption=(
            f"Here: {plan.shown}, measured on "
            "the slow weights, or on the average. Paper: Table 3, on Penn Treebank."
        ),
        stub="Optimizer",
        columns=tuple(
            Column(f"{where}, {split}", better="lower")
            for where in ("Here", "Paper")
            for split in ("training", "validation", "test")
        ),
        rows=tuple(
            Row(each.arm.title, (*perplexities(each), *PAPER[each.arm.title]))
            for each in outcomes
        ),
    )
    losses = {"validation_loss": 4, "train_loss": 4, "test_loss": 4}
    sgd, around_sgd, adam, around_adam, polyak = outcomes
    of_sgd = differences_from(sgd, [around_sgd, polyak], losses)
    of_adam = differences_from(adam, [around_adam], losses)
    said = "In the paper Lookahead lowers all three perplexities of both inner optimizers."
    names = ("training loss", "validation loss", "test loss")
    return compared(outcomes, table, said, [of_sgd, of_adam], *names)
