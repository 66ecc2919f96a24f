"""Workers in training: each with its share of the data, and one outer step for all."""

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from commands import called, refused, succeeded
from lookahead_ref.data import Corpus
from lookahead_ref.experiments import compare, sweep
from lookahead_ref.experiments.resume import begin
from lookahead_ref.experiments.settings import CompareSettings, SweepSettings, TrainSettings
from lookahead_ref.stopping import StopRequest
from lookahead_ref.training import NonFiniteLossError, StepTaken, StoppedError
from lookahead_ref.training.loop import train
from lookahead_ref.training.workers import Team
from lookahead_ref.trees import flatten
from lookahead_ref.zoo import MLP
from support import assert_same_bits
from toys import Bigram, Elsewhere, Keeping, Normalised, clouds, text

OPTIMIZER = la.Lookahead(
    la.Adam(0.05), 3, inner_state="interpolate", outer=la.Nesterov(0.7, 0.9)
)
RUN: dict[str, Any] = {"seed": 3, "epochs": 3, "batch_size": 4}


def trained(count: int = 3, model: Any = None, data: Any = None, **more: Any) -> Any:
    model, data = model or Normalised(), data or clouds()
    return train(model, data, OPTIMIZER, **{**RUN, **more}, workers=count)


# The bits.


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_it_is_the_reference_on_gradients_of_each_workers_share(
    count: int, backend: str
) -> None:
    model, data = Normalised(), clouds()
    value_and_grad = la.value_and_grad(model.loss, has_aux=True)
    init, *drawn = np.random.SeedSequence(RUN["seed"]).spawn(3)
    own = [*zip(*([seed, *seed.spawn(count - 1)] for seed in drawn), strict=True)]
    streams = [
        data.share(m, count).stream(4, batches) for m, (batches, _) in enumerate(own)
    ]
    rngs = [np.random.Generator(np.random.PCG64(noise)) for _, noise in own]
    carried: list[Any] = [model.start(4)] * count

    workers = la.Workers(OPTIMIZER, count)
    params: Any = [model.init(init)] * count
    states = workers.init(params[0])
    means = [None]
    for _ in range(2):
        losses: Any = [0.0] * count
        labels = 0
        for batches in zip(*(stream.epoch() for stream in streams), strict=True):
            grads = []
            for m, batch in enumerate(batches):
                (loss, carried[m]), grad = value_and_grad(
                    params[m], batch, carried[m], rngs[m]
                )
                grads.append(grad)
                losses[m] += batch.labels.size * float(loss)
                labels += batch.labels.size
            params, states = workers.step(params, grads, states)
        means.append(sum(losses) / labels)

    result = trained(count, backend=backend, epochs=2)
    assert_same_bits(result.params, workers.evaluation_params(params, states))
    assert result.steps == states[0].inner.step
    assert result.steps % OPTIMIZER.k != 0
    assert [record.batch_loss for record in result.history] == means


@pytest.mark.parametrize("check_every", [1, 2, 50])
def test_the_backends_place_and_how_often_it_looks_change_nothing(check_every: int) -> None:
    expected = trained()
    result = trained(backend=Elsewhere(), check_every=check_every)
    assert_same_bits(result.params, expected.params)
    assert result.history == expected.history


@pytest.mark.parametrize("on_devices", [False, True])
def test_averages_are_taken_on_the_host_unless_the_team_supports_devices(
    on_devices: bool,
) -> None:
    class Noting(Elsewhere):
        def to_host(self, array: Any) -> Any:
            copies.append(super().to_host(array))
            return copies[-1]

    class Watched(Team):
        def mean(self, values: Any) -> Any:
            arrays = [leaf for each in values for leaf in flatten(each).values()]
            met.append({any(leaf is copy for copy in copies) for leaf in arrays})
            return super().mean(values)

    copies: list[Any] = []
    met: list[set[bool]] = []
    team: Any = Watched(2)
    team.on_devices = on_devices
    result = trained(team, backend=Noting(), epochs=1)
    assert met == [{not on_devices}]
    assert_same_bits(result.params, trained(2, epochs=1).params)


# Shares.


def test_shares_of_examples_do_not_overlap_and_are_of_one_size() -> None:
    data = clouds(11)
    shares = [data.share(number, 3).train for number in range(3)]
    assert [share.size for share in shares] == [3, 3, 3]
    taken = [share.take(np.arange(3)).inputs for share in shares]
    assert len(np.unique(np.concatenate(taken), axis=0)) == 9
    assert np.array_equal(taken[1], data.train.inputs[1:9:3])


def test_parts_of_a_text_have_no_token_in_common_but_as_the_label_of_one() -> None:
    tokens = np.arange(12, dtype=np.int32)
    corpus = Corpus("text", tokens, tokens, tokens, ("a",), window=5)
    parts = [corpus.share(number, 3) for number in range(3)]
    inputs = [next(part.stream(1, 0).epoch()).inputs[:, 0].tolist() for part in parts]
    assert inputs == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert [part.train[-1] for part in parts] == [3, 6, 9]


def test_each_worker_carries_its_own_state() -> None:
    model = Bigram()
    trained(2, model, text(), epochs=1, batch_size=1)
    length = (len(text().train) - 1) // 2
    assert model.counts == [0, 0, 1, 1, 2, 2, 3, 3]  # they take turns
    assert -(-length // 3) == 4


# Events and checkpoints.


def test_the_first_worker_reports_its_steps() -> None:
    of_two: list[Any] = []
    alone: list[Any] = []
    trained(2, epochs=1, callbacks=[of_two.append])
    share = clouds().share(0, 2).train.take(np.arange(20))
    trained(1, data=clouds()._replace(train=share), epochs=1, callbacks=[alone.append])
    steps, of_one = (
        [each for each in events if isinstance(each, StepTaken)]
        for events in (of_two, alone)
    )
    assert [step.step for step in steps] == list(range(5))
    assert steps[:3] == of_one[:3]
    assert steps[3:] != of_one[3:]


def test_callbacks_receive_a_fault_in_any_worker() -> None:
    events: list[Any] = []
    data = clouds()
    data.train.inputs[1::2] = np.nan  # what the second worker has
    with pytest.raises(NonFiniteLossError, match="epoch 1") as fault:
        trained(2, MLP((2, 2)), data, evaluate_train=False, callbacks=[events.append])
    assert events[-1].error == str(fault.value)


def test_a_run_ends_with_the_same_bits_from_every_saved_state() -> None:
    whole = trained()
    states = Keeping()
    trained(checkpoints=states)
    # After each batch of all workers, at the ends of epochs, and at the start.
    expected = [0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 12]
    assert [batches for batches, _ in states.kept] == expected
    for _, snapshot in states.kept:
        result = trained(resume=snapshot)
        assert_same_bits(result.params, whole.params)
        assert result.history == whole.history

    stopped = Keeping(stop_after=3)
    with pytest.raises(StoppedError):
        trained(checkpoints=stopped)
    assert_same_bits(trained(resume=stopped.kept[-1][1]).params, whole.params)
    with pytest.raises(ValueError, match="workers must be 3, as in resume, got 2"):
        trained(2, resume=stopped.kept[-1][1])


@pytest.mark.parametrize("check_every", [1, 2])
def test_a_signal_ends_a_run_before_or_after_a_turn_of_all_and_nothing_is_lost(
    check_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("lookahead_ref.training.state.TrainingState.on_host", None)
        whole = trained()  # without checkpoints nothing is copied
    loss, calls = Normalised.loss, itertools.count()
    states: Any = Keeping(every=99)
    before, asked = None, []

    def signalled(self: Any, *given: Any) -> Any:
        call = next(calls)
        if call in (0, 4, 11, 24):
            asked.append(call)
            states.stopping.record(15)
        return loss(self, *given)

    monkeypatch.setattr(Normalised, "loss", signalled)
    for _ in range(5):
        states.stopping = StopRequest()
        states.interruptible = states.stopping.interrupting
        try:
            found = trained(checkpoints=states, resume=before, check_every=check_every)
        except StoppedError:
            assert next(calls) - asked[-1] <= 3 * check_every
            before = states.kept[-1][1]
    assert len(asked) == 4
    assert_same_bits(found.params, whole.params)


# Bad input.


class Unshared:
    name = "mine"
    train, validation, stream = clouds().train, clouds().validation, clouds().stream


@pytest.mark.parametrize(
    ("count", "more", "message"),
    [
        (0, {}, "workers must be a positive integer, got 0"),
        (11, {}, r"workers must be few enough .* got 11: batch_size must be from 1 to 3"),
        (2, {"on_nonfinite": "skip"}, "on_nonfinite must be 'stop' with several work"),
        (2, {"data": Unshared()}, "workers must be 1 with data mine, .* got 2"),
    ],
)
def test_invalid_runs_of_workers_are_refused(count: int, more: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trained(count, **more)


# On the command line.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--workers two", "workers must be a number or mpi, got 'two'"),
        ("--workers 2 --optimizer adam", "workers must be 1 with optimizer adam"),
        ("--workers 2 --reduction allreduce", "reduction must be 'ordered' unless workers"),
        ("--workers 2 --on-nonfinite skip --dry-run", "on_nonfinite must be 'stop' with"),
        ("--workers 2 --reduction tree", "reduction must be"),
        ("--workers mpi", "mpi4py is needed to run with workers mpi, and is not installed"),
    ],
)
def test_the_command_reports_errors(
    options: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    refused(called(f"train {options} --output {tmp_path / 'run'}"), message)
    assert not (tmp_path / "run").exists()


def test_a_run_continues_with_the_same_number_of_workers(tmp_path: Path) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    for folder in (run, whole):
        command = "train --epochs 1 --k 4 --workers 2 --checkpoint-every 1 --output"
        succeeded(command, str(folder))
    (run / "final.safetensors").unlink()
    max(run.glob("checkpoint-*")).unlink()
    other = called("train --workers 3 --resume", str(run))
    refused(other, "workers must be 2, as in the run, got 3")
    succeeded("train --resume", str(run))
    finals = [(folder / "final.safetensors").read_bytes() for folder in (run, whole)]
    assert finals[0] == finals[1]


def test_a_run_with_mpis_reduction_continues_with_it(tmp_path: Path) -> None:
    with begin(tmp_path / "run", TrainSettings(workers=2, reduction="allreduce"), print):
        pass
    done = called("train --resume", str(tmp_path / "run"))
    refused(done, "resume must be run by mpirun -n 2 with --workers mpi")


def test_sweeps_and_comparisons_use_workers_where_possible() -> None:
    swept = sweep.plan(SweepSettings(workers=2)).arms
    compared = compare.prepare(CompareSettings(workers=2, optimizers=("sgd",))).plan.arms
    assert [arm.settings.workers for arm in swept] == [2]
    assert {arm.settings.optimizer: arm.settings.workers for arm in compared} == {
        "sgd": 1,
        "lookahead-sgd": 2,
    }
