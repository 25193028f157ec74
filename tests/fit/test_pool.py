"""The pool of threads runs each piece of a job once, however many pieces there are."""

import shutil
import subprocess
from importlib.resources import files

import pytest
from test_threads import run_python

from sklearn_losses._kernels._threads import openmp_info

KERNELS = files("sklearn_losses").joinpath("_kernels")

# Jobs one after the other: helpers come late to one, and must not take a piece of the next as its.
PROGRAM = """
#include "fit/pool.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

struct Job {
    std::vector<int> runs;
    std::thread::id caller = std::this_thread::get_id();
    std::atomic<int> helped{0};
};
static void piece(void* context, int i) {
    Job& job = *static_cast<Job*>(context);
    ++job.runs[static_cast<std::size_t>(i)];
    if (std::this_thread::get_id() != job.caller) {
        job.helped.fetch_add(1, std::memory_order_relaxed);
    } else if (i == 0 && job.runs.size() > 2) {  // held up until a helper has shown itself
        for (int j = 0; j < 20000 && job.helped.load(std::memory_order_relaxed) == 0; ++j)
            std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
}
static int run(int helpers, sl::Pool::Patience patience) {
    sl::Pool pool;
    pool.enlist(helpers, patience);
    for (const int n : {1, 2, 65534, 65535, 65536, 65537, 70000, 131070, 131071, 200000, 3}) {
        Job job;
        job.runs.resize(static_cast<std::size_t>(n));
        pool.share(piece, &job, n);
        for (int i = 0; i < n; ++i)
            if (job.runs[static_cast<std::size_t>(i)] != 1)
                return std::printf("%d of %d pieces did not run once\\n", i, n), 1;
        if (n > 2 && job.helped.load() == 0) return std::printf("%d: nobody helped\\n", n), 1;
    }
    return 0;
}
int main(int, char** given) {
    for (const auto patience : {sl::Pool::COOL, sl::Pool::HOT})
        if (run(std::atoi(given[1]), patience)) return 1;
    std::printf("each once\\n");
}
"""


@pytest.mark.parametrize(
    "sanitizer",
    [[], pytest.param(["-fsanitize=thread"], marks=pytest.mark.slow)],
    ids=["plain", "tsan"],
)
def test_the_pool_runs_each_piece_once(tmp_path, sanitizer):
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    made = str(tmp_path / "pool")
    command = ["g++", "-std=c++17", "-O1", "-g", "-pthread", *sanitizer, f"-I{KERNELS}"]
    done = subprocess.run(
        [*command, "-x", "c++", "-", "-o", made], input=PROGRAM, capture_output=True, text=True
    )
    if sanitizer and "tsan" in done.stderr:
        pytest.skip("g++ has no libtsan")
    assert done.returncode == 0, done.stderr
    for helpers in ("1", "2", "3"):
        done = subprocess.run([made, helpers], capture_output=True, text=True, timeout=120)
        if sanitizer and "unexpected memory mapping" in done.stderr:
            pytest.skip("the thread sanitizer does not run under this kernel's address layout")
        assert (done.stdout, done.returncode) == ("each once\n", 0), done.stderr[:4000]


@pytest.mark.skipif(not openmp_info()["enabled"], reason="this build has no OpenMP")
@pytest.mark.parametrize("n_outputs", [70_000, pytest.param(140_000, marks=pytest.mark.slow)])
def test_fits_of_very_many_outputs_have_the_same_bits_on_two_threads(n_outputs):
    # Once each output was a piece, and pieces beyond 65,535 were lost, or waited for without end.
    # (An engine of its own: what an estimator does for each output beforehand takes minutes.)
    code = f"""
    import numpy as np
    from sklearn_losses import HalfSquaredError
    from sklearn_losses._kernels.fit.engines import Engine

    rng, n = np.random.RandomState(0), {n_outputs}
    X, Y = rng.uniform(size=(64, 1)), rng.uniform(size=(64, n))
    def coef(n_threads):
        engine = Engine(
            X, Y, [HalfSquaredError()], n, target="separate", coef=np.zeros((n, 1)),
            intercept=np.zeros(n), optimizer="SGD", params=np.zeros(0), low=np.zeros(1),
            high=np.full(1, np.inf), batch_size=64, n_threads=n_threads,
        )
        for _ in range(4):
            assert engine.epoch(np.full(1, 0.1), 64)[2] and engine.save()
        return engine.coef()

    one, two = coef(1), coef(2)
    assert one.any() and one.tobytes() == two.tobytes()
    print("same bits")
    """
    assert run_python(code, timeout=120, OMP_NUM_THREADS="2") == "same bits\n"
