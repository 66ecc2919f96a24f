"""The Lookahead of TensorFlow Addons, around Keras's legacy optimizers."""

import pickle

from shared.harness import Case, Unsupported, serve

ABOUT = {
    "name": "tensorflow_addons",
    "title": "tensorflow_addons",
    "home": "https://github.com/tensorflow/addons",
    "package": "tensorflow-addons",
    "python": "3.11, with tensorflow-cpu==2.15.1",
    "tried": "0.23.0",
    "says": "ignores the inner clipping and exclude_from_weight_decay",
    "at_best": "but",
    "clause": "LA-27",
}


class Adapter:
    def __init__(self, data, dtype):
        self.case = case = Case(data, dtype, ["sgd", "heavy-ball", "nesterov", "adam"])
        import tensorflow as tf
        import tensorflow_addons as tfa

        legacy, h = tf.keras.optimizers.legacy, case.h
        if case.rule == "adam":
            inner = legacy.Adam(0.1, h["beta1"], h["beta2"], h["epsilon"])
        else:
            inner = legacy.SGD(0.1, h.get("momentum", 0.0), case.rule == "nesterov")
        self.optimizer = tfa.optimizers.Lookahead(inner, case.k, case.alpha)
        self.vars = {n: tf.Variable(a) for n, a in case.params.items()}
        self.tf, self.steps = tf, 0

    def step(self, gradients):
        if self.case.rule == "adam" and any(g is None for g in gradients.values()):
            raise Unsupported(
                "no gradient around Keras's Adam: it counts all parameters alike"
            )
        given = {
            n: g if g is None else self.tf.constant(g, self.case.dtype)
            for n, g in gradients.items()
        }
        self.optimizer.learning_rate = self.case.rate(self.steps)
        self.optimizer.apply_gradients([(g, self.vars[n]) for n, g in given.items()])
        self.steps += 1

    def fast(self):
        return {n: v.numpy() for n, v in self.vars.items()}

    def slow(self):
        try:
            phi = {n: self.optimizer.get_slot(v, "slow") for n, v in self.vars.items()}
        except KeyError:  # a parameter has a slot from its first gradient on
            return []
        return [{n: each.numpy() for n, each in phi.items()}]

    def snapshot(self):
        return self.fast(), self.optimizer.get_weights(), self.steps

    def dump(self, state):
        return pickle.dumps(state)

    def load(self, state):
        params, weights, self.steps = pickle.loads(state)
        self.optimizer._create_all_weights(list(self.vars.values()))
        for name, value in params.items():
            self.vars[name].assign(value)
        self.optimizer.set_weights(weights)


if __name__ == "__main__":
    serve("", Adapter)
