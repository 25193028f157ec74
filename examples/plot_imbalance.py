"""
Imbalanced classes: focal, class-balanced and logit-adjusted losses
===================================================================

Three percent of the samples are positive. What a loss does about that shows in precision and
recall, and in the share of samples that it calls positive.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    precision_recall_curve,
    precision_score,
    recall_score,
)
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_losses import FocalLoss, LogitAdjusted, LossDisplay, SGDClassifierX

# %%
# The data
# --------

X, y = make_classification(
    n_samples=20000,
    n_features=20,
    n_informative=6,
    n_clusters_per_class=2,
    weights=[0.97],
    class_sep=1.0,
    flip_y=0.005,
    random_state=3,
)
X = StandardScaler().fit_transform(X)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
print(f"{100 * y_train.mean():.1f} % of {len(y_train)} training samples are positive")

# %%
# Four remedies
# -------------
# - log loss as it is: probabilities of the data's own mixture;
# - class-balanced log loss: a class weighs ``(1 - beta) / (1 - beta**n)``, its effective number
#   of samples (Cui et al., 2019);
# - focal loss: samples that are classified well count less, and `alpha` weighs the positive
#   class;
# - logit-adjusted loss: the model is trained as if its raw predictions were shifted by the
#   logarithm of the class frequencies, and ranks the classes as if they were equally frequent.

counts = np.bincount(y_train)
beta = 0.9999
effective = (1 - beta) / (1 - beta**counts)
weights = dict(enumerate(effective / effective.mean()))

shared = {
    "optimizer": "adam", "batch_size": 64, "max_iter": 30, "tol": None, "alpha": 1e-5,
    "random_state": 0,
}  # fmt: skip
models = {
    "log loss": SGDClassifierX("log_loss", **shared),
    "class-balanced log loss": SGDClassifierX("log_loss", class_weight=weights, **shared),
    "focal, gamma=2, alpha=0.75": SGDClassifierX(FocalLoss(gamma=2, alpha=0.75), **shared),
    "logit-adjusted": SGDClassifierX(LogitAdjusted(), **shared),
}

print(
    f"{'':<28}{'average':>10}{'precision':>11}{'recall':>9}{'balanced':>10}{'called':>9}{'mean':>9}"
)
print(f"{'':<28}{'precision':>10}{'':>11}{'':>9}{'accuracy':>10}{'positive':>9}{'proba':>9}")
for name, model in models.items():
    y_pred = model.fit(X_train, y_train).predict(X_test)
    proba = model.predict_proba(X_test)[:, 1].mean()
    print(
        f"{name:<28}{average_precision_score(y_test, model.decision_function(X_test)):>10.3f}"
        f"{precision_score(y_test, y_pred):>11.3f}{recall_score(y_test, y_pred):>9.3f}"
        f"{balanced_accuracy_score(y_test, y_pred):>10.3f}{100 * y_pred.mean():>7.1f} %"
        f"{100 * proba:>7.1f} %"
    )

# %%
# The order of the samples hardly changes, but where the threshold falls does. Who can choose a
# threshold on validation data needs none of these; who must take the class as it comes does.
#
# Probabilities are of the data whatever the loss is made to favour: their mean is the share of
# positives, as far as thirty epochs of Adam bring a model there. Weights of classes are another
# matter: they change the data that a model is shown.

figure, ax = plt.subplots(figsize=(5.6, 4), layout="constrained")
colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
for (name, model), colour in zip(models.items(), colours, strict=True):
    precision, recall, _ = precision_recall_curve(y_test, model.decision_function(X_test))
    ax.plot(recall, precision, color=colour, label=name)
    y_pred = model.predict(X_test)
    ax.plot(recall_score(y_test, y_pred), precision_score(y_test, y_pred), "o", color=colour)
ax.set(xlabel="recall", ylabel="precision")
ax.legend(fontsize="small", title="dots: the model's own threshold")
plt.show()

# %%
# The losses
# ----------

LossDisplay.from_losses(["log_loss", FocalLoss(gamma=2), FocalLoss(gamma=5), "brier"])
plt.show()
