"""Few passes over the data without tuning: ``python -m asv_benchmarks.compare streams``.

For each problem the objective's gap that is left after 1, 3 and 10 epochs, over that of the best
constant: of `ImplicitAdaGrad` with all defaults; of plain SGD with the best of 16 constant rates,
for each number of epochs, in the coordinates that this library steps in and in the columns' own
units; of "adagrad" and "adam" with their defaults; and of vowpalwabbit's defaults, where it is
installed (its losses are fewer). Every second problem, from the first, is one on which the
defaults were chosen; the others are held out. ``--data FOLDER`` adds the problems whose data the
folder has, as ``asv_benchmarks.optimizers`` names them.
"""

import warnings

import numpy as np
from scipy import sparse
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from asv_benchmarks.optimizers import housing, mnist, sms
from sklearn_losses import SGDClassifierX, SGDRegressorX, get_loss

EPOCHS = (1, 3, 10)
RATES = np.geomspace(1e-5, 10.0, 16)  # of SGD in coordinates of like size
RAW_RATES = np.geomspace(1e-14, 10.0, 16)  # and in the columns' own units
CLASSIFICATION = ("log_loss", "hinge")
# Where vowpalwabbit's 18 bits hold the intercept, as its `--audit` shows; and its losses.
VW_CONSTANT = 116060
VW = {
    "squared_error": "squared",
    "log_loss": "logistic",
    "hinge": "hinge",
    "poisson": "poisson",
    "quantile": "quantile --quantile_tau {quantile}",
}


def one_hot(rng, n=20000):
    """Four factors in 110 columns, and five numbers as they are counted; a log-linear signal."""
    sizes = (60, 30, 15, 5)
    factors = [rng.randint(size, size=n) for size in sizes]
    columns = [
        sparse.csr_matrix((np.ones(n), (np.arange(n), f)), shape=(n, size))
        for f, size in zip(factors, sizes, strict=True)
    ]
    numbers = np.column_stack(
        [
            rng.lognormal(10, 1, n),
            rng.uniform(18, 80, n),
            rng.poisson(2, n) * 1000.0,
            rng.uniform(0, 1e-3, n),
            rng.randint(0, 2, n),
        ]
    )
    signal = 0.3 * rng.randn(60)[factors[0]] + 0.2 * rng.randn(30)[factors[1]]
    signal += 0.01 * numbers[:, 1] - 0.3 * numbers[:, 4] + 0.2 * (np.log(numbers[:, 0]) - 10) - 1
    return sparse.hstack([*columns, sparse.csr_matrix(numbers)]).tocsr(), signal


def problems(folder=None):
    """(name, loss, its parameters, X, y, alpha), those to choose by and those held out in turn."""
    rng = np.random.RandomState(0)
    diabetes, progress = datasets.load_diabetes(return_X_y=True, scaled=False)
    cancer, benign = datasets.load_breast_cancer(return_X_y=True)
    digits, digit = datasets.load_digits(return_X_y=True)
    houses = texts = pixels = None
    if folder is not None:
        houses, dollars = housing(folder)
        texts, spam = sms(folder)
        counts = CountVectorizer(ngram_range=(1, 2), min_df=2).fit_transform(texts).astype(float)
        tf_idf = TfidfVectorizer(min_df=2).fit_transform(texts)
        pixels, number = (array[:5000] for array in mnist(folder))
    yield "diabetes, in dollars", "squared_error", {}, diabetes, progress * 1000, 1e-6
    if houses is not None:
        yield "housing, raw", "squared_error", {}, houses, dollars, 1e-6
        yield "SMS, counts", "log_loss", {}, counts, spam, 1e-5
    yield "breast cancer, raw", "log_loss", {}, cancer, benign, 1e-4
    mixed, signal = one_hot(rng)
    claims = rng.poisson(np.exp(signal)).astype(float)
    yield "one-hot and numbers, CSR", "poisson", {}, mixed, claims, 1e-6
    X = rng.lognormal(0, 1, (10000, 12)) * 10.0 ** rng.uniform(-3, 3, 12)
    cost = 0.1 * (np.log(X) - np.log(X).mean(axis=0)) @ rng.randn(12)
    yield "skewed columns", "gamma", {}, X, np.exp(cost) * rng.gamma(2, 0.5, 10000), 1e-6
    if houses is not None:
        yield "housing, raw", "quantile", {"quantile": 0.9}, houses, dollars, 1e-6
        yield "SMS, TF-IDF", "hinge", {}, tf_idf, spam, 1e-4
    X = rng.randn(10000, 5) @ rng.randn(5, 30) + 0.1 * rng.randn(10000, 30)
    y = X @ rng.randn(30) + rng.randn(10000)
    yield "correlated columns", "squared_error", {}, X, y, 1e-6
    X = rng.standard_t(2.5, (10000, 20))
    y = X @ rng.randn(20) / 3 + rng.logistic(size=10000) > 0
    yield "heavy tails", "log_loss", {}, X, y, 1e-6
    X = rng.randn(20000, 20)
    y = rng.rand(20000) < 1 / (1 + np.exp(5 - 0.4 * X @ rng.randn(20)))
    yield "rare events", "log_loss", {}, X, y, 1e-6
    X = np.column_stack([2000 + rng.randint(20, size=8000), 1e6 + rng.randn(8000)])
    X = np.hstack([X, rng.randn(8000, 6)])
    y = 0.3 * X[:, 0] + 3 * (X[:, 1] - 1e6) + X[:, 2:] @ rng.randn(6) + rng.randn(8000)
    yield "columns far from 0", "squared_error", {}, X, y, 1e-6
    yield "digits, 8 or another", "log_loss", {}, digits, digit == 8, 1e-4
    yield "breast cancer, raw", "hinge", {}, cancer, benign, 1e-4
    yield "diabetes, raw", "poisson", {}, diabetes, progress, 1e-6
    if texts is not None:
        y = tf_idf @ rng.randn(tf_idf.shape[1]) + 0.3 * rng.standard_t(2, tf_idf.shape[0])
        yield "SMS, TF-IDF", "huber", {"delta": 0.3}, tf_idf, y, 1e-5
    cost = np.exp(signal + 1) * rng.gamma(3, 1 / 3, len(signal))
    yield "one-hot and numbers, CSR", "gamma", {}, mixed, cost, 1e-6
    X = rng.standard_t(3, (8000, 15)) * 10.0 ** rng.uniform(-2, 4, 15)
    y = 50 * (X / X.std(axis=0)) @ rng.randn(15) + 30 * rng.standard_t(2, 8000)
    yield "heavy tails, many units", "absolute_error", {}, X, y, 1e-6
    if pixels is not None:
        yield "MNIST, 3 or another", "log_loss", {}, pixels, number == 3, 1e-4 * 255
    X = rng.randn(20000, 10)
    X[:, :5] *= 1000
    y = rng.poisson(np.exp(5 + 0.1 * (X / X.std(axis=0)) @ rng.randn(10))).astype(float)
    yield "counts of hundreds", "poisson", {}, X, y, 1e-6


class Problem:
    """One of the problems, and what its objective is at a model."""

    def __init__(self, name, loss, params, X, y, alpha):
        self.name, self.X, self.alpha = f"{name}: {loss}", X, alpha
        self.kind, self.params = loss, params
        self.loss = get_loss(loss, **params)
        self.y = np.asarray(y, dtype=float)
        self.estimator = SGDClassifierX if loss in CLASSIFICATION else SGDRegressorX
        self.constant = self.loss(self.y, np.full(len(self.y), self.best_constant()))
        self.best = self.constant

    def best_constant(self):
        return float(self.loss.fit_intercept_only(self.y))

    def objective(self, coef, intercept):
        raw = np.asarray(self.X @ coef + intercept)
        if not np.isfinite(raw).all():
            return np.inf
        with np.errstate(all="ignore"):
            found = self.loss(self.y, raw) + 0.5 * self.alpha * coef @ coef
        if np.isfinite(found):
            self.best = min(self.best, found)
        return found if np.isfinite(found) else np.inf

    def fit(self, **settings):
        """Objectives after each of the numbers of epochs; inf from where a fit has ended."""
        model = self.estimator(
            self.loss, alpha=self.alpha, tol=None, random_state=0, warm_start="resume", **settings
        )
        found, before = [], 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for epochs in EPOCHS:
                try:
                    model.set_params(max_iter=epochs - before).fit(self.X, self.y)
                except ValueError as error:
                    if "overflow" not in str(error):
                        raise
                    break
                found.append(self.objective(model.coef_.ravel(), model.intercept_[0]))
                before = epochs
        return np.array(found + [np.inf] * (len(EPOCHS) - len(found)))

    def solve(self):
        """The optimum, of which other fits may find a little more."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = self.estimator(
                self.loss, optimizer="lbfgs", alpha=self.alpha, tol=1e-9, max_iter=5000
            ).fit(self.X, self.y)
        self.objective(model.coef_.ravel(), model.intercept_[0])

    def plain(self):
        """SGD with the best of 16 rates, in coordinates of like size, and as the columns come."""
        fixed = {"optimizer": "sgd", "batch_size": 1, "learning_rate": "constant"}
        # A bound that no gradient reaches: with it SGD is not scikit-learn's own algorithm.
        scaled = [self.fit(**fixed, eta0=rate, clip_norm=1e300) for rate in RATES]
        raw = [self.fit(**fixed, eta0=rate) for rate in RAW_RATES]
        return np.min(scaled, axis=0), np.min(raw, axis=0)

    def by_vowpalwabbit(self, module):
        """Those of its defaults, one pass after the other over the rows in one random order; None
        where it does not have the loss."""
        if self.kind not in VW:
            return None
        loss = VW[self.kind].format(**self.params)
        workspace = module.Workspace(f"--quiet --loss_function {loss}")
        y = np.where(self.y > 0, 1.0, -1.0) if self.kind in CLASSIFICATION else self.y
        rows = sparse.csr_matrix(self.X)
        order = np.random.RandomState(0).permutation(len(y))
        examples = []
        for i in order:
            part = slice(rows.indptr[i], rows.indptr[i + 1])
            entries = zip(rows.indices[part], rows.data[part], strict=True)
            words = " ".join(f"{j}:{x!r}" for j, x in ((int(j), float(x)) for j, x in entries))
            examples.append(f"{float(y[i])!r} | {words}")
        found, before = [], 0
        for epochs in EPOCHS:
            for _ in range(epochs - before):
                for example in examples:
                    workspace.learn(example)
            before = epochs
            weights = [workspace.get_weight_from_name(str(j), "") for j in range(rows.shape[1])]
            constant = workspace.get_weight(VW_CONSTANT)
            found.append(self.objective(np.array(weights), constant))
        workspace.finish()
        return np.array(found)

    def gaps(self, objectives):
        return (objectives - self.best) / (self.constant - self.best)


def shown(gaps):
    return "" if gaps is None else " ".join("inf" if g > 1e6 else f"{g:.2g}" for g in gaps)


def measure(problem, vw):
    """What each method leaves of the gap after the numbers of epochs: a dict of arrays."""
    problem.solve()
    left = {name: problem.fit(optimizer=name) for name in ("implicit_adagrad", "adagrad", "adam")}
    left["sgd, best of 16"], left["sgd, raw, best of 16"] = problem.plain()
    left["vowpalwabbit"] = None if vw is None else problem.by_vowpalwabbit(vw)
    return {name: None if found is None else problem.gaps(found) for name, found in left.items()}


def run(table, folder=None):
    """Print the table by a function of title, header and rows."""
    try:
        import vowpalwabbit as vw
    except ImportError:
        vw = None
        print("vowpalwabbit is not installed: its column is empty.")
    rows, ours, plain = [], [], []
    for i, given in enumerate(problems(folder)):
        problem = Problem(*given)
        left = measure(problem, vw)
        mine, theirs = left["implicit_adagrad"], left["vowpalwabbit"]
        sgd = np.minimum(left["sgd, best of 16"], left["sgd, raw, best of 16"])
        # Gaps next to what the optimum is known by say nothing.
        met = (mine <= np.maximum(sgd, 1e-9)).all()
        beaten = theirs is None or (mine < theirs).all()
        ours.append(mine)
        plain.append(sgd)
        verdict = (
            "yes"
            if met and beaten
            else "no: "
            + ", ".join(
                [f"{e} epochs" for e, a, b in zip(EPOCHS, mine, sgd, strict=True) if a > b]
                + ["vowpalwabbit"] * (not beaten)
            )
        )
        half = "chosen on" if i % 2 == 0 else "held out"
        rows.append((problem.name, half, *map(shown, left.values()), verdict))
        print(*rows[-1], sep=" | ", flush=True)
    header = ("problem", "", *left, "met")
    table(f"gap left after {EPOCHS} epochs, over the best constant's", header, rows)
    for half, start in (("chosen on", 0), ("held out", 1)):
        means = [np.exp(np.log(np.maximum(a[start::2], 1e-12)).mean(axis=0)) for a in (ours, plain)]
        print(f"\ngeometric means, {half}: ours {shown(means[0])}; SGD {shown(means[1])}")
