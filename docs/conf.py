"""Configuration of Sphinx."""

import os
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE))  # for generate.py; the package is the installed one

import generate  # noqa: E402

import sklearn_losses  # noqa: E402

generate.write(HERE / "generated")

project = "sklearn_losses"
author = "The sklearn_losses developers"
copyright = author
version = release = sklearn_losses.__version__

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb", "auto_examples/*.py"]
# `name` is a link where the name is one of the API's.
default_role = "py:obj"
rst_prolog = ".. py:currentmodule:: sklearn_losses\n\n"
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/(plot|choose)_",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sklearn_losses",),
    "abort_on_example_error": True,
    "show_signature": False,
    "remove_config_comments": True,
    "min_reported_time": 1,
}
# Matplotlib says that agg shows no windows; the gallery takes the figures anyway.
warnings.filterwarnings("ignore", message=".*FigureCanvasAgg is non-interactive")
os.environ.setdefault("MPLBACKEND", "agg")

html_theme = "furo"
html_title = f"sklearn_losses {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_theme_options = {"navigation_with_keys": True}
