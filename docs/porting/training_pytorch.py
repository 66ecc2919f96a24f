"""A training loop around ``wrapper_pytorch.Lookahead``, with everything that can go wrong.

Mixed precision, accumulated gradients, clipping, a schedule, batch normalization,
evaluation and a checkpoint, each in the right place.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from wrapper_pytorch import Lookahead


def model() -> Any:
    """Make a small network with batch normalization."""
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))


def train(net: Any, batches: list[Any], accumulate: int = 2) -> dict[str, Any]:
    """Train; return what to save."""
    loss_of = nn.MSELoss()
    optimizer = Lookahead(torch.optim.AdamW(net.parameters(), lr=1e-2), k=5, alpha=0.5)
    # The schedule is the inner optimizer's, and so is its clock (LA-14).
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100)
    scaler = torch.amp.GradScaler("cpu")
    for number, (x, y) in enumerate(batches, start=1):
        scaler.scale(loss_of(net(x), y) / accumulate).backward()
        if number % accumulate:
            continue  # a micro-batch is not a step: k does not count it (LA-29)
        scaler.unscale_(optimizer)  # first the true gradients (LA-28)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)  # then their norm
        before = scaler.get_scale()
        scaler.step(optimizer)  # not called where a gradient is not finite: no step
        scaler.update()
        if scaler.get_scale() >= before:  # it was not skipped
            schedule.step()
        optimizer.zero_grad()
    return {
        "model": net.state_dict(),  # theta, to continue from
        "optimizer": optimizer.state_dict(),  # phi, the place in the cycle, the inner state
        "schedule": schedule.state_dict(),
        "scaler": scaler.state_dict(),
        "phi": weights(net, optimizer, batches),  # what to ship (LA-9)
    }


@contextmanager
def evaluating(net: Any, optimizer: Lookahead, batches: list[Any]) -> Iterator[None]:
    """Use phi, with batch normalization's statistics for it (LA-35).

    Training has gathered the statistics of the fast weights. They are put
    back afterwards, as the weights are: an evaluation leaves no trace (LA-10).
    """
    kept = [buffer.clone() for buffer in net.buffers()]
    was_training = net.training
    with optimizer.slow_weights():
        try:
            torch.optim.swa_utils.update_bn([x for x, _ in batches], net)
            net.eval()
            yield
        finally:
            net.train(was_training)
            with torch.no_grad():
                for buffer, old in zip(net.buffers(), kept, strict=True):
                    buffer.copy_(old)


def weights(net: Any, optimizer: Lookahead, batches: list[Any]) -> dict[str, Any]:
    """Return what to ship: phi, with its statistics."""
    with evaluating(net, optimizer, batches):
        return copy.deepcopy(net.state_dict())
