"""Time to the optimum beside scikit-learn's solvers, for a few problems of ``compare optimum``."""

from .common import SMOKE  # isort: split

from asv_benchmarks.optimum.competitors import FAMILIES, our_competitors
from asv_benchmarks.optimum.problems import PROBLEMS
from asv_benchmarks.optimum.race import QUICK, Limits, race

NAMES = [
    "logistic, dense",
    "logistic, breast cancer, raw",
    "Poisson, one-hot and raw numbers, CSR",
    "lasso, CSR",
    "quantile 0.9, dense",
]


class ToTheOptimum:
    params = NAMES[:1] if SMOKE else NAMES
    param_names = ("problem",)
    unit = "times as fast as scikit-learn's best solver"
    timeout = 600

    def track_ratio_to_sklearn(self, name):
        row = PROBLEMS[name]
        lead = our_competitors()[0]
        peers = [c for c in FAMILIES[row.family] if c.library == "sklearn"]
        limits = QUICK if SMOKE else Limits(repeats=2.0)
        result = race(row.problem(SMOKE), [lead, *peers], limits)
        mine, *theirs = (entry.seconds(result.goal) for entry in result.entries)
        return min(theirs) / mine
