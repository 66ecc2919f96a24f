import torch
from holocron.optim.wrapper import Lookahead

w = torch.nn.Parameter(torch.zeros(1))
optimizer = Lookahead(torch.optim.SGD([w], lr=1.0))
print("expected a dictionary")
try:
    print("got", type(optimizer.state_dict()).__name__)
except AttributeError as error:
    print("got AttributeError:", error)
