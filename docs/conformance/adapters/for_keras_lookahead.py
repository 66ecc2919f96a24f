"""CyberZHG's Lookahead for Keras 2: the package keras-lookahead."""

import pickle

from shared.harness import Case, Unsupported, serve

ABOUT = {
    "name": "keras-lookahead",
    "title": "keras-lookahead",
    "home": "https://github.com/CyberZHG/keras-lookahead",
    "package": "keras-lookahead",
    "python": "3.7, with keras==2.2.5 tensorflow==1.15.5",
    "says": "with tf.keras fast and slow weights differ after a synchronization; "
    "with Keras 2.3.1 it synchronizes at random steps",
    "at_best": "wrong",
    "clause": "LA-7",
    "tried": "0.9.0",
    "when": "with Keras 2.2.5",
}


def inner_optimizer(case):
    """Return Keras's own; its Adam reads the count as late or early as the graph runs."""
    from keras import optimizers

    momentum = case.h.get("momentum", 0.0)
    return optimizers.SGD(0.1, momentum, nesterov=case.rule == "nesterov")


class Adapter:
    def __init__(self, data, dtype):
        self.case = Case(data, dtype, ["sgd", "heavy-ball", "nesterov"])
        from keras import backend as K
        from keras_lookahead import Lookahead

        K.clear_session()
        K.set_floatx(dtype)
        self.K, self.steps = K, 0
        self.vars = {n: K.variable(a) for n, a in self.case.params.items()}
        grads = [K.placeholder(a.shape) for a in self.case.params.values()]
        params = list(self.vars.values())
        loss = sum(K.sum(p * g) for p, g in zip(params, grads))
        self.optimizer = Lookahead(inner_optimizer(self.case), self.case.k, self.case.alpha)
        updates = self.optimizer.get_updates(loss, params)
        self.train = K.function(grads, [loss], updates)

    def step(self, gradients):
        if any(g is None for g in gradients.values()):
            raise Unsupported("a parameter without a gradient")
        self.K.set_value(self.optimizer.lr, self.case.rate(self.steps))
        self.train(list(gradients.values()))
        self.steps += 1

    def fast(self):
        return {n: self.K.get_value(v) for n, v in self.vars.items()}

    def slow(self):
        phi = self.optimizer.weights[-len(self.vars) :]
        return [{n: self.K.get_value(v) for n, v in zip(self.vars, phi)}]

    def snapshot(self):
        return self.fast(), self.optimizer.get_weights(), self.steps

    def dump(self, state):
        return pickle.dumps(state)

    def load(self, state):
        params, weights, self.steps = pickle.loads(state)
        for name, value in params.items():
            self.K.set_value(self.vars[name], value)
        self.optimizer.set_weights(weights)


if __name__ == "__main__":
    serve("", Adapter)
