"""The race to the optimum: its objectives are ours, its verdicts hold, and it runs to its end."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import sklearn_losses as sl

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def optimum():
    """asv_benchmarks/optimum, which is no part of the installed package."""
    sys.path.append(str(ROOT))  # at the end: what is installed comes first
    yield lambda part: importlib.import_module(f"asv_benchmarks.optimum.{part}")
    sys.path.remove(str(ROOT))


def made_problems(optimum):
    for name, row in optimum("problems").PROBLEMS.items():
        if row.downloaded is None:
            yield name, row.problem(quick=True)


def test_every_problem_has_competitors(optimum):
    families = optimum("competitors").FAMILIES
    used = {row.family for row in optimum("problems").PROBLEMS.values()}
    assert used == set(families)


def test_an_objective_is_what_our_estimators_minimise(optimum):
    """Up to a constant: some losses leave out what depends on y alone."""
    rng = np.random.default_rng(0)
    for name, p in made_problems(optimum):
        k, d = p.targets().shape[1], p.X.shape[1]
        loss = sl.get_loss(p.loss, **p.loss_params)
        penalty = sl.get_penalty(p.penalty, **p.penalty_params)
        values, ours = [], []
        for _ in range(3):
            size = 10 * abs(p.X).max(axis=0)
            size = np.ravel(size.toarray() if sparse.issparse(size) else size)
            size[size == 0] = 1.0
            coef, intercept = np.abs(rng.standard_normal((k, d))) / size, rng.standard_normal(k)
            raw = np.asarray(p.X @ coef.T) + intercept
            raw = raw if p.offset is None else raw + p.offset[:, None]
            if p.loss == "multinomial":
                mean = type(loss)(n_classes=k).loss(p.y.astype(float), raw).mean()
            else:
                weight = 1.0 if p.sample_weight is None else p.sample_weight
                columns = zip(p.targets().T, np.ascontiguousarray(raw.T), strict=True)
                mean = sum(
                    (weight * loss.loss(np.ascontiguousarray(y), r)).mean() for y, r in columns
                )
            values.append(p.objective(coef, intercept))
            ours.append(mean + sum(penalty.value(c, p.alpha) for c in coef))
        np.testing.assert_allclose(np.diff(values), np.diff(ours), rtol=1e-9, err_msg=name)


def test_the_constant_is_the_best_model_without_features(optimum):
    for name, p in made_problems(optimum):
        k, d = p.targets().shape[1], p.X.shape[1]
        value, none = p.constant(), np.zeros((k, d))
        if not p.fit_intercept:
            assert value == pytest.approx(p.objective(none, np.zeros(k))), name
            continue
        raw = np.zeros(k)
        for _ in range(3):  # coordinate by coordinate, to the same value from above
            for j in range(k):
                for step in (1e3, 1e2, 10.0, 1.0, 0.1, 0.01):
                    for sign in (-step, step):
                        while p.objective(none, raw + sign * np.eye(k)[j]) < p.objective(none, raw):
                            raw[j] += sign
        assert value <= p.objective(none, raw) + 1e-12 * abs(value), name
        assert value == pytest.approx(p.objective(none, raw), rel=1e-3), name


def test_a_competitor_gets_its_loosest_tolerance_that_reaches(optimum):
    race, Competitor = optimum("race"), optimum("competitors").Competitor
    p = optimum("problems").PROBLEMS["ridge, dense"].problem(quick=True)
    n = len(p.y)
    A = np.column_stack([p.X, np.ones(n)])
    exact = np.linalg.solve(A.T @ A / n + np.diag([p.alpha] * p.X.shape[1] + [0]), A.T @ p.y / n)

    def off_by(problem, tol):
        return exact[:-1] * (1 + tol), exact[-1]

    def fails(problem, tol):
        raise ValueError("no such problem")

    def near(problem, tol):
        return exact[:-1] * 1.01, exact[-1]

    competitors = [
        Competitor("near", "numpy", near, (None,), ours=True),
        Competitor("loose", "numpy", off_by, (1e-1, 1e-2, 1e-4, 1e-6)),
        Competitor("fails", "numpy", fails),
        Competitor("too wide", "numpy", off_by, most=1),
    ]
    result = race.race(p, competitors, race.QUICK)
    assert [e.competitor.name for e in result.entries] == ["near", "loose", "fails"]
    best, far = p.objective(exact[:-1], exact[-1]), p.constant()
    assert result.best == pytest.approx(best, rel=1e-12) and result.constant == far
    assert result.goal == pytest.approx(best + 1e-6 * (far - best), rel=1e-12)
    near, loose, fails = result.entries
    assert near.chosen(result.goal) is None and near.seconds(result.goal) < np.inf
    assert result.left(near) == pytest.approx(1e-4, rel=0.2)  # the square of what it is off by
    assert loose.chosen(result.goal)[0] == 1e-4 and len(loose.fits) == 3
    assert fails.failure == "ValueError: no such problem" and fails.seconds(result.goal) == np.inf
    verdict = optimum("__main__").verdict
    assert verdict(near, loose, result) == "not reached (†0.0001)"
    for mine, theirs, words in ((1, 1, "first"), (1.05, 1, "within 10 %"), (1.2, 1, "short")):
        pair = [
            race.Entry(c, fits=[(None, s, best)])
            for c, s in ((competitors[0], mine), (competitors[1], theirs))
        ]
        assert verdict(*pair, result) == words


def test_who_reaches_by_luck_has_no_time(optimum):
    race, Competitor = optimum("race"), optimum("competitors").Competitor
    p = optimum("problems").PROBLEMS["ridge, dense"].problem(quick=True)
    exact = optimum("competitors").FAMILIES["ridge"][0]
    calls = []

    def lucky(problem, tol):
        calls.append(tol)
        coef, intercept = exact.fit(problem, 1e-4)
        return coef + (len(calls) > 3), intercept

    competitors = [exact, Competitor("lucky", "numpy", lucky, (1e-4,))]
    limits = race.Limits(repeats=60.0, most=5, far=np.inf)
    sure, unsure = race.race(p, competitors, limits).entries
    assert len(sure.times) == 5 and len(unsure.times) == 1  # after a trial, and one to be sure
    assert unsure.failure == "reached, but not each time"
    assert unsure.seconds(p.constant()) == np.inf > sure.seconds(p.constant())


@pytest.mark.slow
def test_the_command_runs_to_its_end(optimum, monkeypatch, capsys):
    monkeypatch.delenv(optimum("problems").DATA, raising=False)
    compare = importlib.import_module("asv_benchmarks.compare")
    assert compare.main(["optimum", "--quick"]) == 0
    printed = capsys.readouterr().out
    problems = optimum("problems").PROBLEMS
    for name, row in problems.items():
        assert (f"\n| {name} | " in printed) == (row.downloaded is None), name
    assert "left out, logistic, SMS, TF-IDF: no sms_spam.tsv.gz" in printed
    with pytest.raises(SystemExit, match="no problem has that in its name"):
        compare.main(["optimum", "--only", "no such thing"])
