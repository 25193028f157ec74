"""
The same model in PyTorch, with our loss
========================================

`as_torch` makes a ``torch.nn.Module`` of any loss: its forward and backward pass run the compiled
kernels. A linear model trained in PyTorch with it ends where `SGDRegressorX` ends.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from sklearn_losses import GeneralRobust, SGDRegressorX, as_torch

try:
    import torch
except ImportError:
    torch = None
    print("Note: PyTorch is not installed; only the scikit-learn part runs.")

# %%
# In scikit-learn
# ---------------
# A robust loss that PyTorch does not have, on standardised data.

X, y = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(X)
y = (y - y.mean()) / y.std()
loss = GeneralRobust(alpha=0.5, c=1.0)
ours = SGDRegressorX(loss, alpha=0.0, optimizer="lbfgs", tol=1e-10).fit(X, y)

# %%
# In PyTorch
# ----------
# The module takes raw predictions and targets, in the order of torch's own losses.

if torch is not None:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # so few samples are not worth a second one
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)
    linear = torch.nn.Linear(X.shape[1], 1, dtype=torch.float64)
    criterion = as_torch(loss)
    optimizer = torch.optim.Adam(linear.parameters(), lr=0.05)
    curve = []
    for _ in range(600):
        optimizer.zero_grad()
        value = criterion(linear(inputs)[:, 0], targets)
        value.backward()
        optimizer.step()
        curve.append(value.item())
    theirs = linear.weight.detach().numpy()[0]
    print(f"loss: {loss(y, ours.predict(X)):.9f} here, {curve[-1]:.9f} in PyTorch")
    print(f"largest difference of a coefficient: {np.abs(theirs - ours.coef_).max():.1e}")

# %%
# The coefficients
# ----------------

figure, ax = plt.subplots(figsize=(5.5, 2.8), layout="constrained")
at = np.arange(X.shape[1])
ax.bar(at - 0.2, ours.coef_, width=0.4, color="#0072B2", label="SGDRegressorX")
if torch is not None:
    ax.bar(
        at + 0.2, theirs, width=0.4, color="#D55E00", label="torch.nn.Linear with as_torch(loss)"
    )
ax.set(xlabel="feature", ylabel="coefficient (standard deviations)", xticks=at)
ax.legend(fontsize="small", loc="upper left")
plt.show()

# %%
# A network
# ---------
# Nothing changes with layers in between: the gradient goes on through them.

if torch is not None:
    network = torch.nn.Sequential(
        torch.nn.Linear(X.shape[1], 16, dtype=torch.float64),
        torch.nn.Tanh(),
        torch.nn.Linear(16, 1, dtype=torch.float64),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    first = criterion(network(inputs)[:, 0], targets).item()
    for _ in range(300):
        optimizer.zero_grad()
        value = criterion(network(inputs)[:, 0], targets)
        value.backward()
        optimizer.step()
    print(f"a network's training loss goes from {first:.3f} to {value.item():.3f}")
