"""The authors' Lookahead for TensorFlow 1, whose alpha works in float32 alone."""

import pickle

from shared.harness import Case, Unsupported, serve
from shared.sources import module_of

ABOUT = {
    "name": "authors-tensorflow",
    "title": "The authors' in TensorFlow",
    "home": "https://github.com/michaelrzhang/lookahead",
    "revision": "c4fd85f73cda",
    "file": "lookahead_tensorflow.py",
    "python": "3.7, with tensorflow==1.15.5",
    "read": ["phi-starts-at-zero", "period-plus-one"],
}
RULES = ["sgd", "heavy-ball", "nesterov", "adam"]
SLOTS = {"momentum": "velocity", "m": "first_moment", "v": "second_moment"}


class Adapter:
    def __init__(self, data, dtype):
        import tensorflow.compat.v1 as tf

        case = Case(data, dtype, RULES, dtypes=["float32"])
        if not case.h.get("momentum", 1):
            raise Unsupported("a momentum of 0")
        self.case, self.steps, graph = case, 0, tf.Graph()
        with graph.as_default():
            self.rate = tf.placeholder(tf.float32, [])
            self.vars = {n: tf.Variable(a, name=n) for n, a in case.params.items()}
            shapes = {n: a.shape for n, a in case.params.items()}
            self.grads = {n: tf.placeholder(tf.float32, s) for n, s in shapes.items()}
            self.inner = self.made(tf, case)
            self.outer = module_of(ABOUT).Lookahead(self.inner, case.k, case.alpha)
            pairs = [(self.grads[n], v) for n, v in self.vars.items()]
            self.train = self.outer.apply_gradients(pairs)
            self.all = {v.name: v for v in tf.global_variables()}  # what a Saver saves
            self.session = tf.Session(graph=graph)
            self.session.run(tf.global_variables_initializer())

    def made(self, tf, case):
        if case.rule == "sgd":
            return tf.train.GradientDescentOptimizer(self.rate)
        if case.rule == "adam":
            betas = case.h["beta1"], case.h["beta2"]
            return tf.train.AdamOptimizer(self.rate, *betas, epsilon=case.h["epsilon"])
        mu, nesterov = case.h["momentum"], case.rule == "nesterov"
        return tf.train.MomentumOptimizer(self.rate, mu, use_nesterov=nesterov)

    def step(self, gradients):
        if any(g is None for g in gradients.values()):
            raise Unsupported("a parameter without a gradient")
        fed = {self.grads[n]: g for n, g in gradients.items()}
        self.session.run(self.train, {**fed, self.rate: self.case.rate(self.steps)})
        self.steps += 1

    def fast(self):
        return self.session.run(self.vars)

    def slow(self):
        phi = {n: self.outer.get_slot(v, "cached_params") for n, v in self.vars.items()}
        return [self.session.run(phi)]

    def slots(self):
        return {
            SLOTS[name]: self.session.run(
                {n: self.inner.get_slot(v, name) for n, v in self.vars.items()}
            )
            for name in self.inner.get_slot_names()
            if name in SLOTS
        }

    def snapshot(self):
        return self.session.run(self.all), self.steps

    def dump(self, state):
        return pickle.dumps(state)

    def load(self, state):
        values, self.steps = pickle.loads(state)
        for name, variable in self.all.items():
            variable.load(values[name], self.session)


if __name__ == "__main__":
    serve("", Adapter)
