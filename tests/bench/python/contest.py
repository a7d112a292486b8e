"""Those who do the same work, one after the other in each round, and how their figures are printed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import multiprocessing.pool
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import prefork
from joblib.externals import loky

import work

WORKERS = 2

# By name; each measures one figure. The first is prefork, the second what the row is held against.
Contest = Mapping[str, Callable[[], float]]
Row = Callable[[], contextlib.AbstractContextManager[Contest]]


def run(row: Row, rounds: int) -> None:
    """Measures so many rounds after one that only warms up."""
    with row() as contest:
        for measure in contest.values():
            measure()
        for _ in range(rounds):
            print("\t".join(f"{name}={measure()}" for name, measure in contest.items()), flush=True)


class Contestants(NamedTuple):
    """Each with its workers running."""

    prefork: prefork.Executor
    pool: multiprocessing.pool.Pool
    standard: concurrent.futures.Executor
    loky: concurrent.futures.Executor


@contextlib.contextmanager
def contestants(workers: int = WORKERS, preload: tuple[str, ...] = ()) -> Iterator[Contestants]:
    """All of them.

    Args:
        preload: What prefork imports before it forks workers; the others have no such thing.
    """
    # Those of the standard library fork this process, so they do it before prefork starts threads in it.
    with (
        multiprocessing.Pool(workers) as pool,
        concurrent.futures.ProcessPoolExecutor(workers) as standard,
        loky.ProcessPoolExecutor(workers) as external,
        prefork.Executor(workers, preload=preload) as ours,
    ):
        for executor in (standard, external, ours):
            executor.submit(work.same, 0).result()
        yield Contestants(ours, pool, standard, external)


def seconds(action: Callable[[], Any]) -> float:
    """How long it takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def median_seconds(times: int, action: Callable[[], Any]) -> float:
    """The same, of so many times."""
    return statistics.median(seconds(action) for _ in range(times))
