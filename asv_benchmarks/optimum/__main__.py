"""The command: arguments, the problems in turn, the tables."""

import argparse
import os
import sys
import time

import numpy as np
import sklearn
from threadpoolctl import threadpool_limits

import sklearn_losses as sl

from . import __doc__ as ABOUT
from .competitors import FAMILIES, OPTIMIZERS, our_competitors
from .problems import DATA, PROBLEMS, folder
from .race import QUICK, Limits, race

WITHIN = 1.1  # times the best peer's time


def number(seconds):
    return f"{seconds:.3g}" if np.isfinite(seconds) else "-"


def line(cells):
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def head(title, cells):
    print(f"\n### {title}\n")
    line(cells)
    print("|" + "---|" * len(cells), flush=True)


def importable(quick):
    """The competitors of each family whose library is there, and a line for each one that is not.

    A quick run leaves out what compiles.
    """
    reasons = {}
    for competitor in {c.library: c for family in FAMILIES.values() for c in family}.values():
        reasons[competitor.library] = competitor.missing()
    families = {
        name: [c for c in family if reasons[c.library] is None and not (quick and c.compiles)]
        for name, family in FAMILIES.items()
    }
    return families, [f"{name}: {why}" for name, why in sorted(reasons.items()) if why]


def verdict(lead, peer, result):
    if not lead.fits:
        return "no fit"
    if lead.chosen(result.goal) is None:
        return f"not reached (†{result.left(lead):.1g})"
    if peer is None:
        return "first (alone)"
    ratio = peer.seconds(result.goal) / lead.seconds(result.goal)
    return "first" if ratio >= 1 else "within 10 %" if ratio * WITHIN >= 1 else "short"


def split(result):
    """The entry with our defaults, our others by their names, and the peers that reach, the first
    first."""
    goal = result.goal
    lead, *others = [e for e in result.entries if e.competitor.ours]
    peers = [e for e in result.entries if not e.competitor.ours and e.chosen(goal)]
    return (
        lead,
        {e.competitor.name: e for e in others},
        sorted(peers, key=lambda e: e.seconds(goal)),
    )


def summary(name, result, optimizers):
    """The cells of a problem's row."""
    lead, others, peers = split(result)
    goal, peer = result.goal, peers[0] if peers else None
    mine, theirs = lead.seconds(goal), peer.seconds(goal) if peer else np.inf
    times = [others[o].seconds(goal) if o in others else np.inf for o in optimizers]
    return [
        name,
        *(f"{size:,}" for size in result.problem.X.shape),
        f"{result.problem.density:.2g}",
        number(mine) + ("" if lead.chosen(goal) or not lead.fits else "†"),
        *map(number, times),
        number(theirs),
        peer.competitor.name if peer else "none",
        f"{theirs / mine:.2f}x" if peer and lead.fits else "",
        verdict(lead, peer, result),
    ]


def details(name, result):
    """A line for each competitor: what it needs, or what it leaves."""
    for entry in sorted(result.entries, key=lambda e: e.seconds(result.goal)):
        shown, chosen = entry.shown(result.goal), entry.chosen(result.goal)
        tol = "default" if entry.competitor.defaults else f"{shown[0]:.0e}" if shown else ""
        ours = "ours, " if entry.competitor.ours else ""
        left = max((chosen[2] if chosen else entry.least()) - result.best, 0.0)
        left /= result.constant - result.best
        yield [
            name,
            ours + entry.competitor.name,
            number(entry.seconds(result.goal)),
            tol,
            f"{left:.1e}" if np.isfinite(left) else "",
            "" if chosen else entry.failure or "not reached",
        ]


def chosen_rows(given):
    """The problems whose name has one of the texts that were given; all where none was."""
    rows = {
        name: row
        for name, row in PROBLEMS.items()
        if not given or any(text.lower() in name.lower() for text in given)
    }
    if not rows:
        raise SystemExit(f"--only {given}: no problem has that in its name; {', '.join(PROBLEMS)}")
    return rows


def run(names, quick=False, place=None, threads=2, limits=None):
    """Print the tables; returns the results by the problems' names."""
    families, missing = importable(quick)
    lead, *others = our_competitors(threads)
    limits, place = QUICK if quick else limits or Limits(), folder(place)
    optimizers = [c.name for c in others]
    head(
        f"time to within 1e-6 of the optimum, s ({threads} threads, float64)",
        [
            "problem",
            "n",
            "d",
            "density",
            f"ours: {lead.name}, default tol",
            *(f"ours: {o}" for o in optimizers),
            "best peer",
            "which",
            "peer / ours",
            "verdict",
        ],
    )
    results, absent = {}, []
    with threadpool_limits(threads):
        for name, row in chosen_rows(names).items():
            problem = row.problem(quick, place)
            if problem is None:
                absent.append(f"{name}: no {row.downloaded} in {place or f'--data, or {DATA}'}")
                continue
            results[name] = race(problem, [lead, *others, *families[row.family]], limits)
            line(summary(name, results[name], optimizers))
    unknown = [o for o in OPTIMIZERS if o not in sl.OPTIMIZERS]
    notes = [f"left out, {text}" for text in missing + absent]
    notes += [f"left out, ours: {o}: this version has no such optimizer" for o in unknown]
    print("", *(f"- {note}" for note in notes), sep="\n")
    print("- † the share of the gain over a constant that the default tol leaves is above 1e-6")
    head("every competitor", ["problem", "competitor", "s", "tol", "left", ""])
    for name, result in results.items():
        for cells in details(name, result):
            line(cells)
    return results


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m asv_benchmarks.compare optimum", description=ABOUT.splitlines()[0]
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="problems with this in their name"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--data", metavar="FOLDER", help=f"of downloaded data; default: ${DATA}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="a fit that takes longer is left out"
    )
    given = parser.parse_args(arguments)
    limits = Limits(fit=given.seconds, trials=1.5 * given.seconds)
    begun = time.monotonic()
    print(
        f"sklearn_losses {sl.__version__}, scikit-learn {sklearn.__version__}, NumPy "
        f"{np.__version__}, {os.cpu_count()} CPUs, {time.strftime('%Y-%m-%d')}."
    )
    results = run(given.only, given.quick, given.data, given.threads, limits)
    if given.quick:
        print("\nSizes are those of --quick: the numbers mean nothing.")
    print(f"\n{time.monotonic() - begun:.0f} seconds.")
    return 0 if results else 1


if __name__ == "__main__":
    sys.exit(main())
