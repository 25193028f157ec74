"""How much is measured, in earnest and with ``--quick``."""

from types import SimpleNamespace

FULL = SimpleNamespace(
    copy=400_000_000,  # float32 numbers
    samples=100_000_000,
    classes=(3, 10, 100),
    all_losses=True,
    rows=10_000_000,
    features=100,
    batch=65_536,
    sparse_features=100_000,
    nonzeros=30,
    cpu_rows=2_000_000,
    lbfgs_rows=1_000_000,
    loss_sizes=(1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000),
    fits=(
        (10_000, (1, 256, 4_096)),
        (100_000, (256, 4_096, 65_536)),
        (1_000_000, (256, 4_096, 65_536, 1_000_000)),
    ),
    repeats=9,
    calls=5,
    fit_repeats=5,
    seconds=0.2,  # by which two fits must differ
)
QUICK = SimpleNamespace(
    copy=4_096,
    samples=3_000,
    classes=(3,),
    all_losses=False,
    rows=900,
    features=8,
    batch=256,
    sparse_features=120,
    nonzeros=4,
    cpu_rows=600,
    lbfgs_rows=300,
    loss_sizes=(100, 1_000),
    fits=((400, (16, 256)),),  # 25 steps: enough for a graph of launches
    repeats=2,
    calls=2,
    fit_repeats=1,
    seconds=0.0,
)
