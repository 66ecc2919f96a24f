import paddle

w = paddle.create_parameter(
    [1], "float32", default_initializer=paddle.nn.initializer.Constant(0.0)
)
sgd = paddle.optimizer.SGD(1.0, parameters=[w])
optimizer = paddle.incubate.LookAhead(sgd, alpha=0.5, k=2)
seen = []
for _ in range(4):
    w.grad = paddle.to_tensor([-1.0])  # each step of SGD adds 1
    optimizer.step()
    seen.append(w.item())
# k = 2: 1, then 0 + 0.5 (2 - 0) = 1; 2, then 1 + 0.5 (3 - 1) = 2
print("expected", [1.0, 1.0, 2.0, 2.0])
print("got", seen)
