"""The loss of phi with running statistics: ``python benchmarks/batch_statistics.py``."""

import numpy as np

import lookahead_ref as la
from lookahead_ref.data import BatchStream, load_digits
from lookahead_ref.zoo import ResNet


def measure(k, seeds, epochs):
    """Evaluate phi both ways after each epoch: shape (epochs, seeds, ways, numbers)."""
    digits = load_digits()
    model = ResNet((1, 8, 8), 10, (1, 1), (16, 32), backend="numba")
    gradient = la.value_and_grad(model.loss, has_aux=True)
    optimizer = la.Lookahead(la.HeavyBall(0.1, momentum=0.9), k=k, alpha=0.5)
    found = np.empty((epochs, len(seeds), 2, 2))
    for place, seed in enumerate(seeds):
        stepper = la.Stepper(optimizer, model.init(seed), backend="numba")
        batches = BatchStream(digits.train, batch_size=32, seed=seed)
        carried = model.start(32)
        for epoch in range(epochs):
            for batch in batches.epoch():
                (_, carried), grads = gradient(stepper.params, batch, carried)
                stepper.step(grads)
            phi = stepper.evaluation_params()
            own = model.evaluator(phi, digits.train)
            others = model.evaluator_with(phi, carried)
            found[epoch, place] = [each(digits.validation)[:2] for each in (own, others)]
    return found


def table(ks=(5, 20), seeds=range(5), epochs=3):
    """Write the measurements as a Markdown table."""
    lines = [
        "| k | epoch | loss, its own | loss, running | accuracy, its own | running |",
        "|---|---|---|---|---|---|",
    ]
    for k in ks:
        found = measure(k, seeds, epochs)
        means, deviations = found.mean(axis=1), found.std(axis=1, ddof=1)
        for epoch in range(epochs):
            cells = [
                f"{means[epoch, way, number]:.3f} ± {deviations[epoch, way, number]:.3f}"
                for number in range(2)
                for way in range(2)
            ]
            lines.append(f"| {k} | {epoch + 1} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
