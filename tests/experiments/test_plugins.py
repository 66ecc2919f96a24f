"""Optimizers, models and data of the user's own in every command that trains."""

import csv
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import called, refused, results, succeeded
from lookahead_ref.cli.app import main
from lookahead_ref.experiments import compare, optimizers, plugins, train
from lookahead_ref.experiments.options import command
from lookahead_ref.experiments.settings import CompareSettings, TrainSettings
from support import OWN, assert_same_bits

WRONG = Path(__file__).with_name("wrong.py.txt").read_text("utf-8")
SIGNED = "--optimizer mine.py:Signed"
RAISES = "train --optimizer wrong.py:Raises"
WITH = "--model mine.py:Small --data mine.py:halves"
SHORT = "--epochs 1 --batch-size 20"


@pytest.fixture
def folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a working folder with a user's own code in it."""
    # Another test's wrong.py may have imported its own.
    for name in ("mine", "wrong"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (here / "mine.py").write_text(OWN)
    (here / "wrong.py").write_text(WRONG)
    return here


def test_compare_takes_an_optimizer_a_model_and_data(folder: Path) -> None:
    done = succeeded(f"compare {SIGNED} {WITH} --seeds 1 --jobs 1 {SHORT} --output out")
    assert "halves: at the end of training" in done.stdout
    found = results(folder / "out")
    assert [arm["title"] for arm in found["arms"]] == ["Signed", "Lookahead (Signed)"]
    assert found["learning_rates"] == {"mine.py:Signed": 0.25}
    assert found["setting"]["Model"] == "<mine.Small object>"
    assert found["setting"]["Examples"] == "60 for training, 60 for validation"
    report = (folder / "out" / "report.html").read_text()
    assert "halves: Lookahead and others" in report
    assert "No learning rate was given for mine.py:Signed: its own default" in report
    assert "best of a grid" not in report


def test_the_command_that_a_report_shows_repeats_the_comparison() -> None:
    settings = CompareSettings(
        optimizers=("a file.py:Own", "adam"),
        learning_rates=(("", 0.5), ("adam", 0.1)),
        base=TrainSettings(model="m.py:M", data="d.py:d"),
    )
    assert command("compare", settings) == (
        "lookahead-ref compare --optimizer 'a file.py:Own' --optimizer adam "
        "--learning-rate 0.5 --learning-rate adam=0.1 --model m.py:M --data d.py:d"
    )
    assert "--optimizer" not in command("compare", CompareSettings())


def test_each_optimizer_is_compared_alone_and_inside_lookahead() -> None:
    wanted = CompareSettings(optimizers=("adam", "polyak-sgd", "adagrad", "adam"))
    names = [method.name for method in compare.methods(wanted)]
    assert names == ["adam", "adagrad", "polyak-sgd", "lookahead-adam", "lookahead-adagrad"]
    everything = compare.methods(CompareSettings())
    assert tuple(method.name for method in everything) == optimizers.COMPARED


def test_an_optimizer_named_like_another_is_named_with_its_file() -> None:
    found = compare.methods(CompareSettings(optimizers=("adam", "mine.py:Adam")))
    titles = ["Adam", "mine.py:Adam", "Lookahead (Adam)", "lookahead-mine.py:Adam"]
    assert [method.title for method in found] == titles


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, {"best of a grid"}),
        ({"optimizers": ("adam",)}, {"best of a grid"}),
        ({"base": TrainSettings(data="mnist:DIR")}, {"best of a grid", "not tuned"}),
        ({"base": TrainSettings("lstm", "pydoc")}, {"best of a grid"}),
        ({"base": TrainSettings("resnet18", "cifar10:DIR")}, {"published", "not tuned"}),
        ({"learning_rates": (("adam", 0.1),)}, {"best of a grid", "given with"}),
        ({"learning_rates": (("", 0.1),)}, {"given with"}),
        ({"optimizers": ("mine.py:Signed",)}, {"own default"}),
    ],
)
def test_a_report_says_where_its_learning_rates_come_from(
    options: dict[str, Any], said: set[str]
) -> None:
    text = compare.learning_rates(CompareSettings(**options))
    words = {"best of a grid", "published", "not tuned", "given with", "own default"}
    assert {word for word in words if word in text} == said


def test_a_rate_belongs_to_the_optimizer_that_it_names(folder: Path) -> None:
    settings = CompareSettings(
        optimizers=("mine.py:Signed", "adam", "sgd"),
        learning_rates=(("", 0.5), ("adam", 0.125)),
    )
    job = compare.prepare(settings)
    prepared = {each.settings.optimizer: each for each in job.prepared}
    rates = [prepared[n].optimizer.learning_rate for n in compare.inner_names(settings)]
    assert rates == [0.5, 0.125, 0.5]
    assert prepared["lookahead-adam"].optimizer.inner.learning_rate == 0.125


SWEEP = (
    f"sweep {SIGNED} --optimizer lookahead-mine.py:Signed --optimizer sgd --jobs 1 {SHORT} "
    "--learning-rate 0.1 --k 2 --hyperparameter share=0.5 --hyperparameter share=2 "
    "--data mine.py:halves --output swept"
)


def swept(folder: Path) -> set[str]:
    """The trials that are there when the sweep has ended, once more."""
    succeeded(SWEEP)
    return {path.name for path in (folder / "swept" / "trials").iterdir()}


def test_a_sweep_tries_hyperparameters_and_redoes_what_edits_change(folder: Path) -> None:
    first = swept(folder)
    assert sorted(arm["title"] for arm in results(folder / "swept")["arms"]) == [
        "lookahead-mine.py:Signed, learning rate 0.1, k 2, share 0.5",
        "lookahead-mine.py:Signed, learning rate 0.1, k 2, share 2",
        "mine.py:Signed, learning rate 0.1, share 0.5",
        "mine.py:Signed, learning rate 0.1, share 2",
        "sgd, learning rate 0.1",
    ]
    lines = csv.DictReader((folder / "swept" / "results.csv").read_text().splitlines())
    found = {(x["optimizer"], x["k"], x["share"]): x["validation_loss"] for x in lines}
    one, other = (found["mine.py:Signed", "", share] for share in ("0.5", "2"))
    assert len({one, other, found["sgd", "", ""]}) == 3
    assert swept(folder) == first
    (folder / "mine.py").write_text(OWN.replace("share * g", "share * share * g"))
    # The data are of the file too: all five are done again.
    assert len(swept(folder) - first) == len(first) == 5


def test_a_run_of_the_users_own_optimizer_model_and_data_continues(folder: Path) -> None:
    own = f"train --optimizer polyak-mine.py:Signed {WITH}"
    succeeded(f"{own} --hyperparameter share=0.5 {SHORT} --output run")
    weights = (folder / "run" / "final.safetensors").read_bytes()
    made = results(folder / "run")["configuration"]
    assert "share=0.5" in made["optimizer_made"]
    assert made["model_made"] == "<mine.Small object>"
    assert " at 0x" not in (folder / "run" / "train.jsonl").read_text()
    succeeded(f"{own} --resume run")
    assert (folder / "run" / "final.safetensors").read_bytes() == weights


def test_a_tilde_that_no_shell_sees_is_the_home_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    own = "--optimizer lookahead-~/mine.py:Signed --model ~/mine.py:Small"
    succeeded(f"train {own} --data ~/mine.py:halves --output run {SHORT}")
    assert plugins.digest("~/mine.py:Signed") == plugins.digest("../mine.py:Signed")
    # The shell does not expand text after an equals sign.
    monkeypatch.setattr("sys.argv", ["lookahead-ref", "train", "--resume=~/none"])
    with pytest.raises(SystemExit):
        main()
    message = capsys.readouterr().err
    assert f"got {folder / 'none'}, which has no run.json" in message


def test_a_folder_alone_does_not_decide_which_code_is_run(folder: Path) -> None:
    own = f"--optimizer lookahead-mine.py:Signed {WITH}"
    succeeded(f"train {own} {SHORT} --output run")
    (folder / "mine.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    for given, message in [
        ("", "must be given with --data mine.py:halves --model mine.py:Small --optimizer"),
        (own.partition("--data")[0], "must be given with --data mine.py:halves, because"),
        (own.replace("mine.py:halves", "wrong.py:halves"), "data with resume must be"),
        (f"{own} --batch-size 2", "resume cannot be given with --batch-size"),
    ]:
        refused(called(f"train --resume run {given}"), message)
        assert not (folder / "ran").exists()
    called(f"train --resume run {own}")
    assert (folder / "ran").exists()


def test_a_sweep_ends_if_a_file_changes_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = train.train

    def edit(*arguments: Any, **options: Any) -> Any:
        (folder / "mine.py").write_text(OWN + "# edited\n")
        return trained(*arguments, **options)

    monkeypatch.setattr(train, "train", edit)
    done = called(SWEEP)
    assert done.exit_code == 2
    assert "'mine.py:Signed' and 'mine.py:halves' must be the same" in done.stderr


def test_the_digest_of_a_module_is_of_its_file(folder: Path) -> None:
    assert plugins.digest("mine:Signed") == plugins.digest("mine.py:Signed")
    assert plugins.digest("mine.py:Signed") != plugins.digest("wrong.py:Signed")
    with pytest.raises(plugins.PluginError, match=r"'no\.py:x' cannot be read"):
        plugins.digest("no.py:x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # All commands prepare a run in one way: each sees some of this.
        ("train --optimizer no.py:it", "optimizer 'no.py:it' cannot be loaded: FileNotFou"),
        ("sweep --optimizer mine.py:no", "'mine.py:no' cannot be loaded: mine.py has no"),
        ("compare --optimizer wrong.py:number", "'wrong.py:number' must be one or make"),
        (RAISES, "'wrong.py:Raises' fails: KeyError: 'oh'"),
        ("train --optimizer lookahead-wrong:Raises", "'wrong:Raises' fails: KeyError: 'o"),
        ("sweep --optimizer polyak-wrong:Raises", "'wrong:Raises' fails: KeyError"),
        (f"{RAISES} --model wrong.py:Carrying", "'wrong.py:Raises' fails: KeyError: 'oh'"),
        (
            f"train {SIGNED} --model wrong.py:Forgets",
            "carried['seen'] must be as start makes it, int64 of shape (), got float64",
        ),
        ("train --optimizer wrong.py:ready --learning-rate 1", "must be left out with"),
        ("train --optimizer wrong.py:ready --schedule step", "must be given for schedule"),
        ("sweep --optimizer wrong.py:ends", "'wrong.py:ends' cannot be made: SystemExit"),
        ("compare --optimizer wrong.py:lines", "cannot be made: ValueError: one two"),
        ("train --optimizer wrong.py:nothing", "optimizer 'wrong.py:nothing' is not one"),
        ("sweep --model no.py:it --learning-rate 1", "model 'no.py:it' cannot be loaded"),
        ("compare --model wrong.py:number --learning-rate 1", "'wrong.py:number' must"),
        ("train --model wrong.py:no_loss --learning-rate 1", "wrong.py:no_loss' fails: Ze"),
        ("sweep --model wrong.py:no_arrays --learning-rate 1", "TypeError: params must be"),
        ("compare --data no.py:it", "data 'no.py:it' cannot be loaded"),
        ("train --data wrong.py:number", "data 'wrong.py:number' must be one or make one"),
        ("sweep --data wrong.py:Stream", "data 'wrong.py:Stream' fails: "),
        ("compare --data wrong.py:nameless", "name of data 'wrong.py:nameless' must be"),
        ("train --data mine.py:halves --batch-size 99", "(data 'mine.py:halves')"),
        ("compare --optimizer lookahead-adam", "got 'lookahead-adam': give 'adam'"),
        ("compare --optimizer polyak-sgd", "optimizer must name at least one"),
        ("compare --optimizer wrong.py:wrapped", "must not wrap another"),
        ("compare --optimizer wrong.py:averaged", "got PolyakAveraging: put it around"),
        ("compare --optimizer wrong.py:Literal --backend numba", "must hold no literals"),
        ("compare --optimizer adam --learning-rate sgd=1", "learning_rate must be of one"),
        ("compare --learning-rate much", "learning_rate must be a number or NAME=NUMBER"),
        ("compare --learning-rate =0.1", "must be a number or NAME=NUMBER, got '=0.1'"),
        ("compare --learning-rate 1 --learning-rate 2", "learning_rate must be given once"),
        ("compare --model mine.py:Small", "learning_rate must be given for optimizer sgd"),
        ("compare --data pydoc", "must be given labelled examples"),
        ("train --optimizer sgd --hyperparameter a=1", "hyperparameter a is for optimizer"),
        ("train --hyperparameter a", "hyperparameter must be NAME=VALUE, got 'a'"),
        ("train --hyperparameter a=1 --hyperparameter a=2", "a must be given once"),
        ("train --optimizer mine.py:Signed --hyperparameter a=1", "unexpected keyword"),
        (
            f"train {SIGNED} --learning-rate 0.1 --hyperparameter learning_rate=0.2",
            "must be given once, got 0.1",
        ),
        ("sweep --optimizer lookahead-wrong.py:averaged", "got PolyakAveraging"),
    ],
)
def test_errors_are_reported_in_one_line_before_a_run(
    arguments: str, message: str, folder: Path
) -> None:
    if "numba" in arguments:
        pytest.importorskip("numba")
    before = set(folder.iterdir())
    refused(called(arguments), message)
    assert {path for path in folder.iterdir() if path.name != "__pycache__"} == before


def test_a_model_of_a_text_may_count_its_pairs_of_tokens(folder: Path) -> None:
    succeeded("train --model wrong.py:pairs --data pydoc --learning-rate 1 --dry-run")


def test_an_update_that_is_tried_changes_nothing_of_the_run(folder: Path) -> None:
    own, same = (
        train.run(train.prepare(TrainSettings(optimizer=name, learning_rate=0.5, epochs=1)))
        for name in ("mine.py:Signed", "sgd")
    )
    assert_same_bits(own.params, same.params)


@pytest.mark.parametrize("command", ["sweep --jobs 2", "train"])
def test_an_error_in_a_run_is_reported_with_its_line(command: str, folder: Path) -> None:
    model = "--model wrong.py:Second --data mine.py:halves --learning-rate 0.1"
    done = called(f"{command} {SIGNED} {model} {SHORT}")
    assert done.exit_code == 2, done.stderr
    (line,) = (n for n, text in enumerate(WRONG.split("\n"), 1) if "second\\n" in text)
    message = f"fails: RuntimeError: at the second batch (wrong.py, line {line})"
    assert f"lookahead-ref: model 'wrong.py:Second' {message}" in done.stderr
    assert "Traceback" not in done.stderr


def test_resume_reports_an_edited_or_missing_file(folder: Path) -> None:
    succeeded(f"train {SIGNED} {SHORT} --output run")
    again = f"train --resume run {SIGNED}"
    assert "has changed" not in called(again).stderr
    (folder / "mine.py").write_text(OWN + "# edited\n")
    message = "changed since the run began: the file of mine.py:Signed"
    assert message in succeeded(again).stderr
    (folder / "mine.py").unlink()
    refused(called(again), "'mine.py:Signed' cannot be read: FileNotFoundError")


def test_each_file_imports_what_lies_beside_it(folder: Path) -> None:
    for name, rate in (("first", 0.25), ("second", 0.5)):
        (folder / name).mkdir()
        (folder / name / "beside_it.py").write_text(f"RATE = {rate}\n")
        (folder / name / "made.py").write_text(
            "import lookahead_ref as la\nfrom beside_it import RATE\n\n"
            "def make():\n    return la.SGD(RATE)\n"
        )
    for name, rate in (("first", 0.25), ("second", 0.5), ("first", 0.25)):
        made = plugins.load_optimizer(f"{name}/made.py:make", None)
        assert made.learning_rate == rate


def test_a_file_named_like_a_library_does_not_take_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    monkeypatch.setitem(sys.modules, "own_this", sys)  # to be taken away again
    (folder / "this.py").write_text(OWN)
    assert plugins.load_optimizer("this.py:Signed", None).learning_rate == 0.25
    assert "this" not in sys.modules
