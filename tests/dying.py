"""A rank of MPI that may die: RANK and POINT, then the arguments of ``lookahead-ref``."""

import os
import sys

from killing import DISK, kill_before
from lookahead_ref.cli.app import main
from lookahead_ref.stepping.stepper import Stepper

if __name__ == "__main__":
    rank, point, *arguments = sys.argv[1:]
    if rank in (os.environ.get("OMPI_COMM_WORLD_RANK"), os.environ.get("PMI_RANK")):
        kill_before(int(point), {**DISK, Stepper: ("step",)})
    sys.argv[1:] = arguments
    main()
