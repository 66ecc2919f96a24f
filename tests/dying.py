"""A rank of MPI that may die: RANK and POINT, then the arguments of ``lookahead-ref``."""

import os
import signal
import sys

from killing import DISK, kill_before
from lookahead_ref.cli.app import main
from lookahead_ref.stepping.stepper import Stepper
from lookahead_ref.training import loop

if __name__ == "__main__":
    loop._TURN = 0.0  # all meet after each batch
    rank, point, *arguments = sys.argv[1:]
    how = signal.SIGTERM if rank == "0" and int(point) % 2 else signal.SIGKILL
    if rank in (os.environ.get("OMPI_COMM_WORLD_RANK"), os.environ.get("PMI_RANK")):
        kill_before(int(point), {**DISK, Stepper: ("step",)}, how)
    sys.argv[1:] = arguments
    main()
