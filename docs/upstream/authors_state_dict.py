import torch
from lookahead_pytorch import Lookahead


def run(steps, w, state=None):
    optimizer = Lookahead(torch.optim.SGD([w], 1.0), la_steps=4, la_alpha=0.5)
    optimizer.load_state_dict(state or optimizer.state_dict())
    for _ in range(steps):
        w.grad = -torch.ones(1)  # each step of SGD adds 1
        optimizer.step()
    return w, optimizer.state_dict()


whole, halves = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
print("expected", run(8, whole)[0].item(), "got", run(2, *run(6, halves))[0].item())
