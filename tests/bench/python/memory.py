"""The row of memory: workers that have numpy imported and have used it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor

import prefork

import work
from contest import Contest, Row, contestants

_WORKERS = 8
_PRELOAD = ("numpy",)


def _pss_mib(pids: Iterable[int]) -> float:
    """The sum of their proportional set sizes."""
    kib = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            kib += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return kib / 1024


def _workers_pss(submit: Callable[[str, int], Iterable[int]], workers: int) -> float:
    """Of all workers, after each has used numpy."""
    with tempfile.TemporaryDirectory() as folder:
        pids = set(submit(folder, workers))
    assert len(pids) == workers
    return _pss_mib(pids)


@contextlib.contextmanager
def _pss() -> Iterator[Contest]:
    def of(executor: Executor, workers: int) -> float:
        def submit(folder: str, number: int) -> Iterable[int]:
            return executor.map(work.meet, [folder] * number, [number] * number)

        return _workers_pss(submit, workers)

    with contestants(_WORKERS, _PRELOAD) as all_of_them, prefork.Executor(1, preload=_PRELOAD) as alone:

        def of_pool() -> float:
            def submit(folder: str, number: int) -> Iterable[int]:
                return all_of_them.pool.starmap(work.meet, [(folder, number)] * number, chunksize=1)

            return _workers_pss(submit, _WORKERS)

        yield {
            "prefork": lambda: of(all_of_them.prefork, _WORKERS),
            "one such worker alone": lambda: of(alone, 1),
            "Pool": of_pool,
            "ProcessPoolExecutor": lambda: of(all_of_them.standard, _WORKERS),
            "loky": lambda: of(all_of_them.loky, _WORKERS),
        }


ROWS: dict[str, Row] = {"py_pss_8_workers": _pss}
