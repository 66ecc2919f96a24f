"""Workers that are ranks of MPI: the bits of one process, and how they end."""

import os
import random
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from commands import outcome, results, succeeded

MPIRUN = shutil.which("mpirun", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
PYTHON = [sys.executable, "-m", "lookahead_ref"]
DYING = [sys.executable, str(Path(__file__).parents[1] / "dying.py")]
TRAIN = ["train", "--epochs", "2", "--batch-size", "40", "--k", "4", "--seed", "3"]
OUTER = ["--optimizer", "snoo-adam", "--inner-state", "interpolate"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        MPIRUN is None or find_spec("mpi4py") is None,
        reason="there is no mpirun or no mpi4py: the extra mpi, and openmpi or mpich",
    ),
]


def mpirun(*ranks: list[str], cwd: Path | None = None) -> Any:
    """Start a command on each rank, all of them workers of one run."""
    words: list[str] = []
    for rank in ranks:
        own = [] if "--workers" in rank else ["--workers", "mpi"]
        words += [":", "-n", "1", *rank, *own]
    free = {  # of Open MPI: as root, and with more ranks than cores
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",  # Open MPI 4
    }
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [str(MPIRUN), *words[1:]],
        env={**os.environ, **free, **one_thread},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def failure(done: Any) -> str:
    """The one line that a command which failed has to say itself, of all ranks."""
    assert done.returncode != 0
    lines = done.stderr.splitlines()
    (said,) = (line for line in lines if line.startswith(("lookahead-ref: ", "Traceback")))
    return str(said)


@pytest.mark.parametrize(("count", "backend"), [(2, "numba"), (3, "numpy")])
def test_ranks_leave_what_one_process_leaves(
    count: int, backend: str, tmp_path: Path
) -> None:
    run = [*TRAIN, *OUTER, "--backend", backend]
    succeeded(shlex.join(run), "--workers", str(count), "--output", str(tmp_path / "one"))
    on_ranks = [*PYTHON, *run, "--output", str(tmp_path / "ranks")]
    done = mpirun(*[on_ranks] * count)
    assert done.returncode == 0, done.stderr
    assert outcome(tmp_path / "ranks") == outcome(tmp_path / "one")
    assert done.stdout.count("validation accuracy") == 1


def test_mpis_own_sum_differs_by_rounding_at_most(tmp_path: Path) -> None:
    weights = {}
    for reduction in ("ordered", "allreduce"):
        folder = str(tmp_path / reduction)
        run = [*PYTHON, *TRAIN, *OUTER, "--reduction", reduction, "--output", folder]
        assert mpirun(*[run] * 3).returncode == 0
        weights[reduction] = load_file(tmp_path / reduction / "final.safetensors")
    for name, array in weights["ordered"].items():
        np.testing.assert_allclose(array, weights["allreduce"][name], rtol=1e-2, atol=1e-3)


def test_killed_at_random_moments_a_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    run = [*TRAIN, *OUTER, "--epochs", "8", "--checkpoint-every", "3"]
    succeeded(shlex.join(run), "--workers", "2", "--output", str(tmp_path / "one"))
    expected = outcome(tmp_path / "one")
    rng = random.Random(1)
    codes, runs = list[int](), 0
    while len(codes) < 20:
        folder = tmp_path / str(runs)
        arguments = [*run, "--output", str(folder)]
        for _ in range(5):
            who, point = str(rng.randrange(2)), str(rng.randrange(1, 150))
            done = mpirun(*[[*DYING, who, point, *arguments]] * 2)
            if done.returncode == 0:
                break
            codes.append(done.returncode)
            if (folder / "run.json").exists():
                arguments = ["train", "--resume", str(folder)]
        else:
            # One process can go on with it, too.
            succeeded(shlex.join(arguments), "--workers", "2")
        assert outcome(folder) == expected
        runs += 1
    assert 0 < codes.count(143) < 20  # some were asked to stop


JOBS = [
    ["compare", "--optimizer", "sgd", "--seeds", "1"],
    ["sweep", "--optimizer", "snoo-sgd", "--k", "4", "--k", "5"],
]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job[0])
def test_many_runs_on_ranks_have_the_results_of_one_process(
    job: list[str], tmp_path: Path
) -> None:
    job = [*job, "--epochs", "1", "--hidden", "8"]
    succeeded(shlex.join(job), "--workers", "2", "--output", str(tmp_path / "one"))
    on_ranks = [*PYTHON, *job, "--output", str(tmp_path / "ranks")]
    done = mpirun(*[on_ranks] * 2)
    assert done.returncode == 0, done.stderr
    one, ranks = (results(tmp_path / name) for name in ("one", "ranks"))
    assert one.pop("timing") != ranks.pop("timing")
    # Open MPI may bind ranks to cores.
    assert one.pop("machine").keys() == ranks.pop("machine").keys()
    assert one == ranks
    said = failure(mpirun(*[[*on_ranks, "--jobs", "2"]] * 2))
    assert "workers mpi cannot be given with jobs or scheduler, got 2" in said


FAULTY = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
import lookahead_ref as la
from lookahead_ref.training import RunEnded
from lookahead_ref.training.loop import train
from lookahead_ref.zoo import MLP
from toys import clouds

def told(event):
    if isinstance(event, RunEnded):
        print("told:", event.error, flush=True)

data = clouds()
data.train.inputs[1::2] = np.nan  # what rank 1 has
optimizer = la.Lookahead(la.SGD(0.1), 3)
run = dict(seed=3, epochs=1, batch_size=4, evaluate_train=False)
train(MLP((2, 2)), data, optimizer, workers="mpi", callbacks=[told], **run)
"""


def test_callbacks_receive_a_fault_on_another_rank() -> None:
    code = FAULTY.format(tests=str(Path(__file__).parents[1]))
    done = mpirun(*[[sys.executable, "-m", "mpi4py", "-c", code]] * 2)
    assert done.returncode != 0
    (message,) = [line for line in done.stdout.splitlines() if line.startswith("told: ")]
    assert message.removeprefix("told: ") in done.stderr
    assert "epoch 1" in message


# Bad input.


UNLIKE = r"learning_rate must be the same on all ranks, got 0.1 on rank 0 and 0.2 on rank 1"


@pytest.mark.parametrize(
    ("ranks", "error"),
    [
        ([[], ["--workers", "2"]], "workers must be mpi under mpirun with 2 ranks"),
        ([["--learning-rate", "0.1"], ["--learning-rate", "0.2"]], UNLIKE),
        ([["--optimizer", "adam"]] * 2, "workers must be 1 with optimizer adam"),
        ([["--batch-size", "700"]] * 2, "workers must be few enough for each to have"),
        ([["--on-nonfinite", "skip"]] * 2, "on_nonfinite must be 'stop'"),
        ([["--output", "one"]] * 2, "output must be a new or empty folder, got one"),
    ],
)
def test_an_error_is_reported_once_and_ends_all_ranks(
    ranks: Any, error: str, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "file").touch()
    done = mpirun(*[[*PYTHON, *TRAIN, *each] for each in ranks], cwd=tmp_path)
    assert error in failure(done)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_file_that_one_rank_does_not_see_ends_all(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a b c\n" * 40)
    more = ["--model", "lstm", "--data", "text:text.txt", "--hidden", "4"]
    run = [*PYTHON, *TRAIN, *more, "--output", str(tmp_path / "run")]
    (tmp_path / "elsewhere").mkdir()
    done = mpirun(run, ["--wdir", str(tmp_path / "elsewhere"), *run], cwd=tmp_path)
    assert "text.txt" in failure(done)
    assert not (tmp_path / "run").exists()


def test_another_number_of_ranks_cannot_continue(tmp_path: Path) -> None:
    succeeded(shlex.join(TRAIN), "--workers", "2", "--output", str(tmp_path / "run"))
    before = outcome(tmp_path / "run")
    done = mpirun(*[[*PYTHON, "train", "--resume", str(tmp_path / "run")]] * 3)
    assert failure(done) == "lookahead-ref: workers must be 2, as in the run, got 3"
    assert outcome(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("state", "before"),
    [
        ("not initialized", "import mpi4py; mpi4py.rc.initialize = False"),
        ("finalized", "from mpi4py import MPI; MPI.Finalize()"),
    ],
)
def test_mpi_must_be_there_to_be_used(state: str, before: str) -> None:
    code = f"{before}; from lookahead_ref.training.workers import join; join('mpi')"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"workers mpi needs an initialized MPI, and it is {state}" in done.stderr
