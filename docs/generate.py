"""What is written from the code itself: the table of losses, and a page for each public name."""

import inspect
from pathlib import Path

import sklearn_losses as sl
from sklearn_losses import links, optimizers, penalties, schedules
from sklearn_losses.losses import DISTRIBUTIONS, JOINT, ORDINAL, POINTWISE, REDUCED, ROWWISE
from sklearn_losses.testing import check_loss

GROUPS = {
    "Estimators": [sl.SGDRegressorX, sl.SGDClassifierX, sl.AlphaSearchCV, sl.alpha_path],
    "Several targets": [sl.MultiTaskModel],
    "Under attack": [getattr(sl, name) for name in sl.adversarial.__all__],
    "Under constraints": [getattr(sl, name) for name in sl.constrained.__all__],
    "Estimators with differential privacy": [
        sl.PrivateLinearClassifier,
        sl.PrivateLinearRegressor,
    ],
    "Losses: what they share": [sl.Loss, sl.get_loss],
    "Losses of your own": [sl.CustomLoss, sl.FunctionLoss, sl.CompiledLoss, check_loss],
    "Losses for regression": [cls for cls in [*POINTWISE, *REDUCED] if cls.task == "regression"],
    "Losses for two classes": [cls for cls in POINTWISE if cls.task == "binary"],
    "Losses for several classes": ROWWISE,
    "Losses for ordered classes": ORDINAL,
    "Losses for distributions": DISTRIBUTIONS,
    "Losses for survival, rankings and worst cases": JOINT,
    "Survival analysis": [
        sl.BaselineHazard,
        sl.survival_target,
        sl.concordance_index,
        sl.concordance_scorer,
        sl.brier_score,
        sl.integrated_brier_score,
    ],
    "Rankings": [getattr(sl, name) for name in sl.ranking.__all__],
    "Worst cases": [sl.group_target],
    "Losses of pairs": [
        sl.ContrastiveLoss,
        sl.InfoNCE,
        sl.NTXent,
        sl.SupervisedContrastive,
        sl.CLIPLoss,
        sl.TripletLoss,
    ],
    "Embeddings": [sl.ContrastiveEmbedding, sl.CrossModalEmbedding],
    "Optimizers": [sl.Optimizer, sl.get_optimizer, *optimizers.OPTIMIZERS.values()],
    "Penalties": [sl.Penalty, sl.get_penalty, *penalties.PENALTIES.values()],
    "Schedules": [
        sl.Schedule,
        sl.get_schedule,
        *schedules.SCHEDULES.values(),
        sl.BatchGrowth,
        sl.LossSchedule,
    ],
    "Metrics and scorers": [sl.mean_loss, sl.d2_loss_score, sl.make_loss_scorer],
    "Boosting and PyTorch": [sl.as_objective, sl.as_metric, sl.as_torch],
    "Adversarial games": [sl.GANLoss, sl.gradient_penalty],
    "Density ratios": [sl.DensityRatio, sl.KLIEPLoss, sl.LSIFLoss, sl.effective_sample_size],
    "Export": [sl.register_onnx_converters, sl.skops_trusted_types],
    "Pictures": [getattr(sl, name) for name in sl.plotting.__all__],
    "Links": [getattr(links, name) for name in links.__all__],
    "The installation": [sl.show_versions, sl.effective_n_threads],
}
# Names that are lists or strings and need no page: the text around them says what they are.
WITHOUT_PAGE = {"LOSSES", "OPTIMIZERS", "PENALTIES", "SCHEDULES", "__version__"}


def public_things():
    """Name -> object, of everything that has a page; an error where a public name has none."""
    things = {thing.__name__: thing for group in GROUPS.values() for thing in group}
    missing = set(sl.__all__) - WITHOUT_PAGE - set(things)
    if missing:
        raise ValueError(f"public names in none of the groups of docs/generate.py: {missing}")
    return things


def path_of(name, thing):
    """Where users import it from."""
    return f"sklearn_losses.{name}" if name in sl.__all__ else f"{thing.__module__}.{name}"


def first_line(thing):
    return " ".join(inspect.getdoc(thing).split("\n\n")[0].split())


def members(cls, things):
    """Methods with a docstring that the class does not share with a public base, which has a page
    of its own."""
    shared = {base for base in cls.__mro__[1:] if things.get(base.__name__) is base}
    above = {base for public in shared for base in public.__mro__}
    names = {}
    for base in cls.__mro__:
        if base not in above and base.__module__.startswith("sklearn_losses"):
            for name, value in vars(base).items():
                function = getattr(value, "__func__", getattr(value, "fn", value))
                if callable(function) and not name.startswith("_") and inspect.getdoc(function):
                    names.setdefault(name)
    return list(names), [base for base in cls.__mro__[1:] if base in shared][:1]


def page(name, thing, things):
    """The reStructuredText of a name's page."""
    path = path_of(name, thing)
    text = f"{name}\n{'=' * len(name)}\n\n"
    if not inspect.isclass(thing):
        return f"{text}.. autofunction:: {path}\n{examples_of(path)}"
    own, bases = members(thing, things)
    text += f".. autoclass:: {path}\n"
    if own:
        text += f"   :members: {', '.join(own)}\n"
    for base in bases:
        text += f"\nMethods and attributes as of `{base.__name__}`.\n"
    return text + examples_of(path)


def examples_of(path):
    """The gallery's examples that use the name, which sphinx-gallery lists."""
    return (
        "\n.. raw:: html\n\n   <div style='clear: both'></div>\n"
        f"\n.. minigallery:: {path}\n   :add-heading: Examples that use it\n"
    )


def table(header, rows, widths=None):
    """A list-table."""
    lines = [".. list-table::", "   :header-rows: 1"]
    lines += [f"   :widths: {widths}"] if widths else []
    for row in [header, *rows]:
        for k, cell in enumerate(row):
            lines.append(f"   {'* -' if k == 0 else '  -'} {cell}")
        if row is header:
            lines.insert(3 if widths else 2, "")
    return "\n".join(lines) + "\n"


def bullet(cls, word):
    """What stands behind ``- word:`` in the class's docstring, in one line."""
    text = inspect.getdoc(cls)
    start = text.index(f"- {word}")
    end = min(at for at in (text.find("\n- ", start), text.find("\n\n", start)) if at > 0)
    return " ".join(text[start:end].split(":", 1)[1].split())


def loss_tables():
    """Tables of all losses by task, from their docstrings and flags."""
    text = ""
    for title in (title for title in GROUPS if title.startswith("Losses for")):
        rows = []
        for cls in GROUPS[title]:
            params = ", ".join(
                f"``{p.name}={p.default!r}``"
                for p in list(inspect.signature(cls).parameters.values())
                if p.name != "n_classes"
            )
            names = f"| ``{cls.name}``\n       | `{cls.__name__}`"
            formula = bullet(cls, "Formula").split(". ")[0].rstrip(".")
            if cls.task == "regression":
                last = bullet(cls, "Domain").removeprefix("y_true ").rstrip(".")
            else:
                last = "yes" if cls().gives_probability else "no"
            rows.append([names, formula, params, last])
        header = ["Name and class", "Formula", "Parameters"]
        of_numbers = GROUPS[title][0].task == "regression"
        header.append("Domain of y_true" if of_numbers else "Probabilities")
        text += f"{title}\n{'-' * len(title)}\n\n{table(header, rows, '27 37 20 16')}\n"
    return text


def write(folder):
    """Write all pages; a file that is as it should be stays, so that Sphinx need not read it."""
    things = public_things()
    pages = {f"{name}.rst": page(name, thing, things) for name, thing in things.items()}
    api = ""
    for title, group in GROUPS.items():
        rows = [[f"`~{path_of(t.__name__, t)}`", first_line(t)] for t in group]
        api += f"{title}\n{'-' * len(title)}\n\n{table(['Name', 'What it is'], rows, '40 60')}\n"
        api += ".. toctree::\n   :hidden:\n\n"
        api += "".join(f"   generated/{t.__name__}\n" for t in group) + "\n"
    pages["api.inc"] = api
    pages["losses.inc"] = loss_tables()
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    for name, text in pages.items():
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text:
            (folder / name).write_text(text, encoding="utf-8")
    for old in folder.glob("*.rst"):
        if old.name not in pages:
            old.unlink()
