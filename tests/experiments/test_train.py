"""One run: models, data and optimizers by their names, and schedules."""

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import lookahead_ref as la
from commands import called, refused, results, succeeded
from formats import encoded, write_mnist
from lookahead_ref import trees
from lookahead_ref.experiments import models, optimizers, train
from lookahead_ref.experiments.settings import SCHEDULE_NAMES, TrainSettings
from lookahead_ref.report.files import read_sealed, schema, write_sealed
from lookahead_ref.training.checkpoints import decode
from support import assert_same_bits


def ended_again(folder: Path) -> str:
    """What a run says that goes on without its end, to the same weights."""
    final = folder / "final.safetensors"
    weights = final.read_bytes()
    final.unlink()
    max(folder.glob("checkpoint-*")).unlink()
    said = succeeded("train --resume", str(folder)).stdout
    assert final.read_bytes() == weights
    return said


@pytest.mark.parametrize(
    ("model", "last"),
    [
        ("lstm --hidden 8 --layers 2 --dropout 0.2 --tied --learning-rate 0.02", (4, 8)),
        ("awd-lstm --hidden 8 --layers 2 --embedding 4 --optimizer polyak-sgd", (4, 4)),
    ],
)
def test_a_language_model_trains_and_continues_with_its_carried_state(
    model: str, last: tuple[int, int], here: Path
) -> None:
    (here / "text").write_text("so it goes, and on it goes, as it went. " * 40)
    done = succeeded(
        f"train --model {model} --data chars:text --window 5 --batch-size 4 --epochs 3 "
        "--schedule plateau --patience 1 --checkpoint-every 7 --output run"
    )
    assert "validation perplexity" in done.stdout
    assert "test perplexity" in done.stdout
    _, record = decode((here / "run" / "final.safetensors").read_bytes())
    settings = TrainSettings(**record["configuration"])
    assert (settings.hidden, settings.window, settings.clip) == ((8,), 5, 0.25)
    assert settings.random_window is model.startswith("awd")
    arrays, _ = decode(max((here / "run").glob("checkpoint-*")).read_bytes())
    assert arrays["carried/layer2/cell"].shape == last
    ended_again(here / "run")


def test_the_weights_of_a_run_are_those_that_training_returns(here: Path) -> None:
    succeeded("train --epochs 1 --seed 4 --output run")
    arrays, record = decode((here / "run" / "final.safetensors").read_bytes())
    result = train.run(train.prepare(TrainSettings(**record["configuration"])))
    assert_same_bits(arrays, trees.flatten(result.params))
    assert record["steps"] == result.steps == 20
    assert record["class_names"] == list("0123456789")


@pytest.mark.parametrize("schedule", ["constant", "plateau --patience 1"])
def test_a_run_continued_past_its_end_equals_a_longer_run(
    schedule: str, here: Path
) -> None:
    for epochs, folder in ((1, "short"), (3, "long")):
        succeeded(f"train --epochs {epochs} --schedule {schedule} --output {folder}")
    succeeded("train --resume short --epochs 3")
    short, long = (here / f / "final.safetensors" for f in ("short", "long"))
    assert short.read_bytes() == long.read_bytes()
    assert results(here / "short")["history"] == results(here / "long")["history"]
    refused(called("train --resume short --epochs 2"), "at least the run's, 3")
    succeeded("train --epochs 1 --schedule cosine --output falling")
    refused(called("train --resume falling --epochs 2"), "with schedule constant or plate")


def test_training_begins_with_given_weights(here: Path) -> None:
    succeeded("train --epochs 1 --optimizer sgd --hidden 8 --output first")
    more = "--optimizer sgd --hidden 8 --from first/final.safetensors"
    with mock.patch.object(train, "read_file", wraps=train.read_file) as read:
        succeeded(f"train --epochs 1 {more} --output then")
    assert [str(call.args[0]) for call in read.mock_calls] == ["first/final.safetensors"]
    start, end = results(here / "then")["history"][0], results(here / "first")["history"][1]
    names = ("train_loss", "validation_loss", "validation_accuracy")
    assert [start[name] for name in names] == [end[name] for name in names]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--from no-file", "from must be a file of this model's weights"),
        ("--from text", "from must be a file of this model's weights"),
        ("--from first/final.safetensors --hidden 9", "must have the shape"),
        ("--model lstm --data pydoc --accumulate 2", "accumulate must be 1 for a text"),
        ("--group '*bias:momentum=0.9'", "group '*bias:momentum=0.9': momentum cannot be"),
        (
            "--optimizer sgd --k 3 --group '*bias:weight-decay=1'",
            "k cannot be given with s",
        ),
        ("--accumulate 65", "accumulate must be at most the batch size, 64, got 65"),
        ("--optimizer adam --momentum 0.5", "momentum cannot be given with adam, which"),
        ("--optimizer sgd --inner-state reset", "inner_state cannot be given with sgd"),
        ("--optimizer polyak-sgd --k 3", "k cannot be given with polyak-sgd, which has"),
        ("--patience 3", "patience cannot be given with schedule constant"),
    ],
)
def test_errors_come_before_a_folder_is_made(given: str, message: str, here: Path) -> None:
    (here / "text").write_text("no weights")
    if "first" in given:
        succeeded("train --epochs 1 --hidden 8 --output first")
    refused(called(f"train {given} --output run"), message)
    assert not (here / "run").exists()


def test_groups_of_parameters_have_settings_of_their_own() -> None:
    settings = TrainSettings(
        optimizer="lookahead-sgd",
        learning_rate=0.5,
        weight_decay=0.1,
        groups=("*bias:weight-decay=0,k=7", "out*:optimizer=adam"),
    )
    built = optimizers.build(settings).groups
    assert built == {
        "*bias": la.Lookahead(la.SGD(0.5), 7),
        "out*": la.Adam(optimizers.LEARNING_RATES["mlp"]["adam"], weight_decay=0.1),
        "*": la.Lookahead(la.SGD(0.5, weight_decay=0.1)),
    }
    assert list(built) == ["*bias", "out*", "*"]
    alone = optimizers.build(replace(settings, groups=("*:k=2",)))
    assert alone == la.Grouped({"*": la.Lookahead(la.SGD(0.5, weight_decay=0.1), 2)})


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("*bias", r"group '\*bias': it must be PATTERN:NAME=VALUE,..."),
        ("*bias:k", "group must be NAME=VALUE, got 'k'"),
        ("*bias:k=2,k=3", r"group k must be given once, got \[2, 3\]"),
        ("*bias:epochs=2", "it can change optimizer, .*; got 'epochs'"),
        ("*bias:k=two", r"group '\*bias:k=two': k must be a positive integer, got 'two'"),
        ("*bias:optimizer=foo", "group '.*': optimizer must be one of sgd, .*; got 'foo'"),
        ("nothing*:k=2", r"groups\['nothing\*'\] must be the first match of a parameter"),
        ("*bias:k=0", "k must be a positive integer, got 0"),
    ],
)
def test_a_wrong_group_is_refused(group: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train.prepare(TrainSettings(groups=(group,)))


def test_some_optimizers_of_a_comparison_may_lack_what_a_group_sets() -> None:
    succeeded("compare --group '*bias:k=7,momentum=0.5' --epochs 1 --dry-run")


def test_groups_train_and_continue(here: Path) -> None:
    done = succeeded("train --epochs 2 --group '*bias:weight-decay=0.1,k=3' --output run")
    assert ended_again(here / "run").split(",")[0] == done.stdout.split(",")[0]


@pytest.mark.parametrize("available", [True, False])
def test_auto_is_the_fastest_installed_backend(
    available: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> Any:
        if not available:
            raise la.BackendUnavailableError(name)
        return SimpleNamespace(name=name)

    monkeypatch.setattr(models, "load_backend", load)
    chosen = {m: models.backend(TrainSettings(m)) for m in ("mlp", "lstm", "resnet18")}
    faster = "numba" if available else "numpy"
    assert chosen == {"mlp": "numpy", "lstm": faster, "resnet18": faster}
    assert models.backend(TrainSettings("lstm", backend="numpy")) == "numpy"


def test_settled_settings_do_not_change_again() -> None:
    prepared = train.prepare(TrainSettings(clip=0.0))
    assert prepared.settings.batch_size == 64
    assert prepared.settings.learning_rate == 0.01
    assert train.prepare(prepared.settings).settings == prepared.settings


@pytest.mark.parametrize(
    ("name", "value"), [("k", "x"), ("hidden", ["x"]), ("alpha", "x"), ("tied", 1)]
)
def test_settings_of_other_types_are_refused(name: str, value: Any, tmp_path: Path) -> None:
    settings = asdict(TrainSettings()) | {name: value}
    write_sealed(tmp_path / "file", "it", {"settings": settings})
    message = rf"^\$\.settings\.{name}.* of it: .*is not of type"
    with pytest.raises(ValueError, match=message):
        read_sealed(tmp_path / "file", "it", settings=schema(TrainSettings))


@pytest.mark.parametrize(
    ("name", "steps", "rates"),
    [
        ("step", 200, {59: 1, 60: 0.2, 120: 0.04, 160: 0.008}),
        ("step", 1, {0: 1, 1: 0.2}),
        ("shortened", 60, {29: 1, 30: 0.1, 48: 0.01, 58: 0.001}),
    ],
)
def test_a_schedule_divides_where_the_paper_does(
    name: str, steps: int, rates: dict[int, float]
) -> None:
    assert tuple(train.SCHEDULES) == SCHEDULE_NAMES
    schedule = train.SCHEDULES[name](1.0, steps, 15)
    assert {at: schedule(at) for at in rates} == pytest.approx(rates)


@pytest.mark.parametrize("name", ["resnet18", "resnet32", "resnet152"])
def test_a_residual_network_is_made_for_the_pictures(name: str) -> None:
    settings = TrainSettings(
        model=name, optimizer="adam", backend="numba", statistics_examples=7
    )
    model = train.prepare(settings).model
    assert model.statistics_examples == 7  # type: ignore[union-attr]
    assert (model.shape, model.classes) == ((1, 8, 8), 10)  # type: ignore[union-attr]
    assert model.backend == "numba"  # type: ignore[union-attr]


def test_sizes_of_pictures_reach_the_data(here: Path) -> None:
    for name in ("train/a", "val/a"):
        (here / name).mkdir(parents=True)
        (here / name / "1.png").write_bytes(encoded("PNG", np.zeros((9, 9, 3), "u1")))
    settings = TrainSettings(
        "resnet32", "images:.", crop=16, optimizer="adam", batch_size=1
    )
    data: Any = train.prepare(settings).data
    assert (data.image_shape, data.train.resize) == ((3, 16, 16), 18)
    refused(called("train --crop 9"), "crop is no option of data 'digits', got 9")


def test_without_validation_all_are_trained_on_and_the_test_is_reported(here: Path) -> None:
    write_mnist(here, train=80, t10k=20)
    line = "train --data mnist:. --hidden 8 --batch-size 20 --epochs 2 --validation "
    done = succeeded(line + "none --output run")
    assert done.stdout.count("test accuracy") == 1
    assert "epoch 2, training loss" in done.stderr
    assert "test accuracy" in done.stderr
    assert "alidation" not in done.stdout + done.stderr
    found = results(here / "run")
    last = found["history"][-1]
    assert last["step"] == 2 * 80 / 20
    for name in ("loss", "accuracy"):
        assert found["test"][name] == last[f"validation_{name}"]
    ended_again(here / "run")
    assert results(here / "run")["history"][-1] == last
    message = succeeded(line + "20").stdout
    assert "validation accuracy" in message
    assert "test accuracy" in message
    assert "after 6 steps" in message


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--validation 0", "validation must be none or a number of examples, got '0'"),
        ("--validation none", "from 1 to 1796 examples, or none where there are test"),
        ("--validation 1797", "from 1 to 1796 examples"),
        ("--data pydoc --model lstm --validation 5", "no option of data 'pydoc', got 5"),
        ("--data mnist:. --validation none --schedule plateau", "must not be none with"),
    ],
)
def test_an_impossible_validation_is_refused(options: str, says: str, here: Path) -> None:
    write_mnist(here, train=80, t10k=20)
    refused(called(f"train {options}"), says)


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_settings_reach_the_optimizer(name: str) -> None:
    settings = TrainSettings(
        optimizer=name,
        learning_rate=0.25,
        k=7,
        alpha=None if name.startswith("snoo-") else 0.75,
        outer_learning_rate=0.6 if name.startswith("snoo-") else None,
        momentum=0.8,
        weight_decay=0.01,
        weight_decay_kind="decoupled",
    )
    built = optimizers.build(settings)
    if name.startswith("lookahead-"):
        assert isinstance(built, la.Lookahead)
        assert (built.k, built.alpha) == (7, 0.75)
    if name.startswith("snoo-"):
        assert built.outer == la.Nesterov(0.6, 0.9)
    inner = getattr(built, "inner", built)
    assert (inner.learning_rate, inner.weight_decay) == (0.25, 0.01)
    assert inner.weight_decay_kind == "decoupled"
    assert getattr(inner, "momentum", 0.8) == 0.8
    assert optimizers.method(name).name == name


def test_lion_decays_weights_as_in_its_paper_by_default() -> None:
    settings = TrainSettings(optimizer="lion", learning_rate=0.1, weight_decay=0.1)
    assert optimizers.build(settings).weight_decay_kind == "decoupled"
    l2 = replace(settings, weight_decay_kind="l2")
    assert optimizers.build(l2).weight_decay_kind == "l2"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": "adam", "outer": "nesterov"}, "outer must be given with lookahead-"),
        ({"optimizer": "adam", "outer": "bogus"}, "outer must be one of 'sgd'"),
        (
            {"optimizer": "snoo-adam", "outer": "adam"},
            "outer must be given with lookahead-",
        ),
        ({"nonmonotone": 3}, "nonmonotone must be given with polyak-NAME, got 3"),
        ({"outer": "sgd", "outer_momentum": 0.5}, "outer_momentum must be given with an"),
        ({"outer_learning_rate": 0.5}, "outer_learning_rate must be given with an outer"),
        ({"outer": "adam"}, "outer_learning_rate must be given with outer adam, got none"),
        ({"outer": "nesterov", "outer_momentum": 2.0}, r"outer_momentum must be .* got 2"),
        ({"outer": "sgd", "outer_learning_rate": 0.0}, "outer_learning_rate must be .* 0"),
        ({"outer": "nesterov", "alpha": 0.3}, "optimizer cannot both be given, got alpha"),
        ({"outer": "lookahead-sgd"}, "outer must be one of 'sgd', .* got 'lookahead-sgd'"),
    ],
)
def test_wrong_or_unused_options_of_an_outer_step_are_refused(
    given: dict[str, Any], message: str
) -> None:
    settings = TrainSettings(**{"optimizer": "lookahead-adam", **given}, learning_rate=0.1)
    with pytest.raises(ValueError, match=message):
        optimizers.build(settings)


def test_a_grid_omits_settings_that_an_optimizer_lacks() -> None:
    kept = [
        optimizers.fitted(TrainSettings(optimizer=name, nonmonotone=3)).nonmonotone
        for name in ("adam", "lookahead-adam", "polyak-adam")
    ]
    assert kept == [None, None, 3]


@pytest.mark.parametrize("outer", ["nesterov", "heavy-ball"])
def test_lookahead_takes_an_outer_optimizer_in_place_of_alpha(outer: str) -> None:
    settings = TrainSettings(
        optimizer="lookahead-sgd", learning_rate=0.3, outer=outer, outer_momentum=0.4
    )
    made = {"nesterov": la.Nesterov(0.7, 0.4), "heavy-ball": la.HeavyBall(0.7, 0.4)}
    assert optimizers.build(settings) == la.Lookahead(la.SGD(0.3), outer=made[outer])


@pytest.mark.parametrize(
    ("name", "inner", "title"),
    [
        ("lookahead-heavy-ball", "heavy-ball", "Lookahead (heavy ball)"),
        ("lookahead-mine.py:RMSProp", "mine.py:RMSProp", "Lookahead (RMSProp)"),
        ("polyak-sgd", "sgd", "Polyak averaging"),
        ("./lookahead-mine.py:RMSProp", "./lookahead-mine.py:RMSProp", "RMSProp"),
    ],
)
def test_a_name_is_a_wrapper_and_what_is_in_it(name: str, inner: str, title: str) -> None:
    assert optimizers.inner_name(name) == inner
    assert optimizers.method(name).title == title


def test_every_model_says_which_of_the_options_it_takes() -> None:
    for kind in models.MODELS.values():
        assert set(kind.options) <= set(models.OPTIONS)
    assert set(models.MODELS) == set(optimizers.LEARNING_RATES)
