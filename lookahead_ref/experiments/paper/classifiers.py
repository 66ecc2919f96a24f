"""The settings of the paper's experiments on classifiers, and their small counterparts.

The paper trains residual networks on CIFAR for 200 epochs in batches of 128, and divides
the learning rate by five after epochs 60, 120 and 160. Its slides name neither learning
rates nor weight decay; those of the full setting here are the ones that a public
re-implementation of its CIFAR experiments gives as the paper's choice: 0.05 and 0.001 for
SGD with momentum 0.9, 0.0003 and 1 (decoupled) for Adam. Lookahead has the inner optimizer
of the line above it, k = 5 and the alpha of the best cell of Table 5.
"""

from dataclasses import replace
from typing import Any

from lookahead_ref.experiments import single
from lookahead_ref.experiments.paper.plan import Request

__all__ = ["ALPHA", "base", "changed", "described", "differs", "first_decay"]

ALPHA = 0.8
"""Of Lookahead, with k = 5: the cell of Table 5 with the highest accuracy."""

_LAPTOP = single.Settings(
    model="mlp",
    data="digits",
    optimizer="heavy-ball",
    learning_rate=0.2,
    schedule="step",
    epochs=30,
    batch_size=64,
)
_FULL = single.Settings(
    model="resnet18",
    optimizer="heavy-ball",
    learning_rate=0.05,
    weight_decay=0.001,
    schedule="step",
    epochs=200,
    batch_size=128,
)


def base(request: Request, **of_full: Any) -> single.Settings:
    """Return what all arms share: SGD with momentum 0.9 on the data that is asked for.

    Parameters
    ----------
    request : Request
        What the user asks for.
    **of_full
        Other settings of the full setting than those for CIFAR.

    Returns
    -------
    lookahead_ref.experiments.single.Settings
        Of the first seed.
    """
    settings = replace(_FULL, **of_full) if request.full else _LAPTOP
    return replace(
        settings,
        data=request.data or settings.data,
        epochs=request.epochs or settings.epochs,
        learning_rate=request.learning_rate or settings.learning_rate,
        backend=request.backend,
        evaluate_train=True,
    )


def changed(settings: single.Settings, **changes: Any) -> single.Settings:
    """Return settings with a few changed, Lookahead's being the paper's unless given."""
    return replace(settings, **{"k": 5, "alpha": ALPHA, **changes})


def first_decay(settings: single.Settings) -> int:
    """Return the last epoch before the learning rate first falls, of the step schedule."""
    return max(1, int(0.3 * settings.epochs))


def described(settings: single.Settings) -> dict[str, str]:
    """Say in words what all arms share.

    Parameters
    ----------
    settings : lookahead_ref.experiments.single.Settings
        From `base`.

    Returns
    -------
    dict
        Name to value, for the report.
    """
    return {
        "Model": settings.model,
        "Data": settings.data,
        "Epochs": str(settings.epochs),
        "Batch size": str(settings.batch_size),
        "Learning rate": (
            f"{settings.schedule} schedule, from {settings.learning_rate:g} for SGD"
        ),
        "Weight decay": f"{settings.weight_decay:g}",
        "Backend": settings.backend,
    }


def differs(request: Request, paper: str) -> tuple[str, ...]:
    """Say in what the setting is not the paper's.

    Parameters
    ----------
    request : Request
        What the user asks for.
    paper : str
        What the paper trains, on what, as in "ResNet-18 on CIFAR".

    Returns
    -------
    tuple of str
        Sentences.
    """
    if request.full:
        return (
            (
                f"The paper trains {paper}. Learning rates and weight decay are not stated "
                "in the document that this follows; they are those that others give as the "
                "paper's."
            ),
        )
    rates = (
        "SGD's learning rate was given on the command line"
        if request.learning_rate is not None
        else "The learning rates were the best of a grid on seeds 1000 to 1009"
    )
    return (
        (
            f"The paper trains {paper}; this trains a small multilayer perceptron on small "
            "pictures, for minutes. The shape of the result compares, its numbers do not."
        ),
        (
            f"{rates}, and are without weight decay. SGD's is that of Lookahead and of "
            "the average too."
        ),
    )
