"""
What fairness costs
===================

A model that never sees a person's sex may still treat the sexes unlike, as other columns know of
it. How much of that can be taken away, what does it cost, and is it still so for people that the
model has not seen?
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_losses import FairClassifier, FairnessDisplay

# %%
# Who is predicted to be worse off than the median
# ------------------------------------------------
# As many of either sex are, but the model without constraint says so of one sex more often.

X, progression = load_diabetes(return_X_y=True)
sex = np.where(X[:, 1] > 0, "a", "b")
worse = (progression > np.median(progression)).astype(int)
X = np.delete(X, 1, axis=1)
print("worse off:", *(f"{name} {worse[sex == name].mean():.2f}" for name in ("a", "b")))

bounds = np.linspace(0, 1, 5)
constraints = ("demographic_parity", "equal_opportunity")
scratch = Figure().subplots(1, 2)
sums = {}
for constraint in constraints:
    rows = []
    for seed in range(4):
        X_1, X_2, y_1, y_2, s_1, s_2 = train_test_split(
            X, worse, sex, test_size=0.4, stratify=2 * worse + (sex == "a"), random_state=seed
        )
        model = make_pipeline(StandardScaler(), FairClassifier(constraint=constraint))
        seen, unseen = (
            FairnessDisplay.from_estimator(
                model,
                X_1,
                y_1,
                sensitive_features=s_1,
                bounds=bounds,
                ax=scratch,
                **given,
            )
            for given in ({}, {"X_val": X_2, "y_val": y_2, "sensitive_features_val": s_2})
        )
        rows.append([seen.scores, seen.differences, unseen.scores, unseen.differences])
    sums[constraint] = np.mean(rows, axis=0)

# %%
# On people that the model was fitted to, nearly all of the difference goes. On others some of it is
# left: with 177 of them, groups differ by chance too.

for constraint, means in sums.items():
    print()
    print(f"{constraint:<20}{'accuracy':>10}{'difference':>12}{'unseen: accuracy':>18}", end="")
    print(f"{'difference':>12}")
    for bound, row in zip(bounds, means.T, strict=True):
        shown = f"{row[0]:>10.3f}{row[1]:>12.3f}{row[2]:>18.3f}{row[3]:>12.3f}"
        print(f"{f'bound {bound:.2f}':<20}{shown}")

# %%
# The two curves of each constraint:

figure, panels = plt.subplots(2, 2, figsize=(8, 6), layout="constrained")
for axes, (constraint, means) in zip(panels, sums.items(), strict=True):
    name = constraint.replace("_", " ") + " difference"
    FairnessDisplay(bounds, means[0], means[1], name, "accuracy", "fitted to").plot(axes)
    FairnessDisplay(bounds, means[2], means[3], name, "accuracy", "unseen").plot(axes)
plt.show()
