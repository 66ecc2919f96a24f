"""Workers in training: shares of the data, and one outer step."""
import numpy as np, pytest
import lookahead_ref as la
from lookahead_ref.data import load_digits
from lookahead_ref.training import train
from lookahead_ref.zoo import MLP
def test_x():
    o=la.Lookahead(la.Adam(0.01),5,outer=la.Nesterov(0.7,0.9))
    for m in (1,2,3):
        r=train(MLP((64,16,10)),load_digits(),o,seed=0,epochs=3,batch_size=32,workers=m)
        print(m,r.history[-1], r.steps)
