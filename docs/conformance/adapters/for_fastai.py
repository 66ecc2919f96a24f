"""The Lookahead of fastai, around fastai's own optimizers."""

import copy
import io

import torch

from lookahead_ref.conformance.protocol import UnsupportedError

ABOUT = {
    "name": "fastai",
    "title": "fastai",
    "home": "https://github.com/fastai/fastai",
    "package": "fastai",
    "tried": "2.8.12",
    "says": "a state that was loaded cannot be loaded again",
}
SLOTS = {
    "heavy-ball": {"grad_avg": "velocity"},
    "adam": {"grad_avg": "first_moment", "sqr_avg": "second_moment"},
}


def made(optimizer, params, inner):
    """Make fastai's own inner optimizer."""
    h, decoupled = inner.hyperparameters, inner.weight_decay_kind == "decoupled"
    given = dict(lr=inner.learning_rate[0], mom=h.get("momentum", h.get("beta1", 0.0)),
                 wd=h.get("weight_decay", 0.0), decouple_wd=decoupled)  # fmt: skip
    if inner.rule == "adam":
        return optimizer.Adam(params, sqr_mom=h["beta2"], eps=h["epsilon"], **given)
    return optimizer.SGD(params, **given)


class Adapter:
    def start(self, setup):
        setup.only(rules=["sgd", "heavy-ball", "adam"], inner_states=["maintain"])
        from fastai import optimizer

        (level,) = setup.levels
        arrays = setup.params.items()
        self.params = {n: torch.nn.Parameter(torch.tensor(a)) for n, a in arrays}
        self.inner = made(optimizer, list(self.params.values()), setup.inner)
        self.optimizer = optimizer.Lookahead(self.inner, level.k, level.alpha[0])
        self.names = SLOTS.get(setup.inner.rule, {})
        self.rate, self.steps = setup.inner.learning_rate_at, 0

    def step(self, gradients):
        for name, param in self.params.items():
            found = gradients[name]
            param.grad = None if found is None else torch.tensor(found)
        self.optimizer.set_hyper("lr", self.rate(self.steps))
        self.optimizer.step()
        self.steps += 1

    def fast(self):
        return {name: param.detach().numpy() for name, param in self.params.items()}

    def slow(self):
        (phi,) = self.optimizer.slow_weights
        return [{n: p.numpy() for n, p in zip(self.params, phi, strict=True)}]

    def slots(self):
        states = {n: self.inner.state.get(p, {}) for n, p in self.params.items()}
        return {
            ours: {n: state[theirs].numpy() for n, state in states.items()}
            for theirs, ours in self.names.items()
            if all(theirs in state for state in states.values())
        }

    def evaluation(self):
        raise UnsupportedError("there is nothing to evaluate the slow weights with")

    def snapshot(self):
        return copy.deepcopy((self.params, self.optimizer.state_dict(), self.steps))

    def dump(self, snapshot):
        buffer = io.BytesIO()
        torch.save(snapshot, buffer)
        return buffer.getvalue()

    def load(self, state):
        params, saved, self.steps = torch.load(io.BytesIO(state), weights_only=False)
        for name, param in self.params.items():
            param.data.copy_(params[name])
        self.optimizer.load_state_dict(saved)
