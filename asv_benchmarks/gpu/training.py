"""The training that is timed: ours, and the same in PyTorch."""

import sklearn_losses as sl

ALPHA = 1e-5


def made(loss, batch, epochs):
    """An estimator that makes so many epochs of Adam, whatever happens."""
    estimator = sl.SGDRegressorX if loss == "squared_error" else sl.SGDClassifierX
    return estimator(
        loss,
        optimizer="adam",
        learning_rate="constant",
        eta0=1e-3,
        alpha=ALPHA,
        batch_size=batch,
        max_iter=epochs,
        tol=None,
        random_state=0,
        n_jobs=-1,
    )


def torch_training(torch, X, y, loss, batch, graph):
    """``run(epochs)`` of the same training in PyTorch, written to be fast: samples in an order that
    is made beforehand, a fused Adam, no wait for the device before the end, and with `graph` a
    whole step replayed from a CUDA graph. Tensors of any device."""
    n, d = X.shape
    functions = torch.nn.functional
    measure = {
        "log_loss": functions.binary_cross_entropy_with_logits,
        "squared_error": lambda raw, y: 0.5 * functions.mse_loss(raw, y),
    }[loss]
    order = torch.randperm(n, device=X.device)
    batch = min(batch, n)

    def run(epochs):
        w = torch.zeros(d, device=X.device, requires_grad=True)
        b = torch.zeros((), device=X.device, requires_grad=True)
        weights = [{"params": [w], "weight_decay": ALPHA}, {"params": [b]}]
        adam = torch.optim.Adam(weights, lr=1e-3, fused=True, capturable=graph)
        total = torch.zeros((), device=X.device)

        def step(rows):
            adam.zero_grad(set_to_none=True)
            value = measure(X[rows] @ w + b, y[rows])
            value.backward()
            adam.step()
            total.add_(value.detach() * len(rows))

        replay = None
        if graph:
            static = order[:batch].clone()
            # The warm-up that capture needs: on a stream of its own, before the first epoch.
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    step(static)
            torch.cuda.current_stream().wait_stream(side)
            replay = torch.cuda.CUDAGraph()
            with torch.cuda.graph(replay):
                step(static)
        for _ in range(epochs):
            total.zero_()
            for start in range(0, n, batch):
                rows = order[start : start + batch]
                if replay is not None and len(rows) == batch:
                    static.copy_(rows)
                    replay.replay()
                else:
                    step(rows)
        return w.detach().cpu(), float(total) / n

    return run
