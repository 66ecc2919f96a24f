import torch
from holocron.optim.wrapper import Lookahead

w = torch.nn.Parameter(torch.zeros(1))
optimizer = Lookahead(torch.optim.SGD([w], 1.0), sync_rate=1.0, sync_period=1)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
seen = []
for _ in range(3):
    w.grad = -torch.ones(1)  # a step of SGD adds the learning rate: 1, 0.5, 0.25
    optimizer.step()
    scheduler.step()
    seen.append(w.item())
print("expected", [1.0, 1.5, 1.75])
print("got", seen)
