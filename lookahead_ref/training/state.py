"""All that changes while a run goes on, and nothing else: what a checkpoint must hold."""

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from lookahead_ref import trees
from lookahead_ref.stepping.stepper import Stepper
from lookahead_ref.training.events import EpochRecord
from lookahead_ref.training.models import Stream

__all__ = ["Snapshot", "TrainingState"]


class Snapshot(NamedTuple):
    """A state between two batches, from which a run goes on as if it had never stopped."""

    optimizer: dict[str, Any]
    """Weights, slow weights, slots and counts: `lookahead_ref.Stepper.state_dict`."""
    carried: dict[str, Any]
    """What the next batch is handed, by paths."""
    record: dict[str, Any]
    """All else, as plain data that JSON can hold without loss."""


@dataclass
class TrainingState:
    """Where a run is.

    Parameters
    ----------
    stepper : Stepper
        Weights and the optimizer's state.
    stream : Stream
        What draws the batches.
    rng : numpy.random.Generator
        What the model draws random numbers from.
    carried : dict
        What the next batch is handed.
    """

    stepper: Stepper
    stream: Stream
    rng: np.random.Generator
    carried: dict[str, Any]
    epoch: int = 0
    """Epochs evaluated, the start not counted."""
    batches: int = 0
    """Batches drawn of the epoch after that."""
    step: int = 0
    """Updates made."""
    skipped: int = 0
    """Batches skipped."""
    epoch_updates: int = 0
    """Updates made in the epoch that is under way."""
    epoch_loss: float = 0.0
    """The sum of the losses of their batches."""
    seconds: float = 0.0
    """Time taken until the last snapshot, in seconds."""
    history: list[EpochRecord] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        """Copy the state.

        Returns
        -------
        Snapshot
            Its arrays are where the backend has them.
        """
        record = {
            **{name: getattr(self, name) for name in _PLAIN},
            "history": [asdict(each) for each in self.history],
            "stream": self.stream.state_dict(),
            "rng": self.rng.bit_generator.state,
        }
        # What is carried is made anew by each batch and never written to.
        carried = trees.flatten(self.carried, "carried")
        return Snapshot(self.stepper.state_dict(), carried, record)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back, or on, to a copied state.

        Parameters
        ----------
        snapshot : Snapshot
            Of a run of the same model, data and optimizer, with the backend's arrays. What
            is carried must be made up as it is now.

        Raises
        ------
        TypeError, ValueError
            If it is of another run.
        """
        record = snapshot.record
        self.stepper.load_state_dict(snapshot.optimizer)
        self.stream.load_state_dict(record["stream"])
        self.rng.bit_generator.state = record["rng"]
        self.carried = trees.unflatten(self.carried, snapshot.carried)
        for name in _PLAIN:
            setattr(self, name, record[name])
        self.history = [EpochRecord(**each) for each in record["history"]]


_PLAIN = (
    "epoch",
    "batches",
    "step",
    "skipped",
    "epoch_updates",
    "epoch_loss",
    "seconds",
)
