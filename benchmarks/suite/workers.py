"""The synchronization of two workers on MPI, compared with its necessary parts."""

import json
import os
import shutil
import subprocess
import sys

from . import settings
from .turns import samples

SYNCHRONIZATION = """
import json, sys, time
import numpy as np
from mpi4py import MPI
import lookahead_ref as la
from lookahead_ref.optimizers.workers import Worker
from lookahead_ref.training.workers import join

size, turns, reduction = int(float(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
comm, team = MPI.COMM_WORLD, join("mpi", reduction)
rng = np.random.default_rng(comm.rank)
params, grads = ({"x": rng.standard_normal(size, np.float32)} for _ in range(2))
outer = la.Nesterov(0.7, 0.9)
both = Worker(la.Lookahead(la.SGD(0.1), 1, outer=outer))
worker, inner, slow = (
    la.Stepper(each, params, backend="numba") for each in (both, la.SGD(0.1), outer)
)
total = {"x": np.empty(size, np.float32)}

def synchronized():
    worker.step(grads)
    worker.step(team.mean([worker.params]))

def alone():
    inner.step(grads)

def needed():
    comm.Allreduce(grads["x"], total["x"])
    slow.step(total)

def timed(run):
    comm.Barrier()
    start = time.perf_counter()
    run()
    comm.Barrier()
    return time.perf_counter() - start

found = [[timed(run) for run in (synchronized, alone, needed)] for _ in range(turns + 2)]
if comm.rank == 0:
    print(json.dumps(found[2:]))
"""


class Synchronization:
    """A synchronization of two ranks, divided by an equal allreduce and an outer step.

    The time of the inner step alone is subtracted from that of a cycle of one step.
    """

    params = ([settings.LARGE], ["ordered", "allreduce"])
    param_names = ("parameters", "reduction")
    unit = "of its time"
    timeout = 600

    def setup(self, parameters, reduction):
        if shutil.which("mpirun") is None:
            raise NotImplementedError("there is no mpirun")

    def track_ratio(self, parameters, reduction):
        free = {
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
            "OMPI_MCA_rmaps_base_oversubscribe": "1",  # Open MPI 4
        }
        order = [parameters, str(settings.TURNS), reduction]
        program = [sys.executable, "-c", SYNCHRONIZATION, *order]
        done = subprocess.run(
            ["mpirun", "-n", "2", *program],
            env={**os.environ, **free},
            check=True,
            capture_output=True,
            text=True,
        )
        turns = json.loads(done.stdout)
        return samples([(whole - inner) / needed for whole, inner, needed in turns])
