"""
Text classification on sparse data, small and at scale
======================================================

Spam among text messages, by hashed words and parts of words: a hundred thousand features, of
which a message has a few dozen. Then the same model on a made-up corpus of a size that takes
scikit-learn's own estimator a while.
"""

import gzip
import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from sklearn import datasets
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline, make_union

from sklearn_losses import SGDClassifierX, TrainingDisplay

# %%
# The data
# --------
# 5,574 messages, of which 13 % are spam. (README.rst beside this file says where they come from.
# What scikit-learn can download are newsgroups, which stand in for them.)


def load():
    """Texts and labels."""
    folder = os.environ.get("SKLEARN_LOSSES_DATA")
    if folder and (path := Path(folder, "sms_spam.tsv.gz")).exists():
        rows = [line.split("\t", 1) for line in gzip.open(path, "rt", encoding="utf-8")]
        return [text for _, text in rows], [label for label, _ in rows]
    if not folder:
        try:
            names = ["sci.space", "rec.autos"]
            news = datasets.fetch_20newsgroups(subset="all", categories=names, remove=("headers",))
            return news.data, [names[code] for code in news.target]
        except OSError as error:
            print(f"Newsgroups cannot be downloaded ({error}).")
    print("Note: without messages, this tells lines of scikit-learn's data set descriptions apart.")
    loaders = {"wine": datasets.load_wine, "breast cancer": datasets.load_breast_cancer}
    loaders |= {"iris": datasets.load_iris, "digits": datasets.load_digits}
    pairs = [
        (line, name)
        for name, loader in loaders.items()
        for line in loader().DESCR.splitlines()
        if len(line.split()) > 3
    ]
    return [line for line, _ in pairs], [name for _, name in pairs]


texts, labels = load()
train, test, y_train, y_test = train_test_split(
    texts, labels, stratify=labels, test_size=0.25, random_state=0
)

# %%
# Losses on words
# ---------------

features = make_pipeline(
    make_union(
        HashingVectorizer(n_features=2**16, alternate_sign=False, norm=None),
        HashingVectorizer(
            n_features=2**17,
            analyzer="char_wb",
            ngram_range=(3, 4),
            alternate_sign=False,
            norm=None,
        ),
    ),
    TfidfTransformer(sublinear_tf=True),
)
X_train, X_test = features.fit_transform(train), features.transform(test)
print(f"{X_train.shape[0]} training texts, {X_train.nnz / X_train.shape[0]:.0f} features in each")

adagrad = {"optimizer": "adagrad", "batch_size": 16}
models = {}
for loss in ("hinge", "log_loss", "modified_huber", "focal", "multinomial"):
    model = SGDClassifierX(loss, alpha=1e-6, max_iter=15, tol=None, random_state=0, **adagrad)
    start = time.perf_counter()
    models[loss] = model.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    score = balanced_accuracy_score(y_test, model.predict(X_test))
    print(f"{loss:<16} balanced accuracy {100 * score:5.1f} %, {seconds:.2f} s")

TrainingDisplay.from_estimator(models["log_loss"])
plt.show()

# %%
# At scale
# --------
# 200,000 documents over 2**18 words whose frequencies fall as in language, 40 to 120 words each;
# a hidden linear model says which class. One epoch of each estimator, by turns.

rng = np.random.RandomState(0)
n_documents, n_words = 200_000, 2**18
lengths = rng.randint(40, 121, size=n_documents)
ends = np.concatenate([[0], np.cumsum(lengths)])
words = (n_words ** rng.uniform(size=ends[-1]) - 1).astype(np.int32)  # Zipf: density as 1 / rank
documents = sparse.csr_matrix(
    (np.ones(ends[-1], dtype=np.float32), words, ends), shape=(n_documents, n_words)
)
documents.sum_duplicates()
documents.data[:] = 1 / np.sqrt(80)
signal = documents @ rng.normal(size=n_words).astype(np.float32)
topic = (signal + 0.3 * signal.std() * rng.normal(size=n_documents) > 0).astype(int)
half = n_documents // 2

seconds = {}
for _ in range(3):
    for cls in (SGDClassifier, SGDClassifierX):
        model = cls("log_loss", alpha=1e-6, max_iter=2, tol=None, random_state=0)
        start = time.perf_counter()
        model.fit(documents[:half], topic[:half])
        seconds.setdefault(cls.__name__, []).append((time.perf_counter() - start) / 2)
        accuracy = model.score(documents[half:], topic[half:])
for name, times in seconds.items():
    print(f"{name:<16}{np.median(times):.2f} s an epoch, {documents.nnz / 2e6:.1f} million numbers")
print(f"accuracy on the other half: {100 * accuracy:.1f} %")

# %%
# Batches that arrive one by one
# ------------------------------
# What does not fit into memory is hashed and trained in parts.

stream = SGDClassifierX("log_loss", alpha=1e-6, **adagrad)
for first in range(0, half, 20_000):
    part = slice(first, first + 20_000)
    stream.partial_fit(documents[part], topic[part], classes=[0, 1])
    score = stream.score(documents[half:], topic[half:])
    print(f"after {first + 20_000:>7,} documents: {100 * score:.1f} %")
