"""Every optimizer with its defaults, on real data as they come and scaled: one run, two tables.

``python -m asv_benchmarks.optimizers FOLDER --out docs/guide/optimizers.rst`` writes the tables of
the guide. FOLDER has ``california_housing.csv.gz`` (StatLib), ``sms_spam.tsv.gz`` (UCI) and
``mnist_t10k_images_idx3.gz`` with ``mnist_t10k_labels_idx1.gz``; without it scikit-learn's own sets
stand alone. It ends with an error where a fit is worse than the best constant.
"""

import argparse
import csv
import gzip
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_losses import OPTIMIZERS as ALL
from sklearn_losses import SGDClassifierX, SGDRegressorX

# But that of losses made of straight lines alone, and what stands for others.
OPTIMIZERS = [name for name in ALL if name not in ("interior-point", "auto")]
BATCH = 64
BEGIN, END = ".. begin of the tables of optimizers", ".. end of the tables of optimizers"
MARKS = {"converged": "", "max_iter": "m", "line_search": "s", "no_progress": "n"}


def housing(folder):
    """Prices in dollars, rooms and people as counted, and four places as columns of 0 and 1."""
    with gzip.open(folder / "california_housing.csv.gz", "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if all(row.values())]
    names = [n for n in rows[0] if n not in ("median_house_value", "ocean_proximity")]
    places = sorted({row["ocean_proximity"] for row in rows})[1:]
    X = [
        [float(row[n]) for n in names] + [float(row["ocean_proximity"] == p) for p in places]
        for row in rows
    ]
    return np.array(X), np.array([float(row["median_house_value"]) for row in rows])


def sms(folder):
    """Texts of messages, and whether each is spam."""
    with gzip.open(folder / "sms_spam.tsv.gz", "rt", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t", 1) for line in lines]
    return [text for _, text in rows], np.array([label == "spam" for label, _ in rows])


def mnist(folder):
    """Pixels from 0 to 255, and digits."""
    with gzip.open(folder / "mnist_t10k_images_idx3.gz") as images:
        X = np.frombuffer(images.read(), np.uint8, offset=16).reshape(-1, 784)
    with gzip.open(folder / "mnist_t10k_labels_idx1.gz") as labels:
        y = np.frombuffer(labels.read(), np.uint8, offset=8)
    return X.astype(np.float64), y


def both(name, loss, X, y):
    """(name, loss, training X, test X, training y, test y), as the data come and scaled."""
    train, test, y_train, y_test = train_test_split(X, y, random_state=0)
    yield f"{name}, raw", loss, train, test, y_train, y_test
    if name == "mnist":
        yield f"{name}, in [0, 1]", loss, train / 255, test / 255, y_train, y_test
        return
    scaler = StandardScaler().fit(train)
    made = scaler.transform(train), scaler.transform(test)
    yield f"{name}, scaled", loss, *made, y_train, y_test


def sets(folder):
    yield from both(
        "diabetes", "squared_error", *datasets.load_diabetes(return_X_y=True, scaled=False)
    )
    if folder is not None:
        yield from both("housing", "squared_error", *housing(folder))
    yield from both("breast cancer", "log_loss", *datasets.load_breast_cancer(return_X_y=True))
    if folder is not None:
        texts, y = sms(folder)
        train, test, y_train, y_test = train_test_split(texts, y, random_state=0)
        counter = CountVectorizer().fit(train)
        train, test = counter.transform(train).astype(float), counter.transform(test).astype(float)
        yield "sms, counts", "log_loss", train, test, y_train, y_test
        tfidf = TfidfTransformer().fit(train)
        yield "sms, TF-IDF", "log_loss", *map(tfidf.transform, (train, test)), y_train, y_test
    yield from both("wine", "multinomial", *datasets.load_wine(return_X_y=True))
    yield from both("digits", "multinomial", *datasets.load_digits(return_X_y=True))
    if folder is not None:
        yield from both("mnist", "multinomial", *mnist(folder))


def measure(optimizer, loss, X, X_test, y, y_test):
    """Score on the test part, the constant's there, epochs, stop reason, and what was warned of."""
    cls = SGDRegressorX if loss == "squared_error" else SGDClassifierX
    model = cls(loss, optimizer=optimizer, batch_size=BATCH, random_state=0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(X, y)
    if cls is SGDRegressorX:
        constant = 1 - np.mean((y_test - y.mean()) ** 2) / np.var(y_test)
    else:
        values, counts = np.unique(y, return_counts=True)
        constant = np.mean(y_test == values[counts.argmax()])
    said = [str(w.message) for w in said]
    return model.score(X_test, y_test), constant, model.n_iter_, model.stop_reason_, said


def simple_table(header, rows):
    """Lines of a table of reStructuredText."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    bar = "  ".join("=" * w for w in widths)
    made = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    top = "  ".join(c.ljust(w) for c, w in zip(header, widths, strict=True)).rstrip()
    return [bar, top, bar, *made, bar]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, help="page between whose marks the tables are written")
    options = parser.parse_args(arguments)
    scores, epochs, worse = [], [], []
    for name, *data in sets(options.folder):
        found = {}
        for optimizer in OPTIMIZERS:
            start = time.perf_counter()
            score, constant, n_iter, reason, said = measure(optimizer, *data)
            found[optimizer] = score, n_iter, reason
            if not score > constant:
                worse.append(f"{name}, {optimizer}: {score:.3f} against {constant:.3f}")
            took = time.perf_counter() - start
            print(name, optimizer, f"{score:.4f} ({constant:.4f})", n_iter, reason, *said, end=" ")
            print(f"[{took:.1f} s]", flush=True)
        numbers = [constant, *(s for s, _, _ in found.values())]
        scores.append([name, *(f"{s:z.3f}" for s in numbers)])
        epochs.append([name, *(f"{n}{MARKS.get(r, r)}" for _, n, r in found.values())])
    lines = [
        *simple_table(["Score", "constant", *OPTIMIZERS], scores),
        "",
        *simple_table(["Epochs", *OPTIMIZERS], epochs),
    ]
    print("\n".join(lines))
    if options.out is not None:
        text = options.out.read_text(encoding="utf-8")
        before, after = text[: text.index(BEGIN)], text[text.index(END) :]
        made = "\n".join([BEGIN, "", *lines, "", after])
        options.out.write_text(before + made, encoding="utf-8")
    return f"Worse than the best constant: {worse}" if worse else 0


if __name__ == "__main__":
    sys.exit(main())
