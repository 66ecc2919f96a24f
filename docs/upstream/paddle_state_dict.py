import paddle

w = paddle.create_parameter(
    [1], "float32", default_initializer=paddle.nn.initializer.Constant(0.0)
)
sgd = paddle.optimizer.SGD(1.0, parameters=[w])
optimizer = paddle.incubate.LookAhead(sgd, k=5)
for _ in range(3):
    w.grad = paddle.to_tensor([1.0])
    optimizer.step()
# Loaded into a new optimizer, the third step of the cycle becomes the first.
print("expected the number of steps, 3, beside the slow weights")
print("got", sorted(str(key) for key in optimizer.state_dict()))
