"""wkcn's Lookahead for MXNet."""

import pickle

from shared.harness import Case, Unsupported, serve
from shared.sources import module_of

ABOUT = {
    "name": "mxnet",
    "title": "wkcn/LookaheadOptimizer-mx",
    "home": "https://github.com/wkcn/LookaheadOptimizer-mx",
    "revision": "d36ac1d9b4c3",
    "file": "optimizer.py",
    "python": "3.7, with mxnet==1.9.1",
    "when": "in MXNet 1 it works around SGD, LARS and LAMB; around others",
}


class Adapter:
    def __init__(self, data, dtype):
        rules = ["sgd", "heavy-ball", "nesterov", "adam"]
        self.case = case = Case(data, dtype, rules, ["none", "l2"])
        if any(not a.shape for a in case.params.values()):
            raise Unsupported("a scalar parameter, which MXNet 1 has not")
        import mxnet as mx

        found, self.mx, self.steps = module_of(ABOUT), mx, 0
        kind = {"adam": "LookaheadAdam", "nesterov": "LookaheadNAG"}.get(
            case.rule, "LookaheadSGD"
        )
        h = {n: v for n, v in case.h.items() if n != "weight_decay"}
        given = dict(learning_rate=0.1, wd=case.h.get("weight_decay", 0.0), **h)
        self.optimizer = getattr(found, kind)(k=case.k, alpha=case.alpha, **given)
        self.updater = mx.optimizer.get_updater(self.optimizer)  # as gluon's Trainer does
        self.params = {n: mx.nd.array(a, dtype=dtype) for n, a in case.params.items()}

    def step(self, gradients):
        if any(g is None for g in gradients.values()):
            raise Unsupported("a parameter without a gradient")
        self.updater.optimizer.set_learning_rate(self.case.rate(self.steps))
        for index, (name, param) in enumerate(self.params.items()):
            gradient = self.mx.nd.array(gradients[name], dtype=self.case.dtype)
            self.updater(index, gradient, param)
        self.steps += 1

    def fast(self):
        return {n: p.asnumpy() for n, p in self.params.items()}

    def slow(self):
        kept = self.updater.optimizer._lookahead_params
        return [{n: kept[index].asnumpy() for index, n in enumerate(self.params)}]

    def snapshot(self):
        return self.fast(), self.updater.get_states(dump_optimizer=True), self.steps

    def dump(self, state):
        return pickle.dumps(state)

    def load(self, state):
        params, states, self.steps = pickle.loads(state)
        for name, value in params.items():
            self.params[name][:] = value
        self.updater.set_states(states)


if __name__ == "__main__":
    serve("", Adapter)
