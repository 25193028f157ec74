"""The benchmark of the GPU runs to its end, so that a mistake in it shows where there is no GPU."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import sklearn_losses as sl

PATH = Path(__file__).parents[2] / "asv_benchmarks" / "gpu"


@pytest.fixture(scope="module")
def gpu():
    """asv_benchmarks/gpu, which is no part of the installed package."""
    spec = importlib.util.spec_from_file_location("gpu_benchmark", PATH / "__init__.py")
    module = sys.modules["gpu_benchmark"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run(gpu):
    """What ``python -m asv_benchmarks.gpu`` runs."""
    return importlib.import_module("gpu_benchmark.__main__")


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["kernels", "fits", "crossover"])
def test_a_suite_runs_and_fills_its_tables(device, run, suite, tmp_path, capsys):
    page = tmp_path / "page.rst"
    assert run.main(["--quick", "--suite", suite, "--out", str(page)]) == 0, capsys.readouterr().out
    text, printed = page.read_text(encoding="utf-8"), capsys.readouterr().out
    assert "Failures" not in text and "FAILED" not in printed
    # Each table has its header and a row at the least.
    for part in text.split(".. list-table::")[1:]:
        assert part.count("   * - ") > 1
    assert text.count("list-table") == {"kernels": 1, "fits": 4, "crossover": 2}[suite]
    assert "the numbers mean nothing" in text and "compute capability" in printed
    if suite == "fits":  # what it says of the fits beside their times
        assert "     - yes\n" in text and "     - NO\n" not in text


def test_what_fails_is_named_and_the_rest_goes_on(device, run, monkeypatch, tmp_path, capsys):
    def fails(*args):
        raise RuntimeError("no such kernel")

    def works(report, *args):
        report.table("A table", ("a", "b"), "a note")
        report.row(1, "`2`")

    monkeypatch.setattr(run, "SUITES", {"kernels": fails, "fits": works})
    page = tmp_path / "page.rst"
    assert run.main(["--quick", "--out", str(page)]) == 1
    assert "FAILED kernels: RuntimeError: no such kernel" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "- ``kernels: RuntimeError: no such kernel``" in text
    assert "   * - a\n     - b\n   * - 1\n     - `2`\n\n- a note.\n" in text


def test_what_is_not_begun_in_time_is_left_out_and_said(device, run, tmp_path):
    page = tmp_path / "page.rst"
    assert run.main(["--quick", "--suite", "kernels", "--seconds", "0", "--out", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "- log_loss, float32 left out: the time was up." in text and "list-table" not in text


def test_without_a_gpu_it_says_so(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert run.main([]) == 2
    assert "asv_benchmarks.gpu needs a GPU: " in capsys.readouterr().err


def test_its_data_are_what_they_are_called(gpu):
    for dtype in (np.float32, np.float64):
        u, z = gpu.uniform(np, 20_000, 1, dtype, 2.0, 4.0), gpu.normal(np, 20_000, 1, dtype)
        assert u.dtype == z.dtype == dtype
        assert 2 < u.min() < 2.001 and 3.999 < u.max() < 4
        assert abs(u.mean() - 3) < 0.02 and abs(z.mean()) < 0.03 and abs(z.std() - 1) < 0.02
    whole = gpu.scrambled(np, 0, 1000, 3)
    np.testing.assert_array_equal(whole[600:], gpu.scrambled(np, 600, 400, 3))
    assert len(set(whole.tolist())) == 1000


def test_the_losses_of_its_peers_are_ours(gpu, monkeypatch):
    """The part for PyTorch, on the CPU."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(torch, "compile", lambda formula, **options: formula)
    y, raw = gpu.uniform(np, 90, 1, low=0.1, high=0.9), gpu.normal(np, 90, 2)
    cases = {name: (gpu.LOSSES[name][0], y, raw) for name in gpu.formulas(np)}
    codes = (gpu.scrambled(np, 0, 30, 3) % 3).astype(np.float32)
    cases["multinomial"] = sl.HalfMultinomialLoss(), codes, raw.reshape(30, 3)
    for name, (loss, y, raw) in cases.items():
        expected = loss.loss_gradient(y, raw)
        peers = gpu.torch_peers(torch, name, torch.from_numpy(y), torch.from_numpy(raw))
        assert set(peers) == {"eager", "compile"}
        results = {peer: call() for peer, call in peers.items()}
        if name == "multinomial":
            results["cupy"] = gpu.multinomial_of_cupy(np, y, raw)
        else:
            results["cupy"] = gpu.formulas(np)[name](y, raw)
        for peer, found in results.items():
            for mine, theirs in zip(expected, found, strict=True):
                assert np.asarray(theirs).dtype == np.float32
                np.testing.assert_allclose(theirs, mine, rtol=1e-5, atol=1e-6, err_msg=peer)


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_the_training_of_its_peer_is_ours(gpu, loss, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(torch, "randperm", torch.arange)
    # Means of 0 and spreads of 1, so that our steps are taken in the same coordinates.
    X, signal = gpu.dense_data(np, 250, 6)
    X, signal = np.sign(np.vstack([X, -X])), np.concatenate([signal, -signal])
    low, high = np.quantile(signal, [0.25, 0.75], method="inverted_cdf")
    signal *= np.float32(1.349 / (high - low))
    y = (signal > 0).astype(np.int32) if loss == "log_loss" else signal
    tensors = torch.from_numpy(X), torch.from_numpy(y.astype(np.float32))
    run = gpu.torch_training(torch, *tensors, loss, 64, graph=False)
    weights, mean = run(3)
    ours = gpu.made(loss, 64, 3).set_params(shuffle=False).fit(X, y)
    np.testing.assert_allclose(weights.numpy(), ours.coef_.ravel(), rtol=1e-3, atol=1e-6)
    assert mean == pytest.approx(ours.loss_curve_[-1], rel=1e-3)
