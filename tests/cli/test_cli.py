"""The command line as a user meets it: outputs, streams, exit codes."""

import json
import os
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import lookahead_ref as la
from lookahead_ref.cli.app import EXAMPLES, app
from lookahead_ref.cli.terminal import reported
from lookahead_ref.experiments.environment import new_folder

SLOW = re.compile(
    r"lookahead-ref (compare|theory)|lstm|survey|reproduce (fig10|table5)|my-sweep"
)
"""Examples of commands that others, or other tests, run with less work."""

HIDE = """
import sys
class Absent:
    def find_spec(self, name, *_):
        top = name.partition(".")[0]
        if top in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{top!r}}", name=top)
sys.meta_path.insert(0, Absent())
from lookahead_ref.cli.app import main
main()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def invoke(*arguments: str) -> Result:
    """Run a command in this process."""
    result = CliRunner().invoke(app, arguments)
    # Whatever is not an exit code would have been a traceback.
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def call(
    *arguments: str, folder: Path, hidden: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, if need be without some distributions."""
    start = ["-c", HIDE.format(hidden=hidden)] if hidden else ["-m", "lookahead_ref"]
    done = subprocess.run(
        [sys.executable, *start, *arguments],
        cwd=folder,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_version_and_help_go_to_standard_output(folder: Path) -> None:
    version = invoke("--version")
    assert (version.exit_code, version.stdout) == (0, f"lookahead-ref {la.__version__}\n")
    shown = invoke("--help")
    assert shown.exit_code == 0
    for command in ("compare", "train", "info", "theory", "--install-completion"):
        assert command in shown.stdout


@pytest.mark.parametrize("command", [command for command in EXAMPLES if command])
def test_help_shows_the_examples(command: str, folder: Path) -> None:
    shown = invoke(*command.split(), "--help")
    assert shown.exit_code == 0
    for example in EXAMPLES[command]:
        assert example in shown.stdout


def test_help_needs_nothing_heavy(tmp_path: Path) -> None:
    hidden = ("autograd", "matplotlib", "sklearn", "numba")
    assert call("train", "--help", folder=tmp_path, hidden=hidden).returncode == 0


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, marks=[pytest.mark.slow] if SLOW.search(line) else [])
        for line in sorted({line for lines in EXAMPLES.values() for line in lines})
    ],
)
def test_the_examples_of_the_help_work(line: str, folder: Path) -> None:
    program, *arguments = shlex.split(line)
    assert program == "lookahead-ref"
    if arguments[0] in ("reproduce", "sweep"):
        arguments += ["--jobs", "1"]  # no process is started
    done = invoke(*arguments)
    assert done.exit_code == 0, done.stderr
    assert done.stdout


def test_in_a_pipe_compare_prints_the_table_and_where_the_folder_is(tmp_path: Path) -> None:
    short = ("--optimizer", "adam", "--seeds", "1", "--epochs", "1", "--jobs", "1")
    done = call("compare", *short, "--output", "out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Lookahead (Adam)" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("out: report.html")
    assert "2/2 runs" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "line", ["--help", "info", "conform pure --profile wrapper", "theory alpha"]
)
def test_characters_that_a_terminal_has_not_are_replaced(line: str, tmp_path: Path) -> None:
    narrow = {"COLUMNS": "30", "PYTHONIOENCODING": "ascii"}
    done = call(*line.split(), folder=tmp_path, **narrow)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_compare_json_is_alone_on_standard_output(folder: Path) -> None:
    done = invoke(
        *shlex.split(
            "compare --optimizer adam --seed 3 --seeds 1 --epochs 1 --jobs 1 --json"
        )
    )
    summary = json.loads(done.stdout)
    assert json.loads((folder / summary["results"]).read_text())["seeds"] == [3]
    assert "±" not in (folder / summary["report"]).read_text()
    assert "one seed says nothing about the spread" in summary["summary"]
    accuracy = summary["validation_accuracy_percent"]["Lookahead (Adam)"]
    assert 0 < accuracy["mean"] <= 100
    assert accuracy["deviation"] is None


def test_compare_refuses_a_folder_that_holds_something_else(folder: Path) -> None:
    (folder / "kept").write_text("x")
    done = invoke("compare", "--output", ".")
    assert done.exit_code == 2
    assert "output must be a new or empty folder, got ." in done.stderr
    assert [path.name for path in folder.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    "command",
    [
        *("compare --optimizer sgd", "sweep", "reproduce table5", "train"),
        *("theory alpha", "theory rate --points 2"),
    ],
)
def test_a_folder_that_another_command_is_writing_to_is_refused(
    command: str, folder: Path
) -> None:
    with new_folder(folder / "out", "any"):
        done = invoke(*command.split(), "--output", "out")
    assert done.exit_code == 2
    assert "another run is writing to out" in done.stderr
    assert list((folder / "out").iterdir()) == []


def test_pictures_are_drawn_whatever_matplotlib_is_told_outside(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "matplotlibrc").write_text("text.usetex: True\n")
    monkeypatch.setenv("MPLBACKEND", "module://of.a.notebook")
    done = call("theory", "alpha", "--output", "out", folder=folder)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    short = ("--optimizer", "sgd", "--seeds", "1", "--epochs", "1", "--jobs", "1")
    done = call("compare", *short, "--output", "other", folder=folder)
    assert done.returncode == 0, done.stderr


def test_train_writes_its_folder(folder: Path) -> None:
    done = invoke(
        *("train", "--optimizer", "lookahead-sgd", "--learning-rate", "0.5"),
        *("--schedule", "step", "--epochs", "2", "--output", "run"),
    )
    assert done.exit_code == 0, done.stderr
    results = json.loads((folder / "run" / "results.json").read_text())
    assert len(results["history"]) == 3
    assert "StepDecay(initial=0.5" in results["configuration"]["schedule_made"]
    events = [
        json.loads(line)["event"]
        for line in (folder / "run" / "train.jsonl").read_text().splitlines()
    ]
    assert events.count("step_taken") == results["steps"] == 40


def test_train_json_holds_the_final_numbers(folder: Path) -> None:
    done = invoke("train", "--epochs", "1", "--json")
    assert json.loads(done.stdout)["final"]["epoch"] == 1
    assert "epoch 1" in done.stderr


def test_info_lists_the_backends_and_why_one_is_not_available(folder: Path) -> None:
    found = json.loads(invoke("info", "--json").stdout)
    backends = {record["name"]: record for record in found["backends"]}
    assert backends["numpy"]["available"] is True
    for record in backends.values():
        assert record["available"] or record["reason"]
    assert found["versions"]["lookahead-ref"] == la.__version__
    shown = invoke("info").stdout
    for name in backends:
        assert name in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("train --optimizer adamm", "optimizer must be one of sgd"),
        ("train --data cifar", "data must be one of digits, mnist:DIR"),
        ("train --model vgg", "model must be one of mlp, lstm, resnet18"),
        ("train --schedule linear", "schedule must be one of constant, step, shortened"),
        ("train --learning-rate nan", "learning_rate must be"),
        ("train --model lstm", "model lstm must be given text, as pydoc is; data 'digits'"),
        ("train --dropout 0.5", "dropout is no option of model mlp, got 0.5"),
        ("train --window 9", "window is an option of texts"),
        ("train --optimizer polyak-sgd --model resnet18", "learning_rate must be given"),
        ("train --on-nonfinite hope --output o", "on_nonfinite must be one of"),
        ("train --clip -1", "--clip"),
        ("train --weight-decay-kind l3", "weight_decay_kind must be one of"),
        ("train --resume absent", "resume must be the folder of a run, got absent"),
        ("train --model nowhere:it", "No module named 'nowhere'"),
        ("train --data collections:Counter", "Counter has no name and no train"),
        ("train --learning-rate=-1", "learning_rate must be"),
        ("train --learning-rate 1e-60 --output o", "= 1e-60 rounds to 0 in float32"),
        ("train --k 0", "k must be a positive integer, got 0"),
        ("train --alpha 1.5", "alpha must be"),
        ("train --inner-state keep", "inner_state must be one of"),
        ("train --batch-size 5000", "batch_size must be from 1 to 1258"),
        ("train --backend abacus", "abacus"),
        ("train --epochs 0", "--epochs"),
        ("compare --alpha 1e-60 --output o", "= 1e-60 rounds to 0 in float32"),
        ("compare --seeds 0", "--seeds"),
        ("theory nonsense", "nonsense"),
        ("theory alpha --k 0", "--k"),
        ("theory alpha --alpha 0", "alpha must be"),
        ("theory alpha --learning-rate 0", "learning_rate must be a finite number > 0"),
        ("theory variance --k 0", "k must be >= 1, got 0"),
        ("theory horizon --k 7 --k 13 --longest 50", "longest must be at least 91"),
        ("theory rate --momentum 1", "momentum must be in [0, 1), got 1.0"),
        ("theory stability --alpha 1.5", "alpha must be in (0, 1], got 1.5"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_wrong_command_is_told_so_in_one_line_with_exit_code_2(
    arguments: str, told: str, folder: Path
) -> None:
    done = invoke(*shlex.split(arguments))
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stdout == ""
    # Nothing was made, not even a folder.
    assert list(folder.iterdir()) == []


def test_a_run_that_diverges_fails_with_exit_code_1(folder: Path) -> None:
    done = invoke("train", "--optimizer", "sgd", "--learning-rate", "1e20")
    assert done.exit_code == 1
    assert "the loss of" in done.stderr.splitlines()[-1]
    assert "at step" in done.stderr.splitlines()[-1]


def test_a_cycle_that_diverges_has_no_picture(folder: Path) -> None:
    done = invoke("theory", "alpha", "--learning-rate", "1e300")
    assert done.exit_code == 1
    assert "the weights diverge: learning_rate must be below 1.758" in done.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("hidden", ["matplotlib", "sklearn"])
def test_without_the_extra_compare_says_what_to_install(
    hidden: str, tmp_path: Path
) -> None:
    done = call("compare", folder=tmp_path, hidden=(hidden,))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'lookahead-ref[experiments]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (
            "train --optimizer lookahead-a",
            ["lookahead-adagrad", "lookahead-adam", "lookahead-amsgrad"],
        ),
        ("train --schedule c", ["constant", "cosine"]),
        ("train --inner-state r", ["reset"]),
        ("compare --backend nump", ["numpy"]),
    ],
)
def test_the_shell_completes_values(typed: str, offered: list[str], folder: Path) -> None:
    words = f"lookahead-ref {typed}"
    environment = {
        "_LOOKAHEAD_REF_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = CliRunner().invoke(app, env=environment, prog_name="lookahead-ref")
    assert done.stdout.split() == offered


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk")
def test_a_full_disk_below_standard_output_is_told_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lookahead_ref", "info", "--json"],
            check=False,
            env=os.environ | {"PYTHONUNBUFFERED": ""},  # what is kept is not tried again
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "lookahead-ref: [Errno 28] No space left on device\n"


def test_a_warning_is_a_line_without_the_place_in_the_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with reported():
            warnings.warn("3 files passed over", stacklevel=1)
    assert capsys.readouterr().err == "lookahead-ref: warning: 3 files passed over\n"
