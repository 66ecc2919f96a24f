import torch
from fairscale.experimental.nn.data_parallel import SlowMoDistributedDataParallel as SlowMo

store = torch.distributed.HashStore()
torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
torch.cuda.synchronize = lambda: None  # so that it runs without a GPU
w = torch.nn.Parameter(torch.tensor([8.0]))
how = {"slowmo_frequency": 2, "localsgd_frequency": 2, "slowmo_momentum": 0.0}
net = SlowMo(torch.nn.ParameterList([w]), nprocs_per_node=1, slowmo_lr=0.5, **how)
optimizer = torch.optim.SGD([w], lr=1.0)
for _ in range(2):  # 7, then 6: half of the way from 8 is 7
    w.grad = torch.tensor([1.0])
    optimizer.step()
    net.perform_slowmo(optimizer)
print("expected", 7.0, "got", w.item())
