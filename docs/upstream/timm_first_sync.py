import torch
from timm.optim import Lookahead

w = torch.nn.Parameter(torch.tensor([0.0]))
optimizer = Lookahead(torch.optim.SGD([w], lr=1.0), alpha=0.5, k=2)
seen = []
for _ in range(4):
    w.grad = torch.tensor([-1.0])  # each step of SGD adds 1
    optimizer.step()
    seen.append(w.item())
# k = 2: 1, then 0 + 0.5 (2 - 0) = 1; 2, then 1 + 0.5 (3 - 1) = 2
print("expected", [1.0, 1.0, 2.0, 2.0])
print("got", seen)
