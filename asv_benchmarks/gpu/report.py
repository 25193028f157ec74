"""Tables, printed and written as a page, and how numbers stand in them."""

import time
import traceback
from pathlib import Path

import numpy as np


class Report:
    """Tables, printed line by line and written as a page of reStructuredText after each.

    Parameters
    ----------
    about : str
        The machine, and how it was measured.
    out : str, Path or None
        Where the page goes.
    seconds : float
        After which peers and larger sizes are left out.
    """

    def __init__(self, about, out, seconds):
        self.about = about
        self.out = out
        self.end = time.monotonic() + seconds
        self.sections = []
        self.failures = []
        print(about, flush=True)

    def table(self, title, header, *notes):
        print(f"\n### {title}\n", *(f"({note})" for note in notes), sep="\n")
        print(f"\n| {' | '.join(header)} |\n|{'---|' * len(header)}", flush=True)
        self.sections.append((title, header, [], list(notes)))

    def row(self, *cells):
        cells = [str(cell) for cell in cells]
        print(f"| {' | '.join(cells)} |", flush=True)
        self.sections[-1][2].append(cells)
        self.write()

    def note(self, text):
        print(f"({text})", flush=True)
        self.sections[-1][3].append(text)
        self.write()

    def attempt(self, what, function, *args):
        """What a function returns, or None where it fails: the other numbers are still wanted."""
        try:
            return function(*args)
        except Exception as error:
            traceback.print_exc()
            self.failures.append(f"{what}: {type(error).__name__}: {error}")
            print(f"({self.failures[-1]})", flush=True)
            return None

    def late(self, what):
        """Whether the time is up, so that `what` is left out."""
        if time.monotonic() < self.end:
            return False
        self.note(f"{what} left out: the time was up")
        return True

    def write(self):
        if self.out is None:
            return
        text = "Measured on a GPU\n=================\n\n"
        text += "Written by ``python -m asv_benchmarks.gpu --out docs/gpu_table.rst``; "
        text += f":doc:`guide/gpu` says what it is about.\n\n{self.about}\n\n"
        for title, header, rows, notes in self.sections:
            text += f"{title}\n{'-' * len(title)}\n\n"
            if rows:
                text += ".. list-table::\n   :header-rows: 1\n\n"
                for cells in [header, *rows]:
                    text += "".join(
                        f"   {'* -' if i == 0 else '  -'} {cell}\n" for i, cell in enumerate(cells)
                    )
                text += "\n"
            text += "".join(f"- {note}.\n" for note in notes) + "\n"
        if self.failures:
            text += "Failures\n--------\n\n"
            text += "".join(
                f"- ``{' '.join(f.replace('`', chr(39)).split())[:300]}``\n" for f in self.failures
            )
        Path(self.out).write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def shown(number, digits=2, unit=""):
    return f"{number:,.{digits}f}{unit}" if np.isfinite(number) else "n/a"


def share_of(share, target):
    short = " (short)" if np.isfinite(share) and share < target else ""
    return shown(100 * share, 0, " %") + short
