"""Training steps of models, as a share of the time that PyTorch takes for them."""

from importlib.util import find_spec

from lookahead_ref.experiments.steps import PYTORCH, race_work
from lookahead_ref.experiments.works import WORKS

from .cases import BACKENDS


class OfPyTorch:
    """Forward, backward and update, taking turns with PyTorch's."""

    params = (list(WORKS), BACKENDS)
    param_names = ("work", "backend")
    timeout = 600
    rounds = 15

    def setup(self, work, backend):
        if find_spec("torch") is None:
            raise NotImplementedError("PyTorch is not installed")

    def track_step(self, work, backend):
        measured = race_work(WORKS[work], [backend], rounds=self.rounds)
        median, _, _ = measured.ratio(backend, list(PYTORCH))
        return median

    track_step.unit = "of PyTorch's time"
