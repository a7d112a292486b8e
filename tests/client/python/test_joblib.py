"""joblib on warm workers; and tqdm, which only needs ordinary iterators and futures."""

from __future__ import annotations

import concurrent.futures
import io
import os

import pytest

import functions
import prefork
import prefork.joblib

joblib = pytest.importorskip("joblib")
tqdm = pytest.importorskip("tqdm")


@pytest.fixture(autouse=True)
def registered() -> None:
    prefork.joblib.register()


def test_parallel() -> None:
    with joblib.parallel_config("prefork", n_jobs=2):
        calls = (joblib.delayed(functions.square)(x) for x in range(200))
        assert joblib.Parallel()(calls) == [x * x for x in range(200)]
        pids = set(joblib.Parallel()(joblib.delayed(functions.pid_after_work)() for _ in range(20)))
        assert os.getpid() not in pids and len(pids) <= 2


def test_lambdas_and_generators() -> None:
    with joblib.parallel_config("prefork", n_jobs=2):
        results = joblib.Parallel(return_as="generator")(joblib.delayed(lambda x: x + 1)(x) for x in range(10))
        assert list(results) == list(range(1, 11))


def test_errors_and_crashes_are_raised_and_the_workers_go_on() -> None:
    with joblib.parallel_config("prefork", n_jobs=2):
        with pytest.raises(ValueError):
            joblib.Parallel()(joblib.delayed(functions.fail_at_three)(x) for x in range(10))
        with pytest.raises(prefork.TaskCrashed):
            joblib.Parallel()(joblib.delayed(functions.die_by_signal)() for _ in range(3))
        assert joblib.Parallel()(joblib.delayed(functions.square)(x) for x in range(3)) == [0, 1, 4]


@pytest.mark.parametrize(("n_jobs", "workers"), [(1, 1), (3, 3)])
def test_effective_jobs(n_jobs: int, workers: int) -> None:
    assert prefork.joblib.PreforkBackend().effective_n_jobs(n_jobs) == workers
    assert prefork.joblib.PreforkBackend().effective_n_jobs(-1) >= 1
    with pytest.raises(ValueError, match="no meaning"):
        prefork.joblib.PreforkBackend().effective_n_jobs(0)


def test_tqdm() -> None:
    screen = io.StringIO()
    with prefork.Executor(2) as executor:
        bar = tqdm.tqdm(executor.map(functions.square, range(10)), total=10, file=screen)
        assert list(bar) == [x * x for x in range(10)]
        futures = [executor.submit(functions.square, x) for x in range(10)]
        for _ in tqdm.tqdm(concurrent.futures.as_completed(futures), total=10, file=screen):
            pass
    assert screen.getvalue().count("10/10") >= 2
