"""The benchmarks run, on small parameters; what they measure is not judged here."""

import math
import sys
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

import lookahead_ref as la
import standin
from lookahead_ref.backends.cupy import CupyBackend
from suite import (
    cases,
    contestants,
    memory,
    models,
    runs,
    settings,
    start,
    step,
    turns,
    works,
)
from suite.turns import Contestant, fastest, ratios, take_turns


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make turns few and short."""
    for name, value in {"TURNS": 2, "TURNS_IF_CLOSE": 2, "SECONDS": 1e-4}.items():
        monkeypatch.setattr(settings, name, value)


@pytest.fixture
def without_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide them; their import takes long."""
    for name in ("torch", "jax", "optax"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("optimizer", cases.OPTIMIZERS)
@pytest.mark.parametrize(
    ("k", "kind", "outer"),
    [
        (None, "", "sgd"),
        (1, "maintain", "sgd"),
        (1, "interpolate", "sgd"),
        (1, "maintain", "nesterov"),
        (1, "maintain", "adam"),
    ],
)
def test_the_traffic_model_counts_what_the_program_reads_and_writes(
    optimizer: str, k: int | None, kind: Any, outer: str
) -> None:
    executor = la.backend.load("numpy")
    noted = mock.Mock(wraps=executor.compile)
    grads = cases.arrays("tiny", 1)
    how: Any = {"inner_state": kind, "executor": executor, "outer": outer}
    with mock.patch.object(executor, "compile", noted):
        contestants.ours(optimizer, "tiny", grads, k, **how).step()
    program = noted.call_args.args[0]
    noted.assert_called_once()
    read = {number for line in program.instructions for number in line.operands}
    moved = 4 * (len(read & set(range(program.buffers))) + len(program.writes))
    interpolated = kind == "interpolate"
    assert moved == cases.traffic(optimizer, k, interpolated=interpolated, outer=outer)


@pytest.mark.parametrize("optimizer", cases.OPTIMIZERS)
@pytest.mark.parametrize("k", [None, 1])
def test_the_limit_moves_as_much_as_a_step(
    monkeypatch: pytest.MonkeyPatch, optimizer: str, k: int | None
) -> None:
    executor = mock.Mock(from_host=list)
    monkeypatch.setattr(settings, "EXECUTOR", executor)
    contestants.limit(optimizer, cases.arrays("tiny", 1), synchronized=k == 1)
    ((program, *_),) = (call.args for call in executor.bind.call_args_list)
    assert 4 * (program.buffers + len(program.writes)) == cases.traffic(optimizer, k)


def test_contestants_take_turns_of_whole_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: calls.append("pause"))

    def step(name: str, seconds: float) -> None:
        calls.append(name)
        now[0] += seconds

    a, b = (lambda: step("a", 0.5)), (lambda: step("b", 0.25))
    entries = [Contestant(a), Contestant(b, cycle=3)]
    times = take_turns(entries, 2, seconds=1.0, clock=turns.wall)
    assert times == [[0.5, 0.5], [0.25, 0.25]]
    turn = ["pause", *["a"] * 3, "pause", *["b"] * 4]
    assert calls[-2 * len(turn) :] == turn * 2


def test_ratios_are_taken_turn_by_turn_and_to_the_fastest() -> None:
    # The machine was ten times slower in the second turn, for both.
    of, slow, fast = [1.0, 10.0, 1.0], [3.0, 1.0, 3.0], [2.0, 20.0, 2.0]
    assert ratios(of, fastest([slow, fast]))["samples"] == [0.5, 0.5, 0.5]


def test_each_measurement_of_a_step_runs() -> None:
    growth = step.Growth()
    growth.sizes = ["1000", "2000"]
    blocks = step.NumPy()
    blocks.setup("1000", "adam")
    for found in (
        *(step.Step().track_seconds("mlp", name, 5) for name in ("sgd", "adam")),
        *(step.Cost().track_ratio("1000", "adam", cycle) for cycle in step.Cost.cycles),
        step.Bandwidth().track_ratio("1000", "sgd", 1, "the same reads and writes"),
        step.Bandwidth().track_ratio("1000", "sgd", None, "the library's copy"),
        step.Sizes().track_seconds("sgd", "1000"),
        blocks.track_seconds("1000", "adam"),
        blocks.track_times_faster("1000", "adam"),
        growth.track_exponent("adam"),
    ):
        assert len(found["samples"]) == 2
    with pytest.raises(NotImplementedError):
        step.Cost().setup("1000", "sgd", "k = 5, interpolate")


def test_a_loop_s_rate_counts_what_it_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "LARGEST", "1000")
    monkeypatch.setattr(step, "timed", lambda made: [[1e-6, 2e-6]])
    assert step.Loops().track_rate("copy")["samples"] == [8.0, 4.0]
    assert step.Loops().track_rate("adam")["samples"] == [28.0, 14.0]


def test_a_peer_that_does_not_run_is_skipped_and_that_is_said(without_peers: None) -> None:
    for name in (*contestants.PLAIN, *contestants.LOOKAHEAD):
        with pytest.raises(NotImplementedError, match=f"{name} does not run here"):
            step.Peers().setup("tiny", "sgd", name)


def test_a_peer_s_variants_take_turns_with_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [Contestant(lambda: None), Contestant(lambda: None)]
    monkeypatch.setitem(contestants.PLAIN, "both", lambda *_: made)
    monkeypatch.setitem(step.PLAIN, "both", lambda *_: made)
    seconds = {id(made[0]): 2.0, id(made[1]): 4.0}

    def times(tried: Sequence[Contestant], *_: Any, **__: Any) -> list[list[float]]:
        return [[seconds.get(id(each), 6.0)] for each in tried]

    monkeypatch.setattr(step, "take_turns", times)
    compared: Any = {step.Peers(): ("tiny", "sgd", "both"), step.Calls(): ("sgd", "both")}
    for benchmark, case in compared.items():
        benchmark.setup(*case)
        assert benchmark.track_ratio(*case)["samples"] == [3.0]  # of the faster's time


def test_pytorch_runs_where_the_gradients_are(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tensor(SimpleNamespace):
        def to(self, device: str) -> "Tensor":
            return Tensor(device=device)

        def requires_grad_(self) -> "Tensor":
            return self

    sgd = mock.Mock()
    torch = SimpleNamespace(
        from_dlpack=lambda array: Tensor(device="cuda:0", of=array),
        from_numpy=lambda array: Tensor(device="cpu"),
        optim=SimpleNamespace(SGD=sgd),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    grads = cases.arrays("tiny", 1)
    contestants.peer("PyTorch, fused or foreach", "heavy-ball", "tiny", grads)
    for made, how in zip(sgd.call_args_list, ("fused", "foreach"), strict=True):
        assert made.kwargs == {"momentum": 0.9, how: True}
        for tensor, grad in zip(made.args[0], grads.values(), strict=True):
            assert (tensor.device, tensor.grad.of is grad) == ("cuda:0", True)


@pytest.mark.parametrize("backend", [None, "numpy"])
def test_peak_memory_is_one_copy_of_everything(
    monkeypatch: pytest.MonkeyPatch, backend: str | None
) -> None:
    if backend is not None:
        monkeypatch.setattr(settings, "EXECUTOR", la.backend.load(backend))
    monkeypatch.setattr(memory.Peak, "parameters", "300000")
    for kind in ("plain", "maintain", "reset", "interpolate"):
        # An array more would be 1.2 MB.
        assert 0.0 < memory.Peak().track_megabytes("heavy-ball", kind) < 1.0


SMALL: dict[str, Any] = {
    "mlp": works.MLPWork((6, 5, 3), 6, steps=3),
    "lstm": works.LSTMWork(hidden=3, vocabulary=7, length=4, batch=2, steps=3),
    "awd-lstm": works.AWDLSTMWork(3, width=2, vocabulary=7, length=4, batch=2, steps=3),
    "resnet18": works.ResNetWork(batch=2, widths=(2, 3, 4, 5), steps=3),
    "resnet32": works.ResNetWork(batch=2, widths=(2, 3, 4), steps=3),
}


@pytest.mark.parametrize("name", ["mlp", "lstm"])
@pytest.mark.parametrize("way", ["numpy", "numba", "fused", "foreach"])
def test_a_training_step_learns_its_batch(name: str, way: str) -> None:
    ours = way in ("numpy", "numba")
    if not ours:
        pytest.importorskip("torch")
    step = (models.our_step if ours else models.pytorch_step)(SMALL[name], way).step
    losses = [step() for _ in range(50)]
    assert losses[-1] < losses[0]
    if ours:
        assert losses[0] == pytest.approx(math.log(3 if name == "mlp" else 7), abs=1.5)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("side", ["ours", "pytorch", "jax"])
def test_a_whole_run_notes_the_time_of_each_step(
    monkeypatch: pytest.MonkeyPatch, name: str, side: str
) -> None:
    work = SMALL[name]
    if side == "ours" and name.startswith("resnet"):  # it has the widths of the paper
        monkeypatch.setattr(works, name, small_resnet)
    elif side != "ours":
        pytest.importorskip({"pytorch": "torch", "jax": "jax"}[side])
    if side == "jax" and name == "awd-lstm":
        assert not hasattr(work, "jax")
        return
    run = {
        "ours": lambda: runs.ours(work, "numpy"),
        "pytorch": lambda: runs.pytorch(work, "fused"),
        "jax": lambda: runs.jax(work),
    }[side]()
    times = run()
    assert len(times) == 3
    assert times == sorted(times)


def small_resnet(shape: Any, classes: int, *, backend: str) -> Any:
    return la.zoo.ResNet(shape, classes, (1, 1), (2, 3), backend=backend)


def test_each_side_takes_its_turn_and_the_first_is_not_counted() -> None:
    calls = []

    def run(name: str) -> list[float]:
        calls.append(name)
        return [1.0, 2.0, 5.0]

    found = runs.seconds({name: lambda name=name: run(name) for name in "ab"}, turns=2)
    assert calls == list("ababab")
    assert found == {"a": [2.0, 2.0], "b": [2.0, 2.0]}


@pytest.mark.slow
@pytest.mark.parametrize("channels_last", [False, True])
def test_both_residual_networks_learn_their_batch(channels_last: bool) -> None:
    pytest.importorskip("torch")
    work = works.ResNetWork(batch=2, channels_last=channels_last)
    for each in (models.our_step(work, "numba"), models.pytorch_step(work, "fused")):
        first, *_, last = [each.step() for _ in range(4)]
        assert last < first


def test_training_is_timed_and_compared_with_pytorch_if_installed(
    monkeypatch: pytest.MonkeyPatch, without_peers: None
) -> None:
    monkeypatch.setitem(models.WORKS, "small", SMALL["mlp"])
    monkeypatch.setattr(models.settings, "QUICK", True)
    assert len(models.Training().track_seconds("small", "numba")["samples"]) == 3
    with pytest.raises(NotImplementedError, match="PyTorch"):
        models.BesidePyTorch().setup("small", "numba")
    step = Contestant(lambda: time.sleep(1e-4))
    monkeypatch.setattr(models, "pytorch_step", lambda *_: step)
    benchmark = models.BesidePyTorch()
    benchmark.setup("small", "numpy")
    assert len(benchmark.track_ratio("small", "numpy")["samples"]) == 2


@pytest.mark.slow
def test_starts_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: Any = {start.Start: "nothing", start.FirstCycle: "two loops compiled"}
    for benchmark, what in timed.items():
        monkeypatch.setattr(benchmark, "repeats", 1)
        (seconds,) = benchmark().track_seconds(what)["samples"]
        assert seconds > 0


def test_on_a_device_nothing_moves_to_the_host_in_a_step_and_its_clock_is_used(
    cuda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = mock.Mock(wraps=turns.wall)
    monkeypatch.setattr(settings, "EXECUTOR", CupyBackend(cuda=cuda))
    monkeypatch.setattr(settings, "CLOCK", clock)
    grads = settings.arrays("tiny", 1)
    every = [
        contestants.ours("adam", "tiny", grads, 2),
        contestants.limit("adam", grads, synchronized=True),
        contestants.library_copy(grads),
    ]
    for _ in range(2):
        every[0].step()
    with standin.moves():
        step.timed(*every)
    assert clock.call_count == 3 * (1 + settings.TURNS)
