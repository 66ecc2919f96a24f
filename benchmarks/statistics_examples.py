"""The number of examples that statistics need: ``python benchmarks/statistics_examples.py
FILE``.

The file holds the weights of a residual network from ``train``: final.safetensors or a
checkpoint of Lookahead. They are evaluated with the statistics of disjoint samples.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookahead_ref import trees
from lookahead_ref.experiments import train
from lookahead_ref.experiments.settings import TrainSettings
from lookahead_ref.training.checkpoints import decode

PART = 512
SIZES = (512, 1024, 4096, 16_384)
SAMPLES = 3
_PHI = "optimizer/phi/"


@dataclass(frozen=True)
class Some:
    """Some examples of a source."""

    source: Any
    rows: Any

    @property
    def size(self):
        """Number of examples."""
        return len(self.rows)

    def take(self, indices):
        """Return the examples at `indices`."""
        return self.source.take(self.rows[indices])


def combined(parts):
    """Combine the statistics of parts of equal size exactly."""
    found = {}
    for path in parts[0]:
        means, variances = (
            np.array([part[path][name] for part in parts], np.float64)
            for name in ("mean", "variance")
        )
        variance = variances.mean(axis=0) + means.var(axis=0)
        each = {"mean": means.mean(axis=0), "variance": variance}
        found[path] = {name: x.astype(np.float32) for name, x in each.items()}
    return found


def lines(file):
    """Yield the lines of a Markdown table, each as soon as it is measured."""
    arrays, record = decode(Path(file).read_bytes())
    phi = {n.removeprefix(_PHI): x for n, x in arrays.items() if n.startswith(_PHI)}
    settings = TrainSettings(**{**record["configuration"], "epochs": 1})
    prepared = train.prepare(settings)
    model, data = prepared.model, prepared.data
    params = trees.unflatten(model.init(0), phi or arrays)
    order = np.random.default_rng(0).permutation(data.train.size)
    last = data.train.size // PART
    parts = []
    yield "| examples | sample | validation loss | accuracy (%) |"
    yield "|---|---|---|---|"
    for sample in range(SAMPLES):
        for size in (*(size // PART for size in SIZES), last):
            end = (sample + 1) * size
            while len(parts) < end <= last:
                rows = order[len(parts) * PART : (len(parts) + 1) * PART]
                parts.append(model.statistics(params, Some(data.train, rows)))
            if end <= last:
                own = combined(parts[end - size : end])
                found = model.evaluator_with(params, own)(data.validation)
                cells = f"{found.loss:.4f} | {100 * found.accuracy:.2f}"
                yield f"| {PART * size:,} | {sample + 1} | {cells} |"


if __name__ == "__main__":
    for line in lines(sys.argv[1]):
        print(line, flush=True)
