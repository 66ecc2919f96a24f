import torch
from pytorch_optimizer import Lookahead

w = torch.nn.Parameter(torch.zeros(1))
adam = torch.optim.Adam([w], lr=1.0, betas=(0.5, 0.999))
optimizer = Lookahead(adam, k=1, alpha=0.5, pullback_momentum="reset")
w.grad = torch.ones(1)
optimizer.step()  # a synchronization, which is to reset Adam's momentum
print("expected exp_avg", 0.0)
print("got exp_avg", adam.state[w]["exp_avg"].item())
print("got entries", sorted(adam.state[w]))
