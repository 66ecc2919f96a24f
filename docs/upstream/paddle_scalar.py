import paddle

w = paddle.create_parameter(
    [], "float32", default_initializer=paddle.nn.initializer.Constant(0.0)
)
sgd = paddle.optimizer.SGD(1.0, parameters=[w])
optimizer = paddle.incubate.LookAhead(sgd)
w.grad = paddle.to_tensor(1.0)
optimizer.step()
print("expected shape", [])
print("got shape", w.shape)
