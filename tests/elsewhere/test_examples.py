"""Every example runs to its end, also where no larger data can be had."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
# Each promises less than a minute; a busy machine gets twice that.
LIMIT = 120


def run(path, data):
    environment = {**os.environ, "MPLBACKEND": "agg", "SKLEARN_LOSSES_DATA": str(data)}
    done = subprocess.run(
        [sys.executable, "-P", str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        cwd=data,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_prints_what_it_found(path, tmp_path):
    printed = run(path, tmp_path)
    assert printed.strip()
    # The examples with larger data say what stands in for them.
    assert ("SKLEARN_LOSSES_DATA" in path.read_text(encoding="utf-8")) == (
        "Note: without" in printed
    )
