from unittest.mock import create_autospec

import torch
from torchft.local_sgd import DiLoCo
from torchft.manager import Manager

model = torch.nn.ParameterList([torch.tensor(1.0)])  # a scale, a temperature
inner, outer = (torch.optim.SGD(model, lr=1.0) for _ in range(2))
print("expected a DiLoCo of a scalar parameter")
try:
    DiLoCo(create_autospec(Manager, _use_async_quorum=False), [model], inner, outer, 2)
    print("got one")
except TypeError as error:
    print("got TypeError:", str(error).partition(",")[0])
