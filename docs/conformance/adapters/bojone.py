"""bojone's Lookahead for Keras 2, which is injected into a model."""

import pickle

from for_keras_lookahead import inner_optimizer
from shared.harness import Case, Unsupported, serve
from shared.sources import module_of

ABOUT = {
    "name": "bojone",
    "title": "bojone/keras_lookahead",
    "home": "https://github.com/bojone/keras_lookahead",
    "revision": "675da97af7e7",
    "file": "lookahead.py",
    "python": "3.7, with keras==2.2.5 tensorflow==1.15.5",
    "says": "inject does nothing after fit or load_model",
}


class Adapter:
    def __init__(self, data, dtype):
        self.case = Case(data, dtype, ["sgd", "heavy-ball", "nesterov"])
        import keras
        import numpy as np
        from keras import backend as K

        K.clear_session()
        K.set_floatx(dtype)
        self.K, self.np, self.steps = K, np, 0
        arrays = self.case.params

        class Weights(keras.layers.Layer):
            def build(self, _):
                self.ours = [
                    self.add_weight(name=n, shape=a.shape, initializer="zeros")
                    for n, a in arrays.items()
                ]
                super().build(_)

            def call(self, given):
                flat = K.concatenate([K.reshape(w, (-1,)) for w in self.ours])
                return K.sum(given * flat, axis=-1, keepdims=True)

        layer = Weights()
        given = keras.layers.Input((sum(a.size for a in arrays.values()),))
        self.model = keras.Model(given, layer(given))
        self.vars = dict(zip(arrays, layer.ours))
        layer.set_weights(list(arrays.values()))
        self.model.compile(inner_optimizer(self.case), loss=lambda _, said: said)
        self.lookahead = module_of(ABOUT).Lookahead(self.case.k, self.case.alpha)
        self.lookahead.inject(self.model)

    def step(self, gradients):
        if any(g is None for g in gradients.values()):
            raise Unsupported("a parameter without a gradient")
        flat = self.np.concatenate([g.ravel() for g in gradients.values()])
        self.K.set_value(self.model.optimizer.lr, self.case.rate(self.steps))
        self.model.train_on_batch(flat[None], self.np.zeros((1, 1)))
        self.steps += 1

    def fast(self):
        return {n: self.K.get_value(v) for n, v in self.vars.items()}

    def snapshot(self):
        return self.fast(), self.model.optimizer.get_weights(), self.steps

    def dump(self, state):
        return pickle.dumps(state)

    def load(self, state):
        params, weights, self.steps = pickle.loads(state)
        for name, value in params.items():
            self.K.set_value(self.vars[name], value)
        self.model.optimizer.set_weights(weights)


if __name__ == "__main__":
    serve("", Adapter)
