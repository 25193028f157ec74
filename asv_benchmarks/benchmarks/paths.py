"""Paths of alpha, and searches along them, beside scikit-learn: some tasks of ``compare paths``."""

from .common import SMOKE  # isort: split

from asv_benchmarks.paths import measure, tasks

NAMES = [
    "lasso path, diabetes",
    "lasso, 5 folds, wide",
    "lasso, 5 folds, words",
    "ridge, 5 folds, tall",
]


class Paths:
    params = NAMES[:1] if SMOKE else NAMES
    param_names = ("task",)
    unit = "times as fast as scikit-learn"
    timeout = 600

    def track_ratio_to_sklearn(self, name):
        task, peers = next((task, peers) for found, task, peers in tasks() if found == name)
        ours, theirs = measure(task, peers[:1], 1 if SMOKE else 5)
        return theirs[2] / ours[2]
