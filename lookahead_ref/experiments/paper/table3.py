"""Table 3: perplexity of LSTM language models on Penn Treebank."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lookahead_ref.experiments.optimizers import Method
from lookahead_ref.experiments.paper.classifiers import DIFFERS, differing, reported, shown
from lookahead_ref.experiments.report import Findings, training_curves
from lookahead_ref.experiments.settings import ReproduceSettings, TrainSettings, evaluation
from lookahead_ref.experiments.statistics import against, differences_from, perplexity
from lookahead_ref.experiments.trials import Arm, Outcome, Plan
from lookahead_ref.report.tables import MISSING, Column, Row, Summary, Table
from lookahead_ref.report.words import several

PAPER: Mapping[str, tuple[Summary, ...]] = {
    "SGD": (reported(43.62), reported(66.0), reported(63.90)),
    "Lookahead (SGD)": (reported(35.02), reported(65.10), reported(63.04)),
    "Adam": (reported(33.54), reported(61.64), reported(59.33)),
    "Lookahead (Adam)": (reported(31.92), reported(60.28), reported(57.72)),
    "Polyak": (MISSING, reported(61.18), reported(58.79)),
}
"""Perplexity on Penn Treebank: training, validation, test."""

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
)
_OF_SIZES = {
    "small": _SMALL,
    "middle": replace(_SMALL, hidden=200, layers=2, dropout=0.2, epochs=40),
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

_PAPERS = {"Model": "AWD-LSTM, three layers of 1150, 1150 and 400", "Data": "Penn Treebank"}

_RATES = {
    Method("sgd", "SGD", "SGD", "plain"): (30.0, 30.0, 30.0),
    Method("lookahead-sgd", "Lookahead (SGD)", "SGD", "lookahead"): (30.0, 30.0, 7.5),
    Method("adam", "Adam", "Adam", "plain"): (0.02, 0.01, 0.003),
    Method("lookahead-adam", "Lookahead (Adam)", "Adam", "lookahead"): (0.04, 0.03, 0.003),
    Method("polyak-sgd", "Polyak", "SGD", "other"): (30.0, 30.0, 30.0),
}
"""Learning rates of small, middle and full settings. Each is the best of a grid for its arm
(SGD: 10, 30, 100, in full by factors of two until both neighbours were worse; Adam: 0.005
to 0.04, 0.001 to 0.1, and 0.001, 0.003, 0.01); in full Polyak's is that of SGD."""

_ADAM_ON_WORDS = 0.01
"""Adam's small rate on Penn Treebank, alone and in Lookahead."""

_GRIDS = {
    "small": "the best of a grid on seed 1000 after six epochs of Python's help",
    "middle": "the best of a grid on seed 1000 after an epoch of Penn Treebank",
    "full": "the best of a grid on seed 1000 after the first quarter of Penn Treebank",
}


def plan(request: ReproduceSettings) -> Plan:
    base = _OF_SIZES[request.size]
    base = replace(
        base,
        data=request.data or base.data,
        epochs=request.epochs or base.epochs,
        **evaluation(request.base),
        k=5,
        alpha=0.5,
    )
    small = request.size == "small"
    words = small and base.data.startswith("ptb:")
    arms, rates = [], []
    for method, of_sizes in _RATES.items():
        rate = dict(zip(_OF_SIZES, of_sizes, strict=True))[request.size]
        if method.family == "Adam" and words:
            rate = _ADAM_ON_WORDS
        if method.family == "SGD" and request.learning_rate is not None:
            rate = request.learning_rate
        settings = replace(base, optimizer=method.name, learning_rate=rate)
        if request.full and method.name == "polyak-sgd":
            # A stalled loss starts the averaging and nothing else.
            settings = replace(settings, nonmonotone=5, schedule="constant")
        arms.append(Arm(method.title, settings, method.family, method.role))
        rates.append(f"{rate:g} for {method.name}")
    count = request.seeds or 3
    begun = "begun as in NT-ASGD, n = 5, at a constant rate"
    averaging = begun if request.full else "the running mean of all iterates"
    of_sgd = of_adam = _GRIDS[request.size]
    if words:
        of_adam = "the better of 0.003 and 0.01 on seed 1000 after an epoch"
    if request.learning_rate is not None:
        of_sgd = "given on the command line"
    both = f"SGD's {of_sgd}, Adam's {of_adam}"
    said = f"{', '.join(rates)}; {f'each {of_sgd}' if of_sgd == of_adam else both}"
    more = {"Gradient clipping": f"at norm {base.clip:g}", "Averaging": averaging}
    setting = shown(base, arms, count, said, more)
    if request.full:
        setting["Model"] = _PAPERS["Model"]
    else:
        layers = several(base.layers or 1, "layer")
        setting["Model"] = f"LSTM, {layers} of {base.hidden}, dropout {base.dropout:g}"
    notes = {DIFFERS: differing(setting, _PAPERS)}
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
            Row(
                outcome.arm.title,
                (
                    *(perplexity(outcome, of) for of in ("train", "validation", "test")),
                    *PAPER[outcome.arm.title],
                ),
            )
            for outcome in outcomes
        ),
    )
    found = {outcome.arm.title: outcome for outcome in outcomes}
    losses = {"validation_loss": 4, "train_loss": 4}
    around_sgd = [found["Lookahead (SGD)"], found["Polyak"]]
    of_sgd = differences_from(found["SGD"], around_sgd, losses)
    of_adam = differences_from(found["Adam"], [found["Lookahead (Adam)"]], losses)
    said = "In the paper Lookahead lowers all three perplexities of both inner optimizers."
    words = [against(each, "validation loss") for each in (of_sgd, of_adam)]
    summary, curves = " ".join([said, *words]), {"curves": training_curves(outcomes)}
    return Findings(summary, (table, of_sgd, of_adam), curves)
