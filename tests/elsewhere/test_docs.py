"""The pages say what is true: their code runs, and what they name is there."""

import doctest
import inspect
import re
import sys
from pathlib import Path

import pytest
from sklearn.linear_model import SGDClassifier, SGDRegressor

import sklearn_losses as sl

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*DOCS.glob("*.rst"), *(DOCS / "guide").glob("*.rst")]
MIGRATING = (DOCS / "migrating.rst").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def generate():
    """docs/generate.py, which writes the table of losses and the API's pages."""
    sys.path.append(str(DOCS))
    try:
        import generate
    finally:
        sys.path.remove(str(DOCS))
    return generate


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_code_of_a_page_gives_what_it_says(path):
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, _ = doctest.testfile(str(path), module_relative=False, optionflags=options)
    assert failed == 0


def test_every_public_name_has_a_page_and_every_loss_a_row(generate, tmp_path):
    generate.write(tmp_path)
    pages = {path.stem for path in tmp_path.glob("*.rst")}
    assert set(sl.__all__) - generate.WITHOUT_PAGE <= pages
    table = (tmp_path / "losses.inc").read_text(encoding="utf-8")
    rows = re.findall(r"^   \* - \| ``(\w+)``$", table, re.MULTILINE)
    assert rows == [
        cls.name
        for title, group in generate.GROUPS.items()
        if "Losses for" in title
        for cls in group
    ]
    assert set(sl.LOSSES | sl.losses.FAMILIES) == set(rows)


def test_the_methods_of_estimators_are_on_their_pages(generate):
    things = generate.public_things()
    shown, _ = generate.members(sl.SGDClassifierX, things)
    assert {"fit", "partial_fit", "predict", "predict_proba", "decision_function"} <= set(shown)
    shown, bases = generate.members(sl.HuberLoss, things)
    assert bases == [sl.Loss]
    assert "gradient" not in shown  # on Loss's page


def test_the_tests_that_migrating_names_exist():
    named = re.findall(r"``(\w+/test_\w+\.py)::(test_\w+)``", MIGRATING)
    assert len(named) > 40
    for file, test in named:
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"\ndef {test}(" in text, f"{file} has no {test}"


@pytest.mark.parametrize("estimator", [SGDClassifier, SGDRegressor])
def test_migrating_has_a_row_for_all_that_scikit_learns_estimators_have(estimator):
    names = set(inspect.signature(estimator).parameters)
    model = estimator().fit([[0.0], [1.0]], [0, 1])
    names |= {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    own = [base for base in estimator.__mro__ if "linear_model" in base.__module__]
    names |= {name for base in own for name in vars(base) if not name.startswith("_")}
    names -= {"loss_functions", "set_fit_request", "set_partial_fit_request", "set_score_request"}
    rows = set(re.findall(r"^   \* - ``(\w+)(?:\(.*\))?``", MIGRATING, re.MULTILINE))
    assert names <= rows, names - rows
