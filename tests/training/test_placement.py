"""Training where arrays are not the host's: on the strict stand-in for CuPy's."""

import itertools
import weakref
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref import trees
from lookahead_ref.data import Dataset, Examples, load_digits
from lookahead_ref.training import StepTaken, train
from lookahead_ref.zoo import MLP

pytest.importorskip("cupy")

import standin

OPTIMIZER = la.Lookahead(la.Adam(learning_rate=0.01), k=3)
SETTINGS: dict[str, Any] = {"seed": 3, "epochs": 2, "batch_size": 16}


SKIPPING = {"on_nonfinite": "skip", "evaluate_train": False, "check_every": 5}


def trained(on: str, broken: tuple[int, ...] = (), **options: Any) -> Any:
    """Train on the first digits; the inputs of some of them are not numbers."""
    whole = load_digits()
    inputs = np.array(whole.train.inputs[:96])
    inputs[list(broken), 5] = np.nan
    some = Examples(inputs, whole.train.labels[:96])
    others = Examples(whole.validation.inputs[:40], whole.validation.labels[:40])
    data = Dataset("some digits", some, others, classes=10)
    model = MLP((64, 8, 10), backend=on)
    return train(model, data, OPTIMIZER, **SETTINGS, backend=on, **options)


@pytest.mark.parametrize(
    "options",
    [{}, {"clip": 0.05}, {"evaluate_train": True}, {"broken": (7, 50), **SKIPPING}],
)
def test_a_run_comes_out_as_on_the_host(device: str, options: dict[str, Any]) -> None:
    events: list[Any] = []
    wanted = trained("numpy", **options)
    found = trained(device, **options, callbacks=[events.append])
    losses = [event.loss for event in events if isinstance(event, StepTaken)]
    assert {type(loss) for loss in losses} == {float}
    assert (found.steps, found.skipped) == (wanted.steps, wanted.skipped)
    assert (found.skipped > 0) == ("broken" in options)
    for one, other in zip(found.history, wanted.history, strict=True):
        assert one.validation_loss == pytest.approx(other.validation_loss, rel=1e-4)
        if other.batch_loss is not None:
            assert one.batch_loss == pytest.approx(other.batch_loss, rel=1e-4)
    for path, array in trees.flatten(wanted.params).items():
        got = trees.flatten(found.params)[path]
        assert type(got) is np.ndarray
        np.testing.assert_allclose(got, array, rtol=1e-3, atol=1e-4)


def test_between_two_looks_nothing_comes_back_from_the_device(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    step = la.Stepper.step

    def counted(self: la.Stepper, grads: Any) -> None:
        looked_at.append(standin.transfers.to_host)
        step(self, grads)

    monkeypatch.setattr(la.Stepper, "step", counted)
    trained(device, check_every=3)
    per_epoch = 6
    for number, (before, after) in enumerate(itertools.pairwise(looked_at), start=1):
        moved = after - before
        # After three batches their losses and sums are read; after an epoch, evaluations.
        assert (moved > 0) == (number % per_epoch % 3 == 0)
        if number % per_epoch == 3:
            assert moved == 2 * 3


def test_one_state_is_kept_to_go_back_to_and_no_two(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[weakref.ref[Any]] = []
    copy = la.Stepper.state_dict

    def watched(self: la.Stepper) -> dict[str, Any]:
        assert not any(array() is not None for array in kept)
        saved = copy(self)
        kept.extend(weakref.ref(it) for it in saved.values() if not isinstance(it, int))
        return saved

    monkeypatch.setattr(la.Stepper, "state_dict", watched)
    trained(device, check_every=2)
    assert kept
