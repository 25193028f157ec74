"""CONTRIBUTING shows code as it stands in the tree, and names files and tests that are there."""

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# Of each section on adding something: its code, without what stands for the rest of a list.
QUOTED = [
    textwrap.dedent(code).strip()
    for section in re.findall(r"^## Add .*?(?=^## )", TEXT, re.DOTALL | re.MULTILINE)
    for code in re.findall(r"```(?:cpp|python)\n(.*?)```", section, re.DOTALL)
    if "..." not in code.replace('"""Asymmetric', "")
]


def squeezed(text):
    return " ".join(text.split())


def sources():
    folders = (ROOT / "sklearn_losses", ROOT / "tests")
    return [
        squeezed(path.read_text(encoding="utf-8"))
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in (".py", ".h")
    ]


@pytest.mark.parametrize("code", QUOTED, ids=lambda code: code.split("\n")[0][:40])
def test_quoted_code_stands_in_the_tree(code):
    assert any(squeezed(code) in source for source in sources())


def test_every_section_quotes():
    assert len(QUOTED) >= 9
    assert len(re.findall(r"^## Add ", TEXT, re.MULTILINE)) == 4


def test_what_it_names_is_there():
    for path in set(re.findall(r"`((?:sklearn_losses|tests|docs|examples)/[\w./]+)`", TEXT)):
        assert (ROOT / path).exists(), path
    everything = " ".join(sources())
    for name in set(re.findall(r"`(test_\w+)`", TEXT)):
        assert f"def {name}(" in everything, name
