"""A rank of MPI that may die: RANK and SECONDS, then the arguments of ``lookahead-ref``."""

import os
import signal
import sys

# All that a run imports, so that it dies while it trains.
import lookahead_ref.experiments.train  # noqa: F401
from lookahead_ref.cli.app import main

rank, seconds, *arguments = sys.argv[1:]
if rank in (os.environ.get("OMPI_COMM_WORLD_RANK"), os.environ.get("PMI_RANK")):
    # Nobody handles this signal, so that it ends the process.
    signal.setitimer(signal.ITIMER_PROF, float(seconds))
sys.argv[1:] = arguments
main()
