"""Rows of calls that do nothing: what a call costs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any

import work
from contest import Contest, Row, contestants, median_seconds, seconds

_CALLS = 20_000
_CALLS_IN_CHUNKS = 500_000
_CHUNK = 100
_ONE_BY_ONE = 2000
_US = 1e6


@contextlib.contextmanager
def _submit() -> Iterator[Contest]:
    def rate(executor: Executor) -> float:
        def submit_all() -> None:
            for future in [executor.submit(work.same, number) for number in range(_CALLS)]:
                future.result()

        return _CALLS / seconds(submit_all)

    with contestants() as all_of_them:
        yield {
            "prefork": lambda: rate(all_of_them.prefork),
            "ProcessPoolExecutor": lambda: rate(all_of_them.standard),
            "loky": lambda: rate(all_of_them.loky),
        }


def _rate(results: Callable[..., Iterable[Any]], calls: int, chunksize: int) -> float:
    """Calls a second of a map until the last result is there."""
    return calls / seconds(lambda: sum(1 for _ in results(work.same, range(calls), chunksize=chunksize)))


@contextlib.contextmanager
def _map() -> Iterator[Contest]:
    with contestants() as all_of_them:
        yield {
            "prefork": lambda: _rate(all_of_them.prefork.map, _CALLS, 1),
            "Pool.map(chunksize=1)": lambda: _rate(all_of_them.pool.map, _CALLS, 1),
            "ProcessPoolExecutor.map": lambda: _rate(all_of_them.standard.map, _CALLS, 1),
            "loky map": lambda: _rate(all_of_them.loky.map, _CALLS, 1),
        }


@contextlib.contextmanager
def _map_in_chunks() -> Iterator[Contest]:
    with contestants() as all_of_them:
        yield {
            "prefork": lambda: _rate(all_of_them.prefork.map, _CALLS_IN_CHUNKS, _CHUNK),
            "Pool.imap_unordered(chunksize=100)": lambda: _rate(
                all_of_them.pool.imap_unordered, _CALLS_IN_CHUNKS, _CHUNK
            ),
            "ProcessPoolExecutor.map": lambda: _rate(all_of_them.standard.map, _CALLS_IN_CHUNKS, _CHUNK),
            "loky map": lambda: _rate(all_of_them.loky.map, _CALLS_IN_CHUNKS, _CHUNK),
        }


@contextlib.contextmanager
def _latency() -> Iterator[Contest]:
    def p50(call: Callable[[], Any]) -> float:
        return median_seconds(_ONE_BY_ONE, call) * _US

    def of(executor: Executor) -> float:
        return p50(lambda: executor.submit(work.same, 1).result())

    with contestants() as all_of_them:
        yield {
            "prefork": functools.partial(of, all_of_them.prefork),
            "ProcessPoolExecutor": functools.partial(of, all_of_them.standard),
            "Pool.apply": lambda: p50(lambda: all_of_them.pool.apply(work.same, (1,))),
            "loky": functools.partial(of, all_of_them.loky),
        }


ROWS: dict[str, Row] = {
    "py_submit": _submit,
    "py_map": _map,
    "py_map_chunk100": _map_in_chunks,
    "py_latency_p50": _latency,
}
