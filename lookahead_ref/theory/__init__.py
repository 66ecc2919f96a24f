"""The paper's propositions, executable, on NumPy alone.

`quadratic` is Proposition 1; `noisy_loss` is the model (0.6) and (0.7), `noisy_quadratic`
is Lemma 1 and Proposition 2 for it; `cycles` does the same for momentum inside Lookahead;
`rates` is the convergence rate without noise; `planning` answers how long and with which
hyperparameters.
"""
