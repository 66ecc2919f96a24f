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
from typer.testing import CliRunner

import lookahead_ref as la
from commands import called, refused, results, succeeded
from lookahead_ref.cli.app import EXAMPLES, app
from lookahead_ref.cli.terminal import reported
from lookahead_ref.experiments.environment import new_folder

SLOW = re.compile(
    r"lookahead-ref (compare|theory)|lstm|survey|reproduce (fig10|table5)|my-sweep"
    r"|golden generate|conform pure$"
)
"""Examples of commands that others, or other tests, run with less work."""

COMPARE = "compare --seeds 1 --epochs 1 --jobs 1 --optimizer"

HIDE = """
import sys
sys.modules.update(dict.fromkeys({hidden!r}))
from lookahead_ref.cli.app import main
main()
"""


def called_outside(
    line: str, folder: Path, *hidden: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a new process, without some distributions if given."""
    start = ["-c", HIDE.format(hidden=hidden)] if hidden else ["-m", "lookahead_ref"]
    done = subprocess.run(
        [sys.executable, *start, *line.split()],
        cwd=folder,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_version_and_help_go_to_standard_output() -> None:
    assert succeeded("--version").stdout == f"lookahead-ref {la.__version__}\n"
    shown = succeeded("--help").stdout
    for command in ("compare", "train", "info", "theory", "--install-completion"):
        assert command in shown


@pytest.mark.parametrize("command", [command for command in EXAMPLES if command])
def test_help_shows_the_examples(command: str, here: Path) -> None:
    shown = succeeded(command, "--help").stdout
    assert all(example in shown for example in EXAMPLES[command])


@pytest.mark.parametrize("columns", ["60", "80"])
def test_help_needs_nothing_heavy_and_breaks_no_word_in_a_narrow_terminal(
    columns: str, tmp_path: Path
) -> None:
    hidden = ("autograd", "matplotlib", "sklearn", "numba")
    whole = ["--no-evaluate-train", "--statistics-examples", "fashion-mnist:DIR"]
    shown = called_outside("train --help", tmp_path, *hidden, COLUMNS=columns).stdout
    assert all(f" {word}" in shown for word in whole)
    assert "<bool>" not in shown  # a flag takes no value
    shown = called_outside("--help", tmp_path, COLUMNS=columns).stdout
    assert "--install-completion" in shown


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, marks=[pytest.mark.slow] if SLOW.search(line) else [])
        for line in sorted({line for lines in EXAMPLES.values() for line in lines})
        # Adapters need what they adapt: tests/conformance/test_survey.py runs them.
        if "adapters/" not in line
    ],
)
def test_the_examples_of_the_help_work(line: str, here: Path) -> None:
    program, name, *rest = shlex.split(line)
    assert program == "lookahead-ref"
    # No process is started, and an epoch is trained: what is given last counts.
    alone = ["--jobs", "1"] if name in ("reproduce", "sweep") else []
    short = ["--epochs", "1"] if name in ("reproduce", "sweep", "train") else []
    short += ["--seeds", "1"] if name in ("reproduce", "sweep") else []
    assert succeeded(name, *rest, *alone, *short).stdout


def test_in_a_pipe_compare_prints_the_table_and_where_the_folder_is(tmp_path: Path) -> None:
    # Pictures are drawn even with odd settings of Matplotlib.
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    line = f"{COMPARE} adam --output out"
    done = called_outside(line, tmp_path, MPLBACKEND="nonsense")
    assert done.returncode == 0, done.stderr
    assert "Lookahead (Adam)" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("out: report.html")
    assert "2/2 runs" in done.stderr
    assert not re.search("[\x1b\r]", done.stdout + done.stderr)


ALL_OF = """
import sys
from lookahead_ref.cli.app import main
for line in sys.argv.pop().split(" && "):
    sys.argv[1:] = line.split()
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, line
"""


def test_a_terminal_may_lack_characters_and_be_a_notebook_s_shell(tmp_path: Path) -> None:
    lines = "--help && info && conform pure --case smoke-wrapper && theory alpha"
    shell = {"PYTHONIOENCODING": "ascii", "MPLBACKEND": "module://of.a.notebook"}
    command, environment = [sys.executable, "-c", ALL_OF, lines], os.environ | shell
    environment["COLUMNS"] = "30"
    said = subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)
    assert said.isascii()
    assert "2 of 2 checks pass" in " ".join(said.split())


def test_compare_json_is_alone_on_standard_output(here: Path) -> None:
    summary = json.loads(succeeded(f"{COMPARE} adam --seed 3 --json").stdout)
    assert json.loads((here / summary["results"]).read_text())["seeds"] == [3]
    assert "±" not in (here / summary["report"]).read_text()
    assert "one seed says nothing about the spread" in summary["summary"]
    accuracy = summary["validation_accuracy_percent"]["Lookahead (Adam)"]
    assert 0 < accuracy["mean"] <= 100
    assert accuracy["deviation"] is None


@pytest.mark.parametrize(
    "command",
    [
        *("compare --optimizer sgd", "sweep", "reproduce table5", "train"),
        *("theory alpha", "theory rate --points 2"),
    ],
)
def test_a_folder_that_another_run_writes_to_is_refused(command: str, here: Path) -> None:
    with new_folder(here / "out", "any"):
        done = called(command, "--output", "out")
    assert done.exit_code == 2
    assert "another run is writing to out" in done.stderr.splitlines()[-1]
    assert list((here / "out").iterdir()) == []


def test_train_writes_its_folder(here: Path) -> None:
    rate = "--learning-rate 0.5 --schedule step --epochs 2"
    succeeded(f"train --optimizer lookahead-sgd {rate} --output run")
    found = results(here / "run")
    assert len(found["history"]) == 3
    assert "StepDecay(initial=0.5" in found["configuration"]["schedule_made"]
    lines = (here / "run" / "train.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events.count("step_taken") == found["steps"] == 40


def test_train_json_holds_the_final_numbers(here: Path) -> None:
    done = succeeded("train --epochs 1 --json")
    assert json.loads(done.stdout)["final"]["epoch"] == 1
    assert "epoch 1" in done.stderr


def test_info_lists_the_backends_and_why_one_is_not_available(here: Path) -> None:
    found = json.loads(succeeded("info --json").stdout)
    backends = {record["name"]: record for record in found["backends"]}
    assert backends["numpy"]["available"] is True
    assert all(each["available"] or each["reason"] for each in backends.values())
    assert found["versions"]["lookahead-ref"] == la.__version__
    shown = succeeded("info").stdout
    assert all(name in shown for name in backends)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --optimizer adamm", "optimizer must be one of sgd"),
        ("train --optimizer adm", "got 'adm'; did you mean 'adam'?"),
        ("train --data cifar", "data must be one of digits, mnist:DIR"),
        ("train --model vgg", "model must be one of mlp, lstm, awd-lstm"),
        ("train --schedule linear", "schedule must be one of 'constant', 'step', 'short"),
        ("train --learning-rate nan", "learning_rate must be"),
        ("train --model lstm", "model lstm must be given text, as in pydoc; data 'digits'"),
        ("train --dropout 0.5", "dropout is no option of model mlp, got 0.5"),
        ("train --window 9", "window is an option of texts"),
        ("train --optimizer polyak-sgd --model resnet18", "learning_rate must be given"),
        ("train --on-nonfinite hope --output o", "on_nonfinite must be one of"),
        ("train --clip -1", "--clip"),
        ("train --weight-decay-kind l3", "weight_decay_kind must be one of"),
        ("train --resume absent", "resume must be the folder of a run, got absent"),
        ("train --model nowhere:it", "No module named 'nowhere'"),
        ("train --data collections:Counter", "Counter has no name and no train"),
        ("train --learning-rate 1e-60 --output o", "= 1e-60 rounds to 0 in float32"),
        ("train --alpha 1.5", "alpha must be"),
        ("train --outer sgd --alpha 0.5", "alpha and an outer optimizer cannot both be"),
        ("compare --outer adam --alpha 0.5", "alpha and an outer optimizer cannot both be"),
        ("sweep --optimizer snoo-adam --alpha 0.5", "alpha must be a setting of"),
        ("train --batch-size 5000", "batch_size must be from 1 to 1258"),
        ("train --backend atuo", "got 'atuo'; did you mean 'auto'?"),
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
        ("theory outer --workers 0", "--workers"),
        ("theory outer --learning-rate -1", "learning_rate must be >= 0, got -1.0"),
        ("theory outer --k 8 --longest 9", "longest must be at least 16 for this k"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_wrong_command_exits_with_2_and_makes_nothing(
    arguments: str, message: str, here: Path
) -> None:
    done = called(arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert list(here.iterdir()) == []


def test_a_run_that_diverges_fails_with_exit_code_1(here: Path) -> None:
    done = called("train --optimizer sgd --learning-rate 1e20")
    assert done.exit_code == 1
    assert re.search("the loss of .* at step", done.stderr.splitlines()[-1])


def test_a_cycle_that_diverges_has_no_picture(here: Path) -> None:
    message = "the weights diverge: learning_rate must be below 1.758"
    refused(called("theory alpha --learning-rate 1e300"), message, code=1)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("hidden", ["matplotlib", "sklearn"])
def test_without_an_extra_compare_says_what_to_install(hidden: str, tmp_path: Path) -> None:
    done = called_outside("compare", tmp_path, hidden)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pip install 'lookahead-ref[experiments]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("train --optimizer lookahead-ad", ["lookahead-adagrad", "lookahead-adam"]),
        ("train --schedule c", ["constant", "cosine"]),
        ("train --inner-state r", ["reset"]),
        ("compare --backend nump", ["numpy"]),
        ("conform pu", ["pure"]),
        ("conform pure --profile ow", ["own-inner"]),
        ("conform pure --case smoke-r", ["smoke-reset", "smoke-resume"]),
        ("conform --init k", ["keras"]),
    ],
)
def test_the_shell_completes_values(typed: str, offered: list[str]) -> None:
    words = f"lookahead-ref {typed}"
    environment = {
        "_LOOKAHEAD_REF_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = CliRunner().invoke(app, env=environment, prog_name="lookahead-ref")
    assert done.stdout.split() == offered


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk")
def test_a_full_disk_below_standard_output_is_reported_in_one_line() -> None:
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
