"""Figure 9: training loss on the way, for several k and alpha: the runs of Table 5."""

from lookahead_ref.experiments.paper.table5 import find as find
from lookahead_ref.experiments.paper.table5 import plan as plan
