"""A rank of MPI that may die: RANK and POINT, then the arguments of ``lookahead-ref``."""

import os
import sys
from pathlib import Path

from killing import Killer
from lookahead_ref.cli.app import main
from lookahead_ref.stepping.stepper import Stepper

if __name__ == "__main__":
    rank, point, *arguments = sys.argv[1:]
    if rank in (os.environ.get("OMPI_COMM_WORLD_RANK"), os.environ.get("PMI_RANK")):
        kill = Killer(int(point))
        kill.watch(Stepper, "step")
        kill.watch(os, "fsync")
        kill.watch(Path, "replace")
    sys.argv[1:] = arguments
    main()
