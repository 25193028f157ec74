"""Every public name is documented, and every example in a docstring gives what it says."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import sklearn_losses
from sklearn_losses.losses import LOSSES

MODULES = [
    module.name for module in pkgutil.walk_packages(sklearn_losses.__path__, "sklearn_losses.")
]


@pytest.mark.parametrize("name", ["sklearn_losses", *MODULES])
def test_the_examples_of_a_module_are_true(name):
    if name == "sklearn_losses._torch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    if name.startswith("sklearn_losses.plotting"):
        pytest.importorskip("matplotlib", reason="matplotlib is not installed").use("agg")
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=options)
    assert failed == 0


PUBLIC = [
    getattr(sklearn_losses, name)
    for name in sklearn_losses.__all__
    if callable(getattr(sklearn_losses, name))
]


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_a_public_name_documents_each_parameter(thing):
    text = inspect.getdoc(thing)
    assert text
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            assert (
                f"{parameter.name} : " in text
                or f"{parameter.name}, " in text
                or (f", {parameter.name}" in text)
            ), f"{parameter.name} is not documented"


@pytest.mark.parametrize("cls", LOSSES.values(), ids=lambda cls: cls.__name__)
def test_a_loss_documents_its_domain_link_formula_and_an_example(cls):
    text = inspect.getdoc(cls)
    for word in ("- Domain: ", "- Link: ", "- Formula", "Examples\n"):
        assert word in text
