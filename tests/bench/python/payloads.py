"""Rows of calls with much data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any

import numpy as np
import prefork

import work
from contest import Contest, Row, contestants, median_seconds, seconds

_MIB = 1 << 20
_US = 1e6
_MS = 1e3
_SMALL_ECHOES = 50
_LARGE_ECHOES = 3
_NUMBERS = 10_000_000
_CHUNKS = 8


@contextlib.contextmanager
def _echo(payload: Any, times: int, units: float) -> Iterator[Contest]:
    def one(call: Callable[[Any], Any]) -> float:
        assert len(call(payload)) == len(payload)
        return median_seconds(times, lambda: call(payload)) * units

    def of(executor: Executor) -> float:
        return one(lambda value: executor.submit(work.same, value).result())

    with contestants() as all_of_them:
        yield {
            "prefork": lambda: of(all_of_them.prefork),
            "Pool.apply": lambda: one(lambda value: all_of_them.pool.apply(work.same, (value,))),
            "ProcessPoolExecutor": lambda: of(all_of_them.standard),
            "loky": lambda: of(all_of_them.loky),
        }


@contextlib.contextmanager
def _square_sum() -> Iterator[Contest]:
    data = np.random.default_rng(1).random(_NUMBERS)
    chunks = np.array_split(data, _CHUNKS)
    right = work.square_sum(data)

    def ms(parts: Callable[[], Iterable[float]]) -> float:
        def check() -> None:
            assert np.isclose(sum(parts()), right)

        return seconds(check) * _MS

    with contestants() as all_of_them:
        shared = prefork.array(data.shape, data.dtype)
        shared[:] = data
        shared_chunks = np.array_split(shared, _CHUNKS)
        yield {
            "prefork": lambda: ms(lambda: all_of_them.prefork.map(work.square_sum, chunks)),
            "Pool.map": lambda: ms(lambda: all_of_them.pool.map(work.square_sum, chunks)),
            "prefork from a prefork.array": lambda: ms(lambda: all_of_them.prefork.map(work.square_sum, shared_chunks)),
            "ProcessPoolExecutor.map": lambda: ms(lambda: all_of_them.standard.map(work.square_sum, chunks)),
            "loky map": lambda: ms(lambda: all_of_them.loky.map(work.square_sum, chunks)),
            "np.sum(a**2) in one process": lambda: ms(lambda: [work.square_sum(data)]),
        }


ROWS: dict[str, Row] = {
    "py_echo_1mib": lambda: _echo(bytes(_MIB), _SMALL_ECHOES, _US),
    "py_echo_100mib": lambda: _echo(np.ones(100 * _MIB // 8), _LARGE_ECHOES, _MS),
    "py_square_sum": _square_sum,
}
